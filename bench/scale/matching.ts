/** Matching beside 1,000,000 subscriptions of others: it must not matter that they are there. */
import { runLoad } from '../load.js';
import { PacketType, ScaleClient, subscribePacket } from './client.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from './stage.js';
import { takeTurns } from './turns.js';

const OTHERS = 1_000_000;
const FEW = 10;
const CLIENTS = 50;
const FILTERS_PER_PACKET = 1000;
/** Topics of each publisher where they vary: ten times this is more than the broker remembers routes for. */
const TOPICS = 20_000;
const LEAST_RATIO = 0.8;

/** Half of the filters are exact; the others have wildcards, also in the first levels and beside the topics of the load. */
function filterOf(index: number): string {
  const site = index % 97;
  switch (index % 8) {
    case 0:
      return `site/${site}/+/${index}/temperature`;
    case 1:
      return `site/${site}/device/${index}/#`;
    case 2:
      return `+/${index}/device/state`;
    case 3:
      return `bench/+/x${index}`;
    case 4:
      return `bench/y${index}/t`;
    default:
      return `site/${site}/device/${index}/temperature`;
  }
}

async function subscribe(client: ScaleClient, start: number, end: number): Promise<void> {
  let packets = client.received[PacketType.Suback]!;
  for (let from = start; from < end; from += FILTERS_PER_PACKET) {
    const filters: string[] = [];
    for (let i = from; i < Math.min(end, from + FILTERS_PER_PACKET); i++) filters.push(filterOf(i));
    client.write(subscribePacket(1 + (packets % 60_000), filters, 0));
    packets++;
    await client.until(() => client.received[PacketType.Suback] === packets);
  }
}

/** Deliveries a second of ten publishers to ten subscribers. @param topics that each publisher takes in turn; 1 for one */
async function rate(stage: Stage, topics: number, seconds: number): Promise<number> {
  const address = ['-h', '127.0.0.1', '-p', String(stage.port), '-i', String(stage.pid)];
  const shape = ['-m', 'pair', '-P', '10', '-S', '10', '-q', '0', '-W', '1000', '-t', String(topics)];
  const timing = ['-u', '1', '-d', String(seconds), '-T', String(Math.ceil(seconds + 20))];
  const { perSecond } = await runLoad(stage.loadCore, stage.generator('mqttload'), [...address, ...shape, ...timing]);
  return perSecond;
}

async function connectOthers(stage: Stage): Promise<ScaleClient[]> {
  const clients: ScaleClient[] = [];
  for (let i = 0; i < CLIENTS; i++) clients.push(await ScaleClient.connect(stage.port, `other-${i}`));
  await subscribe(clients[0]!, 0, FEW);
  return clients;
}

async function measure(few: Stage, many: Stage, options: ScaleOptions): Promise<Figure[]> {
  const { factor, seconds } = options;
  const count = Math.round(OTHERS * factor);
  for (const stage of [few, many]) await stage.open({ subscriptions_per_client: OTHERS });
  const alone = await connectOthers(few);
  const clients = await connectOthers(many);
  const before = await many.memory();
  const begin = performance.now();
  const share = Math.ceil((count - FEW) / CLIENTS);
  for (const [i, client] of clients.entries()) {
    await subscribe(client, FEW + i * share, Math.min(count, FEW + (i + 1) * share));
  }
  const subscribed = (performance.now() - begin) / 1000;
  const rates = await takeTurns(
    few,
    many,
    [
      {
        name: 'same topics',
        ratio: 'many over few, same topics',
        least: LEAST_RATIO,
        rate: (stage) => rate(stage, 1, seconds),
      },
      {
        name: 'varying topics',
        ratio: 'many over few, varying',
        least: LEAST_RATIO,
        rate: (stage) => rate(stage, TOPICS, seconds),
      },
    ],
    options,
  );
  // What subscribing has left behind is collected by then.
  const after = await many.memory();
  for (const client of [...alone, ...clients]) client.end();
  return [
    { name: 'subscription', value: (after - before) / count, unit: 'bytes' },
    { name: 'SUBSCRIBE', value: count / subscribed, unit: 'per second' },
    ...rates,
  ];
}

async function run(stage: Stage, options: ScaleOptions): Promise<Figure[]> {
  const few = stage.another();
  try {
    return await measure(few, stage, options);
  } finally {
    await few.close();
  }
}

export const matching: ScaleScenario = {
  name: 'matching-1m',
  title: 'QoS 0, 10 to 10, with 10 and with 1,000,000 subscriptions of others',
  peers: ['portico', 'mosquitto'],
  run,
};
