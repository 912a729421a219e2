/** AUTH: MQTT 5.0 3.15. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate } from 'mqtt-packet';
import { generator, mutate } from '../interop/random.js';
import { seeds } from '../support/seeds.js';
import { asked, authBytes, authPacket, begin, connected, disconnected, refused, withEngine } from './puppet.js';

test('reserved flags of AUTH are malformed and close the connection [MQTT-3.15.1-1]', () =>
  withEngine(async (engine) => {
    for (const flags of [1, 2, 4, 8, 15]) {
      const client = await asked(engine);
      client.sendBytes(authBytes(0x18, undefined, 0xf0 | flags));
      await refused(client, 0x81);
      const later = await connected(engine);
      later.sendBytes(authBytes(0x19, undefined, 0xf0 | flags));
      await disconnected(later, 0x81);
    }
  }));

test('AUTH with a reason code that it does not have is a protocol error [MQTT-3.15.2-1]', () =>
  withEngine(async (engine) => {
    for (const code of [0x00, 0x01, 0x17, 0x1a, 0x87, 0xff]) {
      const client = await connected(engine);
      client.sendBytes(authBytes(code));
      await disconnected(client, 0x82, String(code));
    }
  }));

test('AUTH without a method, or with method or data twice, is a protocol error (3.15.2.2.2, 3.15.2.2.3)', () =>
  withEngine(async (engine) => {
    const method = '\x15\0\x06puppet';
    const cases = [
      authBytes(0x19, Buffer.alloc(0)),
      authBytes(0x19, Buffer.from('\x16\0\x01x')),
      Buffer.from([0xf0, 0]),
    ];
    cases.push(Buffer.from([0xf0, 1, 0x19]), authBytes(0x19, Buffer.from(method + method)));
    cases.push(authBytes(0x19, Buffer.from(`${method}\x16\0\x01x\x16\0\x01x`)));
    for (const bytes of cases) {
      const client = await connected(engine);
      client.sendBytes(bytes);
      await disconnected(client, 0x82, bytes.toString('hex'));
      const exchanging = await asked(engine);
      exchanging.sendBytes(bytes);
      await refused(exchanging, 0x82, bytes.toString('hex'));
    }
  }));

test('the broker sends AUTH with neither Reason String nor User Property [MQTT-3.15.2-2] [MQTT-3.15.2-3]', () =>
  withEngine(async (engine) => {
    const client = await connected(engine, { properties: { requestProblemInformation: true } });
    client.send(authPacket(0x19, 'ask:who'));
    const { properties } = await client.expect('auth');
    assert.deepEqual(Object.keys(properties ?? {}).sort(), ['authenticationData', 'authenticationMethod']);
  }));

test('before MQTT 5.0 there is no AUTH', () =>
  withEngine(async (engine) => {
    const client = await engine.connect({ protocolVersion: 4 });
    client.sendBytes(authBytes(0x19));
    await client.end();
    await assert.rejects(client.next());
  }));

test('fuzz: after any damaged AUTH the connection goes on or ends, and no other notices', (t) =>
  withEngine(async (engine) => {
    const [seed] = seeds(1);
    t.diagnostic(`seed ${seed}`);
    const random = generator(seed);
    const bystander = await connected(engine, { clientId: 'bystander' });
    const words = ['ask:who', 'user:alice', 'user:bob', 'no:135', 'throw', 'reject'];
    for (let i = 0; i < 500; i++) {
      const early = random() < 0.5;
      const client = early ? begin(engine, 'ask:who') : await connected(engine);
      if (early) await client.expect('auth');
      for (let packets = 1 + Math.floor(random() * 3); packets > 0; packets--) {
        const code = random() < 0.5 ? 0x18 : 0x19;
        const word = words[Math.floor(random() * words.length)];
        const bytes = generate(authPacket(code, word), { protocolVersion: 5 });
        client.sendBytes(random() < 0.3 ? bytes : mutate(random, bytes));
      }
      client.destroy();
      await client.end();
      assert.deepEqual(await bystander.drain(), [], `seed ${seed}, round ${i}`);
      assert.equal(engine.broker.clients.bystander?.username, 'alice');
    }
    assert.equal(engine.broker.sessions.connected, 1);
  }));
