/** What the parts of one endpoint share. The endpoint builds it; the parts know each other through it alone. */
import { Block1Bodies } from './block1.js';
import { Block2Bodies } from './block2.js';
import { Type } from './codes.js';
import { CoapCounters } from './counters.js';
import { Deduplication } from './deduplication.js';
import { EchoValues, sent } from './echo.js';
import { type CoapLimits, DEFAULT_LIMITS, DEFAULT_TRANSMISSION, type TransmissionParameters } from './limits.js';
import { MessageWriter } from './message.js';
import { Observers } from './observe.js';
import { type CoapRemote, type Remote, RemoteTable } from './remotes.js';
import { type Frame, MESSAGE_BYTES, writeFrame } from './response.js';
import { NO_TAPS, type TapSource } from './tap.js';
import { type Clock, SYSTEM_CLOCK, TimerWheel } from './timers.js';
import { Transmission } from './transmission.js';
import type { DatagramAddress, DatagramTransport } from './transport.js';

/**
 * What an operator may want to see as it happens: a limit that was reached (the detail is its name), a handler that threw
 * or never answered, a remote that does not acknowledge, a fault of the endpoint itself. Each also has its counter; a
 * remote can cause any number.
 */
export type CoapEvent = 'limit' | 'handler-error' | 'handler-timeout' | 'timeout' | 'internal-error';

/** The settings that every part may need. */
export interface CoreOptions {
  readonly limits?: Partial<CoapLimits>;
  readonly transmission?: Partial<TransmissionParameters>;
  /**
   * A remote that has not shown where it is gets at most three times the bytes that it sent; beyond them its requests are
   * answered 4.01 with Echo (RFC 9175 2.4). Default false.
   */
  readonly echo?: boolean;
  readonly clock?: Clock;
  /** From 0 to less than 1, for ACK_RANDOM_FACTOR. Default `Math.random`. */
  readonly random?: () => number;
  /** Who listens in; asked with each message. Default: nobody. */
  readonly taps?: TapSource;
  readonly onEvent?: (name: CoapEvent, remote: CoapRemote | undefined, detail: string) => void;
}

/** What may change while the endpoint runs; whoever looks at it looks at the same object. */
type Changeable<Settings> = { -readonly [Name in keyof Settings]: Settings[Name] };

export class Core {
  readonly transport: DatagramTransport;
  readonly limits: Changeable<CoapLimits>;
  readonly transmissionParameters: Changeable<TransmissionParameters>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly counters = new CoapCounters();
  readonly wheel: TimerWheel;
  readonly remotes: RemoteTable;
  readonly deduplication: Deduplication;
  readonly transmission: Transmission;
  readonly block1: Block1Bodies;
  readonly block2: Block2Bodies;
  readonly observers: Observers;
  readonly echo: EchoValues;
  /** The message being written; its bytes are gone with the next one. */
  readonly writer = new MessageWriter(MESSAGE_BYTES);
  /** For responses that are written once and at once. */
  readonly frame: Frame = {
    type: 0,
    messageId: 0,
    tokenLength: 0,
    tokenHigh: 0,
    tokenLow: 0,
    response: { code: 0 },
    observe: -1,
    block1: -1,
    block2: -1,
    size2: -1,
    etag: null,
    payloadStart: 0,
    payloadEnd: 0,
  };
  /** Requests that wait for their handler's answer. */
  pendingExchanges = 0;
  /** Nothing is sent any more. */
  closed = false;
  readonly taps: TapSource;
  readonly #onEvent: CoreOptions['onEvent'];
  readonly #empty = Buffer.alloc(4);
  readonly #start: number;

  constructor(transport: DatagramTransport, options: CoreOptions) {
    this.transport = transport;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.transmissionParameters = { ...DEFAULT_TRANSMISSION, ...options.transmission };
    this.clock = options.clock ?? SYSTEM_CLOCK;
    this.random = options.random ?? Math.random;
    this.taps = options.taps ?? NO_TAPS;
    this.#onEvent = options.onEvent;
    this.#start = this.clock.now();
    const { limits, counters, clock } = this;
    const lifetime = this.transmissionParameters.exchangeLifetime;
    this.wheel = new TimerWheel(clock);
    this.remotes = new RemoteTable(limits.remotes, counters, clock, lifetime, options.echo);
    this.echo = new EchoValues(() => this.second(), Math.ceil(lifetime / 1000));
    this.deduplication = new Deduplication(limits.deduplicationBytes, counters);
    this.deduplication.onEviction = () => this.event('limit', undefined, 'deduplicationBytes');
    this.transmission = new Transmission(this);
    this.block1 = new Block1Bodies(limits, lifetime, counters, this.wheel, clock);
    this.block2 = new Block2Bodies(limits, lifetime, counters, this.wheel, clock);
    this.block1.onEviction = (limit) => this.event('limit', undefined, limit);
    this.block2.onEviction = (limit) => this.event('limit', undefined, limit);
    this.observers = new Observers(this);
  }

  /**
   * Puts other limits and parameters in the place of those there are. How many remotes there may be, the memory of past requests and
   * EXCHANGE_LIFETIME stay what they were at the beginning.
   */
  replace({ limits, transmission }: Pick<CoreOptions, 'limits' | 'transmission'>): void {
    const { remotes, deduplicationBytes } = this.limits;
    const { exchangeLifetime, nonLifetime } = this.transmissionParameters;
    Object.assign(this.limits, { ...DEFAULT_LIMITS, ...limits, remotes, deduplicationBytes });
    const kept = { exchangeLifetime, nonLifetime };
    Object.assign(this.transmissionParameters, { ...DEFAULT_TRANSMISSION, ...transmission, ...kept });
  }

  /** Whole seconds since the start. */
  second(): number {
    return Math.floor((this.clock.now() - this.#start) / 1000);
  }

  /** Writes and sends a message. False if it cannot be written. Afterwards `writer` still holds it. */
  transmit(frame: Frame, remote: Remote): boolean {
    const writer = this.writer;
    if (!writeFrame(writer, frame)) {
      this.counters.unsendableResponses++;
      return false;
    }
    sent(remote, writer.length);
    this.send(writer.buffer, 0, writer.length, remote);
    return true;
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    if (this.closed) return;
    this.counters.datagramsSent++;
    this.counters.bytesSent += length;
    this.taps.tap?.sent(bytes, offset, length, remote);
    this.transport.send(bytes, offset, length, remote);
  }

  /** Sends an Empty message, an Acknowledgement or a Reset (RFC 7252 4.1). */
  sendEmpty(type: number, messageId: number, remote: DatagramAddress): void {
    const empty = this.#empty;
    empty[0] = 0x40 | (type << 4);
    empty[2] = messageId >>> 8;
    empty[3] = messageId;
    if (type === Type.Reset) this.counters.resetsSent++;
    this.send(empty, 0, 4, remote);
  }

  /** A remote has shown where it is: it has repeated what it was sent there. */
  verify(remote: Remote): void {
    if (remote.verified) return;
    remote.verified = true;
    this.counters.echoVerified++;
  }

  event(name: CoapEvent, remote: CoapRemote | undefined, detail: string): void {
    try {
      this.#onEvent?.(name, remote, detail);
    } catch {
      this.counters.handlerErrors++;
    }
  }

  /** Code of the endpoint's owner threw. */
  handlerFailed(remote: CoapRemote | undefined, error: unknown): void {
    this.counters.handlerErrors++;
    this.event('handler-error', remote, describe(error));
  }
}

/** An error for people: its stack if there is one. */
export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
