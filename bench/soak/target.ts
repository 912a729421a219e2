/** The broker under test: a process with every listener, and what the operating system and the broker say of it. */

import { readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NODE_FLAGS } from '../../src/node-flags.js';
import { freePorts } from '../brokers.js';
import { BenchError, Child, residentMemory } from '../processes.js';
import { type Heap, inspectHeap } from './inspector.js';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const READY_MS = 30_000;
const POLL_MS = 50;
const STOP_MS = 60_000;
/** Limits that act within seconds, so that what clients leave behind is gone soon. */
const LIMITS = { output_buffer: 65_536, stalled_timeout: 5, queued_messages: 20_000 };
const COAP = { ack_timeout: 0.5, max_retransmit: 3, max_latency: 1 };

/** Open file descriptors by what they are. */
export interface Descriptors {
  readonly sockets: number;
  readonly files: number;
  /** Pipes, epoll, eventfd. */
  readonly others: number;
}

export class Target {
  readonly mqtt: number;
  readonly websocket: number;
  readonly coap: number;
  readonly http: number;
  readonly folder: string;
  /** Seconds that a session of MQTT 3.1 or 3.1.1 outlives its connection. */
  readonly expiry: number;
  readonly core: number;
  #child: Child | null = null;
  /** URL of the inspector. */
  #inspector = '';

  private constructor(folder: string, core: number, expiry: number, ports: readonly [number, number, number, number]) {
    [this.mqtt, this.websocket, this.coap, this.http] = ports;
    this.folder = folder;
    this.core = core;
    this.expiry = expiry;
  }

  /** Starts the broker with its state in `folder`. */
  static async start(folder: string, core: number, expiry: number): Promise<Target> {
    const [{ mqtt, coap }, { mqtt: websocket }, { mqtt: http }] = await Promise.all([
      freePorts(),
      freePorts(),
      freePorts(),
    ]);
    const target = new Target(folder, core, expiry, [mqtt, websocket, coap, http]);
    const config = join(folder, 'portico.yaml');
    writeFileSync(
      config,
      JSON.stringify({
        listeners: [
          { type: 'mqtt', host: '127.0.0.1', port: mqtt },
          { type: 'websocket', host: '127.0.0.1', port: websocket },
          { type: 'coap', host: '127.0.0.1', port: coap },
          { type: 'http', host: '127.0.0.1', port: http },
        ],
        data_dir: target.data,
        mqtt: { session_expiry_default: expiry, connect_timeout: 3 },
        limits: LIMITS,
        coap: COAP,
        sys: { interval: 5 },
        log: { level: 'error' },
      }),
    );
    // Its inspector tells what lives on its heap; while nobody is connected to that, it does nothing.
    target.#child = await Child.start(core, process.execPath, [
      ...NODE_FLAGS,
      '--inspect=127.0.0.1:0',
      MAIN,
      '-c',
      config,
    ]);
    await target.#ready();
    return target;
  }

  get data(): string {
    return join(this.folder, 'data');
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get running(): boolean {
    return this.#child?.running ?? false;
  }

  /** The end of what it wrote. */
  get output(): string {
    return this.#child?.output ?? '';
  }

  /** The `http` listener's pages. @throws if it does not answer */
  async page(path: string): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.http}${path}`, { signal: AbortSignal.timeout(10_000) });
    return await response.text();
  }

  /** Numbers of `/metrics` by name, with labels as they stand there. */
  async metrics(): Promise<Map<string, number>> {
    const numbers = new Map<string, number>();
    for (const line of (await this.page('/metrics')).split('\n')) {
      const end = line.lastIndexOf(' ');
      if (line !== '' && !line.startsWith('#')) numbers.set(line.slice(0, end), Number(line.slice(end + 1)));
    }
    return numbers;
  }

  /** MiB. */
  memory(): ReturnType<typeof residentMemory> {
    return residentMemory(this.pid);
  }

  descriptors(): Descriptors {
    const folder = `/proc/${this.pid}/fd`;
    const counts = { sockets: 0, files: 0, others: 0 };
    for (const name of readdirSync(folder)) {
      let link = '';
      try {
        link = readlinkSync(join(folder, name));
      } catch {
        continue; // closed meanwhile
      }
      if (link.startsWith('socket:')) counts.sockets++;
      else if (link.startsWith(this.data)) counts.files++;
      else counts.others++;
    }
    return counts;
  }

  /** MiB on the disk. */
  stored(): number {
    let bytes = 0;
    for (const name of readdirSync(this.data, { recursive: true, encoding: 'utf8' })) {
      bytes += statSync(join(this.data, name), { throwIfNoEntry: false })?.size ?? 0;
    }
    return bytes / 2 ** 20;
  }

  /** What lives on its heap. */
  heap(): Promise<Heap> {
    return inspectHeap(this.#inspector);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    await child?.stop(STOP_MS);
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + READY_MS;
    for (;;) {
      try {
        await this.page('/health');
        this.#inspector = /ws:\/\/\S+/.exec(this.output)?.[0] ?? '';
        return;
      } catch (error) {
        if (this.running && performance.now() < deadline) {
          await sleep(POLL_MS);
          continue;
        }
        const words = this.output;
        await this.stop();
        throw new BenchError(`the broker does not start (${(error as Error).message}): ${words}`);
      }
    }
  }
}
