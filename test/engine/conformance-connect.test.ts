/** Normative statements of CONNECT and CONNACK: MQTT 3.1, 3.2. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Engine } from '../support/engine.js';
import { connectBytes, ending, kept, opening, publishBytes, taken, VERSIONS } from '../support/statements.js';
import { framed, raw, str } from '../wire/table/row.js';

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const PINGREQ = raw('c0 00');
/** Return code of MQTT 3.1.1 and reason code of MQTT 5.0. */
const REFUSED = {
  identifier: { 4: 'CONNACK 02', 5: 'CONNACK 85' },
  notAuthorized: { 4: 'CONNACK 05', 5: 'CONNACK 87' },
} as const;

describe('CONNECT and CONNACK', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  test('a protocol level that there is not is answered by CONNACK 0x01 and close [MQTT-3.1.2-2]', async () => {
    for (const level of [0, 1, 2]) {
      assert.equal(await ending(opening(engine, 4, connectBytes(level, '02', str('c')), PINGREQ)), 'CONNACK 01');
    }
  });

  test('a protocol level after that of MQTT 5.0 is answered by CONNACK 0x84 and close [MQTT-3.1.2-2]', async () => {
    for (const level of [6, 7, 0x7f, 0x85]) {
      assert.equal(await ending(opening(engine, 5, connectBytes(level, '02', raw('00'), str('c')))), 'CONNACK 84');
    }
  });

  test('a protocol name that is not MQTT is closed without an answer [MQTT-3.1.2-1, MQTT-3.2.2-6]', async () => {
    for (const name of ['MQTTX', 'mqtt', 'HTTP', '']) {
      for (const tail of ['04 02 0000', '05 02 0000 00']) {
        assert.equal(await ending(opening(engine, 4, framed(0x10, str(name), tail, str('c')))), '');
      }
    }
  });

  test('the reserved connect flag closes the connection [MQTT-3.1.2-3, MQTT-3.2.2-6]', async () => {
    assert.equal(await ending(opening(engine, 4, connectBytes(4, '03', str('c')))), '');
    assert.equal(await ending(opening(engine, 5, connectBytes(5, '03', str('c')))), 'CONNACK 81');
  });

  test('a CONNECT that breaks the format is closed: in silence, in MQTT 5.0 with CONNACK 0x81 [MQTT-3.1.4-1]', async () => {
    const broken = (version: 4 | 5): Buffer[] => [
      connectBytes(version, '02'),
      connectBytes(version, '02', str('c'), raw('00')),
      connectBytes(version, '82', str('c')),
      connectBytes(version, '02', raw('0002 63')),
      connectBytes(version, '02', str(raw('ff'))),
    ];
    for (const bytes of broken(4)) assert.equal(await ending(opening(engine, 4, bytes)), '');
    for (const bytes of broken(5)) assert.equal(await ending(opening(engine, 5, bytes)), 'CONNACK 81');
  });

  for (const [version, name] of VERSIONS) {
    const connect = connectBytes(version, '02', str('c'));

    test(`${name}: before CONNECT nothing is taken and nothing sent [MQTT-3.1.0-1, MQTT-3.2.0-1, MQTT-3.14.0-1]`, async () => {
      for (const packet of ['c000', 'e000', '300400017478', '8206000100017400', '40020001', 'f000']) {
        assert.equal(await ending(opening(engine, version, raw(packet), connect)), '', packet);
      }
      assert.equal(engine.broker.counters.publishReceived, 0);
    });

    test(`${name}: a second CONNECT ends the connection, without a second CONNACK [MQTT-3.1.0-2, MQTT-3.2.0-2]`, async () => {
      const client = opening(engine, version, connect);
      await client.expect('connack');
      taken(client);
      client.sendBytes(Buffer.concat([connect, PINGREQ]));
      assert.equal(await ending(client), version === 5 ? 'DISCONNECT 82' : '');
    });

    test(`${name}: a valid CONNECT is answered by one CONNACK of success [MQTT-3.1.4-4, MQTT-3.1.4-5, MQTT-3.2.2-1, MQTT-3.2.2-2]`, async () => {
      const client = opening(engine, version, connect);
      await client.expect('connack');
      const answer = taken(client);
      assert.equal(answer.slice(0, 2), '20');
      assert.equal(answer.slice(4, 8), '0000', 'no reserved flag, no session present, code 0');
      assert.equal(answer.length / 2, 2 + Number.parseInt(answer.slice(2, 4), 16));
      if (version === 4) assert.equal(answer, '20020000');
    });

    test(`${name}: Session Present says whether there was a session [MQTT-3.1.2-4 to 6, MQTT-3.1.4-3, MQTT-3.1.4-4, MQTT-3.2.2-1 to 3]`, async () => {
      const flags = async (clean: boolean): Promise<string> => {
        const client = await engine.connect({ ...kept(version, 's'), clean });
        const answer = taken(client);
        await engine.cut(client);
        return answer.slice(4, 8);
      };
      assert.equal(await flags(false), '0000', 'a new one');
      assert.equal(await flags(false), '0100', 'the stored one');
      assert.equal(await flags(true), '0000', 'the stored one is discarded');
      // In MQTT 5.0 the session of a clean start is kept too, if it has an expiry interval.
      assert.equal(await flags(false), version === 5 ? '0100' : '0000');
      assert.equal(await flags(false), '0100');
    });

    test(`${name}: client identifiers of 1 to 23 letters and digits are allowed [MQTT-3.1.3-5]`, async () => {
      const identifiers = [...ALPHABET];
      for (let length = 2; length <= 23; length++) {
        identifiers.push(ALPHABET.slice(length, 2 * length), ALPHABET.slice(-length));
      }
      for (const clientId of identifiers) {
        const client = await engine.connect({ clientId, protocolVersion: version });
        assert.equal(taken(client).slice(4, 8), '0000', clientId);
      }
      assert.equal(engine.broker.sessions.connected, new Set(identifiers).size);
    });

    test(`${name}: the client identifier names the session, and no other one [MQTT-3.1.3-2]`, async () => {
      const one = await engine.connect(kept(version, 'one'));
      await one.subscribe('t', 1);
      await engine.cut(one);
      const other = await engine.connect(kept(version, 'One'));
      assert.equal(other.connack.sessionPresent, false);
      engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
      assert.deepEqual(await other.drain(), []);
      const again = await engine.connect(kept(version, 'one'));
      assert.equal(again.connack.sessionPresent, true);
      assert.equal(String((await again.expect('publish')).payload), 'x');
    });

    test(`${name}: a client that is connected already is disconnected [MQTT-3.1.4-2, MQTT-3.1.4-3]`, async () => {
      const first = await engine.connect({ clientId: 'c', protocolVersion: version });
      taken(first);
      const second = await engine.connect({ clientId: 'c', protocolVersion: version });
      assert.equal(await ending(first), version === 5 ? 'DISCONNECT 8e' : '');
      assert.deepEqual(await second.drain(), []);
    });

    test(`${name}: CONNACK is the first packet, also where messages wait [MQTT-3.2.0-1]`, async () => {
      const first = await engine.connect(kept(version, 's'));
      await first.subscribe('t', 1);
      await engine.cut(first);
      engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
      const second = await engine.connect(kept(version, 's'));
      await second.expect('publish');
      const answer = taken(second);
      assert.match(answer, /^20/);
      assert.equal(answer.slice(4, 8), '0100');
      const published = publishBytes(version, 2, 't', 1, 'x').toString('hex');
      assert.equal(answer.slice(4 + 2 * Number.parseInt(answer.slice(2, 4), 16)), published);
    });

    test(`${name}: one and a half keep alives of silence close, any packet begins them anew [MQTT-3.1.2-24, MQTT-3.1.2-22, MQTT-3.2.2-22]`, async () => {
      const client = await engine.connect({ clientId: 'c', protocolVersion: version, keepalive: 10 });
      const patient = await engine.connect({ clientId: 'p', protocolVersion: version, keepalive: 0 });
      assert.equal(client.connack.properties?.serverKeepAlive, undefined);
      engine.pass(14);
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 0 }] });
      await client.expect('suback');
      engine.pass(14);
      assert.deepEqual(await client.drain(), []);
      engine.pass(14);
      assert.equal(client.closed, false);
      taken(client);
      engine.pass(2);
      assert.equal(await ending(client), version === 5 ? 'DISCONNECT 8d' : '');
      engine.pass(100_000);
      assert.deepEqual(await patient.drain(), []);
    });

    test(`${name}: a client identifier that is refused gets its code and close [MQTT-3.1.3-8, MQTT-3.1.3-9, MQTT-3.2.2-5, MQTT-3.2.2-7, MQTT-3.2.2-8]`, async () => {
      const strict = await Engine.create({ session: { maxClientIdLength: 23 } });
      const client = opening(strict, version, connectBytes(version, '02', str('x'.repeat(24))), PINGREQ);
      assert.equal(await ending(client), REFUSED.identifier[version]);
      await strict.stop();
    });

    test(`${name}: a refusal has its code and Session Present 0, and nothing behind it is processed [MQTT-3.1.4-2, MQTT-3.1.4-5, MQTT-3.1.4-6, MQTT-3.2.2-4 to 8, MQTT-3.14.0-1, MQTT-4.13.2-1]`, async () => {
      let allowed = true;
      const strict = await Engine.create({
        authenticate: (_client, _username, _password, done) => done(null, allowed),
      });
      await strict.cut(await strict.connect(kept(version, 'c')));
      const watcher = await strict.connect({ clientId: 'w' });
      await watcher.subscribe('#', 0);
      allowed = false;
      const publish = publishBytes(version, 0, 't', 0, 'x');
      const subscribe = framed(0x82, '0001', version === 5 ? '00' : '', str('t'), '00');
      const client = opening(strict, version, connectBytes(version, '00', str('c')), publish, subscribe, PINGREQ);
      assert.equal(await ending(client), REFUSED.notAuthorized[version]);
      assert.deepEqual(await watcher.drain(), []);
      assert.equal(strict.broker.counters.publishReceived, 0);
      await strict.stop();
    });
  }

  test('MQTT 3.1.1: an empty client identifier gets a unique one [MQTT-3.1.3-6]', async () => {
    const clients = [await engine.connect({ clientId: '' }), await engine.connect({ clientId: '' })];
    for (const client of clients) await client.subscribe('t', 0);
    engine.broker.publish({ topic: 't', payload: 'x' });
    for (const client of clients) assert.equal(String((await client.expect('publish')).payload), 'x');
    const [one, two] = Object.keys(engine.broker.clients);
    assert.ok(one.length > 0 && two.length > 0 && one !== two);
  });

  test('MQTT 3.1.1: an empty client identifier with Clean Session 0 gets CONNACK 0x02 and close [MQTT-3.1.3-7, MQTT-3.1.3-8, MQTT-3.1.3-9, MQTT-3.2.2-5]', async () => {
    assert.equal(await ending(opening(engine, 4, connectBytes(4, '00', str('')), PINGREQ)), REFUSED.identifier[4]);
    assert.equal(engine.broker.sessions.size, 0);
  });

  test('MQTT 5.0: an empty client identifier gets a unique one, which CONNACK tells and which works [MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.2.2-16]', async () => {
    const options = { ...kept(5, ''), clean: true };
    const [one, two] = [await engine.connect(options), await engine.connect(options)];
    const identifier = one.connack.properties?.assignedClientIdentifier ?? '';
    assert.notEqual(identifier, '');
    assert.notEqual(identifier, two.connack.properties?.assignedClientIdentifier);
    await one.subscribe('t', 1);
    await engine.cut(one);
    const named = await engine.connect({ ...options, clientId: identifier, clean: false });
    assert.equal(named.connack.sessionPresent, true);
    assert.equal(named.connack.properties?.assignedClientIdentifier, undefined);
    const nameless = opening(engine, 5, connectBytes(5, '00', str('')));
    const { properties } = await nameless.expect('connack');
    assert.notEqual(properties?.assignedClientIdentifier ?? '', '');
  });

  test('MQTT 5.0: a Server Keep Alive that is told is the one that holds [MQTT-3.1.2-21, MQTT-3.2.2-21]', async () => {
    const strict = await Engine.create({ session: { keepaliveMax: 20 } });
    for (const keepalive of [60, 0]) {
      const client = await strict.connect({ clientId: 'c', protocolVersion: 5, keepalive });
      assert.equal(client.connack.properties?.serverKeepAlive, 20);
      strict.pass(29);
      assert.equal(client.closed, false);
      strict.pass(2);
      await client.end();
    }
    const shorter = await strict.connect({ clientId: 'c', protocolVersion: 5, keepalive: 10 });
    assert.equal(shorter.connack.properties?.serverKeepAlive, undefined);
    await strict.stop();
  });
});
