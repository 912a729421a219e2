/** One client that sends as fast as it can: what the broker and the others feel of it. */
import { runLoad } from '../load.js';
import { PacketType, pubackPacket, publishPacket, ScaleClient, subscribePacket } from '../scale/client.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from '../scale/stage.js';
import { Witness } from './witness.js';

/** Subscribers of the flood; some of them are slow. */
const SUBSCRIBERS = 10;
const SLOW = 3;
/** Milliseconds that a slow subscriber reads, and that it does not. */
const READS_MS = 50;
const RESTS_MS = 500;
const LARGE_BYTES = 1_000_000;
/** The delay of the event loop is known for intervals of two seconds, and the first one is left out. */
const LEAST_SECONDS = 6;
const WINDOW = 2000;
const BATCH = 100;
const LAST_ID = 60_000;
const RETAINED_TOPICS = 100_000;
const RETAINED_BYTES = 100;

/** A packet of type UNSUBSCRIBE for one filter of less than 100 bytes. */
function unsubscribePacket(id: number, filter: string): Buffer {
  const bytes = Buffer.from(filter);
  return Buffer.concat([Buffer.from([0xa2, 4 + bytes.length, id >> 8, id & 255, 0, bytes.length]), bytes]);
}

/** A subscriber that reads now and then until it is ended. */
async function slowSubscriber(port: number, index: number, qos: number): Promise<() => void> {
  const client = await ScaleClient.connect(port, `slow-${index}`);
  client.onPacket = (first, buffer, start) => {
    if (first >> 4 !== PacketType.Publish || (first & 6) === 0) return;
    client.write(pubackPacket(buffer.readUInt16BE(start + 2 + buffer.readUInt16BE(start))));
  };
  client.write(subscribePacket(1, ['bench/all'], qos));
  await client.until(() => client.received[PacketType.Suback]! > 0);
  let timer: NodeJS.Timeout;
  const read = (): void => {
    client.resume();
    timer = setTimeout(rest, READS_MS);
  };
  const rest = (): void => {
    client.pause();
    timer = setTimeout(read, RESTS_MS);
  };
  rest();
  return () => {
    clearTimeout(timer);
    client.end();
  };
}

/** A flood of PUBLISH to ten subscribers, by the load generator. */
async function publishing(stage: Stage, seconds: number, qos: number, load: readonly string[]): Promise<Figure[]> {
  const witness = await Witness.open(stage);
  const slow = await Promise.all(Array.from({ length: SLOW }, (_, i) => slowSubscriber(stage.port, i, qos)));
  await witness.begin();
  const shape = ['-m', 'fanout', '-P', '1', '-S', String(SUBSCRIBERS - SLOW), '-q', String(qos)];
  const args = ['-p', String(stage.port), ...shape, '-d', String(seconds), '-T', String(seconds + 60), ...load];
  let figures: Figure[] = [];
  let perSecond = 0;
  try {
    ({ perSecond } = await runLoad(stage.loadCore, stage.generator('mqttload'), args));
  } finally {
    figures = await witness.end();
    for (const end of slow) end();
  }
  return [{ name: 'deliveries to those that read', value: perSecond, unit: 'per second' }, ...figures];
}

/** A flood that this process makes: batches of packets, as long as not too many of them are unanswered. */
async function packets(
  stage: Stage,
  seconds: number,
  answers: readonly number[],
  batch: (from: number) => Buffer,
): Promise<Figure[]> {
  const witness = await Witness.open(stage);
  const client = await ScaleClient.connect(stage.port, 'flood');
  const answered = (): number => answers.reduce((sum, type) => sum + client.received[type]!, 0);
  await witness.begin();
  const began = performance.now();
  let sent = 0;
  while (performance.now() < began + seconds * 1000) {
    client.write(batch(sent));
    sent += BATCH;
    await client.until(() => sent - answered() < WINDOW);
  }
  await client.until(() => answered() === sent);
  const rate = sent / ((performance.now() - began) / 1000);
  const figures = await witness.end();
  client.end();
  return [{ name: 'packets of the flood', value: rate, unit: 'per second' }, ...figures];
}

function batchOf(packet: (number: number) => Buffer): (from: number) => Buffer {
  return (from) => Buffer.concat(Array.from({ length: BATCH }, (_, i) => packet(from + i)));
}

/** Each filter is taken and given back at once. */
const subscribing = batchOf((number) => {
  const filter = `flood/${number >> 1}/+`;
  const id = 1 + (number % LAST_ID);
  return number % 2 === 0 ? subscribePacket(id, [filter], 1) : unsubscribePacket(id, filter);
});

const retained = Buffer.alloc(RETAINED_BYTES, 'r');
const retaining = batchOf((number) =>
  publishPacket(`flood/${number % RETAINED_TOPICS}`, retained, 1 + (number % LAST_ID), true),
);

interface Flood {
  readonly name: string;
  readonly title: string;
  run(stage: Stage, seconds: number): Promise<Figure[]>;
}

const floods: readonly Flood[] = [
  {
    name: 'qos0',
    title: 'QoS 0 to ten subscribers, three of them slow',
    run: (stage, seconds) => publishing(stage, seconds, 0, ['-W', '5000']),
  },
  {
    name: 'qos1',
    title: 'QoS 1 to ten subscribers, three of them slow',
    run: (stage, seconds) => publishing(stage, seconds, 1, ['-W', '500', '-w', '200']),
  },
  {
    name: 'large',
    title: '1 MB messages at QoS 1 to ten subscribers, three of them slow',
    run: (stage, seconds) => publishing(stage, seconds, 1, ['-l', String(LARGE_BYTES), '-W', '20', '-w', '20']),
  },
  {
    name: 'subscribe',
    title: 'SUBSCRIBE and UNSUBSCRIBE',
    run: (stage, seconds) => packets(stage, seconds, [PacketType.Suback, PacketType.Unsuback], subscribing),
  },
  {
    name: 'retained',
    title: 'retained messages to 100,000 topics',
    run: (stage, seconds) => packets(stage, seconds, [PacketType.Puback], retaining),
  },
];

export const flood: readonly ScaleScenario[] = floods.map(({ name, title, run }) => ({
  name: `flood-${name}`,
  title: `2,000 msg/s beside a flood: ${title}`,
  peers: ['portico', 'mosquitto'],
  run: (stage: Stage, { seconds }: ScaleOptions) => run(stage, Math.max(LEAST_SECONDS, seconds)),
}));
