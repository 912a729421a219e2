/** A client that sends faster than it may is read more slowly, and nothing else happens to it, or to others. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { generate, type Packet } from 'mqtt-packet';
import type { BrokerOptions } from '../../src/broker.js';
import { Engine, RawClient } from '../support/engine.js';
import { limitsOf } from '../support/limits.js';

const publish = (payload: string | Buffer, qos: 0 | 1 | 2 = 0, messageId = 0): Packet => ({
  cmd: 'publish',
  topic: 't',
  payload,
  qos,
  retain: false,
  dup: false,
  ...(messageId > 0 && { messageId }),
});

/** Publications numbered from 0, and what else, in one chunk. */
function chunk(count: number, qos: 0 | 1 | 2 = 0, ...more: Packet[]): Buffer {
  const packets = Array.from({ length: count }, (_, i) => publish(String(i), qos, qos > 0 ? i + 1 : 0));
  return Buffer.concat([...packets, ...more].map((packet) => generate(packet)));
}

/** Whoever gets all messages on `t`. */
class Watcher {
  readonly #client: RawClient;
  /** Payloads received, in order. */
  readonly received: number[] = [];

  private constructor(client: RawClient) {
    this.#client = client;
  }

  static async of(engine: Engine): Promise<Watcher> {
    const client = await engine.connect({ clientId: 'watcher' });
    await client.subscribe('t', 0);
    return new Watcher(client);
  }

  /** Takes what has come. */
  async count(): Promise<number> {
    // The client's chunk may be as far behind as this.
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    for (const packet of await this.#client.drain()) {
      if (packet.cmd === 'publish') this.received.push(Number(packet.payload));
    }
    return this.received.length;
  }

  /** Lets seconds pass until `count` messages have come; returns how many there were after each. */
  async watch(engine: Engine, count: number): Promise<number[]> {
    const counts: number[] = [];
    while (this.received.length < count && counts.length < count + 10) {
      engine.pass(1);
      counts.push(await this.count());
    }
    return counts;
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

for (const qos of [0, 1, 2] as const) {
  test(`QoS ${qos}: messages beyond limits.messages_per_second wait, and all come in order`, async () => {
    const engine = await Engine.create({ session: { messagesPerSecond: 10 } });
    const limits = limitsOf(engine);
    const watcher = await Watcher.of(engine);
    const client = await engine.connect();
    client.sendBytes(chunk(35, qos, { cmd: 'pingreq' }));
    // One second's worth, and the one that shows that there are more.
    assert.equal(await watcher.count(), 11);
    assert.deepEqual(await watcher.watch(engine, 35), [21, 31, 35]);
    assert.deepEqual(watcher.received, numbers(35));
    const answers = new Map<string, number>();
    while (!answers.has('pingresp')) {
      const { cmd } = await client.next();
      answers.set(cmd, (answers.get(cmd) ?? 0) + 1);
    }
    const acknowledged = qos === 0 ? {} : { [qos === 1 ? 'puback' : 'pubrec']: 35 };
    assert.deepEqual(Object.fromEntries(answers), { ...acknowledged, pingresp: 1 });
    const { counters } = engine.broker;
    assert.deepEqual([counters.throttledMessages, counters.throttledBytes], [3, 0]);
    assert.deepEqual(limits, ['limits.messages_per_second'], 'one line in the log');
    await engine.stop();
  });
}

test('a client that keeps to limits.messages_per_second is never slowed down', async () => {
  const engine = await Engine.create({ session: { messagesPerSecond: 10, bytesPerSecond: 1000 } });
  const watcher = await Watcher.of(engine);
  const client = await engine.connect();
  for (let i = 1; i <= 5; i++) {
    client.sendBytes(chunk(10));
    assert.equal(await watcher.count(), 10 * i);
    engine.pass(1);
  }
  assert.equal(engine.broker.counters.throttledMessages, 0);
  await engine.stop();
});

test('other packets than PUBLISH do not count for limits.messages_per_second', async () => {
  const engine = await Engine.create({ session: { messagesPerSecond: 1 } });
  const client = await engine.connect();
  client.sendBytes(Buffer.concat(Array<Buffer>(100).fill(generate({ cmd: 'pingreq' }))));
  for (let i = 0; i < 100; i++) await client.expect('pingresp');
  assert.equal(engine.broker.counters.throttledMessages, 0);
  await engine.stop();
});

test('bytes beyond limits.bytes_per_second wait until the client has earned them, and then go on', async () => {
  const engine = await Engine.create({ session: { bytesPerSecond: 1000 } });
  const limits = limitsOf(engine);
  const watcher = await Watcher.of(engine);
  const client = await engine.connect();
  client.sendBytes(generate(publish(Buffer.alloc(2993, '0'))));
  assert.equal(await watcher.count(), 0, '3,000 bytes are 2,000 more than one second’s worth');
  client.sendBytes(chunk(1));
  assert.deepEqual(await watcher.watch(engine, 2), [0, 1, 2]);
  // What came behind was too early as well, by its own few bytes.
  assert.deepEqual([engine.broker.counters.throttledBytes, engine.broker.counters.throttledMessages], [2, 0]);
  assert.deepEqual(limits, ['limits.bytes_per_second']);
  await engine.stop();
});

test('both rates hold at once: the client is read on when neither is exceeded', async () => {
  const engine = await Engine.create({ session: { messagesPerSecond: 1, bytesPerSecond: 50 } });
  const watcher = await Watcher.of(engine);
  const client = await engine.connect();
  // 300 bytes are earned after 5 seconds; then there are 5 messages.
  client.sendBytes(Buffer.concat([chunk(2), generate(publish(Buffer.alloc(270, '2'))), chunk(2)]));
  assert.equal(await watcher.count(), 0);
  assert.deepEqual(await watcher.watch(engine, 5), [0, 0, 0, 0, 2, 3, 4, 5]);
  await engine.stop();
});

test('a client that is read more slowly does not run out of its keep alive, and does when it is silent', async () => {
  const engine = await Engine.create({ session: { messagesPerSecond: 1 } });
  const watcher = await Watcher.of(engine);
  const client = await engine.connect({ keepalive: 2 });
  client.sendBytes(chunk(12, 0, { cmd: 'pingreq' }));
  await watcher.count();
  assert.deepEqual(await watcher.watch(engine, 12), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  engine.pass(1);
  await client.expect('pingresp');
  assert.equal(engine.broker.counters.keepAliveTimeouts, 0);
  engine.pass(2);
  assert.equal(client.closed, false);
  engine.pass(2);
  await client.end();
  assert.equal(engine.broker.counters.keepAliveTimeouts, 1);
  await engine.stop();
});

test('a client that would wait for minutes is not timed out either', async () => {
  const engine = await Engine.create({ session: { bytesPerSecond: 100 } });
  const watcher = await Watcher.of(engine);
  const client = await engine.connect({ keepalive: 1 });
  client.sendBytes(generate(publish(Buffer.alloc(20_000, '0'))));
  assert.equal(await watcher.count(), 0);
  client.send({ cmd: 'pingreq' });
  for (let i = 0; i < 199; i++) engine.pass(1);
  assert.equal(await watcher.count(), 0);
  engine.pass(1);
  assert.equal(await watcher.count(), 1);
  engine.pass(1);
  assert.equal(engine.broker.counters.keepAliveTimeouts, 0);
  await client.expect('pingresp');
  await engine.stop();
});

test('a client that is read more slowly holds up nobody else, and takes what it is sent', async () => {
  const engine = await Engine.create({ session: { messagesPerSecond: 5 } });
  const watcher = await Watcher.of(engine);
  const client = await engine.connect();
  await client.subscribe('u', 0);
  client.sendBytes(chunk(100));
  assert.equal(await watcher.count(), 6);
  const other = await engine.connect({ clientId: 'other' });
  other.publish('u', 'for the slow one');
  assert.deepEqual(await other.drain(), []);
  assert.equal((await client.expect('publish')).topic, 'u');
  await engine.stop();
});

test('a client that is read more slowly can be taken over, and its rates begin anew', async () => {
  const engine = await Engine.create({ session: { messagesPerSecond: 5 } });
  const watcher = await Watcher.of(engine);
  const client = await engine.connect();
  client.sendBytes(chunk(100));
  assert.equal(await watcher.count(), 6);
  const next = await engine.connect();
  await client.end();
  next.sendBytes(chunk(5));
  assert.equal(await watcher.count(), 11);
  engine.pass(10);
  assert.equal(await watcher.count(), 11, 'nothing of the former connection comes any more');
  await engine.stop();
});

/** A client over TCP that sends these bytes, closes its side, and is gone. */
async function sendAndLeave(engine: Engine, bytes: Buffer): Promise<void> {
  const server = createServer(engine.broker.handle as never).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const client = new RawClient(socket);
  const will = { topic: 't', payload: Buffer.from('-1'), qos: 0, retain: false } as const;
  client.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId: 'c', clean: true, will });
  await client.expect('connack');
  socket.end(bytes);
  await once(socket, 'close');
  server.close();
}

const LEAVING: readonly (readonly [string, BrokerOptions])[] = [
  ['that is read more slowly', { session: { messagesPerSecond: 100 } }],
  [
    'whose publications a hook decides on, later',
    {
      authorizePublish: (_client, _packet, done) => {
        setImmediate(done);
      },
    },
  ],
];
for (const [words, options] of LEAVING) {
  test(`a client ${words} may send and leave: nothing is lost, and its DISCONNECT is heard`, async () => {
    const engine = await Engine.create(options);
    const watcher = await Watcher.of(engine);
    const gone = once(engine.broker, 'clientDisconnect');
    await sendAndLeave(engine, chunk(1000, 0, { cmd: 'disconnect' }));
    await watcher.watch(engine, 1000);
    assert.deepEqual(watcher.received, numbers(1000));
    await gone;
    assert.deepEqual(await watcher.count(), 1000, 'no will');
    await engine.stop();
  });
}

test('a hook that never answers keeps a client that has left for mqtt.connect_timeout, not for ever', async () => {
  const engine = await Engine.create({ authorizePublish: () => {} });
  await sendAndLeave(engine, chunk(2));
  let passed = 0;
  for (; engine.broker.connections.size > 0; passed++) {
    await new Promise((resolve) => setImmediate(resolve));
    engine.pass(1);
  }
  assert.ok(passed > 10, `it went after ${passed} s`);
  await engine.stop();
});

test('a client that is read more slowly and leaves without DISCONNECT has its will published behind what it sent', async () => {
  const engine = await Engine.create({ session: { messagesPerSecond: 10 } });
  const watcher = await Watcher.of(engine);
  const gone = once(engine.broker, 'clientDisconnect');
  await sendAndLeave(engine, chunk(30));
  await watcher.watch(engine, 31);
  assert.deepEqual(watcher.received, [...numbers(30), -1]);
  await gone;
  await engine.stop();
});
