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
      [100, 40, 40, 20],
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

describe('a fault of ours', () => {
  /** What is told of a scene: as a fault, and as a failure of the store. */
  function listen({ commit }: Scene): { faults: unknown[]; others: unknown[] } {
    const told = { faults: [] as unknown[], others: [] as unknown[] };
    commit.onFault = (error, held) => told.faults.push([error, held]);
    commit.onFailure = (error) => told.others.push(error);
    commit.onOverdue = () => told.others.push('overdue');
    return told;
  }

  test('of who says what is to be written: the group waits as a whole, unwritten and unacknowledged, until it can', async (t) => {
    withFakeTimers(t);
    const all = scene();
    const { store, commit, wire, counters } = all;
    const { faults, others } = listen(all);
    const outages: boolean[] = [];
    commit.onRecovery = ({ faulty }) => outages.push(faulty);
    const fault = new Error('our own');
    const [before, faulty, behind] = [new Writer('before'), new Writer('half', 'whole'), new Writer('behind')];
    faulty.fault = fault;
    for (const writer of [before, faulty, behind]) commit.enlist(writer);
    commit.add(put('added'));
    commit.acknowledge(wire, PUBACK, 1, 0);
    let settled = false;
    commit.whenSettled(() => {
      settled = true;
    });
    await turns();
    for (let attempt = 1; attempt <= 3; attempt++) {
      assert.equal(faults.length, attempt);
      assert.deepEqual(faults.at(-1), [fault, true]);
      assert.equal(counters.commitFaults, attempt);
      assert.deepEqual([store.writes.length, wire.sent.length, settled], [0, 0, false]);
      assert.deepEqual([commit.busy, commit.failing, commit.load.cause], [true, true, 'internal fault']);
      // What comes meanwhile joins those that wait.
      behind.names.push(`later ${attempt}`);
      commit.enlist(behind);
      commit.add(put(`added ${attempt}`));
      commit.acknowledge(wire, PUBACK, 1 + attempt, 0);
      if (attempt === 3) faulty.fault = null;
      t.mock.timers.tick(249);
      await turns();
      assert.equal(faults.length, attempt, 'it is asked again after a while, not at once');
      t.mock.timers.tick(1);
      await turns();
    }
    assert.deepEqual(
      store.writes.map(({ operations }) => names(operations)),
      [
        [
          'added',
          'added 1',
          'added 2',
          'added 3',
          'before',
          'half',
          'whole',
          'behind',
          'later 1',
          'later 2',
          'later 3',
        ],
      ],
    );
    assert.deepEqual([wire.sent, settled], [[1, 2, 3, 4], true]);
    assert.deepEqual(
      [before, faulty, behind].map(({ committedTimes }) => committedTimes),
      [1, 1, 1],
    );
    assert.deepEqual([commit.busy, commit.failing, commit.unwritten, outages], [false, false, 0, [true]]);
    assert.deepEqual([others, counters.commitFailures, counters.commits], [[], 0, 1]);
    commit.add(put('next'));
    await commit.settled();
    assert.equal(store.writes.length, 2, 'the groups go on');
    await commit.close();
  });

  test('that leaves nothing to write is over all the same', async (t) => {
    withFakeTimers(t);
    const all = scene();
    const { store, commit, wire } = all;
    const { faults } = listen(all);
    const writer = new Writer('undone');
    writer.fault = new Error('our own');
    commit.enlist(writer);
    commit.acknowledge(wire, PUBACK, 1, 0);
    await turns();
    assert.deepEqual([faults.length, wire.sent], [1, []]);
    writer.names = [];
    t.mock.timers.tick(250);
    await turns();
    assert.deepEqual([wire.sent, store.writes.length, commit.failing], [[1], 0, false]);
    await commit.close();
  });

  test('of who has been written or acknowledged stops nobody else, and is not told as one of the store', async () => {
    const all = scene();
    const { store, commit, wire, counters } = all;
    const { faults, others } = listen(all);
    const errors = ['taken', 'committed', 'acknowledged', 'settled'].map((name) => new Error(name));
    const fail = (error: Error) => (): never => {
      throw error;
    };
    const [first, second, last] = [new Writer('a'), new Writer('b'), new Writer('c')];
    first.collected = fail(errors[0]);
    second.onCommitted = fail(errors[1]);
    for (const writer of [first, second, last]) commit.enlist(writer);
    commit.acknowledge({ acknowledge: fail(errors[2]) }, PUBACK, 1, 0);
    commit.acknowledge(wire, PUBACK, 2, 0);
    commit.whenSettled(fail(errors[3]));
    await commit.settled();
    assert.deepEqual(
      faults,
      errors.map((error) => [error, false]),
    );
    assert.deepEqual([others, counters.commitFaults, counters.commitFailures], [[], 4, 0]);
    assert.deepEqual(names(store.writes[0].operations), ['a', 'b', 'c']);
    assert.deepEqual([last.committedTimes, wire.sent, commit.failing], [1, [2], false]);
    await commit.close();
    assert.equal(store.writes.length, 2, 'closing syncs, and writes nothing else');
  });

  test('a close that it keeps waiting gives up, says why, and does not take the store for one that hangs', async () => {
    const all = scene({ closePatience: 20, retryDelay: 1 });
    const { store, commit, wire } = all;
    const { faults, others } = listen(all);
    const writer = new Writer('a');
    writer.fault = new Error('our own');
    commit.enlist(writer);
    commit.acknowledge(wire, PUBACK, 1, 0);
    await assert.rejects(commit.close(), {
      code: 'PORTICO_STORE_COMMIT',
      message: /not acknowledged, is lost: because of an internal fault nothing was written for 0.02 s/,
    });
    assert.equal(commit.hanging, false);
    const asked = faults.length;
    writer.fault = null;
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual([faults.length, store.writes.length, wire.sent, others], [asked, 0, [], []], 'it is over');
  });
});
