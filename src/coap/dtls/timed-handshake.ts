/**
 * What the handshakes of both ends have in common: a flight that is repeated until it is answered (RFC 6347 4.2.4), a deadline, and
 * an end that comes once.
 */
import { Timer, type TimerWheel } from '../timers.js';
import type { Keys } from './association.js';
import { type FlightMessage, FlightWriter } from './flight.js';
import { type Fragment, readFragment } from './fragments.js';
import { LONGEST_RETRANSMISSION_TIME, RETRANSMISSION_TIME, RETRANSMISSIONS } from './limits.js';
import { AlertLevel, HANDSHAKE_HEADER } from './protocol.js';

/** Of the transport, at either end. */
export interface TimedHost {
  readonly limits: { readonly handshakeTime: number; readonly handshakeDatagram: number };
  readonly counters: { flightsRepeated: number };
  readonly wheel: TimerWheel;
  now(): number;
}

export abstract class TimedHandshake<End extends string> extends Timer {
  /** Writes flights, and alerts that nothing protects. */
  protected readonly writer: FlightWriter;
  /** From ClientKeyExchange on. */
  protected keys: Keys | undefined;
  protected master: Buffer | undefined;
  readonly #host: TimedHost;
  readonly #deadline: number;
  #flight: readonly FlightMessage[] = [];
  #repetitions = 0;
  #wait = RETRANSMISSION_TIME;
  #isOver = false;

  /**
   * @param sequence of the first record
   * @param transmit sends a datagram to the peer
   */
  constructor(host: TimedHost, sequence: number, transmit: (bytes: Buffer, length: number) => void) {
    super();
    this.#host = host;
    this.writer = new FlightWriter(host.limits.handshakeDatagram, sequence, transmit);
    this.#deadline = host.now() + host.limits.handshakeTime;
  }

  protected get isOver(): boolean {
    return this.#isOver;
  }

  /** What comes when the deadline has passed; it ends the handshake. */
  protected abstract late(): void;

  /** The handshake has ended without keys. */
  protected abstract ended(reason: End, words: string): void;

  protected abstract receiveFragment(fragment: Fragment, isProtected: boolean): void;

  /** Arms the deadline while there is nothing to repeat. */
  protected await(): void {
    this.#arm(this.#host.limits.handshakeTime);
  }

  /** Sends a flight, and repeats it from now on. */
  protected send(flight: readonly FlightMessage[]): void {
    this.#flight = flight;
    this.#repetitions = 0;
    this.#wait = RETRANSMISSION_TIME;
    // Armed first: a transport in memory may bring the answer before `send` returns.
    this.#arm(this.#wait);
    this.writer.send(flight, this.keys);
  }

  #arm(delay: number): void {
    this.#host.wheel.arm(this, Math.min(delay, Math.max(0, this.#deadline - this.#host.now())));
  }

  /** The peer does not answer: its flight or ours is lost. */
  expire(): void {
    if (this.#deadline - this.#host.now() <= 0) {
      this.late();
      return;
    }
    this.repeat();
    this.#wait = Math.min(2 * this.#wait, LONGEST_RETRANSMISSION_TIME);
    this.#arm(this.#wait);
  }

  protected repeat(): void {
    if (this.#flight.length === 0 || this.#repetitions >= RETRANSMISSIONS) return;
    this.#repetitions++;
    this.#host.counters.flightsRepeated++;
    this.writer.send(this.#flight, this.keys);
  }

  /** Ends it in silence. */
  end(reason: End, words: string): void {
    if (this.#isOver) return;
    this.over();
    this.keys?.destroy();
    this.ended(reason, words);
  }

  /** Nothing more is received or repeated; the keys stay. */
  protected over(): void {
    this.#isOver = true;
    this.#host.wheel.disarm(this);
    this.master?.fill(0);
    this.master = undefined;
  }

  protected sayFatal(alert: number): void {
    this.writer.alert(AlertLevel.Fatal, alert);
  }

  protected receiveFragments(content: Buffer, isProtected: boolean): void {
    for (let at = 0; at < content.length && !this.#isOver; ) {
      const fragment = readFragment(content, at);
      if (fragment === undefined) return;
      this.receiveFragment(fragment, isProtected);
      at += HANDSHAKE_HEADER + fragment.body.length;
    }
  }
}
