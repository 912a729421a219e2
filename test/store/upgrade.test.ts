/** The version of the store: newer ones are refused, older ones are raised, and what has none is not touched. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Broker } from '../../src/broker.js';
import { PorticoError } from '../../src/errors.js';
import { everything, retainedKey, versionKey } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import { STORE_VERSION } from '../../src/store/records.js';
import type { Operation, Store } from '../../src/store/store.js';
import {
  decodeVersion,
  describeVersion,
  encodeVersion,
  prepareStore,
  UPGRADES,
  type Upgrade,
} from '../../src/store/upgrade.js';
import { version as portico } from '../../src/version.js';
import { GatedStore } from './gated-store.js';

const put = (key: Buffer, value: Buffer): Operation => ({ type: 'put', key, value });

/** A store with a version record of these bytes and one other record. */
async function storeOf(version: Buffer | null): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.write([put(retainedKey('t'), Buffer.from('old'))], true);
  if (version !== null) await store.write([put(versionKey(), version)], true);
  return store;
}

async function contents(store: Store): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for await (const [key, value] of store.entries(everything())) found.push([key.latin1Slice(), value.latin1Slice()]);
  return found;
}

const refusedWith = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof PorticoError && error.code === 'PORTICO_STORE_OPEN', String(error));
  assert.match(error.message, words);
  return true;
};

/** Steps that note that they ran, and change a record. */
function steps(ran: number[], ...from: number[]): Upgrade[] {
  return from.map((version) => ({
    from: version,
    async run(store) {
      ran.push(version);
      await store.write([put(retainedKey('t'), Buffer.from(`of ${version + 1}`))], false);
    },
  }));
}

test('every version below the present one has a step', () => {
  assert.deepEqual(
    UPGRADES.map(({ from }) => from),
    Array.from({ length: STORE_VERSION - 1 }, (_, i) => i + 1),
  );
});

test('a new store says its version and its writer in the first group, before any other record', async () => {
  const store = new GatedStore();
  const broker = await Broker.createBroker({ store });
  broker.publish({ topic: 't', payload: 'x', retain: true });
  await broker.commit.settled();
  const [first] = store.writes;
  assert.deepEqual(first.operations[0], put(versionKey(), encodeVersion({ version: STORE_VERSION, writer: portico })));
  assert.equal(broker.prepared?.found, null);
  await broker.stop();
});

test('a store of this version is taken as it is', async () => {
  const store = await storeOf(encodeVersion({ version: 1, writer: '0.1.0' }));
  const prepared = await prepareStore(store, '0.1.0', { version: 1 });
  assert.deepEqual(prepared, { found: { version: 1, writer: '0.1.0' }, version: 1, operation: null });
  assert.equal(describeVersion(prepared), 'the store has version 1, last written by portico 0.1.0');
});

test('another Portico that knows the version becomes the writer; a version without a writer is known too', async () => {
  const after = put(versionKey(), encodeVersion({ version: 1, writer: '0.1.1' }));
  for (const version of [encodeVersion({ version: 1, writer: '0.2.0' }), Buffer.from([1])]) {
    const { operation } = await prepareStore(await storeOf(version), '0.1.1', { version: 1 });
    assert.deepEqual(operation, after);
  }
  assert.deepEqual(decodeVersion(Buffer.from([1])), { version: 1, writer: '' });
});

test('a newer store is refused with the name of its writer, and stays as it is', async () => {
  const store = await storeOf(encodeVersion({ version: STORE_VERSION + 1, writer: '7.8.9' }));
  const before = await contents(store);
  await assert.rejects(
    Broker.createBroker({ store }),
    refusedWith(
      new RegExp(`written by portico 7\\.8\\.9 and has version ${STORE_VERSION + 1}; .* Run portico 7\\.8\\.9`),
    ),
  );
  assert.deepEqual(await contents(store), before);
  await assert.rejects(prepareStore(await storeOf(Buffer.from([200])), portico), refusedWith(/by a newer portico and/));
});

test('an older store is raised step by step, and says each version once it is on the disk', async () => {
  const ran: number[] = [];
  const store = await storeOf(encodeVersion({ version: 1, writer: '0.1.0' }));
  const prepared = await prepareStore(store, '0.3.0', { version: 3, upgrades: steps(ran, 2, 1) });
  assert.deepEqual(ran, [1, 2]);
  assert.equal(prepared.operation, null);
  assert.deepEqual(await contents(store), [
    ['\x01', '\x030.3.0'],
    ['\x10t', 'of 3'],
  ]);
  assert.equal(
    describeVersion(prepared),
    'the store had version 1, last written by portico 0.1.0, and was raised to version 3',
  );
});

test('a step that fails stops the start; the next start goes on with it', async () => {
  const ran: number[] = [];
  const store = await storeOf(encodeVersion({ version: 1, writer: '0.1.0' }));
  const [one, two] = steps(ran, 1, 2);
  const broken: Upgrade = { from: 2, run: () => Promise.reject(new Error('no space left')) };
  await assert.rejects(
    prepareStore(store, '0.3.0', { version: 3, upgrades: [one, broken] }),
    refusedWith(/cannot be raised from version 2 to 3: no space left/),
  );
  assert.equal((await store.get(versionKey()))?.[0], 2);
  await prepareStore(store, '0.3.0', { version: 3, upgrades: [one, two] });
  assert.deepEqual(ran, [1, 2]);
  assert.equal((await store.get(versionKey()))?.[0], 3);
});

test('a version that is too old for this Portico is refused', async () => {
  const store = await storeOf(encodeVersion({ version: 1, writer: '0.1.0' }));
  await assert.rejects(
    prepareStore(store, '9.0.0', { version: 3, upgrades: steps([], 2) }),
    refusedWith(/has version 1, which portico 9\.0\.0 no longer knows/),
  );
});

test('records without a version, and a version that is damaged, are refused and stay as they are', async () => {
  for (const [version, words] of [
    [null, /has records but says no version: it is not one of Portico, or it is damaged/],
    [Buffer.alloc(0), /version of the store is damaged/],
    [Buffer.from([0]), /version of the store is damaged/],
  ] as const) {
    const store = await storeOf(version);
    const before = await contents(store);
    await assert.rejects(Broker.createBroker({ store }), refusedWith(words));
    assert.deepEqual(await contents(store), before);
  }
});
