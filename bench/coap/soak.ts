/** Everything at once for as long as asked: requests, observers, DTLS, block-wise transfers, hostile datagrams. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PSK } from '../brokers.js';
import { type Generator, type GeneratorOutput, runGenerator } from '../load.js';
import { BenchError, Child, residentMemory } from '../processes.js';
import { median } from '../report.js';
import type { Figure, ScaleOptions, ScaleScenario, Stage } from '../scale/stage.js';
import { Hostile } from './hostile.js';
import { plain, secure } from './load.js';

const SESSIONS = 200;
const SYS_SECONDS = 2;
const SAMPLE_MS = 1000;
/** From so many seconds up memory is judged, after two minutes of warm-up; of a shorter run a fifth is warm-up. */
const JUDGED_SECONDS = 300;
const WARMUP_MINUTES = 2;
const MINUTE = 60;
const PARTS = 5;
/** Memory may grow by so much of what it was after the warm-up. */
const MOST_GROWTH = 0.1;
const RESOURCES = /^nodejs_active_resources\{type="(\w+)"\} (\d+)$/gm;

interface Part {
  readonly name: string;
  readonly generator: Generator;
  readonly port: (stage: Stage) => string[];
  readonly args: readonly string[];
}

/** Together they have fewer datagrams under way than fit into the receive buffer that Linux grants by default. */
const parts: readonly Part[] = [
  {
    name: 'PUT',
    generator: 'coapload',
    port: plain,
    args: ['-m', 'put', '-r', 'ps/soak/put', '-K', '1000', '-W', '32', '-t', '10'],
  },
  {
    name: 'GET',
    generator: 'coapload',
    port: plain,
    args: ['-m', 'get', '-r', 'ps/soak/get', '-K', '1000', '-W', '32', '-t', '10'],
  },
  {
    name: 'notifications',
    generator: 'observeload',
    port: plain,
    args: ['-r', 'ps/soak/observed', '-O', '100', '-g', '10', '-t', '10'],
  },
  {
    name: 'PUT over DTLS',
    generator: 'coapsload',
    port: secure,
    args: ['-m', 'put', '-r', 'ps/soak/secure', '-K', String(SESSIONS), '-W', '16', '-k', PSK, '-t', '10'],
  },
  {
    name: 'blocks of 16 KiB, PUT and GET',
    generator: 'blockload',
    port: plain,
    args: ['-r', 'ps/soak/block', '-K', '8', '-t', '10'],
  },
];

/** Runs all parts to their end; the first one that fails ends the others. */
async function loads(stage: Stage, seconds: number): Promise<GeneratorOutput[]> {
  const children: Child[] = [];
  for (const { generator, port, args } of parts) {
    const all = [...port(stage), ...args, '-d', String(seconds)];
    children.push(await Child.start(stage.loadCore, stage.generator(generator), all));
  }
  let failure: string | undefined;
  await Promise.all(
    children.map(async (child, i) => {
      if ((await child.wait()) === 0) return;
      failure ??= `${parts[i]!.name}: ${child.output}`;
      await Promise.all(children.map((one) => one.kill()));
    }),
  );
  if (failure !== undefined) throw new BenchError(failure);
  return children.map((child) => JSON.parse(child.stdout) as GeneratorOutput);
}

/** What keeps the event loop of Portico alive, by type. */
async function resources(stage: Stage): Promise<Map<string, number>> {
  const page = await (await fetch(`http://127.0.0.1:${stage.httpPort}/metrics`)).text();
  return new Map([...page.matchAll(RESOURCES)].map(([, type, count]) => [type!, Number(count)]));
}

/** Medians of the resident memory in MiB, of each minute or of each fifth of a shorter run. */
class Watch {
  readonly #stage: Stage;
  readonly #perPart: number;
  readonly #unit: string;
  readonly #medians: number[] = [];
  #samples: number[] = [];
  #watching = true;
  /** After the warm-up, and at the end. */
  readonly resources: Map<string, number>[] = [];
  readonly warmupParts: number;
  readonly judged: boolean;
  readonly done: Promise<void>;

  constructor(stage: Stage, seconds: number) {
    this.#stage = stage;
    this.judged = seconds >= JUDGED_SECONDS;
    this.#perPart = this.judged ? MINUTE : Math.max(1, Math.floor(seconds / PARTS));
    this.#unit = this.judged ? 'minute' : 'part';
    this.warmupParts = this.judged ? WARMUP_MINUTES : 1;
    // It fails when the broker has ended, and that the loads report.
    this.done = this.#sample().catch(() => {});
  }

  end(): void {
    this.#watching = false;
  }

  get figures(): Figure[] {
    return this.#medians.map((value, i) => ({ name: `memory, ${this.#unit} ${i + 1}`, value, unit: 'MiB' }));
  }

  /** From the first part after the warm-up to the last. */
  get growth(): { readonly before: number; readonly after: number } {
    const before = this.#medians[this.warmupParts] ?? Number.NaN;
    return { before, after: this.#medians.at(-1) ?? Number.NaN };
  }

  async #sample(): Promise<void> {
    while (this.#watching) {
      this.#samples.push(residentMemory(this.#stage.pid).now);
      if (this.#samples.length === this.#perPart) await this.#closePart();
      await sleep(SAMPLE_MS);
    }
  }

  async #closePart(): Promise<void> {
    this.#medians.push(median(this.#samples));
    this.#samples = [];
    const now = await resources(this.#stage);
    if (this.#medians.length >= this.warmupParts) this.resources.push(now);
    const held = [...now].filter(([, count]) => count > 0).map(([type, count]) => `${type} ${count}`);
    const memory = this.#medians.at(-1)!.toFixed(1);
    console.error(`${this.#unit} ${this.#medians.length}: ${memory} MiB resident; ${held.join(', ')}`);
  }
}

function resourceFigures([first, ...rest]: readonly Map<string, number>[]): Figure[] {
  const last = rest.at(-1);
  if (first === undefined || last === undefined) return [];
  return [...last]
    .filter(([type, count]) => count > 0 || (first.get(type) ?? 0) > 0)
    .flatMap(([type, count]): Figure[] => [
      { name: `${type}, after the warm-up`, value: first.get(type) ?? 0, unit: 'count' },
      { name: `${type}, at the end`, value: count, unit: 'count' },
    ]);
}

async function run(stage: Stage, { seconds }: ScaleOptions): Promise<Figure[]> {
  await stage.open({}, SYS_SECONDS, { identities: SESSIONS });
  const priming = [...plain(stage), '-m', 'put', '-r', 'ps/soak/get', '-n', '1'];
  await runGenerator(stage.loadCore, stage.generator('coapload'), priming);
  for (const { generator } of parts) stage.generator(generator); // compiled before the time runs
  const hostile = await Hostile.start(stage.coapPort);
  const watch = new Watch(stage, seconds);
  let outs: GeneratorOutput[];
  try {
    outs = await loads(stage, seconds);
  } finally {
    hostile.stop();
    watch.end();
    await watch.done;
  }
  const { before, after } = watch.growth;
  const limit = watch.judged ? { limit: { most: MOST_GROWTH * before } } : {};
  return [
    ...outs.flatMap((out, i): Figure[] => [
      { name: parts[i]!.name, value: out.perSecond, unit: 'per second' },
      { name: `${parts[i]!.name}, p99`, value: out.latencyMs.p99, unit: 'ms' },
    ]),
    { name: 'hostile datagrams', value: hostile.sent / seconds, unit: 'per second' },
    ...watch.figures,
    { name: 'growth of memory after the warm-up', value: after - before, unit: 'MiB', ...limit },
    ...resourceFigures(watch.resources),
  ];
}

export const soak: ScaleScenario = {
  name: 'coap-soak',
  title: 'PUT, GET, observers, DTLS, blocks and hostile datagrams at once; ten minutes with --seconds 600',
  peers: ['portico'],
  byHand: true,
  run,
};
