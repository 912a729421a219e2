/**
 * QoS 2 publications that a broker had taken and not yet published, because it waits for PUBREL to do so: who gets them,
 * by the subscriptions that come behind them.
 */
import { TopicTree } from '../../bus/topic-tree.js';
import { TopicWalk } from '../../bus/topic-walk.js';
import { isShared, sharedPartsOf } from '../../bus/topics.js';
import type { SubscriptionRecord } from '../../store/records.js';
import type { ImportedSession } from './imported-session.js';
import type { Chunk } from './mosquitto-file.js';

/** How one session gets a publication: once, however many of its subscriptions match [MQTT-3.3.4-2]. */
export interface Reception {
  qos: 1 | 2;
  /** Retain As Published. */
  retain: boolean;
  readonly identifiers: number[];
}

export interface ReleasedPublication {
  readonly chunk: Chunk;
  readonly qos: number;
  /** Client identifier. */
  readonly publisher: string;
  readonly recipients: Map<ImportedSession, Reception>;
  /** Shared subscriptions that one of the members gets it by. */
  readonly shares: Set<string>;
}

export class Released {
  readonly #publications: ReleasedPublication[] = [];
  /** Topics of publications; a node's value is one more than their place in `#byTopic`. */
  readonly #topics = new TopicTree();
  readonly #byTopic: ReleasedPublication[][] = [];

  /** @param publisher client identifier */
  add(chunk: Chunk, { topic, qos }: { topic: string; qos: number }, publisher: string): void {
    const publication = { chunk, qos, publisher, recipients: new Map(), shares: new Set<string>() };
    this.#publications.push(publication);
    const node = this.#topics.grow(Buffer.from(topic));
    if (this.#topics.value(node) === 0) this.#topics.setValue(node, this.#byTopic.push([]));
    this.#byTopic[this.#topics.value(node) - 1].push(publication);
  }

  subscribe(session: ImportedSession, filter: string, subscription: SubscriptionRecord): void {
    if (this.#publications.length === 0) return;
    const walk = new TopicWalk(this.#topics, isShared(filter) ? sharedPartsOf(filter)[1] : filter);
    while (!walk.done) {
      const node = walk.next();
      const place = node === 0 ? 0 : this.#topics.value(node);
      if (place === 0) continue;
      for (const publication of this.#byTopic[place - 1]) receive(publication, session, filter, subscription);
    }
  }

  /** In the order in which they came. */
  publications(): readonly ReleasedPublication[] {
    return this.#publications;
  }
}

function receive(
  { qos, publisher, recipients, shares }: ReleasedPublication,
  session: ImportedSession,
  filter: string,
  subscription: SubscriptionRecord,
): void {
  const granted = Math.min(qos, subscription.qos);
  if (granted === 0 || shares.has(filter)) return;
  if (subscription.noLocal && publisher === session.clientId) return;
  if (isShared(filter)) shares.add(filter);
  let reception = recipients.get(session);
  if (reception === undefined) {
    reception = { qos: 1, retain: false, identifiers: [] };
    recipients.set(session, reception);
  }
  if (granted === 2) reception.qos = 2;
  reception.retain ||= subscription.retainAsPublished;
  if (subscription.identifier > 0) reception.identifiers.push(subscription.identifier);
}
