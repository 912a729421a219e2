/** `access.check_retain_source`: retained messages and the rights that their publishers have now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { DEFAULT_OPTIONS } from '../../src/session/default-options.js';
import { retainedKey, versionKey } from '../../src/store/keys.js';
import { encodeMessage } from '../../src/store/records.js';
import { encodeVersion } from '../../src/store/upgrade.js';
import { Engine, type RawClient } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';

const acl = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');

const WITNESS = 'user w\ntopic read #\ntopic read $SYS/#\n';
const ANN = acl(`${WITNESS}user ann\ntopic write a/#\ntopic write w/#\n`);
const NOBODY = acl(WITNESS);
const LIMITS = { messages: 1e6, bytes: 1e9 };

function topics(packets: readonly Packet[]): string[] {
  return packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.topic] : [])).sort();
}

/** What a new subscription of a client that may read everything is sent. */
async function read(engine: Engine, filter: string): Promise<string[]> {
  const client = await engine.connect({ clientId: 'witness', username: 'w', protocolVersion: 5 });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] });
  await client.expect('suback');
  const found = topics(await client.drainTurns());
  await engine.cut(client);
  return found;
}

async function ann(engine: Engine): Promise<RawClient> {
  return await engine.connect({ clientId: 'c-ann', username: 'ann', protocolVersion: 5 });
}

async function retain(client: RawClient, topic: string, payload = 'x'): Promise<void> {
  client.publish(topic, payload, { qos: 1, retain: true, messageId: 3 });
  await client.expect('puback');
}

/** Lines of what was denied. */
function deniedOf(engine: Engine): string[] {
  const lines: string[] = [];
  engine.broker.environment.journal.denied = (party, action, topic, reason) =>
    lines.push(`${party.username} ${party.id} ${action} ${topic}: ${reason}`);
  return lines;
}

test('a retained message is delivered while its publisher may still publish it, counted and logged if not', async () => {
  const engine = await Engine.create({ acl: ANN });
  const denied = deniedOf(engine);
  const client = await ann(engine);
  for (const topic of ['a/1', 'a/2', 'w/1']) await retain(client, topic);
  assert.deepEqual(await read(engine, '#'), ['a/1', 'a/2', 'w/1']);
  engine.broker.replaceAcl(acl(`${WITNESS}user ann\ntopic write a/#\ntopic deny a/2\n`));
  assert.deepEqual(await read(engine, '#'), ['a/1']);
  assert.deepEqual(await read(engine, 'a/2'), []);
  assert.deepEqual(await read(engine, 'a/+'), ['a/1']);
  assert.equal(engine.broker.counters.withheldRetained, 4);
  assert.deepEqual(denied.sort(), [
    'ann c-ann publish a/2: its retained message is not delivered (access.check_retain_source): FILE:6: topic deny a/2',
    'ann c-ann publish w/1: its retained message is not delivered (access.check_retain_source): no rule allows it',
  ]);
  engine.broker.replaceAcl(ANN);
  assert.deepEqual(await read(engine, '#'), ['a/1', 'a/2', 'w/1']);
  engine.broker.replaceAcl(NOBODY);
  assert.deepEqual(await read(engine, '#'), []);
  engine.broker.replaceAcl(null);
  assert.deepEqual(await read(engine, '#'), ['a/1', 'a/2', 'w/1']);
  await engine.stop();
});

test('what was decided is not decided again until the list changes, nor kept for another message of the topic', async () => {
  const engine = await Engine.create({ acl: ANN });
  const denied = deniedOf(engine);
  const client = await ann(engine);
  await retain(client, 'a/1');
  engine.broker.replaceAcl(NOBODY);
  for (let times = 0; times < 5; times++) assert.deepEqual(await read(engine, '#'), []);
  assert.equal(denied.length, 1);
  engine.broker.publish({ topic: 'a/1', payload: 'of the broker', retain: true });
  assert.deepEqual(await read(engine, '#'), ['a/1']);
  await engine.stop();
});

test('the option says whether it is asked, also after a reload', async () => {
  const engine = await Engine.create({ acl: ANN, session: { checkRetainSource: false } });
  await retain(await ann(engine), 'a/1');
  engine.broker.replaceAcl(NOBODY);
  assert.deepEqual(await read(engine, '#'), ['a/1']);
  engine.broker.replaceOptions({ ...DEFAULT_OPTIONS, checkRetainSource: true }, LIMITS);
  assert.deepEqual(await read(engine, '#'), []);
  engine.broker.replaceOptions({ ...DEFAULT_OPTIONS, checkRetainSource: false }, LIMITS);
  assert.deepEqual(await read(engine, '#'), ['a/1']);
  await engine.stop();
});

test('what the broker, its configuration or an extension retains needs nobody’s right', async () => {
  const engine = await Engine.create({ acl: NOBODY });
  const { broker } = engine;
  broker.publish({ topic: 'own/broker', payload: 'x', retain: true });
  broker.publish({ topic: '$SYS/broker/x', payload: 'x', retain: true });
  const plugin = broker.openClient({ id: 'plugin', remote: 'internal', transport: 'internal', trusted: true });
  plugin.publish('own/plugin', Buffer.from('x'), { retain: true }, null);
  await broker.persistence.storeRetained({
    cmd: 'publish',
    topic: 'own/extension',
    payload: Buffer.from('x'),
    qos: 0,
    retain: true,
    dup: false,
    brokerId: 'b',
    brokerCounter: 1,
    clientId: 'c-ann',
  });
  assert.deepEqual(await read(engine, '#'), ['own/broker', 'own/extension', 'own/plugin']);
  assert.deepEqual(await read(engine, '$SYS/#'), ['$SYS/broker/x']);
  await engine.stop();
});

test('a client inside the process stands on its own rights, and sees what others may still publish', async () => {
  const engine = await Engine.create({ acl: ANN });
  const device = engine.broker.openClient({ id: 'c1', username: 'ann', remote: 'test', transport: 'coap' });
  const reader = engine.broker.openClient({ id: 'c2', username: 'w', remote: 'test', transport: 'coap' });
  const all = async (): Promise<string[]> => {
    const found: string[] = [];
    await reader.retainedMessages('#', ({ topic }) => found.push(topic) > 0);
    return found;
  };
  device.publish('a/1', Buffer.from('x'), { retain: true }, null);
  assert.deepEqual([reader.retained('a/1')?.topic, reader.hasRetained('a/1'), await all()], ['a/1', true, ['a/1']]);
  engine.broker.replaceAcl(NOBODY);
  assert.deepEqual([reader.retained('a/1'), reader.hasRetained('a/1'), await all()], [null, false, []]);
  // Who may put another in its place knows that it is there.
  engine.broker.replaceAcl(acl(`${WITNESS}topic write a/#\n`));
  assert.deepEqual([reader.retained('a/1'), reader.hasRetained('a/1')], [null, true]);
  await engine.stop();
});

test('a will stands on the rights of its client when it was published, also long after its connection', async () => {
  const engine = await Engine.create({ acl: ANN });
  for (const [topic, delay] of [
    ['w/1', 0],
    ['w/2', 10],
  ] as const) {
    const will = {
      topic,
      payload: Buffer.from('gone'),
      qos: 0 as const,
      retain: true,
      properties: { willDelayInterval: delay },
    };
    const properties = { sessionExpiryInterval: 100 };
    await engine.cut(
      await engine.connect({ clientId: `c-${delay}`, username: 'ann', protocolVersion: 5, will, properties }),
    );
  }
  engine.pass(11);
  assert.deepEqual(await read(engine, '#'), ['w/1', 'w/2']);
  engine.broker.replaceAcl(NOBODY);
  assert.deepEqual(await read(engine, '#'), []);
  await engine.stop();
});

test('what a hook lets through stands on the rights of its client', async () => {
  const engine = await Engine.create({
    acl: ANN,
    authorizePublish: (_client, packet, done) => {
      packet.topic = packet.topic.replace('a/', 'w/');
      setImmediate(done, null);
    },
  });
  await retain(await ann(engine), 'a/1');
  const device = engine.broker.openClient({ id: 'c1', username: 'ann', remote: 'test', transport: 'coap' });
  await new Promise<void>((resolve) =>
    device.publish('a/2', Buffer.from('x'), { retain: true }, { acknowledge: () => resolve() }),
  );
  assert.deepEqual(await read(engine, '#'), ['w/1', 'w/2']);
  engine.broker.replaceAcl(NOBODY);
  assert.deepEqual(await read(engine, '#'), []);
  await engine.stop();
});

test('the store keeps who has published, with user name, without, and by a will', async () => {
  const store = new LastingStore();
  const former = await Engine.create({ store });
  await retain(await ann(former), 'a/1');
  await retain(await former.connect({ clientId: 'nameless' }), 'a/2');
  const will = { topic: 'a/3', payload: Buffer.from('gone'), qos: 1 as const, retain: true };
  await former.cut(await former.connect({ clientId: 'c-will', username: 'ann', will }));
  former.broker.publish({ topic: 'a/4', payload: 'x', retain: true });
  await former.stop();
  const engine = await Engine.create({ acl: NOBODY, store });
  assert.deepEqual(await read(engine, '#'), ['a/4']);
  engine.broker.replaceAcl(ANN);
  assert.deepEqual(await read(engine, '#'), ['a/1', 'a/3', 'a/4']);
  engine.broker.replaceAcl(acl(`topic write a/2\n${WITNESS}pattern write a/1\n`));
  assert.deepEqual(await read(engine, '#'), ['a/1', 'a/2', 'a/4']);
  await engine.stop();
});

test('a record of a store that does not say its source is read, and delivered', async () => {
  const store = new LastingStore();
  const value = encodeMessage({
    topic: 'a/old',
    payload: Buffer.from('x'),
    qos: 0,
    retain: true,
    properties: Buffer.alloc(0),
    expiresAt: 0,
    publisherId: 'c-ann',
    receivedAt: 1,
  });
  assert.equal(value[0], 1, 'as it was written before');
  await store.open();
  await store.write(
    [
      { type: 'put', key: versionKey(), value: encodeVersion({ version: 1, writer: '0.1.0' }) },
      { type: 'put', key: retainedKey('a/old'), value },
    ],
    true,
  );
  const engine = await Engine.create({ acl: NOBODY, store });
  assert.deepEqual(await read(engine, '#'), ['a/old']);
  assert.equal(engine.broker.router.retained.get('a/old')?.publisherId, 'c-ann');
  await engine.stop();
});

test('what is withheld stays, is counted, and is cleared as any other', async () => {
  const engine = await Engine.create({ acl: ANN });
  const client = await ann(engine);
  await retain(client, 'a/1');
  engine.broker.replaceAcl(NOBODY);
  const { retained } = engine.broker.router;
  assert.deepEqual([retained.count, retained.get('a/1'), retained.has(Buffer.from('a/1'))], [1, null, false]);
  assert.equal(retained.holds(Buffer.from('a/1')), true);
  assert.deepEqual(retained.topics('#'), ['a/1'], 'as extensions see it');
  await retain(client, 'a/1', '');
  assert.equal(retained.count, 1, 'who may not publish does not clear either');
  engine.broker.replaceAcl(ANN);
  await retain(client, 'a/1', '');
  assert.equal(retained.count, 0);
  await engine.stop();
});

test('a session that takes its retained messages from its queue gets none that was withheld', async () => {
  const engine = await Engine.create({ acl: ANN });
  await retain(await ann(engine), 'a/1');
  engine.broker.replaceAcl(NOBODY);
  const session = { clientId: 'kept', username: 'w', clean: false, protocolVersion: 5 as const };
  const properties = { sessionExpiryInterval: 100 };
  const client = await engine.connect({ ...session, properties });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] });
  await engine.cut(client);
  const again = await engine.connect({ ...session, properties });
  assert.deepEqual(topics(await again.drainTurns()), []);
  await engine.stop();
});
