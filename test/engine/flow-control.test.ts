/** Receive Maximum as the broker counts it: MQTT 5.0 4.9. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate } from 'mqtt-packet';
import { GatedStore } from '../store/gated-store.js';
import { Engine, type RawClient } from '../support/engine.js';

const DURABLE = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 100 } } as const;

/** QoS 2 publications in one chunk. */
function burst(client: RawClient, from: number, to: number): void {
  const packets: Buffer[] = [];
  for (let messageId = from; messageId <= to; messageId++) {
    packets.push(
      generate(
        { cmd: 'publish', topic: 't', payload: 'x', qos: 2, retain: false, dup: false, messageId },
        { protocolVersion: 5 },
      ),
    );
  }
  client.sendBytes(Buffer.concat(packets));
}

test('a QoS 2 publication of a kept session counts once, also while its PUBREC waits for the commit', async () => {
  const engine = await Engine.create({ session: { receiveMaximum: 4 } });
  const client = await engine.connect({ clientId: 'p', ...DURABLE });
  burst(client, 1, 4);
  for (let i = 1; i <= 4; i++) assert.equal((await client.expect('pubrec')).messageId, i);
  burst(client, 5, 5);
  assert.equal((await client.expect('disconnect')).reasonCode, 0x93);
  await engine.stop();
});

test('what an earlier connection left unreleased does not count against a new one', async () => {
  const engine = await Engine.create({ session: { receiveMaximum: 2 } });
  const first = await engine.connect({ clientId: 'p', ...DURABLE });
  burst(first, 1, 2);
  await first.expect('pubrec');
  await first.expect('pubrec');
  await engine.cut(first);
  const second = await engine.connect({ clientId: 'p', ...DURABLE });
  for (let messageId = 1; messageId <= 2; messageId++) second.send({ cmd: 'pubrel', messageId });
  burst(second, 3, 4);
  const answers: string[] = [];
  for (let i = 0; i < 4; i++) answers.push((await second.next()).cmd);
  assert.deepEqual(answers.sort(), ['pubcomp', 'pubcomp', 'pubrec', 'pubrec']);
  await engine.stop();
});

test('what a client sends before its CONNECT is decided waits in its socket, not in memory', async () => {
  let decide: (() => void) | null = null;
  const engine = await Engine.create({
    authenticate: (_client, _username, _password, done) => {
      decide = () => done(null, true);
    },
  });
  const client = engine.open();
  const connect = {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: 'c',
    clean: true,
    keepalive: 0,
  } as const;
  client.send(connect);
  for (let i = 0; i < 100; i++) {
    client.publish('t', Buffer.alloc(65_000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [connection] = engine.broker.connections;
  assert.ok(connection.parser.buffered < 200_000, `${connection.parser.buffered} bytes held`);
  (decide as (() => void) | null)?.();
  await client.expect('connack');
  client.publish('t', 'x', { qos: 1, messageId: 9 });
  assert.equal((await client.expect('puback')).messageId, 9);
  assert.equal(engine.broker.counters.publishReceived, 101);
  await engine.stop();
});

test('a client that reads slowly is not taken for silent while the broker does not read it', async () => {
  const engine = await Engine.create({ session: { outputBuffer: 20_000 } });
  const slow = await engine.connect({ clientId: 'slow', keepalive: 10 });
  await slow.subscribe('t', 1);
  const publisher = await engine.connect({ clientId: 'p' });
  slow.stall();
  for (let i = 1; i <= 200; i++) {
    publisher.publish('t', Buffer.alloc(1000), { qos: 1, messageId: i });
    await publisher.expect('puback');
  }
  // One PINGREQ makes the broker see that the client does not read; it reads no further ones.
  slow.send({ cmd: 'pingreq' });
  await publisher.drain();
  engine.pass(9);
  slow.send({ cmd: 'pingreq' });
  await publisher.drain();
  engine.pass(9);
  await publisher.drain();
  assert.equal(engine.broker.counters.keepAliveTimeouts, 0);
  assert.equal(slow.closed, false);
  await engine.stop();
});

test('a publisher whose acknowledgements wait for the store is not taken for silent', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store, session: { receiveMaximum: 2 } });
  const subscriber = await engine.connect({ clientId: 's', clean: false });
  await subscriber.subscribe('t', 1);
  const publisher = await engine.connect({ clientId: 'p', keepalive: 10 });
  store.hold();
  publisher.publish('t', '1', { qos: 1, messageId: 1 });
  publisher.publish('t', '2', { qos: 1, messageId: 2 });
  await subscriber.drain();
  engine.pass(9);
  publisher.send({ cmd: 'pingreq' });
  await subscriber.drain();
  engine.pass(9);
  assert.equal(engine.broker.counters.keepAliveTimeouts, 0);
  store.letGo();
  assert.equal((await publisher.expect('puback')).messageId, 1);
  assert.equal((await publisher.expect('puback')).messageId, 2);
  await publisher.expect('pingresp');
  engine.pass(16);
  await publisher.end();
  assert.equal(engine.broker.counters.keepAliveTimeouts, 1);
  await engine.stop();
});
