/**
 * Child processes of the benchmark: each one pinned to a core, none left behind, and what /proc says about it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';

/** A failure that ends the benchmark, or one of its runs, with a sentence for people. */
export class BenchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BenchError';
  }
}

/** Debian keeps daemons in sbin, which is not in the PATH of an ordinary user. */
export const environment = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` };

const OUTPUT_KEPT = 4096;
const STOP_MS = 5000;

const living = new Set<ChildProcess>();
const folders = new Set<string>();

function removeEverything(): void {
  for (const child of living) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

/** From here on no way out of this process, SIGKILL excepted, leaves a child or a temporary folder behind. */
export function cleanUpOnExit(): void {
  process.on('exit', removeEverything);
  for (const [signal, number] of [
    ['SIGHUP', 1],
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    process.on(signal, () => process.exit(128 + number));
  }
}

const TMPFS_MAGIC = 0x01021994;
const RAMFS_MAGIC = 0x858458f6;

/** @throws BenchError if what is stored in a folder would go to memory, where fsync costs nothing */
export function requireDisk(folder: string): void {
  const { type } = statfsSync(folder);
  if (type !== TMPFS_MAGIC && type !== RAMFS_MAGIC) return;
  throw new BenchError(`${folder} is in memory; the scenarios that store need a checkout on a disk`);
}

/** Makes a folder that lives as long as this process, or until {@link removeFolder}. */
export function temporaryFolder(parent: string): string {
  const folder = mkdtempSync(join(parent, 'run-'));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}

/** Cores on which the broker and the load generator run; the same one twice where this process may use only one. */
export function twoCores(): { readonly broker: number; readonly load: number } {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const allowed = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  const broker = allowed[0] ?? 0;
  return { broker, load: allowed[1] ?? broker };
}

/** A running child with the end of what it wrote. */
export class Child {
  readonly #process: ChildProcess;
  readonly #exit: Promise<void>;
  #output = '';
  #stdout = '';

  private constructor(child: ChildProcess) {
    this.#process = child;
    living.add(child);
    this.#exit = new Promise((resolve) => {
      child.once('close', () => {
        living.delete(child);
        resolve();
      });
    });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-OUTPUT_KEPT);
      this.#output = (this.#output + text).slice(-OUTPUT_KEPT);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#output = (this.#output + text).slice(-OUTPUT_KEPT);
    });
  }

  /**
   * Starts `command` on one core. taskset(1) becomes the command (exec), so `pid` is the command's.
   * @throws BenchError if taskset is missing
   */
  static async start(core: number, command: string, args: readonly string[]): Promise<Child> {
    const child = spawn('taskset', ['-c', String(core), command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment,
    });
    const started = new Child(child);
    try {
      await once(child, 'spawn');
    } catch (error) {
      living.delete(child);
      throw new BenchError(`taskset does not start (${(error as Error).message}): sudo apt install util-linux`);
    }
    return started;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** The last 4 KiB of standard output and standard error together. */
  get output(): string {
    return this.#output.trim();
  }

  /** The last 4 KiB of standard output; complete once {@link wait} has returned. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Waits for the end; returns the exit code, or null after a signal. */
  async wait(): Promise<number | null> {
    await this.#exit;
    return this.#process.exitCode;
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exit;
  }

  /** SIGTERM, and SIGKILL after `patience` milliseconds. */
  async stop(patience = STOP_MS): Promise<void> {
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), patience);
    await this.#exit;
    clearTimeout(timer);
  }
}

/**
 * Resident memory of a process in MiB: now, and its highest so far; of what it has now, what is not backed by a file
 * (proc(5), VmRSS, VmHWM and RssAnon).
 */
export function residentMemory(pid: number): {
  readonly now: number;
  readonly peak: number;
  readonly anonymous: number;
} {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return { now: field('VmRSS'), peak: field('VmHWM'), anonymous: field('RssAnon') };
}
