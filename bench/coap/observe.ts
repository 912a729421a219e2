/** 200 observers of one resource that changes as fast as its publisher is acknowledged. */
import { type GeneratorOutput, runGenerator } from '../load.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from '../scale/stage.js';
import { measured, plain } from './load.js';

const OBSERVERS = 200;
const ROUNDS = 3;
const RATE = 'notifications';
/** Neither server keeps these. */
const UNSTORED = 'notifications of states by POST';

async function run(stage: Stage, { seconds }: ScaleOptions, notification: 'con' | 'non'): Promise<Figure[]> {
  await stage.open({}, undefined, { notification });
  const load = (method: 'put' | 'post'): Promise<GeneratorOutput> => {
    const args = ['-m', method, '-r', `ps/bench/${method}`, '-O', String(OBSERVERS), ...measured(seconds)];
    return runGenerator(stage.loadCore, stage.generator('observeload'), [...plain(stage), ...args]);
  };
  const out = await load('put');
  const unstored = await load('post');
  return [
    { name: RATE, value: out.perSecond, unit: 'per second' },
    { name: 'states published', value: out.sentPerSecond, unit: 'per second' },
    { name: 'from PUT to notification, p50', value: out.latencyMs.p50, unit: 'ms' },
    { name: 'from PUT to notification, p99', value: out.latencyMs.p99, unit: 'ms' },
    { name: "idle time of the server's core", value: out.brokerIdle, unit: 'ratio' },
    { name: "idle time of the generator's core", value: out.loadIdle, unit: 'ratio' },
    { name: UNSTORED, value: unstored.perSecond, unit: 'per second' },
  ];
}

function scenario(notification: 'con' | 'non', type: string, figure: string, least: number): ScaleScenario {
  return {
    name: `observe-${notification}`,
    title: `${OBSERVERS} observers of one resource, ${type} notifications`,
    peers: ['portico', 'libcoap'],
    rounds: ROUNDS,
    against: { peer: 'libcoap', figure, least },
    run: (stage, options) => run(stage, options, notification),
  };
}

export const observe: readonly ScaleScenario[] = [
  // docs/decisions/0016-notifications.md
  scenario('non', 'Non-confirmable', UNSTORED, 1.5),
  scenario('con', 'Confirmable', RATE, 1),
];
