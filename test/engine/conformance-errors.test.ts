/** Normative statements of errors and of the end of a connection: MQTT 4.8, 3.12, 3.14, MQTT 5.0 4.13. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Engine, type RawClient } from '../support/engine.js';
import { answers, ending, kept, passing, publishBytes, taken, takenPackets, VERSIONS } from '../support/statements.js';
import { framed, raw, str } from '../wire/table/row.js';

const PINGREQ = raw('c000');

describe('errors and ends', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  for (const [version, name] of VERSIONS) {
    async function connected(clientId = 'c'): Promise<RawClient> {
      const client = await engine.connect(passing(version, clientId));
      taken(client);
      return client;
    }

    test(`${name}: a malformed packet or protocol error closes the connection, with its reason in MQTT 5.0 [MQTT-3.14.1-1, MQTT-3.14.4-2, MQTT-4.8.0-1, MQTT-4.13.1-1, MQTT-4.13.2-1]`, async () => {
      const broken: [bytes: string, code: string][] = [
        ['e101', '81'],
        ['e100', '81'],
        ['c100', '81'],
        ['60020001', '81'],
        ['8006000100017400', '81'],
        ['0000', '82'],
        ['3600', '81'],
        ['20020000', '82'],
        ['d000', '82'],
        ['40020000', '82'],
      ];
      for (const [bytes, code] of broken) {
        const client = await connected();
        client.sendBytes(Buffer.concat([raw(bytes), PINGREQ]));
        assert.equal(await ending(client), version === 5 ? `DISCONNECT ${code}` : '', bytes);
      }
    });

    test(`${name}: nothing is sent behind the broker's last word, and nothing is taken [MQTT-3.14.4-1, MQTT-3.14.4-2, MQTT-4.8.0-1]`, async () => {
      const watcher = await connected('w');
      await watcher.subscribe('t', 0);
      const client = await connected();
      await client.subscribe('t', 0);
      taken(client);
      const publish = (payload: string): Buffer => publishBytes(version, 0, 't', 0, payload);
      client.sendBytes(Buffer.concat([PINGREQ, publish('1'), raw('c100'), publish('2'), PINGREQ]));
      await client.end();
      const packets = takenPackets(client);
      assert.deepEqual(packets.slice(0, 2), ['d000', publish('1').toString('hex')]);
      assert.match(packets.slice(2).join(' '), version === 5 ? /^e0..81\S*$/ : /^$/);
      engine.broker.publish({ topic: 't', payload: '3' });
      const seen = await watcher.drain();
      assert.deepEqual(
        seen.map((packet) => packet.cmd === 'publish' && String(packet.payload)),
        ['1', '3'],
      );
    });

    test(`${name}: after DISCONNECT of the client nothing is taken, nothing sent, and the connection closed [MQTT-3.14.4-1, MQTT-3.14.4-2]`, async () => {
      const watcher = await connected('w');
      await watcher.subscribe('t', 0);
      const client = await connected();
      client.sendBytes(Buffer.concat([raw('e000'), publishBytes(version, 2, 't', 1, 'x'), PINGREQ]));
      assert.equal(await ending(client), '');
      assert.deepEqual(await watcher.drain(), []);
    });

    test(`${name}: a fault in the broker while it processes a packet closes that connection alone [MQTT-4.8.0-2]`, async () => {
      await engine.stop();
      engine = await Engine.create({
        authorizeSubscribe: (_client, _subscription, done) => done(new Error('the rules cannot be read')),
      });
      const other = await connected('o');
      const client = await connected();
      client.sendBytes(framed(0x82, '0001', version === 5 ? '00' : '', str('t'), '00'));
      assert.equal(await ending(client), version === 5 ? 'DISCONNECT 83' : '');
      assert.deepEqual(await other.drain(), []);
    });

    test(`${name}: PINGREQ is answered by PINGRESP [MQTT-3.12.4-1]`, async () => {
      const client = await connected();
      client.sendBytes(Buffer.concat([PINGREQ, PINGREQ]));
      for (let i = 0; i < 2; i++) await client.expect('pingresp');
      assert.equal(taken(client), 'd000d000');
    });
  }

  test('MQTT 5.0: DISCONNECT of the broker has a reason of DISCONNECT and no Session Expiry Interval [MQTT-3.14.2-1, MQTT-3.14.2-2]', async () => {
    const strict = await Engine.create({ session: { receiveMaximum: 1, maxPacketSize: 200, maxTopicLevels: 2 } });
    const subscribe = (filter: string): Buffer => framed(0x82, '0001 00', str(filter), '00');
    const causes: [code: string, cause: (client: RawClient) => unknown][] = [
      ['81', (client) => client.sendBytes(raw('c100'))],
      ['82', (client) => client.sendBytes(raw('d000'))],
      ['8d', () => strict.pass(100)],
      ['8e', () => strict.connect(kept(5, 'c'))],
      ['8f', (client) => client.sendBytes(subscribe('a/b/c'))],
      ['90', (client) => client.sendBytes(publishBytes(5, 0, 'a/b/c', 0, 'x'))],
      ['93', (client) => client.sendBytes(Buffer.concat([1, 2].map((i) => publishBytes(5, 4, 't', i, 'x'))))],
      ['94', (client) => client.sendBytes(publishBytes(5, 0, 't', 0, 'x', '23ffff'))],
      ['95', (client) => client.sendBytes(publishBytes(5, 0, 't', 0, 'x'.repeat(200)))],
      ['8b', () => strict.stop()],
    ];
    for (const [code, cause] of causes) {
      const client = await strict.connect({ ...kept(5, 'c'), keepalive: 60 });
      taken(client);
      await cause(client);
      for (;;) {
        const packet = await client.next();
        if (packet.cmd !== 'disconnect') continue;
        assert.equal(packet.reasonCode?.toString(16), code);
        assert.equal(packet.properties?.sessionExpiryInterval, undefined, code);
        break;
      }
      await client.end();
    }
  });

  test('MQTT 5.0: the Maximum Packet Size that CONNACK tells holds: more is closed with 0x95 [MQTT-3.2.2-15]', async () => {
    const strict = await Engine.create({ session: { maxPacketSize: 100 } });
    const client = await strict.connect(passing(5, 'c'));
    assert.equal(client.connack.properties?.maximumPacketSize, 100);
    const room = 100 - publishBytes(5, 2, 't', 1, '').length;
    const [answer] = await answers(strict, client, publishBytes(5, 2, 't', 1, 'x'.repeat(room)));
    assert.match(answer, /^40..0001/);
    client.sendBytes(publishBytes(5, 2, 't', 2, 'x'.repeat(room + 1)));
    assert.equal(await ending(client), 'DISCONNECT 95');
    await strict.stop();
  });
});
