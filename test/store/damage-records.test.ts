/** Records of a sound store that are not what was written, or that mean nothing: set aside, named, and not met again. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Level } from 'level';
import type { Broker } from '../../src/broker.js';
import {
  Family,
  familyRange,
  flowKey,
  parseQueueKey,
  queueKey,
  retainedKey,
  sessionKey,
  sessionRange,
  subscriptionKey,
  versionKey,
  willKey,
} from '../../src/store/keys.js';
import { LevelStore } from '../../src/store/level-store.js';
import type { Operation } from '../../src/store/store.js';
import type { Engine } from '../support/engine.js';
import { foldersOf, NONSENSE, newDirectory, put, scratch, start, valuesAside } from './damage-scene.js';

/** A data directory with what `fill` leaves of a broker. */
async function storeWith(fill: (engine: Engine) => Promise<void>): Promise<string> {
  const directory = newDirectory();
  const { engine } = await start(directory);
  await fill(engine);
  await engine.stop();
  return directory;
}

function numberOf(broker: Broker, clientId: string): number {
  const session = broker.sessions.get(clientId);
  assert.ok(session !== undefined);
  return session.number;
}

async function kept(engine: Engine, clientId: string): Promise<void> {
  const client = await engine.connect({ clientId, clean: false });
  await client.subscribe(`for/${clientId}`, 1);
  await engine.cut(client);
}

async function messagesUpTo(client: Awaited<ReturnType<Engine['connect']>>, last: string): Promise<string[]> {
  const payloads: string[] = [];
  for (;;) {
    const { payload, messageId } = await client.expect('publish');
    client.send({ cmd: 'puback', messageId: messageId as number });
    payloads.push(String(payload));
    if (payloads.at(-1) === last) return payloads;
  }
}

async function assertSilent(directory: string): Promise<void> {
  const again = await start(directory);
  assert.deepEqual(again.lines, []);
  await again.engine.stop();
  assert.equal(foldersOf(directory).length, 1);
}

test('a record of each kind that does not decode is set aside with its bytes, named, and told once', async () => {
  let number = 0;
  const directory = await storeWith(async (engine) => {
    await kept(engine, 'c');
    number = numberOf(engine.broker, 'c');
    engine.broker.publish({ topic: 'r/whole', payload: 'x', qos: 1, retain: true });
  });
  const keys: [Buffer, RegExp][] = [
    [retainedKey('r/bad'), /the retained message on "r\/bad" cannot be read/],
    [sessionKey('lost'), /session "lost" cannot be read/],
    [subscriptionKey(number, 'f/+'), /the subscription "f\/\+" of session \d+ \(client "c"\) cannot be read/],
    [flowKey(number), /the flow state of session \d+ \(client "c"\) cannot be read/],
    [willKey('gone'), /the will of "gone" cannot be read/],
  ];
  await put(directory, ...keys.map(([key]): Operation => ({ type: 'put', key, value: NONSENSE })));
  const { engine, lines } = await start(directory);
  for (const [, words] of keys)
    assert.ok(
      lines.some((line) => words.test(line)),
      `${words} in ${lines.join('\n')}`,
    );
  assert.equal(lines.length, keys.length);
  assert.equal(engine.broker.counters.damaged, keys.length);
  assert.equal(String(engine.broker.router.retained.get('r/whole')?.payload), 'x');
  assert.deepEqual([...(engine.broker.sessions.get('c')?.subscriptions.keys() ?? [])], ['for/c']);
  await engine.stop();
  const aside = valuesAside(directory);
  for (const [key] of keys) {
    const record = aside.find((other) => other.key === key.toString('base64'));
    assert.equal(record?.value, NONSENSE.toString('base64'));
  }
  await assertSilent(directory);
});

test('a value whose checksum is wrong is not served', async () => {
  const directory = await storeWith(async (engine) => {
    for (let i = 0; i < 10; i++)
      engine.broker.publish({ topic: `r/${i}`, payload: `value ${i}`, qos: 1, retain: true });
  });
  await scratch(directory, retainedKey('r/4'));
  const { engine, lines } = await start(directory);
  assert.equal(engine.broker.router.retained.get('r/4'), null);
  assert.equal(engine.broker.router.retained.count, 9);
  assert.match(lines.join('\n'), /the retained message on "r\/4" cannot be read \(its checksum is wrong\)/);
  await engine.stop();
  await assertSilent(directory);
});

test('a value that stands under another key than it was written under is not served', async () => {
  const directory = await storeWith(async (engine) => {
    engine.broker.publish({ topic: 'a', payload: 'of a', qos: 1, retain: true });
  });
  const db = new Level<Buffer, Buffer>(join(directory, 'store'), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await db.open();
  await db.put(retainedKey('b'), (await db.get(retainedKey('a'))) as Buffer);
  await db.close();
  const { engine, lines } = await start(directory);
  assert.equal(engine.broker.router.retained.count, 1);
  assert.equal(lines.length, 1);
  await engine.stop();
});

for (const how of ['does not decode', 'has a wrong checksum'] as const) {
  test(`a session whose record ${how} goes on with its subscriptions and its queue`, async () => {
    const directory = await storeWith(async (engine) => {
      await kept(engine, 'other');
      await kept(engine, 'c');
      engine.broker.publish({ topic: 'for/c', payload: 'queued', qos: 1 });
    });
    if (how === 'does not decode') await put(directory, { type: 'put', key: sessionKey('c'), value: NONSENSE });
    else await scratch(directory, sessionKey('c'));
    const { engine, lines } = await start(directory);
    assert.equal(lines.length, 1);
    engine.broker.publish({ topic: 'for/c', payload: 'later', qos: 1 });
    const client = await engine.connect({ clientId: 'c', clean: false });
    assert.equal(client.connack.sessionPresent, true);
    assert.deepEqual(await messagesUpTo(client, 'later'), ['queued', 'later']);
    await engine.stop();
    await assertSilent(directory);
  });
}

test('what is left of sessions that cannot be told apart is set aside, and nobody inherits it', async () => {
  const numbers: number[] = [];
  const directory = await storeWith(async (engine) => {
    for (const id of ['c', 'd']) {
      await kept(engine, id);
      numbers.push(numberOf(engine.broker, id));
      engine.broker.publish({ topic: `for/${id}`, payload: `of ${id}`, qos: 1 });
    }
  });
  await put(
    directory,
    { type: 'put', key: sessionKey('c'), value: NONSENSE },
    { type: 'put', key: sessionKey('d'), value: NONSENSE },
  );
  const first = await start(directory);
  const client = await first.engine.connect({ clientId: 'new', clean: false });
  assert.ok(!numbers.includes(numberOf(first.engine.broker, 'new')));
  assert.deepEqual(await client.drain(), []);
  for (const number of numbers) {
    for (const family of [Family.Subscription, Family.Flow, Family.Queue]) {
      for await (const key of first.store.keys(sessionRange(family, number)))
        assert.fail(`${key.toString('hex')} is left`);
    }
  }
  await first.engine.stop();
  const queued = valuesAside(directory).filter(({ what }) => what.startsWith('queued message'));
  assert.equal(queued.length, 2);
  for (const [i, id] of ['c', 'd'].entries()) {
    assert.ok(Buffer.from(queued[i].value, 'base64').includes(`of ${id}`));
  }
  await assertSilent(directory);
});

test('a session whose flow state is gone gets its whole queue', async () => {
  let number = 0;
  const directory = await storeWith(async (engine) => {
    await kept(engine, 'c');
    number = numberOf(engine.broker, 'c');
    for (const payload of ['1', '2', '3']) engine.broker.publish({ topic: 'for/c', payload, qos: 1 });
  });
  await scratch(directory, flowKey(number));
  const { engine } = await start(directory);
  engine.broker.publish({ topic: 'for/c', payload: 'last', qos: 1 });
  const client = await engine.connect({ clientId: 'c', clean: false });
  assert.deepEqual(await messagesUpTo(client, 'last'), ['1', '2', '3', 'last']);
  await engine.stop();
});

for (const how of ['does not parse', 'has a wrong checksum'] as const) {
  test(`a queue goes on behind a segment that ${how}`, async () => {
    const directory = await storeWith(async (engine) => {
      await kept(engine, 'c');
      for (const payload of ['1', '2', '3']) {
        engine.broker.publish({ topic: 'for/c', payload, qos: 1 });
        await engine.broker.commit.settled();
      }
    });
    const store = new LevelStore(join(directory, 'store'));
    await store.open();
    const segments: Buffer[] = [];
    for await (const key of store.keys(familyRange(Family.Queue))) segments.push(key);
    await store.close();
    assert.equal(segments.length, 3);
    if (how === 'does not parse') await put(directory, { type: 'put', key: segments[1], value: NONSENSE });
    else await scratch(directory, segments[1]);
    const { engine, lines } = await start(directory);
    engine.broker.publish({ topic: 'for/c', payload: 'last', qos: 1 });
    const client = await engine.connect({ clientId: 'c', clean: false });
    assert.deepEqual(await messagesUpTo(client, 'last'), ['1', '3', 'last']);
    await engine.stop();
    assert.equal(engine.broker.counters.damaged, 1);
    assert.match(lines.join('\n'), /queued message 2 of session \d+ \(client "c"\) cannot be read/);
    assert.equal(valuesAside(directory).length, 1);
    await assertSilent(directory);
  });
}

test('a damaged number in a key gives no session a number that cannot be stored', async () => {
  const directory = await storeWith(async (engine) => kept(engine, 'c'));
  await put(directory, { type: 'put', key: queueKey(2 ** 48 - 1, 1, 1, 4, 0), value: NONSENSE });
  const { engine } = await start(directory);
  await kept(engine, 'd');
  assert.ok(numberOf(engine.broker, 'd') < 2 ** 48);
  await engine.stop();
});

test('a damaged version of the store does not stop the start', async () => {
  const directory = await storeWith(async (engine) => kept(engine, 'c'));
  await scratch(directory, versionKey());
  const { engine, lines } = await start(directory);
  assert.match(lines.join('\n'), /the version of the store cannot be read/);
  assert.notEqual(engine.broker.sessions.get('c'), undefined);
  await engine.stop();
  await assertSilent(directory);
});

test('a store without checksums, from before there were any, is refused in words and stays as it is', async () => {
  const directory = newDirectory();
  const db = new Level<Buffer, Buffer>(join(directory, 'store'), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await db.open();
  await db.put(versionKey(), Buffer.from([1]));
  await db.close();
  await assert.rejects(start(directory), { code: 'PORTICO_STORE_OPEN', message: /a Portico before 0\.1\.0 wrote it/ });
  assert.deepEqual(foldersOf(directory), []);
});

test('a store of a newer format is refused in words and stays as it is', async () => {
  const directory = await storeWith(async (engine) => kept(engine, 'c'));
  await put(directory, { type: 'put', key: versionKey(), value: Buffer.from([99]) });
  await assert.rejects(start(directory), { code: 'PORTICO_STORE_OPEN', message: /newer portico/ });
  assert.deepEqual(foldersOf(directory), []);
});

test('queue segments that come back because their deletion was lost are not counted and not sent, nor kept for ever', async () => {
  let number = 0;
  const stored: [Buffer, Buffer][] = [];
  const directory = await storeWith(async (engine) => {
    await kept(engine, 'c');
    number = numberOf(engine.broker, 'c');
    for (let i = 0; i < 6; i++) {
      engine.broker.publish({ topic: 'for/c', payload: `message ${i}`, qos: 1 });
      if (i % 3 === 2) await engine.broker.commit.settled();
    }
    for await (const entry of engine.broker.store.entries(sessionRange(Family.Queue, number))) stored.push(entry);
    assert.deepEqual(
      stored.map(([key]) => [parseQueueKey(key).first, parseQueueKey(key).count]),
      [
        [1, 3],
        [4, 3],
      ],
    );
    const client = await engine.connect({ clientId: 'c', clean: false });
    for (let i = 0; i < 6; i++) {
      const { messageId } = await client.expect('publish');
      client.send({ cmd: 'puback', messageId: messageId as number });
    }
    await engine.cut(client);
  });
  const [[key, value], [laterKey]] = stored;
  // What a sweep would leave of the second one, were its first message expired; and the second one itself.
  const left = queueKey(number, 8, 2, 1, 0);
  const whole = queueKey(number, 7, 3, 1, 0);
  await put(directory, ...[key, laterKey, whole, left].map((key): Operation => ({ type: 'put', key, value })));
  const started = await start(directory);
  const { engine } = started;
  await engine.broker.commit.settled();
  const keys: Buffer[] = [];
  for await (const key of started.store.keys(sessionRange(Family.Queue, number))) keys.push(key);
  assert.deepEqual(keys, [whole]);
  assert.equal(started.lines.length, 1);
  assert.match(started.lines[0], /queued messages 8 to 9 of session \d+ \(client "c"\) .*stand in another segment too/);
  assert.deepEqual(
    valuesAside(directory).map((aside) => aside.key),
    [left.toString('base64')],
  );
  const client = await engine.connect({ clientId: 'c', clean: false });
  for (let i = 0; i < 3; i++) assert.equal(String((await client.expect('publish')).payload), `message ${i}`);
  engine.broker.publish({ topic: 'for/c', payload: 'last', qos: 1 });
  assert.equal(String((await client.expect('publish')).payload), 'last');
  await engine.stop();
});
