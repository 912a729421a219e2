/** Listeners behind proxies: whom they believe, whose address counts, and what they refuse. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { generate, type IConnectPacket } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import { connectPacket, RawClient } from '../interop/raw.js';
import { temporaryFolder } from '../support/portico.js';
import { addresses4, LOCAL, PROXY, TCP4, tlsTlv, tlv, UNSPECIFIED, v2 } from './proxy-headers.js';
import { Served } from './served.js';
import { closed, open } from './sockets.js';

const LOOPBACK = { trusted_proxies: ['127.0.0.0/8', '::1'] };
const ELSEWHERE = { trusted_proxies: ['10.0.0.0/8', '2001:db8::/32'] };
const MQTT = { type: 'mqtt', host: '127.0.0.1', port: 0 };
const WEBSOCKET = { type: 'websocket', host: '127.0.0.1', port: 0 };

function serve(listeners: object[], sections: object = {}): Promise<Served> {
  return Served.start(listeners, { allow_anonymous: true, ...sections });
}

const v1 = (address: string, port = 4711): Buffer => Buffer.from(`PROXY TCP4 ${address} 127.0.0.1 ${port} 1883\r\n`);

/** Connects with a header in front of CONNECT; returns the return code. */
async function returnCode(
  port: number,
  header: Buffer,
  clientId: string,
  credentials: Partial<IConnectPacket> = {},
): Promise<number | undefined> {
  const client = new RawClient(await open(port), 4);
  client.sendBytes(Buffer.concat([header, generate(connectPacket({ clientId, ...credentials }))]));
  return (await client.expect('connack')).returnCode;
}

const connected = (served: Served, clientId: string) =>
  served.line((line) => line.client === clientId && line.transport !== undefined, `the connection of ${clientId}`);

for (const version of ['v1', 'v2', 'any'] as const) {
  test(`proxy_protocol ${version}: the address of the header is that of the client, and its first packet may come with it`, async () => {
    const served = await serve([{ ...MQTT, proxy_protocol: version, ...LOOPBACK }]);
    const [port] = await served.ports(1);
    const header = version === 'v1' ? v1('192.0.2.7') : v2(PROXY, TCP4, addresses4('192.0.2.7', 4711), tlv(4, 'x'));
    assert.equal(await returnCode(port, header, 'a'), 0);
    assert.equal((await connected(served, 'a')).remote, '192.0.2.7:4711');
  });
}

test('a header that comes byte by byte, and then CONNECT in two pieces', async () => {
  const served = await serve([{ ...MQTT, proxy_protocol: 'any', ...LOOPBACK }]);
  const [port] = await served.ports(1);
  const client = new RawClient(await open(port), 4);
  const packet = generate(connectPacket({ clientId: 'slow' }));
  const bytes = Buffer.concat([v2(PROXY, TCP4, addresses4('192.0.2.7', 4711)), packet.subarray(0, 5)]);
  const socket = client.stream as Socket;
  socket.setNoDelay(true);
  for (const byte of bytes) await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
  client.sendBytes(packet.subarray(5));
  assert.equal((await client.expect('connack')).returnCode, 0);
});

test('LOCAL and UNKNOWN: the proxy speaks for itself, with its own address', async () => {
  const served = await serve([{ ...MQTT, proxy_protocol: 'any', ...LOOPBACK }]);
  const [port] = await served.ports(1);
  for (const header of [v2(LOCAL, UNSPECIFIED), Buffer.from('PROXY UNKNOWN\r\n')]) {
    assert.equal(await returnCode(port, header, 'check'), 0);
    assert.match(String((await connected(served, 'check')).remote), /^127\.0\.0\.1:\d+$/);
  }
});

test('limits.connections_per_address counts the clients behind a proxy, and not the proxy', async () => {
  const limits = { connections_per_address: 1 };
  const served = await serve([{ ...MQTT, proxy_protocol: 'any', ...LOOPBACK }], { limits });
  const [port] = await served.ports(1);
  for (let i = 1; i <= 5; i++) assert.equal(await returnCode(port, v1(`192.0.2.${i}`), `client ${i}`), 0);
  assert.equal(await returnCode(port, v1('192.0.2.1', 4712), 'one more'), 3);
  assert.equal(served.counters.refusedAddress, 1);
});

test('a ban is that of the client behind the proxy: others come by the same proxy as before', async () => {
  const file = `${temporaryFolder()}/passwords`;
  const { status } = spawnSync('mosquitto_passwd', ['-b', '-c', file, 'ann', 'right']);
  assert.equal(status, 0);
  const access = { password_file: file, lockout_address_failures: 2 };
  const served = await serve(
    [
      { ...MQTT, proxy_protocol: 'any', ...LOOPBACK },
      { ...WEBSOCKET, ...LOOPBACK },
    ],
    { access },
  );
  const [port, webPort] = await served.ports(2);
  const bad = (i: number) => ({ username: 'ann', password: Buffer.from(`wrong ${i}`) });
  for (const i of [1, 2]) assert.equal(await returnCode(port, v1('192.0.2.1'), `bad ${i}`, bad(i)), 4);
  const banned = await open(port);
  banned.write(v1('192.0.2.1'));
  await closed(banned);
  await served.line((line) => /192\.0\.2\.1, which is banned/.test(line.msg), 'a line');
  await assert.rejects(webSocket(webPort, { 'x-forwarded-for': '192.0.2.1' }), /Unexpected server response: 503/);
  const good = { username: 'ann', password: Buffer.from('right') };
  assert.equal(await returnCode(port, v1('192.0.2.2'), 'good', good), 0);
  (await webSocket(webPort, { 'x-forwarded-for': '192.0.2.2' })).cut();
});

test('what comes from no trusted proxy is closed unread, and counted', async () => {
  const served = await serve([
    { ...MQTT, proxy_protocol: 'any', ...ELSEWHERE },
    { ...WEBSOCKET, proxy_protocol: 'any', ...ELSEWHERE },
  ]);
  for (const [i, port] of (await served.ports(2)).entries()) {
    const socket = await open(port);
    socket.write(v1('192.0.2.7'));
    await closed(socket);
    assert.equal(served.counters.refusedUntrustedProxies, i + 1);
    await served.line((line) => /that is to come from one of trusted_proxies does not/.test(line.msg), 'a line');
  }
});

test('garbage in the place of a header is closed at its first wrong byte, and counted', async () => {
  const served = await serve([{ ...MQTT, proxy_protocol: 'any', ...LOOPBACK }]);
  const [port] = await served.ports(1);
  const garbage = [
    generate(connectPacket({ clientId: 'without' })),
    Buffer.from('G'),
    Buffer.from([0x16, 3, 1]),
    Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n'),
    Buffer.from(`PROXY ${'A'.repeat(200)}`),
    v2(PROXY, TCP4, Buffer.alloc(60_000)).subarray(0, 16),
    v2(PROXY, 0x12, Buffer.alloc(12)),
  ];
  for (const [i, bytes] of garbage.entries()) {
    const socket = await open(port);
    socket.write(bytes);
    await closed(socket);
    assert.equal(served.counters.refusedProxyHeaders, i + 1);
  }
  assert.equal(served.server.broker.environment.gate.pending, 0);
});

test('a header that is not there within mqtt.connect_timeout is not waited for', async () => {
  const served = await serve([{ ...MQTT, proxy_protocol: 'any', ...LOOPBACK }], { mqtt: { connect_timeout: 1 } });
  const [port] = await served.ports(1);
  const socket = await open(port);
  socket.write('PROXY ');
  await closed(socket);
  assert.equal(served.counters.connectTimeouts, 1);
  assert.equal(served.server.broker.environment.gate.pending, 0);
});

test('connections without their header count among limits.pending_connections', async () => {
  const limits = { pending_connections: 2 };
  const served = await serve([{ ...MQTT, proxy_protocol: 'any', ...LOOPBACK }], { limits });
  const [port] = await served.ports(1);
  const waiting = [await open(port), await open(port)];
  await closed(await open(port));
  assert.equal(served.counters.refusedPending, 1);
  for (const socket of waiting) socket.destroy();
});

test('a stop does not wait for headers', async () => {
  const path = `${temporaryFolder()}/mqtt.sock`;
  const served = await serve([
    { ...MQTT, proxy_protocol: 'any', ...LOOPBACK },
    { ...WEBSOCKET, proxy_protocol: 'any', ...LOOPBACK },
    { type: 'unix', path, proxy_protocol: 'any' },
  ]);
  const ports = await served.ports(2);
  const sockets = [await open(ports[0]), await open(ports[1]), connect({ path })];
  const ended = sockets.map(closed);
  await once(sockets[2], 'connect');
  await served.stop();
  await Promise.all(ended);
});

test('whoever may open a Unix socket is a proxy that is trusted', async () => {
  const path = `${temporaryFolder()}/mqtt.sock`;
  const served = await serve([{ type: 'unix', path, proxy_protocol: 'v2' }]);
  const client = new RawClient(connect({ path }), 4);
  client.sendBytes(v2(PROXY, TCP4, addresses4('192.0.2.7', 4711)));
  client.send(connectPacket({ clientId: 'u' }));
  assert.equal((await client.expect('connack')).returnCode, 0);
  assert.equal((await connected(served, 'u')).remote, '192.0.2.7:4711');
});

test('proxy_require_tls: a client of which the header does not say that it speaks TLS is refused, and counted', async () => {
  const served = await serve([{ ...MQTT, proxy_protocol: 'v2', proxy_require_tls: true, ...LOOPBACK }]);
  const [port] = await served.ports(1);
  const address = addresses4('192.0.2.7', 4711);
  const socket = await open(port);
  socket.write(v2(PROXY, TCP4, address));
  await closed(socket);
  assert.equal(served.counters.refusedProxiesWithoutTls, 1);
  assert.equal(await returnCode(port, v2(PROXY, TCP4, address, tlsTlv(1, 0)), 'tls'), 0);
  assert.equal(await returnCode(port, v2(LOCAL, UNSPECIFIED), 'check'), 0);
});

/** A WebSocket that has to come to be. @param first what stands before its bytes */
async function webSocket(port: number, headers: Record<string, string>, first?: Buffer): Promise<RawClient> {
  const createConnection = (): Socket => {
    const socket = connect({ port, host: '127.0.0.1' });
    if (first !== undefined) socket.write(first);
    return socket;
  };
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt', { headers, createConnection });
  await once(socket, 'open');
  const stream = createWebSocketStream(socket);
  stream.once('end', () => stream.destroy());
  return new RawClient(stream, 4);
}

test('WebSocket behind a PROXY header: the address is that of the header, whatever X-Forwarded-For says', async () => {
  const served = await serve([{ ...WEBSOCKET, proxy_protocol: 'any', ...LOOPBACK }]);
  const [port] = await served.ports(1);
  const client = await webSocket(port, { 'x-forwarded-for': '203.0.113.9' }, v1('192.0.2.7'));
  client.send(connectPacket({ clientId: 'ws' }));
  assert.equal((await client.expect('connack')).returnCode, 0);
  assert.equal((await connected(served, 'ws')).remote, '192.0.2.7:4711');
  // Without an upgrade it is answered as ever.
  const plain = await open(port);
  plain.write(Buffer.concat([v1('192.0.2.7'), Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')]));
  const [answer] = await once(plain, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 426 /);
});

const FORWARDED: readonly [field: string, remote: string | null, what: string][] = [
  ['203.0.113.9', '203.0.113.9:0', 'its address'],
  ['203.0.113.9:5000', '203.0.113.9:0', 'its address without the port'],
  ['6.6.6.6, 203.0.113.9', '203.0.113.9:0', 'the last one: what stands before is the word of the client'],
  ['203.0.113.9, 127.0.0.9, ::1', '203.0.113.9:0', 'the last one that is no trusted proxy'],
  ['[2001:db8::7]:80', '[2001:db8::7]:0', 'its address of IPv6'],
  ['::ffff:203.0.113.9', '203.0.113.9:0', 'its address of IPv4'],
  ['[::FFFF:CB00:7109]:80', '203.0.113.9:0', 'its address of IPv4, in digits of IPv6'],
  ['2001:DB8:0:0::7', '[2001:db8::7]:0', 'its address of IPv6 as the system writes it'],
  ['203.0.113.9, ::FFFF:127.0.0.9', '203.0.113.9:0', 'the last one that is no trusted proxy, however that is written'],
  ['127.0.0.9', null, 'that of the connection where all are proxies'],
  ['203.0.113.9, unknown', null, 'that of the connection where a proxy does not know'],
  ['', null, 'that of the connection where nothing is said'],
];

test('X-Forwarded-For over WebSocket, from a trusted proxy: whose connection it is', async () => {
  const served = await serve([{ ...WEBSOCKET, ...LOOPBACK }]);
  const [port] = await served.ports(1);
  for (const [i, [field, remote, what]] of FORWARDED.entries()) {
    const client = await webSocket(port, { 'x-forwarded-for': field });
    client.send(connectPacket({ clientId: `f${i}` }));
    await client.expect('connack');
    const line = await connected(served, `f${i}`);
    if (remote === null) assert.match(String(line.remote), /^127\.0\.0\.1:[1-9]/, what);
    else assert.equal(line.remote, remote, what);
    client.cut();
    await client.closed;
  }
});

test('X-Forwarded-For over WebSocket counts from trusted proxies only, and for limits.connections_per_address', async () => {
  const limits = { connections_per_address: 1 };
  const served = await serve(
    [
      { ...WEBSOCKET, ...ELSEWHERE },
      { ...WEBSOCKET, ...LOOPBACK },
    ],
    { limits },
  );
  const [untrusting, port] = await served.ports(2);
  const liar = await webSocket(untrusting, { 'x-forwarded-for': '203.0.113.9' });
  liar.send(connectPacket({ clientId: 'liar' }));
  await liar.expect('connack');
  assert.match(String((await connected(served, 'liar')).remote), /^127\.0\.0\.1:/);
  for (let i = 1; i <= 3; i++) {
    const client = await webSocket(port, { 'x-forwarded-for': `203.0.113.${i}` });
    client.send(connectPacket({ clientId: `client ${i}` }));
    assert.equal((await client.expect('connack')).returnCode, 0);
  }
  const more = await webSocket(port, { 'x-forwarded-for': '203.0.113.1' });
  more.send(connectPacket({ clientId: 'more' }));
  assert.equal((await more.expect('connack')).returnCode, 3);
  await more.closed;
  await webSocket(port, { 'x-forwarded-for': '203.0.113.1' });
  await assert.rejects(webSocket(port, { 'x-forwarded-for': '203.0.113.1' }), /Unexpected server response: 503/);
  assert.equal(served.counters.refusedAddress, 2);
});

test('X-Forwarded-For of a request for metrics is in the log, from trusted proxies only', async () => {
  const http = { type: 'http', host: '127.0.0.1', port: 0 };
  const served = await serve([
    { ...http, ...LOOPBACK },
    { ...http, ...ELSEWHERE },
  ]);
  const ports = await served.ports(2);
  for (const [i, remote] of [
    /^203\.0\.113\.9:0 asks for \/health$/,
    /^127\.0\.0\.1:\d+ asks for \/health$/,
  ].entries()) {
    const answer = await fetch(`http://127.0.0.1:${ports[i]}/health`, {
      headers: { 'x-forwarded-for': '203.0.113.9' },
    });
    assert.equal(answer.status, 200);
    await answer.text();
    assert.match((await served.line((line) => line.msg.includes('asks for'), 'the request')).msg, remote);
  }
});
