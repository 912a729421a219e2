/** What an admin who traces is told: packets, decisions and their reasons, bounded, and nothing that is a secret. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { subjectFrom } from '../../src/admin/tracing/subject.js';
import { Traces } from '../../src/admin/tracing/traces.js';
import type { BrokerOptions } from '../../src/broker.js';
import { PorticoError } from '../../src/errors.js';
import { ListenerTerms } from '../../src/session/listener-terms.js';
import { Mount } from '../../src/session/mount.js';
import { Engine } from '../support/engine.js';
import { journalOf } from '../support/journal.js';
import { Follower, fieldsOf, type Line, traced } from '../support/tracing.js';
import { connectPacket, Puppet } from './puppet.js';

const create = (options: BrokerOptions = {}): Promise<Engine> => Engine.create(traced(options));
const TIME = '2023-11-14T22:13:20.000Z';

test('a client that comes is followed from its CONNECT on: each packet with what it says, and what comes of it', async () => {
  const engine = await create();
  const follower = new Follower(engine, 'client', 'meter');
  assert.deepEqual(await follower.next('tracing'), { time: TIME, event: 'tracing', subject: { client: 'meter' } });
  const client = await engine.connect(
    {
      clientId: 'meter',
      protocolVersion: 5,
      username: 'ann',
      keepalive: 30,
      will: { topic: 'gone', payload: Buffer.from('abc'), qos: 1, retain: true, properties: { willDelayInterval: 5 } },
      properties: { receiveMaximum: 9, userProperties: { k: 'v' } },
    },
    '192.0.2.7:99',
  );
  assert.deepEqual(await follower.next('received'), {
    time: TIME,
    client: 'meter',
    username: 'ann',
    address: '192.0.2.7:99',
    transport: 'mqtt',
    event: 'received',
    packet: 'connect',
    protocol: '5.0',
    client_id: 'meter',
    user: 'ann',
    clean: true,
    keepalive: 30,
    will: { topic: 'gone', qos: 1, retain: true, bytes: 3, properties: { will_delay_interval: 5 } },
    properties: { receive_maximum: 9, user_properties: [['k', 'v']] },
  });
  const connected = fieldsOf(await follower.next('connected'));
  assert.deepEqual(connected, { event: 'connected', kept: false, session_present: false, keepalive: 30 });
  const { packet, reason_code: code, reason, session_present: present } = await follower.next('sent');
  assert.deepEqual([packet, code, reason, present], ['connack', 0, 'success', false]);

  client.send({
    cmd: 'subscribe',
    messageId: 3,
    subscriptions: [{ topic: 'a/+', qos: 1, nl: true, rap: false, rh: 2 }],
    properties: { subscriptionIdentifier: 4 },
  });
  await client.expect('suback');
  assert.deepEqual(fieldsOf(await follower.next('received')), {
    event: 'received',
    packet: 'subscribe',
    id: 3,
    filters: [{ filter: 'a/+', qos: 1, no_local: true, retain_as_published: false, retain_handling: 2 }],
    properties: { subscription_identifier: 4 },
  });
  assert.deepEqual(fieldsOf(await follower.next('subscribed')), { event: 'subscribed', filter: 'a/+', qos: 1 });
  assert.deepEqual(fieldsOf(await follower.next('sent')), {
    event: 'sent',
    packet: 'suback',
    id: 3,
    reason_codes: [1],
  });

  const other = await engine.connect({ clientId: 'other', protocolVersion: 5 });
  const properties = { contentType: 'text', correlationData: Buffer.from([1, 0xff]) };
  other.send({
    cmd: 'publish',
    topic: 'a/b',
    payload: 'hello',
    qos: 1,
    messageId: 1,
    retain: false,
    dup: false,
    properties,
  });
  const { messageId } = await client.expect('publish');
  assert.deepEqual(fieldsOf(await follower.next('sent')), {
    event: 'sent',
    packet: 'publish',
    id: messageId,
    topic: 'a/b',
    qos: 1,
    retain: false,
    dup: false,
    bytes: 5,
    properties: { content_type: 'text', correlation_data: '01ff', subscription_identifier: 4 },
  });
  client.send({ cmd: 'puback', messageId: messageId as number, reasonCode: 0 });
  const puback = { event: 'received', packet: 'puback', id: messageId, reason_code: 0, reason: 'success' };
  assert.deepEqual(fieldsOf(await follower.next('received')), puback);
  client.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a/+'] });
  await client.expect('unsuback');
  assert.deepEqual((await follower.next('received')).filters, ['a/+']);
  assert.deepEqual((await follower.next('sent', 'unsuback')).reason_codes, [0]);
  client.send({ cmd: 'disconnect', reasonCode: 4 });
  assert.equal((await follower.next('received', 'disconnect')).reason_code, 4);
  assert.equal((await follower.next('disconnected')).reason, 'the client left: disconnect with will');
  assert.ok(!follower.text.includes('other'), 'others are not told of');
  follower.leave();
  await engine.stop();
});

test('a client that is there already is followed from now on, in the middle of what it does', async () => {
  const engine = await create();
  const client = await engine.connect({ clientId: 'c', protocolVersion: 5, properties: { topicAliasMaximum: 5 } });
  await client.subscribe('b', 0);
  engine.clock.advance(1);
  const follower = new Follower(engine, 'client', 'c');
  assert.equal((await follower.next('present')).since, TIME);
  client.publish('a', 'x', { qos: 2, messageId: 7 });
  await client.expect('pubrec');
  client.send({ cmd: 'pubrel', messageId: 7 });
  await client.expect('pubcomp');
  client.publish('b', 'x');
  await client.expect('publish');
  await client.drain();
  const lines = (await follower.rest()).map(({ event, packet, id }) => [event, packet, id]);
  assert.deepEqual(lines, [
    ['received', 'publish', 7],
    ['sent', 'pubrec', 7],
    ['received', 'pubrel', 7],
    ['sent', 'pubcomp', 7],
    ['received', 'publish', undefined],
    ['sent', 'publish', undefined],
    ['received', 'pingreq', undefined],
    ['sent', 'pingresp', undefined],
  ]);
  follower.leave();
  await engine.stop();
});

test('a topic that comes by its alias is told by its name, both ways', async () => {
  const engine = await create({ session: { topicAliasMaximum: 5, topicAliasMaximumOut: 5 } });
  const client = await engine.connect({ clientId: 'c', protocolVersion: 5, properties: { topicAliasMaximum: 5 } });
  await client.subscribe('a/b', 0);
  const follower = new Follower(engine, 'client', 'c');
  for (const topic of ['a/b', '']) {
    const properties = { topicAlias: 3 };
    client.send({ cmd: 'publish', topic, payload: 'x', qos: 0, retain: false, dup: false, properties });
    await client.expect('publish');
  }
  for (const event of ['received', 'sent', 'received', 'sent']) {
    const { topic, properties } = await follower.next(event, 'publish');
    assert.equal(topic, 'a/b');
    assert.ok('topic_alias' in (properties as object), event);
  }
  follower.leave();
  await engine.stop();
});

test('topics are told as a client says them, without the mount point of its listener: that of its will, and those with aliases', async () => {
  const engine = await create({ session: { topicAliasMaximum: 5 } });
  const follower = new Follower(engine, 'client', 'c');
  const terms = new ListenerTerms({ mount: new Mount('in/') });
  const will = { topic: 'gone', payload: Buffer.from('x'), qos: 0 as const, retain: false };
  const client = await engine.connect({ clientId: 'c', protocolVersion: 5, will }, undefined, terms);
  assert.equal(((await follower.next('received', 'connect')).will as { topic: string }).topic, 'gone');
  for (const [topic, messageId] of [
    ['a/b', 1],
    ['', 2],
  ] as const) {
    const properties = { topicAlias: 3 };
    client.send({ cmd: 'publish', topic, payload: 'x', qos: 1, messageId, retain: false, dup: false, properties });
    await client.expect('puback');
    assert.equal((await follower.next('received', 'publish')).topic, 'a/b');
  }
  const watcher = new Follower(engine, 'topic', 'in/#');
  await engine.cut(client);
  assert.equal((await watcher.next('published')).topic, 'in/gone');
  for (const one of [follower, watcher]) one.leave();
  await engine.stop();
});

test('before MQTT 5.0 packets are told as they are there', async () => {
  const engine = await create();
  const follower = new Follower(engine, 'client', 'c');
  const client = await engine.connect({ clientId: 'c' });
  assert.equal((await follower.next('received')).protocol, '3.1.1');
  const connack = { event: 'sent', packet: 'connack', session_present: false, return_code: 0 };
  assert.deepEqual(fieldsOf(await follower.next('sent')), connack);
  await client.subscribe('a', 0);
  assert.deepEqual((await follower.next('received')).filters, [{ filter: 'a', qos: 0 }]);
  client.publish('b', 'x', { qos: 1, messageId: 1 });
  await client.expect('puback');
  assert.deepEqual(fieldsOf(await follower.next('sent', 'puback')), { event: 'sent', packet: 'puback', id: 1 });
  follower.leave();
  await engine.stop();
});

test('passwords and the data of AUTH are never shown', async () => {
  const engine = await create({ authenticationMethods: [new Puppet()], identify: (user) => user !== 'bad' });
  const follower = new Follower(engine, 'address', '192.0.2.7', 1000);
  const password = Buffer.from('hidden');
  await engine.connect({ clientId: 'a', username: 'ann', password }, '192.0.2.7:1');
  await engine.connect({ clientId: 'b', username: 'bad', password }, '192.0.2.7:2');
  const client = engine.open(5, '192.0.2.7:3');
  client.send(connectPacket('ask:hidden', { clientId: 'c' }));
  await client.expect('auth');
  client.send({
    cmd: 'auth',
    reasonCode: 0x18,
    properties: { authenticationMethod: 'puppet', authenticationData: Buffer.from('user:hidden name') },
  });
  await client.expect('connack');
  assert.equal((await follower.next('received')).password, 'not shown');
  assert.deepEqual((await follower.next('received', 'auth')).properties, { authentication_method: 'puppet' });
  await follower.next('sent', 'connack');
  // What the method has found out is the user name, which is no secret.
  const shown = follower.text.replaceAll('"username":"hidden name"', '').replaceAll('"user":"hidden name"', '');
  assert.ok(!shown.includes('hidden') && !shown.includes(password.toString('hex')), shown);
  follower.leave();
  await engine.stop();
});

test('a user and an address are followed over all their connections, those that are refused among them', async () => {
  const engine = await create({ identify: (_user, password) => String(password) === 'right' });
  const byUser = new Follower(engine, 'user', 'ann');
  const byAddress = new Follower(engine, 'address', '192.0.2.7');
  await engine.connect({ clientId: 'c1', username: 'ann', password: Buffer.from('wrong') }, '192.0.2.7:1');
  for (const follower of [byUser, byAddress]) {
    const line = await follower.next('login failed');
    assert.deepEqual([line.client, line.user, line.method], ['c1', 'ann', 'password']);
    assert.equal((await follower.next('sent')).return_code, 4);
    assert.equal((await follower.next('refused')).reason, 'bad user name or password');
  }
  await engine.connect({ clientId: 'c2', username: 'ann', password: Buffer.from('right') }, '192.0.2.77:1');
  assert.equal((await byUser.next('connected')).client, 'c2');
  const silent = engine.open(4, '192.0.2.7:2');
  silent.sendBytes(Buffer.from([0x30, 0, 0, 0]));
  await silent.end();
  const refused = await byAddress.next('refused');
  assert.deepEqual([refused.client, refused.address], [null, '192.0.2.7:2']);
  assert.match(String(refused.reason), /the first packet is not CONNECT/);
  assert.ok(!byAddress.text.includes('c2'));
  byUser.leave();
  byAddress.leave();
  await engine.stop();
});

test('a client that gets its name from the broker, or from what it has proved, is followed by that name', async () => {
  const engine = await create({ authenticationMethods: [new Puppet()] });
  const follower = new Follower(engine, 'user', 'alice');
  const client = engine.open(5);
  client.send(connectPacket('user:alice', { clientId: 'c' }));
  await client.expect('connack');
  assert.equal((await follower.next('connected')).username, 'alice');
  assert.equal((await follower.next('sent')).packet, 'connack', 'it leaves with the end of the turn');
  await client.subscribe('a', 0);
  await follower.next('received', 'subscribe');
  assert.deepEqual((await follower.next('sent', 'suback')).reason_codes, [0]);
  follower.leave();
  await engine.stop();
});

test('what is denied is told with the deciding rule: publications, subscriptions, and messages that it may not receive', async () => {
  const text = 'user ann\ntopic read in/#\ntopic deny in/secret\nuser bob\ntopic readwrite #\n';
  const engine = await create({ acl: parseMosquittoAcl(Buffer.from(text), 'FILE') });
  const ann = await engine.connect({ clientId: 'a', username: 'ann', protocolVersion: 5 });
  const bob = await engine.connect({ clientId: 'b', username: 'bob' });
  await ann.subscribe('in/#', 0);
  const follower = new Follower(engine, 'client', 'a');
  const denied = async (action: string): Promise<unknown[]> => {
    const line = await follower.next('denied');
    assert.equal(line.action, action);
    return [line.topic, line.reason];
  };
  ann.publish('in/x', 'x', { qos: 1, messageId: 1 });
  await ann.expect('puback');
  assert.deepEqual(await denied('publish'), ['in/x', 'no rule allows it']);
  assert.equal((await follower.next('sent', 'puback')).reason, 'not authorized');
  ann.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'in/secret', qos: 0 }] });
  await ann.expect('suback');
  assert.deepEqual(await denied('subscribe'), ['in/secret', 'FILE:3: topic deny in/secret']);
  bob.publish('in/secret', 'x');
  await bob.drain();
  assert.deepEqual(await denied('receive'), ['in/secret', 'FILE:3: topic deny in/secret']);
  follower.leave();
  await engine.stop();
});

test('what a limit takes is told by the name of its option, also while the client is away; the log may have fewer lines', async () => {
  const engine = await create({ session: { queuedMessages: 1 } });
  const client = await engine.connect({ clientId: 'c', clean: false });
  await client.subscribe('a', 1);
  await engine.cut(client);
  const follower = new Follower(engine, 'client', 'c');
  const publisher = await engine.connect({ clientId: 'p' });
  for (let messageId = 1; messageId <= 3; messageId++) {
    publisher.publish('a', 'x', { qos: 1, messageId });
    await publisher.expect('puback');
  }
  const limits = (await follower.rest()).filter(({ event }) => event === 'limit');
  assert.deepEqual(
    limits.map(({ client: id, option }) => [id, option]),
    [
      ['c', 'limits.queued_messages'],
      ['c', 'limits.queued_messages'],
    ],
  );
  follower.leave();
  await engine.stop();
});

test('topics are followed by filter: who has published, how many receivers there are; nothing else changes', async () => {
  const engine = await create();
  const { counters } = engine.broker;
  const client = await engine.connect({ clientId: 'c', protocolVersion: 5, username: 'ann' });
  const { subscriptions } = counters;
  const published = async (topic: string): Promise<number> => {
    client.publish(topic, 'hello', { qos: 1, messageId: 1, retain: topic === 'a/r' });
    return (await client.expect('puback')).reasonCode ?? 0;
  };
  assert.equal(await published('a/1'), 0x10);
  const follower = new Follower(engine, 'topic', 'a/#', 3);
  assert.equal(counters.subscriptions, subscriptions);
  assert.equal(await published('a/1'), 0x10, 'no matching subscribers: who only looks is none');
  const first = await follower.next('published');
  assert.deepEqual([first.client, first.username], ['c', 'ann']);
  assert.deepEqual(fieldsOf(first), {
    event: 'published',
    topic: 'a/1',
    qos: 1,
    retain: false,
    bytes: 5,
    receivers: 0,
    payload: 'hel',
    payload_cut: true,
  });
  for (const clientId of ['s1', 's2']) await (await engine.connect({ clientId })).subscribe('a/+', 0);
  assert.equal(await published('a/r'), 0);
  const second = await follower.next('published');
  assert.deepEqual([second.topic, second.retain, second.receivers], ['a/r', true, 2]);
  assert.equal(await published('b'), 0x10);
  engine.broker.publish({ topic: 'a/broker', payload: 'x' });
  const third = await follower.next('published');
  assert.deepEqual([third.topic, third.client], ['a/broker', null]);
  follower.leave();
  await published('a/1');
  assert.deepEqual(await follower.rest(), []);
  assert.equal(counters.subscriptions, subscriptions + 2);
  await engine.stop();
});

test('payloads are shown to those who ask for them: text as it is, the rest in hexadecimal, no more than they want', async () => {
  const engine = await create();
  const client = await engine.connect({ clientId: 'c' });
  const without = new Follower(engine, 'client', 'c');
  const follower = new Follower(engine, 'client', 'c', 4);
  const told: Line[] = [];
  for (const payload of ['', 'text', 'ab€', Buffer.from([0xff, 0]), Buffer.from([1, 2, 3, 4, 0xff])]) {
    client.publish('a', payload);
    told.push(await follower.next('received'));
  }
  assert.deepEqual(
    told.map(({ payload, payload_hex: hex, payload_cut: cut }) => [payload, hex, cut]),
    [
      ['', undefined, undefined],
      ['text', undefined, undefined],
      ['ab', undefined, true],
      [undefined, 'ff00', undefined],
      ['\u0001\u0002\u0003\u0004', undefined, true],
    ],
  );
  assert.ok(!without.text.includes('payload'));
  without.leave();
  follower.leave();
  await engine.stop();
});

test('a reader that stalls loses lines, and is told how many; nobody waits for it', async () => {
  const engine = await create();
  const client = await engine.connect({ clientId: 'c' });
  const follower = new Follower(engine, 'client', 'c', 65_536);
  await follower.next('tracing');
  follower.stall();
  const payload = 'x'.repeat(60_000);
  for (let i = 0; i < 100; i++) {
    client.publish('a', payload);
    await client.drain();
  }
  assert.ok(follower.writableLength < 2 * 1024 * 1024, `${follower.writableLength} bytes wait`);
  const before = follower.text.length;
  follower.resume();
  const { lines } = await follower.next('lost');
  assert.ok(Number(lines) > 50, String(lines));
  assert.ok(follower.text.length > before);
  await follower.rest();
  client.publish('b', 'x');
  assert.equal((await follower.next('received')).topic, 'b', 'it goes on');
  follower.leave();
  await engine.stop();
});

test('of one turn of the event loop a trace has no more lines than are in nobody’s way', async () => {
  const engine = await create();
  const client = await engine.connect({ clientId: 'c' });
  const follower = new Follower(engine, 'client', 'c');
  const one = Buffer.from([0x30, 3, 0, 1, 0x61]);
  client.sendBytes(Buffer.concat(new Array<Buffer>(2000).fill(one)));
  await client.drain();
  const { lines } = await follower.next('lost');
  assert.ok(Number(lines) > 1000, String(lines));
  assert.equal(engine.broker.counters.publishReceived, 2000);
  follower.leave();
  await engine.stop();
});

test('limits.traces: one trace too many is refused, counted and told', async () => {
  const reached: string[] = [];
  const engine = await create({ journal: journalOf({ limit: (_party, option) => reached.push(option) }) });
  const traces = new Traces(engine.broker, () => 2);
  const follow = (): Follower => new Follower(engine, 'client', 'c', 0, traces);
  const first = follow();
  const second = follow();
  assert.throws(follow, (error) => error instanceof PorticoError && error.code === 'PORTICO_LIMIT');
  assert.deepEqual([reached, engine.broker.counters.refusedTraces], [['limits.traces'], 1]);
  first.leave();
  const third = follow();
  second.leave();
  third.leave();
  await engine.stop();
});

test('without traces nothing is left of them: neither on connections nor in the tree', async () => {
  const engine = await create();
  const { broker } = engine;
  const client = await engine.connect({ clientId: 'c' });
  const [connection] = broker.connections;
  const { transportLayer } = connection;
  const traces = new Traces(broker, () => 4);
  const followers = [
    new Follower(engine, 'client', 'c', 0, traces),
    new Follower(engine, 'user', 'nobody', 0, traces),
    new Follower(engine, 'topic', '#', 0, traces),
  ];
  assert.deepEqual(await followers[0].rest(), [
    { time: TIME, event: 'tracing', subject: { client: 'c' } },
    { time: TIME, client: 'c', address: 'local', transport: 'mqtt', event: 'present', since: TIME },
  ]);
  assert.notEqual(connection.parser.handler, connection);
  assert.notEqual(connection.transportLayer, transportLayer);
  for (const follower of followers) {
    assert.equal(broker.environment.tracing.tracer, traces);
    follower.leave();
  }
  assert.equal(broker.environment.tracing.tracer, null);
  assert.equal(connection.parser.handler, connection);
  assert.equal(connection.transportLayer, transportLayer);
  client.publish('a', 'x');
  await client.drain();
  assert.equal(broker.router.known('a')?.watchers ?? 0, 0);
  await engine.stop();
});

test('a trace is of one thing that there can be', () => {
  const subject = (query: string): string => {
    const { kind, value } = subjectFrom(new URLSearchParams(query));
    return `${kind} ${value}`;
  };
  assert.equal(subject('client=a%2Fb'), 'client a/b');
  assert.equal(subject('address=192.0.2.7'), 'address 192.0.2.7');
  assert.equal(subject('address=192.0.2.7:99'), 'address 192.0.2.7:99');
  assert.equal(subject('address=2001:DB8:0:0::1'), 'address 2001:db8::1');
  assert.equal(subject('address=[2001:DB8:0:0::1]:99'), 'address [2001:db8::1]:99');
  assert.equal(subject('address=FE80:0::1%25eth0'), 'address fe80::1%eth0');
  assert.equal(subject('address=[fe80::1%25eth0]:99'), 'address [fe80::1%eth0]:99');
  assert.equal(subject('address=local'), 'address local');
  assert.equal(subject('topic=a/%2B/%23'), 'topic a/+/#');
  for (const query of ['', 'client=a&user=b', 'address=example.org', 'topic=a/%23/b', 'topic=$share/g/a', 'topic=']) {
    assert.throws(() => subject(query), PorticoError, query);
  }
});
