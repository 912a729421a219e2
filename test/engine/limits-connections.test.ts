/** How many connections there may be, of one address and of those that have not been accepted, and how fast they come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { addressOf } from '../../src/access/address.js';
import { Engine, type RawClient } from '../support/engine.js';
import { limitsOf } from '../support/limits.js';

const connectPacket = (clientId: string, protocolVersion: 4 | 5 = 4): Packet => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion,
  clientId,
  clean: true,
  keepalive: 0,
});

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Whether the broker has closed a connection that says nothing, once everything under way has arrived. */
async function isClosed(client: RawClient): Promise<boolean> {
  for (let i = 0; i < 5; i++) await nextTurn();
  return client.closed;
}

for (const [remote, address] of [
  ['192.0.2.1:1883', '192.0.2.1'],
  ['[2001:db8:0:7::1]:50000', '2001:db8:0:7'],
  ['[2001:db8:0:7:ffff:ffff:ffff:ffff]:1', '2001:db8:0:7'],
  ['[2001:0db8::]:1', '2001:db8:0:0'],
  ['[2001:db8::8:800:200c:417a]:1', '2001:db8:0:0'],
  ['[::1]:1', '0:0:0:0'],
  ['[::]:1', '0:0:0:0'],
  ['[fe80::1%eth0]:1', 'fe80:0:0:0'],
  ['[64:ff9b::192.0.2.1]:1', '64:ff9b:0:0'],
  ['[1:2:3:4:5:6:7::]:1', '1:2:3:4'],
  ['local', null],
  ['unknown:undefined', null],
] as const) {
  test(`${remote} counts as ${address ?? 'no address'}`, () => assert.equal(addressOf(remote), address));
}

test('a client beyond limits.connections_per_address is refused with 0x97, before MQTT 5.0 with return code 3', async () => {
  const engine = await Engine.create({ session: { connectionsPerAddress: 2 } });
  const limits = limitsOf(engine);
  const first = await engine.connect({ clientId: 'a' }, '192.0.2.1:1');
  assert.equal((await engine.connect({ clientId: 'b' }, '192.0.2.1:2')).connack.returnCode, 0);
  const modern = await engine.connect({ clientId: 'c', protocolVersion: 5 }, '192.0.2.1:3');
  assert.equal(modern.connack.reasonCode, 0x97);
  await modern.end();
  const older = await engine.connect({ clientId: 'd' }, '192.0.2.1:4');
  assert.equal(older.connack.returnCode, 3);
  await older.end();
  const { counters } = engine.broker;
  assert.deepEqual([counters.refusedAddress, counters.refusedConnections], [2, 2]);
  assert.deepEqual(limits, Array(2).fill('limits.connections_per_address'));
  assert.equal((await engine.connect({ clientId: 'e' }, '192.0.2.2:1')).connack.returnCode, 0, 'of another address');
  await engine.cut(first);
  assert.equal((await engine.connect({ clientId: 'f' }, '192.0.2.1:5')).connack.returnCode, 0, 'in the place of one');
  await engine.stop();
});

test('limits.connections_per_address counts an IPv6 address by its /64', async () => {
  const engine = await Engine.create({ session: { connectionsPerAddress: 1 } });
  const code = async (clientId: string, remote: string): Promise<number | undefined> =>
    (await engine.connect({ clientId }, remote)).connack.returnCode;
  assert.equal(await code('a', '[2001:db8::1]:1'), 0);
  assert.equal(await code('b', '[2001:db8::abcd:2]:1'), 3);
  assert.equal(await code('c', '[2001:db8:0:1::1]:1'), 0);
  await engine.stop();
});

test('a client that takes over its own connection is none more for limits.connections_per_address', async () => {
  const engine = await Engine.create({ session: { connectionsPerAddress: 1 } });
  const former = await engine.connect({ clientId: 'a' }, '192.0.2.1:1');
  assert.equal((await engine.connect({ clientId: 'a' }, '192.0.2.1:2')).connack.returnCode, 0);
  await former.end();
  assert.equal((await engine.connect({ clientId: 'b' }, '192.0.2.1:3')).connack.returnCode, 3, 'another one is');
  assert.equal((await engine.connect({ clientId: 'b' }, '192.0.2.2:1')).connack.returnCode, 0);
  const stranger = await engine.connect({ clientId: 'b' }, '192.0.2.1:4');
  assert.equal(stranger.connack.returnCode, 3, 'and so is one that takes over a connection of another address');
  await engine.stop();
});

test('limits.connections_per_address is asked before authenticate, and a client that fails there gives its place back', async () => {
  const asked: string[] = [];
  const engine = await Engine.create({
    session: { connectionsPerAddress: 1 },
    authenticate: (client, _username, _password, done) => {
      asked.push(client.id);
      done(null, client.id !== 'bad');
    },
  });
  for (const clientId of ['bad', 'good', 'more']) await engine.connect({ clientId }, '192.0.2.1:1');
  assert.deepEqual(asked, ['bad', 'good']);
  await engine.stop();
});

test('connections of one address that say nothing are closed at once beyond twice limits.connections_per_address', async () => {
  const engine = await Engine.create({ session: { connectionsPerAddress: 2 } });
  const silent = Array.from({ length: 4 }, (_, i) => engine.open(4, `192.0.2.1:${i}`));
  const fifth = engine.open(4, '192.0.2.1:5');
  await fifth.end();
  assert.equal(engine.broker.counters.refusedAddress, 1);
  assert.deepEqual(await Promise.all(silent.map(isClosed)), [false, false, false, false]);
  assert.equal((await engine.connect({}, '192.0.2.2:1')).connack.returnCode, 0);
  await engine.stop();
});

test('connections beyond limits.pending_connections are closed at once; those that are accepted make room', async () => {
  const engine = await Engine.create({ session: { pendingConnections: 2 } });
  const limits = limitsOf(engine);
  const first = engine.open();
  const second = engine.open();
  await engine.open().end();
  assert.deepEqual([engine.broker.counters.refusedPending, engine.broker.counters.refusedConnections], [1, 1]);
  assert.deepEqual(limits, ['limits.pending_connections']);
  assert.equal(engine.broker.connections.size, 2);
  first.send(connectPacket('first'));
  assert.equal((await first.expect('connack')).returnCode, 0);
  const third = engine.open();
  assert.equal(await isClosed(third), false);
  await engine.open().end();
  // Their time is mqtt.connect_timeout.
  engine.pass(11);
  await Promise.all([second.end(), third.end()]);
  assert.equal((await engine.connect({ clientId: 'later' })).connack.returnCode, 0);
  assert.equal(engine.broker.environment.gate.pending, 0);
  await engine.stop();
});

test('a client that is being authenticated counts for limits.pending_connections', async () => {
  const waiting: (() => void)[] = [];
  const engine = await Engine.create({
    session: { pendingConnections: 1 },
    authenticate: (_client, _username, _password, done) => {
      waiting.push(() => done(null, true));
    },
  });
  const client = engine.open();
  client.send(connectPacket('c'));
  while (waiting.length === 0) await nextTurn();
  await engine.open().end();
  for (const decide of waiting) decide();
  assert.equal((await client.expect('connack')).returnCode, 0);
  assert.equal(await isClosed(engine.open()), false);
  await engine.stop();
});

test('connections beyond limits.connects_per_second wait and are served in their order; none is lost', async () => {
  const order: string[] = [];
  const engine = await Engine.create({
    session: { connectsPerSecond: 2 },
    authenticate: (client, _username, _password, done) => {
      order.push(client.id);
      done(null, true);
    },
  });
  const limits = limitsOf(engine);
  const names = ['a', 'b', 'c', 'd', 'e'];
  const clients = names.map((name) => {
    const client = engine.open();
    client.send(connectPacket(name));
    return client;
  });
  const served = async (from: number, to: number): Promise<void> => {
    for (const client of clients.slice(from, to)) assert.equal((await client.expect('connack')).returnCode, 0);
    for (let i = 0; i < 5; i++) await nextTurn();
    assert.deepEqual(order, names.slice(0, to));
  };
  // A burst of one second's worth.
  await served(0, 2);
  assert.equal(engine.broker.counters.delayedConnections, 3);
  assert.deepEqual(limits, Array(3).fill('limits.connects_per_second'));
  engine.pass(0.5);
  await served(2, 3);
  const late = engine.open();
  late.send(connectPacket('late'));
  engine.pass(1);
  await served(3, 5);
  assert.equal(order.includes('late'), false, 'who comes later does not overtake those who wait');
  engine.pass(1);
  assert.equal((await late.expect('connack')).returnCode, 0);
  await engine.stop();
});

test('a connection that waits for limits.connects_per_second until mqtt.connect_timeout is closed, and costs no turn', async () => {
  const engine = await Engine.create({ session: { connectsPerSecond: 1, connectTimeout: 2 } });
  const clients = Array.from({ length: 6 }, (_, i) => {
    const client = engine.open();
    client.send(connectPacket(`c${i}`));
    return client;
  });
  await clients[0].expect('connack');
  for (const i of [1, 2]) {
    engine.pass(1);
    await clients[i].expect('connack');
  }
  engine.pass(1);
  await Promise.all(clients.slice(3).map((client) => client.end()));
  assert.equal(engine.broker.counters.connectTimeouts, 3);
  assert.equal((await engine.connect({ clientId: 'next' })).connack.returnCode, 0);
  await engine.stop();
});
