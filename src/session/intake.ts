/**
 * Whether the broker reads what a client sends. It does not while an answer of its own is due first, while the client takes
 * no answers, while others have their turn, and while the client is ahead of its rates.
 */
import type { Sending } from './arriving.js';
import type { Connection } from './connection.js';
import type { Sharing } from './shares.js';
import { Rates, type Throttled } from './throttle.js';

/** Bytes that are a unit of work to read, as a power of two: the smallest packets are two bytes long. */
const BYTES_OF_WORK = 5;

export class Intake implements Throttled, Sharing, Sending {
  readonly #connection: Connection;
  inLine = false;
  #reading = true;
  /** Whoever wants nothing more to be taken for now: hooks, turns of others, rates. */
  #holds = 0;
  /** The turn of the event loop in which this client last sent, and the work that it has caused in it. */
  #turn = -1;
  #caused = 0;
  /** Reading of the bus's work when what is parsed now began. */
  #workBefore = 0;
  /** It has had its share of a turn. */
  #resting = false;
  #pausedAt = 0;
  /** Bytes that wait for the rest of their packet, or for their turn. */
  #unfinished = 0;
  /** Null if the client may send as fast as it can, and before CONNACK. */
  #rates: Rates | null = null;
  #throttled = false;
  /** A PUBLISH has been put back until the store has room. */
  #putBack = false;
  /** The client has closed the connection behind what is still held. */
  #gone = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Whether the broker takes what this client sends. */
  get reading(): boolean {
    return this.#reading;
  }

  /** Whether a PUBLISH waits until the store has room, and will come again. */
  get hasPutBack(): boolean {
    return this.#putBack;
  }

  /** Bytes have come. */
  take(chunk: Buffer): void {
    const { environment, parser, lastPacketAt } = this.#connection;
    const { work } = environment.router;
    this.#begin();
    work.done += chunk.length >> BYTES_OF_WORK;
    const rates = this.#rates;
    if (rates !== null) {
      rates.refill(lastPacketAt);
      // A chunk is earned before it is looked at: a client that leaves behind it must not get around its rate.
      if (rates.bytes !== null) rates.bytes.tokens -= chunk.length;
      if (rates.exceeded) this.#throttle('limits.bytes_per_second');
    }
    parser.push(chunk);
    this.#weigh();
    this.rest();
    this.#caused += work.done - this.#workBefore;
    this.regulate();
  }

  /** A packet that has not arrived in full takes memory. */
  #weigh(): void {
    const { parser, environment } = this.#connection;
    const { buffered } = parser;
    if (buffered === this.#unfinished) return;
    this.#unfinished = buffered;
    environment.arriving.set(this, buffered);
  }

  giveUp(): void {
    this.#connection.endForMemory('packets that it does not finish');
  }

  /** What this client sends is about to be parsed. */
  #begin(): void {
    const { router, shares } = this.#connection.environment;
    const turn = shares.begin();
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#caused = 0;
    }
    this.#workBefore = router.work.done;
  }

  /** A PUBLISH has been carried out. */
  published(): void {
    const rates = this.#rates;
    // What has been put back comes again.
    if (rates !== null && !this.#putBack && rates.messages !== null && --rates.messages.tokens < 0) {
      this.#throttle('limits.messages_per_second');
    }
    this.rest();
  }

  /** The client is accepted: from now on its rates count. */
  limit(): void {
    const { environment, parser } = this.#connection;
    this.#rates = Rates.of(environment.options, environment.clock.now());
    if (this.#rates?.bytes) this.#rates.bytes.tokens -= parser.buffered;
  }

  /** Does not read on until the client has earned what it has sent. */
  #throttle(option: 'limits.messages_per_second' | 'limits.bytes_per_second'): void {
    const { environment, closed } = this.#connection;
    if (this.#throttled || closed) return;
    this.#throttled = true;
    const { counters, journal, clock } = environment;
    if (option === 'limits.bytes_per_second') counters.throttledBytes++;
    else counters.throttledMessages++;
    if (this.#rates?.isNews(clock.now())) journal.limit(this.#connection, option, 'the client is read more slowly');
    this.hold();
    environment.throttle.add(this);
  }

  readOn(now: number): boolean {
    this.#rates?.refill(now);
    if (this.#rates?.exceeded) return false;
    this.#throttled = false;
    this.unhold();
    return true;
  }

  /**
   * Reads on only while the client takes its own acknowledgements and has not more of them pending than it may. So a
   * client that floods without reading holds up itself alone.
   */
  regulate(): void {
    const connection = this.#connection;
    const { environment, closed } = connection;
    const mayRead =
      connection.state !== 'connecting' &&
      this.#holds === 0 &&
      !this.#putBack &&
      !this.waitsForStore() &&
      (this.#gone || !(connection.congested && connection.connected));
    if (mayRead === this.#reading || closed) return;
    this.#reading = mayRead;
    const now = environment.clock.now();
    if (!mayRead) {
      this.#pausedAt = now;
      connection.transportLayer.pause();
      return;
    }
    // While the broker does not read, it cannot know whether the client is silent.
    connection.lastPacketAt = now;
    if (connection.authentication !== null) connection.authentication.begunAt += now - this.#pausedAt;
    this.#begin();
    connection.transportLayer.resume();
    connection.parser.resume();
    this.#weigh();
    this.#caused += environment.router.work.done - this.#workBefore;
    if (this.#gone && this.#reading) connection.gone(null);
  }

  /** Whether so much of this client waits to be written that it has to wait, too. */
  waitsForStore(): boolean {
    const connection = this.#connection;
    const { load } = connection.environment.commit;
    if (
      connection.pendingAcknowledgements < connection.options.receiveMaximum &&
      connection.pendingBytes < load.share
    ) {
      return false;
    }
    if (connection.closed) return true;
    load.wait(connection);
    // It is told at once that nothing more can be written, so nothing more of it will wait.
    return !(load.ailing && connection.version === 5);
  }

  /** Keeps the PUBLISH that is being handled, and what comes behind it, until the store has room. */
  putBack(): void {
    this.#putBack = true;
    this.#connection.parser.putBack();
    this.#connection.environment.commit.load.wait(this.#connection);
    this.regulate();
  }

  storeChanged(): void {
    this.#putBack = false;
    this.regulate();
  }

  /** Takes nothing more of the chunk either: it may cause many times its own size. */
  stopParsing(): void {
    this.#connection.parser.pause();
    this.regulate();
  }

  /** Holds back further packets until `unhold`. */
  hold(): void {
    this.#holds++;
    this.#connection.parser.pause();
    this.regulate();
  }

  unhold(): void {
    this.#holds--;
    this.regulate();
  }

  /** Lets others have their turn if this client's packets have caused much work. */
  rest(): void {
    const { environment, closed } = this.#connection;
    const { shares, router } = environment;
    if (this.#resting || !shares.isUsedUp(this.#caused + router.work.done - this.#workBefore) || closed) return;
    this.#resting = true;
    this.hold();
    shares.wait(this);
  }

  goOn(): void {
    this.#resting = false;
    this.unhold();
  }

  /**
   * The client has closed the connection. Returns whether what came before is still to be carried out: a client that sends
   * and leaves must lose nothing because the broker takes its time. `Connection.gone` is called behind it.
   */
  finish(): boolean {
    const { parser, connected } = this.#connection;
    if (!connected || !parser.paused || parser.buffered === 0) return false;
    this.#gone = true;
    // Whether it takes answers is no question any more.
    this.regulate();
    return true;
  }

  /** Whether a client has gone and something, not its rates, has held back what it sent for so long. */
  isStuck(now: number, milliseconds: number): boolean {
    return this.#gone && !this.#throttled && !this.#reading && now - this.#pausedAt > milliseconds;
  }

  /** The connection has ended. */
  stop(): void {
    this.#connection.environment.arriving.set(this, 0);
    if (this.#throttled) this.#connection.environment.throttle.remove(this);
  }
}
