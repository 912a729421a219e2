/** Mount points: clients of a listener live in a branch of the topics that they do not see. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { IConnectPacket, IPublishPacket } from 'mqtt-packet';
import { publish, Subscriber } from '../interop/mosquitto.js';
import { connectRaw, type RawClient } from '../interop/raw.js';
import { mulberry32 } from '../support/disk.js';
import { temporaryFolder } from '../support/portico.js';
import { seeds } from '../support/seeds.js';
import { Served } from './served.js';

const TCP = { type: 'mqtt', host: '127.0.0.1', port: 0 };
const MOUNTED = { ...TCP, mount_point: 'site/7/' };

let plain: number;
let mounted: number;
let served: Served;

before(async () => {
  served = await Served.start([TCP, MOUNTED]);
  [plain, mounted] = await served.ports(2);
});

let clients = 0;

function connect(port: number, version: 4 | 5, options: Partial<IConnectPacket> = {}): ReturnType<typeof connectRaw> {
  const properties = version === 5 ? { properties: { topicAliasMaximum: 10, ...options.properties } } : {};
  return connectRaw(port, { clientId: `m${++clients}`, protocolVersion: version, ...options, ...properties });
}

/** The next message, which may be acknowledged. */
async function message(client: RawClient): Promise<IPublishPacket> {
  const packet = await client.expect('publish');
  if (packet.qos === 1) client.send({ cmd: 'puback', messageId: packet.messageId ?? 0 });
  return packet;
}

for (const version of [4, 5] as const) {
  for (const qos of [0, 1] as const) {
    test(`MQTT ${version}, QoS ${qos}: what goes in gets the prefix, what goes out loses it`, async () => {
      const outside = await connect(plain, version);
      const inside = await connect(mounted, version);
      await outside.subscribe('site/7/#', qos);
      await inside.subscribe('#', qos);
      const payload = Buffer.from('a message');
      inside.send({ cmd: 'publish', topic: 'a/b', payload, qos, messageId: 7, dup: false, retain: false });
      if (qos === 1) await inside.packets.take((packet) => packet.cmd === 'puback', 'PUBACK');
      assert.deepEqual([(await message(outside)).topic, (await message(inside)).topic], ['site/7/a/b', 'a/b']);
      // Nothing outside is seen, nor the level above.
      for (const topic of ['site/8/x', 'a/b', 'site/7', '$SYS/x', 'site/7/back']) {
        outside.send({ cmd: 'publish', topic, payload: Buffer.from('back'), qos: 0, dup: false, retain: false });
      }
      const seen = await message(inside);
      assert.deepEqual([seen.topic, seen.payload.toString()], ['back', 'back']);
    });
  }
}

test('properties, Topic Aliases both ways and Subscription Identifiers are as without a mount point', async () => {
  const outside = await connect(plain, 5);
  const inside = await connect(mounted, 5);
  await outside.subscribe('site/7/p', 1);
  inside.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [{ topic: 'p', qos: 0 }],
    properties: { subscriptionIdentifier: 9 },
  });
  await inside.expect('suback');
  const properties = { contentType: 'text', userProperties: { a: 'b' }, messageExpiryInterval: 100, topicAlias: 3 };
  const sent = { cmd: 'publish', payload: Buffer.from('x'), qos: 0, dup: false, retain: false } as const;
  inside.send({ ...sent, topic: 'p', properties });
  inside.send({ ...sent, topic: '', properties: { topicAlias: 3 } });
  const first = await message(outside);
  assert.deepEqual(
    [
      first.topic,
      first.properties?.contentType,
      { ...first.properties?.userProperties },
      first.properties?.messageExpiryInterval,
    ],
    ['site/7/p', 'text', { a: 'b' }, 100],
  );
  const second = await message(outside);
  assert.equal(second.topic, '', 'the broker has told an alias for the full topic');
  assert.equal(second.properties?.topicAlias, first.properties?.topicAlias);
  for (const topic of ['p', '']) {
    const { topic: told, properties: with_ } = await message(inside);
    assert.equal(told, topic);
    assert.deepEqual([with_?.subscriptionIdentifier, typeof with_?.topicAlias], [9, 'number']);
  }
});

test('retained messages, also those of before', async () => {
  await publish(plain, 'mqttv5', ['-r', '-q', '1', '-t', 'site/7/r/1', '-m', 'from outside']);
  await publish(mounted, 'mqttv311', ['-r', '-q', '1', '-t', 'r/2', '-m', 'from inside']);
  const inside = await Subscriber.start(mounted, 'mqttv5', ['-q', '1', '-t', 'r/#']);
  assert.deepEqual(
    [await inside.next(), await inside.next()].map(({ topic, payload, retain }) => [topic, payload, retain]).sort(),
    [
      ['r/1', 'from outside', true],
      ['r/2', 'from inside', true],
    ],
  );
  await inside.end();
  const outside = await Subscriber.start(plain, 'mqttv5', ['-q', '1', '-t', 'site/+/r/2']);
  assert.equal((await outside.next()).topic, 'site/7/r/2');
  await outside.end();
});

test('wills', async () => {
  const outside = await connect(plain, 4);
  await outside.subscribe('site/7/will', 1);
  const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: false } as const;
  (await connect(mounted, 4, { will })).cut();
  assert.equal((await message(outside)).topic, 'site/7/will');
  await assert.rejects(connect(mounted, 4, { will: { ...will, topic: 'will/#' } }), /the connection is closed/);
});

test('shared subscriptions are shared in the branch, by those of both listeners', async () => {
  const inside = await connect(mounted, 5);
  const outside = await connect(plain, 5);
  await inside.subscribe('$share/g/jobs/+', 0);
  const publisher = await connect(plain, 5);
  publisher.send({ cmd: 'publish', topic: 'site/7/jobs/1', payload: '1', qos: 0, dup: false, retain: false });
  assert.equal((await message(inside)).topic, 'jobs/1');
  await outside.subscribe('$share/g/site/7/jobs/+', 0);
  for (const n of [2, 3]) {
    publisher.send({ cmd: 'publish', topic: `site/7/jobs/${n}`, payload: '', qos: 0, dup: false, retain: false });
  }
  const topics = [(await message(inside)).topic, (await message(outside)).topic].sort();
  assert.ok(/^jobs\/[23]$/.test(topics[0]) && /^site\/7\/jobs\/[23]$/.test(topics[1]), topics.join());
});

test('UNSUBSCRIBE takes the filter that SUBSCRIBE gave', async () => {
  const inside = await connect(mounted, 5);
  for (const filter of ['u/+', '$share/g/u/+']) {
    await inside.subscribe(filter, 1);
    for (const code of [0, 0x11]) {
      inside.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: [filter] });
      assert.deepEqual((await inside.expect('unsuback')).granted, [code], filter);
    }
  }
});

test('a session that is kept gets what waited, with the topics of the listener by which it comes back', async () => {
  const options = { clientId: 'kept', clean: false } as const;
  const inside = await connect(mounted, 4, options);
  await inside.subscribe('q', 1);
  inside.cut();
  await inside.closed;
  for (const n of [1, 2]) await publish(plain, 'mqttv311', ['-q', '1', '-t', 'site/7/q', '-m', String(n)]);
  const back = await connect(mounted, 4, options);
  assert.equal(back.connack.sessionPresent, true);
  for (const n of ['1', '2']) {
    const { topic, payload } = await message(back);
    assert.deepEqual([topic, payload.toString()], ['q', n]);
  }
  // The same session by the other listener: its subscription is that of the branch.
  const other = await connect(plain, 4, options);
  await publish(plain, 'mqttv311', ['-q', '1', '-t', 'site/7/q', '-m', '3']);
  assert.equal((await message(other)).topic, 'site/7/q');
  await other.subscribe('elsewhere', 1);
  // And what it has subscribed to there has no name in the branch: it is counted, and not sent.
  const again = await connect(mounted, 4, options);
  const { deniedReceive } = served.counters;
  await publish(plain, 'mqttv311', ['-q', '1', '-t', 'elsewhere', '-m', '4']);
  await publish(plain, 'mqttv311', ['-q', '1', '-t', 'site/7/q', '-m', '5']);
  const { topic, payload } = await message(again);
  assert.deepEqual([topic, payload.toString()], ['q', '5']);
  assert.equal(served.counters.deniedReceive, deniedReceive + 1);
});

test('what is malformed stays malformed', async () => {
  for (const filter of ['', 'a#', 'a+', '#/a', '$share/g/', '$share/g', '$share//a', '$share/+/a']) {
    const client = await connect(mounted, 5);
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] });
    const answer = await client.next();
    assert.equal(answer.cmd, 'disconnect', filter);
  }
  const codes: [topic: string, code: number][] = [
    ['a/#', 0x81],
    ['+', 0x81],
    // Well-formed, but not with the mount point before it.
    ['x'.repeat(65_530), 0x90],
  ];
  for (const [topic, code] of codes) {
    const client = await connect(mounted, 5);
    client.send({ cmd: 'publish', topic, payload: '', qos: 0, dup: false, retain: false });
    assert.equal((await client.expect('disconnect')).reasonCode, code, topic.slice(0, 9));
  }
  const client = await connect(mounted, 5);
  // PUBLISH with an empty topic and no alias.
  client.sendBytes(Buffer.from([0x30, 3, 0, 0, 0]));
  assert.equal((await client.expect('disconnect')).reasonCode, 0x82);
});

test('an access control list has the full topics', async () => {
  const file = join(temporaryFolder(), 'acl');
  writeFileSync(file, 'topic readwrite site/7/open/#\n');
  const guarded = await Served.start([MOUNTED], { access: { acl_file: file } });
  const [port] = await guarded.ports(1);
  const client = await connect(port, 5);
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [
      { topic: 'open/#', qos: 1 },
      { topic: 'closed/#', qos: 1 },
      { topic: 'site/7/open/#', qos: 1 },
    ],
  });
  assert.deepEqual((await client.expect('suback')).granted, [1, 0x87, 0x87]);
  for (const [topic, code] of [
    ['open/a', 0],
    ['closed/a', 0x87],
  ] as const) {
    client.send({ cmd: 'publish', topic, payload: '', qos: 1, messageId: 2, dup: false, retain: false });
    const puback = await client.packets.take((packet) => packet.cmd === 'puback', 'PUBACK');
    assert.equal(puback.cmd === 'puback' && puback.reasonCode, code);
  }
  assert.equal((await message(client)).topic, 'open/a');
});

for (const seed of seeds(3)) {
  test(`random traffic through a mount point is the same as with the prefix in each topic (seed ${seed})`, async () => {
    const random = mulberry32(seed);
    const pick = <T>(list: readonly T[]): T => list[random(list.length)];
    const watcher = await connect(plain, 5, { properties: { topicAliasMaximum: 0 } });
    const root = `r${seed}`;
    await watcher.subscribe(`site/7/${root}/#`, 0);
    const inside = await connect(mounted, 5);
    const expected: string[] = [];
    for (let i = 0; i < 200; i++) {
      const topic = `${root}/${pick(['a', 'b/c', 'é', 'x'.repeat(300)])}`;
      const payload = Buffer.alloc(pick([0, 1, 200, 70_000]), i);
      const properties = pick([
        {},
        { contentType: 'c' },
        { userProperties: { n: String(i) } },
        { messageExpiryInterval: 9 },
      ]);
      inside.send({
        cmd: 'publish',
        topic,
        payload,
        qos: pick([0, 1]),
        messageId: i + 1,
        dup: false,
        retain: false,
        properties,
      });
      expected.push(`site/7/${topic} ${payload.length} ${payload.at(0) ?? ''} ${JSON.stringify(properties)}`);
    }
    for (const one of expected) {
      const { topic, payload, properties = {} } = await watcher.expect('publish');
      const bytes = Buffer.from(payload);
      const { subscriptionIdentifier: _, ...rest } = properties;
      assert.equal(`${topic} ${bytes.length} ${bytes.at(0) ?? ''} ${JSON.stringify(rest)}`, one);
    }
  });
}
