/** What the broker tells an MQTT 5.0 client besides bare codes: reasons in words, where to answer, where to go. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { StreamTransport } from '../../src/session/transport.js';
import { Engine, RawClient } from '../support/engine.js';

const V5 = { protocolVersion: 5 } as const;
const DENY = {
  authorizePublish: (_client: unknown, _packet: unknown, done: (error?: Error) => void) => {
    done(new Error('the secret rule of /etc/rules'));
  },
  authorizeSubscribe: (_client: unknown, _subscription: unknown, done: (error: null, value: null) => void) => {
    done(null, null);
  },
} as const;

const publish = (qos: 1 | 2): Packet => ({
  cmd: 'publish',
  topic: 't',
  payload: 'x',
  qos,
  retain: false,
  dup: false,
  messageId: 1,
});
const subscribe: Packet = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 0 }] };

for (const [name, packet, answer, code, words] of [
  ['PUBACK', publish(1), 'puback', 0x87, 'not authorized'],
  ['PUBREC', publish(2), 'pubrec', 0x87, 'not authorized'],
  ['PUBCOMP', { cmd: 'pubrel', messageId: 9 }, 'pubcomp', 0x92, 'packet identifier not found'],
  ['PUBREL', { cmd: 'pubrec', messageId: 9 }, 'pubrel', 0x92, 'packet identifier not found'],
  ['SUBACK', subscribe, 'suback', 0x87, 'not authorized'],
] as const) {
  test(`${name} of a failure has a Reason String, unless the client wants none [MQTT-3.1.2-29] or could not take it [MQTT-3.4.2-2]`, async () => {
    const engine = await Engine.create(DENY as never);
    for (const [properties, told] of [
      [{}, true],
      [{ requestProblemInformation: true }, true],
      [{ requestProblemInformation: false }, false],
      [{ maximumPacketSize: 20 }, false],
    ] as const) {
      const client = await engine.connect({ clientId: 'c', ...V5, properties });
      client.send(packet as Packet);
      const received = await client.expect(answer);
      const codes = 'granted' in received ? received.granted : [(received as { reasonCode?: number }).reasonCode];
      assert.deepEqual(codes, [code]);
      assert.equal(received.properties?.reasonString, told ? words : undefined);
    }
    await engine.stop();
  });
}

test('DISCONNECT and CONNACK have a Reason String in any case, without what is nobody’s business', async () => {
  const engine = await Engine.create({ session: { topicAliasMaximum: 0 } });
  const none = { ...V5, clientId: 'c', properties: { requestProblemInformation: false } };
  const first = await engine.connect(none);
  const second = await engine.connect(none);
  const taken = await first.expect('disconnect');
  assert.equal(taken.reasonCode, 0x8e);
  // Not who it was.
  assert.equal(taken.properties?.reasonString, 'session taken over');
  second.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a#', qos: 0 }] });
  assert.equal((await second.expect('disconnect')).properties?.reasonString, 'a malformed topic filter');
  const refused = await engine.connect({ ...V5, properties: { authenticationMethod: 'none such' } });
  assert.equal(refused.connack.reasonCode, 0x8c);
  assert.equal(typeof refused.connack.properties?.reasonString, 'string');
  await engine.stop();
});

test('a client that is closed by the broker’s own hand is told so: DISCONNECT 0x98, administrative action', async () => {
  const engine = await Engine.create();
  const client = await engine.connect({ clientId: 'c', ...V5 });
  const old = await engine.connect({ clientId: 'old' });
  engine.broker.clients.c.close();
  engine.broker.clients.old.close();
  assert.equal((await client.expect('disconnect')).reasonCode, 0x98);
  await client.end();
  await old.end();
  assert.deepEqual(Object.keys(engine.broker.clients), []);
  await engine.stop();
});

test('an error of a hook is for the log, not for the client', async () => {
  const engine = await Engine.create(DENY as never);
  const client = await engine.connect({ clientId: 'c', ...V5 });
  client.send({ cmd: 'publish', topic: 't', payload: 'x', qos: 0, retain: false, dup: false });
  const { properties } = await client.expect('disconnect');
  assert.equal(properties?.reasonString, 'implementation specific error');
  await engine.stop();
});

test('PUBACK and PUBREC say that nobody has subscribed (0x10), to MQTT 5.0', async () => {
  const engine = await Engine.create();
  const client = await engine.connect({ clientId: 'p', ...V5 });
  client.send(publish(1));
  assert.equal((await client.expect('puback')).reasonCode, 0x10);
  client.send(publish(2));
  assert.equal((await client.expect('pubrec')).reasonCode, 0x10);
  await client.subscribe('t', 0);
  client.send({ ...publish(1), messageId: 2 } as Packet);
  const answers = [await client.next(), await client.next()];
  assert.equal(answers.find(({ cmd }) => cmd === 'puback' && true)?.cmd, 'puback');
  assert.deepEqual(
    answers.flatMap((packet) => (packet.cmd === 'puback' ? [packet.reasonCode] : [])),
    [0],
  );
  const old = await engine.connect({ clientId: 'old' });
  old.send({ ...publish(1), topic: 'nobody' } as Packet);
  await old.expect('puback');
  assert.equal(old.bytes.at(-1)?.length, 4);
  await engine.stop();
});

test('Response Information goes to a client that asks for it [MQTT-3.1.2-28]', async () => {
  const engine = await Engine.create({ session: { responseInformation: 'answers/%c/%u' } });
  const asked = { ...V5, clientId: 'c', username: 'ann', properties: { requestResponseInformation: true } };
  assert.equal((await engine.connect(asked)).connack.properties?.responseInformation, 'answers/c/ann');
  const { connack } = await engine.connect({ ...asked, properties: {} });
  assert.equal(connack.properties?.responseInformation, undefined);
  await engine.stop();
  const without = await Engine.create();
  assert.equal((await without.connect(asked)).connack.properties?.responseInformation, undefined);
  await without.stop();
});

for (const [draining, code] of [
  ['temporary', 0x9c],
  ['permanent', 0x9d],
] as const) {
  test(`a broker that is drained (${draining}) refuses with 0x${code.toString(16)} and a Server Reference`, async () => {
    const engine = await Engine.create({ session: { draining, serverReference: 'other.example:1883' } });
    const client = await engine.connect(V5);
    assert.equal(client.connack.reasonCode, code);
    assert.equal(client.connack.properties?.serverReference, 'other.example:1883');
    await client.end();
    const old = await engine.connect();
    assert.equal(old.connack.returnCode, 3);
    await old.end();
    await engine.stop();
  });

  test(`drain(${draining}) sends everybody away with 0x${code.toString(16)}; wills and sessions are kept as ever`, async () => {
    const engine = await Engine.create({ session: { serverReference: 'other.example:1883' } });
    const kept = { ...V5, clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } };
    const client = await engine.connect(kept);
    await client.subscribe('t', 1);
    const old = await engine.connect({ clientId: 'old' });
    engine.broker.drain(draining);
    const { reasonCode, properties } = await client.expect('disconnect');
    assert.deepEqual([reasonCode, properties?.serverReference], [code, 'other.example:1883']);
    await old.end();
    assert.equal((await engine.connect(kept)).connack.reasonCode, code);
    engine.broker.draining = 'no';
    assert.equal((await engine.connect(kept)).connack.sessionPresent, true);
    await engine.stop();
  });
}

test('a client that takes nothing is disconnected with 0x97 after limits.stalled_timeout; one that reads slowly is not', async () => {
  const engine = await Engine.create({ session: { outputBuffer: 20_000, stalledTimeout: 60 } });
  const stalled = await engine.connect({ clientId: 'stalled', ...V5 });
  await stalled.subscribe('t', 0);
  const reader = await engine.connect({ clientId: 'reader', ...V5 });
  await reader.subscribe('t', 0);
  stalled.stall();
  for (let i = 0; i < 200; i++) {
    engine.broker.publish({ topic: 't', payload: Buffer.alloc(1000) });
    await reader.expect('publish');
  }
  // The broker's own timer may have looked meanwhile: from here on it has, in any case.
  engine.broker.tick();
  engine.pass(59);
  assert.equal(engine.broker.counters.stalledConnections, 0);
  engine.pass(2);
  assert.equal(engine.broker.counters.stalledConnections, 1);
  assert.equal(engine.broker.sessions.get('stalled'), undefined);
  assert.deepEqual(await reader.drain(), []);
  await engine.stop();
});

test('a client that takes a long message slowly is not disconnected: it takes some of it [limits.stalled_timeout]', async () => {
  const engine = await Engine.create({ session: { outputBuffer: 20_000, stalledTimeout: 60 } });
  const server = createServer((socket) => engine.broker.accept(new StreamTransport(socket)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const client = new RawClient(socket, 5);
  client.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clientId: 'slow', clean: true, keepalive: 0 });
  await client.expect('connack');
  await client.subscribe('t', 0);
  client.stall();
  engine.broker.publish({ topic: 't', payload: Buffer.alloc(64_000_000) });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await turn();
  engine.pass(1);
  for (let round = 0; round < 4; round++) {
    socket.resume();
    for (let bytes = 0; bytes < 8_000_000; bytes += (await once(socket, 'data'))[0].length);
    socket.pause();
    engine.pass(50);
  }
  assert.equal(engine.broker.counters.stalledConnections, 0);
  // Nothing is on its way any more once the system's own buffers are full.
  for (let quiet = 0, before = -1; quiet < 100; await turn()) {
    const [connection] = engine.broker.connections;
    const { writing } = connection.transportLayer;
    quiet = writing === before ? quiet + 1 : 0;
    before = writing;
  }
  engine.pass(1);
  engine.pass(61);
  assert.equal(engine.broker.counters.stalledConnections, 1);
  socket.destroy();
  server.close();
  await engine.stop();
});
