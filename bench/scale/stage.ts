/** What the scenarios of scale share: a broker that can be stopped and started again, and what is said of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { answersPing, type CoapSetup, freePorts, type Peer } from '../brokers.js';
import type { Generator } from '../load.js';
import { BenchError, Child, removeFolder, residentMemory, temporaryFolder } from '../processes.js';
import { ScaleClient } from './client.js';
import { TICKS, used } from './others.js';

/** One measured value of one peer. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'bytes' | 'ms' | 's' | 'per second' | 'ratio' | 'MiB' | 'count';
  /** What the value has to stay at or below, or at or above. */
  readonly limit?: { readonly most: number } | { readonly least: number };
}

/** How large a scenario is: 1 is what its name says. */
export interface ScaleOptions {
  readonly factor: number;
  /** Seconds of each measured interval. */
  readonly seconds: number;
}

export interface ScaleScenario {
  readonly name: string;
  readonly title: string;
  /** Peers that it runs against. */
  readonly peers: readonly Peer['name'][];
  /** Runs of each peer, in turn; medians count. Default 1. */
  readonly rounds?: number;
  /** One of its figures is judged against another peer's, in the same round. */
  readonly against?: { readonly peer: Peer['name']; readonly figure: string; readonly least: number };
  /** It runs only when it is asked for by name. */
  readonly byHand?: true;
  run(stage: Stage, options: ScaleOptions): Promise<Figure[]>;
}

const READY_MS = 120_000;
const POLL_MS = 5;
const SETTLE_POLL_MS = 250;
const IDLE_POLL_MS = 1000;
/** Share of a core that an idle broker may take. */
const IDLE_SHARE = 0.02;
const SETTLE_MS = 15_000;
/** Change of resident memory, in MiB, below which it counts as settled. */
const SETTLED_MIB = 1;

/** A broker with its folder, on one core. */
export class Stage {
  readonly peer: Peer;
  readonly #core: number;
  readonly #loadCore: number;
  readonly #parent: string;
  /** Path of a load generator, compiled if need be. */
  readonly generator: (name: Generator) => string;
  #folder = '';
  #port = 0;
  #coapPort = 0;
  #httpPort = 0;
  #command: readonly [string, ...string[]] = [''];
  #child: Child | null = null;

  constructor(
    peer: Peer,
    cores: { broker: number; load: number },
    parent: string,
    generator: (name: Generator) => string,
  ) {
    this.peer = peer;
    this.#core = cores.broker;
    this.#loadCore = cores.load;
    this.#parent = parent;
    this.generator = generator;
  }

  get loadCore(): number {
    return this.#loadCore;
  }

  get port(): number {
    return this.#port;
  }

  /** The port of CoAP; that of DTLS is the next. */
  get coapPort(): number {
    return this.#coapPort;
  }

  /** Where Portico serves its metrics and its health. */
  get httpPort(): number {
    return this.#httpPort;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /**
   * Starts the broker with an empty folder.
   * @param limits lines of `limits` for Portico
   * @param sysInterval seconds between two publications of the `$SYS` topics; Portico then serves HTTP as well
   * @param coap what CoAP should do
   */
  async open(limits: Readonly<Record<string, number>>, sysInterval?: number, coap?: CoapSetup): Promise<void> {
    this.#folder = temporaryFolder(this.#parent);
    const ports = await freePorts();
    this.#port = ports.mqtt;
    this.#coapPort = ports.coap;
    this.#httpPort = sysInterval === undefined ? 0 : (await freePorts()).mqtt;
    const told = sysInterval === undefined ? {} : { sysInterval, httpPort: this.#httpPort };
    const setup = {
      core: this.#core,
      folder: this.#folder,
      ports,
      persistent: true,
      limits,
      ...told,
      ...(coap && { coap }),
    };
    this.#command = this.peer.command(setup);
    await this.start();
  }

  /** Another broker of the same kind on the same core; whoever asks for it closes it. */
  another(): Stage {
    return new Stage(this.peer, { broker: this.#core, load: this.#loadCore }, this.#parent, this.generator);
  }

  /** Starts the process; resolves with the seconds until a client has CONNACK, or an answer where there is only CoAP. */
  async start(): Promise<number> {
    const begin = performance.now();
    const [command, ...args] = this.#command;
    const child = await Child.start(this.#core, command, args);
    this.#child = child;
    for (;;) {
      if (await this.#isReady()) return (performance.now() - begin) / 1000;
      const late = performance.now() > begin + READY_MS;
      if (late || !child.running) throw new BenchError(`${this.peer.name} does not start: ${child.output}`);
      await sleep(POLL_MS);
    }
  }

  async #isReady(): Promise<boolean> {
    if (!this.peer.protocols.includes('mqtt')) return answersPing(this.#coapPort);
    try {
      (await ScaleClient.connect(this.#port, 'first')).end();
      return true;
    } catch {
      return false;
    }
  }

  /** Ends the process in order, however long it takes. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    await child.stop(READY_MS);
  }

  /** Ends the process as a crash does. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    await child?.kill();
  }

  async close(): Promise<void> {
    await this.stop();
    removeFolder(this.#folder);
  }

  /** Bytes of resident memory once they have stopped changing. */
  async memory(): Promise<number> {
    const end = performance.now() + SETTLE_MS;
    let last = this.#resident();
    for (let quiet = 0; quiet < 4 && performance.now() < end; ) {
      await sleep(SETTLE_POLL_MS);
      const now = this.#resident();
      quiet = Math.abs(now - last) < SETTLED_MIB ? quiet + 1 : 0;
      last = now;
    }
    return last * 2 ** 20;
  }

  /** Waits until the broker has next to nothing to do: its store goes on for a while after a load. */
  async idle(): Promise<void> {
    const end = performance.now() + SETTLE_MS;
    for (let before = -1; performance.now() < end; ) {
      const now = used(this.pid, false);
      if (before >= 0 && now - before <= IDLE_SHARE * TICKS * (IDLE_POLL_MS / 1000)) return;
      before = now;
      await sleep(IDLE_POLL_MS);
    }
  }

  /** Highest resident memory so far, in MiB. */
  peak(): number {
    return residentMemory(this.pid).peak;
  }

  #resident(): number {
    const child = this.#child;
    if (child === null || !child.running) throw new BenchError(`${this.peer.name} has ended: ${child?.output ?? ''}`);
    return residentMemory(child.pid).now;
  }
}

/** The value below which the share `part` of the values lies. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}
