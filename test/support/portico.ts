/** The broker as a process of its own: started on free ports of 127.0.0.1 with a folder of its own, always cleaned up. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { type EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { NODE_FLAGS } from '../../src/node-flags.js';

/** The program that was built beside this file. */
export const porticoMain = fileURLToPath(new URL('../../src/main.js', import.meta.url));

const START_MS = 15_000;
const STOP_MS = 15_000;
const POLL_MS = 5;

/** Ports of 127.0.0.1; TCP but for `coap`, which is UDP. */
export interface Ports {
  readonly mqtt: number;
  readonly websocket: number;
  readonly coap: number;
}

/** One line of the log (pino): `level` is 20 for debug, 30 for info, 40 for warn, 50 for error. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** How a process ended: an exit code, or the signal that ended it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Top-level keys of a configuration. */
export type Sections = Readonly<Record<string, unknown>>;

const living = new Set<ChildProcess>();
const folders = new Set<string>();

function removeEverything(): void {
  for (const child of living) child.kill('SIGKILL');
  // A broker that is just being killed may still be writing there.
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
}

process.on('exit', removeEverything);
for (const [signal, number] of [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}

/** This process's variables without those that would configure a broker. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PORTICO_')));
}

/** Starts a child that does not outlive this process. */
export function spawnChild(command: string, args: readonly string[], cwd?: string): ChildProcess {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment(), ...(cwd && { cwd }) });
  living.add(child);
  child.once('close', () => living.delete(child));
  child.once('error', () => living.delete(child));
  // A child that ends early takes its pipe with it; what it wrote says more than EPIPE.
  child.stdin?.on('error', () => {});
  return child;
}

/** A folder that does not outlive this process. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'portico-test-'));
  folders.add(folder);
  return folder;
}

/** Ports below those that the system gives to clients: one of them would otherwise take a port before the broker has it. */
const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;

/** Takes a free port with what `bind` makes. */
async function held<Holder extends EventEmitter>(bind: (port: number) => Holder): Promise<[Holder, number]> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    const holder = bind(port);
    try {
      await once(holder, 'listening');
      return [holder, port];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

/** Ports that nobody listens on at this moment; all are held until all are known, so they differ. */
export async function freePorts(): Promise<Ports> {
  const [mqttHolder, mqtt] = await held((port) => createServer().listen(port, '127.0.0.1'));
  const [websocketHolder, websocket] = await held((port) => createServer().listen(port, '127.0.0.1'));
  const [coapHolder, coap] = await held((port) => createSocket('udp4').bind(port, '127.0.0.1'));
  mqttHolder.close();
  websocketHolder.close();
  coapHolder.close();
  await Promise.all([once(mqttHolder, 'close'), once(websocketHolder, 'close'), once(coapHolder, 'close')]);
  return { mqtt, websocket, coap };
}

/** The listeners that every broker of a test has: those by which it is known to have started. */
export function listenersAt(ports: Ports): object[] {
  return Object.entries(ports).map(([type, port]) => ({ type, host: '127.0.0.1', port }));
}

async function acceptsTcp(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** CoAP ping: an Empty Confirmable message that every endpoint answers with a Reset (RFC 7252 4.3). */
async function answersPing(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  try {
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.send(Buffer.from([0x40, 0x00, 0x50, 0x52]));
    await once(socket, 'message', { signal: AbortSignal.timeout(250) });
    return true;
  } catch {
    return false; // refused (ICMP), or nobody there yet
  } finally {
    socket.close();
  }
}

export class Portico {
  readonly ports: Ports;
  /** Configuration file and data directory are in here. */
  readonly folder: string;
  readonly configFile: string;
  readonly dataDir: string;
  #process: ChildProcess | null = null;
  #exit: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  #log = '';
  readonly #under: readonly string[];

  private constructor(ports: Ports, folder: string, under: readonly string[]) {
    this.ports = ports;
    this.#under = under;
    this.folder = folder;
    this.configFile = join(folder, 'portico.yaml');
    this.dataDir = join(folder, 'data');
  }

  /**
   * Starts a broker with MQTT, WebSocket and CoAP on free ports and waits until each of them answers.
   * @param sections top-level keys of the configuration, perhaps for these ports; they replace those of this helper
   * @param under a program and its arguments that run the broker in their own process, such as a tracer
   */
  static async start(
    sections: Sections | ((ports: Ports) => Sections) = {},
    under: readonly string[] = [],
  ): Promise<Portico> {
    assert.ok(existsSync(porticoMain), `${porticoMain} is missing: npm run build`);
    const ports = await freePorts();
    const portico = new Portico(ports, temporaryFolder(), under);
    const config = {
      listeners: listenersAt(ports),
      data_dir: portico.dataDir,
      store: { sync: 'always' },
      log: { level: 'debug', format: 'json' },
      sys: { interval: 1 },
      ...(typeof sections === 'function' ? sections(ports) : sections),
    };
    writeFileSync(portico.configFile, stringify(config));
    await portico.restart();
    return portico;
  }

  /** Starts the broker, which does not run, with the same ports and the same folder. */
  async restart(): Promise<void> {
    assert.equal(this.#process, null, 'the broker runs already');
    const [command, ...args] = [...this.#under, process.execPath, ...NODE_FLAGS, porticoMain, '-c', this.configFile];
    const child = spawnChild(command, args, this.folder);
    this.#process = child;
    const collect = (text: string): void => {
      this.#log += text;
    };
    child.stdout?.setEncoding('utf8').on('data', collect);
    child.stderr?.setEncoding('utf8').on('data', collect);
    this.#exit = new Promise((resolve) => {
      child.once('error', () => resolve({ code: null, signal: null }));
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
    await this.#listening(child);
  }

  async #listening(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + START_MS;
    const checks = [
      () => acceptsTcp(this.ports.mqtt),
      () => acceptsTcp(this.ports.websocket),
      () => answersPing(this.ports.coap),
    ];
    for (const listens of checks) {
      while (!(await listens())) {
        const ended = child.exitCode !== null || child.signalCode !== null;
        if (ended || performance.now() > deadline) {
          if (!ended) await this.kill();
          throw new Error(`the broker ${ended ? 'ended at its start' : 'does not listen'}:\n${this.#log}`);
        }
        await delay(POLL_MS);
      }
    }
  }

  get pid(): number {
    return this.#running().pid ?? 0;
  }

  /** Whether the process is there. */
  get alive(): boolean {
    return this.#process !== null && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  #running(): ChildProcess {
    assert.ok(this.#process !== null, 'the broker does not run');
    return this.#process;
  }

  /** Everything that the broker has written since the first start. */
  get log(): string {
    return this.#log;
  }

  /** The lines of the log; a line that is not JSON fails the test. */
  get logLines(): LogLine[] {
    return this.#log
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine);
  }

  /** Ends the broker as an administrator does; it must end by itself with exit code 0. */
  async stop(signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): Promise<void> {
    const child = this.#running();
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    const exit = await this.#exit;
    clearTimeout(timer);
    this.#process = null;
    assert.deepEqual(exit, { code: 0, signal: null }, `the end of the broker after ${signal}; its log:\n${this.#log}`);
  }

  /** How the broker ends, after a signal that the test has sent. */
  async ended(): Promise<Exit> {
    const exit = await this.#exit;
    this.#process = null;
    return exit;
  }

  /** Ends the broker without warning. */
  async kill(): Promise<void> {
    const child = this.#running();
    child.kill('SIGKILL');
    await this.#exit;
    this.#process = null;
  }

  /** For `after`: stops the broker if it runs, which must succeed, and removes its folder. */
  async dispose(): Promise<void> {
    try {
      if (this.#process !== null) await this.stop();
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
      folders.delete(this.folder);
    }
  }
}
