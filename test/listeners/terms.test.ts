/** What one listener asks of its clients, and gives them, beside another one that does not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { connectPacket, connectRaw, openRaw, RawClient } from '../interop/raw.js';
import { Served } from './served.js';

const TCP = { type: 'mqtt', host: '127.0.0.1', port: 0 };

/** A broker with this listener, and one beside it; returns their ports. */
async function serve(terms: object, sections: object = {}): Promise<[served: Served, port: number, other: number]> {
  const served = await Served.start([{ ...TCP, ...terms }, TCP], sections);
  const [port, other] = await served.ports(2);
  return [served, port, other];
}

/** The code of CONNACK. */
async function codeOf(
  port: number,
  options: Partial<IConnectPacket> & { clientId: string },
): Promise<number | undefined> {
  const { connack } = await connectRaw(port, options);
  return options.protocolVersion === 5 ? connack.reasonCode : connack.returnCode;
}

test('max_connections: one client too many is refused with 0x89; one that takes over is not one more', async () => {
  const [served, port, other] = await serve({ max_connections: 2 });
  const a = await connectRaw(port, { clientId: 'a' });
  await connectRaw(port, { clientId: 'b' });
  assert.equal(await codeOf(port, { clientId: 'c', protocolVersion: 5 }), 0x89);
  assert.equal(await codeOf(port, { clientId: 'c' }), 3);
  assert.equal(served.counters.refusedAtListener, 2);
  await served.line((line) => line.msg.includes('listeners.0.max_connections'), 'a line that names the option');
  assert.equal(await codeOf(port, { clientId: 'b' }), 0, 'it takes over');
  assert.equal(await codeOf(other, { clientId: 'c' }), 0, 'the other listener has room');
  a.send({ cmd: 'disconnect' });
  await a.closed;
  const next = await connectRaw(port, { clientId: 'd' });
  assert.equal(next.connack.returnCode, 0);
  assert.equal(await codeOf(other, { clientId: 'd' }), 0, 'it goes to the other listener');
  await next.closed;
  assert.equal(await codeOf(port, { clientId: 'e' }), 0);
});

test('max_connections: connections that were refused, or never said CONNECT, do not count', async () => {
  const [, port] = await serve({ max_connections: 1, protocol_versions: [4] });
  await openRaw(port);
  for (let i = 0; i < 3; i++) assert.equal(await codeOf(port, { clientId: 'five', protocolVersion: 5 }), 0x84);
  assert.equal(await codeOf(port, { clientId: 'a' }), 0);
  assert.equal(await codeOf(port, { clientId: 'b' }), 3);
});

test('max_connections counts all addresses of a listener together', async () => {
  const served = await Served.start([{ ...TCP, host: ['127.0.0.1', '127.0.0.2'], max_connections: 1 }]);
  const { addresses } = await served.line((line) => Array.isArray(line.addresses), 'the listener');
  const [first, second] = String(addresses)
    .split(',')
    .map((address) => Number(address.split(':').at(-1)));
  assert.equal(await codeOf(first, { clientId: 'a' }), 0);
  const socket = connect({ host: '127.0.0.2', port: second });
  const client = new RawClient(socket, 4);
  client.send(connectPacket({ clientId: 'b' }));
  assert.equal((await client.expect('connack')).returnCode, 3);
});

test('protocol_versions: another version is refused in its own words', async () => {
  const [served, port, other] = await serve({ protocol_versions: [5] });
  assert.equal(await codeOf(port, { clientId: 'a', protocolVersion: 4 }), 1);
  assert.equal(await codeOf(port, { clientId: 'a', protocolVersion: 3 }), 1);
  assert.equal(await codeOf(port, { clientId: 'a', protocolVersion: 5 }), 0);
  assert.equal(await codeOf(other, { clientId: 'a', protocolVersion: 3 }), 0);
  assert.equal(served.counters.refusedVersions, 2);
});

test('max_qos: told in CONNACK, granted at most, and more is a fault; the other listener goes on', async () => {
  const [, port, other] = await serve({ max_qos: 1 });
  const client = await connectRaw(port, { clientId: 'a', protocolVersion: 5 });
  assert.equal(client.connack.properties?.maximumQoS, 1);
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 2 }] });
  assert.deepEqual((await client.expect('suback')).granted, [1]);
  client.send({ cmd: 'publish', topic: 't', payload: '', qos: 2, messageId: 1, dup: false, retain: false });
  assert.equal((await client.expect('disconnect')).reasonCode, 0x9b);
  const will = { topic: 'w', payload: Buffer.alloc(0), qos: 2, retain: false } as const;
  assert.equal(await codeOf(port, { clientId: 'b', protocolVersion: 5, will }), 0x9b);
  const beside = await connectRaw(other, { clientId: 'b', protocolVersion: 5, will });
  assert.equal(beside.connack.properties?.maximumQoS, undefined);
  await beside.subscribe('t', 2);
});

test('max_qos is no more than mqtt.max_qos', async () => {
  const [, port] = await serve({ max_qos: 2 }, { mqtt: { max_qos: 0 } });
  const client = await connectRaw(port, { clientId: 'a', protocolVersion: 5 });
  assert.equal(client.connack.properties?.maximumQoS, 0);
});

test('use_username_as_clientid: the user name is the identifier, and nobody takes over the session of another', async () => {
  const [served, port, other] = await serve({ use_username_as_clientid: true }, { allow_anonymous: true });
  const user = await connectRaw(port, { clientId: 'whatever', username: 'ann' });
  assert.equal(user.connack.returnCode, 0);
  assert.deepEqual(Object.keys(served.server.broker.clients), ['ann']);
  await connectRaw(port, { clientId: 'ann', username: 'bob' });
  assert.deepEqual(Object.keys(served.server.broker.clients).sort(), ['ann', 'bob']);
  await connectRaw(port, { clientId: '', username: 'cid', protocolVersion: 5 });
  assert.equal(await codeOf(port, { clientId: 'd', protocolVersion: 5 }), 0x87);
  assert.equal(await codeOf(port, { clientId: 'd' }), 5);
  assert.equal(served.counters.refusedNameless, 2);
  assert.equal(await codeOf(other, { clientId: 'd' }), 0);
  assert.deepEqual(Object.keys(served.server.broker.clients).sort(), ['ann', 'bob', 'cid', 'd']);
});

test('allow_empty_client_id: a client without an identifier is refused with 0x85', async () => {
  const [served, port, other] = await serve({ allow_empty_client_id: false });
  assert.equal(await codeOf(port, { clientId: '', protocolVersion: 5 }), 0x85);
  assert.equal(await codeOf(port, { clientId: '', clean: true }), 2);
  assert.equal(served.counters.refusedEmptyIds, 2);
  await served.line((line) => line.msg.includes('listeners.0.allow_empty_client_id'), 'a line that names the option');
  assert.equal(await codeOf(port, { clientId: 'a' }), 0);
  assert.equal(await codeOf(other, { clientId: '', protocolVersion: 5 }), 0);
});

test('client_id_prefix: other identifiers are refused with 0x87, generated ones too', async () => {
  const [served, port, other] = await serve({ client_id_prefix: 'hall-' });
  assert.equal(await codeOf(port, { clientId: 'hall-1', protocolVersion: 5 }), 0);
  assert.equal(await codeOf(port, { clientId: 'hall', protocolVersion: 5 }), 0x87);
  assert.equal(await codeOf(port, { clientId: 'Hall-1' }), 5);
  assert.equal(await codeOf(port, { clientId: '', protocolVersion: 5 }), 0x87);
  assert.equal(served.counters.refusedIdPrefixes, 3);
  await served.line((line) => line.msg.includes('listeners.0.client_id_prefix'), 'a line that names the option');
  assert.equal(await codeOf(other, { clientId: 'hall' }), 0);
});

test('auto_id_prefix: generated identifiers begin with it', async () => {
  const [, port, other] = await serve({ auto_id_prefix: 'hall/' });
  const options = { clientId: '', protocolVersion: 5 } as const;
  const assigned = async (at: number): Promise<unknown> =>
    (await connectRaw(at, options)).connack.properties?.assignedClientIdentifier;
  assert.match(String(await assigned(port)), /^hall\/[\da-f-]{36}$/);
  assert.match(String(await assigned(other)), /^auto-[\da-f-]{36}$/);
});

test('allow_anonymous of a listener comes before that of the top level', async () => {
  const [, closed, open] = await serve({ allow_anonymous: false }, { allow_anonymous: true });
  assert.equal(await codeOf(closed, { clientId: 'a', protocolVersion: 5 }), 0x87);
  assert.equal(await codeOf(open, { clientId: 'a' }), 0);
  const [, opened, shut] = await serve({ allow_anonymous: true }, { allow_anonymous: false });
  assert.equal(await codeOf(opened, { clientId: 'a' }), 0);
  assert.equal(await codeOf(shut, { clientId: 'a' }), 5);
});

test('origins: a page that is not of the list gets 403 and is counted; what is no browser may connect', async () => {
  const listener = {
    type: 'websocket',
    host: '127.0.0.1',
    port: 0,
    origins: ['https://example.org', 'http://localhost:8080'],
  };
  const served = await Served.start([listener]);
  const [port] = await served.ports(1);
  const open = async (origin?: string): Promise<void> => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, 'mqtt', origin === undefined ? {} : { origin });
    await once(socket, 'open');
    socket.terminate();
  };
  for (const origin of [undefined, 'https://example.org', 'HTTPS://EXAMPLE.ORG', 'http://localhost:8080'])
    await open(origin);
  const wrong = [
    'https://example.org.evil',
    'http://example.org',
    'https://example.org:8443',
    'null',
    'http://localhost',
  ];
  for (const origin of wrong) await assert.rejects(open(origin), /Unexpected server response: 403/);
  assert.equal(served.counters.refusedOrigins, wrong.length);
  await served.line((line) => /the origin "null" is not one of origins/.test(line.msg), 'a line');
});

test('interface: all of its addresses are bound; ipv6_only leaves the port of IPv4 to others', async () => {
  const served = await Served.start([{ type: 'mqtt', interface: 'lo', port: 0 }]);
  const { addresses } = await served.line((line) => Array.isArray(line.addresses), 'the listener');
  assert.ok(
    String(addresses)
      .split(',')
      .some((address) => address.startsWith('127.0.0.1:')),
    String(addresses),
  );
  const six = await Served.start([{ type: 'mqtt', host: '::', port: 0, ipv6_only: true }], { allow_anonymous: true });
  const [port] = await six.ports(1);
  const four = await Served.start([{ type: 'mqtt', host: '0.0.0.0', port }], { allow_anonymous: true });
  assert.deepEqual(await four.ports(1), [port]);
});
