import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Damage } from '../../src/store/damage.js';
import { aedesKey } from '../../src/store/keys.js';
import { LevelStore } from '../../src/store/level-store.js';
import { all, inMemory, newDirectory, noSuchPacket, open, publication, reopen } from './aedes-harness.js';

describe('after closing and opening the same directory', () => {
  test('retained packets are there with all their fields', async () => {
    const directory = await newDirectory();
    const properties = { userProperties: { a: ['1', '2'] }, correlationData: Buffer.from([0, 255]) };
    const packet = { ...publication('t/1', Buffer.from([1, 2, 3])), properties, extra: undefined, list: [1n, null] };
    let persistence = await reopen(directory);
    await persistence.storeRetained(packet);
    await persistence.storeRetained(publication('t/2', 'text'));
    await persistence.storeRetained(publication('t/gone', 'text'));
    await persistence.storeRetained(publication('t/gone', ''));
    await persistence.destroy();

    persistence = await reopen(directory);
    const found = await all(persistence.createRetainedStream('t/1'));
    assert.deepEqual(found, [packet]);
    assert.ok(Buffer.isBuffer(found[0].payload));
    assert.deepEqual((await all(persistence.createRetainedStream('#'))).map(({ payload }) => payload).length, 2);
    assert.deepEqual(await all(persistence.createRetainedStream('t/2')), [publication('t/2', 'text')]);
    await persistence.destroy();
  });

  test('subscriptions and their counts are there', async () => {
    const directory = await newDirectory();
    const kept = [
      { topic: 'a/+', qos: 1, rh: 2, rap: true, nl: true, subscriptionIdentifier: 268435455 },
      { topic: 'b', qos: 0, rh: undefined, rap: undefined, nl: undefined },
    ];
    let persistence = await reopen(directory);
    await persistence.addSubscriptions({ id: 'c1' }, [...kept, { topic: 'removed', qos: 2 }]);
    await persistence.removeSubscriptions({ id: 'c1' }, ['removed']);
    await persistence.addSubscriptions({ id: 'c2' }, [{ topic: 'a/#', qos: 2 }]);
    await persistence.addSubscriptions({ id: 'c3' }, [{ topic: 'a/#', qos: 2 }]);
    await persistence.cleanSubscriptions({ id: 'c3' });
    await persistence.destroy();

    persistence = await reopen(directory);
    assert.deepEqual(await persistence.countOffline(), { subsCount: 2, clientsCount: 2 });
    const restored = await persistence.subscriptionsByClient({ id: 'c1' });
    assert.deepEqual(
      restored.sort((a, b) => a.topic.localeCompare(b.topic)),
      kept,
    );
    const matching = await persistence.subscriptionsByTopic('a/x');
    assert.deepEqual(matching.map(({ clientId }) => clientId).sort(), ['c1', 'c2']);
    assert.deepEqual(
      matching.find(({ clientId }) => clientId === 'c1'),
      { clientId: 'c1', topic: 'a/+', qos: 1, rh: 2, rap: true, nl: true },
    );
    assert.deepEqual(await persistence.subscriptionsByTopic('b'), []);
    assert.deepEqual(await persistence.getClientList('b').toArray(), ['c1']);
    await persistence.destroy();
  });

  test('queues are there in order, with Packet Identifiers and PUBREL', async () => {
    const directory = await newDirectory();
    const client = { id: 'c' };
    const count = 300;
    let persistence = await reopen(directory);
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        persistence.outgoingEnqueue(
          { clientId: 'c' },
          publication(`t/${i}`, `${i}`, { brokerId: 'fixed', brokerCounter: i + 1 }),
        ),
      ),
    );
    await persistence.outgoingUpdate(client, { brokerId: 'fixed', brokerCounter: 1, messageId: 7 });
    await persistence.outgoingUpdate(client, { brokerId: 'fixed', brokerCounter: 2, messageId: 8 });
    await persistence.outgoingUpdate(client, { cmd: 'pubrel', messageId: 8 });
    await persistence.outgoingUpdate(client, { brokerId: 'fixed', brokerCounter: 3, messageId: 9 });
    assert.equal((await persistence.outgoingClearMessageId(client, { messageId: 9 }))?.topic, 't/2');
    await persistence.destroy();

    persistence = await reopen(directory);
    const found = await all(persistence.outgoingStream(client));
    assert.equal(found.length, count - 1);
    assert.deepEqual(found[0].topic, 't/0');
    assert.deepEqual(found[0].messageId, 7);
    assert.deepEqual(found[1], { cmd: 'pubrel', messageId: 8 });
    assert.deepEqual(
      found.slice(2).map(({ topic, messageId }) => [topic, messageId]),
      Array.from({ length: count - 3 }, (_, i) => [`t/${i + 3}`, undefined]),
    );
    await persistence.outgoingEnqueue({ clientId: 'c' }, publication('t/last', 'x'));
    await persistence.outgoingClearMessageId(client, { messageId: 8 });
    await persistence.destroy();

    persistence = await reopen(directory);
    const topics = (await all(persistence.outgoingStream(client))).map(({ topic }) => topic);
    assert.deepEqual([topics[0], topics[1], topics.at(-1)], ['t/0', 't/3', 't/last']);
    await persistence.destroy();
  });

  test('a PUBREL that was sent again after a restart is still found', async () => {
    const directory = await newDirectory();
    const client = { id: 'c' };
    let persistence = await reopen(directory);
    await persistence.outgoingEnqueue(
      { clientId: 'c' },
      publication('t', 'x', { brokerId: 'fixed', brokerCounter: 1, qos: 2 }),
    );
    await persistence.outgoingUpdate(client, { brokerId: 'fixed', brokerCounter: 1, messageId: 5 });
    await persistence.outgoingUpdate(client, { cmd: 'pubrel', messageId: 5 });
    await persistence.destroy();

    persistence = await reopen(directory);
    // Aedes wraps what it sends again in a new packet, with a new identity and a function in it.
    const again = { cmd: 'pubrel', messageId: 5, brokerId: 'fixed', brokerCounter: 70000, writeCallback: () => {} };
    await persistence.outgoingUpdate(client, again);
    await persistence.destroy();

    persistence = await reopen(directory);
    await persistence.outgoingUpdate(client, { brokerId: 'fixed', brokerCounter: 70000, messageId: 6 });
    const found = await all(persistence.outgoingStream(client));
    assert.deepEqual(found, [{ cmd: 'pubrel', messageId: 6, brokerId: 'fixed', brokerCounter: 70000 }]);
    await persistence.outgoingClearMessageId(client, { messageId: 6 });
    assert.deepEqual(await all(persistence.outgoingStream(client)), []);
    await persistence.destroy();
  });

  test('QoS 2 publications that await PUBREL are there', async () => {
    const directory = await newDirectory();
    const client = { id: 'c' };
    let persistence = await reopen(directory);
    for (const messageId of [1, 2, 65535]) {
      await persistence.incomingStorePacket(client, publication('t', `${messageId}`, { messageId, qos: 2 }));
    }
    await persistence.incomingDelPacket(client, { messageId: 2 });
    await persistence.destroy();

    persistence = await reopen(directory);
    assert.equal((await persistence.incomingGetPacket(client, { messageId: 65535 })).payload, '65535');
    await assert.rejects(persistence.incomingGetPacket(client, { messageId: 2 }), noSuchPacket);
    await persistence.cleanIncoming(client);
    await persistence.destroy();

    persistence = await reopen(directory);
    await assert.rejects(persistence.incomingGetPacket(client, { messageId: 1 }), noSuchPacket);
    await persistence.destroy();
  });

  test('wills are there, and those of another broker are orphaned', async () => {
    const directory = await newDirectory();
    let persistence = await reopen(directory, { id: 'first', counter: 0 });
    await persistence.putWill({ id: 'kept' }, publication('w', Buffer.from('bye')));
    await persistence.putWill({ id: 'deleted' }, publication('w', 'bye'));
    await persistence.delWill({ id: 'deleted' });
    await persistence.destroy();

    persistence = await reopen(directory, { id: 'second', counter: 0 });
    const expected = publication('w', Buffer.from('bye'), { brokerId: 'first', clientId: 'kept' });
    assert.deepEqual(await persistence.getWill({ id: 'kept' }), expected);
    assert.equal(await persistence.getWill({ id: 'deleted' }), undefined);
    assert.deepEqual(await all(persistence.streamWill({ second: Date.now() })), [expected]);
    assert.deepEqual(await all(persistence.streamWill({ first: Date.now() })), []);
    await persistence.destroy();
  });

  test('a record that does not decode is set aside', async () => {
    const directory = await newDirectory();
    const store = new LevelStore(directory);
    await store.open();
    const key = aedesKey(2, 'c', 't');
    await store.write([{ type: 'put', key, value: Buffer.from([1, 99]) }], true);
    await store.close();
    const reopened = new LevelStore(directory);
    const told: Damage[] = [];
    reopened.onDamage = (damage) => told.push(damage);
    const persistence = await open(reopened);
    await persistence.setup({ id: 'fixed', counter: 0 });
    assert.deepEqual(await persistence.subscriptionsByClient({ id: 'c' }), []);
    assert.equal(await reopened.get(key), undefined);
    assert.deepEqual(
      told.map((damage) => damage.kind === 'record' && damage.key),
      [key],
    );
    await persistence.destroy();
  });
});

describe('defects of other stores that this one does not have', () => {
  test('D4: a client identifier that begins with another one keeps its own state', async () => {
    const directory = await newDirectory();
    let persistence = await reopen(directory);
    const ids = ['dev1', 'dev10', 'dev1\u0000', 'dev1/', 'dev1:fixed', ''];
    for (const id of ids) {
      await persistence.addSubscriptions({ id }, [{ topic: `of/${id}`, qos: 1 }]);
      await persistence.outgoingEnqueue({ clientId: id }, publication('t', `for ${id}`));
      await persistence.incomingStorePacket({ id }, publication('t', `from ${id}`, { messageId: 1, qos: 2 }));
      await persistence.putWill({ id }, publication('w', `will of ${id}`));
    }
    await persistence.destroy();

    persistence = await reopen(directory);
    for (const id of ids) {
      const topics = (await persistence.subscriptionsByClient({ id })).map(({ topic }) => topic);
      assert.deepEqual(topics, [`of/${id}`]);
      const queued = (await all(persistence.outgoingStream({ id }))).map(({ payload }) => payload);
      assert.deepEqual(queued, [`for ${id}`]);
      assert.equal((await persistence.incomingGetPacket({ id }, { messageId: 1 })).payload, `from ${id}`);
    }
    await persistence.cleanSubscriptions({ id: 'dev1' });
    await persistence.cleanIncoming({ id: 'dev1' });
    await persistence.delWill({ id: 'dev1' });
    await persistence.destroy();

    persistence = await reopen(directory);
    assert.deepEqual(await persistence.countOffline(), { subsCount: ids.length - 1, clientsCount: ids.length - 1 });
    assert.deepEqual(await persistence.subscriptionsByClient({ id: 'dev1' }), []);
    assert.equal((await persistence.getWill({ id: 'dev10' }))?.payload, 'will of dev10');
    assert.equal((await persistence.incomingGetPacket({ id: 'dev10' }, { messageId: 1 })).payload, 'from dev10');
    await persistence.destroy();
  });

  test('D5: overlapping filters of one client do not disturb each other', async () => {
    const directory = await newDirectory();
    const client = { id: 'c' };
    let persistence = await reopen(directory);
    const filtersOf = async (topic: string): Promise<string[]> =>
      (await persistence.subscriptionsByTopic(topic)).map((subscription) => subscription.topic).sort();
    const both = [
      { topic: 'a/#', qos: 1 },
      { topic: 'a/b', qos: 1 },
    ];
    await persistence.addSubscriptions(client, both);
    assert.deepEqual(await filtersOf('a/b'), ['a/#', 'a/b']);
    await persistence.removeSubscriptions(client, ['a/#']);
    assert.deepEqual(await filtersOf('a/b'), ['a/b']);
    await persistence.addSubscriptions(client, [{ topic: 'a/#', qos: 1 }]);
    await persistence.addSubscriptions(client, [{ topic: 'a/b', qos: 0 }]);
    assert.deepEqual(await filtersOf('a/b'), ['a/#']);
    await persistence.destroy();

    persistence = await reopen(directory);
    assert.deepEqual(await filtersOf('a/b'), ['a/#']);
    assert.deepEqual(await filtersOf('a/c'), ['a/#']);
    await persistence.destroy();
  });

  test('D5: a message that matches two filters of a client is queued once', async () => {
    const persistence = await inMemory();
    await persistence.addSubscriptions({ id: 'c' }, [
      { topic: 'a/#', qos: 1 },
      { topic: 'a/b', qos: 1 },
    ]);
    const packet = publication('a/b', 'x', { brokerId: 'fixed', brokerCounter: 1 });
    await persistence.outgoingEnqueueCombi(await persistence.subscriptionsByTopic('a/b'), packet);
    assert.equal((await all(persistence.outgoingStream({ id: 'c' }))).length, 1);
    await persistence.destroy();
  });

  test('D6: topics and client identifiers above U+00FF are found again', async () => {
    const directory = await newDirectory();
    const topics = ['Дом/свет', 'σπίτι', '家/灯', '🏠/💡', 'ÿ', 'a'];
    let persistence = await reopen(directory);
    for (const topic of topics) {
      await persistence.storeRetained(publication(topic, topic, { retain: true }));
      await persistence.addSubscriptions({ id: topic }, [{ topic, qos: 1 }]);
      await persistence.outgoingEnqueue({ clientId: topic }, publication(topic, topic));
    }
    await persistence.destroy();

    persistence = await reopen(directory);
    const found = (await all(persistence.createRetainedStream('#'))).map(({ topic }) => topic);
    assert.deepEqual(found.sort(), [...topics].sort());
    for (const topic of topics) {
      assert.deepEqual(
        (await all(persistence.createRetainedStream(topic))).map(({ payload }) => payload),
        [topic],
      );
      assert.deepEqual(
        (await persistence.subscriptionsByTopic(topic)).map(({ clientId }) => clientId),
        [topic],
      );
      assert.deepEqual(
        (await all(persistence.outgoingStream({ id: topic }))).map(({ payload }) => payload),
        [topic],
      );
    }
    await persistence.destroy();
  });

  test('D10: a broker with a fixed id goes on counting above all that it ever stored', async () => {
    const directory = await newDirectory();
    const broker = { id: 'fixed', counter: 0 };
    let persistence = await reopen(directory, broker);
    assert.equal(broker.counter, 0);
    await persistence.outgoingEnqueue(
      { clientId: 'c' },
      publication('t', 'old', { brokerId: 'fixed', brokerCounter: 100 }),
    );
    // Delivered and gone, its counter was used nevertheless.
    await persistence.outgoingEnqueue(
      { clientId: 'c' },
      publication('t', 'x', { brokerId: 'fixed', brokerCounter: 90000 }),
    );
    await persistence.outgoingUpdate({ id: 'c' }, { brokerId: 'fixed', brokerCounter: 90000, messageId: 1 });
    await persistence.outgoingClearMessageId({ id: 'c' }, { messageId: 1 });
    await persistence.destroy();

    const restarted = { id: 'fixed', counter: 0 };
    persistence = await reopen(directory, restarted);
    assert.ok(restarted.counter >= 90000, `${restarted.counter}`);
    restarted.counter++;
    const next = { brokerId: 'fixed', brokerCounter: restarted.counter };
    await persistence.outgoingEnqueue({ clientId: 'c' }, publication('t', 'new', next));
    await persistence.outgoingUpdate({ id: 'c' }, { ...next, messageId: 2 });
    const found = await all(persistence.outgoingStream({ id: 'c' }));
    assert.deepEqual(
      found.map(({ payload, messageId }) => [payload, messageId]),
      [
        ['old', undefined],
        ['new', 2],
      ],
    );
    await persistence.destroy();
  });

  test('D10: a message with the counter of one that still waits does not overwrite it', async () => {
    const directory = await newDirectory();
    const identity = { brokerId: 'fixed', brokerCounter: 1 };
    let persistence = await reopen(directory);
    await persistence.outgoingEnqueue({ clientId: 'c' }, publication('t', 'before', identity));
    await persistence.destroy();
    persistence = await reopen(directory);
    await persistence.outgoingEnqueue({ clientId: 'c' }, publication('t', 'after', identity));
    await persistence.destroy();
    persistence = await reopen(directory);
    const found = await all(persistence.outgoingStream({ id: 'c' }));
    assert.deepEqual(
      found.map(({ payload }) => payload),
      ['before', 'after'],
    );
    await persistence.destroy();
  });
});
