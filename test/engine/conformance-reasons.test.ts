/** Normative statements of Reason String and User Property in what the broker answers: MQTT 5.0 3.1.2.11, 3.2.2.3 to 3.14.2.2. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { generate, type Packet } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import { passing, publishBytes, takenPackets } from '../support/statements.js';
import { framed, raw, str } from '../wire/table/row.js';

const QOS1 = 2;
const QOS2 = 4;
/** What CONNACK of success needs, and more than any answer with its reason in words. */
const SIZES = Array.from({ length: 90 }, (_, i) => i + 12);

/** An answer that says no: what brings it about, and how it begins in hexadecimal digits. */
type Answer = Exclude<Packet['cmd'], 'pingreq' | 'pingresp'>;
type Refusal = readonly [what: Answer, bytes: Buffer, first: string, least: number];

const REFUSALS: readonly Refusal[] = [
  ['puback', publishBytes(5, QOS1, '$SYS/t', 1, 'x'), '40', 5],
  ['pubrec', publishBytes(5, QOS2, '$SYS/t', 1, 'x'), '50', 5],
  ['pubrel', raw('50020009'), '62', 5],
  ['pubcomp', raw('62020009'), '70', 5],
  ['suback', framed(0x82, '0001 00', str('secret'), '00'), '90', 6],
  ['unsuback', framed(0xa2, '0001 00', str('never')), 'b0', 6],
  ['disconnect', raw('c100'), 'e0', 3],
];

describe('reasons in words', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create({ authorizeSubscribe: (_client, _subscription, done) => done(null, null) });
  });
  afterEach(() => engine.stop());

  async function refused(
    [what, bytes, first]: Refusal,
    properties: { maximumPacketSize?: number; requestProblemInformation?: boolean },
  ): Promise<{ packet: Extract<Packet, { cmd: Answer }>; size: number }> {
    const client: RawClient = await engine.connect({ ...passing(5, 'c'), properties });
    takenPackets(client);
    client.sendBytes(bytes);
    const packet = await client.expect(what);
    const [answer] = takenPackets(client);
    assert.ok(answer.startsWith(first));
    if (what === 'disconnect') await client.end();
    else await engine.cut(client);
    return { packet, size: answer.length / 2 };
  }

  for (const refusal of REFUSALS) {
    const [what, , , least] = refusal;

    test(`${what.toUpperCase()} has no properties that make it larger than the client allows [MQTT-3.4.2-2, MQTT-3.4.2-3, MQTT-3.5.2-2, MQTT-3.5.2-3, MQTT-3.6.2-2, MQTT-3.6.2-3, MQTT-3.7.2-2, MQTT-3.7.2-3, MQTT-3.9.2-1, MQTT-3.9.2-2, MQTT-3.11.2-1, MQTT-3.11.2-2, MQTT-3.14.2-3, MQTT-3.14.2-4]`, async () => {
      const sizes = new Set<number>();
      for (const maximumPacketSize of SIZES) {
        const { packet, size } = await refused(refusal, { maximumPacketSize });
        assert.ok(size <= maximumPacketSize, `${size} bytes where ${maximumPacketSize} are allowed`);
        assert.equal(packet.properties?.userProperties, undefined);
        sizes.add(size);
      }
      // Without room it is as short as can be; with room it says why, but for UNSUBACK, which has nothing to explain.
      assert.ok(sizes.has(least), String([...sizes]));
      assert.equal(sizes.size, what === 'unsuback' ? 1 : 2, String([...sizes]));
    });

    test(`Request Problem Information 0: ${what.toUpperCase()} has a Reason String only if it is DISCONNECT [MQTT-3.1.2-29]`, async () => {
      const { size } = await refused(refusal, { requestProblemInformation: false });
      if (what === 'disconnect') return;
      assert.equal(size, least, 'no properties at all');
    });
  }

  test('a CONNACK that refuses has no properties that make it larger than the client allows [MQTT-3.2.2-19, MQTT-3.2.2-20]', async () => {
    const strict = await Engine.create({
      authenticate: (_client, _username, _password, done) => done(null, false),
    });
    const sizes = new Set<number>();
    for (const maximumPacketSize of SIZES) {
      const client = strict.open(5);
      const connect = { ...passing(5, 'c'), properties: { maximumPacketSize } };
      client.sendBytes(
        generate({ cmd: 'connect', clientId: 'c', protocolId: 'MQTT', ...connect } as Packet, { protocolVersion: 5 }),
      );
      const { reasonCode, properties } = await client.expect('connack');
      assert.equal(reasonCode, 0x87);
      assert.equal(properties?.userProperties, undefined);
      const [answer] = takenPackets(client);
      assert.ok(answer.length / 2 <= maximumPacketSize);
      sizes.add(answer.length / 2);
      await client.end();
    }
    assert.ok(sizes.has(5) && sizes.size === 2, String([...sizes]));
    await strict.stop();
  });

  test('PUBLISH keeps its User Properties whatever Request Problem Information says [MQTT-3.1.2-29]', async () => {
    const open = await Engine.create();
    const client = await open.connect({ ...passing(5, 'c'), properties: { requestProblemInformation: false } });
    await client.subscribe('t', 0);
    takenPackets(client);
    const bytes = publishBytes(5, 0, 't', 0, 'x', raw('26', str('a'), str('b')).toString('hex'));
    client.sendBytes(bytes);
    await client.expect('publish');
    assert.deepEqual(takenPackets(client), [bytes.toString('hex')]);
    await open.stop();
  });

  for (const maximumPacketSize of [1, 2, 4, 5, 8, 10]) {
    test(`nothing above a Maximum Packet Size of ${maximumPacketSize} is sent, not even CONNACK [MQTT-3.1.2-24]`, async () => {
      const open = await Engine.create();
      const client = open.open(5);
      const connect: Packet = {
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 5,
        clientId: '',
        properties: { maximumPacketSize },
      };
      client.sendBytes(generate(connect, { protocolVersion: 5 }));
      client.sendBytes(raw('c000'));
      await client.end();
      for (const packet of takenPackets(client)) assert.ok(packet.length / 2 <= maximumPacketSize, packet);
      assert.equal(open.broker.sessions.size, 0);
      await open.stop();
    });
  }

  test('SUBACK and UNSUBACK above the Maximum Packet Size of the client are not sent: it ends with 0x95 [MQTT-3.1.2-24]', async () => {
    const open = await Engine.create();
    for (const first of [0x82, 0xa2]) {
      const client = await open.connect({ ...passing(5, 'c'), properties: { maximumPacketSize: 30 } });
      takenPackets(client);
      const filters = Array.from({ length: 26 }, (_, i) => raw(str(`t${i}`), first === 0x82 ? '00' : ''));
      client.sendBytes(framed(first, '0001 00', ...filters));
      assert.equal((await client.expect('disconnect')).reasonCode, 0x95);
      for (const packet of takenPackets(client)) assert.ok(packet.length / 2 <= 30, packet);
    }
    await open.stop();
  });
});
