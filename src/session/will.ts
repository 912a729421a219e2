/**
 * Wills: kept in the store from the CONNECT that brings them until their client says DISCONNECT, so that the death of
 * the broker does not swallow the news of a client's [MQTT-3.1.2-8].
 */
import type { MemoryBudget } from '../bus/memory-budget.js';
import type { Message, Source } from '../bus/message.js';
import { TextMap } from '../bus/text-map.js';
import type { GroupCommit } from '../store/commit.js';
import { willKey } from '../store/keys.js';
import { encodeWill, type WillRecord } from '../store/records.js';
import type { Connection } from './connection.js';
import type { Clock } from './environment.js';

/** Bytes of a will beside its topic, payload and properties, about. */
const WILL_HEAD = 256;

interface Waiting {
  readonly will: WillRecord;
  /** Milliseconds since the epoch. */
  readonly due: number;
}

/**
 * Publishes a will under the rules of its client.
 * @param client null if its connection is long gone
 * @param will says who the client is
 * @param decided called once it has been published or refused
 */
type Deliver = (message: Message, client: Connection | null, will: WillRecord, decided: () => void) => void;

/** The message of a will, which says by which listener its client came if that has rules of its own. */
export function placed(message: Message, { id, username, listener = '' }: Source): Message {
  return { ...message, source: listener === '' ? null : { id, username, listener } };
}

export class Wills {
  readonly #commit: GroupCommit;
  readonly #clock: Clock;
  /** Wills of connected clients. */
  readonly #armed = new TextMap<WillRecord>();
  /** Wills of gone clients whose delay runs. */
  readonly #waiting = new TextMap<Waiting>();

  readonly #deliver: Deliver;
  readonly #budget: MemoryBudget;

  constructor(commit: GroupCommit, budget: MemoryBudget, clock: Clock, deliver: Deliver) {
    this.#deliver = deliver;
    this.#budget = budget;
    this.#commit = commit;
    this.#clock = clock;
  }

  /** Whether there is memory for a will (`limits.memory`). */
  hasRoom(will: WillRecord): boolean {
    return this.#budget.hasRoom(sizeOf(will));
  }

  /** Keeps a client's will; a former one that was waiting for its delay is not published [MQTT-3.1.3-9]. */
  arm(clientId: string, will: WillRecord): void {
    this.#release(clientId);
    this.#armed.set(clientId, will);
    this.#budget.used += sizeOf(will);
    this.#keep(clientId, will);
  }

  /** Forgets a client's will [MQTT-3.1.2-10]. */
  disarm(clientId: string): void {
    if (this.#release(clientId)) this.#commit.add({ type: 'del', key: willKey(clientId) });
  }

  /** Gives back the memory of a client's will; returns whether there was one. */
  #release(clientId: string): boolean {
    const will = this.get(clientId);
    if (will === null) return false;
    this.#budget.used -= sizeOf(will);
    this.#armed.delete(clientId);
    this.#waiting.delete(clientId);
    return true;
  }

  get(clientId: string): WillRecord | null {
    return this.#armed.get(clientId) ?? this.#waiting.get(clientId)?.will ?? null;
  }

  /**
   * A reload may have given a listener rules of its own, or taken them: the wills of clients that are connected say so too.
   * @param clientOf undefined for one that is not connected
   */
  placeAnew(clientOf: (clientId: string) => Source | undefined): void {
    for (const [clientId, will] of [...this.#armed]) {
      const client = clientOf(clientId);
      if (client === undefined || (client.listener ?? '') === (will.message.source?.listener ?? '')) continue;
      // No back-end is asked about the clients of a listener with rules of its own.
      const grant = client.listener ? null : (will.grant ?? null);
      this.arm(clientId, { ...will, grant, message: placed(will.message, client) });
    }
  }

  /** All wills that are armed or waiting. */
  entries(): [string, WillRecord][] {
    const waiting = [...this.#waiting].map(([id, { will }]): [string, WillRecord] => [id, will]);
    return [...this.#armed, ...waiting];
  }

  /** Stores all wills again. */
  writeAnew(): void {
    for (const [clientId, will] of this.entries()) this.#keep(clientId, will);
  }

  /** Puts back a will that the store holds, of a client that the broker's end has disconnected. */
  restore(clientId: string, will: WillRecord): void {
    this.#armed.set(clientId, will);
    this.#budget.used += sizeOf(will);
    this.fire(clientId, will.sessionExpiry);
  }

  /**
   * The client is gone without DISCONNECT: publishes its will, after its delay [MQTT-3.1.2-8].
   * @param sessionExpiry seconds; DISCONNECT may have changed what CONNECT said
   */
  fire(clientId: string, sessionExpiry: number, client: Connection | null = null): void {
    const armed = this.#armed.get(clientId);
    if (armed === undefined) return;
    const will = { ...armed, sessionExpiry };
    const delay = Math.min(will.delay, sessionExpiry);
    if (delay === 0) {
      this.#release(clientId);
      this.#publish(clientId, will, client);
      return;
    }
    this.#armed.delete(clientId);
    this.#waiting.set(clientId, { will, due: this.#clock.now() + delay * 1000 });
    if (sessionExpiry !== armed.sessionExpiry) this.#keep(clientId, will);
  }

  #keep(clientId: string, will: WillRecord): void {
    this.#commit.add({ type: 'put', key: willKey(clientId), value: encodeWill(will) });
  }

  /** The session has ended: a will that waits is due now [MQTT-3.1.2-8]. */
  sessionEnded(clientId: string): void {
    const waiting = this.#waiting.get(clientId);
    if (waiting === undefined) return;
    this.#release(clientId);
    this.#publish(clientId, waiting.will);
  }

  /** Publishes the wills whose delay is over. Call about once a second. */
  tick(now: number): void {
    for (const [clientId, { will, due }] of this.#waiting) {
      if (due > now) continue;
      this.#release(clientId);
      this.#publish(clientId, will);
    }
  }

  #publish(clientId: string, will: WillRecord, client: Connection | null = null): void {
    const { message } = will;
    const expiresAt = message.expiresAt === 0 ? 0 : this.#clock.now() + (message.expiresAt - message.receivedAt);
    const sent = { ...message, expiresAt, receivedAt: this.#clock.now() };
    this.#deliver(sent, client, will, () => this.#forget(clientId));
  }

  /** The store keeps a will until it is decided on and published; its client may have brought a new one meanwhile. */
  #forget(clientId: string): void {
    if (this.#armed.has(clientId) || this.#waiting.has(clientId)) return;
    this.#commit.add({ type: 'del', key: willKey(clientId) });
  }
}

/** Bytes that a will takes in memory, about. */
function sizeOf({ message, grant }: WillRecord): number {
  const groups = grant?.groups.reduce((bytes, name) => bytes + name.length, 0) ?? 0;
  return WILL_HEAD + message.topic.length + message.payload.length + message.properties.length + groups;
}
