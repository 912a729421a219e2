/** 100,000 persistent sessions with five subscriptions each: what they cost, and how long a start takes. */
import { PacketType, ScaleClient, subscribePacket } from './client.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from './stage.js';

const SESSIONS = 100_000;
const SUBSCRIPTIONS = 5;
/** Clients that connect at a time. */
const AT_ONCE = 100;
const MOST_START_SECONDS = 10;
/** The last tenth of the sessions has the same filter as all before it. */
const LEAST_RATE = 0.5;

/** One filter that all sessions have, three of their own, one with a wildcard. */
function filtersOf(index: number): string[] {
  const device = `device/${index}`;
  return [
    'announcements/all',
    `${device}/command`,
    `${device}/config`,
    `${device}/firmware`,
    `group/${index % 1000}/+/set`,
  ];
}

/** Makes sessions from `start` to `end`; returns how many a second. */
async function make(port: number, start: number, end: number): Promise<number> {
  const begin = performance.now();
  let next = start;
  const worker = async (): Promise<void> => {
    while (next < end) {
      const index = next++;
      const client = await ScaleClient.connect(port, `device-${index}`, false);
      client.write(subscribePacket(1, filtersOf(index), 1));
      await client.until(() => client.received[PacketType.Suback]! > 0);
      client.end();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return ((end - start) / (performance.now() - begin)) * 1000;
}

async function run(stage: Stage, { factor }: ScaleOptions): Promise<Figure[]> {
  const count = Math.round(SESSIONS * factor);
  const tenth = Math.round(count / 10);
  await stage.open({});
  const empty = await stage.memory();
  const first = await make(stage.port, 0, tenth);
  await make(stage.port, tenth, count - tenth);
  const last = await make(stage.port, count - tenth, count);
  const loaded = await stage.memory();
  await stage.stop();
  const startUp = await stage.start();
  const restarted = await stage.memory();
  return [
    { name: 'start until CONNACK', value: startUp, unit: 's', limit: { most: MOST_START_SECONDS } },
    { name: 'session with five subscriptions', value: (loaded - empty) / count, unit: 'bytes' },
    { name: 'session with five, after a restart', value: (restarted - empty) / count, unit: 'bytes' },
    { name: 'new sessions, first tenth', value: first, unit: 'per second' },
    { name: 'new sessions, last tenth', value: last, unit: 'per second' },
    { name: 'last tenth over first', value: last / first, unit: 'ratio', limit: { least: LEAST_RATE } },
  ];
}

export const sessions: ScaleScenario = {
  name: 'sessions-100k',
  title: `100,000 persistent sessions with ${SUBSCRIPTIONS} subscriptions each: memory, start`,
  peers: ['portico', 'mosquitto'],
  run,
};
