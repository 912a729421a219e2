/**
 * QoS 2 publications that a broker had taken and not yet published, because it waits for PUBREL to do so: who gets them,
 * by the subscriptions that come behind them.
 */
import { isShared, matches, sharedPartsOf } from '../../bus/topics.js';
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
  readonly topic: string;
  readonly qos: number;
  readonly publisher: string;
  readonly recipients: Map<ImportedSession, Reception>;
  /** Shared subscriptions that one of the members gets it by. */
  readonly shares: Set<string>;
}

export class Released {
  readonly #publications: ReleasedPublication[] = [];

  /** @param publisher client identifier */
  add(chunk: Chunk, { topic, qos }: { topic: string; qos: number }, publisher: string): void {
    this.#publications.push({ chunk, topic, qos, publisher, recipients: new Map(), shares: new Set() });
  }

  subscribe(session: ImportedSession, filter: string, subscription: SubscriptionRecord): void {
    const shared = isShared(filter);
    const matched = shared ? sharedPartsOf(filter)[1] : filter;
    for (const { topic, qos, publisher, recipients, shares } of this.#publications) {
      if (!matches(matched, topic) || shares.has(filter)) continue;
      if (subscription.noLocal && publisher === session.clientId) continue;
      const granted = Math.min(qos, subscription.qos);
      if (granted === 0) continue;
      if (shared) shares.add(filter);
      let reception = recipients.get(session);
      if (reception === undefined) {
        reception = { qos: 1, retain: false, identifiers: [] };
        recipients.set(session, reception);
      }
      if (granted === 2) reception.qos = 2;
      reception.retain ||= subscription.retainAsPublished;
      if (subscription.identifier > 0) reception.identifiers.push(subscription.identifier);
    }
  }

  /** In the order in which they came. */
  publications(): readonly ReleasedPublication[] {
    return this.#publications;
  }
}
