/** Shared subscriptions: MQTT 5.0 4.8.2. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate, type IConnectPacket, type Packet } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';

const V5 = { protocolVersion: 5 } as const;
const KEPT = { ...V5, clean: false, properties: { sessionExpiryInterval: 100 } } as const;

/** Members `m0`, `m1`... of `$share/g/{filter}`. */
async function members(
  engine: Engine,
  qos: readonly (0 | 1 | 2)[],
  options: Partial<IConnectPacket> = V5,
  filter = 't/#',
): Promise<RawClient[]> {
  const all: RawClient[] = [];
  for (const [i, granted] of qos.entries()) {
    const member = await engine.connect({ clientId: `m${i}`, ...options });
    await member.subscribe(`$share/g/${filter}`, granted);
    all.push(member);
  }
  return all;
}

/** What a client has been sent until now, acknowledged: topic and payload. */
async function taken(client: RawClient): Promise<string[]> {
  const payloads: string[] = [];
  for (const packet of await client.drain()) {
    if (packet.cmd !== 'publish') continue;
    payloads.push(String(packet.payload));
    if (packet.qos === 1) client.send({ cmd: 'puback', messageId: packet.messageId as number });
  }
  return payloads;
}

test('round robin: each message goes to one member, one after the other', async () => {
  const engine = await Engine.create();
  const group = await members(engine, [1, 1, 1]);
  const other = await engine.connect({ clientId: 'other', ...V5 });
  await other.subscribe('$share/h/t/#', 1);
  const plain = await engine.connect({ clientId: 'plain' });
  await plain.subscribe('t/#', 1);
  for (let i = 0; i < 9; i++) engine.broker.publish({ topic: 't/x', payload: `${i}`, qos: 1 });
  const each = await Promise.all(group.map(taken));
  assert.deepEqual(each, [
    ['0', '3', '6'],
    ['1', '4', '7'],
    ['2', '5', '8'],
  ]);
  // Another ShareName is another group, and who does not share gets everything.
  assert.equal((await taken(other)).length, 9);
  assert.equal((await taken(plain)).length, 9);
  await engine.stop();
});

test('a client with a shared and an own subscription gets a copy for each', async () => {
  const engine = await Engine.create();
  const [member] = await members(engine, [1]);
  await member.subscribe('t/+', 0);
  engine.broker.publish({ topic: 't/x', payload: 'x', qos: 1 });
  assert.deepEqual(await taken(member), ['x', 'x']);
  await engine.stop();
});

test('each member is sent to at the QoS, identifier and Retain As Published of its own subscription [MQTT-4.8.2-3]', async () => {
  const engine = await Engine.create();
  const group = await members(engine, [0, 1, 2]);
  const own: Packet = {
    cmd: 'subscribe',
    messageId: 2,
    subscriptions: [{ topic: '$share/g/t/#', qos: 2, rap: true }],
    properties: { subscriptionIdentifier: 9 },
  };
  group[2].send(own);
  await group[2].expect('suback');
  for (let i = 0; i < 3; i++) engine.broker.publish({ topic: 't/x', payload: 'x', qos: 2, retain: true });
  const seen = [];
  for (const member of group) {
    const { qos, retain, properties } = await member.expect('publish');
    seen.push([qos, retain, properties?.subscriptionIdentifier]);
  }
  assert.deepEqual(seen, [
    [0, false, undefined],
    [1, false, undefined],
    [2, true, 9],
  ]);
  await engine.stop();
});

test('least in flight: a member that does not acknowledge gets less', async () => {
  const engine = await Engine.create({ session: { sharedStrategy: 'least_in_flight' } });
  const [lazy, keen] = await members(engine, [1, 1]);
  let keenTook = 0;
  for (let i = 0; i < 20; i++) {
    engine.broker.publish({ topic: 't/x', payload: `${i}`, qos: 1 });
    keenTook += (await taken(keen)).length;
  }
  // The lazy one never has more than one message more than the other.
  assert.equal(keenTook, 19);
  assert.equal((await lazy.drain()).length, 1);
  await engine.stop();
});

for (const [sharedStrategy, what] of [
  ['sticky', 'publisher'],
  ['topic_hash', 'topic'],
] as const) {
  test(`${sharedStrategy}: one member for each ${what}; only those of a member that goes move`, async () => {
    const engine = await Engine.create({ session: { sharedStrategy } });
    const group = await members(engine, [1, 1, 1]);
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
    const publishers = new Map<string, RawClient>();
    if (what === 'publisher')
      for (const clientId of keys) publishers.set(clientId, await engine.connect({ clientId, ...V5 }));
    const spread = async (clients: RawClient[]): Promise<Map<string, RawClient>> => {
      for (const key of keys) {
        if (what === 'topic') engine.broker.publish({ topic: `t/${key}`, payload: key, qos: 1 });
        else {
          publishers.get(key)?.publish('t/x', key, { qos: 1, messageId: 1 });
          await publishers.get(key)?.expect('puback');
        }
      }
      const by = new Map<string, RawClient>();
      for (const client of clients) for (const key of await taken(client)) by.set(key, client);
      assert.equal(by.size, keys.length);
      return by;
    };
    const before = await spread(group);
    assert.deepEqual(await spread(group), before);
    for (const member of group) assert.ok([...before.values()].filter((other) => other === member).length >= 8);
    await engine.cut(group[0]);
    const after = await spread(group.slice(1));
    for (const key of keys) if (before.get(key) !== group[0]) assert.equal(after.get(key), before.get(key));
    await engine.stop();
  });
}

test('members that are connected come first; when nobody is, messages wait for those that are kept', async () => {
  const engine = await Engine.create();
  const [gone, there] = await members(engine, [1, 1], KEPT);
  await engine.cut(gone);
  for (let i = 0; i < 4; i++) engine.broker.publish({ topic: 't/x', payload: `${i}`, qos: 1 });
  assert.deepEqual(await taken(there), ['0', '1', '2', '3']);
  await engine.cut(there);
  for (let i = 4; i < 8; i++) engine.broker.publish({ topic: 't/x', payload: `${i}`, qos: 1 });
  const back = await Promise.all(['m0', 'm1'].map((clientId) => engine.connect({ clientId, ...KEPT })));
  assert.deepEqual((await Promise.all(back.map(taken))).flat().sort(), ['4', '5', '6', '7']);
  await engine.stop();
});

test('a QoS 0 message goes to nobody when no member is there', async () => {
  const engine = await Engine.create();
  const [gone] = await members(engine, [1], KEPT);
  await engine.cut(gone);
  engine.broker.publish({ topic: 't/x', payload: 'x', qos: 0 });
  const back = await engine.connect({ clientId: 'm0', ...KEPT });
  assert.deepEqual(await taken(back), []);
  await engine.stop();
});

test('a member whose window is full is passed over', async () => {
  const engine = await Engine.create();
  const small = { ...V5, properties: { receiveMaximum: 1 } };
  const first = await engine.connect({ clientId: 'a', ...small });
  await first.subscribe('$share/g/t', 1);
  const second = await engine.connect({ clientId: 'b', ...V5 });
  await second.subscribe('$share/g/t', 1);
  for (let i = 0; i < 6; i++) engine.broker.publish({ topic: 't', payload: `${i}`, qos: 1 });
  assert.equal((await first.drain()).length, 1);
  assert.equal((await second.drain()).length, 5);
  await engine.stop();
});

for (const sharedStrategy of ['round_robin', 'least_in_flight', 'sticky', 'topic_hash'] as const) {
  for (const full of ['a', 'b']) {
    test(`${sharedStrategy}: what a full queue would drop goes to a member that has room (${full} is full)`, async () => {
      const engine = await Engine.create({ session: { sharedStrategy, queuedMessages: 3 } });
      const small = { ...V5, properties: { receiveMaximum: 1 } };
      const join = async (clientId: string): Promise<RawClient> => {
        const client = await engine.connect({ clientId, ...small });
        await client.subscribe('$share/g/t', 1);
        return client;
      };
      const publish = (): void => {
        for (let i = 0; i < 4; i++) engine.broker.publish({ topic: 't', payload: `${i}`, qos: 1 });
      };
      // One in flight, three waiting.
      await join(full);
      publish();
      const other = await join(full === 'a' ? 'b' : 'a');
      publish();
      assert.equal(engine.broker.counters.publishDropped, 0);
      const payloads: string[] = [];
      while (payloads.length < 4) payloads.push(...(await taken(other)));
      assert.deepEqual(payloads, ['0', '1', '2', '3']);
      // Nobody has room: a drop is counted.
      publish();
      publish();
      assert.equal(engine.broker.counters.droppedQueueFull, 4);
      await engine.stop();
    });

    test(`${sharedStrategy}: QoS 0 messages do not go to a member that does not read (${full})`, async () => {
      const engine = await Engine.create({ session: { sharedStrategy, outputBuffer: 1000 } });
      const clients = new Map<string, RawClient>();
      for (const clientId of ['a', 'b']) {
        const client = await engine.connect({ clientId, ...V5 });
        await client.subscribe('$share/g/t', 0);
        clients.set(clientId, client);
      }
      await clients.get(full)?.subscribe('own', 0, 2);
      clients.get(full)?.stall();
      while (engine.broker.counters.droppedOutputBuffer === 0) {
        engine.broker.publish({ topic: 'own', payload: Buffer.alloc(10_000), qos: 0 });
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      for (let i = 0; i < 4; i++) engine.broker.publish({ topic: 't', payload: `${i}`, qos: 0 });
      const other = clients.get(full === 'a' ? 'b' : 'a') as RawClient;
      assert.deepEqual(await taken(other), ['0', '1', '2', '3']);
      await engine.stop();
    });
  }
}

test('no retained messages on a shared subscription (4.8.2), and a replaced one stays one membership', async () => {
  const engine = await Engine.create();
  const before = engine.broker.counters.subscriptions;
  engine.broker.publish({ topic: 't/x', payload: 'kept', retain: true });
  const [member] = await members(engine, [1]);
  await member.subscribe('$share/g/t/#', 0);
  assert.deepEqual(await member.drain(), []);
  assert.equal(engine.broker.counters.subscriptions - before, 1);
  assert.equal(engine.broker.counters.sharedSubscriptions, 1);
  engine.broker.publish({ topic: 't/x', payload: '1', qos: 1 });
  assert.equal((await member.expect('publish')).qos, 0);
  await engine.stop();
});

test('UNSUBSCRIBE leaves the group, and the last member takes it away', async () => {
  const engine = await Engine.create();
  const { counters, router } = engine.broker;
  const before = [counters.subscriptions, router.tree.size];
  const [one, two] = await members(engine, [1, 1]);
  const leave: Packet = { cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['$share/g/t/#', '$share/g/u'] };
  one.send(leave);
  assert.deepEqual((await one.expect('unsuback')).granted, [0, 0x11]);
  for (let i = 0; i < 3; i++) engine.broker.publish({ topic: 't/x', payload: `${i}`, qos: 1 });
  assert.equal((await taken(two)).length, 3);
  two.send(leave);
  await two.expect('unsuback');
  engine.broker.publish({ topic: 't/x', payload: 'x', qos: 1 });
  assert.deepEqual(await two.drain(), []);
  assert.deepEqual([counters.subscriptions, router.tree.size], before);
  await engine.stop();
});

test('a kept membership survives a restart', async () => {
  const { GatedStore } = await import('../store/gated-store.js');
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const [member] = await members(engine, [1], KEPT);
  await engine.cut(member);
  await engine.broker.commit.settled();
  const restarted = await Engine.create({ store: store.afterCrash() });
  restarted.broker.publish({ topic: 't/x', payload: 'x', qos: 1 });
  const back = await restarted.connect({ clientId: 'm0', ...KEPT });
  assert.deepEqual(await taken(back), ['x']);
  await restarted.stop();
  await engine.stop();
});

test('MQTT 3.1.1 clients share too', async () => {
  const engine = await Engine.create();
  const [one, two] = await members(engine, [1, 1], { protocolVersion: 4 });
  for (let i = 0; i < 4; i++) engine.broker.publish({ topic: 't/x', payload: `${i}`, qos: 1 });
  assert.deepEqual([(await taken(one)).length, (await taken(two)).length], [2, 2]);
  await engine.stop();
});

for (const [filter, why] of [
  ['$share//t', 'an empty ShareName [MQTT-4.8.2-1]'],
  ['$share/g', 'no topic filter [MQTT-4.8.2-2]'],
  ['$share/g/', 'an empty topic filter'],
  ['$share/+/t', 'a wildcard in the ShareName [MQTT-4.8.2-2]'],
  ['$share/g#/t', 'a wildcard in the ShareName'],
  ['$share/g/a#', 'a malformed topic filter [MQTT-4.7.1-1]'],
] as const) {
  test(`${filter} is malformed: ${why}`, async () => {
    const engine = await Engine.create();
    const client = await engine.connect(V5);
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] });
    assert.equal((await client.expect('disconnect')).reasonCode, 0x81);
    await engine.stop();
  });
}

test('No Local on a shared subscription is a protocol error [MQTT-3.8.3-4], and nothing of its packet is carried out', async () => {
  const engine = await Engine.create();
  const before = engine.broker.counters.subscriptions;
  const client = await engine.connect(KEPT);
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [
      { topic: 'a', qos: 0 },
      { topic: '$share/g/t', qos: 0, nl: true },
    ],
  });
  assert.equal((await client.expect('disconnect')).reasonCode, 0x82);
  assert.equal(engine.broker.counters.subscriptions, before);
  await engine.stop();
});

test('a bridge, whose subscriptions all have No Local, may share', async () => {
  const engine = await Engine.create();
  const client = engine.open();
  const connect = generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: 'bridge',
    clean: true,
    keepalive: 0,
  });
  // The bridge bit of the protocol version.
  connect[8] |= 0x80;
  client.sendBytes(connect);
  await client.expect('connack');
  await client.subscribe('$share/g/t', 1);
  engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
  assert.deepEqual(await taken(client), ['x']);
  await engine.stop();
});
