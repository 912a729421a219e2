/**
 * Whether the broker reads what a client sends. It does not while an answer of its own is due first, while the client takes
 * no answers, while others have their turn, and while the client is ahead of its rates.
 */
import type { Connection } from './connection.js';
import { Rates, type Throttled } from './throttle.js';

/**
 * Work of the bus that one connection may cause before others have their turn: 10 to 50 ms. More packets wait, however
 * many of them are in the chunk, or in the chunks of one turn.
 */
const MOST_WORK = 50_000;

export class Intake implements Throttled {
  readonly #connection: Connection;
  #reading = true;
  /** Whoever wants nothing more to be taken for now: hooks, turns of others, rates. */
  #holds = 0;
  /** Reading of the bus's work when this connection had its turn. */
  #workBefore = 0;
  /** The turn in which that was. */
  #turn = -1;
  #pausedAt = 0;
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

  /** Bytes have come. */
  take(chunk: Buffer): void {
    const { environment, parser, lastPacketAt } = this.#connection;
    const { turn } = environment.pacer;
    // A busy connection gets many chunks in one turn.
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#workBefore = environment.router.work.done;
    }
    const rates = this.#rates;
    if (rates !== null) {
      rates.refill(lastPacketAt);
      // A chunk is earned before it is looked at: a client that leaves behind it must not get around its rate.
      if (rates.bytes !== null) rates.bytes.tokens -= chunk.length;
      if (rates.exceeded) this.#throttle('limits.bytes_per_second');
    }
    parser.push(chunk);
    this.regulate();
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
    this.#workBefore = environment.router.work.done;
    connection.transportLayer.resume();
    connection.parser.resume();
    if (this.#gone && this.#reading) connection.gone(null);
  }

  /** Whether so much of this client waits to be written that it has to wait, too. */
  waitsForStore(): boolean {
    const connection = this.#connection;
    const { commit, options } = connection.environment;
    const { load } = commit;
    if (connection.pendingAcknowledgements < options.receiveMaximum && connection.pendingBytes < load.share) {
      return false;
    }
    if (connection.closed) return true;
    load.wait(connection);
    // It is told at once that nothing more can be written, so nothing more of it will wait.
    return !(load.ailing && connection.version === 5);
  }

  /** See `Connection.putBack`. */
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
    if (environment.router.work.done - this.#workBefore < MOST_WORK || closed) return;
    this.hold();
    setImmediate(() => this.unhold());
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
    if (this.#throttled) this.#connection.environment.throttle.remove(this);
  }
}
