/** Real clients that flood the broker with numbered messages, and count what arrives. */
import assert from 'node:assert/strict';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';

/** Publications of one client that are not acknowledged yet. */
const WINDOW = 60;

/** A client that connects again and again, as long as it is not ended. */
export function connect(port: number, clientId: string, options: IClientOptions = {}): MqttClient {
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

export function nextMessage(client: MqttClient): Promise<[string, Buffer]> {
  return new Promise((resolve) => client.once('message', (topic, payload) => resolve([topic, payload])));
}

/** Publishes numbered messages without end, a window of them at a time. */
export class Flood {
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

/** Counts how often each message arrived, until end marks have come by two topics. */
export class Collector {
  readonly counts = { 1: new Map<number, number>(), 2: new Map<number, number>() };
  readonly #ends = new Set<string>();
  readonly done: Promise<void>;

  /** @param marks the topics of the end marks */
  constructor(client: MqttClient, marks: readonly string[] = ['flood/1', 'flood/2']) {
    this.done = new Promise((resolve) => {
      client.on('message', (topic, payload) => {
        if (payload.toString() === 'end') {
          if (marks.includes(topic)) this.#ends.add(topic);
          if (this.#ends.size === marks.length) resolve();
          return;
        }
        const counts = topic === 'flood/1' ? this.counts[1] : this.counts[2];
        const number = Number(payload.toString());
        counts.set(number, (counts.get(number) ?? 0) + 1);
      });
    });
  }

  /** Everything that was acknowledged has come, QoS 2 once. */
  check(who: string, qos: 1 | 2, published: number, acknowledged: ReadonlySet<number>): void {
    check(who, [this], qos, published, acknowledged);
  }
}

/** Everything that was acknowledged has come to one or the other of these, QoS 2 once. */
export function check(
  who: string,
  collectors: readonly Collector[],
  qos: 1 | 2,
  published: number,
  acknowledged: ReadonlySet<number>,
): void {
  const counts = new Map<number, number>();
  for (const collector of collectors) {
    for (const [number, count] of collector.counts[qos]) counts.set(number, (counts.get(number) ?? 0) + count);
  }
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
