/**
 * Clients that come and go at a steady rate: every version of MQTT, over TCP and WebSocket, with and without a session
 * that is kept, with wills, retained messages and many filters, ending in every way.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClientShape, type Qos, SoakClient, type Version } from './client.js';
import { type Actors, Routine, type Stage } from './stage.js';

/** Milliseconds between two arrivals. */
const PERIOD_MS = 100;
/** Client identifiers, so sessions; one that is drawn while its client is there takes the session over. */
const IDENTIFIERS = 100;
/** Topics, so retained messages. */
const TOPICS = 300;
const GROUPS = 5;
const LONGEST_STAY_MS = 5000;
const MOST_MESSAGES = 10;
const LARGEST_PAYLOAD = 4096;
const CLEAR_AT_ONCE = 50;

export function topicOf(number: number): string {
  return `soak/visit/${number % 10}/${number}`;
}

export class Visitors implements Actors {
  readonly #stage: Stage;
  #routine: Routine | null = null;
  #stopping = false;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async start(): Promise<void> {
    this.#stopping = false;
    this.#routine = new Routine(
      PERIOD_MS,
      () => this.#visit(),
      (error) => this.#stage.trouble(`visitor: ${error.stack}`),
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#routine?.stop();
  }

  /** Ends all sessions and clears all retained messages. */
  async leave(): Promise<void> {
    for (let i = 0; i < IDENTIFIERS; i++) {
      const one = new SoakClient(this.#stage, { ...this.#shape(i), clean: true, expiry: 0, version: 4 });
      await one.opened();
      await one.end();
    }
    const one = new SoakClient(this.#stage, { ...this.#shape(0), id: 'sweeper', clean: true, version: 4 });
    await one.opened();
    for (let from = 0; from < TOPICS; from += CLEAR_AT_ONCE) {
      const some = Array.from({ length: CLEAR_AT_ONCE }, (_, i) => one.publish(topicOf(from + i), '', 1, true));
      await Promise.all(some);
    }
    await one.end();
  }

  #shape(number: number): ClientShape {
    const { random, target } = this.#stage;
    const topic = topicOf(random.below(TOPICS));
    const will = { topic, payload: 'gone', qos: random.below(3) as Qos, retain: random.one(4) };
    return {
      id: `visitor-${number}`,
      version: random.of<Version>([3, 4, 4, 5, 5]),
      clean: random.one(2),
      websocket: random.one(4),
      expiry: random.below(target.expiry + 1),
      reconnect: 0,
      onMessage: () => this.#stage.done.add('messages to visitors'),
      ...(random.one(3) ? { will } : {}),
    };
  }

  #filter(): string {
    const { random } = this.#stage;
    const kind = random.below(8);
    if (kind === 0) return `soak/visit/${random.below(10)}/#`;
    if (kind === 1) return `soak/visit/+/${random.below(TOPICS)}`;
    if (kind === 2) return `$share/group-${random.below(GROUPS)}/soak/visit/${random.below(10)}/+`;
    if (kind === 3) return '$SYS/broker/uptime';
    return topicOf(random.below(TOPICS));
  }

  async #visit(): Promise<void> {
    const { random, done } = this.#stage;
    const one = new SoakClient(this.#stage, this.#shape(random.below(IDENTIFIERS)));
    const leaving = performance.now() + random.below(LONGEST_STAY_MS);
    if (await one.opened()) await this.#act(one);
    while (performance.now() < leaving && one.connected && !this.#stopping) await sleep(50);
    const ending = random.below(3);
    if (!one.connected) one.abandon();
    else if (ending === 0) {
      one.cut();
      one.abandon();
      done.add('visitors cut off');
    } else await one.end();
  }

  async #act(one: SoakClient): Promise<void> {
    const { random } = this.#stage;
    const filters = Array.from({ length: random.below(4) }, () => this.#filter());
    if (filters.length > 0) await Promise.race([one.subscribe(filters, random.below(3) as Qos), one.closed()]);
    const all: Promise<boolean>[] = [];
    for (let left = random.below(MOST_MESSAGES); left > 0 && one.connected; left--) {
      const size = random.one(4) ? random.below(LARGEST_PAYLOAD) : random.below(64);
      // An empty payload clears what was retained.
      const payload = random.one(5) ? '' : Buffer.alloc(size, 'v');
      all.push(one.publish(topicOf(random.below(TOPICS)), payload, random.below(3) as Qos, random.one(3)));
    }
    // Now and then somebody does not wait for its acknowledgements.
    if (random.one(5)) return;
    // MQTT.js does not tell who waits for an acknowledgement that the connection has gone.
    await Promise.race([Promise.all(all), one.closed()]);
    if (filters.length > 0 && random.one(2) && one.connected) {
      await Promise.race([one.unsubscribe(filters.slice(0, 1)), one.closed()]);
    }
  }
}
