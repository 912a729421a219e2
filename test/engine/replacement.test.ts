/** Options and rights that are replaced while clients are connected, as a reload does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPublishPacket, Packet } from 'mqtt-packet';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import type { RetainedLimits } from '../../src/bus/retained.js';
import { DEFAULT_OPTIONS } from '../../src/session/default-options.js';
import type { SessionOptions } from '../../src/session/environment.js';
import { ReasonCode } from '../../src/wire/reason-codes.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';

const RETAINED: RetainedLimits = { messages: 100, bytes: 2 ** 20 };

function replace({ broker }: Engine, options: Partial<SessionOptions>, retained: Partial<RetainedLimits> = {}): void {
  broker.replaceOptions({ ...DEFAULT_OPTIONS, ...options }, { ...RETAINED, ...retained });
}

const acl = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');

function topics(packets: readonly Packet[]): string[] {
  return packets.filter((packet): packet is IPublishPacket => packet.cmd === 'publish').map(({ topic }) => topic);
}

test('what CONNACK has told a client holds for it, and another client is told what is new', async () => {
  const engine = await Engine.create();
  const early = await engine.connect({ protocolVersion: 5, clientId: 'early' });
  assert.equal(early.connack.properties?.maximumQoS, undefined);
  const told: Partial<SessionOptions> = {
    maxQos: 1,
    retainAvailable: false,
    wildcardSubscriptions: false,
    subscriptionIdentifiers: false,
    sharedSubscriptions: false,
    topicAliasMaximum: 3,
    receiveMaximum: 7,
    maxPacketSize: 500,
    keepaliveMax: 60,
  };
  replace(engine, told);
  const late = await engine.connect({ protocolVersion: 5, clientId: 'late' });
  const properties = { ...late.connack.properties };
  assert.deepEqual(properties, {
    maximumQoS: 1,
    retainAvailable: false,
    wildcardSubscriptionAvailable: false,
    subscriptionIdentifiersAvailable: false,
    sharedSubscriptionAvailable: false,
    topicAliasMaximum: 3,
    receiveMaximum: 7,
    maximumPacketSize: 500,
    serverKeepAlive: 60,
  });
  // The one that was there first does what it was told that it may.
  await early.subscribe('z/#', 2);
  await early.subscribe('$share/g/b', 2);
  early.publish('a', 'x'.repeat(600), { qos: 2, retain: true, messageId: 4 });
  assert.equal((await early.expect('pubrec')).reasonCode, ReasonCode.NoMatchingSubscribers);
  const properties5 = { topicAlias: 9 };
  early.send({ cmd: 'publish', topic: 'a', payload: '', qos: 0, retain: false, dup: false, properties: properties5 });
  assert.equal(early.closed, false);
  await early.drain();
  late.publish('a', 'x', { qos: 2, messageId: 4 });
  assert.equal((await late.expect('disconnect')).reasonCode, ReasonCode.QoSNotSupported);
  await engine.stop();
});

test('limits hold at once: queues of sessions there are, retained messages, connections, topics', async () => {
  const engine = await Engine.create();
  const session = { clean: false, clientId: 'away' };
  const away = await engine.connect(session);
  await away.subscribe('q', 1);
  await engine.cut(away);
  const witness = await engine.connect({ clientId: 'w' });
  const publish = async (topic: string, retain = false): Promise<void> => {
    witness.publish(topic, 'x', { qos: 1, messageId: 1, retain });
    await witness.expect('puback');
  };
  await publish('q');
  await publish('a/b/c');
  await publish('a/b/c');
  replace(engine, { queuedMessages: 1, connections: 1, maxTopicLevels: 2 }, { messages: 1 });
  await publish('q');
  assert.equal(engine.broker.counters.droppedQueuedMessages, 1);
  await publish('r', true);
  await publish('s', true);
  assert.equal(engine.broker.counters.droppedRetainedMessages, 1);
  assert.equal((await engine.connect({ clientId: 'more' })).connack.returnCode, 3);
  // Also a topic that is known already.
  witness.publish('a/b/c', 'x');
  await witness.end();
  assert.equal(engine.broker.counters.deepTopics, 1);
  replace(engine, {});
  assert.equal((await engine.connect({ clientId: 'more' })).connack.returnCode, 0);
  await engine.stop();
});

test('draining begins and ends, and a reload that says nothing about it leaves what a signal has begun', async () => {
  const engine = await Engine.create();
  const client = await engine.connect({ protocolVersion: 5 });
  replace(engine, { draining: 'temporary', serverReference: 'other' });
  const { reasonCode, properties } = await client.expect('disconnect');
  assert.deepEqual([reasonCode, properties?.serverReference], [ReasonCode.UseAnotherServer, 'other']);
  replace(engine, {});
  assert.equal((await engine.connect()).connack.returnCode, 0);
  engine.broker.drain();
  replace(engine, { maxQos: 1 });
  assert.equal((await engine.connect({ clientId: 'b' })).connack.returnCode, 3);
  await engine.stop();
});

test('a strategy of shared subscriptions holds at once for the groups there are', async () => {
  const engine = await Engine.create();
  const members = await Promise.all(['a', 'b'].map((clientId) => engine.connect({ clientId })));
  for (const member of members) await member.subscribe('$share/g/t', 0);
  const publisher = await engine.connect({ clientId: 'p' });
  const counts = async (): Promise<number[]> => {
    for (let i = 0; i < 4; i++) publisher.publish('t', 'x');
    await publisher.drain();
    return Promise.all(members.map(async (member) => topics(await member.drain()).length));
  };
  assert.deepEqual(await counts(), [2, 2]);
  replace(engine, { sharedStrategy: 'sticky' });
  assert.deepEqual((await counts()).sort(), [0, 4]);
  await engine.stop();
});

test('another access control list acts at once: on publications, on subscriptions there are, and on what waits', async () => {
  const engine = await Engine.create({ acl: acl('user ann\ntopic #\nuser w\ntopic #\n') });
  const ann = await engine.connect({ clientId: 'ann', username: 'ann', protocolVersion: 5 });
  await ann.subscribe('#', 0);
  const witness = await engine.connect({ clientId: 'w', username: 'w' });
  await witness.subscribe('#', 0);
  const stored = { clean: false, clientId: 'away', username: 'ann' };
  const away = await engine.connect(stored);
  await away.subscribe('#', 1);
  await engine.cut(away);
  // For the queue of the session that is away.
  for (const topic of ['in/a', 'in/b']) witness.publish(topic, 'x', { qos: 1, messageId: 3 });
  assert.deepEqual(topics(await witness.drain()), ['in/a', 'in/b']);
  ann.publish('out', 'x');
  assert.deepEqual(topics(await ann.drain()), ['in/a', 'in/b', 'out']);
  assert.deepEqual(topics(await witness.drain()), ['out']);
  engine.broker.replaceAcl(acl('user ann\ntopic read in/b\nuser w\ntopic #\n'));
  witness.publish('in/a', 'x');
  witness.publish('in/b', 'x');
  assert.deepEqual(topics(await witness.drain()), ['in/a', 'in/b']);
  ann.publish('out', 'x');
  assert.deepEqual(topics(await ann.drain()), ['in/b']);
  assert.deepEqual(topics(await witness.drain()), []);
  assert.equal(engine.broker.counters.deniedPublish, 1);
  const back = await engine.connect(stored);
  assert.deepEqual(new Set(topics(await back.drain())), new Set(['in/b']));
  engine.broker.replaceAcl(null);
  witness.publish('in/a', 'x');
  await witness.drain();
  assert.deepEqual(topics(await ann.drain()), ['in/a']);
  await engine.stop();
});

test('clients that could not connect any more are sent away: those whose user is gone, and not others of that name', async () => {
  const engine = await Engine.create();
  const ann = await engine.connect({ clientId: 'a', username: 'ann', protocolVersion: 5 });
  const bob = await engine.connect({ clientId: 'b', username: 'bob', protocolVersion: 5 });
  const nobody = await engine.connect({ clientId: 'n' });
  const proved = await engine.broker.connectClient(
    { id: 'd', username: 'ann', remote: 'x', transport: 'coaps' },
    { anonymous: false, verified: true, keepalive: 1 },
  );
  const said = await engine.broker.connectClient(
    { id: 'e', username: 'ann', remote: 'x', transport: 'coap' },
    { anonymous: false, password: Buffer.from('p'), keepalive: 1 },
  );
  assert.equal(
    engine.broker.endClients(({ username }) => username === 'ann', 'its user is gone'),
    2,
  );
  assert.equal((await ann.expect('disconnect')).reasonCode, ReasonCode.NotAuthorized);
  assert.deepEqual(['closed' in said && said.closed, 'closed' in proved && proved.closed], [true, false]);
  await bob.drain();
  // It has not said who it is, and is no stranger yet.
  const silent = engine.open();
  assert.equal(
    engine.broker.endClients(({ username }) => username === null, 'no strangers'),
    1,
  );
  await nobody.end();
  await bob.drain();
  assert.equal(silent.closed, false);
  await engine.stop();
});

test('strangers who were let in and wait for the store to have their session are sent away like those who have CONNACK', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const bystander = await engine.connect({ clientId: 'b', username: 'bob' });
  await engine.broker.commit.settled();
  store.hold();
  const written = store.writes.length;
  const stranger = engine.open();
  stranger.send({ cmd: 'connect', protocolVersion: 4, clientId: 's', clean: false, keepalive: 0 });
  await store.arrived(written + 1);
  const sent = engine.broker.endClients(({ username }) => username === null, 'no strangers');
  store.letGo();
  assert.equal(sent, 1);
  assert.equal((await stranger.expect('connack')).returnCode, 5);
  await stranger.end();
  await bystander.drain();
  assert.equal(engine.broker.sessions.connected, 1);
  await engine.stop();
});
