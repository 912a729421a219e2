/** Connections that are slow to begin, or go away while the broker looks elsewhere. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { generate, type Packet } from 'mqtt-packet';
import { StreamTransport } from '../../src/session/transport.js';
import { Engine, RawClient } from '../support/engine.js';

const connectPacket = (clientId: string): Packet => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clientId,
  clean: true,
  keepalive: 0,
});

test('a connection whose CONNECT is never decided ends after mqtt.connect_timeout, also when its client is gone', async () => {
  const engine = await Engine.create({ authenticate: () => {} });
  const client = engine.open();
  client.send(connectPacket('c'));
  while ([...engine.broker.connections][0]?.state !== 'connecting')
    await new Promise((resolve) => setImmediate(resolve));
  client.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  engine.pass(11);
  assert.equal(engine.broker.connections.size, 0);
  assert.equal(engine.broker.counters.connectTimeouts, 1);
  await engine.stop();
});

test('limits.connections holds also for clients that are authenticated at the same time', async () => {
  const waiting: (() => void)[] = [];
  const engine = await Engine.create({
    session: { connections: 2 },
    authenticate: (_client, _username, _password, done) => {
      waiting.push(() => done(null, true));
    },
  });
  const clients = ['a', 'b', 'c', 'd'].map((clientId) => {
    const client = engine.open();
    client.send(connectPacket(clientId));
    return client;
  });
  while (waiting.length < clients.length) await new Promise((resolve) => setImmediate(resolve));
  for (const decide of waiting) decide();
  const codes: (number | undefined)[] = [];
  for (const client of clients) codes.push((await client.expect('connack')).returnCode);
  assert.deepEqual(codes, [0, 0, 3, 3]);
  assert.equal(engine.broker.sessions.connected, 2);
  assert.equal(engine.broker.counters.refusedConnections, 2);
  await engine.stop();
});

test('answers beyond a small limits.output_buffer that the kernel takes at once stop nothing', async () => {
  const engine = await Engine.create({ session: { outputBuffer: 1024 } });
  const server = createServer(engine.broker.handle as never).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const client = new RawClient(socket);
  client.send(connectPacket('c'));
  await client.expect('connack');
  await client.subscribe('t', 1);
  // In one chunk: more answers than the limit, then a message to itself, which has to wait for room.
  const pings = new Array<Buffer>(1000).fill(generate({ cmd: 'pingreq' }));
  const message = {
    cmd: 'publish',
    topic: 't',
    payload: 'x',
    qos: 1,
    retain: false,
    dup: false,
    messageId: 1,
  } as const;
  client.sendBytes(Buffer.concat([...pings, generate(message)]));
  const kinds = new Map<string, number>();
  for (let i = 0; i < 1002; i++) {
    const { cmd } = await client.next();
    kinds.set(cmd, (kinds.get(cmd) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(kinds), { pingresp: 1000, publish: 1, puback: 1 });
  assert.deepEqual(await client.drain(), []);
  socket.destroy();
  server.close();
  await engine.stop();
});

test('a client that has closed its side and takes nothing more is gone within seconds', async () => {
  const engine = await Engine.create();
  const server = createServer({ allowHalfOpen: true }, (socket) => engine.broker.accept(new StreamTransport(socket)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const client = new RawClient(socket);
  client.send(connectPacket('c'));
  await client.expect('connack');
  await client.subscribe('t', 0);
  client.stall();
  // Far more than the system keeps between the two.
  engine.broker.publish({ topic: 't', payload: Buffer.alloc(64_000_000) });
  const gone = once(engine.broker, 'clientDisconnect');
  socket.end();
  await gone;
  assert.equal(engine.broker.sessions.get('c'), undefined);
  socket.destroy();
  server.close();
  await engine.stop();
});
