/** A group commit on a store that a test controls, and what joins it. */
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Counters } from '../../src/bus/counters.js';
import { type CommitOptions, GroupCommit } from '../../src/store/commit.js';
import type { Acknowledger, Group, Participant } from '../../src/store/group.js';
import type { Operation } from '../../src/store/store.js';
import { GatedStore } from './gated-store.js';

export const PUBACK = 4;

export function put(name: string): Operation {
  return { type: 'put', key: Buffer.from(name), value: Buffer.from('v') };
}

/** The keys of a write, as they were named. */
export function names(operations: readonly Operation[]): string[] {
  return operations.map((operation) => operation.key.toString());
}

/** Something that writes the names that it has at the time it is asked, and nothing twice; or fails half-way. */
export class Writer implements Participant {
  group: Group | null = null;
  names: string[];
  committedTimes = 0;
  onCommitted: (() => void) | null = null;
  /** What it throws behind its first name, as long as it is set. */
  fault: Error | null = null;

  constructor(...wanted: string[]) {
    this.names = wanted;
  }

  collect(operations: Operation[]): void {
    for (const name of this.names) {
      operations.push(put(name));
      if (this.fault !== null) throw this.fault;
    }
  }

  collected(): void {
    this.names = [];
  }

  committed(): void {
    this.committedTimes++;
    this.onCommitted?.();
  }
}

/** Notes what left, in order. */
export class Wire implements Acknowledger {
  readonly sent: number[] = [];
  onSent: ((packetId: number) => void) | null = null;

  acknowledge(_type: number, packetId: number): void {
    this.sent.push(packetId);
    this.onSent?.(packetId);
  }
}

export interface Scene {
  store: GatedStore;
  commit: GroupCommit;
  counters: Counters;
  wire: Wire;
}

export function scene(changes: Partial<CommitOptions> = {}): Scene {
  const options: CommitOptions = { sync: 'always', syncInterval: 1000, ...changes };
  const store = new GatedStore();
  const counters = new Counters();
  return { store, counters, commit: new GroupCommit(store, options, counters), wire: new Wire() };
}

/** Turns of the event loop, enough for a group to close and for a write that nothing holds back to be done. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

export function withFakeTimers(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
}
