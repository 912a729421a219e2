/** A steady flow between two clients in a process of its own, and how long its messages take. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { BenchError } from '../processes.js';

const TOPIC = 'flow/messages';
const PAYLOAD_BYTES = 64;
const PROGRAM = fileURLToPath(new URL('flow-process.js', import.meta.url));

/** Milliseconds that messages took: half of them less, and 99 of 100 less. */
export interface FlowTimes {
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
  readonly count: number;
}

/** What is asked of the process. */
export type FlowRequest =
  | { readonly what: 'open'; readonly port: number; readonly topic: string; readonly payloadBytes: number }
  | { readonly what: 'start' | 'take' | 'end' };

export class Flow {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static readonly topic = TOPIC;

  static async open(port: number, payloadBytes: number = PAYLOAD_BYTES): Promise<Flow> {
    const child = fork(PROGRAM, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    // In real time nobody on its core is in its way: a higher priority alone leaves it waiting for the load now and then.
    if (spawnSync('chrt', ['--fifo', '--pid', '1', String(child.pid)]).status !== 0) {
      console.error('the flow has no priority over the load: only root can give it; its times are a little too long');
    }
    const flow = new Flow(child);
    flow.#send({ what: 'open', port, topic: TOPIC, payloadBytes });
    await flow.#answer();
    return flow;
  }

  /** Begins a steady flow of 2,000 messages a second. */
  start(): void {
    this.#send({ what: 'start' });
  }

  /** How long messages took since the last call. */
  async take(): Promise<FlowTimes> {
    this.#send({ what: 'take' });
    return (await this.#answer()) as FlowTimes;
  }

  /** Resolves once the process is gone: from then on its processor time counts as the benchmark's own. */
  async end(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#send({ what: 'end' });
    await gone;
  }

  #send(request: FlowRequest): void {
    this.#child.send(request);
  }

  async #answer(): Promise<unknown> {
    const abort = new AbortController();
    const ended = once(this.#child, 'exit', { signal: abort.signal }).then(() => {
      throw new BenchError('the flow has ended');
    });
    ended.catch(() => {});
    try {
      return (await Promise.race([once(this.#child, 'message'), ended]))[0];
    } finally {
      abort.abort();
    }
  }
}
