/** What plugins keep: in the groups of everything else, apart from each other, and there again after a restart. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Broker } from '../../src/broker.js';
import type { Damage } from '../../src/store/damage.js';
import { describeKey } from '../../src/store/describe.js';
import { Family, familyRange, pluginKey } from '../../src/store/keys.js';
import type { Unreadable } from '../../src/store/store.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';

async function kept(broker: Broker, plugin: string): Promise<Record<string, string>> {
  return Object.fromEntries(await broker.storageOf(plugin).entries(String));
}

test('what a plugin has put is there after a restart, what it has deleted is not; plugins do not see each other’s', async () => {
  const store = new LastingStore();
  const first = await Engine.create({ store });
  const storage = first.broker.storageOf('a');
  assert.equal(first.broker.storageOf('a'), storage);
  assert.deepEqual(await kept(first.broker, 'a'), {});
  await Promise.all([storage.put('one', Buffer.from('1')), storage.put('two', Buffer.from('2'))]);
  await first.broker.storageOf('ab').put('one', Buffer.from('another'));
  await Promise.all([storage.put('one', Buffer.from('11')), storage.delete('two'), storage.delete('never there')]);
  await first.stop();
  const second = await Engine.create({ store });
  assert.deepEqual(await kept(second.broker, 'a'), { one: '11' });
  assert.deepEqual(await kept(second.broker, 'ab'), { one: 'another' });
  assert.deepEqual(await kept(second.broker, 'b'), {});
  await second.stop();
});

test('a put resolves once its group is written, in one batch with what else changed in that turn', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  await engine.broker.commit.settled();
  const storage = engine.broker.storageOf('p');
  store.hold();
  const before = store.writes.length;
  let resolved = false;
  const put = storage.put('k', Buffer.from('v')).then(() => {
    resolved = true;
  });
  engine.broker.publish({ topic: 't', payload: 'x', qos: 1, retain: true });
  await store.arrived(before + 1);
  assert.equal(resolved, false);
  assert.deepEqual(store.writes[before].operations.map(({ key }) => key[0]).sort(), [Family.Retained, Family.Plugin]);
  store.letGo();
  await put;
  await engine.stop();
});

test('while the store takes nothing, a put is refused and changes nothing', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store, commit: { sync: 'always', syncInterval: 1000, retryDelay: 1 } });
  await engine.broker.commit.settled();
  const storage = engine.broker.storageOf('p');
  await storage.put('k', Buffer.from('before'));
  store.broken = new Error('full');
  const fails = new Promise<void>((resolve) => engine.broker.commit.load.wait({ storeChanged: resolve }));
  const failing = storage.put('k', Buffer.from('accepted, and written later'));
  await fails;
  assert.throws(() => storage.put('k', Buffer.from('refused')), { code: 'PORTICO_STORE_COMMIT' });
  assert.throws(() => storage.delete('k'), { code: 'PORTICO_STORE_COMMIT' });
  store.broken = null;
  await failing;
  await engine.stop();
  assert.equal(String(await store.get(pluginKey('p', 'k'))), 'accepted, and written later');
});

test('a record that does not decode is set aside and named; the others are there', async () => {
  const aside: Unreadable[] = [];
  class Aside extends LastingStore {
    async setAside(records: readonly Unreadable[]): Promise<void> {
      aside.push(...records);
    }
  }
  const store = new Aside();
  const engine = await Engine.create({ store });
  const storage = engine.broker.storageOf('p');
  await Promise.all([storage.put('bad', Buffer.from('b')), storage.put('good', Buffer.from('g'))]);
  await engine.stop();
  const again = await Engine.create({ store });
  const found = await again.broker.storageOf('p').entries((value) => {
    if (String(value) === 'b') throw new Error('makes no sense');
    return String(value);
  });
  assert.deepEqual(found, [['good', 'g']]);
  assert.deepEqual(
    aside.map(({ key, why }) => [describeKey(key), why]),
    [['the record "bad" of the plugin p', 'makes no sense']],
  );
  assert.equal(describeKey(Buffer.from([Family.Plugin, 9, 1])), 'a record under the unknown key 500901');
  await again.stop();
});

test('a store that was mended under the running broker gets back what plugins keep, and nothing that they do not', async () => {
  class Mended extends LastingStore {
    onDamage: ((damage: Damage) => void) | null = null;
  }
  const store = new Mended();
  const engine = await Engine.create({ store });
  const storage = engine.broker.storageOf('p');
  await storage.entries(String);
  await Promise.all([storage.put('lost', Buffer.from('1')), storage.put('changed', Buffer.from('2'))]);
  await store.write(
    [
      { type: 'del', key: pluginKey('p', 'lost') },
      { type: 'put', key: pluginKey('p', 'changed'), value: Buffer.from('older') },
      { type: 'put', key: pluginKey('p', 'deleted'), value: Buffer.from('back again') },
      { type: 'put', key: pluginKey('not started', 'its own'), value: Buffer.from('3') },
    ],
    true,
  );
  const losses = { changes: 0, bytes: 0, gaps: [], values: [] };
  store.onDamage?.({ kind: 'files', faults: [], folder: 'f', kept: new Map(), losses, clients: new Map() });
  await engine.stop();
  const found: string[] = [];
  for await (const [key, value] of store.entries(familyRange(Family.Plugin)))
    found.push(`${describeKey(key)}: ${value}`);
  assert.deepEqual(found, [
    'the record "changed" of the plugin p: 2',
    'the record "lost" of the plugin p: 1',
    'the record "its own" of the plugin not started: 3',
  ]);
});
