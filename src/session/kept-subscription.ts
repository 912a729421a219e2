/**
 * A subscription of a client inside the process that outlives it: a session as MQTT clients have them, whose QoS 1 and 2
 * messages wait in the store and come one at a time, in order, each until it is acknowledged.
 */
import type { Message } from '../bus/message.js';
import type { Publication } from '../bus/publication.js';
import type { PublishSource } from '../wire/publish-writer.js';
import { ReasonCode } from '../wire/reason-codes.js';
import type { Environment } from './environment.js';
import type { Party } from './journal.js';
import type { Link } from './link.js';
import { aclOf, mayReceive, type RightsHolder } from './rights.js';
import { heapBytesOf, type Session } from './session.js';

/** Whoever takes the messages of a kept subscription. */
export interface Keeper {
  /** Takes a message, which is acknowledged by `acknowledge`. Called in a turn of its own. */
  take(message: Message): void;
  /** The session is another's now, or gone. */
  lost(): void;
}

export class KeptSubscription implements Link {
  readonly #environment: Environment;
  readonly session: Session;
  readonly #keeper: Keeper;
  readonly #holder: Party & RightsHolder;
  /** Packet identifier of the message that was handed over and is not acknowledged; 0 for none. */
  #pending = 0;
  readonly window = 1;
  readonly qos = 1;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Whether the session was there before. */
  readonly present: boolean;

  constructor(
    environment: Environment,
    session: Session,
    present: boolean,
    keeper: Keeper,
    holder: Party & RightsHolder,
  ) {
    this.#environment = environment;
    this.session = session;
    this.since = environment.clock.now();
    this.#keeper = keeper;
    this.#holder = holder;
    this.present = present;
  }

  /** What it has subscribed to; empty once its session has ended. */
  get filter(): string {
    for (const filter of this.session.subscriptions.keys()) return filter;
    return '';
  }

  get congested(): boolean {
    return this.#pending !== 0;
  }

  /** Resolves once the subscription is durable. */
  settled(): Promise<void> {
    return this.#environment.commit.settled();
  }

  /** Messages come from now on. */
  resume(): void {
    if (this.session.keeper === this) this.session.outbound.resume(this);
  }

  /** The message that was taken last has reached its receiver; the next one follows. */
  acknowledge(): void {
    const packetId = this.#pending;
    if (packetId === 0 || this.session.keeper !== this) return;
    this.#pending = 0;
    this.session.outbound.puback(packetId);
    this.session.outbound.pump();
  }

  /** No more messages for now: they wait. */
  suspend(): void {
    if (this.session.keeper === this) this.session.keep(null);
  }

  /** Ends the session, with all that waits. */
  end(): void {
    if (this.session.keeper !== this) return;
    this.session.keep(null);
    this.#environment.sessions.end(this.session);
  }

  /** For the session: it has another owner, or its end. */
  lost(): void {
    this.#keeper.lost();
  }

  sendPublish(
    source: PublishSource,
    qos: number,
    retain: boolean,
    _dup: boolean,
    packetId: number,
    expiresAt: number,
  ): boolean {
    // Nothing of QoS 0 waits for it, whatever `limits.queue_qos0` says: that has no acknowledgement.
    if (qos === 0 || this.#isDenied(source.topicBytes)) return false;
    this.#hand(packetId, {
      topic: source.topicBytes.utf8Slice(),
      payload: Buffer.from(source.buffer.subarray(source.payloadStart, source.payloadEnd)),
      qos: qos as 0 | 1 | 2,
      retain,
      properties: Buffer.from(source.properties),
      expiresAt,
      publisherId: '',
      receivedAt: this.#environment.clock.now(),
    });
    return true;
  }

  sendPublication(publication: Publication, qos: number, retain: boolean, packetId: number): boolean {
    if (this.#isDenied(publication.topicBytes)) return false;
    this.#hand(packetId, { ...publication.message(), qos: qos as 0 | 1 | 2, retain });
    return true;
  }

  #isDenied(topicBytes: Buffer): boolean {
    const acl = aclOf(this.#holder);
    if (acl === null || mayReceive(this.#holder, acl, null, topicBytes)) return false;
    this.#environment.counters.deniedReceive++;
    this.#environment.tracing.withheld(this.#holder, topicBytes);
    return true;
  }

  /** Nothing is delivered with QoS 2. */
  sendPubrel(): void {}

  #hand(packetId: number, message: Message): void {
    this.#pending = packetId;
    this.#environment.counters.publishSent++;
    this.#environment.counters.publishBytesSent += message.payload.length;
    process.nextTick(() => {
      if (this.#pending === packetId && this.session.keeper === this) this.#keeper.take(message);
    });
  }
}

/**
 * Opens the session of a name, with one subscription. Whoever has it now loses it.
 * @param expiry seconds that it is kept without a receiver
 * @returns the subscription, or an MQTT 5.0 reason code, counted and logged
 */
export function keepSubscription(
  environment: Environment,
  party: Party & RightsHolder,
  id: string,
  filter: string,
  expiry: number,
  keeper: Keeper,
): KeptSubscription | number {
  const { sessions, options, counters, journal, heap, commit } = environment;
  const former = sessions.get(id);
  if (former === undefined && sessions.size >= options.sessions) {
    counters.refusedAtSessions++;
    journal.limit(party, 'limits.sessions', 'a session was refused');
    return ReasonCode.QuotaExceeded;
  }
  if (former === undefined && !heap.hasRoom(heapBytesOf(id))) {
    counters.refusedAtMemory++;
    journal.limit(party, 'limits.memory', 'a session that is to be kept was refused');
    return ReasonCode.QuotaExceeded;
  }
  if (commit.load.ailing) {
    counters.refusedSubscribe++;
    journal.limit(party, commit.load.cause, 'a session that is to be kept was refused');
    return ReasonCode.ServerUnavailable;
  }
  // A session of an MQTT client that bears the very name is that client's.
  if (former !== undefined && former.connection !== null) return ReasonCode.NotAuthorized;
  const { session, present } = sessions.open(id, false, Math.max(1, Math.min(expiry, options.sessionExpiryMax)));
  const kept = new KeptSubscription(environment, session, present, keeper, party);
  session.keep(kept);
  for (const other of [...session.subscriptions.keys()]) if (other !== filter) session.unsubscribe(other);
  if (session.subscriptions.get(filter) === undefined) {
    session.subscribe({
      subscriber: session,
      filter,
      qos: 1,
      noLocal: false,
      retainAsPublished: true,
      retainHandling: 2,
      identifier: 0,
    });
    journal.subscribed(party, filter, 1);
  }
  return kept;
}
