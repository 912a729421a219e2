/** What becomes of a shared subscription's messages when the session that was chosen for them ends: MQTT 5.0 4.8.2. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { IConnectPacket } from 'mqtt-packet';
import { Family, familyRange } from '../../src/store/keys.js';
import type { Store } from '../../src/store/store.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine, type RawClient } from '../support/engine.js';

const CLEAN = { protocolVersion: 5 } as const;
const KEPT = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 100 } } as const;
const KINDS = [
  ['a clean session', CLEAN],
  ['a kept session', KEPT],
] as const;

async function member(
  engine: Engine,
  clientId: string,
  qos: 1 | 2,
  options: Partial<IConnectPacket>,
): Promise<RawClient> {
  const client = await engine.connect({ clientId, ...options });
  await client.subscribe('$share/g/t', qos);
  return client;
}

function publish(engine: Engine, payloads: readonly string[], qos: 1 | 2, expiry?: number): void {
  const properties = expiry === undefined ? {} : { messageExpiryInterval: expiry };
  for (const payload of payloads) engine.broker.publish({ topic: 't', payload, qos, properties });
}

/** Ends a session: at once, or by its expiry. */
async function endSession(engine: Engine, client: RawClient): Promise<void> {
  await engine.cut(client);
  engine.pass(101);
  await engine.broker.commit.settled();
}

async function received(client: RawClient, count: number): Promise<string[]> {
  const payloads: string[] = [];
  while (payloads.length < count) payloads.push(String((await client.expect('publish')).payload));
  assert.deepEqual(await client.drain(), []);
  return payloads;
}

async function keys(store: Store, family: number): Promise<number> {
  let count = 0;
  for await (const _ of store.keys(familyRange(family))) count++;
  return count;
}

for (const [kind, options] of KINDS) {
  test(`${kind}: what is unacknowledged or waiting at its end goes to another member, in order`, async () => {
    const store = new GatedStore();
    const engine = await Engine.create({ store });
    const leaving = await member(engine, 'leaving', 1, {
      ...options,
      properties: { ...KEPT.properties, ...(options === CLEAN ? { sessionExpiryInterval: 0 } : {}), receiveMaximum: 3 },
    });
    publish(engine, ['0', '1', '2', '3', '4'], 1);
    const first = await leaving.expect('publish');
    leaving.send({ cmd: 'puback', messageId: first.messageId as number });
    await leaving.drain();
    // It joins late, so that all of them were for the other.
    const staying = await member(engine, 'staying', 1, CLEAN);
    await endSession(engine, leaving);
    assert.deepEqual(await received(staying, 4), ['1', '2', '3', '4']);
    await engine.broker.commit.settled();
    await engine.stop();
    assert.equal(await keys(store, Family.Queue), 0);
    assert.equal(await keys(store, Family.Flow), 0);
  });

  test(`${kind}: a QoS 2 message whose delivery has begun goes to nobody else [MQTT-4.8.2-5]`, async () => {
    const engine = await Engine.create();
    const leaving = await member(engine, 'leaving', 2, {
      ...options,
      properties: { ...KEPT.properties, ...(options === CLEAN ? { sessionExpiryInterval: 0 } : {}), receiveMaximum: 2 },
    });
    publish(engine, ['0', '1', '2'], 2);
    await leaving.expect('publish');
    const second = await leaving.expect('publish');
    leaving.send({ cmd: 'pubrec', messageId: second.messageId as number });
    await leaving.expect('pubrel');
    const staying = await member(engine, 'staying', 2, CLEAN);
    await endSession(engine, leaving);
    assert.deepEqual(await received(staying, 1), ['2']);
    await engine.stop();
  });

  test(`${kind}: a message that a member refuses is for nobody else [MQTT-4.8.2-6]`, async () => {
    const engine = await Engine.create();
    const leaving = await member(engine, 'leaving', 1, options);
    publish(engine, ['0'], 1);
    const { messageId } = await leaving.expect('publish');
    leaving.send({ cmd: 'puback', messageId: messageId as number, reasonCode: 0x80 });
    await leaving.drain();
    const staying = await member(engine, 'staying', 1, CLEAN);
    await endSession(engine, leaving);
    assert.deepEqual(await staying.drain(), []);
    await engine.stop();
  });

  test(`${kind}: what has expired is not passed on`, async () => {
    const engine = await Engine.create();
    const leaving = await member(engine, 'leaving', 1, options);
    publish(engine, ['short'], 1, 5);
    publish(engine, ['long'], 1, 500);
    await leaving.drain();
    const staying = await member(engine, 'staying', 1, CLEAN);
    engine.pass(6);
    await endSession(engine, leaving);
    assert.deepEqual(await received(staying, 1), ['long']);
    await engine.stop();
  });
}

test('messages that are not shared end with the session', async () => {
  const engine = await Engine.create();
  const leaving = await member(engine, 'leaving', 1, KEPT);
  await leaving.subscribe('own', 1);
  engine.broker.publish({ topic: 'own', payload: 'x', qos: 1 });
  await leaving.expect('publish');
  const staying = await member(engine, 'staying', 1, CLEAN);
  await endSession(engine, leaving);
  assert.deepEqual(await staying.drain(), []);
  await engine.stop();
});

test('while the session of an absent member lasts, its messages wait for it [MQTT-4.8.2-4]', async () => {
  const engine = await Engine.create();
  const leaving = await member(engine, 'leaving', 2, KEPT);
  publish(engine, ['0'], 2);
  await leaving.expect('publish');
  const staying = await member(engine, 'staying', 2, CLEAN);
  await engine.cut(leaving);
  assert.deepEqual(await staying.drain(), []);
  const back = await engine.connect({ clientId: 'leaving', ...KEPT });
  assert.equal(String((await back.expect('publish')).payload), '0');
  await engine.stop();
});

test('Clean Start ends the former session, and its messages go to the others', async () => {
  const engine = await Engine.create();
  const leaving = await member(engine, 'leaving', 1, KEPT);
  publish(engine, ['0', '1'], 1);
  await leaving.drain();
  const staying = await member(engine, 'staying', 1, CLEAN);
  const anew = await engine.connect({ clientId: 'leaving', ...KEPT, clean: true });
  assert.equal(anew.connack.sessionPresent, false);
  assert.deepEqual(await received(staying, 2), ['0', '1']);
  assert.deepEqual(await anew.drain(), []);
  await engine.stop();
});

test('a crash between the end of a session and its inheritance loses nothing', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const staying = await member(engine, 'staying', 1, KEPT);
  await engine.cut(staying);
  const leaving = await member(engine, 'leaving', 1, KEPT);
  for (const payload of ['0', '1', '2']) {
    publish(engine, [payload], 1);
    await leaving.expect('publish');
    await engine.broker.commit.settled();
  }
  await engine.cut(leaving);
  await engine.broker.commit.settled();
  engine.pass(50);
  const back = await engine.connect({ clientId: 'staying', ...KEPT });
  await engine.cut(back);
  // The write that ends the session is the last one that the disk sees.
  const { length } = store.writes;
  store.hold();
  engine.pass(51);
  await store.arrived(length + 1);
  store.release();
  await store.arrived(length + 2);
  const restarted = await Engine.create({ store: store.afterCrash() });
  assert.equal(restarted.broker.sessions.get('leaving'), undefined);
  const heir = await restarted.connect({ clientId: 'staying', ...KEPT });
  assert.deepEqual(await received(heir, 3), ['0', '1', '2']);
  await restarted.broker.commit.settled();
  assert.equal(await keys(store.afterCrash(), Family.Flow), 1);
  store.letGo();
  await restarted.stop();
  await engine.stop();
});

test('UNSUBSCRIBE and a restart do not take from the others what the session leaves', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const leaving = await member(engine, 'leaving', 1, KEPT);
  publish(engine, ['0', '1'], 1);
  await leaving.drain();
  leaving.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['$share/g/t'] });
  await leaving.expect('unsuback');
  await engine.cut(leaving);
  await engine.broker.commit.settled();
  const restarted = await Engine.create({ store: store.afterCrash() });
  const staying = await member(restarted, 'staying', 1, CLEAN);
  restarted.pass(101);
  await restarted.broker.commit.settled();
  assert.deepEqual(await received(staying, 2), ['0', '1']);
  await restarted.stop();
  await engine.stop();
});

for (const [kind, options] of KINDS) {
  test(`sticky, ${kind}: what is passed on goes to the member that gets its publisher's later messages`, async () => {
    const engine = await Engine.create({ session: { sharedStrategy: 'sticky' } });
    const leaving = await member(engine, 'leaving', 1, options);
    const publishers = Array.from({ length: 20 }, (_, i) => `p${i}`);
    const publishAll = async (): Promise<void> => {
      for (const clientId of publishers) {
        const publisher = await engine.connect({ clientId });
        publisher.publish('t', clientId, { qos: 1, messageId: 1 });
        await publisher.expect('puback');
        await engine.cut(publisher);
      }
    };
    await publishAll();
    await leaving.drain();
    const heirs = [await member(engine, 'a', 1, CLEAN), await member(engine, 'b', 1, CLEAN)];
    await endSession(engine, leaving);
    await engine.broker.commit.settled();
    await publishAll();
    for (const heir of heirs) {
      const times = new Map<string, number>();
      for (const packet of await heir.drain()) {
        if (packet.cmd !== 'publish') continue;
        const payload = String(packet.payload);
        times.set(payload, (times.get(payload) ?? 0) + 1);
      }
      assert.ok(times.size > 0);
      assert.deepEqual([...new Set(times.values())], [2]);
    }
    await engine.stop();
  });
}

/** A store whose reads of single values wait. */
class SlowStore extends GatedStore {
  beforeGet: (() => Promise<void>) | null = null;

  override async get(key: Buffer): Promise<Buffer | undefined> {
    const value = await super.get(key);
    await this.beforeGet?.();
    return value;
  }
}

test('a session that ends while its queue is looked through for expired messages leaves nothing twice', async () => {
  const store = new SlowStore();
  const engine = await Engine.create({ store });
  const leaving = await member(engine, 'leaving', 1, {
    ...KEPT,
    properties: { sessionExpiryInterval: 100, receiveMaximum: 1 },
  });
  publish(engine, ['0'], 1);
  await leaving.expect('publish');
  publish(engine, ['short'], 1, 10);
  publish(engine, ['long'], 1);
  await engine.broker.commit.settled();
  await engine.cut(leaving);
  const staying = await member(engine, 'staying', 1, CLEAN);
  await engine.broker.commit.settled();
  let goOn: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    store.beforeGet = () =>
      new Promise<void>((released) => {
        store.beforeGet = null;
        goOn = released;
        resolve();
      });
  });
  engine.pass(20);
  await reached;
  // The end of the session is being written when the look goes on.
  const { length } = store.writes;
  store.hold();
  engine.pass(100);
  await store.arrived(length + 1);
  goOn();
  await new Promise<void>((resolve) => setImmediate(resolve));
  store.letGo();
  assert.deepEqual(await received(staying, 2), ['0', 'long']);
  await engine.broker.commit.settled();
  await engine.stop();
  assert.equal(await keys(store, Family.Queue), 0);
});

test('a damaged segment that an ended session leaves is reported', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const failures: unknown[] = [];
  engine.broker.environment.journal.storeFailed = (error) => failures.push(error);
  const leaving = await member(engine, 'leaving', 1, KEPT);
  publish(engine, ['0'], 1);
  await leaving.expect('publish');
  await engine.broker.commit.settled();
  await engine.cut(leaving);
  for await (const key of store.keys(familyRange(Family.Queue))) {
    await store.write([{ type: 'put', key, value: Buffer.from([9]) }], true);
  }
  engine.pass(101);
  await engine.broker.commit.settled();
  await engine.stop();
  assert.equal(failures.length, 1);
  assert.equal(await keys(store, Family.Queue), 0);
});

test('what waits for a member that is not kept is in memory once', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const engine = await Engine.create();
  const leaving = await member(engine, 'leaving', 1, { protocolVersion: 5, properties: { receiveMaximum: 1 } });
  const payload = Buffer.alloc(20_000);
  collect();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 1000; i++) engine.broker.publish({ topic: 't', payload: Buffer.concat([payload]), qos: 1 });
  collect();
  const held = process.memoryUsage().arrayBuffers - before;
  assert.ok(held < 1.3 * 1000 * payload.length, `${held}`);
  const staying = await member(engine, 'staying', 1, CLEAN);
  await engine.cut(leaving);
  let taken = 0;
  for (let left = 1000; left > 0; left--, taken++) {
    const { messageId } = await staying.expect('publish');
    staying.send({ cmd: 'puback', messageId: messageId as number });
  }
  assert.equal(taken, 1000);
  await engine.stop();
});
