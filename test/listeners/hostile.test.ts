/** Whoever has nothing but the ports: what is no protocol of a listener, on every listener at once, while somebody is served. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { generate } from 'mqtt-packet';
import { connectPacket, RawClient } from '../interop/raw.js';
import { temporaryFolder } from '../support/portico.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';
import { Served } from './served.js';
import { closed, open } from './sockets.js';
import { issued } from './tls-scene.js';

const LISTENERS = ['mqtt', 'proxied', 'websocket', 'mqtts', 'wss', 'unix'] as const;
/** Bytes of a heap that may come and go. */
const SLACK = 48 * 2 ** 20;

function certificate(): { readonly cert_file: string; readonly key_file: string } {
  const folder = temporaryFolder();
  const { cert, key } = issued({ names: ['server'] });
  const [cert_file, key_file] = [join(folder, 'server.pem'), join(folder, 'server.key')];
  writeFileSync(cert_file, String(cert));
  writeFileSync(key_file, String(key), { mode: 0o600 });
  return { cert_file, key_file };
}

interface Scene {
  readonly served: Served;
  /** A connection to each listener that has said nothing yet. */
  readonly open: Readonly<Record<(typeof LISTENERS)[number], () => Promise<Socket>>>;
}

async function scene(sections: object = {}): Promise<Scene> {
  const here = { host: '127.0.0.1', port: 0 };
  const path = join(temporaryFolder(), 'socket');
  const served = await Served.start(
    [
      { type: 'mqtt', ...here },
      { type: 'mqtt', ...here, proxy_protocol: 'any', trusted_proxies: ['127.0.0.0/8'] },
      { type: 'websocket', ...here, origins: ['https://example.org'] },
      { type: 'mqtts', ...here, ...certificate() },
      { type: 'wss', ...here, ...certificate() },
      { type: 'unix', path },
    ],
    { allow_anonymous: true, mqtt: { connect_timeout: 1 }, limits: { connects_per_second: 10_000 }, ...sections },
  );
  const [mqtt, proxied, websocket, mqtts, wss] = await served.ports(5);
  const unix = async (): Promise<Socket> => {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('error', () => {});
    return socket;
  };
  return {
    served,
    open: {
      mqtt: () => open(mqtt),
      proxied: () => open(proxied),
      websocket: () => open(websocket),
      mqtts: () => open(mqtts),
      wss: () => open(wss),
      unix,
    },
  };
}

const upgrade = (...more: string[]): string =>
  [
    'GET /mqtt HTTP/1.1',
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: mqtt',
    `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`,
    ...more,
    '',
    '',
  ].join('\r\n');

/** The record of a ClientHello that promises more than comes. */
const HELLO = Buffer.from(`160301020001000${'1fc0303'}${'00'.repeat(64)}`, 'hex');

/** What is the beginning of nothing good on any listener. */
const HOSTILE: readonly [what: string, bytes: Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['one byte', Buffer.from([0x10])],
  ['zeros', Buffer.alloc(5000)],
  ['a packet of 256 MB', Buffer.from('10ffffff7f00044d515454', 'hex')],
  ['a remaining length without an end', Buffer.from('10ffffffffff', 'hex')],
  ['a CONNECT that stops', generate(connectPacket({ clientId: 'c'.repeat(20_000) })).subarray(0, 10_000)],
  ['a packet before CONNECT', Buffer.from('c000', 'hex')],
  ['a ClientHello that stops', HELLO],
  ['a record of TLS of 64 kB', Buffer.from(`160301ffff${'01'.repeat(70_000)}`, 'hex')],
  ['an alert of TLS', Buffer.from('15030300020228', 'hex')],
  ['SSL 2', Buffer.from('802e0100020015000000100100800200800300800400800500800600400700c0', 'hex')],
  ['a PROXY header without an end', Buffer.from(`PROXY TCP4 ${'1'.repeat(5000)}`)],
  ['a PROXY header of 65,535 bytes', Buffer.from('0d0a0d0a000d0a515549540a2111ffff', 'hex')],
  ['a PROXY header before TLS', Buffer.concat([Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'), HELLO])],
  ['a request that stops', Buffer.from('GET /mqtt HTTP/1.1\r\nHost: ')],
  ['a header of 64 kB', Buffer.from(upgrade(`Cookie: ${'c'.repeat(65_536)}`))],
  ['a thousand fields', Buffer.from(upgrade(...Array.from({ length: 3000 }, (_, i) => `X-${i}: ${i}`)))],
  ['an origin that is not of the list', Buffer.from(upgrade('Origin: https://example.org.evil.example'))],
  ['two origins', Buffer.from(upgrade('Origin: https://example.org, https://evil.example'))],
  ['an origin with another port', Buffer.from(upgrade('Origin: https://example.org:8443'))],
  [
    'a request in a request',
    Buffer.from(`POST /mqtt HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${upgrade()}`),
  ],
];

/** What has become of connections that were never accepted. */
function refusals({ counters }: Served): number {
  return (
    counters.connectTimeouts +
    counters.protocolErrors +
    counters.tlsHandshakesFailed +
    counters.refusedProxyHeaders +
    counters.refusedOrigins
  );
}

// Most of it is waiting.
describe('whoever has nothing but a port', { concurrency: true }, () => {
  for (const listener of LISTENERS) {
    test(`${listener}: what is none of its protocol is closed within mqtt.connect_timeout, counted once each, and leaves nothing behind`, async () => {
      const { served, open: doors } = await scene();
      const { gate } = served.server.broker.environment;
      const uncounted: string[] = [];
      for (const [what, bytes] of HOSTILE) {
        const before = refusals(served);
        const socket = await doors[listener]();
        socket.resume();
        const end = closed(socket);
        socket.write(bytes);
        await end;
        // The other end may hear of it first.
        for (let turn = 0; turn < 100 && gate.pending > 0; turn++)
          await new Promise((resolve) => setImmediate(resolve));
        const counted = refusals(served) - before;
        if (counted !== 1) uncounted.push(`${what}: ${counted}`);
      }
      assert.deepEqual(uncounted, []);
      assert.equal(gate.pending, 0);
      assert.equal(served.server.broker.connections.size, 0);
    });
  }
});

test('hundreds of connections that say garbage or stop, on all listeners: bounded memory, and a client is served throughout', async () => {
  const { served, open: doors } = await scene({ mqtt: { connect_timeout: 2 } });
  const client = new RawClient(await doors.mqtt(), 4);
  client.send(connectPacket({ clientId: 'good', keepalive: 0 }));
  await client.expect('connack');
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] });
  await client.expect('suback');
  const before = process.memoryUsage();
  for (const seed of seeds(1)) {
    const random = new Random(seed);
    const ends: Promise<void>[] = [];
    for (let i = 0; i < 60; i++) {
      for (const listener of LISTENERS) {
        const socket = await doors[listener]();
        socket.resume();
        ends.push(closed(socket));
        const [, bytes] = random.pick(HOSTILE);
        const changed = Buffer.from(bytes);
        if (changed.length > 0) changed[random.below(changed.length)] ^= 1 << random.below(8);
        socket.write(changed.subarray(0, random.below(changed.length + 1)));
      }
      client.send({ cmd: 'publish', topic: 'a', payload: String(i), qos: 0, dup: false, retain: false });
      assert.equal(String((await client.expect('publish')).payload), String(i));
    }
    await Promise.all(ends);
  }
  const { heapUsed, external } = process.memoryUsage();
  assert.ok(heapUsed + external < before.heapUsed + before.external + SLACK, `${heapUsed + external} bytes`);
  assert.equal(served.server.broker.environment.gate.pending, 0);
  client.cut();
});
