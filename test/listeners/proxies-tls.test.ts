/** The PROXY header before TLS: who comes in behind it, what is refused, and what it may cost. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { generate, type IConnectPacket } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import { connectPacket, RawClient } from '../interop/raw.js';
import { temporaryFolder } from '../support/portico.js';
import { certificateFiles, shakeBehind } from './proxied-tls.js';
import {
  addresses4,
  addresses6,
  LOCAL,
  PROXY,
  TCP4,
  TCP6,
  tlsTlv,
  tlv,
  UDP4,
  UNIX,
  UNSPECIFIED,
  v2,
} from './proxy-headers.js';
import { Served } from './served.js';
import { closed, open } from './sockets.js';

const PROXIED = {
  host: '127.0.0.1',
  port: 0,
  proxy_protocol: 'any',
  trusted_proxies: ['127.0.0.0/8'],
  ...certificateFiles(),
};
const MQTTS = { type: 'mqtts', ...PROXIED };
const WSS = { type: 'wss', ...PROXIED };

function serve(listeners: object[], sections: object = {}): Promise<Served> {
  return Served.start(listeners, { allow_anonymous: true, ...sections });
}

const v1 = (address: string): Buffer => Buffer.from(`PROXY TCP4 ${address} 127.0.0.1 4711 8883\r\n`);
const CLIENT = v2(PROXY, TCP4, addresses4('192.0.2.7', 4711));

const connected = async (served: Served, clientId: string): Promise<string> =>
  String((await served.line((line) => line.client === clientId && line.transport !== undefined, clientId)).remote);

async function returnCode(
  socket: TLSSocket,
  clientId: string,
  credentials: Partial<IConnectPacket> = {},
): Promise<number | undefined> {
  const client = new RawClient(socket, 4);
  client.send(connectPacket({ clientId, ...credentials }));
  return (await client.expect('connack')).returnCode;
}

const each = (bytes: Buffer): Buffer[] => [...bytes].map((byte) => Buffer.from([byte]));
const OWN = /^127\.0\.0\.1:\d+$/;
const GOOD: readonly [what: string, pieces: Buffer[], remote: RegExp][] = [
  ['version 1', [v1('192.0.2.7')], /^192\.0\.2\.7:4711$/],
  ['version 1, byte by byte', each(v1('192.0.2.7')), /^192\.0\.2\.7:4711$/],
  ['version 2', [CLIENT], /^192\.0\.2\.7:4711$/],
  ['version 2, byte by byte', each(CLIENT), /^192\.0\.2\.7:4711$/],
  ['version 2, IPv6', [v2(PROXY, TCP6, addresses6('2001:db8:0:0:0:0:0:7', 1))], /^\[2001:db8::7\]:1$/],
  ['the longest one', [v2(PROXY, TCP4, addresses4('192.0.2.7', 1), tlv(4, Buffer.alloc(4065)))], /^192\.0\.2\.7:1$/],
  ['LOCAL', [v2(LOCAL, UNSPECIFIED)], OWN],
  ['UNKNOWN', [Buffer.from('PROXY UNKNOWN\r\n')], OWN],
  ['a family without addresses', [v2(PROXY, UNSPECIFIED)], OWN],
  ['a Unix socket', [v2(PROXY, UNIX, Buffer.alloc(216))], OWN],
];

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${maxVersion} behind a PROXY header: whose connection it is, with the first bytes of TLS right behind the header`, async () => {
    const served = await serve([MQTTS]);
    const [port] = await served.ports(1);
    for (const [what, pieces, remote] of GOOD) {
      const socket = shakeBehind(port, pieces, { maxVersion });
      assert.equal(await returnCode(socket, what), 0, what);
      assert.match(await connected(served, what), remote, what);
      socket.destroy();
    }
    assert.equal(served.counters.tlsHandshakes, GOOD.length);
    assert.equal(served.counters.refusedProxyHeaders, 0);
  });
}

test('secure WebSocket behind a PROXY header: the address is that of the header', async () => {
  const served = await serve([WSS]);
  const [port] = await served.ports(1);
  const createConnection = () => shakeBehind(port, [CLIENT]);
  const headers = { 'x-forwarded-for': '203.0.113.9' };
  const socket = new WebSocket('wss://localhost/mqtt', 'mqtt', { createConnection, headers });
  await once(socket, 'open');
  const client = new RawClient(createWebSocketStream(socket), 4);
  client.send(connectPacket({ clientId: 'ws' }));
  assert.equal((await client.expect('connack')).returnCode, 0);
  assert.equal(await connected(served, 'ws'), '192.0.2.7:4711');
  client.cut();
});

const FORWARDING = { type: 'wss', host: '127.0.0.1', port: 0, ...certificateFiles() };

/** A client of a proxy that does TLS to the broker and says whose connection it is in X-Forwarded-For. */
async function forwarded(port: number, field: string): Promise<RawClient> {
  const createConnection = () => shakeBehind(port, []);
  const headers = { 'x-forwarded-for': field };
  const socket = new WebSocket('wss://localhost/mqtt', 'mqtt', { createConnection, headers });
  await once(socket, 'open');
  const stream = createWebSocketStream(socket);
  stream.once('end', () => stream.destroy());
  return new RawClient(stream, 4);
}

async function forwardedCode(port: number, field: string, clientId: string): Promise<number | undefined> {
  const client = await forwarded(port, field);
  client.send(connectPacket({ clientId }));
  return (await client.expect('connack')).returnCode;
}

test('X-Forwarded-For over secure WebSocket counts from trusted proxies, and from nobody else', async () => {
  const served = await serve([
    { ...FORWARDING, trusted_proxies: ['127.0.0.0/8'] },
    { ...FORWARDING, trusted_proxies: ['10.0.0.0/8'] },
    FORWARDING,
  ]);
  const [trusting, ...others] = await served.ports(3);
  for (const [field, remote] of [
    ['203.0.113.9', '203.0.113.9:0'],
    ['6.6.6.6, 203.0.113.9, 127.0.0.9', '203.0.113.9:0'],
    ['[2001:DB8:0:0::7]:80', '[2001:db8::7]:0'],
  ]) {
    assert.equal(await forwardedCode(trusting, field, field), 0);
    assert.equal(await connected(served, field), remote);
  }
  for (const [i, field] of ['127.0.0.9', 'unknown', ''].entries()) {
    assert.equal(await forwardedCode(trusting, field, `own ${i}`), 0);
    assert.match(await connected(served, `own ${i}`), OWN);
  }
  for (const [i, port] of others.entries()) {
    assert.equal(await forwardedCode(port, '203.0.113.9', `liar ${i}`), 0);
    assert.match(await connected(served, `liar ${i}`), OWN);
  }
});

test('limits.connections_per_address counts the clients of X-Forwarded-For over secure WebSocket, and not the proxy', async () => {
  const listener = { ...FORWARDING, trusted_proxies: ['127.0.0.1'] };
  const served = await serve([listener], { limits: { connections_per_address: 1 } });
  const [port] = await served.ports(1);
  for (let i = 1; i <= 5; i++) assert.equal(await forwardedCode(port, `203.0.113.${i}`, `client ${i}`), 0);
  const more = await forwarded(port, '203.0.113.1');
  more.send(connectPacket({ clientId: 'more' }));
  assert.equal((await more.expect('connack')).returnCode, 3);
  await more.closed;
  await forwarded(port, '203.0.113.1');
  await assert.rejects(forwarded(port, '203.0.113.1'), /Unexpected server response: 503/);
  assert.equal(served.counters.refusedAddress, 2);
});

test('a ban of the address of X-Forwarded-For over secure WebSocket is that of one client, and not of its proxy', async () => {
  const file = `${temporaryFolder()}/passwords`;
  assert.equal(spawnSync('mosquitto_passwd', ['-b', '-c', file, 'ann', 'right']).status, 0);
  const listener = { ...FORWARDING, trusted_proxies: ['127.0.0.1'] };
  const served = await serve([listener], { access: { password_file: file, lockout_address_failures: 1 } });
  const [port] = await served.ports(1);
  const bad = await forwarded(port, '203.0.113.1');
  bad.send(connectPacket({ clientId: 'bad', username: 'ann', password: Buffer.from('wrong') }));
  assert.equal((await bad.expect('connack')).returnCode, 4);
  await assert.rejects(forwarded(port, '203.0.113.1'), /Unexpected server response: 503/);
  assert.equal(served.counters.refusedBanned, 1);
  assert.equal(await forwardedCode(port, '203.0.113.2', 'another'), 0);
});

const HELLO = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
const BAD: readonly [what: string, bytes: Buffer][] = [
  ['TLS without a header', HELLO],
  ['MQTT', generate(connectPacket({ clientId: 'without' }))],
  ['a wrong signature', Buffer.concat([CLIENT.subarray(0, 11), Buffer.from([0]), CLIENT.subarray(12)])],
  ['version 3', v2(0x31, TCP4, addresses4('192.0.2.7', 1))],
  ['datagrams', v2(PROXY, UDP4, addresses4('192.0.2.7', 1))],
  ['no address where one is told', v2(PROXY, TCP4)],
  ['more than 4096 bytes', v2(PROXY, TCP4, Buffer.alloc(4081)).subarray(0, 16)],
  ['more than 107 bytes of words', Buffer.from(`PROXY ${'A'.repeat(101)}`)],
  ['a wrong checksum', v2(PROXY, TCP4, addresses4('192.0.2.7', 1), tlv(3, Buffer.alloc(4)))],
];

for (const listener of [MQTTS, WSS]) {
  test(`${listener.type}: what is no PROXY header is closed at its first wrong byte, counted and told, before any handshake`, async () => {
    const served = await serve([listener]);
    const [port] = await served.ports(1);
    for (const [i, [what, bytes]] of BAD.entries()) {
      const socket = await open(port);
      socket.write(bytes);
      await closed(socket);
      assert.equal(served.counters.refusedProxyHeaders, i + 1, what);
      await served.line((line) => /^connection from 127\.0\.0\.1:\d+ refused: .*PROXY header/.test(line.msg), what);
    }
    assert.equal(served.counters.tlsHandshakesFailed, 0);
    assert.equal(served.server.broker.environment.gate.pending, 0);
  });

  test(`${listener.type}: a header that breaks off is counted; a connection that says nothing is none`, async () => {
    const served = await serve([listener]);
    const [port] = await served.ports(1);
    const silent = await open(port);
    silent.end();
    await closed(silent);
    const broken = await open(port);
    broken.end(CLIENT.subarray(0, 20));
    await closed(broken);
    await served.line((line) => line.msg.includes('a PROXY header that ends too early'), 'a line');
    assert.equal(served.counters.refusedProxyHeaders, 1);
    assert.equal(served.server.broker.environment.gate.pending, 0);
  });

  test(`${listener.type}: what comes from no trusted proxy is closed unread, and counted`, async () => {
    const served = await serve([{ ...listener, trusted_proxies: ['10.0.0.0/8'] }]);
    const [port] = await served.ports(1);
    const socket = shakeBehind(port, [CLIENT]);
    await closed(socket);
    assert.equal(served.counters.refusedUntrustedProxies, 1);
    assert.equal(served.counters.refusedProxyHeaders, 0);
  });

  test(`${listener.type}: a header, and a handshake behind one, end within mqtt.connect_timeout each, and are counted`, async () => {
    const served = await serve([listener], { mqtt: { connect_timeout: 1 } });
    const [port] = await served.ports(1);
    const slow = await open(port);
    slow.write(CLIENT.subarray(0, -1));
    await closed(slow);
    await served.line((line) => line.msg.includes('127.0.0.1') && /no PROXY header within/.test(line.msg), 'a line');
    assert.equal(served.counters.connectTimeouts, 1);
    const half = await open(port);
    half.write(Buffer.concat([CLIENT, HELLO]));
    await closed(half);
    await served.line((line) => /192\.0\.2\.7:4711 refused: no TLS handshake within/.test(line.msg), 'a line');
    assert.equal(served.counters.connectTimeouts, 2);
    assert.equal(served.server.broker.environment.gate.pending, 0);
  });
}

test('what is no TLS behind a header is told with the address of the header', async () => {
  const served = await serve([MQTTS]);
  const [port] = await served.ports(1);
  const socket = await open(port);
  socket.write(Buffer.concat([CLIENT, generate(connectPacket({ clientId: 'plain' }))]));
  await closed(socket);
  await served.line(
    (line) => line.msg.includes('192.0.2.7:4711 refused: TLS handshake: what came is no TLS'),
    'a line',
  );
  assert.equal(served.counters.tlsHandshakesFailed, 1);
});

test('limits.connections_per_address counts the clients behind a proxy before TLS, and not the proxy', async () => {
  const served = await serve([MQTTS], { limits: { connections_per_address: 1 } });
  const [port] = await served.ports(1);
  for (let i = 1; i <= 4; i++) {
    assert.equal(await returnCode(shakeBehind(port, [v1(`192.0.2.${i}`)]), `client ${i}`), 0);
  }
  assert.equal(await returnCode(shakeBehind(port, [v1('192.0.2.1')]), 'one more'), 3);
  assert.equal(served.counters.refusedAddress, 1);
});

test('connections without their header, and then without their handshake, count among limits.pending_connections', async () => {
  const served = await serve([MQTTS], { limits: { pending_connections: 2 } });
  const [port] = await served.ports(1);
  const waiting = [await open(port), await open(port)];
  await closed(await open(port));
  assert.equal(served.counters.refusedPending, 1);
  // With their headers they still wait, for their handshakes.
  for (const socket of waiting) socket.write(CLIENT);
  await closed(await open(port));
  assert.equal(served.counters.refusedPending, 2);
  for (const socket of waiting) socket.destroy();
});

test('a ban of the address of a header ends a connection before its handshake', async () => {
  const file = `${temporaryFolder()}/passwords`;
  assert.equal(spawnSync('mosquitto_passwd', ['-b', '-c', file, 'ann', 'right']).status, 0);
  const served = await serve([MQTTS], { access: { password_file: file, lockout_address_failures: 1 } });
  const [port] = await served.ports(1);
  const bad = { username: 'ann', password: Buffer.from('wrong') };
  assert.equal(await returnCode(shakeBehind(port, [v1('192.0.2.1')]), 'bad', bad), 4);
  await closed(shakeBehind(port, [v1('192.0.2.1')]));
  await served.line((line) => /192\.0\.2\.1, which is banned/.test(line.msg), 'a line');
  assert.equal(served.counters.tlsHandshakes, 1);
  const good = { username: 'ann', password: Buffer.from('right') };
  assert.equal(await returnCode(shakeBehind(port, [v1('192.0.2.2')]), 'good', good), 0);
});

test('limits.connects_per_second: what has come behind a header waits for its turn, and is not lost', async () => {
  const served = await serve([MQTTS], { limits: { connects_per_second: 2 } });
  const [port] = await served.ports(1);
  const codes = Array.from({ length: 5 }, (_, i) => returnCode(shakeBehind(port, [v1(`192.0.2.${i}`)]), `client ${i}`));
  assert.deepEqual(await Promise.all(codes), [0, 0, 0, 0, 0]);
  assert.ok(served.counters.delayedConnections > 0);
});

test('a stop waits neither for headers nor for the handshakes behind them', async () => {
  const served = await serve([MQTTS, WSS]);
  const sockets = [];
  for (const port of await served.ports(2)) sockets.push(await open(port), await open(port));
  const ended = sockets.map(closed);
  for (const socket of [sockets[0], sockets[2]]) socket.write(CLIENT);
  await served.stop();
  await Promise.all(ended);
});

test('proxy_username_from: identity before TLS: a proxy that encrypts anew says whose certificate it has seen', async () => {
  const served = await serve([{ ...MQTTS, proxy_protocol: 'v2', proxy_username_from: 'identity' }]);
  const [port] = await served.ports(1);
  const header = v2(PROXY, TCP4, addresses4('192.0.2.7', 1), tlsTlv(7, 0, tlv(0x22, 'device 7')));
  assert.equal(await returnCode(shakeBehind(port, [header]), 'a', { username: 'other' }), 0);
  const line = await served.line(({ client, username }) => client === 'a' && username !== undefined, 'its name');
  assert.equal(line.username, 'device 7');
});
