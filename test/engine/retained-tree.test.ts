/** Retained messages outside the JavaScript heap: what stands there is what was put there, whatever comes and goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/bus/counters.js';
import { type Message, NO_PROPERTIES } from '../../src/bus/message.js';
import { Publication } from '../../src/bus/publication.js';
import { RetainedMessages } from '../../src/bus/retained.js';
import { Slabs } from '../../src/bus/slabs.js';
import { TopicTree } from '../../src/bus/topic-tree.js';
import { TopicWalk } from '../../src/bus/topic-walk.js';
import { matches } from '../../src/bus/topics.js';
import { mulberry32 } from '../support/disk.js';
import { seeds } from '../support/seeds.js';

class Random {
  readonly #next: (below: number) => number;

  constructor(seed: number) {
    this.#next = mulberry32(seed);
  }

  /** A whole number from 0 to less than `end`. */
  below(end: number): number {
    return this.#next(end);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  bytes(length: number): Buffer {
    return Buffer.alloc(length, 1 + this.below(255));
  }
}

const LEVELS = ['', 'a', 'b', 'ä', 'long-name-of-a-level', '$SYS', '$'];
const WILD = ['+', ...LEVELS];

function topicOf(random: Random): string {
  const topic = Array.from({ length: 1 + random.below(4) }, () => random.of(LEVELS)).join('/');
  return topic === '' ? '/' : topic;
}

function filterOf(random: Random): string {
  const levels = Array.from({ length: random.below(4) }, () => random.of(WILD));
  const filter = [...levels, random.of(['#', '+', 'a', ''])].join('/');
  return filter === '' ? '/' : filter;
}

function message(topic: string, payload: Buffer | string, fields: Partial<Message> = {}): Message {
  return {
    topic,
    payload: Buffer.from(payload),
    qos: 1,
    retain: true,
    properties: NO_PROPERTIES,
    expiresAt: 0,
    publisherId: 'c',
    receivedAt: 1,
    ...fields,
  };
}

function retainedMessages(now: () => number = () => 1): RetainedMessages {
  return new RetainedMessages({ messages: 1e6, bytes: 1e9 }, new Counters(), now);
}

test('filters find the retained messages that match, with the $ rule, after any changes [MQTT-4.7.2-1]', () => {
  for (const seed of seeds(20)) {
    const random = new Random(seed);
    const retained = retainedMessages();
    const expected = new Map<string, Message>();
    for (let step = 0; step < 300; step++) {
      const topic = topicOf(random);
      if (random.below(3) === 0) {
        assert.equal(retained.delete(topic), expected.delete(topic));
        continue;
      }
      const kept = message(topic, random.bytes(random.of([1, 20, 300, 5000, 40_000])), {
        qos: random.of([0, 1, 2] as const),
        properties: random.bytes(random.below(2) * 30),
        publisherId: 'someone',
        receivedAt: step,
        source: random.of([null, { id: 'someone', username: null }, { id: 'someone', username: 'ann' }]),
      });
      retained.set(kept);
      expected.set(topic, kept);
    }
    assert.equal(retained.count, expected.size);
    let bytes = 0;
    for (const [topic, kept] of expected) {
      assert.deepEqual(retained.get(topic), kept);
      bytes += Buffer.byteLength(topic) + kept.payload.length + kept.properties.length;
    }
    assert.equal(retained.bytes, bytes);
    for (let i = 0; i < 100; i++) {
      const filter = filterOf(random);
      const found = retained.match(filter).toSorted((a, b) => (a.topic < b.topic ? -1 : 1));
      // Whose right they stand on is only told of one.
      const wanted = [...expected.values()]
        .filter(({ topic }) => matches(filter, topic))
        .map(({ source: _, ...rest }): Message => rest);
      assert.deepEqual(
        found,
        wanted.toSorted((a, b) => (a.topic < b.topic ? -1 : 1)),
        `filter ${filter}, SEED=${seed}`,
      );
    }
  }
});

test('a walk that others interrupt gives each message that stays once, and none that came after it began', () => {
  for (const seed of seeds(50)) {
    const random = new Random(seed);
    const retained = retainedMessages();
    for (let i = 0; i < 100; i++) retained.set(message(topicOf(random), 'before'));
    const filter = random.of(['#', '+/#', 'a/#', '+/+', '+/a/+']);
    const stays = new Set(retained.topics(filter));
    const began = new Set(stays);
    const given = new Map<string, number>();
    const found = new Publication();
    for (const walk = retained.walk(filter, retained.revision); !walk.done; ) {
      if (walk.next(found)) given.set(found.topic, (given.get(found.topic) ?? 0) + 1);
      for (let changes = random.below(4); changes > 0; changes--) {
        const topic = topicOf(random);
        if (random.below(2) === 0) retained.set(message(topic, 'meanwhile'));
        else {
          retained.delete(topic);
          if (!given.has(topic)) stays.delete(topic);
        }
      }
    }
    for (const topic of stays) assert.equal(given.get(topic), 1, `${topic} by ${filter}, SEED=${seed}`);
    for (const [topic, times] of given) assert.ok(began.has(topic) && times === 1, `${topic}, SEED=${seed}`);
  }
});

test('topics that nobody needs any more leave nothing in the tree, also when a walk stood on them', () => {
  const random = new Random(1);
  const tree = new TopicTree();
  const walks: TopicWalk[] = [];
  const topics = Array.from({ length: 500 }, () => topicOf(random));
  for (const topic of topics) tree.setValue(tree.grow(Buffer.from(topic)), 1);
  for (let i = 0; i < 50; i++) {
    const walk = new TopicWalk(tree, '#');
    for (let steps = random.below(200); steps > 0; steps--) walk.next();
    walks.push(walk);
  }
  for (const topic of topics) {
    const node = tree.find(Buffer.from(topic));
    if (node === 0) continue;
    tree.setValue(node, 0);
    tree.prune(node);
  }
  assert.ok(tree.size > 0, 'where a walk stands there is a node');
  for (const walk of walks) walk.close();
  assert.equal(tree.size, 0);
});

test('a hundred thousand topics are found again, and gone when they go', () => {
  const tree = new TopicTree();
  const topic = (i: number): Buffer => Buffer.from(`site/${i % 7}/device/${i}/temperature`);
  for (let i = 0; i < 100_000; i++) tree.setValue(tree.grow(topic(i)), i + 1);
  for (let i = 0; i < 100_000; i++) {
    const node = tree.find(topic(i));
    assert.equal(tree.value(node), i + 1);
    assert.equal(tree.topic(node), String(topic(i)));
  }
  assert.equal(tree.find(Buffer.from('site/1/device/1')) > 0, true);
  assert.equal(tree.find(Buffer.from('site/1/device/none')), 0);
  for (let i = 0; i < 100_000; i++) {
    const node = tree.find(topic(i));
    tree.setValue(node, 0);
    tree.prune(node);
  }
  assert.equal(tree.size, 0);
});

test('places in slabs keep their bytes while others come and go, and empty slabs are given back', () => {
  const random = new Random(1);
  const slabs = new Slabs();
  const held = new Map<number, Buffer>();
  const holds = (at: number, bytes: Buffer): boolean =>
    bytes.equals(slabs.slab(at).bytes.subarray(slabs.offset(at), slabs.offset(at) + bytes.length));
  for (let step = 0; step < 20_000; step++) {
    if (random.below(5) < 2 && held.size > 0) {
      const [at, bytes] = random.of([...held].slice(0, 20));
      assert.ok(holds(at, bytes));
      slabs.free(at);
      held.delete(at);
      continue;
    }
    const bytes = random.bytes(1 + random.below(random.of([16, 300, 300, 20_000])));
    const at = slabs.allocate(bytes.length);
    assert.ok(!held.has(at));
    bytes.copy(slabs.slab(at).bytes, slabs.offset(at));
    held.set(at, bytes);
  }
  for (const [at, bytes] of held) {
    assert.ok(holds(at, bytes));
    slabs.free(at);
  }
  assert.equal(slabs.memory, 0);
});

test('a message keeps its bytes when its topic gets another one', () => {
  const retained = retainedMessages();
  for (const size of [10, 5000, 50_000]) {
    retained.set(message('t', Buffer.alloc(size, 1)));
    const former = retained.get('t');
    retained.set(message('t', Buffer.alloc(size, 2)));
    assert.deepEqual(former?.payload, Buffer.alloc(size, 1));
    assert.deepEqual(retained.get('t')?.payload, Buffer.alloc(size, 2));
  }
});

test('who asks for the same retained message again gets the same object', () => {
  const retained = retainedMessages();
  retained.set(message('t', 'x'));
  const first = retained.get('t');
  assert.equal(retained.get('t'), first);
  retained.set(message('t', 'x'));
  assert.notEqual(retained.get('t'), first);
});

test('messages of one second expire a bounded number at a time, and none is given out meanwhile [MQTT-3.3.2-5]', () => {
  let now = 1000;
  const retained = retainedMessages(() => now);
  for (let i = 0; i < 25_000; i++) retained.set(message(`t/${i}`, 'x', { expiresAt: 5000 }));
  now = 6000;
  const first = retained.dropExpired(now);
  assert.ok(first > 0 && first < 25_000);
  assert.equal(retained.get('t/7'), null);
  assert.deepEqual(retained.match('t/#'), []);
  let dropped = first;
  while (retained.count > 0) dropped += retained.dropExpired(now);
  assert.equal(dropped, 25_000);
  assert.equal(retained.bytes, 0);
});

test('a topic in the place of one that went does not expire for it', () => {
  let now = 1000;
  const retained = retainedMessages(() => now);
  retained.set(message('a', 'x', { expiresAt: 3000 }));
  retained.delete('a');
  retained.set(message('b', 'x'));
  retained.set(message('c', 'x', { expiresAt: 9000 }));
  now = 4000;
  assert.equal(retained.dropExpired(now), 0);
  assert.deepEqual(retained.topics('#').toSorted(), ['b', 'c']);
  now = 9000;
  assert.equal(retained.dropExpired(now), 1);
  assert.deepEqual(retained.topics('#'), ['b']);
});
