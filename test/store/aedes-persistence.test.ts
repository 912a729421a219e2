import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Counters } from '../../src/bus/counters.js';
import type { AedesPacket } from '../../src/store/aedes-packets.js';
import { AedesPersistence } from '../../src/store/aedes-persistence.js';
import { GroupCommit } from '../../src/store/commit.js';
import { aedesKey } from '../../src/store/keys.js';
import { LevelStore } from '../../src/store/level-store.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import { all, inMemory, newDirectory, noSuchPacket, open, publication } from './aedes-harness.js';
import { GatedStore } from './gated-store.js';

/** The contract's own test suite. */
type AbstractSuite = (options: {
  test: typeof test;
  persistence: () => Promise<AedesPersistence>;
  testAsync: boolean;
}) => void;

const require = createRequire(import.meta.url);
const abstractSuite: AbstractSuite = require('aedes-persistence/abstract.js');

describe('the contract of aedes-persistence on LevelDB', () => {
  abstractSuite({ test, testAsync: true, persistence: async () => open(new LevelStore(await newDirectory())) });
});

describe('the contract of aedes-persistence in memory', () => {
  abstractSuite({ test, testAsync: true, persistence: () => open(new MemoryStore()) });
});

describe('durability', () => {
  test('every change resolves only after its write', async () => {
    const store = new GatedStore();
    const persistence = await open(store);
    await persistence.setup({ id: 'fixed', counter: 0 });
    const client = { id: 'c' };
    const identity = { brokerId: 'fixed', brokerCounter: 1 };
    const changes: [string, () => Promise<unknown>][] = [
      ['storeRetained', () => persistence.storeRetained(publication('t', 'x'))],
      ['storeRetained, clearing', () => persistence.storeRetained(publication('t', ''))],
      ['addSubscriptions', () => persistence.addSubscriptions(client, [{ topic: 't', qos: 1 }])],
      ['removeSubscriptions', () => persistence.removeSubscriptions(client, ['t'])],
      ['addSubscriptions, again', () => persistence.addSubscriptions(client, [{ topic: 't', qos: 1 }])],
      ['cleanSubscriptions', () => persistence.cleanSubscriptions(client)],
      ['outgoingEnqueue', () => persistence.outgoingEnqueue({ clientId: 'c' }, publication('t', 'x', identity))],
      ['outgoingEnqueueCombi', () => persistence.outgoingEnqueueCombi([{ clientId: 'd' }], publication('t', 'x'))],
      ['outgoingUpdate', () => persistence.outgoingUpdate(client, { ...identity, messageId: 1 })],
      ['outgoingUpdate, PUBREL', () => persistence.outgoingUpdate(client, { cmd: 'pubrel', messageId: 1 })],
      ['outgoingClearMessageId', () => persistence.outgoingClearMessageId(client, { messageId: 1 })],
      ['incomingStorePacket', () => persistence.incomingStorePacket(client, publication('t', 'x', { messageId: 1 }))],
      ['incomingDelPacket', () => persistence.incomingDelPacket(client, { messageId: 1 })],
      [
        'incomingStorePacket, again',
        () => persistence.incomingStorePacket(client, publication('t', 'x', { messageId: 1 })),
      ],
      ['cleanIncoming', () => persistence.cleanIncoming(client)],
      ['putWill', () => persistence.putWill(client, publication('w', 'x'))],
      ['delWill', () => persistence.delWill(client)],
    ];
    store.hold();
    for (const [name, change] of changes) {
      const before = store.writes.length;
      let resolved = false;
      const done = change().then(() => {
        resolved = true;
      });
      await store.arrived(before + 1);
      await turn();
      assert.equal(resolved, false, name);
      store.release();
      await done;
      assert.equal(store.writes.length, before + 1, name);
      assert.ok(store.writes[before].operations.length > 0, name);
    }
    store.letGo();
    await persistence.destroy();
  });

  test('a publication is not found by its Packet Identifier before it is durable, so that no PUBREC leaves too early', async () => {
    const store = new GatedStore();
    const persistence = await open(store);
    await persistence.setup({ id: 'fixed', counter: 0 });
    store.hold();
    const order: string[] = [];
    const stored = persistence
      .incomingStorePacket({ id: 'c' }, publication('t', 'x', { messageId: 1 }))
      .then(() => order.push('stored'));
    const found = persistence.incomingGetPacket({ id: 'c' }, { messageId: 1 }).then(() => order.push('found'));
    await store.arrived(1);
    await turn();
    assert.deepEqual(order, []);
    store.letGo();
    await Promise.all([stored, found]);
    assert.deepEqual(order.sort(), ['found', 'stored']);
    await persistence.destroy();
  });

  test('changes that are not durable yet are visible at once', async () => {
    const store = new GatedStore();
    const persistence = await open(store);
    await persistence.setup({ id: 'fixed', counter: 0 });
    store.hold();
    const first = persistence.storeRetained(publication('t', 'first'));
    assert.deepEqual(
      (await all(persistence.createRetainedStream('t'))).map(({ payload }) => payload),
      ['first'],
    );
    await store.arrived(1);
    const written = await all(persistence.createRetainedStream('t'));
    assert.equal(written[0]?.payload, 'first', 'while it is being written');
    const second = persistence.storeRetained(publication('t', 'second'));
    assert.deepEqual(
      (await all(persistence.createRetainedStream('t'))).map(({ payload }) => payload),
      ['second'],
    );
    const third = persistence.storeRetained(publication('t', ''));
    assert.deepEqual(await all(persistence.createRetainedStream('t')), []);
    const queued = persistence.outgoingEnqueue({ clientId: 'c' }, publication('t', 'x'));
    assert.equal((await all(persistence.outgoingStream({ id: 'c' }))).length, 1);
    store.letGo();
    await Promise.all([first, second, third, queued]);
    assert.deepEqual(await all(persistence.createRetainedStream('t')), []);
    assert.equal((await all(persistence.outgoingStream({ id: 'c' }))).length, 1);
    await persistence.destroy();
  });

  test('a will that is put while the former one is being deleted stays', async () => {
    const persistence = await inMemory();
    await persistence.putWill({ id: 'c' }, publication('w', 'old'));
    const deleted = persistence.delWill({ id: 'c' });
    await persistence.putWill({ id: 'c' }, publication('w', 'new'));
    assert.equal((await deleted)?.payload, 'old');
    assert.equal((await persistence.getWill({ id: 'c' }))?.payload, 'new');
    await persistence.destroy();
  });
});

describe('queues', () => {
  test('two acknowledgements with one Packet Identifier remove one packet', async () => {
    const persistence = await inMemory();
    const client = { id: 'c' };
    await persistence.outgoingEnqueue(
      { clientId: 'c' },
      publication('t', 'x', { brokerId: 'fixed', brokerCounter: 1 }),
    );
    await persistence.outgoingEnqueue(
      { clientId: 'c' },
      publication('t', 'y', { brokerId: 'fixed', brokerCounter: 2 }),
    );
    await persistence.outgoingUpdate(client, { brokerId: 'fixed', brokerCounter: 1, messageId: 1 });
    const cleared = await Promise.all([
      persistence.outgoingClearMessageId(client, { messageId: 1 }),
      persistence.outgoingClearMessageId(client, { messageId: 1 }),
    ]);
    assert.deepEqual(
      cleared.map((packet) => packet?.payload),
      ['x', undefined],
    );
    assert.equal((await all(persistence.outgoingStream(client))).length, 1);
    await persistence.destroy();
  });

  test('a packet that was never sent is cleared by its identity', async () => {
    const persistence = await inMemory();
    const packet = publication('t', 'x', { brokerId: 'fixed', brokerCounter: 2 });
    await persistence.outgoingEnqueue(
      { clientId: 'c' },
      publication('t', 'w', { brokerId: 'fixed', brokerCounter: 1 }),
    );
    await persistence.outgoingEnqueue({ clientId: 'c' }, packet);
    assert.equal((await persistence.outgoingClearMessageId({ id: 'c' }, packet))?.payload, 'x');
    assert.deepEqual(
      (await all(persistence.outgoingStream({ id: 'c' }))).map(({ payload }) => payload),
      ['w'],
    );
    await persistence.destroy();
  });

  test('a Packet Identifier that comes round again does not replace the packet of another broker run', async () => {
    const persistence = await inMemory();
    const client = { id: 'c' };
    await persistence.outgoingEnqueue(
      { clientId: 'c' },
      publication('t', 'old', { brokerId: 'former', brokerCounter: 1 }),
    );
    await persistence.outgoingUpdate(client, { brokerId: 'former', brokerCounter: 1, messageId: 1 });
    const next = publication('t', 'new', { brokerId: 'fixed', brokerCounter: 1 });
    await persistence.outgoingEnqueue({ clientId: 'c' }, next);
    await persistence.outgoingUpdate(client, { ...next, messageId: 1 });
    assert.deepEqual(
      (await all(persistence.outgoingStream(client))).map(({ payload }) => payload),
      ['old', 'new'],
    );
    await persistence.destroy();
  });

  test('an update of what is not queued is refused', async () => {
    const persistence = await inMemory();
    await assert.rejects(persistence.outgoingUpdate({ id: 'c' }, { cmd: 'pubrel', messageId: 1 }), noSuchPacket);
    await persistence.destroy();
  });

  test('a stream shows what became of a packet before its turn', async () => {
    const persistence = await inMemory();
    const client = { id: 'c' };
    for (let brokerCounter = 1; brokerCounter <= 3; brokerCounter++) {
      const identity = { brokerId: 'fixed', brokerCounter };
      await persistence.outgoingEnqueue(
        { clientId: 'c' },
        publication('t', `${brokerCounter}`, { ...identity, qos: 2 }),
      );
      await persistence.outgoingUpdate(client, { ...identity, messageId: brokerCounter });
    }
    const stream = persistence.outgoingStream(client);
    await persistence.outgoingClearMessageId(client, { messageId: 1 });
    await persistence.outgoingUpdate(client, { cmd: 'pubrel', messageId: 2 });
    await persistence.outgoingUpdate(client, { brokerId: 'fixed', brokerCounter: 3, messageId: 4 });
    const seen = (await all(stream)).map(({ cmd, messageId }) => [cmd, messageId]);
    assert.deepEqual(seen, [
      ['pubrel', 2],
      ['publish', 4],
    ]);
    await persistence.destroy();
  });

  test('changing a packet that was read changes nothing in the store', async () => {
    const persistence = await inMemory();
    await persistence.outgoingEnqueue({ clientId: 'c' }, publication('t', Buffer.from('abc')));
    const [first] = await all(persistence.outgoingStream({ id: 'c' }));
    if (Buffer.isBuffer(first.payload)) first.payload.fill(0);
    const [second] = await all(persistence.outgoingStream({ id: 'c' }));
    assert.deepEqual(second.payload, Buffer.from('abc'));
    await persistence.destroy();
  });
});

test('[MQTT-4.7.2-1] a wildcard in the first level finds no retained packet of a $ topic', async () => {
  const persistence = await inMemory();
  await persistence.storeRetained(publication('$SYS/x', '1'));
  assert.deepEqual(await all(persistence.createRetainedStreamCombi(['#', '+/x'])), []);
  assert.equal((await all(persistence.createRetainedStream('$SYS/#'))).length, 1);
  await persistence.destroy();
});

test('a broker named after something every object has is not taken for alive', async () => {
  const persistence = await open(new MemoryStore());
  await persistence.setup({ id: 'constructor', counter: 0 });
  await persistence.putWill({ id: 'c' }, publication('w', 'x'));
  assert.equal((await all(persistence.streamWill({}))).length, 1);
  await persistence.destroy();
});

test('after destroy everything is refused', async () => {
  const persistence = await inMemory();
  await persistence.destroy();
  await assert.rejects(persistence.storeRetained(publication('t', 'x')), { code: 'PORTICO_CLOSED' });
  await assert.rejects(persistence.destroy(), { code: 'PORTICO_CLOSED' });
});

test('a subclass that keeps retained packets itself needs nothing else to change', async () => {
  class Elsewhere extends AedesPersistence {
    readonly kept = new Map<string, AedesPacket>();

    override async storeRetained(packet: AedesPacket): Promise<void> {
      this.assertOpen();
      this.kept.set(packet.topic ?? '', packet);
      this.put(aedesKey(0x80, packet.topic ?? ''), Buffer.from('own record'));
      await this.durable();
    }

    override createRetainedStreamCombi(patterns: readonly string[]): Readable {
      return Readable.from(patterns.flatMap((pattern) => this.kept.get(pattern) ?? []));
    }
  }
  const store = new MemoryStore();
  const commit = new GroupCommit(store, { sync: 'never', syncInterval: 1000 }, new Counters());
  const persistence = new Elsewhere(store, commit);
  await persistence.setup({ id: 'fixed', counter: 0 });
  await persistence.storeRetained(publication('t', 'x'));
  await persistence.outgoingEnqueue({ clientId: 'c' }, publication('t', 'y'));
  assert.deepEqual(await all(persistence.createRetainedStream('t')), [publication('t', 'x')]);
  assert.equal((await all(persistence.outgoingStream({ id: 'c' }))).length, 1);
  assert.deepEqual(await store.get(aedesKey(0x80, 't')), Buffer.from('own record'));
  await persistence.destroy();
  await commit.close();
});
