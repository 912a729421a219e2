import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { generate, type IPublishPacket } from 'mqtt-packet';
import { Portico } from '../support/portico.js';
import { connectPacket, connectRaw, openRaw } from './raw.js';
import { SysWatch } from './sys.js';

const VERSIONS = [3, 4, 5] as const;

describe('MQTT as a stream of bytes over TCP', { timeout: 60_000 }, () => {
  let portico: Portico;
  let port: number;
  let sys: SysWatch;

  before(async () => {
    portico = await Portico.start();
    port = portico.ports.mqtt;
    sys = await SysWatch.start(port);
  });
  after(() => portico.dispose());

  const publish = (topic: string, payload: string | Buffer, messageId: number): Buffer =>
    generate({ cmd: 'publish', topic, payload, qos: 1, messageId, retain: false, dup: false });

  test('several packets in one chunk are all taken, in order', async () => {
    const client = await connectRaw(port, { clientId: 'chunk' });
    client.sendBytes(
      Buffer.concat([
        generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'chunk/#', qos: 1 }] }),
        publish('chunk/a', 'a', 2),
        generate({ cmd: 'pingreq' }),
        publish('chunk/b', 'b', 3),
        generate({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['chunk/#'] }),
        publish('chunk/c', 'c', 5),
      ]),
    );
    const seen: string[] = [];
    let acknowledged = 0;
    while (acknowledged < 3 || !seen.includes('unsuback')) {
      const packet = await client.next();
      if (packet.cmd === 'publish') seen.push(packet.payload.toString());
      else if (packet.cmd === 'puback') acknowledged++;
      else seen.push(packet.cmd);
    }
    assert.deepEqual(
      seen.filter((what) => what !== 'pingresp'),
      ['suback', 'a', 'b', 'unsuback'],
    );
    assert.ok(seen.includes('pingresp'));
    client.cut();
  });

  test('packets that follow CONNECT without waiting for CONNACK are taken [MQTT-3.1.4-5]', async () => {
    const client = await openRaw(port);
    client.sendBytes(
      Buffer.concat([
        generate(connectPacket({ clientId: 'eager' })),
        generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'eager', qos: 0 }] }),
        publish('eager', 'hello', 2),
      ]),
    );
    await client.expect('connack');
    await client.expect('suback');
    assert.deepEqual(new Set([(await client.next()).cmd, (await client.next()).cmd]), new Set(['publish', 'puback']));
    client.cut();
  });

  test('one packet that arrives byte by byte is taken as one', async () => {
    const client = await openRaw(port);
    for (const byte of generate(connectPacket({ clientId: 'bytewise' }))) client.sendBytes(Uint8Array.of(byte));
    await client.expect('connack');
    await client.subscribe('bytewise', 0);
    for (const byte of publish('bytewise', 'in many chunks', 2)) client.sendBytes(Uint8Array.of(byte));
    const packets = [await client.next(), await client.next()];
    const delivered = packets.find((packet): packet is IPublishPacket => packet.cmd === 'publish');
    assert.equal(delivered?.payload.toString(), 'in many chunks');
    client.cut();
  });

  test('1 MB over many chunks arrives whole, with other packets before and behind it', async () => {
    const client = await connectRaw(port, { clientId: 'large' });
    await client.subscribe('large/#', 1);
    const payload = Buffer.alloc(1_000_000, 'The quick brown fox. ');
    const bytes = Buffer.concat([
      publish('large/before', 'before', 2),
      publish('large/x', payload, 3),
      publish('large/behind', 'behind', 4),
    ]);
    for (let at = 0; at < bytes.length; at += 7_919) client.sendBytes(bytes.subarray(at, at + 7_919));
    const delivered: IPublishPacket[] = [];
    while (delivered.length < 3) {
      const packet = await client.next();
      if (packet.cmd === 'publish') delivered.push(packet);
    }
    assert.deepEqual(
      delivered.map(({ topic }) => topic),
      ['large/before', 'large/x', 'large/behind'],
    );
    assert.ok(payload.equals(Buffer.from(delivered[1].payload)));
    client.cut();
  });

  test('15 MB of retained messages, more than any socket takes at once, arrive byte for byte', async () => {
    const publisher = await connectRaw(port, { clientId: 'bulk-publisher' });
    for (let i = 0; i < 150; i++) {
      const payload = Buffer.alloc(100_000, i);
      publisher.send({ cmd: 'publish', topic: `bulk/${i}`, payload, qos: 1, messageId: 1, retain: true, dup: false });
      await publisher.expect('puback');
    }
    for (let round = 0; round < 5; round++) {
      const reader = await connectRaw(port, { clientId: `bulk-${round}` });
      await reader.subscribe('bulk/#', 0);
      const seen = new Set<string>();
      while (seen.size < 150) {
        const { topic, payload } = await reader.expect('publish');
        seen.add(topic);
        assert.ok(Buffer.alloc(100_000, Number(topic.slice(5))).equals(Buffer.from(payload)), topic);
      }
      reader.cut();
    }
    publisher.cut();
  });

  test('a second client with the same identifier takes over [MQTT-3.1.4-3], and it is counted', async () => {
    const grown = await sys.growth(async () => {
      const watcher = await connectRaw(port, { clientId: 'takeover-watcher' });
      await watcher.subscribe('takeover/+', 0);
      for (const version of VERSIONS) {
        const will = { topic: `takeover/${version}`, payload: Buffer.from('taken'), qos: 0 as const, retain: false };
        const first = await connectRaw(port, { clientId: 'taken', protocolVersion: version, will });
        const second = await connectRaw(port, { clientId: 'taken', protocolVersion: version });
        if (version === 5) assert.equal((await first.expect('disconnect')).reasonCode, 0x8e);
        await first.closed;
        // The first connection was closed without DISCONNECT.
        assert.equal((await watcher.expect('publish')).topic, will.topic);
        second.send({ cmd: 'pingreq' });
        await second.expect('pingresp');
        second.send({ cmd: 'disconnect' });
        await second.closed;
      }
      watcher.cut();
    });
    assert.equal(grown('clients/takeovers'), VERSIONS.length);
  });

  test('a client silent for 1.5 times its keep alive is disconnected [MQTT-3.1.2-22], and it is counted', async () => {
    const grown = await sys.growth(async () => {
      const watcher = await connectRaw(port, { clientId: 'silence-watcher' });
      await watcher.subscribe('silence/+', 0);
      const silence = async (version: 3 | 4 | 5): Promise<void> => {
        const will = { topic: `silence/${version}`, payload: Buffer.from('silent'), qos: 0 as const, retain: false };
        const clientId = `silent-${version}`;
        const started = performance.now();
        const silent = await connectRaw(port, { clientId, protocolVersion: version, keepalive: 1, will });
        if (version === 5) assert.equal((await silent.expect('disconnect')).reasonCode, 0x8d);
        await silent.closed;
        const seconds = (performance.now() - started) / 1000;
        assert.ok(seconds >= 1.4, `level ${version}: after ${seconds} s`);
      };
      await Promise.all(VERSIONS.map(silence));
      const wills = new Set<string>();
      while (wills.size < VERSIONS.length) wills.add((await watcher.expect('publish')).topic);
      watcher.cut();
    });
    assert.equal(grown('errors/keepalive_timeout'), VERSIONS.length);
  });

  test('a second CONNECT is a protocol error [MQTT-3.1.0-2], and it is counted', async () => {
    const grown = await sys.growth(async () => {
      for (const version of VERSIONS) {
        const client = await connectRaw(port, { clientId: 'twice', protocolVersion: version });
        client.send(connectPacket({ clientId: 'twice', protocolVersion: version }));
        if (version === 5) assert.equal((await client.expect('disconnect')).reasonCode, 0x82);
        await client.closed;
      }
    });
    assert.equal(grown('errors/protocol'), VERSIONS.length);
  });
});
