/** One million retained messages: what they cost, and whether they are in anybody's way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PacketType, publishPacket, ScaleClient, subscribePacket } from './client.js';
import { Flow } from './flow.js';
import { type Figure, percentile, type ScaleOptions, type ScaleScenario, type Stage } from './stage.js';
import { type Turn, takeTurns } from './turns.js';

const MESSAGES = 1_000_000;
const PAYLOAD_BYTES = 20;
const QUANTITIES = ['temperature', 'humidity', 'pressure', 'battery', 'state'];
const WINDOW = 5000;
const BATCH = 500;
const LAST_ID = 60_000;
const LOOKUPS = 2000;
/** Rounds of look-ups before those that are judged, beyond the first. */
const WARM_UP = 3;
/** Bytes beyond topic and payload. */
const MOST_OVERHEAD = 600;
/** Below this part of the full size, what the process takes anyway is divided by too few. */
const LEAST_JUDGED = 0.5;
const MOST_LOOKUP_MS = 1;
const MOST_SLOWDOWN = 1.5;
const LEAST_UPDATE_RATE = 0.7;
const UPDATES = 50_000;
/** Messages that are updated. */
const FEW = 10_000;
/** Quiet and busy intervals for each second of a measurement. */
const ROUNDS = 5;
/** Streams of everything before those that are judged: in the first ones of a process its code is compiled, and its heap grows. */
const FIRST_STREAMS = 4;

/** Twenty sites of as many devices as it takes, five quantities each. */
function topicOf(index: number): string {
  const device = Math.floor(index / QUANTITIES.length);
  return `site/${device % 20}/device/${Math.floor(device / 20)}/${QUANTITIES[index % QUANTITIES.length]}`;
}

function payloadOf(index: number): Buffer {
  return Buffer.from(String(index).padEnd(PAYLOAD_BYTES, '.'));
}

/** Publishes retained messages at QoS 1; returns how many a second were acknowledged. */
async function retain(client: ScaleClient, indexes: Iterable<number>): Promise<number> {
  const begin = performance.now();
  const before = client.received[PacketType.Puback]!;
  const acknowledged = (): number => client.received[PacketType.Puback]! - before;
  let sent = 0;
  let batch: Buffer[] = [];
  const send = async (): Promise<void> => {
    client.write(Buffer.concat(batch));
    batch = [];
    await client.until(() => sent - acknowledged() < WINDOW);
  };
  for (const index of indexes) {
    batch.push(publishPacket(topicOf(index), payloadOf(index), 1 + (sent % LAST_ID), true));
    sent++;
    if (batch.length === BATCH) await send();
  }
  if (batch.length > 0) await send();
  await client.until(() => acknowledged() === sent);
  return (sent / (performance.now() - begin)) * 1000;
}

function* range(start: number, end: number): Generator<number> {
  for (let index = start; index < end; index++) yield index;
}

/** Numbers below `count` that lie far from each other. */
function* scattered(many: number, count: number): Generator<number> {
  for (let i = 0; i < many; i++) yield (i * 7919 * 13) % count;
}

/** Milliseconds from SUBSCRIBE to its retained message and SUBACK, one at a time. */
async function lookups(port: number, count: number): Promise<number[]> {
  const client = await ScaleClient.connect(port, 'lookup');
  const took: number[] = [];
  const { received } = client;
  for (const index of scattered(LOOKUPS, count)) {
    const packet = subscribePacket(1 + took.length, [topicOf(index)], 0);
    const begin = performance.now();
    client.write(packet);
    await client.until(() => received[PacketType.Suback]! > took.length && received[PacketType.Publish]! > took.length);
    took.push(performance.now() - begin);
  }
  client.end();
  return took;
}

/** Reads everything once; returns the seconds that it took. */
async function stream(port: number, count: number): Promise<number> {
  const client = await ScaleClient.connect(port, 'everything');
  const begin = performance.now();
  client.write(subscribePacket(1, ['site/#'], 0));
  await client.until(() => client.received[PacketType.Suback]! > 0);
  let bytes = 0;
  for (let index = 0; index < count; index++) bytes += 4 + Buffer.byteLength(topicOf(index)) + PAYLOAD_BYTES;
  await client.bytes(bytes);
  const seconds = (performance.now() - begin) / 1000;
  client.end();
  return seconds;
}

/**
 * p99 of the flow beside streams of everything, over its p99 alone. Quiet and busy intervals of a second take turns: how
 * fast the machine is changes from one second to the next. The median of the intervals of a kind counts, since a machine that
 * is away for some milliseconds is all that the hundredth of an interval tells of.
 */
async function disturbance(stage: Stage, count: number, seconds: number): Promise<Figure[]> {
  const flow = await Flow.open(stage.port);
  flow.start();
  for (let n = 0; n < FIRST_STREAMS; n++) await stream(stage.port, count);
  await sleep(1000);
  const alone: number[] = [];
  const beside: number[] = [];
  const streams: number[] = [];
  let longest = 0;
  for (let round = 0; round < ROUNDS * seconds; round++) {
    await flow.take();
    await sleep(1000);
    alone.push((await flow.take()).p99);
    const end = performance.now() + 1000;
    do streams.push(await stream(stage.port, count));
    while (performance.now() < end);
    const { p99, worst } = await flow.take();
    beside.push(p99);
    longest = Math.max(longest, worst);
    await sleep(500);
  }
  await flow.end();
  const [quiet, busy] = [percentile(alone, 0.5), percentile(beside, 0.5)];
  return [
    { name: 'all to one subscriber of site/#', value: percentile(streams, 0.5), unit: 's' },
    { name: 'p99 of other traffic, alone', value: quiet, unit: 'ms' },
    { name: 'p99 of other traffic, meanwhile', value: busy, unit: 'ms' },
    { name: 'longest of other traffic, meanwhile', value: longest, unit: 'ms' },
    { name: 'p99 meanwhile over alone', value: busy / quiet, unit: 'ratio', limit: { most: MOST_SLOWDOWN } },
  ];
}

function updatesOf({ factor }: ScaleOptions): number {
  return UPDATES * Math.min(1, factor * 4);
}

/** How fast `few` of the messages are replaced, beside a broker that has no others. */
async function compare(stage: Stage, client: ScaleClient, few: number, options: ScaleOptions): Promise<Figure[]> {
  const small = stage.another();
  try {
    await small.open({ retained_messages: 2 * MESSAGES });
    const alone = await ScaleClient.connect(small.port, 'loader');
    await retain(alone, range(0, few));
    const turn: Turn = {
      name: 'updates of 10,000',
      ratio: 'many over few, updates of 10,000',
      least: LEAST_UPDATE_RATE,
      async rate(of, which) {
        const value = await retain(which === 'few' ? alone : client, scattered(updatesOf(options), few));
        // What the store goes on with must not be the other one's burden.
        await of.idle();
        return value;
      },
    };
    const figures = await takeTurns(small, stage, [turn], options);
    alone.end();
    return figures;
  } finally {
    await small.close();
  }
}

async function run(stage: Stage, options: ScaleOptions): Promise<Figure[]> {
  const { factor, seconds } = options;
  const count = Math.round(MESSAGES * factor);
  const judged = factor >= LEAST_JUDGED ? { limit: { most: MOST_OVERHEAD } } : {};
  const content = PAYLOAD_BYTES + Buffer.byteLength(topicOf(count - 1));
  await stage.open({ retained_messages: 2 * MESSAGES });
  const empty = await stage.memory();
  const overhead = (resident: number): number => (resident - empty) / count - content;
  const client = await ScaleClient.connect(stage.port, 'loader');
  const rate = await retain(client, range(0, count));
  const loaded = await stage.memory();
  await stage.idle();
  const compared = await compare(stage, client, Math.min(count, FEW), options);
  const wide = await retain(client, scattered(updatesOf(options), count));
  client.end();
  await stage.idle();
  const peak = stage.peak();
  const first = await lookups(stage.port, count);
  // What runs first is not compiled yet, here and there: that is a matter of seconds in the life of a broker.
  for (let round = 0; round < WARM_UP; round++) await lookups(stage.port, count);
  const took = await lookups(stage.port, count);
  const disturbed = await disturbance(stage, count, seconds);
  await stage.stop();
  const startUp = await stage.start();
  const restarted = await stage.memory();
  return [
    { name: 'overhead of a message', value: overhead(loaded), unit: 'bytes', ...judged },
    { name: 'overhead after a restart', value: overhead(restarted), unit: 'bytes', ...judged },
    { name: 'resident memory, loaded', value: loaded / 2 ** 20, unit: 'MiB' },
    { name: 'resident memory, highest while loading', value: peak, unit: 'MiB' },
    { name: 'new messages', value: rate, unit: 'per second' },
    ...compared,
    { name: 'updates of all', value: wide, unit: 'per second' },
    { name: 'the first 2,000 to one topic, p99', value: percentile(first, 0.99), unit: 'ms' },
    {
      name: 'subscription to one topic, p50',
      value: percentile(took, 0.5),
      unit: 'ms',
      limit: { most: MOST_LOOKUP_MS },
    },
    {
      name: 'subscription to one topic, p99',
      value: percentile(took, 0.99),
      unit: 'ms',
      limit: { most: MOST_LOOKUP_MS },
    },
    ...disturbed,
    { name: 'start until CONNACK', value: startUp, unit: 's' },
  ];
}

export const retained: ScaleScenario = {
  name: 'retained-1m',
  title: '1,000,000 retained messages: memory, subscriptions, other traffic, start',
  peers: ['portico', 'mosquitto'],
  run,
};
