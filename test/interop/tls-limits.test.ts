/** Limits over TLS: they hold before a handshake costs anything, and for clients that take nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { generate } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico } from '../support/portico.js';
import { listening, logged } from './coap-transports.js';
import { JsClient } from './mqttjs.js';
import { connectPacket, RawClient } from './raw.js';
import { SysWatch } from './sys.js';

const HOST = '127.0.0.1';
const STALLED = 3;

describe('limits over TLS', { timeout: 120_000 }, () => {
  let files: CertificateFiles;
  let portico: Portico;
  let sys: SysWatch;
  let ports: number[];
  let ca: Buffer;

  before(async () => {
    files = await CertificateFiles.make();
    ca = readFileSync(files.path('ca.pem'));
  });
  after(() => files?.remove());
  afterEach(() => portico?.dispose());

  async function start(
    limits: Readonly<Record<string, number>>,
    of: Readonly<Partial<Record<'mqtts' | 'wss', object>>> = {},
  ): Promise<void> {
    const own = { host: HOST, port: 0, cert_file: files.path('server.pem'), key_file: files.path('server.key') };
    portico = await Portico.start((ports) => ({
      listeners: [...listenersAt(ports), { type: 'mqtts', ...own, ...of.mqtts }, { type: 'wss', ...own, ...of.wss }],
      allow_anonymous: true,
      limits,
    }));
    ports = [];
    for (const type of ['mqtts', 'wss']) ports.push((await listening(portico, `${type} on ${HOST}:0`)).port);
    sys = await SysWatch.start(portico.ports.mqtt);
  }

  test('options of one listener hold over TLS: max_connections, mount_point, and origins of wss', async () => {
    await start(
      {},
      { mqtts: { max_connections: 1, mount_point: 'site-7/' }, wss: { origins: ['https://example.org'] } },
    );
    const watcher = await JsClient.connect(`mqtt://${HOST}:${portico.ports.mqtt}`, { clientId: 'watcher' });
    await watcher.subscribe('site-7/#', 1);
    const client = await JsClient.connect(`mqtts://${HOST}:${ports[0]}`, { ca, clientId: 'mounted' });
    await client.publish('a', 'from within', 1);
    assert.equal((await watcher.next('site-7/a')).payload.toString(), 'from within');
    await assert.rejects(JsClient.connect(`mqtts://${HOST}:${ports[0]}`, { ca, clientId: 'one-more' }));
    await client.end();
    for (const [origin, outcome] of [
      ['https://example.org', 'open'],
      ['https://example.com', 'Unexpected server response: 403'],
    ]) {
      const socket = new WebSocket(`wss://${HOST}:${ports[1]}/`, 'mqtt', { ca, origin });
      const happened = await new Promise((resolve) => {
        socket.once('open', () => resolve('open'));
        socket.once('error', ({ message }) => resolve(message));
      });
      assert.equal(happened, outcome, origin);
      socket.on('error', () => {});
      socket.terminate();
    }
    await watcher.end();
  });

  /** A client that is connected, and speaks for itself. */
  async function raw(clientId: string): Promise<{ client: RawClient; socket: TLSSocket }> {
    const socket = connect({ port: ports[0], host: HOST, ca });
    await once(socket, 'secureConnect');
    const client = new RawClient(socket, 4);
    client.send(connectPacket({ clientId }));
    await client.expect('connack');
    return { client, socket };
  }

  test('limits.pending_connections: handshakes that are not done count, and one more is closed without an answer', async () => {
    await start({ pending_connections: 40 });
    for (const port of ports) {
      const growth = await sys.growth(async () => {
        const idle: Socket[] = [];
        const closed = new Promise<Socket>((resolve) => {
          for (let i = 0; i < 41; i++) {
            const socket = connectTcp(port, HOST);
            socket.on('error', () => {});
            socket.once('close', () => resolve(socket));
            idle.push(socket);
          }
        });
        const refused = await closed;
        assert.equal(refused.bytesRead, 0);
        for (const socket of idle) socket.destroy();
        await Promise.all(idle.filter((socket) => !socket.closed).map((socket) => once(socket, 'close')));
      });
      assert.equal(growth('connections/refused/pending'), 1);
    }
    await logged(portico, ({ option }) => option === 'limits.pending_connections');
  });

  test('limits.connects_per_second: handshakes wait for their turn, and each is done in the end', async () => {
    await start({ connects_per_second: 10 });
    const growth = await sys.growth(async () => {
      const sockets = Array.from({ length: 25 }, () => connect({ port: ports[0], host: HOST, ca }));
      const served = sockets.map(async (socket, i) => {
        socket.on('error', () => {});
        await once(socket, 'secureConnect');
        socket.write(generate(connectPacket({ clientId: `storm-${i}` })));
        await once(socket, 'data');
      });
      await Promise.all(served);
      for (const socket of sockets) socket.destroy();
    });
    assert.ok(growth('limits/connects_per_second') > 0);
  });

  test('limits.stalled_timeout: a client that takes nothing is disconnected; one that reads slowly gets all', async () => {
    await start({ stalled_timeout: STALLED, output_buffer: 65_536 });
    const publisher = await JsClient.connect(`mqtt://${HOST}:${portico.ports.mqtt}`, { clientId: 'publisher' });
    const payload = Buffer.alloc(600_000, 'payload');
    for (let i = 0; i < 10; i++) await publisher.publish(`large/${i}`, payload, 1, true);
    const { client: deaf, socket: deafSocket } = await raw('deaf');
    deafSocket.pause();
    deaf.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'large/#', qos: 1 }] });

    const { client: slow, socket } = await raw('slow');
    await slow.subscribe('large/#', 0);
    // It takes a piece at a time, and longer than the limit for all of them.
    const timer = setInterval(() => {
      socket.resume();
    }, 20);
    socket.on('data', () => socket.pause());
    for (let i = 0; i < 10; i++)
      assert.equal(((await slow.expect('publish')).payload as Buffer).length, payload.length);
    clearInterval(timer);
    socket.resume();
    await logged(portico, ({ msg, client }) => client === 'deaf' && msg.includes('it takes nothing'));
    const gone = portico.logLines.filter(({ client, msg }) => client === 'slow' && msg.includes('disconnected'));
    assert.deepEqual(gone, []);
    deafSocket.destroy();
    socket.destroy();
    await publisher.end();
  });
});
