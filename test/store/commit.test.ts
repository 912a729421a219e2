import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { names, PUBACK, put, type Scene, scene, turns, Writer, withFakeTimers } from './commit-scene.js';

describe('a group', () => {
  test('everything of one turn goes to the store in one batch', async () => {
    const { store, commit, counters } = scene();
    commit.enlist(new Writer('a', 'b'));
    commit.add(put('c'));
    await Promise.resolve();
    const writer = new Writer('d');
    commit.enlist(writer);
    commit.enlist(writer);
    await commit.settled();
    assert.deepEqual(
      store.writes.map(({ operations }) => names(operations).sort()),
      [['a', 'b', 'c', 'd']],
    );
    assert.deepEqual([counters.commits, counters.commitOperations], [1, 4]);
    assert.equal(writer.committedTimes, 1);
    await commit.close();
  });

  test('while many join in each turn the group stays open, and what joins is written together', async () => {
    const { store, commit } = scene({ growth: Number.POSITIVE_INFINITY });
    for (let turnsOfMany = 0; turnsOfMany < 5; turnsOfMany++) {
      for (let i = 0; i < 20; i++) commit.add(put(`${turnsOfMany}/${i}`));
      await turn();
    }
    await commit.settled();
    assert.deepEqual(
      store.writes.map(({ operations }) => operations.length),
      [100],
    );
    await commit.close();
  });

  test('a group in which many join in each turn closes when its time is over, counted from its first turn', async (t) => {
    let now = 1;
    t.mock.method(performance, 'now', () => now);
    const { store, commit } = scene({ growth: 3 });
    for (; now <= 8; now++) {
      for (let i = 0; i < 20; i++) commit.add(put(`${now}/${i}`));
      await turn();
    }
    await commit.settled();
    assert.deepEqual(
      store.writes.map(({ operations }) => operations.length),
      [80, 80],
    );
    await commit.close();
  });

  test('a group does not stay open for few, nor without time', async () => {
    for (const [options, joining] of [
      [{ growth: Number.POSITIVE_INFINITY }, 3],
      [{ growth: 0 }, 20],
    ] as const) {
      const { store, commit } = scene(options);
      store.hold();
      for (let i = 0; i < joining; i++) commit.add(put(`first/${i}`));
      await store.arrived(1);
      commit.add(put('second'));
      store.letGo();
      await commit.settled();
      assert.deepEqual(
        store.writes.map(({ operations }) => operations.length),
        [joining, 1],
      );
      await commit.close();
    }
  });

  test('where all wait for their acknowledgement, some are left to be served while the group of the others is written', async () => {
    const { store, commit, wire } = scene({ growth: Number.POSITIVE_INFINITY });
    const join = async (turnsOfMany: number): Promise<void> => {
      for (let left = turnsOfMany; left > 0; left--) {
        for (let i = 0; i < 20; i++) {
          commit.add(put(`${left}/${i}`));
          commit.acknowledge(wire, PUBACK, 1, 0);
        }
        await turn();
      }
    };
    await join(5);
    await commit.settled();
    await join(5);
    await commit.settled();
    assert.deepEqual(
      store.writes.map(({ operations }) => operations.length),
      [100, 80, 20],
    );
    await commit.close();
  });

  test('a participant is asked when the group closes, so that what is undone until then is never written', async () => {
    const { store, commit, wire, counters } = scene();
    const writer = new Writer('a');
    commit.enlist(writer);
    commit.acknowledge(wire, PUBACK, 1, 0);
    writer.names = [];
    await commit.settled();
    assert.equal(store.writes.length, 0);
    assert.equal(counters.commits, 0);
    assert.deepEqual(wire.sent, [1]);
    assert.equal(writer.committedTimes, 1);
    await commit.close();
  });

  test('acknowledgements leave after the write, in the order in which they joined', async () => {
    const { store, commit, wire } = scene();
    store.hold();
    commit.add(put('a'));
    for (const packetId of [3, 1, 2]) commit.acknowledge(wire, PUBACK, packetId, 0);
    await store.arrived(1);
    await turns();
    assert.deepEqual(wire.sent, []);
    commit.add(put('b'));
    commit.acknowledge(wire, PUBACK, 4, 0);
    await turns();
    assert.equal(store.writes.length, 1, 'one group is written at a time');
    store.release();
    await store.arrived(2);
    assert.deepEqual(wire.sent, [3, 1, 2]);
    store.release();
    await turns();
    assert.deepEqual(wire.sent, [3, 1, 2, 4]);
    store.letGo();
    await commit.close();
  });

  test('an acknowledgement carries packet type, packet identifier, reason code and the bytes that it stands for', async () => {
    const { commit } = scene();
    const sent: number[][] = [];
    commit.acknowledge({ acknowledge: (...all) => sent.push(all) }, 5, 65535, 0x10, 77);
    commit.acknowledge({ acknowledge: (...all) => sent.push(all) }, 7, 1, 0x92);
    await commit.settled();
    assert.deepEqual(sent, [
      [5, 65535, 0x10, 77],
      [7, 1, 0x92, 0],
    ]);
    await commit.close();
  });

  test('an acknowledgement that needs nothing written still waits for the group before it', async () => {
    const { store, commit, wire } = scene();
    store.hold();
    commit.add(put('a'));
    await store.arrived(1);
    commit.acknowledge(wire, PUBACK, 1, 0);
    await turns();
    assert.deepEqual(wire.sent, []);
    store.letGo();
    await turns();
    assert.deepEqual(wire.sent, [1]);
    assert.equal(store.writes.length, 1);
    await commit.close();
  });

  test('what joins during a write goes into the next batch, all of it into one', async () => {
    const { store, commit } = scene();
    store.hold();
    const writer = new Writer('a');
    commit.enlist(writer);
    await store.arrived(1);
    writer.names = ['b'];
    commit.enlist(writer);
    commit.add(put('c'));
    await turns();
    commit.add(put('d'));
    await turns();
    assert.equal(store.writes.length, 1);
    store.letGo();
    await commit.settled();
    assert.deepEqual(
      store.writes.map(({ operations }) => names(operations).sort()),
      [['a'], ['b', 'c', 'd']],
    );
    assert.equal(store.mostInFlight, 1);
    assert.equal(writer.committedTimes, 2);
    await commit.close();
  });

  for (const [who, join] of [
    [
      'an acknowledgement',
      ({ commit, wire }: Scene, then: () => void) => {
        wire.onSent = then;
        commit.acknowledge(wire, PUBACK, 1, 0);
      },
    ],
    [
      'a participant that is told of its commit',
      ({ commit }: Scene, then: () => void) => {
        const writer = new Writer();
        writer.onCommitted = then;
        commit.enlist(writer);
      },
    ],
    [
      'a callback',
      ({ commit }: Scene, then: () => void) => {
        commit.add(put('before'));
        commit.whenSettled(then);
      },
    ],
  ] as const) {
    test(`what ${who} brings in is written before anything after it, one group at a time`, async () => {
      const all = scene();
      const { store, commit } = all;
      let settled = false;
      commit.add(put('first'));
      join(all, () => {
        store.hold();
        commit.add(put('second'));
      });
      while (names(store.writes.at(-1)?.operations ?? [])[0] !== 'second') await turn();
      commit.add(put('third'));
      void commit.settled().then(() => {
        settled = true;
      });
      await turns();
      assert.equal(commit.busy, true);
      assert.equal(settled, false, 'the second group has not been written');
      assert.equal(store.inFlight, 1);
      assert.equal(store.mostInFlight, 1);
      store.letGo();
      await commit.settled();
      assert.deepEqual(store.writes.map(({ operations }) => names(operations).at(-1)).slice(-2), ['second', 'third']);
      await commit.close();
    });
  }
});

describe('settled', () => {
  test('resolves at once when nothing has joined', async () => {
    const { store, commit } = scene();
    assert.equal(commit.busy, false);
    await commit.settled();
    let called = false;
    commit.whenSettled(() => {
      called = true;
    });
    assert.equal(called, true);
    assert.equal(store.writes.length, 0);
    await commit.close();
  });

  test('resolves when the open group and the one being written are durable', async () => {
    const { store, commit } = scene();
    store.hold();
    const order: string[] = [];
    commit.add(put('a'));
    void commit.settled().then(() => order.push('a'));
    await store.arrived(1);
    commit.add(put('b'));
    void commit.settled().then(() => order.push('b'));
    commit.whenSettled(() => order.push('callback'));
    await turns();
    assert.deepEqual(order, []);
    store.release();
    await store.arrived(2);
    await turns();
    assert.deepEqual(order, ['a']);
    store.letGo();
    await commit.settled();
    assert.deepEqual(order.sort(), ['a', 'b', 'callback']);
    assert.equal(commit.busy, false);
    await commit.close();
  });

  test('waits for the write that is under way even if nothing joined after it', async () => {
    const { store, commit } = scene();
    store.hold();
    commit.add(put('a'));
    await store.arrived(1);
    let settled = false;
    const waiting = commit.settled().then(() => {
      settled = true;
    });
    await turns();
    assert.equal(settled, false);
    store.letGo();
    await waiting;
    assert.equal(store.writes.length, 1);
    await commit.close();
  });

  test('the revision grows with every change that joins', async () => {
    const { commit } = scene();
    const before = commit.revision;
    commit.add(put('a'));
    commit.enlist(new Writer('b'));
    assert.equal(commit.revision, before + 2);
    await commit.close();
  });
});

describe('a failed write', () => {
  test('is tried again as it was, and nothing is acknowledged meanwhile', async (t) => {
    withFakeTimers(t);
    const { store, commit, wire, counters } = scene();
    const failures: unknown[] = [];
    let recoveries = 0;
    commit.onFailure = (error) => failures.push(error);
    commit.onRecovery = () => recoveries++;
    const full = new Error('disk full');
    store.fail(full, full);
    const writer = new Writer('a');
    commit.enlist(writer);
    commit.acknowledge(wire, PUBACK, 1, 0);
    await store.arrived(1);
    await turns();
    commit.add(put('b'));
    commit.acknowledge(wire, PUBACK, 2, 0);
    for (let attempt = 1; attempt <= 2; attempt++) {
      assert.deepEqual(wire.sent, []);
      assert.equal(writer.committedTimes, 0);
      assert.equal(commit.failing, true);
      assert.equal(commit.busy, true);
      assert.equal(counters.commitFailures, attempt);
      assert.equal(failures[attempt - 1], full);
      assert.equal(recoveries, 0);
      assert.equal(store.writes.length, attempt, 'no attempt before its time, and no later group before it');
      t.mock.timers.tick(250);
      await turns();
    }
    assert.deepEqual(
      store.writes.map(({ operations }) => names(operations)),
      [['a'], ['a'], ['a'], ['b']],
    );
    assert.deepEqual(wire.sent, [1, 2]);
    assert.equal(recoveries, 1);
    assert.equal(commit.failing, false);
    assert.deepEqual([counters.commits, counters.commitFailures], [2, 2]);
    await commit.close();
  });
});
