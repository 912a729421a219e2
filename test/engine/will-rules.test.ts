/** A will is a publication of its client: the same rules and events. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';

const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: false } as const;

test('a will on $SYS is refused: it would speak in the broker’s name', async () => {
  const engine = await Engine.create();
  const victim = await engine.connect({ clientId: 'victim' });
  // On this topic another broker of a cluster would claim the client.
  const topic = '$SYS/other/new/clients';
  const forged = { ...will, topic, payload: Buffer.from('victim') };
  const modern = await engine.connect({ clientId: 'm', protocolVersion: 5, will: forged });
  assert.equal(modern.connack.reasonCode, 0x87);
  const old = await engine.connect({ clientId: 'o', will: forged });
  assert.equal(old.connack.returnCode, 5);
  await old.end();
  assert.equal(engine.broker.counters.deniedPublish, 2);
  await victim.drain();
  await engine.stop();
});

test('authorizePublish decides on a will, and may change it', async () => {
  const engine = await Engine.create({
    authorizePublish: (client, packet, done) => {
      if (client?.id === 'bad') return done(new Error('not yours'));
      packet.payload = Buffer.from(`${packet.payload}!`);
      setImmediate(done);
    },
  });
  const watcher = await engine.connect({ clientId: 'w' });
  await watcher.subscribe('will', 1);
  await engine.cut(await engine.connect({ clientId: 'bad', will }));
  await engine.cut(await engine.connect({ clientId: 'good', will }));
  assert.equal(String((await watcher.expect('publish')).payload), 'gone!');
  assert.deepEqual(await watcher.drain(), []);
  assert.equal(engine.broker.counters.deniedPublish, 1);
  await engine.stop();
});

test('the publish event and the published hook tell of a will', async () => {
  const hooked: string[] = [];
  const engine = await Engine.create({
    published: (packet, _client, done) => {
      hooked.push(packet.topic);
      done();
    },
  });
  const events: string[] = [];
  engine.broker.on('publish', (packet) => events.push(packet.topic));
  await engine.cut(await engine.connect({ clientId: 'c', will }));
  assert.ok(hooked.includes('will'), String(hooked));
  assert.ok(events.includes('will'), String(events));
  await engine.stop();
});

test('a will whose delay runs survives a restart once', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const delayed = { ...will, properties: { willDelayInterval: 10 } };
  await engine.cut(
    await engine.connect({
      clientId: 'c',
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 100 },
      will: delayed,
    }),
  );
  await engine.broker.commit.settled();
  const restarted = await Engine.create({ store: store.afterCrash() });
  const watcher = await restarted.connect({ clientId: 'w' });
  await watcher.subscribe('will', 1);
  restarted.pass(11);
  assert.equal(String((await watcher.expect('publish')).payload), 'gone');
  restarted.pass(30);
  assert.deepEqual(await watcher.drain(), []);
  await restarted.stop();
  await engine.stop();
});

test('a will whose authorizePublish fails is denied; the process and the other clients go on', async () => {
  const engine = await Engine.create({
    authorizePublish: () => {
      throw new Error('the rules cannot be read');
    },
  });
  const other = await engine.connect({ clientId: 'w' });
  await engine.cut(await engine.connect({ clientId: 'c', will }));
  assert.equal(engine.broker.counters.deniedPublish, 1);
  assert.deepEqual(await other.drain(), []);
  await engine.stop();
});

test('a will that waits for authorizePublish survives kill -9', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store, authorizePublish: () => {} });
  await engine.cut(await engine.connect({ clientId: 'c', will }));
  await engine.broker.commit.settled();
  const published: string[] = [];
  const restarted = await Engine.create({
    store: store.afterCrash(),
    authorizePublish: (_client, packet, done) => {
      published.push(packet.topic);
      done();
    },
  });
  assert.deepEqual(published, ['will']);
  await engine.stop();
  await restarted.stop();
});

test('a will has no more levels than mqtt.max_topic_levels', async () => {
  const engine = await Engine.create();
  const deep = { ...will, topic: new Array(30_000).fill('x').join('/'), retain: true };
  const client = await engine.connect({ clientId: 'c', protocolVersion: 5, will: deep });
  assert.equal(client.connack.reasonCode, 0x90);
  await client.end();
  const other = await engine.connect({ clientId: 'o' });
  await other.subscribe('#', 0);
  assert.deepEqual(await other.drain(), []);
  await engine.stop();
});
