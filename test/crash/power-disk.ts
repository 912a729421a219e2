/**
 * A disk that loses power, as a model: it replays a trace up to the cut and keeps what was durable by then.
 *
 * - The bytes of a file are durable once an fsync or fdatasync of the file that began after they were written has ended.
 *   Of later writes any may survive, in whole or up to some byte, in any order; what is missing before one is zeros.
 * - Names (creating, renaming and unlinking files, making directories) are durable once an fsync of their directory has
 *   ended. Later changes of names survive up to some point in the order in which they were made, as file systems with a
 *   journal keep them. That an fsync of a new file makes its name durable too, as ext4, XFS and Btrfs do, is not counted on.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { bytesOf, type Call, numberOf, pathsOf } from './trace.js';

/** Chooses a number below another one. */
export type Choose = (below: number) => number;

/** What becomes of what no fsync has covered. */
export interface Fate {
  /** How many of `count` changes of names survive, from the oldest on. */
  names(count: number): number;
  /** How many of a write's bytes survive. */
  bytes(length: number): number;
}

/** Nothing survives. */
export const DROPPED: Fate = { names: () => 0, bytes: () => 0 };

/** Everything survives, as when only the process dies. */
export const KEPT: Fate = { names: (count) => count, bytes: (length) => length };

/** Some of it survives, torn. */
export function torn(choose: Choose): Fate {
  return {
    names: (count) => choose(count + 1),
    bytes: (length) => [0, length, choose(length + 1)][choose(3)],
  };
}

interface Write {
  readonly at: number;
  readonly bytes: Buffer;
  /** Cuts the file off here instead of writing. */
  readonly truncate: boolean;
}

/** A file, whatever its names are. */
class Content {
  readonly writes: Write[] = [];
  /** Of the writes, how many are durable. */
  durable = 0;
  size = 0;

  write(at: number, bytes: Buffer): void {
    this.writes.push({ at, bytes, truncate: false });
    this.size = Math.max(this.size, at + bytes.length);
  }

  truncate(at: number): void {
    if (this.size === at) return;
    this.writes.push({ at, bytes: Buffer.alloc(0), truncate: true });
    this.size = at;
  }

  surviving(fate: Fate): Buffer {
    let bytes = Buffer.alloc(this.writes.reduce((most, write) => Math.max(most, write.at + write.bytes.length), 0));
    let size = 0;
    for (const [index, write] of this.writes.entries()) {
      const kept = index < this.durable ? write.bytes.length : fate.bytes(write.bytes.length);
      if (write.truncate) {
        if (index >= this.durable && fate.bytes(1) === 0) continue;
        bytes = Buffer.concat([bytes.subarray(0, write.at), Buffer.alloc(Math.max(0, bytes.length - write.at))]);
        size = write.at;
      } else if (kept > 0) {
        write.bytes.copy(bytes, write.at, 0, kept);
        size = Math.max(size, write.at + kept);
      }
    }
    return bytes.subarray(0, size);
  }
}

/** A change of names: what a path stands for from now on; null for nothing, 'directory' for a directory. */
interface Naming {
  readonly changes: readonly (readonly [path: string, stands: Content | 'directory' | null])[];
}

interface Handle {
  readonly of: Content | 'directory';
  readonly path: string;
  readonly writing: boolean;
  at: number;
}

/** What a call is about, and what was there at its beginning: a sync covers no more. */
interface Covered {
  handle: Handle | undefined;
  /** Writes to its file. */
  bytes: number;
  /** Changes of names. */
  names: number;
}

export class PowerDisk {
  readonly #root: string;
  readonly #names = new Map<string, Content | 'directory'>();
  readonly #namings: Naming[] = [];
  #durableNamings = 0;
  readonly #handles = new Map<number, Handle>();
  /** Lines at which files were created, renamed or unlinked. */
  readonly turns: number[] = [];
  /** Syncs of LevelDB's logs, by LevelDB itself and by others. */
  readonly logSyncs: { readonly own: boolean; readonly begin: number; readonly end: number }[] = [];

  /**
   * @param root the directory that the trace is about, as the trace names it
   * @param initial where its content at the beginning of the trace is; null if it was not there
   */
  constructor(root: string, initial: string | null) {
    this.#root = root;
    if (initial === null) return;
    this.#names.set(root, 'directory');
    for (const entry of readdirSync(initial, { recursive: true, withFileTypes: true })) {
      const there = join(entry.parentPath ?? entry.path, entry.name);
      const path = join(root, relative(initial, there));
      if (entry.isDirectory()) this.#names.set(path, 'directory');
      else {
        const content = new Content();
        content.write(0, readFileSync(there));
        content.durable = content.writes.length;
        this.#names.set(path, content);
      }
    }
    this.#namings.push({ changes: [...this.#names] });
    this.#durableNamings = this.#namings.length;
  }

  /** Everything that happens before a line of the trace. */
  replay(calls: readonly Call[], cut: number): this {
    // Two events for each call: what it covers is known at its beginning, what it did at its end.
    const steps: { readonly line: number; readonly step: () => void }[] = [];
    for (const call of calls) {
      const state: Covered = { bytes: 0, names: 0, handle: undefined };
      if (call.begin < cut) steps.push({ line: call.begin, step: () => this.#begin(call, state) });
      if (call.end < cut) steps.push({ line: call.end, step: () => this.#end(call, state) });
    }
    steps.sort((a, b) => a.line - b.line);
    for (const { step } of steps) step();
    return this;
  }

  #begin(call: Call, state: Covered): void {
    if (!/^(?:close|p?write|fsync|fdatasync|ftruncate|dup|fallocate|sync_file_range)/.test(call.name)) return;
    const handle = this.#handles.get(numberOf(call));
    if (handle === undefined) return;
    state.handle = handle;
    if (handle.of !== 'directory') state.bytes = handle.of.writes.length;
    state.names = this.#namings.length;
    // The number may be another file's before the call that frees it returns.
    if (call.name === 'close') this.#handles.delete(numberOf(call));
  }

  #end(call: Call, state: Covered): void {
    assert.notEqual(call.name, 'io_uring_setup', 'a trace does not see what goes through a ring');
    if (call.result < 0) return;
    if (call.name === 'openat' || call.name === 'open' || call.name === 'creat') this.#open(call);
    else if (call.name === 'mkdir') this.#name(call, [[pathsOf(call)[0], 'directory']]);
    else if (call.name === 'unlink' || call.name === 'rmdir') this.#name(call, [[pathsOf(call)[0], null]]);
    else if (call.name === 'rename') this.#rename(call);
    else if (call.name === 'fsync' || call.name === 'fdatasync') this.#sync(call, state);
    else if (call.name === 'write' || call.name === 'writev') this.#write(call, state.handle);
    else if (call.name !== 'close') {
      // One that changes files and is not modelled would go unseen.
      const inside = pathsOf(call).some((path) => this.#inside(path));
      assert.ok(state.handle === undefined && !inside, `${call.name}(${call.args})`);
    }
  }

  #write(call: Call, handle: Handle | undefined): void {
    if (handle === undefined || handle.of === 'directory') return;
    handle.of.write(handle.at, bytesOf(call).subarray(0, call.result));
    handle.at += call.result;
  }

  #sync(call: Call, { handle, bytes, names }: Covered): void {
    if (handle === undefined) return;
    if (handle.of === 'directory') {
      this.#syncDirectory(handle.path, names);
      return;
    }
    handle.of.durable = Math.max(handle.of.durable, bytes);
    if (handle.path.endsWith('.log')) this.logSyncs.push({ own: handle.writing, begin: call.begin, end: call.end });
  }

  #rename(call: Call): void {
    const [from, to] = pathsOf(call);
    const stands = this.#names.get(from);
    if (stands === undefined) return;
    this.#name(call, [
      [from, null],
      [to, stands],
    ]);
  }

  #inside(path: string): boolean {
    return path === this.#root || path.startsWith(`${this.#root}/`);
  }

  #name(call: Call, changes: Naming['changes']): void {
    if (!changes.some(([path]) => this.#inside(path))) return;
    this.turns.push(call.end);
    this.#namings.push({ changes });
    for (const [path, stands] of changes) {
      if (stands === null) this.#names.delete(path);
      else this.#names.set(path, stands);
    }
  }

  #open(call: Call): void {
    const [path] = pathsOf(call);
    this.#handles.delete(call.result);
    if (!this.#inside(path)) return;
    let of = this.#names.get(path);
    if (of === undefined) {
      assert.match(call.args, /O_CREAT/, `${path} is opened and was never made`);
      of = new Content();
      this.#name(call, [[path, of]]);
    }
    assert.doesNotMatch(call.args, /O_APPEND/);
    if (of !== 'directory' && call.args.includes('O_TRUNC')) of.truncate(0);
    this.#handles.set(call.result, { of, path, writing: call.args.includes('O_WRONLY'), at: 0 });
  }

  #syncDirectory(directory: string, made: number): void {
    for (let index = made; index > this.#durableNamings; index--) {
      if (!this.#namings[index - 1].changes.some(([path]) => dirname(path) === directory)) continue;
      this.#durableNamings = index;
    }
  }

  /** Writes what is left of the directory to another place. */
  survive(fate: Fate, to: string): void {
    const kept = this.#durableNamings + fate.names(this.#namings.length - this.#durableNamings);
    const names = new Map<string, Content | 'directory'>();
    for (const { changes } of this.#namings.slice(0, kept)) {
      for (const [path, stands] of changes) {
        if (stands === null) names.delete(path);
        else names.set(path, stands);
      }
    }
    mkdirSync(to, { recursive: true });
    for (const [path, stands] of [...names].sort(([a], [b]) => a.length - b.length)) {
      const place = join(to, relative(this.#root, path));
      if (stands === 'directory') mkdirSync(place, { recursive: true });
      else writeFileSync(place, stands.surviving(fate));
    }
  }
}
