/** What the broker does while its store cannot write: docs/durability.md, "When the store fails". */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import type { IConnackPacket, IConnectPacket, Packet } from 'mqtt-packet';
import type { BrokerOptions } from '../../src/broker.js';
import type { Party } from '../../src/session/journal.js';
import type { Outage } from '../../src/store/commit.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine, type RawClient } from '../support/engine.js';

const KEPT = { clean: false, properties: { sessionExpiryInterval: 0xffffffff } } as const;
const FULL = new Error('IO error: No space left on device');
const UNWRITABLE = 'the store cannot be written now';
const KIB = 1024;

class Scene {
  readonly store = new GatedStore();
  readonly limits: string[] = [];
  readonly failures: unknown[] = [];
  readonly silences: number[] = [];
  readonly outages: Outage[] = [];
  #recovered: (() => void) | null = null;
  engine!: Engine;

  /** A broker with a kept session `absent`, which is subscribed to `data/#` and not connected. */
  static async create(options: BrokerOptions = {}): Promise<Scene> {
    const scene = new Scene();
    const ignore = (): void => {};
    scene.engine = await Engine.create({
      store: scene.store,
      journal: {
        connected: ignore,
        disconnected: ignore,
        refused: ignore,
        loginFailed: ignore,
        denied: ignore,
        subscribed: ignore,
        unsubscribed: ignore,
        limit: (_: Party | null, option: string) => scene.limits.push(option),
        storeFailed: (error) => scene.failures.push(error),
        internalFault: (error) => scene.failures.push(error),
        storeSilent: (seconds) => scene.silences.push(seconds),
        storeDamaged() {},
        storeTorn() {},
        syncFailed() {},
        syncRecovered() {},
        storeRecovered: (outage) => {
          scene.outages.push(outage);
          scene.#recovered?.();
        },
      },
      ...options,
      commit: { sync: 'always', syncInterval: 1000, retryDelay: 1, ...options.commit },
    });
    const absent = await scene.engine.connect({ clientId: 'absent', protocolVersion: 5, ...KEPT });
    await absent.subscribe('data/#', 2);
    await scene.engine.cut(absent);
    await scene.engine.broker.commit.settled();
    return scene;
  }

  get counters(): Engine['broker']['counters'] {
    return this.engine.broker.counters;
  }

  get load(): Engine['broker']['commit']['load'] {
    return this.engine.broker.commit.load;
  }

  connect(clientId: string, options: Partial<IConnectPacket> = {}): Promise<RawClient & { connack: IConnackPacket }> {
    return this.engine.connect({ clientId, protocolVersion: 5, ...options });
  }

  /** The disk is full; something of the broker's own has found out. */
  async fill(): Promise<void> {
    this.store.broken = FULL;
    this.engine.broker.commit.add({ type: 'put', key: Buffer.from([0x7f]), value: Buffer.from('x') });
    await this.failed();
  }

  /** Resolves when the broker has found out that the store fails. */
  async failed(): Promise<void> {
    while (!this.engine.broker.commit.failing) await new Promise((resolve) => setImmediate(resolve));
  }

  /** There is room again. Resolves when the broker has found out. */
  async makeRoom(): Promise<void> {
    this.store.broken = null;
    await new Promise<void>((resolve) => {
      this.#recovered = resolve;
    });
    await this.engine.broker.commit.settled();
  }

  /** What a broker has that starts now on the same disk: payloads that wait for `absent`. */
  async found(): Promise<string[]> {
    const next = await Engine.create({ store: this.store.afterCrash() });
    const absent = await next.connect({ clientId: 'absent', protocolVersion: 5, ...KEPT });
    const found: string[] = [];
    const session = next.broker.sessions.get('absent');
    // A QoS 1 message is done when it is acknowledged, a QoS 2 message with PUBCOMP.
    for (let left = (session?.outbound.waiting ?? 0) + (session?.outbound.inFlight ?? 0); left > 0; ) {
      const packet = await absent.next();
      const messageId = packet.messageId as number;
      if (packet.cmd === 'publish') {
        found.push(packet.payload.toString());
        absent.send({ cmd: packet.qos === 2 ? 'pubrec' : 'puback', messageId });
        if (packet.qos === 1) left--;
      } else if (packet.cmd === 'pubrel') {
        absent.send({ cmd: 'pubcomp', messageId });
        left--;
      }
    }
    await next.stop();
    return found;
  }
}

/** The next packets, by kind and identifier. */
async function take(client: RawClient, count: number): Promise<string[]> {
  const taken: string[] = [];
  for (let i = 0; i < count; i++) {
    const packet: Packet = await client.next();
    taken.push(`${packet.cmd} ${packet.messageId ?? ''}`.trim());
  }
  return taken;
}

describe('a PUBLISH that needs the store while it fails', () => {
  for (const qos of [1, 2] as const) {
    test(`QoS ${qos} of an MQTT 5.0 client is refused with 0x97, and nobody gets it`, async () => {
      const scene = await Scene.create();
      const live = await scene.connect('live');
      await live.subscribe('data/#', 2);
      const publisher = await scene.connect('publisher');
      await scene.fill();
      publisher.publish('data/1', 'refused', { qos, messageId: 5 });
      const answer = await publisher.expect(qos === 1 ? 'puback' : 'pubrec');
      assert.deepEqual([answer.reasonCode, answer.messageId], [0x97, 5]);
      assert.equal(answer.properties?.reasonString, UNWRITABLE);
      assert.deepEqual(await live.drain(), []);
      assert.equal(scene.counters.refusedPublish, 1);
      assert.ok(scene.limits.includes('store failing'));
      await scene.makeRoom();
      assert.deepEqual(
        scene.outages.map(({ refused }) => refused),
        [1],
      );
      // The identifier is free again.
      publisher.publish('data/1', 'again', { qos, messageId: 5 });
      assert.equal((await publisher.expect(qos === 1 ? 'puback' : 'pubrec')).reasonCode ?? 0, 0);
      assert.deepEqual(await scene.found(), ['again']);
      await scene.engine.stop();
    });
  }

  test('a client that wants no Reason String gets none, and refusals do not count for Receive Maximum', async () => {
    const scene = await Scene.create({ session: { receiveMaximum: 3 } });
    const publisher = await scene.connect('publisher', { properties: { requestProblemInformation: false } });
    await scene.fill();
    for (let messageId = 1; messageId <= 10; messageId++) publisher.publish('data/1', 'x', { qos: 2, messageId });
    for (let messageId = 1; messageId <= 10; messageId++) {
      const { reasonCode, properties } = await publisher.expect('pubrec');
      assert.deepEqual([reasonCode, properties?.reasonString], [0x97, undefined]);
    }
    await scene.makeRoom();
    await scene.engine.stop();
  });

  test('a retained message is refused, and the former one stays', async () => {
    const scene = await Scene.create();
    const publisher = await scene.connect('publisher');
    publisher.publish('r', 'former', { qos: 1, retain: true, messageId: 1 });
    await publisher.expect('puback');
    await scene.fill();
    for (const payload of ['later', '']) {
      publisher.publish('r', payload, { qos: 1, retain: true, messageId: 2 });
      assert.equal((await publisher.expect('puback')).reasonCode, 0x97);
    }
    assert.equal(scene.engine.broker.router.retained.get('r')?.payload.toString(), 'former');
    await scene.makeRoom();
    await scene.engine.stop();
  });

  test('before MQTT 5.0 it is taken, and acknowledged in order once the store works', async () => {
    const scene = await Scene.create();
    const publisher = await scene.connect('publisher', { protocolVersion: 4 });
    await scene.fill();
    for (const messageId of [3, 1, 2]) publisher.publish('data/1', `${messageId}`, { qos: 1, messageId });
    assert.deepEqual(await publisher.drain(), [], 'no acknowledgement, and PINGREQ is answered');
    const recovered = scene.makeRoom();
    assert.deepEqual(await take(publisher, 3), ['puback 3', 'puback 1', 'puback 2']);
    await recovered;
    assert.deepEqual(await scene.found(), ['3', '1', '2']);
    await scene.engine.stop();
  });

  test('what was taken before the failure was known is acknowledged once it is written; refusals do not wait for it', async () => {
    const scene = await Scene.create();
    const publisher = await scene.connect('publisher');
    scene.store.broken = FULL;
    publisher.publish('data/1', 'first', { qos: 1, messageId: 1 });
    await scene.failed();
    publisher.publish('data/1', 'second', { qos: 1, messageId: 2 });
    const refusal = await publisher.expect('puback');
    assert.deepEqual([refusal.messageId, refusal.reasonCode], [2, 0x97]);
    const recovered = scene.makeRoom();
    assert.equal((await publisher.expect('puback')).messageId, 1);
    await recovered;
    assert.deepEqual(await scene.found(), ['first']);
    await scene.engine.stop();
  });

  test('one by a shared subscription with a kept member is refused', async () => {
    const scene = await Scene.create();
    const kept = await scene.connect('kept', KEPT);
    await kept.subscribe('$share/g/jobs', 1);
    const other = await scene.connect('other');
    await other.subscribe('$share/g/jobs', 1);
    await scene.fill();
    other.publish('jobs', 'x', { qos: 1, messageId: 1 });
    assert.equal((await other.expect('puback')).reasonCode, 0x97);
    await scene.makeRoom();
    await scene.engine.stop();
  });

  test('one that authorizePublish has redirected is judged by where it goes', async () => {
    const scene = await Scene.create({
      authorizePublish: (_client, packet, done) => {
        packet.topic = packet.topic === 'out' ? 'data/1' : 'free';
        setImmediate(done, null);
      },
    });
    const publisher = await scene.connect('publisher');
    await scene.fill();
    publisher.publish('out', 'x', { qos: 1, messageId: 1 });
    assert.equal((await publisher.expect('puback')).reasonCode, 0x97);
    publisher.publish('in', 'x', { qos: 1, messageId: 2 });
    assert.equal((await publisher.expect('puback')).reasonCode, 0x10);
    await scene.makeRoom();
    await scene.engine.stop();
  });
});

describe('what needs no store goes on while it fails', () => {
  test('QoS 1 and 2 between clients whose sessions are not kept, also behind what waits', async () => {
    const scene = await Scene.create();
    for (const protocolVersion of [4, 5] as const) {
      const client = await scene.connect(`client${protocolVersion}`, { protocolVersion });
      await client.subscribe(`free${protocolVersion}`, 2);
      await (scene.load.failing ? undefined : scene.fill());
      if (protocolVersion === 4) client.publish('data/1', 'waits', { qos: 1, messageId: 1 });
      client.publish(`free${protocolVersion}`, 'x', { qos: 2, messageId: 2 });
      assert.deepEqual((await take(client, 2)).sort(), ['publish 1', 'pubrec 2']);
      client.send({ cmd: 'pubrel', messageId: 2 });
      assert.deepEqual(await take(client, 1), ['pubcomp 2']);
      client.publish(`free${protocolVersion}`, 'x', { qos: 1, messageId: 3 });
      assert.deepEqual((await take(client, 2)).sort(), ['puback 3', 'publish 2']);
    }
    await scene.makeRoom();
    await scene.engine.stop();
  });

  test('CONNECT, SUBSCRIBE and UNSUBSCRIBE of sessions that are not kept, and takeover of them', async () => {
    const scene = await Scene.create();
    await scene.fill();
    const first = await scene.connect('c');
    await first.subscribe('data/1', 1);
    first.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['data/1', 'none'] });
    assert.deepEqual((await first.expect('unsuback')).granted, [0, 0x11]);
    const second = await scene.connect('c');
    assert.equal(second.connack.reasonCode, 0);
    assert.equal((await first.expect('disconnect')).reasonCode, 0x8e);
    await scene.makeRoom();
    await scene.engine.stop();
  });

  test('a will: its client is accepted, and it is kept once the store works', async () => {
    const scene = await Scene.create();
    await scene.fill();
    const will = { topic: 'data/will', payload: Buffer.from('gone'), qos: 1, retain: false } as const;
    const client = await scene.connect('c', { will });
    assert.equal(client.connack.reasonCode, 0);
    assert.ok(scene.limits.includes('store failing'));
    await scene.makeRoom();
    assert.deepEqual(await scene.found(), ['gone'], 'the broker has died with the client connected');
    await scene.engine.stop();
  });

  test('retained QoS 0 messages are delivered and known at once, without holding up their client, and written later', async () => {
    const scene = await Scene.create({ session: { receiveMaximum: 2 } });
    const client = await scene.connect('c');
    await client.subscribe('r/#', 0);
    await scene.fill();
    for (let i = 0; i < 20; i++) client.publish(`r/${i % 4}`, `${i}`, { retain: true });
    assert.equal((await client.drain()).length, 20);
    assert.equal(scene.engine.broker.router.retained.get('r/3')?.payload.toString(), '19');
    await scene.makeRoom();
    const next = await Engine.create({ store: scene.store.afterCrash() });
    assert.equal(next.broker.router.retained.get('r/3')?.payload.toString(), '19');
    await next.stop();
    await scene.engine.stop();
  });
});

describe('what would have to be kept is refused while the store fails', () => {
  for (const [protocolVersion, suback, connack] of [
    [3, 0x80, 3],
    [4, 0x80, 3],
    [5, 0x97, 0x97],
  ] as const) {
    test(`SUBSCRIBE and CONNECT of a kept session, protocol version ${protocolVersion}`, async () => {
      const scene = await Scene.create();
      const kept = await scene.connect('kept', { protocolVersion, ...KEPT });
      await kept.subscribe('before', 1);
      await scene.fill();
      kept.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'later', qos: 1 }] });
      assert.deepEqual((await kept.expect('suback')).granted, [suback]);
      // A takeover would change the session: it stays with the connection that it has.
      for (const options of [KEPT, { clean: true }]) {
        const other = await scene.connect('kept', { protocolVersion, ...options });
        assert.equal(protocolVersion === 5 ? other.connack.reasonCode : other.connack.returnCode, connack);
        await other.end();
      }
      assert.deepEqual(await kept.drain(), []);
      assert.equal(scene.engine.broker.sessions.get('kept')?.subscriptions.has('later'), false);
      assert.deepEqual([scene.counters.refusedSubscribe, scene.counters.refusedConnect], [1, 2]);
      await scene.makeRoom();
      await kept.subscribe('later', 1);
      const other = await scene.connect('kept', { protocolVersion, ...KEPT });
      assert.equal(other.connack.sessionPresent, protocolVersion > 3);
      await scene.engine.stop();
    });
  }

  test('UNSUBSCRIBE: MQTT 5.0 is told 0x83 and the subscription stays; before, UNSUBACK waits', async () => {
    const scene = await Scene.create();
    const told = await scene.connect('told', KEPT);
    await told.subscribe('a', 1);
    const waits = await scene.connect('waits', { protocolVersion: 4, clean: false });
    await waits.subscribe('a', 1);
    await scene.fill();
    told.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['a', 'b'] });
    assert.deepEqual((await told.expect('unsuback')).granted, [0x83, 0x11]);
    waits.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['a'] });
    assert.deepEqual(await waits.drain(), []);
    const recovered = scene.makeRoom();
    await waits.expect('unsuback');
    await recovered;
    const next = await Engine.create({ store: scene.store.afterCrash() });
    assert.deepEqual([...(next.broker.sessions.get('told')?.subscriptions.keys() ?? [])], ['a']);
    assert.deepEqual([...(next.broker.sessions.get('waits')?.subscriptions.keys() ?? [])], []);
    await next.stop();
    await scene.engine.stop();
  });

  test('publications from inside the process: 0x88, or an error', async () => {
    const scene = await Scene.create();
    const client = scene.engine.broker.openClient({ id: 'coap', remote: 'local', transport: 'coap' });
    const outcomes: number[] = [];
    const outcome = { acknowledge: (_type: number, _id: number, code: number) => outcomes.push(code) };
    await scene.fill();
    const payload = Buffer.from('x');
    client.publish('r', payload, { retain: true }, outcome);
    client.publish('data/1', payload, { qos: 1 }, outcome);
    client.publish('data/1', payload, { qos: 0 }, outcome);
    assert.deepEqual(outcomes, [0x88, 0x88, 0]);
    const { broker } = scene.engine;
    await assert.rejects(
      new Promise<void>((resolve, reject) => {
        broker.publish({ topic: 'data/1', payload, qos: 1 }, (error) => (error ? reject(error) : resolve()));
      }),
      { code: 'PORTICO_STORE_COMMIT' },
    );
    assert.equal(scene.counters.refusedPublish, 3);
    await scene.makeRoom();
    assert.deepEqual(await scene.found(), []);
    await scene.engine.stop();
  });
});

describe('what waits for the store is bounded (store.unwritten_bytes)', () => {
  const LIMIT = 256 * KIB;

  test('publishers that cannot be told are not read beyond it, are not timed out, and lose nothing', async () => {
    const scene = await Scene.create({ commit: { sync: 'always', syncInterval: 1000, unwrittenBytes: LIMIT } });
    const from = await scene.connect('from');
    await from.subscribe('live', 0);
    await scene.fill();
    const clients: RawClient[] = [];
    const COUNT = 40;
    for (let i = 0; i < 20; i++) {
      const client = await scene.connect(`old${i}`, { protocolVersion: 4, keepalive: 10 });
      clients.push(client);
      for (let n = 1; n <= COUNT; n++) {
        client.publish('data/1', `${i} ${n}`.padEnd(4 * KIB), { qos: n % 2 === 0 ? 1 : 2, messageId: n });
      }
      from.publish('live', 'x');
      await from.expect('publish');
    }
    assert.ok(scene.load.crowded);
    assert.ok(scene.limits.includes('store.unwritten_bytes'));
    assert.ok(scene.load.bytes < LIMIT + 8 * KIB, `${scene.load.bytes} bytes wait`);
    const held = [...scene.engine.broker.connections].filter(({ intake }) => !intake.reading);
    assert.ok(held.length >= 19, `${held.length} are not read`);
    scene.engine.pass(1000);
    assert.equal(scene.counters.keepAliveTimeouts, 0);
    const recovered = scene.makeRoom();
    for (const [i, client] of clients.entries()) {
      const expected = Array.from({ length: COUNT }, (_, at) => `${at % 2 === 0 ? 'pubrec' : 'puback'} ${at + 1}`);
      assert.deepEqual(await take(client, COUNT), expected, `client ${i}`);
    }
    await recovered;
    await scene.engine.broker.commit.settled();
    assert.equal(scene.load.bytes, 0);
    assert.equal((await scene.found()).length, 20 * COUNT);
    await scene.engine.stop();
  });

  test('a flood of everything that needs the store, of many clients that come and go, stays within it', async () => {
    const scene = await Scene.create({ commit: { sync: 'always', syncInterval: 1000, unwrittenBytes: LIMIT } });
    await scene.fill();
    for (let i = 0; i < 200; i++) {
      const protocolVersion = i % 2 === 0 ? 5 : 4;
      const will = { topic: 'data/will', payload: Buffer.alloc(8 * KIB), qos: 1, retain: true } as const;
      const client = scene.engine.open(protocolVersion);
      const connect = { cmd: 'connect', protocolId: 'MQTT', protocolVersion, keepalive: 0, clientId: `c${i}` } as const;
      client.send({ ...connect, clean: true, ...(i % 4 < 2 ? { will } : null) });
      const { reasonCode, returnCode } = await client.expect('connack');
      if ((protocolVersion === 5 ? reasonCode : returnCode) !== 0) continue;
      for (let n = 1; n <= 10; n++) {
        client.publish(`r/${i}/${n}`, Buffer.alloc(2 * KIB), { retain: true });
        client.publish('data/1', Buffer.alloc(2 * KIB), { qos: 1, messageId: n });
      }
      client.sendBytes(Buffer.from('c000', 'hex'));
    }
    const { broker } = scene.engine;
    const { load } = broker.commit;
    assert.ok(load.crowded);
    assert.ok(load.bytes < LIMIT + 64 * KIB, `${load.bytes} bytes wait`);
    assert.ok(scene.counters.droppedUnwritten > 0, 'retained QoS 0 messages beyond it are counted');
    assert.ok(scene.counters.refusedPublish > 0);
    await scene.makeRoom();
    await scene.engine.stop();
  });

  test('retained messages that kept sessions are owed wait for room, also when their connections have ended', async () => {
    const scene = await Scene.create({ commit: { sync: 'always', syncInterval: 1000, unwrittenBytes: LIMIT } });
    const { broker } = scene.engine;
    const COUNT = 300;
    for (let i = 0; i < COUNT; i++) {
      broker.publish({ topic: `r/${i}`, payload: Buffer.alloc(4 * KIB), qos: 1, retain: true });
      if (i % 20 === 0) await broker.commit.settled();
    }
    await broker.commit.settled();
    const properties = { ...KEPT.properties, receiveMaximum: 1 };
    const gone = await scene.connect('gone', { ...KEPT, properties });
    await gone.subscribe('r/#', 1);
    await gone.expect('publish');
    await scene.fill();
    await scene.engine.cut(gone);
    while (!scene.load.crowded) await new Promise((resolve) => setImmediate(resolve));
    for (let turns = 0; turns < COUNT; turns++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(scene.load.bytes < LIMIT + 32 * KIB, `${scene.load.bytes} bytes wait`);
    await scene.makeRoom();
    // A stop writes what is still owed.
    await scene.engine.stop();
    const next = await Engine.create({ store: scene.store.afterCrash() });
    assert.equal(next.broker.sessions.get('gone')?.load, COUNT);
    await next.stop();
  });

  test('a store that is slow: a client is not read beyond an eighth of it, others go on', async () => {
    const scene = await Scene.create({ commit: { sync: 'always', syncInterval: 1000, unwrittenBytes: LIMIT } });
    const quick = await scene.connect('quick');
    await quick.subscribe('live', 0);
    scene.store.hold();
    const { length } = scene.store.writes;
    const flood = await scene.connect('flood');
    for (let n = 1; n <= 100; n++) flood.publish('data/1', Buffer.alloc(4 * KIB), { qos: 1, messageId: n });
    await scene.store.arrived(length + 1);
    for (let i = 0; i < 50; i++) {
      quick.publish('live', `${i}`);
      assert.equal((await quick.expect('publish')).payload.toString(), `${i}`);
    }
    assert.ok(scene.load.bytes < LIMIT / 8 + 16 * KIB, `${scene.load.bytes} bytes wait`);
    assert.equal(scene.load.ailing, false);
    // Another client has room still.
    const other = await scene.connect('other');
    other.publish('data/1', 'x', { qos: 1, messageId: 1 });
    scene.store.letGo();
    assert.equal((await take(flood, 100)).at(-1), 'puback 100');
    await other.expect('puback');
    await scene.engine.stop();
  });
});

describe('a store that does not answer', () => {
  test('is said not to after 5 s; publishers are refused, QoS 0 goes on, and it recovers', async () => {
    const scene = await Scene.create();
    const publisher = await scene.connect('publisher');
    await publisher.subscribe('live', 0);
    scene.store.hold();
    const { length } = scene.store.writes;
    publisher.publish('data/1', 'waits', { qos: 1, messageId: 1 });
    await scene.store.arrived(length + 1);
    // The clock jumps: the broker has looked only once for all that.
    scene.engine.pass(3600);
    for (let i = 0; i < 4; i++) scene.engine.pass(1);
    assert.deepEqual(scene.silences, []);
    for (let i = 0; i < 60; i++) scene.engine.pass(1);
    assert.deepEqual(scene.silences, [5], 'once');
    assert.equal(scene.load.ailing, true);
    publisher.publish('data/1', 'refused', { qos: 1, messageId: 2 });
    assert.equal((await publisher.expect('puback')).reasonCode, 0x97);
    publisher.publish('live', 'x');
    await publisher.expect('publish');
    scene.store.letGo();
    assert.equal((await publisher.expect('puback')).messageId, 1);
    assert.deepEqual([scene.load.ailing, scene.outages.length], [false, 1]);
    assert.deepEqual(await scene.found(), ['waits']);
    await scene.engine.stop();
  });

  test('a stop gives up on it', async () => {
    const scene = await Scene.create({ commit: { sync: 'always', syncInterval: 1000, closePatience: 1 } });
    const publisher = await scene.connect('publisher', { protocolVersion: 4 });
    scene.store.hold();
    const { length } = scene.store.writes;
    publisher.publish('data/1', 'lost', { qos: 1, messageId: 1 });
    await scene.store.arrived(length + 1);
    await assert.rejects(scene.engine.stop(), { code: 'PORTICO_STORE_COMMIT' });
    assert.equal(scene.engine.broker.commit.hanging, true);
    assert.deepEqual(await scene.found(), []);
  });
});

test('a CONNECT with a takeover that the failure overtakes is decided when the store works', async () => {
  const scene = await Scene.create();
  const former = await scene.connect('kept', KEPT);
  scene.store.broken = FULL;
  const other = scene.engine.open(5);
  const ended = once(scene.engine.broker, 'clientDisconnect');
  other.send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    keepalive: 0,
    clientId: 'kept',
    ...KEPT,
  });
  await ended;
  await former.end();
  await scene.failed();
  await scene.makeRoom();
  assert.deepEqual((await other.expect('connack')).sessionPresent, true);
  await scene.engine.stop();
});
