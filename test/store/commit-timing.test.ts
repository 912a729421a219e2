import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { LevelStore } from '../../src/store/level-store.js';
import { names, PUBACK, put, scene, turns, Writer, withFakeTimers } from './commit-scene.js';
import type { GatedStore } from './gated-store.js';

describe('lazy state', () => {
  test('waits for half a second', async (t) => {
    withFakeTimers(t);
    const { store, commit } = scene();
    const writer = new Writer('lazy');
    commit.enlistLazily(writer);
    assert.equal(commit.busy, false);
    t.mock.timers.tick(499);
    await turns();
    assert.equal(store.writes.length, 0);
    t.mock.timers.tick(1);
    await turns();
    assert.deepEqual(
      store.writes.map(({ operations }) => names(operations)),
      [['lazy']],
    );
    assert.equal(writer.committedTimes, 1);
    await commit.close();
  });

  test('goes with a group that is written anyway, once', async (t) => {
    withFakeTimers(t);
    const { store, commit } = scene();
    const lazy = new Writer('lazy');
    const both = new Writer('both');
    commit.enlistLazily(lazy);
    commit.enlistLazily(both);
    commit.enlist(both);
    commit.enlistLazily(both);
    await commit.settled();
    t.mock.timers.tick(500);
    await turns();
    assert.deepEqual(
      store.writes.map(({ operations }) => names(operations).sort()),
      [['both', 'lazy']],
    );
    assert.deepEqual([lazy.committedTimes, both.committedTimes], [1, 1]);
    await commit.close();
  });

  test('is written by close', async () => {
    const { store, commit } = scene();
    commit.enlistLazily(new Writer('lazy'));
    await commit.close();
    assert.deepEqual(names(store.writes[0].operations), ['lazy']);
  });
});

describe('close', () => {
  test('waits for the write under way and for what joined during it', async () => {
    const { store, commit, wire } = scene();
    store.hold();
    commit.add(put('a'));
    commit.acknowledge(wire, PUBACK, 1, 0);
    await store.arrived(1);
    commit.add(put('b'));
    commit.acknowledge(wire, PUBACK, 2, 0);
    commit.enlistLazily(new Writer('lazy'));
    const closed = commit.close();
    store.letGo();
    await closed;
    assert.deepEqual(
      store.writes.slice(0, 2).map(({ operations }) => names(operations).sort()),
      [['a'], ['b', 'lazy']],
    );
    assert.deepEqual(wire.sent, [1, 2]);
    assert.equal(commit.busy, false);
  });

  test('waits for whoever adds more than at once', async () => {
    const { store, commit } = scene();
    commit.expected++;
    commit.add(put('first part'));
    const closed = commit.close();
    await store.arrived(1);
    await turns();
    commit.add(put('second part'));
    await turns();
    commit.add(put('third part'));
    commit.expected--;
    await closed;
    const written = store.writes.flatMap(({ operations }) => names(operations));
    assert.deepEqual(written, ['first part', 'second part', 'third part']);
  });

  test('can be called twice', async () => {
    const { commit } = scene();
    commit.add(put('a'));
    await Promise.all([commit.close(), commit.close()]);
    await commit.close();
  });

  test('what joins while the last acknowledgements leave is written before it resolves', async () => {
    const { store, commit, wire } = scene();
    commit.add(put('a'));
    commit.acknowledge(wire, PUBACK, 1, 0);
    wire.onSent = () => commit.add(put('late'));
    await commit.close();
    const written = store.writes.flatMap(({ operations }) => names(operations));
    assert.ok(written.includes('late'), written.join(' '));
    assert.equal(store.inFlight, 0);
    const count = store.writes.length;
    await turns();
    assert.equal(store.writes.length, count, 'nothing is written to a store that may be closed by now');
  });
});

describe('sync', () => {
  const syncs = (store: GatedStore): boolean[] => store.writes.map(({ sync }) => sync);

  test('always: every write reaches the disk before it is acknowledged', async () => {
    const { store, commit } = scene({ sync: 'always', syncInterval: 10 });
    commit.add(put('a'));
    await commit.settled();
    commit.add(put('b'));
    await commit.settled();
    assert.deepEqual(syncs(store), [true, true]);
    await commit.close();
  });

  test('interval: writes do not wait for the disk, a timer brings them there if there was any', async (t) => {
    withFakeTimers(t);
    const { store, commit } = scene({ sync: 'interval', syncInterval: 700 });
    commit.add(put('a'));
    await commit.settled();
    assert.deepEqual(syncs(store), [false]);
    t.mock.timers.tick(699);
    assert.deepEqual(syncs(store), [false]);
    t.mock.timers.tick(1);
    await turns();
    assert.deepEqual(syncs(store), [false, true]);
    t.mock.timers.tick(7000);
    await turns();
    assert.deepEqual(syncs(store), [false, true], 'without a write there is nothing to bring to the disk');
    commit.add(put('b'));
    await commit.settled();
    await commit.close();
    assert.equal(syncs(store).at(-1), true, 'close brings the rest');
    const count = store.writes.length;
    t.mock.timers.tick(7000);
    await turns();
    assert.equal(store.writes.length, count);
  });

  test('interval: a sync that failed is told as one for which no acknowledgement waits, tried again, and its recovery is told', async (t) => {
    withFakeTimers(t);
    const { store, commit, wire, counters } = scene({ sync: 'interval', syncInterval: 700 });
    const told: unknown[] = [];
    commit.onFailure = () => told.push('a write failed');
    commit.onRecovery = () => told.push('writes work again');
    assert.ok(commit.timedSync);
    commit.timedSync.onFailure = (error) => told.push(error);
    commit.timedSync.onRecovery = (milliseconds) => told.push(milliseconds >= 0 && 'syncs work again');
    commit.add(put('a'));
    await commit.settled();
    const full = new Error('disk full');
    store.fail(full);
    t.mock.timers.tick(700);
    await turns();
    assert.deepEqual(told, [full]);
    commit.add(put('b'));
    commit.acknowledge(wire, PUBACK, 1, 0);
    await commit.settled();
    assert.deepEqual([wire.sent, commit.failing], [[1], false]);
    t.mock.timers.tick(700);
    await turns();
    assert.deepEqual(syncs(store), [false, true, false, true]);
    assert.deepEqual(told, [full, 'syncs work again']);
    assert.deepEqual([counters.syncFailures, counters.commitFailures], [1, 0]);
    commit.add(put('c'));
    await commit.settled();
    t.mock.timers.tick(700);
    await turns();
    assert.equal(told.length, 2, 'a sync that follows one that succeeded is nothing to tell');
    await commit.close();
  });

  test('never: neither writes nor close wait for the disk', async (t) => {
    withFakeTimers(t);
    const { store, commit } = scene({ sync: 'never', syncInterval: 10 });
    commit.add(put('a'));
    await commit.settled();
    t.mock.timers.tick(10_000);
    await turns();
    await commit.close();
    assert.deepEqual(syncs(store), [false]);
  });

  test('LevelDB: a synchronous write without operations reaches the log and so flushes what was written before', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'portico-sync-'));
    const logSize = async (): Promise<number> => {
      const logs = (await readdir(directory)).filter((name) => name.endsWith('.log'));
      const sizes = await Promise.all(logs.map(async (name) => (await stat(join(directory, name))).size));
      return sizes.reduce((sum, size) => sum + size, 0);
    };
    const store = new LevelStore(directory);
    try {
      await store.open();
      await store.write([put('a')], false);
      const before = await logSize();
      await store.write([], true);
      // LevelDB flushes its log only together with a record that it appends to it.
      assert.ok((await logSize()) > before);
      assert.deepEqual(await store.get(Buffer.from('a')), Buffer.from('v'));
    } finally {
      await store.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
