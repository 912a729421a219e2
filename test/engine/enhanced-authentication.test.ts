/** Enhanced authentication until CONNACK, packet by packet: MQTT 5.0 4.12, 3.1.2.11.9 and 3.1.2.11.10. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import type { AuthenticationMethod, AuthenticationStep } from '../../src/access/authentication-method.js';
import { ScramSha256, scramCredentials } from '../../src/access/scram.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { ScramClient } from '../support/scram-client.js';
import {
  asked,
  authBytes,
  authPacket,
  begin,
  connected,
  connectPacket,
  disconnected,
  expectAuth,
  refused,
  together,
  withEngine,
} from './puppet.js';

// --- before CONNACK -------------------------------------------------------------------------------------------------

test('a method that the broker does not offer is refused with 0x8C and the connection closed [MQTT-4.12.0-1]', () =>
  withEngine(async (engine) => {
    for (const name of ['PUPPET', 'puppet ', '', 'SCRAM-SHA-256']) {
      const client = engine.open(5);
      client.send(connectPacket('user:alice', {}, name));
      await refused(client, 0x8c, name);
    }
    assert.equal(engine.broker.counters.deniedConnect, 4);
    assert.equal(engine.broker.connectedClients, 0);
  }));

test('AUTH 0x18 asks for more, as often as the method likes [MQTT-4.12.0-2]', () =>
  withEngine(async (engine) => {
    const client = begin(engine, 'ask:one');
    expectAuth(await client.expect('auth'), 0x18, 'one');
    client.send(authPacket(0x18, 'ask:two'));
    expectAuth(await client.expect('auth'), 0x18, 'two');
    client.send(authPacket(0x18, null));
    expectAuth(await client.expect('auth'), 0x18, null);
    client.send(authPacket(0x18, 'user:alice'));
    assert.equal((await client.expect('connack')).reasonCode, 0);
    assert.equal(engine.broker.clients.client?.username, 'alice');
  }));

test('CONNECT may name a method without data (3.1.2.11.10)', () =>
  withEngine(async (engine) => {
    const client = begin(engine, null);
    expectAuth(await client.expect('auth'), 0x18, null);
    client.send(authPacket(0x18, 'user:alice'));
    assert.equal((await client.expect('connack')).reasonCode, 0);
  }));

test('every AUTH and a successful CONNACK name the method of CONNECT; CONNACK has the last data [MQTT-4.12.0-5]', () =>
  withEngine(async (engine) => {
    const client = await asked(engine);
    client.send(authPacket(0x18, 'user:alice'));
    const { reasonCode, properties } = await client.expect('connack');
    assert.equal(reasonCode, 0);
    assert.equal(properties?.authenticationMethod, 'puppet');
    assert.deepEqual(properties?.authenticationData, Buffer.from('welcome alice'));
  }));

test('a client may be let in, or refused, without any AUTH', () =>
  withEngine(async (engine) => {
    const client = begin(engine, 'user:alice');
    const { properties } = await client.expect('connack');
    assert.equal(properties?.authenticationMethod, 'puppet');
    await refused(begin(engine, 'no:135', { clientId: 'other' }), 0x87);
  }));

test('the client answers AUTH with 0x18 and nothing else [MQTT-4.12.0-3]', () =>
  withEngine(async (engine) => {
    for (const code of [0x19, 0x00, 0x01, 0x17, 0x87, 0xff]) {
      const client = await asked(engine);
      client.sendBytes(authBytes(code));
      await refused(client, 0x82, `0x${code.toString(16)}`);
    }
    assert.equal(engine.broker.counters.protocolErrors, 6);
  }));

test('the method can refuse at any point: CONNACK with its reason code, and the end [MQTT-4.12.0-4]', () =>
  withEngine(async (engine) => {
    for (const code of [0x80, 0x86, 0x87, 0x8a, 0x8c]) {
      const client = begin(engine, `no:${code}`);
      const { reasonCode, properties } = await client.expect('connack');
      assert.equal(reasonCode, code);
      assert.doesNotMatch(properties?.reasonString ?? '', /because/, 'the method’s own words are for the log');
      await client.end();
      const late = await asked(engine);
      late.send(authPacket(0x18, `no:${code}`));
      await refused(late, code);
    }
    assert.equal(engine.broker.counters.deniedConnect, 10);
  }));

test('a reason code that CONNACK does not have becomes 0x87 (3.2.2.2)', () =>
  withEngine(async (engine) => {
    for (const code of [0, 1, 0x18, 0x7f, 0x8d, 0x8e, 0xa2, 0xff, 1000, Number.NaN]) {
      await refused(begin(engine, `no:${code}`), 0x87, String(code));
    }
  }));

test('AUTH that names another method than CONNECT is a protocol error [MQTT-4.12.0-5]', () =>
  withEngine(async (engine) => {
    const client = await asked(engine);
    client.send(authPacket(0x18, 'user:alice', 'Puppet'));
    await refused(client, 0x82);
  }));

test('without a method in CONNECT there is neither AUTH nor a method in CONNACK [MQTT-4.12.0-6]', () =>
  withEngine(async (engine, method) => {
    const client = await engine.connect({ protocolVersion: 5, username: 'bob', password: Buffer.from('x') });
    assert.equal(client.connack.reasonCode, 0);
    assert.equal(client.connack.properties?.authenticationMethod, undefined);
    assert.equal(client.connack.properties?.authenticationData, undefined);
    assert.deepEqual(await client.drain(), []);
    assert.equal(method.claimants.length, 0);
  }));

test('AUTH without a method in CONNECT is answered with DISCONNECT 0x82 [MQTT-4.12.0-7]', () =>
  withEngine(async (engine) => {
    for (const code of [0x18, 0x19]) {
      const client = await engine.connect({ protocolVersion: 5 });
      client.send(authPacket(code, 'user:alice'));
      await disconnected(client, 0x82);
    }
  }));

test('data without a method in CONNECT is a protocol error (3.1.2.11.10)', () =>
  withEngine(async (engine) => {
    const client = engine.open(5);
    const packet = connectPacket(null);
    client.send({ ...packet, properties: { authenticationData: Buffer.from('x') } });
    await refused(client, 0x82);
  }));

const FORBIDDEN: Packet[] = [
  { cmd: 'publish', topic: 't', payload: 'x', qos: 0, retain: false, dup: false },
  { cmd: 'publish', topic: 't', payload: 'x', qos: 2, retain: false, dup: false, messageId: 1 },
  { cmd: 'puback', messageId: 1 },
  { cmd: 'pubrec', messageId: 1 },
  { cmd: 'pubrel', messageId: 1 },
  { cmd: 'pubcomp', messageId: 1 },
  { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 0 }] },
  { cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['t'] },
  { cmd: 'pingreq' },
  connectPacket('user:alice'),
];

test('before CONNACK nothing but AUTH and DISCONNECT may come [MQTT-3.1.2-30]', () =>
  withEngine(async (engine) => {
    let published = 0;
    engine.broker.on('publish', (_packet, client) => {
      if (client !== null) published++;
    });
    for (const packet of FORBIDDEN) {
      const client = await asked(engine);
      client.send(packet);
      await refused(client, 0x82, packet.cmd);
    }
    assert.equal(published, 0);
  }));

test('the first byte of a forbidden packet is enough: what it announces is not waited for [MQTT-3.1.2-30]', () =>
  withEngine(async (engine) => {
    const client = await asked(engine);
    client.sendBytes(Buffer.from([0x30, 0xff, 0xff, 0x7f]));
    await refused(client, 0x82);
  }));

test('a packet that comes together with the last AUTH, or with CONNECT, is too early as well [MQTT-3.1.2-30]', () =>
  withEngine(async (engine) => {
    const late = await asked(engine);
    together(late, authPacket(0x18, 'user:alice'), { cmd: 'pingreq' });
    await refused(late, 0x82);
    const early = engine.open(5);
    together(early, connectPacket('user:alice'), { cmd: 'pingreq' });
    await refused(early, 0x82);
    const twice = await asked(engine);
    together(twice, authPacket(0x18, 'user:alice'), authPacket(0x18, 'user:bob'));
    await refused(twice, 0x82);
    assert.equal(engine.broker.sessions.connected, 0);
  }));

test('DISCONNECT ends the exchange without a CONNACK [MQTT-3.1.2-30]', () =>
  withEngine(async (engine) => {
    const client = await asked(engine);
    client.send({ cmd: 'disconnect', reasonCode: 0 });
    await client.end();
    await assert.rejects(client.next());
    const together_ = await asked(engine);
    together(together_, authPacket(0x18, 'user:alice'), { cmd: 'disconnect', reasonCode: 0 });
    await together_.end();
    assert.equal(engine.broker.sessions.connected, 0);
  }));

test('an exchange that does not end is under mqtt.connect_timeout', () =>
  withEngine(async (engine) => {
    const client = await asked(engine);
    engine.pass(9);
    client.send(authPacket(0x18, 'ask:more'));
    expectAuth(await client.expect('auth'), 0x18, 'more');
    engine.pass(2);
    await client.end();
    assert.equal(engine.broker.counters.connectTimeouts, 1);
    assert.equal(engine.broker.connections.size, 0);
  }));

test('the keep alive of CONNECT holds during the exchange as well [MQTT-3.1.2-22]', () =>
  withEngine(async (engine) => {
    const client = await asked(engine, { keepalive: 2 });
    engine.pass(3);
    client.send(authPacket(0x18, 'ask:more'));
    expectAuth(await client.expect('auth'), 0x18, 'more');
    engine.pass(4);
    await client.end();
    assert.equal(engine.broker.counters.keepAliveTimeouts, 1);
  }));

test('a client that goes in the middle of a step leaves nothing behind', async () => {
  let decide: (step: AuthenticationStep) => void = () => {};
  const begun = new Promise<void>((resolve) => {
    slow.begin = () => ({
      step: () => {
        resolve();
        return new Promise((done) => {
          decide = done;
        });
      },
    });
  });
  await withEngine(
    async (engine) => {
      const client = engine.open(5);
      client.send(connectPacket('x', {}, 'slow'));
      await begun;
      const [connection] = engine.broker.connections;
      connection.terminate(0x98, 'the administrator says so');
      await client.end();
      decide({ outcome: 'success', username: 'alice', data: null });
      await engine.connect({ clientId: 'another' });
      assert.equal(engine.broker.sessions.connected, 1);
    },
    { authenticationMethods: [slow] },
  );
});

const slow: { name: string; begin: AuthenticationMethod['begin'] } = {
  name: 'slow',
  begin: () => ({ step: () => ({ outcome: 'continue', data: null }) }),
};

test('a method that fails ends its connection with 0x83, and no other', () =>
  withEngine(async (engine) => {
    const bystander = await connected(engine, { clientId: 'bystander' });
    for (const word of ['throw', 'reject']) {
      const failure = once(engine.broker, 'clientError');
      await refused(begin(engine, word), 0x83);
      const [, error] = await failure;
      assert.match(String(error), /the method is broken/);
      const late = await asked(engine);
      late.send(authPacket(0x18, word));
      await refused(late, 0x83);
      const again = await connected(engine);
      again.send(authPacket(0x19, word));
      await disconnected(again, 0x83);
    }
    assert.deepEqual(await bystander.drain(), []);
  }));

test('AUTH that exceeds the Maximum Packet Size of the client is not sent [MQTT-3.1.2-24]', () =>
  withEngine(async (engine) => {
    const client = begin(engine, 'ask:a question of more than forty bytes of text', {
      properties: { maximumPacketSize: 40 },
    });
    await refused(client, 0x95);
    const later = await connected(engine, { properties: { maximumPacketSize: 60 } });
    later.send(authPacket(0x19, 'ask:a question of more than sixty bytes of text, which does not fit either'));
    await disconnected(later, 0x95);
  }));

// --- who the client is ----------------------------------------------------------------------------------------------

test('a user name in CONNECT must be the one that the method authenticates', () =>
  withEngine(async (engine) => {
    const same = begin(engine, 'user:alice', { username: 'alice' });
    assert.equal((await same.expect('connack')).reasonCode, 0);
    await refused(begin(engine, 'user:alice', { username: 'bob', clientId: 'b' }), 0x87);
    await refused(begin(engine, 'user:alice', { username: 'Alice', clientId: 'c' }), 0x87);
    assert.equal(engine.broker.counters.deniedConnect, 2);
  }));

test('a client that used a method needs no password and is not anonymous; the authenticate hook is asked', async () => {
  const asks: unknown[][] = [];
  await withEngine(
    async (engine) => {
      await refused(begin(engine, 'user:mallory'), 0x87);
      const client = begin(engine, 'user:alice', { username: 'alice', password: Buffer.from('wrong') });
      assert.equal((await client.expect('connack')).reasonCode, 0);
      const plain = engine.open(5);
      plain.send({ ...connectPacket(null), properties: {} });
      await refused(plain, 0x87);
    },
    {
      identify: () => false,
      authenticate: (_client, username, password, done) => {
        asks.push([username, password]);
        done(null, username === 'alice');
      },
    },
  );
  assert.deepEqual(asks, [
    ['mallory', undefined],
    ['alice', undefined],
  ]);
});

test('a method can be added while the broker runs; two of one name are refused', () =>
  withEngine(async (engine) => {
    const other: AuthenticationMethod = {
      name: 'other',
      begin: () => ({ step: () => ({ outcome: 'success', username: 'carol', data: null }) }),
    };
    engine.broker.addAuthenticationMethod(other);
    const client = engine.open(5);
    client.send(connectPacket(null, {}, 'other'));
    const { reasonCode, properties } = await client.expect('connack');
    assert.deepEqual([reasonCode, properties?.authenticationMethod], [0, 'other']);
    assert.equal(properties?.authenticationData, undefined);
    assert.throws(
      () => engine.broker.addAuthenticationMethod(other),
      (error: unknown) => error instanceof PorticoError && error.kind === ErrorKinds.Configuration,
    );
  }));

// --- SCRAM-SHA-256 --------------------------------------------------------------------------------------------------

test('SCRAM-SHA-256 over AUTH: both sides prove that they know the password, also again', async () => {
  const users = new Map([['alice', await scramCredentials('secret')]]);
  await withEngine(
    async (engine) => {
      const name = 'SCRAM-SHA-256';
      const scram = new ScramClient('alice', 'secret');
      const client = engine.open(5);
      client.send(connectPacket(String(scram.first()), {}, name));
      const challenge = (await client.expect('auth')).properties?.authenticationData;
      client.send(authPacket(0x18, scram.final(challenge ?? Buffer.alloc(0)), name));
      const { reasonCode, properties } = await client.expect('connack');
      assert.equal(reasonCode, 0);
      assert.ok(scram.verifies(properties?.authenticationData));
      assert.equal(engine.broker.clients.client?.username, 'alice');

      const again = new ScramClient('alice', 'secret', 'another');
      client.send(authPacket(0x19, again.first(), name));
      const second = (await client.expect('auth')).properties?.authenticationData;
      client.send(authPacket(0x18, again.final(second ?? Buffer.alloc(0)), name));
      const end = await client.expect('auth');
      assert.equal(end.reasonCode, 0);
      assert.ok(again.verifies(end.properties?.authenticationData));

      for (const [user, password] of [
        ['alice', 'Secret'],
        ['mallory', 'secret'],
      ]) {
        const wrong = new ScramClient(user, password);
        const stranger = engine.open(5);
        stranger.send(connectPacket(String(wrong.first()), { clientId: 'stranger' }, name));
        const question = (await stranger.expect('auth')).properties?.authenticationData;
        stranger.send(authPacket(0x18, wrong.final(question ?? Buffer.alloc(0)), name));
        await refused(stranger, 0x87, user);
      }
    },
    { authenticationMethods: [new ScramSha256(users)] },
  );
});
