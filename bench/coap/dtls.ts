/** The same requests plain and over DTLS 1.2 with pre-shared keys, in turn, to one server. */
import { PSK } from '../brokers.js';
import { type GeneratorOutput, runGenerator } from '../load.js';
import { median } from '../report.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from '../scale/stage.js';
import { measured, plain, secure } from './load.js';

/** As many devices as in the scenarios `coap-put` and `coap-get`. */
const DEVICES = '192';
const ROUNDS = 3;
/** Of the plain rate. */
const LEAST = 0.4;

/** OpenSSL's name of each suite. */
const SUITES = { CCM_8: 'PSK-AES128-CCM8', GCM: 'PSK-AES128-GCM-SHA256' } as const;

async function run(stage: Stage, { seconds }: ScaleOptions, method: 'get' | 'put'): Promise<Figure[]> {
  await stage.open({}, undefined, { identities: Number(DEVICES) });
  const load = (name: 'coapload' | 'coapsload', args: readonly string[]): Promise<GeneratorOutput> =>
    runGenerator(stage.loadCore, stage.generator(name), args);
  const shape = ['-m', method, '-r', 'ps/bench/x', '-K', DEVICES, '-W', DEVICES, ...measured(seconds)];
  await load('coapload', [...plain(stage), '-m', 'put', '-r', 'ps/bench/x', '-n', '1']);
  const unprotected: number[] = [];
  const rates: Record<keyof typeof SUITES, number[]> = { CCM_8: [], GCM: [] };
  const handshakes: number[] = [];
  const late: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    unprotected.push((await load('coapload', [...plain(stage), ...shape])).perSecond);
    for (const suite of Object.keys(SUITES) as (keyof typeof SUITES)[]) {
      const out = await load('coapsload', [...secure(stage), ...shape, '-k', PSK, '-C', SUITES[suite]]);
      rates[suite].push(out.perSecond);
      handshakes.push(Number(DEVICES) / out.openingSeconds!);
      late.push(out.latencyMs.p99);
    }
  }
  const over = (suite: keyof typeof SUITES): number =>
    median(rates[suite].map((rate, round) => rate / unprotected[round]!));
  return [
    { name: 'plain', value: median(unprotected), unit: 'per second' },
    { name: 'DTLS, AES-128-CCM-8', value: median(rates.CCM_8), unit: 'per second' },
    { name: 'DTLS, AES-128-GCM', value: median(rates.GCM), unit: 'per second' },
    { name: 'CCM-8 over plain', value: over('CCM_8'), unit: 'ratio', limit: { least: LEAST } },
    { name: 'GCM over plain', value: over('GCM'), unit: 'ratio', limit: { least: LEAST } },
    { name: 'p99 of requests over DTLS', value: median(late), unit: 'ms' },
    { name: 'handshakes', value: median(handshakes), unit: 'per second' },
  ];
}

function scenario(method: 'get' | 'put', title: string): ScaleScenario {
  return {
    name: `coaps-${method}`,
    title: `${title} over DTLS 1.2 with pre-shared keys, ${DEVICES} devices`,
    peers: ['portico', 'libcoap'],
    run: (stage, options) => run(stage, options, method),
  };
}

export const dtls: readonly ScaleScenario[] = [scenario('put', 'PUT'), scenario('get', 'GET')];
