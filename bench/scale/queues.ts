/** One million messages that wait for sessions whose clients are away: what they cost, and how fast they are taken. */
import { PacketType, pubackPacket, publishPacket, ScaleClient, subscribePacket } from './client.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from './stage.js';

const MESSAGES = 1_000_000;
const PAYLOAD_BYTES = 200;
const WINDOW = 5000;
const BATCH = 500;
const LAST_ID = 60_000;
const MOST_MEMORY_MIB = 150;
const LEAST_DRAIN = 0.5;
/** Sessions that connect at a time. */
const AT_ONCE = 100;

function topicOf(session: number): string {
  return `queue/${session}`;
}

/** Acknowledges all that a session gets, and counts it. */
class Taker {
  readonly client: ScaleClient;
  #acknowledgements: Buffer[] = [];

  private constructor(client: ScaleClient) {
    this.client = client;
    client.onPacket = (first, buffer, start) => {
      if (first >> 4 !== PacketType.Publish) return;
      if (this.#acknowledgements.length === 0) setImmediate(() => this.#acknowledge());
      this.#acknowledgements.push(pubackPacket(buffer.readUInt16BE(start + 2 + buffer.readUInt16BE(start))));
    };
  }

  static async connect(port: number, session: number): Promise<Taker> {
    return new Taker(await ScaleClient.connect(port, `session-${session}`, false));
  }

  get taken(): number {
    return this.client.received[PacketType.Publish]!;
  }

  #acknowledge(): void {
    this.client.write(Buffer.concat(this.#acknowledgements));
    this.#acknowledgements = [];
  }
}

/** Opens all sessions. */
async function connectAll(port: number, sessions: number): Promise<Taker[]> {
  const takers: Taker[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < sessions) takers.push(await Taker.connect(port, next++));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return takers;
}

/** Publishes to all sessions in turn at QoS 1; resolves when all is acknowledged. */
async function publish(port: number, count: number, sessions: number): Promise<void> {
  const client = await ScaleClient.connect(port, 'publisher');
  const payload = Buffer.alloc(PAYLOAD_BYTES, '.');
  const acknowledged = (): number => client.received[PacketType.Puback]!;
  for (let sent = 0; sent < count; ) {
    const batch: Buffer[] = [];
    for (; batch.length < BATCH && sent < count; sent++) {
      batch.push(publishPacket(topicOf(sent % sessions), payload, 1 + (sent % LAST_ID), false));
    }
    client.write(Buffer.concat(batch));
    await client.until(() => sent - acknowledged() < WINDOW);
  }
  await client.until(() => acknowledged() === count);
  client.end();
}

/** Resolves when the sessions have got so many messages together. */
async function taken(takers: readonly Taker[], count: number): Promise<void> {
  const share = Math.floor(count / takers.length);
  for (const taker of takers) await taker.client.until(() => taker.taken >= share);
}

async function measure(stage: Stage, sessions: number, { factor }: ScaleOptions): Promise<Figure[]> {
  const perSession = Math.floor((MESSAGES * factor) / sessions);
  const count = perSession * sessions;
  await stage.open({ queued_messages: 2 * MESSAGES, queued_bytes: 2 ** 40 });
  let takers = await connectAll(stage.port, sessions);
  for (const [index, { client }] of takers.entries()) client.write(subscribePacket(1, [topicOf(index)], 1));
  for (const { client } of takers) await client.until(() => client.received[PacketType.Suback]! > 0);

  const online = Math.floor(perSession / 4) * sessions;
  const beginOnline = performance.now();
  await Promise.all([publish(stage.port, online, sessions), taken(takers, online)]);
  const onlineRate = (online / (performance.now() - beginOnline)) * 1000;
  for (const { client } of takers) client.end();

  const before = await stage.memory();
  const beginQueueing = performance.now();
  await publish(stage.port, count, sessions);
  const queueRate = (count / (performance.now() - beginQueueing)) * 1000;
  const peak = stage.peak();
  const added = (await stage.memory()) - before;

  const beginDrain = performance.now();
  takers = await connectAll(stage.port, sessions);
  await taken(takers, count);
  const drainRate = (count / (performance.now() - beginDrain)) * 1000;
  for (const { client } of takers) client.end();
  const kind = `${sessions} sessions: `;
  return [
    { name: `${kind}memory added`, value: added / 2 ** 20, unit: 'MiB', limit: { most: MOST_MEMORY_MIB } },
    { name: `${kind}highest memory while queueing`, value: peak - before / 2 ** 20, unit: 'MiB' },
    { name: `${kind}delivered online`, value: onlineRate, unit: 'per second' },
    { name: `${kind}queued`, value: queueRate, unit: 'per second' },
    { name: `${kind}delivered from the queues`, value: drainRate, unit: 'per second' },
    {
      name: `${kind}from the queues over online`,
      value: drainRate / onlineRate,
      unit: 'ratio',
      limit: { least: LEAST_DRAIN },
    },
  ];
}

async function run(stage: Stage, options: ScaleOptions): Promise<Figure[]> {
  const few = await measure(stage, 10, options);
  await stage.close();
  return [...few, ...(await measure(stage, 1000, options))];
}

export const queues: ScaleScenario = {
  name: 'queues-1m',
  title: '1,000,000 messages of 200 bytes for sessions whose clients are away: memory, delivery',
  peers: ['portico', 'mosquitto'],
  run,
};
