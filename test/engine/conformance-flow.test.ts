/** Normative statements of flow control: MQTT 5.0 4.9, 3.3.4. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IConnectPacket, IPublishPacket } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import { answers, ending, kept, publishBytes, taken } from '../support/statements.js';
import { framed, raw, str } from '../wire/table/row.js';

const QOS1 = 2;
const QOS2 = 4;

describe('Receive Maximum of the client', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  const connect = (receiveMaximum: number, more: Partial<IConnectPacket> = {}): Promise<RawClient> =>
    engine.connect({ ...kept(5, 'c'), properties: { sessionExpiryInterval: 100, receiveMaximum }, ...more });

  /** What has arrived once everything that is durable has left. */
  async function arrived(client: RawClient): Promise<string[]> {
    const packets = await client.drain();
    await engine.broker.commit.settled();
    packets.push(...(await client.drain()));
    return packets.map((packet) =>
      packet.cmd === 'publish' ? String((packet as IPublishPacket).payload) : packet.cmd,
    );
  }

  test('only PUBACK, PUBCOMP and a PUBREC of 0x80 or above make room for the next delivery [MQTT-3.3.4-9, MQTT-4.9.0-1, MQTT-4.9.0-2, MQTT-4.3.2-3]', async () => {
    const client = await connect(2);
    await client.subscribe('t', 2);
    for (const [i, qos] of [1, 2, 2, 1, 1, 1].entries()) {
      engine.broker.publish({ topic: 't', payload: String(i), qos: qos as 1 | 2 });
    }
    assert.deepEqual(await arrived(client), ['0', '1']);
    client.sendBytes(raw('40020001'));
    assert.deepEqual(await arrived(client), ['2'], 'PUBACK');
    client.sendBytes(raw('50020002'));
    assert.deepEqual(await arrived(client), ['pubrel'], 'PUBREC 0x00');
    client.sendBytes(raw('70020002'));
    assert.deepEqual(await arrived(client), ['3'], 'PUBCOMP');
    client.sendBytes(raw('5003000380'));
    assert.deepEqual(await arrived(client), ['4'], 'PUBREC 0x80');
    client.sendBytes(raw('40020001', '40020007', '70020002'));
    assert.deepEqual(await arrived(client), [], 'what is not in flight');
    client.sendBytes(raw('4003000480'));
    assert.deepEqual(await arrived(client), ['5'], 'PUBACK 0x80');
  });

  test('what is sent again after a reconnect is within the new Receive Maximum, too [MQTT-3.3.4-9, MQTT-4.9.0-1]', async () => {
    const first = await connect(10);
    await first.subscribe('t', 2);
    for (let i = 0; i < 6; i++) engine.broker.publish({ topic: 't', payload: String(i), qos: i < 3 ? 1 : 2 });
    assert.equal((await arrived(first)).length, 6);
    await engine.cut(first);
    const second = await connect(2);
    const received: string[] = [];
    for (let acknowledged = 0; acknowledged < 6; acknowledged++) {
      const packets = await arrived(second);
      received.push(...packets);
      assert.ok(received.length - acknowledged <= 2, String(received));
      const identifier = Buffer.from([0, acknowledged + 1]);
      second.sendBytes(raw(acknowledged < 3 ? '4002' : '5003', identifier, acknowledged < 3 ? '' : '80'));
    }
    assert.deepEqual(received, ['0', '1', '2', '3', '4', '5']);
  });

  test('PUBREL comes again at once after a reconnect, whatever Receive Maximum says [MQTT-3.3.4-10, MQTT-4.4.0-1, MQTT-4.9.0-3]', async () => {
    const first = await connect(10);
    await first.subscribe('t', 2);
    for (const qos of [1, 2, 2, 2] as const) engine.broker.publish({ topic: 't', payload: `qos ${qos}`, qos });
    await arrived(first);
    first.sendBytes(raw('50020002 50020003'));
    assert.deepEqual(await arrived(first), ['pubrel', 'pubrel']);
    await engine.cut(first);
    const second = await connect(1);
    assert.deepEqual((await arrived(second)).sort(), ['pubrel', 'pubrel', 'qos 1']);
    second.sendBytes(raw('70020002 70020003'));
    assert.deepEqual(await arrived(second), [], 'the one that is in flight');
    second.sendBytes(raw('40020001'));
    assert.deepEqual(await arrived(second), ['qos 2']);
  });

  test('everything else goes on while no delivery may [MQTT-3.3.4-10, MQTT-4.9.0-3]', async () => {
    const client = await connect(1);
    await client.subscribe('t', 2);
    for (const qos of [2, 1] as const) engine.broker.publish({ topic: 't', payload: `qos ${qos}`, qos });
    assert.deepEqual(await arrived(client), ['qos 2']);
    engine.broker.publish({ topic: 't', payload: 'qos 0' });
    assert.deepEqual(await arrived(client), ['qos 0']);
    await engine.connect({ clientId: 'n' }).then((other) => other.subscribe('n', 0));
    const sent = [
      framed(0x82, '0011 00', str('s'), '01'),
      framed(0xa2, '0012 00', str('s')),
      publishBytes(5, QOS1, 'n', 0x13, 'x'),
      publishBytes(5, QOS2, 'n', 0x14, 'x'),
      raw('50020001'),
    ];
    taken(client);
    const answered = (await answers(engine, client, ...sent)).sort();
    assert.deepEqual(answered, ['40020013', '50020014', '62020001', '900400110001', 'b00400120000']);
    assert.deepEqual(await answers(engine, client, raw('62020014')), ['70020014']);
    assert.deepEqual(await arrived(client), []);
  });
});

test('Receive Maximum of the broker: only what ends a publication makes room for another one [MQTT-3.3.4-7]', async () => {
  const strict = await Engine.create({ session: { receiveMaximum: 1 } });
  for (const [what, ...bytes] of [
    ['PUBREL of what is not known', raw('62020063')],
    ['PUBREC of what is not known', raw('50020063')],
    ['the same publication again', publishBytes(5, 8 | QOS2, 't', 1, 'x')],
  ] as const) {
    const client = await strict.connect({ ...kept(5, 'c'), clean: true });
    await answers(strict, client, publishBytes(5, QOS2, 't', 1, 'x'), ...bytes);
    taken(client);
    client.sendBytes(publishBytes(5, QOS1, 't', 2, 'x'));
    assert.equal(await ending(client), 'DISCONNECT 93', what);
  }
  const client = await strict.connect({ ...kept(5, 'c'), clean: true });
  for (let i = 1; i <= 3; i++) {
    await answers(strict, client, publishBytes(5, QOS1, 't', i, 'x'));
    await answers(strict, client, publishBytes(5, QOS2, 't', i, 'x'));
    await answers(strict, client, raw('6202', Buffer.from([0, i])));
    await answers(strict, client, publishBytes(5, QOS2, '$SYS/denied', i, 'x'));
  }
  assert.equal(client.closed, false);
  await strict.stop();
});
