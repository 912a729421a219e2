/** Aedes' hooks that answer late, refuse or throw: order and connections survive. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { generate, type Packet } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';

function together(client: RawClient, ...packets: Packet[]): void {
  client.sendBytes(Buffer.concat(packets.map((packet) => generate(packet))));
}

const publication = (payload: string, messageId: number): Packet => ({
  cmd: 'publish',
  topic: 't',
  payload,
  qos: 1,
  retain: false,
  dup: false,
  messageId,
});

test('a publication that authorizePublish answers at once does not overtake one that it answers late', async () => {
  const engine = await Engine.create({
    authorizePublish: (_client, packet, done) => {
      if (String(packet.payload) === '1') setImmediate(done);
      else done();
    },
  });
  const subscriber = await engine.connect({ clientId: 's' });
  await subscriber.subscribe('t', 1);
  const client = await engine.connect({ clientId: 'p' });
  together(client, publication('1', 1), publication('2', 2));
  for (const expected of [1, 2]) assert.equal((await client.expect('puback')).messageId, expected);
  for (const expected of ['1', '2']) assert.equal(String((await subscriber.expect('publish')).payload), expected);
  await engine.stop();
});

test('each of several publications waits for the answer on the one before it', async () => {
  const engine = await Engine.create({
    authorizePublish: (_client, packet, done) => {
      if (String(packet.payload) === '3') done();
      else setImmediate(done);
    },
  });
  const subscriber = await engine.connect({ clientId: 's' });
  await subscriber.subscribe('t', 1);
  const client = await engine.connect({ clientId: 'p' });
  together(client, publication('1', 1), publication('2', 2), publication('3', 3));
  for (const expected of ['1', '2', '3']) assert.equal(String((await subscriber.expect('publish')).payload), expected);
  await engine.stop();
});

test('packets behind a SUBSCRIBE that authorizeSubscribe answers late find it done', async () => {
  const engine = await Engine.create({
    authorizeSubscribe: (_client, subscription, done) => {
      setImmediate(() => done(null, subscription));
    },
  });
  const client = await engine.connect({ clientId: 'c' });
  const subscribe: Packet = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 1 }] };
  together(client, subscribe, publication('to myself', 2), {
    cmd: 'unsubscribe',
    messageId: 3,
    unsubscriptions: ['t'],
  });
  const kinds: string[] = [];
  for (let i = 0; i < 4; i++) kinds.push((await client.next()).cmd);
  assert.deepEqual(kinds.sort(), ['puback', 'publish', 'suback', 'unsuback']);
  assert.equal(engine.broker.sessions.get('c')?.subscriptions.size, 0);
  await engine.stop();
});

test('client.subscribe without a callback survives a hook that fails', async () => {
  const engine = await Engine.create({
    authorizeSubscribe: (_client, _subscription, done) => done(new Error('no')),
  });
  await engine.connect({ clientId: 'c' });
  engine.broker.clients.c.subscribe({ topic: 't', qos: 0 });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(engine.broker.sessions.get('c')?.subscriptions.size, 0);
  await engine.stop();
});

test('a client that a clientReady listener closes takes no deliveries', async () => {
  const engine = await Engine.create();
  const first = await engine.connect({ clientId: 's', clean: false });
  await first.subscribe('t', 1);
  await engine.cut(first);
  engine.broker.once('clientReady', (client) => client.close());
  const gone = once(engine.broker, 'clientDisconnect');
  const second = await engine.connect({ clientId: 's', clean: false });
  await gone;
  await second.end();
  engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
  const { outbound } = engine.broker.sessions.get('s') ?? assert.fail('the session is gone');
  assert.deepEqual([outbound.link, outbound.waiting, outbound.inFlight], [null, 1, 0]);
  const third = await engine.connect({ clientId: 's', clean: false });
  assert.equal((await third.expect('publish')).dup, false);
  await engine.stop();
});
