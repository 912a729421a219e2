/**
 * Nothing acknowledged is lost: real clients flood the broker with QoS 1 and QoS 2, the process is killed with SIGKILL at
 * random moments and started again on the same directory. CRASH_SEED repeats a run, CRASH_ROUNDS lengthens it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { Portico } from '../support/portico.js';

const seed = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env.CRASH_ROUNDS ?? 20);
/** Publications of one client that are not acknowledged yet. */
const WINDOW = 60;

/** Mulberry32: small, seeded, good enough to choose moments. */
function random(state: number): () => number {
  let a = state;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function connect(port: number, clientId: string, options: IClientOptions = {}): MqttClient {
  const client = mqtt.connect({
    host: '127.0.0.1',
    port,
    clientId,
    clean: false,
    reconnectPeriod: 10,
    connectTimeout: 5000,
    ...options,
  });
  // A killed broker resets connections; the client reconnects by itself.
  client.on('error', () => {});
  return client;
}

function nextMessage(client: MqttClient): Promise<[string, Buffer]> {
  return new Promise((resolve) => client.once('message', (topic, payload) => resolve([topic, payload])));
}

/** Publishes numbered messages without end, a window of them at a time. */
class Flood {
  readonly client: MqttClient;
  readonly topic: string;
  readonly qos: 1 | 2;
  readonly acknowledged = new Set<number>();
  #next = 0;
  #outstanding = 0;
  #stopped = false;
  #changed: (() => void) | null = null;

  constructor(client: MqttClient, qos: 1 | 2) {
    this.client = client;
    this.qos = qos;
    this.topic = `flood/${qos}`;
    client.on('connect', () => this.#fill());
  }

  #fill(): void {
    while (!this.#stopped && this.#outstanding < WINDOW) {
      const number = this.#next++;
      this.#outstanding++;
      this.client.publish(this.topic, String(number), { qos: this.qos }, (error) => {
        this.#outstanding--;
        // MQTT.js gives up on a QoS 2 message between PUBREC and PUBCOMP when its connection is lost: it may arrive, and
        // it was not acknowledged. The flood goes on with the next connection.
        if (!error) this.acknowledged.add(number);
        this.#changed?.();
        if (!error) this.#fill();
      });
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** Resolves when `more` further messages have been acknowledged. */
  async progress(more: number): Promise<void> {
    const goal = this.acknowledged.size + more;
    await this.#until(() => this.acknowledged.size >= goal);
  }

  /** Stops publishing; resolves with the number of messages, all of them acknowledged by now. */
  async finish(): Promise<number> {
    this.#stopped = true;
    await this.#until(() => this.#outstanding === 0);
    await this.client.publishAsync(this.topic, 'end', { qos: this.qos });
    return this.#next;
  }
}

/** Counts how often each message arrived, until the end marks of both floods. */
class Collector {
  readonly counts = { 1: new Map<number, number>(), 2: new Map<number, number>() };
  readonly #ends = new Set<string>();
  readonly done: Promise<void>;

  constructor(client: MqttClient) {
    this.done = new Promise((resolve) => {
      client.on('message', (topic, payload) => {
        if (payload.toString() === 'end') {
          this.#ends.add(topic);
          if (this.#ends.size === 2) resolve();
          return;
        }
        const counts = topic === 'flood/1' ? this.counts[1] : this.counts[2];
        const number = Number(payload.toString());
        counts.set(number, (counts.get(number) ?? 0) + 1);
      });
    });
  }

  check(who: string, qos: 1 | 2, published: number, acknowledged: ReadonlySet<number>): void {
    const counts = this.counts[qos];
    const missing = [...acknowledged].filter((number) => !counts.has(number));
    assert.deepEqual(missing, [], `${who}: QoS ${qos} messages that were acknowledged and are missing`);
    assert.ok(
      [...counts.keys()].every((number) => number < published),
      `${who}: a message that nobody published`,
    );
    if (qos === 1) return;
    const repeated = [...counts].filter(([, count]) => count > 1);
    assert.deepEqual(repeated, [], `${who}: QoS 2 messages that arrived more than once`);
  }
}

test(`kill -9 in a flood of QoS 1 and 2, ${rounds} rounds: nothing acknowledged is lost, QoS 2 arrives once`, {
  timeout: 600_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${seed}`);
  const choose = random(seed);
  const portico = await Portico.start({
    limits: { queued_messages: 10_000_000 },
    log: { level: 'warn', format: 'json' },
    sys: { interval: 0 },
  });
  const { mqtt: port } = portico.ports;
  const clients: MqttClient[] = [];
  try {
    const offline = connect(port, 'offline');
    await offline.subscribeAsync('flood/#', { qos: 2 });
    await offline.endAsync();

    const online = connect(port, 'online');
    clients.push(online);
    const live = new Collector(online);
    await online.subscribeAsync('flood/#', { qos: 2 });

    const floods = ([1, 2] as const).map((qos) => {
      const client = connect(port, `publisher-${qos}`);
      clients.push(client);
      return new Flood(client, qos);
    });
    for (let round = 0; round < rounds; round++) {
      await Promise.race(floods.map((flood) => flood.progress(20 + Math.floor(choose() * 600))));
      // Not right on an acknowledgement: somewhere in the turns after it.
      for (let turns = Math.floor(choose() * 40); turns > 0; turns--) await new Promise(setImmediate);
      await portico.kill();
      await portico.restart();
    }
    const published = await Promise.all(floods.map((flood) => flood.finish()));
    const late = connect(port, 'offline');
    clients.push(late);
    const queued = new Collector(late);
    await Promise.all([live.done, queued.done]);
    for (const [index, flood] of floods.entries()) {
      live.check('online subscriber', flood.qos, published[index], flood.acknowledged);
      queued.check('offline subscriber', flood.qos, published[index], flood.acknowledged);
      t.diagnostic(`QoS ${flood.qos}: ${flood.acknowledged.size} acknowledged of ${published[index]}`);
    }
  } finally {
    for (const client of clients) await client.endAsync(true);
    await portico.dispose();
  }
});

test('retained messages, subscriptions and wills that were acknowledged survive kill -9', async () => {
  const portico = await Portico.start({ sys: { interval: 0 } });
  const { mqtt: port } = portico.ports;
  try {
    const watcher = connect(port, 'watcher', { reconnectPeriod: 0 });
    await watcher.subscribeAsync('will/#', { qos: 1 });
    const client = connect(port, 'mortal', {
      reconnectPeriod: 0,
      will: { topic: 'will/mortal', payload: Buffer.from('gone'), qos: 1, retain: true },
    });
    await client.publishAsync('kept', 'value', { qos: 1, retain: true });
    await client.publishAsync('cleared', 'value', { qos: 1, retain: true });
    await client.publishAsync('cleared', '', { qos: 1, retain: true });
    await portico.kill();
    await portico.restart();
    const again = connect(port, 'watcher', { reconnectPeriod: 0 });
    const [topic, payload] = await nextMessage(again);
    assert.deepEqual(
      [topic, payload.toString()],
      ['will/mortal', 'gone'],
      'the will of a client that the crash cut off',
    );
    const reader = connect(port, 'reader', { reconnectPeriod: 0, clean: true });
    const seen = new Map<string, string>();
    reader.on('message', (name, value) => seen.set(name, value.toString()));
    await reader.subscribeAsync('#', { qos: 0 });
    await reader.publishAsync('last', 'x', { qos: 1 });
    while (!seen.has('last')) await nextMessage(reader);
    assert.equal(seen.get('kept'), 'value');
    assert.equal(seen.get('will/mortal'), 'gone');
    assert.equal(seen.has('cleared'), false);
    await Promise.all([watcher, client, again, reader].map((each) => each.endAsync(true)));
  } finally {
    await portico.dispose();
  }
});
