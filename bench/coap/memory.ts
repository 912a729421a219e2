/** Ten thousand devices that stay: what an observer costs, and what a session of DTLS costs. */
import { PSK } from '../brokers.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from '../scale/stage.js';
import { type Held, hold, plain, secure } from './load.js';

const DEVICES = 10_000;
/** Seconds within which each registration, and then the state at all observers, has to come. */
const PATIENCE = '60';
const LONGEST = '120';

/** Bytes of resident memory that each of `count` devices adds, while `begin` holds them. */
async function each(
  stage: Stage,
  count: number,
  begin: () => Promise<Held>,
): Promise<{ readonly bytes: number; readonly held: Held }> {
  const empty = await stage.memory();
  const held = await begin();
  try {
    const loaded = await stage.memory();
    return { bytes: (loaded - empty) / count, held };
  } finally {
    await held.child.kill();
  }
}

async function observers(stage: Stage, { factor }: ScaleOptions): Promise<Figure[]> {
  const count = Math.round(DEVICES * factor);
  await stage.open({}, undefined, {});
  const shape = ['-O', String(count), '-n', '1', '-t', PATIENCE, '-d', LONGEST];
  const { bytes, held } = await each(stage, count, () => hold(stage, 'observeload', [...plain(stage), ...shape]));
  return [
    { name: 'one observer', value: bytes, unit: 'bytes' },
    { name: 'registrations', value: count / held.out.registeringSeconds!, unit: 'per second' },
    { name: 'until all have a notification', value: held.out.seconds, unit: 's' },
  ];
}

async function sessions(stage: Stage, { factor }: ScaleOptions): Promise<Figure[]> {
  const count = Math.round(DEVICES * factor);
  await stage.open({}, undefined, { identities: count });
  const shape = ['-m', 'put', '-r', 'ps/bench/x', '-K', String(count), '-n', String(count), '-d', LONGEST, '-k', PSK];
  const { bytes, held } = await each(stage, count, () => hold(stage, 'coapsload', [...secure(stage), ...shape]));
  return [
    { name: 'one session', value: bytes, unit: 'bytes' },
    { name: 'handshakes', value: count / held.out.openingSeconds!, unit: 'per second' },
  ];
}

export const memory: readonly ScaleScenario[] = [
  {
    name: 'observers-10k',
    title: '10,000 observers, each a device of its own: memory, and one notification to all',
    peers: ['portico', 'libcoap'],
    run: observers,
  },
  {
    name: 'coaps-10k',
    title: '10,000 sessions of DTLS, one request in each: memory',
    peers: ['portico', 'libcoap'],
    run: sessions,
  },
];
