/**
 * One message to many kinds of receivers at once: whatever way its bytes take, through a shared frame, as they came, or
 * written anew, each receiver gets the message that it is owed. Random, seeded; `SEED` repeats one run (test/support/seeds.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { mulberry32, type Random } from '../support/disk.js';
import { Engine, type RawClient } from '../support/engine.js';
import { seeds } from '../support/seeds.js';

interface Receiver {
  readonly client: RawClient;
  readonly version: 4 | 5;
  readonly qos: 0 | 1 | 2;
  readonly identifier: number;
  readonly retainAsPublished: boolean;
  /** Topic by Topic Alias. */
  readonly aliases: Map<number, string>;
  readonly maximumPacketSize: number;
}

async function receiver(engine: Engine, random: Random, index: number): Promise<Receiver> {
  const version = random(3) === 0 ? 4 : 5;
  const maximumPacketSize = random(4) === 0 ? 100 + random(400) : 0;
  const kept = random(3) === 0;
  const client = await engine.connect({
    clientId: `r${index}`,
    protocolVersion: version,
    clean: !kept,
    properties: {
      topicAliasMaximum: random(3) === 0 ? 1 + random(3) : 0,
      sessionExpiryInterval: kept ? 100 : 0,
      ...(maximumPacketSize > 0 ? { maximumPacketSize } : {}),
    },
  });
  const qos = random(3) as 0 | 1 | 2;
  const identifier = version === 5 && random(2) === 0 ? 1 + random(300) : 0;
  const retainAsPublished = version === 5 && random(2) === 0;
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [{ topic: 't/#', qos, ...(version === 5 ? { rap: retainAsPublished } : {}) }],
    ...(identifier > 0 ? { properties: { subscriptionIdentifier: identifier } } : {}),
  });
  await client.expect('suback');
  const limit = version === 5 && maximumPacketSize > 0 ? maximumPacketSize : Number.POSITIVE_INFINITY;
  return { client, version, qos, identifier, retainAsPublished, aliases: new Map(), maximumPacketSize: limit };
}

/** Properties that a message keeps on its way. */
function forwarded(random: Random): NonNullable<IPublishPacket['properties']> {
  const some = <Value>(value: Value): Value | undefined => (random(2) === 0 ? value : undefined);
  const all = {
    payloadFormatIndicator: some(true),
    messageExpiryInterval: some(1 + random(1000)),
    contentType: some('text/plain'),
    responseTopic: some(`answer/${random(10)}`),
    correlationData: some(Buffer.alloc(random(40), random(256))),
    userProperties: some({ name: 'x'.repeat(random(200)) }),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** What has come, with the topic that an alias stands for, and answered. */
async function taken({ client, aliases }: Receiver): Promise<IPublishPacket[]> {
  const packets: IPublishPacket[] = [];
  for (;;) {
    const more = await client.drain();
    if (more.length === 0) return packets;
    for (const packet of more) {
      const messageId = packet.messageId as number;
      if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId });
      if (packet.cmd !== 'publish') continue;
      if (packet.qos > 0) client.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId });
      const { topicAlias, ...properties } = packet.properties ?? {};
      const topic = packet.topic === '' ? aliases.get(topicAlias ?? 0) : packet.topic;
      assert.ok(topic !== undefined);
      if (topicAlias !== undefined) aliases.set(topicAlias, topic);
      packets.push({ ...packet, topic, properties });
    }
  }
}

async function rounds(seed: number): Promise<void> {
  const random = mulberry32(seed);
  const session = { queueMemory: 1 + random(500) };
  const options = random(3) === 0 ? { authorizeForward: (_client: unknown, packet: unknown) => packet } : {};
  const engine = await Engine.create({ session, ...(options as object) });
  const receivers: Receiver[] = [];
  for (let i = 1 + random(4); i > 0; i--) receivers.push(await receiver(engine, random, i));
  const publishers: [4 | 5, RawClient][] = [
    [4, await engine.connect({ clientId: 'p4' })],
    [5, await engine.connect({ clientId: 'p5', protocolVersion: 5 })],
  ];
  const told = new Map<number, string>();
  for (let round = 0; round < 40; round++) {
    const sent: { packet: IPublishPacket; properties: object }[] = [];
    const [version, publisher] = publishers[random(2)];
    for (let i = 1 + random(3); i > 0; i--) {
      const topic = `t/${'x'.repeat(random(2) === 0 ? random(5) : random(150))}`;
      const properties = version === 5 ? forwarded(random) : {};
      const payload = Buffer.alloc(random(2) === 0 ? random(30) : random(400), random(256));
      const qos = random(3) as 0 | 1 | 2;
      const retain = random(3) === 0;
      const packet: IPublishPacket = { cmd: 'publish', topic, payload, qos, retain, dup: false };
      if (qos > 0) packet.messageId = i;
      sent.push({ packet, properties });
      const alias = version === 5 && random(3) === 0 ? 1 + random(3) : 0;
      if (alias === 0) publisher.send(version === 5 ? { ...packet, properties } : packet);
      else {
        const known = told.get(alias) === topic || (random(3) === 0 && told.has(alias));
        const actual = known ? (told.get(alias) as string) : topic;
        told.set(alias, actual);
        packet.topic = actual;
        const out = { ...packet, topic: known ? '' : actual, properties: { ...properties, topicAlias: alias } };
        publisher.send(out);
      }
    }
    await publisher.drain();
    for (let i = 1; i < 4; i++) publisher.send({ cmd: 'pubrel', messageId: i });
    await publisher.drain();
    await engine.broker.commit.settled();
    for (const each of receivers) compare(await taken(each), sent, each);
  }
  await engine.stop();
}

function compare(
  got: readonly IPublishPacket[],
  sent: readonly { packet: IPublishPacket; properties: object }[],
  { version, qos, identifier, retainAsPublished, maximumPacketSize }: Receiver,
): void {
  // QoS 2, and what is queued, may be later than what is sent at once; a topic alone is not unique.
  const shape = (packet: IPublishPacket, properties: object): string =>
    JSON.stringify([
      packet.topic,
      (packet.payload as Buffer).toString('hex'),
      packet.qos,
      packet.retain,
      Object.entries(properties)
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .sort(),
    ]);
  const expected = sent.map(({ packet, properties }) =>
    shape(
      { ...packet, qos: Math.min(packet.qos, qos) as 0 | 1 | 2, retain: packet.retain && retainAsPublished },
      version === 4 ? {} : { ...properties, ...(identifier > 0 ? { subscriptionIdentifier: identifier } : {}) },
    ),
  );
  const arrived = got.map((packet) => shape(packet, packet.properties ?? {}));
  for (const packet of got) assert.ok((packet.length ?? 0) + 2 <= maximumPacketSize);
  for (const each of arrived) assert.ok(expected.includes(each), `${each}\nis none of\n${expected.join('\n')}`);
  if (maximumPacketSize === Number.POSITIVE_INFINITY) assert.deepEqual([...arrived].sort(), [...expected].sort());
}

const RUNS = 20;

for (const seed of seeds(RUNS)) {
  test(`each receiver gets the message in the form that it is owed (seed ${seed})`, () => rounds(seed));
}
