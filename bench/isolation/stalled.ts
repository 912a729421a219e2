/** Subscribers that stop reading: what the others feel of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PacketType, pubackPacket, ScaleClient, subscribePacket } from '../scale/client.js';
import { Flow } from '../scale/flow.js';
import { type Figure, percentile, type ScaleOptions, type ScaleScenario, type Stage } from '../scale/stage.js';

/** Subscribers beside the one that is measured; half of them at QoS 0, half at QoS 1. */
const OTHERS = 10;
const PAYLOAD_BYTES = 1024;
const ROUNDS = 5;
/** Seconds after which what was sent to one that does not read fills all buffers on its way. */
const FILL_SECONDS = 6;
const MOST_SLOWDOWN = 1.2;

async function subscriber(port: number, index: number): Promise<ScaleClient> {
  const client = await ScaleClient.connect(port, `other-${index}`, index % 4 < 2);
  client.onPacket = (first, buffer, start) => {
    if (first >> 4 !== PacketType.Publish || (first & 6) === 0) return;
    client.write(pubackPacket(buffer.readUInt16BE(start + 2 + buffer.readUInt16BE(start))));
  };
  client.write(subscribePacket(1, [Flow.topic], index % 2));
  await client.until(() => client.received[PacketType.Suback]! > 0);
  return client;
}

/**
 * The median of the rounds counts: how fast the machine is changes from one second to the next, and one fsync that takes long
 * is all that the hundredth of a round tells of.
 */
async function run(stage: Stage, { seconds }: ScaleOptions): Promise<Figure[]> {
  await stage.open({});
  const flow = await Flow.open(stage.port, PAYLOAD_BYTES);
  flow.start();
  const reading: number[] = [];
  const stalled: number[] = [];
  let longest = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const others: ScaleClient[] = [];
    for (let i = 0; i < OTHERS; i++) others.push(await subscriber(stage.port, i));
    await sleep(1000);
    await flow.take();
    await sleep(seconds * 1000);
    reading.push((await flow.take()).p99);
    for (const other of others) other.pause();
    await sleep(FILL_SECONDS * 1000);
    await flow.take();
    await sleep(seconds * 1000);
    const { p99, worst } = await flow.take();
    stalled.push(p99);
    longest = Math.max(longest, worst);
    for (const other of others) other.end();
  }
  await flow.end();
  const [before, after] = [percentile(reading, 0.5), percentile(stalled, 0.5)];
  return [
    { name: 'p99, ten others read', value: before, unit: 'ms' },
    { name: 'p99, ten others do not read', value: after, unit: 'ms' },
    { name: 'longest, ten others do not read', value: longest, unit: 'ms' },
    {
      name: 'p99, not reading over reading',
      value: after / before,
      unit: 'ratio',
      limit: { most: MOST_SLOWDOWN },
    },
  ];
}

export const stalled: ScaleScenario = {
  name: 'stalled',
  title: '2,000 msg/s to a subscriber beside ten that stop reading',
  peers: ['portico', 'mosquitto'],
  run,
};
