/** What waits in all sessions together. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SessionRegistry } from '../session/sessions.js';

export interface QueueTotals {
  /** QoS 1 and 2 messages that wait to be sent, in memory or in the store. */
  readonly messages: number;
  /** Their bytes, as `limits.queued_bytes` counts them. */
  readonly bytes: number;
  /** QoS 1 and 2 messages that are sent and not acknowledged. */
  readonly inFlight: number;
  /** Bytes that wait to be written to connections. */
  readonly output: number;
}

/** Sessions that are looked at before others have their turn: a fraction of a millisecond. */
const SESSIONS_PER_TURN = 1000;

/**
 * Adds up all sessions, some in each turn of the event loop, so that a hundred thousand of them hold up nobody. A
 * running sum would cost something for each message; this costs something only when somebody asks.
 */
async function addUp(sessions: SessionRegistry): Promise<QueueTotals> {
  let messages = 0;
  let bytes = 0;
  let inFlight = 0;
  let output = 0;
  let seen = 0;
  for (const { outbound, connection } of sessions.all()) {
    messages += outbound.waiting;
    bytes += outbound.waitingBytes;
    inFlight += outbound.inFlight;
    if (connection !== null) output += connection.output.length + connection.transportLayer.pending;
    if (++seen % SESSIONS_PER_TURN === 0) await nextTurn();
  }
  return { messages, bytes, inFlight, output };
}

/** Adds up for whoever asks; who asks meanwhile gets the same answer. */
export class Queues {
  readonly #sessions: SessionRegistry;
  #asked: Promise<QueueTotals> | null = null;

  constructor(sessions: SessionRegistry) {
    this.#sessions = sessions;
  }

  totals(): Promise<QueueTotals> {
    this.#asked ??= addUp(this.#sessions).finally(() => {
      this.#asked = null;
    });
    return this.#asked;
  }
}
