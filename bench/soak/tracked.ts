/**
 * Publishers and subscribers with kept sessions whose messages are followed one by one, while they are cut off, go away,
 * come back and are taken over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClientShape, newStores, type Qos, SoakClient, type Version } from './client.js';
import type { Counted } from './ledger.js';
import { type Actors, Routine, type Stage } from './stage.js';

const PUBLISHERS = 6;
const SUBSCRIBERS = 6;
const WORKERS = 3;
/** Milliseconds between two messages of one publisher to one topic. */
const PERIOD_MS = 100;
/** Milliseconds between two interruptions among all. */
const CHURN_MS = 500;
/** Messages of one publisher that may wait for their acknowledgement. */
const WINDOW = 200;
const RECONNECT_MS = 100;
const LONGEST_AWAY_MS = 3000;
/** The first subscriber is away for this long out of twice as long, so that a queue builds up. */
const COMMUTER_MS = 10_000;
const HOUR = 3600;
const IDLE_POLL_MS = 10;
const DRAIN_MS = 120_000;
/** Who has not come to rest after so long is named. */
const LATE_MS = 60_000;
const WORK = 'work';

/** A session with the client that serves it at the moment. */
class Member {
  readonly #stage: Stage;
  readonly #shape: ClientShape;
  /** What it subscribes to, by QoS. */
  readonly #filters: readonly (readonly [filter: string, qos: Qos])[];
  #known = false;
  client: SoakClient;
  /** Publishes nothing for a while. */
  resting = false;
  outstanding = 0;
  away = false;

  constructor(stage: Stage, shape: ClientShape, filters: readonly (readonly [string, Qos])[] = []) {
    this.#stage = stage;
    this.#filters = filters;
    const onConnect = (present: boolean): void => {
      if (this.#known && !present) stage.trouble(`the session of ${shape.id} is lost`);
      this.#known = true;
    };
    this.#shape = { ...shape, stores: newStores(), onConnect };
    this.client = new SoakClient(stage, this.#shape);
  }

  get id(): string {
    return this.#shape.id;
  }

  async subscribe(): Promise<void> {
    await this.client.opened();
    for (const [filter, qos] of this.#filters) {
      if (!(await this.client.subscribe([filter], qos))) this.#stage.trouble(`${this.id} cannot subscribe`);
    }
  }

  publishAtOnce(topic: string, payload: string): void {
    void this.client.publish(topic, payload, 0);
  }

  /** Publishes the next message of a stream; resolves at its acknowledgement, however often the connection is cut before. */
  async publish(topic: string, stream: string, qos: Counted): Promise<void> {
    const { ledger, done } = this.#stage;
    const number = ledger.next(stream);
    this.outstanding++;
    const acknowledged = await this.client.publish(topic, String(number), qos);
    this.outstanding--;
    if (acknowledged) return;
    // On a busy machine MQTT.js forgets some that it has not sent, or that nobody has acknowledged, with their connection.
    ledger.giveUp(stream, number);
    done.add('publications that MQTT.js has given up');
  }

  /** What it waits for, for whom it has to be said. */
  get state(): string {
    const connected = this.client.connected ? 'connected' : 'not connected';
    return `${this.id} (${connected}, ${this.outstanding} outstanding, ${this.away ? 'away' : 'there'})`;
  }

  cut(): void {
    if (this.client.connected) this.client.cut();
    this.#stage.done.add('tracked clients cut off');
  }

  /** Leaves in order and comes back. */
  async travel(milliseconds: number): Promise<void> {
    await this.#rest();
    await this.client.end();
    await sleep(milliseconds);
    this.client = new SoakClient(this.#stage, this.#shape);
    await this.#resume();
    this.#stage.done.add('tracked clients that went and came back');
  }

  /** A second client with the same identifier takes the session over. */
  async takeOver(): Promise<void> {
    await this.#rest();
    const former = this.client;
    former.release();
    this.client = new SoakClient(this.#stage, this.#shape);
    await this.#resume();
    former.abandon();
    this.#stage.done.add('tracked clients taken over');
  }

  /** Ends the session with the connection. */
  async leave(): Promise<void> {
    await this.#rest();
    await this.client.end();
    const { id, version, websocket } = this.#shape;
    const last = new SoakClient(this.#stage, { id, version, websocket, clean: true, expiry: 0, reconnect: 0 });
    await last.opened();
    await last.end();
  }

  async #rest(): Promise<void> {
    this.away = true;
    this.resting = true;
    // What is not acknowledged belongs to the client of MQTT.js that has published it.
    while (this.outstanding > 0 || !this.client.connected) await sleep(IDLE_POLL_MS);
  }

  async #resume(): Promise<void> {
    while (!(await this.client.opened())) await sleep(IDLE_POLL_MS);
    this.resting = false;
    this.away = false;
  }
}

function versionOf(index: number): Version {
  return index % 2 === 0 ? 5 : 4;
}

export class Tracked implements Actors {
  readonly #stage: Stage;
  readonly #publishers: Member[] = [];
  readonly #subscribers: Member[] = [];
  readonly #workers: Member[] = [];
  #routines: Routine[] = [];
  #flow: Routine[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async start(): Promise<void> {
    const { ledger } = this.#stage;
    for (let i = 0; i < SUBSCRIBERS; i++) this.#subscribers.push(this.#subscriber(i));
    for (let i = 0; i < WORKERS; i++) this.#workers.push(this.#worker(i));
    for (const one of [...this.#subscribers, ...this.#workers]) await one.subscribe();
    for (let i = 0; i < PUBLISHERS; i++) {
      for (const qos of [1, 2] as const) ledger.stream(`${i}/${qos}`, qos);
      this.#publishers.push(new Member(this.#stage, this.#shape(`publisher-${i}`, i)));
    }
    ledger.shared(WORK, 1);
    for (const one of this.#publishers) await one.client.opened();
    const failed = (error: Error): void => this.#stage.trouble(`tracked: ${error.stack}`);
    this.#flow = this.#publishers.map((one, i) => new Routine(PERIOD_MS, () => this.#publish(one, i), failed));
    this.#routines = [
      new Routine(CHURN_MS, () => this.#disturb(), failed),
      new Routine(2 * COMMUTER_MS, () => this.#commute(), failed),
    ];
  }

  async stop(): Promise<void> {
    const all = [...this.#publishers, ...this.#subscribers, ...this.#workers];
    const timer = setTimeout(() => {
      const late = all.filter(({ away, outstanding }) => away || outstanding > 0);
      this.#stage.trouble(`these do not come to rest: ${late.map(({ state }) => state).join(', ')}`);
    }, LATE_MS);
    await Promise.all(this.#routines.map((one) => one.stop()));
    await Promise.all(this.#flow.map((one) => one.stop()));
    const deadline = performance.now() + DRAIN_MS;
    while (this.#stage.ledger.owed > 0 && performance.now() < deadline) await sleep(IDLE_POLL_MS);
    for (const sentence of this.#stage.ledger.missing()) this.#stage.trouble(sentence);
    clearTimeout(timer);
  }

  async leave(): Promise<void> {
    await Promise.all([...this.#publishers, ...this.#subscribers, ...this.#workers].map((one) => one.leave()));
  }

  #shape(id: string, index: number): ClientShape {
    const websocket = index % 3 === 2;
    return { id, version: versionOf(index), clean: false, websocket, expiry: HOUR, reconnect: RECONNECT_MS };
  }

  #subscriber(index: number): Member {
    const { ledger, done } = this.#stage;
    const id = `subscriber-${index}`;
    ledger.subscriber(id);
    const onMessage = (topic: string, payload: Buffer): void => {
      const [, , publisher, qos] = topic.split('/');
      if (qos === '0') done.add('QoS 0 messages received');
      else ledger.arrived(id, `${publisher}/${qos}`, Number(payload.toString()));
    };
    const filters = [0, 1, 2].map((qos) => [`soak/flow/+/${qos}`, qos as Qos] as const);
    return new Member(this.#stage, { ...this.#shape(id, index), onMessage }, filters);
  }

  #worker(index: number): Member {
    const onMessage = (_topic: string, payload: Buffer): void => {
      this.#stage.ledger.arrivedShared(WORK, Number(payload.toString()));
    };
    const shape = { ...this.#shape(`worker-${index}`, index), onMessage };
    return new Member(this.#stage, shape, [['$share/workers/soak/item/#', 1]]);
  }

  async #publish(one: Member, index: number): Promise<void> {
    if (one.resting || !one.client.connected || one.outstanding > WINDOW) return;
    one.publishAtOnce(`soak/flow/${index}/0`, 'x');
    const all = ([1, 2] as const).map((qos) => one.publish(`soak/flow/${index}/${qos}`, `${index}/${qos}`, qos));
    if (index === 0) all.push(one.publish('soak/item/next', WORK, 1));
    await Promise.all(all);
  }

  async #disturb(): Promise<void> {
    const { random, target } = this.#stage;
    const one = random.of([...this.#publishers, ...this.#subscribers.slice(1), ...this.#workers]);
    if (one.away) return;
    const kind = random.below(3);
    if (kind === 0) one.cut();
    // The broker says how long a session of MQTT 3.1.1 outlives its connection.
    else if (kind === 1) await one.travel(random.below(Math.min(LONGEST_AWAY_MS, 250 * target.expiry)));
    else await one.takeOver();
  }

  async #commute(): Promise<void> {
    const commuter = this.#subscribers[0]!;
    if (!commuter.away) await commuter.travel(COMMUTER_MS);
  }
}
