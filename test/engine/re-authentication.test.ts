/** A connected client authenticates again: MQTT 5.0 4.12.1. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { ScramSha256, scramCredentials } from '../../src/access/scram.js';
import { limitsOf } from '../support/limits.js';
import { ScramClient } from '../support/scram-client.js';
import { authPacket, connected, disconnected, expectAuth, together, withEngine } from './puppet.js';

test('a client can authenticate again at any time, in as many steps, any number of times [MQTT-4.12.1-1]', () =>
  withEngine(async (engine, method) => {
    const client = await connected(engine, { username: 'alice' });
    for (let i = 0; i < 3; i++) {
      client.send(authPacket(0x19, 'ask:one'));
      expectAuth(await client.expect('auth'), 0x18, 'one');
      client.send(authPacket(0x18, 'ask:two'));
      expectAuth(await client.expect('auth'), 0x18, 'two');
      client.send(authPacket(0x18, 'user:alice'));
      expectAuth(await client.expect('auth'), 0x00, 'welcome alice');
    }
    assert.deepEqual(
      method.claimants.map(({ clientId, username, reauthentication }) => [clientId, username, reauthentication]),
      [['client', 'alice', false], ...Array(3).fill(['client', 'alice', true])],
    );
  }));

test('during a re-authentication other packets flow in both directions, on the former one (4.12.1)', () =>
  withEngine(async (engine) => {
    const client = await connected(engine);
    await client.subscribe('t', 1);
    client.send(authPacket(0x19, 'ask:who'));
    expectAuth(await client.expect('auth'), 0x18, 'who');
    client.publish('t', 'meanwhile', { qos: 1, messageId: 7 });
    const kinds = [(await client.next()).cmd, (await client.next()).cmd];
    assert.deepEqual(kinds.sort(), ['puback', 'publish']);
    assert.deepEqual(await client.drain(), []);
    together(client, authPacket(0x18, 'user:alice'), { cmd: 'pingreq' });
    const after = [(await client.next()).cmd, (await client.next()).cmd];
    assert.deepEqual(after.sort(), ['auth', 'pingresp']);
  }));

test('a re-authentication with another method than CONNECT named is a protocol error [MQTT-4.12.1-1]', async () => {
  const users = new Map([['alice', await scramCredentials('secret')]]);
  await withEngine(async (engine) => {
    engine.broker.addAuthenticationMethod(new ScramSha256(users));
    const client = await connected(engine);
    client.send(authPacket(0x19, new ScramClient('alice', 'secret').first(), 'SCRAM-SHA-256'));
    await disconnected(client, 0x82);
  });
});

test('AUTH that nothing asked for is a protocol error: 0x18 without an exchange, 0x19 during one', () =>
  withEngine(async (engine) => {
    const unasked = await connected(engine);
    unasked.send(authPacket(0x18, 'user:alice'));
    await disconnected(unasked, 0x82);
    const twice = await connected(engine);
    twice.send(authPacket(0x19, 'ask:who'));
    expectAuth(await twice.expect('auth'), 0x18, 'who');
    twice.send(authPacket(0x19, 'user:alice'));
    await disconnected(twice, 0x82);
  }));

test('a re-authentication that fails is DISCONNECT 0x87 and the end; the will is published [MQTT-4.12.1-2]', () =>
  withEngine(async (engine) => {
    const witness = await engine.connect({ clientId: 'witness' });
    await witness.subscribe('will', 0);
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 0, retain: false } as const;
    const client = await connected(engine, { will });
    client.send(authPacket(0x19, 'ask:who'));
    await client.expect('auth');
    client.send(authPacket(0x18, 'no:135'));
    await disconnected(client, 0x87);
    assert.equal((await witness.expect('publish')).topic, 'will');
  }));

test('a reason code that DISCONNECT does not have becomes 0x87 (3.14.2.1)', () =>
  withEngine(async (engine) => {
    for (const [given, sent] of [
      [0x86, 0x87],
      [0x8c, 0x87],
      [0x8a, 0x87],
      [0x04, 0x87],
      [0xa0, 0xa0],
      [0x97, 0x97],
    ]) {
      const client = await connected(engine);
      client.send(authPacket(0x19, `no:${given}`));
      await disconnected(client, sent, String(given));
    }
  }));

test('a re-authentication as another user is refused', () =>
  withEngine(async (engine) => {
    const client = await connected(engine);
    client.send(authPacket(0x19, 'user:bob'));
    await disconnected(client, 0x87);
  }));

test('a re-authentication that the client does not continue ends after mqtt.connect_timeout with DISCONNECT 0x87', () =>
  withEngine(async (engine) => {
    const limits = limitsOf(engine);
    const client = await connected(engine);
    client.send(authPacket(0x19, 'ask:who'));
    await client.expect('auth');
    engine.pass(10);
    assert.deepEqual(await client.drain(), []);
    engine.pass(1);
    await disconnected(client, 0x87);
    assert.equal(engine.broker.counters.reauthenticationTimeouts, 1);
    assert.deepEqual(limits, ['mqtt.connect_timeout']);
  }));

test('each re-authentication has mqtt.connect_timeout for itself', () =>
  withEngine(async (engine) => {
    const client = await connected(engine);
    for (let i = 0; i < 3; i++) {
      client.send(authPacket(0x19, 'ask:who'));
      await client.expect('auth');
      engine.pass(9);
      client.send(authPacket(0x18, 'user:alice'));
      expectAuth(await client.expect('auth'), 0x00, 'welcome alice');
    }
    engine.pass(100);
    assert.deepEqual(await client.drain(), []);
  }));

test('time in which the broker does not read a client does not count for its re-authentication', () =>
  withEngine(
    async (engine) => {
      const client = await connected(engine);
      client.send(authPacket(0x19, 'ask:who'));
      await client.expect('auth');
      const message: Packet = { cmd: 'publish', topic: 't', payload: 'x', qos: 0, retain: false, dup: false };
      together(client, ...Array<Packet>(30).fill(message), authPacket(0x18, 'user:alice'));
      for (let i = 0; i < 40; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        engine.pass(1);
      }
      expectAuth(await client.expect('auth'), 0x00, 'welcome alice');
      assert.equal(engine.broker.counters.reauthenticationTimeouts, 0);
    },
    { session: { messagesPerSecond: 1 } },
  ));
