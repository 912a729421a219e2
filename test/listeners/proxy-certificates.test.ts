/** Certificates that clients have shown to their proxy, as the PROXY header tells of them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import { connectPacket, RawClient } from '../interop/raw.js';
import { temporaryFolder } from '../support/portico.js';
import { addresses4, LOCAL, PROXY, TCP4, tlsTlv, tlv, UNIX, UNSPECIFIED, v2 } from './proxy-headers.js';
import { Served } from './served.js';
import { closed, open } from './sockets.js';

const BEHIND = { host: '127.0.0.1', port: 0, proxy_protocol: 'v2', trusted_proxies: ['127.0.0.1'] };
const IDENTITY = { ...BEHIND, proxy_username_from: 'identity' };
const CERTIFIED = { ...IDENTITY, proxy_require_certificate: true };

const ADDRESS = addresses4('192.0.2.7', 4711);
/** @param verify 0 for a certificate that is good */
const shows = (name: string, verify = 0): Buffer => v2(PROXY, TCP4, ADDRESS, tlsTlv(7, verify, tlv(0x22, name)));
const NONE = v2(PROXY, TCP4, ADDRESS, tlsTlv(1, 0));

function passwords(): string {
  const file = `${temporaryFolder()}/passwords`;
  assert.equal(spawnSync('mosquitto_passwd', ['-b', '-c', file, 'ann', 'right']).status, 0);
  return file;
}

const ANN = { username: 'ann', password: Buffer.from('right') };

async function returnCode(
  port: number,
  header: Buffer,
  clientId: string,
  credentials: Partial<IConnectPacket> = {},
): Promise<number | undefined> {
  const client = new RawClient(await open(port), 4);
  client.sendBytes(header);
  client.send(connectPacket({ clientId, ...credentials }));
  return (await client.expect('connack')).returnCode;
}

const usernameOf = async (served: Served, clientId: string): Promise<unknown> =>
  (await served.line((line) => line.client === clientId && line.username !== undefined, clientId)).username;

/** Sends a header that is refused. */
async function refused(port: number, header: Buffer): Promise<void> {
  const socket = await open(port);
  socket.write(header);
  await closed(socket);
}

test('proxy_username_from: identity: the common name of the header is the user name, whatever CONNECT says', async () => {
  const path = `${temporaryFolder()}/mqtt.sock`;
  const { host: _host, port: _port, trusted_proxies: _trusted, ...unix } = IDENTITY;
  const served = await Served.start(
    [
      { type: 'mqtt', ...IDENTITY },
      { type: 'websocket', ...IDENTITY },
      { type: 'unix', path, ...unix },
    ],
    { access: { password_file: passwords() } },
  );
  const [port, webPort] = await served.ports(2);
  for (const [i, credentials] of [{}, { username: 'ann' }, ANN].entries()) {
    assert.equal(await returnCode(port, shows('device 7'), `tcp ${i}`, credentials), 0);
    assert.equal(await usernameOf(served, `tcp ${i}`), 'device 7');
  }
  const createConnection = (): Socket => {
    const socket = connect({ port: webPort, host: '127.0.0.1' });
    socket.write(shows('device 8'));
    return socket;
  };
  const webSocket = new WebSocket(`ws://127.0.0.1:${webPort}/mqtt`, 'mqtt', { createConnection });
  await once(webSocket, 'open');
  const streams = [
    ['device 8', createWebSocketStream(webSocket)],
    ['device 9', connect({ path })],
  ] as const;
  streams[1][1].write(shows('device 9'));
  for (const [name, stream] of streams) {
    const client = new RawClient(stream, 4);
    client.send(connectPacket({ clientId: name }));
    assert.equal((await client.expect('connack')).returnCode, 0);
    assert.equal(await usernameOf(served, name), name);
    client.cut();
  }
});

test('proxy_username_from: identity: who has shown no good certificate is asked for a password', async () => {
  const served = await Served.start([{ type: 'mqtt', ...IDENTITY }], { access: { password_file: passwords() } });
  const [port] = await served.ports(1);
  const headers = [NONE, v2(PROXY, TCP4, ADDRESS), shows('ann', 10), v2(LOCAL, UNSPECIFIED)];
  for (const [i, header] of headers.entries()) {
    assert.equal(await returnCode(port, header, `stranger ${i}`), 5);
    assert.equal(await returnCode(port, header, `liar ${i}`, { username: 'ann' }), 4);
    assert.equal(await returnCode(port, header, `ann ${i}`, ANN), 0);
    assert.equal(await usernameOf(served, `ann ${i}`), 'ann');
  }
});

test('proxy_username_from: identity: a good certificate without a common name that could be a user name is refused, and counted', async () => {
  const served = await Served.start([{ type: 'mqtt', ...IDENTITY }], { allow_anonymous: true });
  const [port] = await served.ports(1);
  const names = ['', 'a\nb', 'x'.repeat(129)].map((name) => shows(name));
  for (const [i, header] of [...names, v2(PROXY, TCP4, ADDRESS, tlsTlv(7, 0))].entries()) {
    await refused(port, header);
    assert.equal(served.counters.refusedProxiesWithoutCertificate, i + 1);
    await served.line((line) => line.msg.includes('proxy_username_from'), 'a line');
  }
});

test('without proxy_username_from the name of a certificate is nobody', async () => {
  const served = await Served.start([{ type: 'mqtt', ...BEHIND }], { access: { password_file: passwords() } });
  const [port] = await served.ports(1);
  assert.equal(await returnCode(port, shows('ann'), 'a'), 5);
  assert.equal(await returnCode(port, shows('device 7'), 'b', ANN), 0);
  assert.equal(await usernameOf(served, 'b'), 'ann');
});

test('proxy_require_certificate: a client that has shown no good one is refused, counted and told; the proxy itself is not', async () => {
  const served = await Served.start([{ type: 'mqtt', ...BEHIND, proxy_require_certificate: true }], {
    allow_anonymous: true,
  });
  const [port] = await served.ports(1);
  const headers = [
    NONE,
    v2(PROXY, TCP4, ADDRESS),
    shows('device 7', 10),
    v2(PROXY, TCP4, ADDRESS, tlsTlv(6, 0, tlv(0x22, 'no TLS'))),
    v2(PROXY, UNSPECIFIED),
    v2(PROXY, UNIX, Buffer.alloc(216)),
  ];
  for (const [i, header] of headers.entries()) {
    await refused(port, header);
    assert.equal(served.counters.refusedProxiesWithoutCertificate, i + 1);
    await served.line((line) => line.msg.includes('proxy_require_certificate'), 'a line');
  }
  assert.equal(await returnCode(port, shows('device 7'), 'a'), 0);
  assert.equal(await returnCode(port, v2(LOCAL, UNSPECIFIED), 'check'), 0);
});

test('both of them: nobody comes in by a password, nor the proxy itself without a user', async () => {
  const served = await Served.start([{ type: 'mqtt', ...CERTIFIED }]);
  const [port] = await served.ports(1);
  assert.equal(await returnCode(port, shows('device 7'), 'a'), 0);
  assert.equal(await returnCode(port, v2(LOCAL, UNSPECIFIED), 'check'), 5);
  await refused(port, NONE);
  assert.equal(served.counters.refusedProxiesWithoutCertificate, 1);
});

test('proxy_require_tls: a client of a proxy that has no address to tell is refused too', async () => {
  const served = await Served.start([{ type: 'mqtt', ...BEHIND, proxy_require_tls: true }], { allow_anonymous: true });
  const [port] = await served.ports(1);
  for (const [i, header] of [v2(PROXY, UNSPECIFIED), v2(PROXY, UNIX, Buffer.alloc(216))].entries()) {
    await refused(port, header);
    assert.equal(served.counters.refusedProxiesWithoutTls, i + 1);
  }
  assert.equal(await returnCode(port, v2(PROXY, UNSPECIFIED, tlsTlv(1, 0)), 'tls'), 0);
});

test('a client that its proxy has named waits for its turn as others do: limits.connects_per_second', async () => {
  const served = await Served.start([{ type: 'mqtt', ...CERTIFIED }], { limits: { connects_per_second: 2 } });
  const [port] = await served.ports(1);
  const codes = Array.from({ length: 5 }, (_, i) => returnCode(port, shows('device 7'), `client ${i}`));
  assert.deepEqual(await Promise.all(codes), [0, 0, 0, 0, 0]);
  assert.ok(served.counters.delayedConnections > 0);
});
