/**
 * A disk that fills up under the broker: publishers are told or wait, everything that needs no store goes on, nothing
 * acknowledged is lost, and nothing refused appears.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { RawClient } from '../support/engine.js';
import { Portico } from '../support/portico.js';
import { SmallDisk } from '../support/small-disk.js';
import { exchange, IN_FLIGHT, KEPT, open, Publisher, takeAll, Watch } from './publishers.js';

/** A confirmable PUT of `x` to /ps/t over CoAP; resolves with the response. */
async function put(port: number): Promise<Buffer> {
  const socket = createSocket('udp4');
  try {
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    // CON, PUT, message 0x1234, Uri-Path "ps" and "t", payload "x".
    socket.send(Buffer.from('40031234b270730174ff78', 'hex'));
    const [response] = (await once(socket, 'message')) as [Buffer];
    return response;
  } finally {
    socket.close();
  }
}

describe('the disk is full', () => {
  let disk: SmallDisk;
  let portico: Portico;
  const watch = new Watch();
  const publishers = ([4, 5] as const).flatMap((version) =>
    ([1, 2] as const).map((qos) => new Publisher(version, qos, watch)),
  );
  const told = publishers.filter(({ version }) => version === 5);
  const silenced = publishers.filter(({ version }) => version === 4);
  let from: RawClient;
  let to: RawClient;
  let kept5: RawClient;
  let kept4: RawClient;

  before(async () => {
    disk = new SmallDisk(24);
    // What is left is less than LevelDB's first log takes, so that nothing is freed meanwhile.
    disk.fill(21);
    portico = await Portico.start({ data_dir: disk.path });
    const { mqtt } = portico.ports;
    const absent = await open(mqtt, { clientId: 'absent', ...KEPT });
    await absent.subscribe('data/#', 2);
    absent.send({ cmd: 'disconnect', reasonCode: 0 });
    await absent.end();
    to = await open(mqtt, { clientId: 'to' });
    await to.subscribe('live', 0);
    from = await open(mqtt, { clientId: 'from' });
    kept5 = await open(mqtt, { clientId: 'kept5', ...KEPT });
    kept4 = await open(mqtt, { clientId: 'kept4', clean: false, protocolVersion: 4 });
    await kept5.subscribe('before', 1);
    for (const publisher of publishers) await publisher.start(mqtt);
    while (!portico.log.includes('the store failed')) await exchange(from, to, 1);
  });
  after(async () => {
    await portico?.dispose();
    disk?.remove();
  });

  test('MQTT 5.0 publishers are refused with 0x97; others are not acknowledged', async () => {
    const before = silenced.map(({ acknowledged }) => acknowledged.length);
    const more = told.map(({ refused }) => refused.length + 50);
    for (const publisher of publishers) publisher.publish(50);
    await watch.until(() => told.every(({ refused }, i) => refused.length >= more[i]));
    assert.deepEqual(
      silenced.map(({ acknowledged }) => acknowledged.length),
      before,
    );
    assert.deepEqual(
      silenced.map(({ open }) => open),
      silenced.map(() => IN_FLIGHT + 50),
    );
    assert.ok(publishers.every(({ acknowledged }) => acknowledged.length > 0));
    assert.match(portico.log, /the store failed, acknowledgements wait: .*no space left on device/i);
    assert.match(portico.log, /limit store failing: a publication of client/);
  });

  test('QoS 0 goes on, and QoS 1 and 2 to clients whose session is not kept', async () => {
    await exchange(from, to, 1000);
    const direct = await open(portico.ports.mqtt, { clientId: 'direct' });
    await direct.subscribe('direct', 2);
    for (const qos of [1, 2] as const) {
      direct.publish('direct', 'x', { qos, messageId: 7 });
      const [one, two] = [await direct.next(), await direct.next()];
      assert.deepEqual([one.cmd, two.cmd].sort(), [qos === 1 ? 'puback' : 'pubrec', 'publish'].sort());
    }
    direct.destroy();
  });

  test('what would have to be kept is refused: subscriptions, sessions, retained messages', async () => {
    const { mqtt } = portico.ports;
    for (const [client, code] of [
      [kept5, 0x97],
      [kept4, 0x80],
    ] as const) {
      client.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'later', qos: 1 }] });
      assert.deepEqual((await client.expect('suback')).granted, [code]);
    }
    kept5.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['before'] });
    assert.deepEqual((await kept5.expect('unsuback')).granted, [0x83]);
    assert.equal((await open(mqtt, { clientId: 'new5', ...KEPT })).connack.reasonCode, 0x97);
    const older = await open(mqtt, { clientId: 'new4', clean: false, protocolVersion: 4 });
    assert.equal(older.connack.returnCode, 3);
    from.publish('kept', 'never', { qos: 1, retain: true, messageId: 9 });
    assert.equal((await from.expect('puback')).reasonCode, 0x97);
  });

  test('a CoAP PUT is answered 5.03 with Max-Age 10', async () => {
    // ACK, 5.03, message 0x1234, Max-Age (14) of one byte.
    assert.equal((await put(portico.ports.coap)).toString('hex'), '60a31234d1010a');
  });

  test('with room again the broker goes on by itself; kill -9 then costs nothing acknowledged, and nothing refused is there', async () => {
    const { mqtt } = portico.ports;
    const before = publishers.map(({ acknowledged }) => acknowledged.length + 50);
    disk.empty();
    while (!portico.log.includes('the store works again')) await exchange(from, to, 1);
    for (const publisher of told) publisher.publish(IN_FLIGHT);
    await watch.until(() => publishers.every(({ acknowledged }, i) => acknowledged.length >= before[i]));
    for (const publisher of publishers) publisher.stopped = true;
    await watch.until(() => publishers.every(({ inFlight }) => inFlight.size === 0));
    assert.equal((await put(portico.ports.coap))[1], 0x41, '2.01');
    assert.match(portico.log, /the store works again after [\d.]+ s; \d+ packets were refused meanwhile/);
    await portico.kill();
    await portico.restart();
    from = await open(mqtt, { clientId: 'from' });
    from.publish('data/last', '', { qos: 1, messageId: 1 });
    await from.expect('puback');
    const absent = await open(mqtt, { clientId: 'absent', ...KEPT });
    assert.equal(absent.connack.sessionPresent, true);
    const taken = await takeAll(absent);
    for (const { name, acknowledged, refused } of publishers) {
      const found = taken.filter(({ topic }) => topic === `data/${name}`).map(({ payload }) => `${payload}`.trim());
      // Each once and in order: neither QoS is sent twice here, for nothing was sent before the broker died.
      assert.deepEqual(found, acknowledged, name);
      assert.ok(acknowledged.length > 60, `${name} had ${acknowledged.length} acknowledged`);
      assert.equal(
        refused.filter((payload) => found.includes(payload)).length,
        0,
        `${name}: something refused was delivered`,
      );
    }
  });
});

test('with a disk that is full at the start, the broker says so and does not start', async () => {
  const disk = new SmallDisk(4);
  try {
    disk.fill();
    const words = /cannot open the store in .*: the disk is full, and the store cannot open without some room/;
    await assert.rejects(Portico.start({ data_dir: disk.path }), words);
    disk.empty();
    const portico = await Portico.start({ data_dir: disk.path });
    await portico.stop();
    disk.fill();
    await assert.rejects(portico.restart(), words);
    await portico.ended();
    disk.empty();
    await portico.restart();
    await portico.dispose();
  } finally {
    disk.remove();
  }
});

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`${signal} while the disk is full costs nothing acknowledged, and nothing refused is there`, async () => {
    const disk = new SmallDisk(16);
    try {
      const portico = await Portico.start({ data_dir: disk.path });
      const { mqtt } = portico.ports;
      const absent = await open(mqtt, { clientId: 'absent', ...KEPT });
      await absent.subscribe('data/#', 2);
      absent.send({ cmd: 'disconnect', reasonCode: 0 });
      await absent.end();
      disk.fill();
      const watch = new Watch();
      const publisher = new Publisher(5, 1, watch);
      await publisher.start(mqtt);
      const live = await open(mqtt, { clientId: 'live' });
      await live.subscribe('live', 0);
      while (!portico.log.includes('the store failed')) await exchange(live, live, 1);
      publisher.publish(10);
      await watch.until(() => publisher.refused.length >= 10);
      process.kill(portico.pid, signal);
      // A stop ends, however full the disk is, and says what is lost.
      const ended = signal === 'SIGKILL' ? { code: null, signal } : { code: 1, signal: null };
      assert.deepEqual(await portico.ended(), ended);
      const words = /ended: what was not written yet, and so not acknowledged, is lost/;
      assert.equal(words.test(portico.log), signal === 'SIGTERM');
      disk.empty();
      await portico.restart();
      const from = await open(mqtt, { clientId: 'from' });
      from.publish('data/last', '', { qos: 1, messageId: 1 });
      await from.expect('puback');
      const taken = await takeAll(await open(mqtt, { clientId: 'absent', ...KEPT }));
      const found = new Set(taken.map(({ payload }) => `${payload}`.trim()));
      for (const payload of publisher.acknowledged) assert.ok(found.has(payload), payload);
      for (const payload of publisher.refused) assert.ok(!found.has(payload), payload);
      await portico.dispose();
    } finally {
      disk.remove();
    }
  });
}
