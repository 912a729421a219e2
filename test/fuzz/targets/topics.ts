/** Topics: what is valid, what matches what, and UTF-8, against the rules written out plainly. */
import assert from 'node:assert/strict';
import { Counters } from '../../../src/bus/counters.js';
import { Publication } from '../../../src/bus/publication.js';
import { RetainedMessages } from '../../../src/bus/retained.js';
import { Route } from '../../../src/bus/router.js';
import { type Member, type SharedStrategy, SharedSubscriptions } from '../../../src/bus/shared.js';
import * as topics from '../../../src/bus/topics.js';
import { type Receiver, type Subscriber, SubscriptionTree } from '../../../src/bus/tree.js';
import { Work } from '../../../src/bus/work.js';
import { checkTopicName, isValidUtf8 } from '../../../src/wire/utf8.js';
import { Feed, input, type Target } from '../target.js';

/** MQTT 4.7.1, level by level from the left. */
function naiveMatch(filter: readonly string[], topic: readonly string[]): boolean {
  const [level, ...below] = filter;
  if (level === '#') return true;
  if (level === undefined || topic.length === 0) return filter.length === 0 && topic.length === 0;
  return (level === '+' || level === topic[0]) && naiveMatch(below, topic.slice(1));
}

function reference(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false;
  return naiveMatch(filter.split('/'), topic.split('/'));
}

function naiveFilter(filter: string): boolean {
  if (!/^[^\0]+$/u.test(filter) || Buffer.byteLength(filter) > 65535) return false;
  return filter.split('/').every((level, i, all) => {
    if (level === '#') return i === all.length - 1;
    return level === '+' || !/[+#]/.test(level);
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Well-formed UTF-8 as another decoder sees it; null if it is not. */
function decode(bytes: Buffer): string | null {
  try {
    const text = utf8.decode(bytes);
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

function checkBytes(bytes: Buffer): void {
  const text = decode(bytes);
  const framed = Buffer.concat([Buffer.from('ab'), bytes, Buffer.from([0xff])]);
  const end = 2 + bytes.length;
  assert.equal(isValidUtf8(framed, 2, end), text !== null);
  const reason = text === '' ? 0x82 : text === null || /[+#]/.test(text) ? 0x81 : 0;
  assert.equal(checkTopicName(framed, 2, end), reason);
  if (text !== null) assert.equal(topics.isValidName(text), reason === 0);
}

/** Counts what it is given. */
class Listener implements Member {
  readonly id: string;
  online = true;
  ready = true;
  durable = false;
  load = 0;
  got = 0;

  constructor(id: string) {
    this.id = id;
  }

  isFull(): boolean {
    return false;
  }

  deliver(): void {
    this.got++;
    this.load++;
  }
}

const OPTIONS = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;

function checkTree(filters: readonly string[], names: readonly string[]): void {
  const tree = new SubscriptionTree();
  const subscribers = filters.map((_, i) => new Listener(`${i % 3}`));
  const wanted = new Map<Subscriber, Set<string>>();
  filters.forEach((filter, i) => {
    const subscriber = subscribers[i % 3];
    tree.add({ ...OPTIONS, subscriber, filter });
    wanted.set(subscriber, (wanted.get(subscriber) ?? new Set()).add(filter));
  });
  const count = (): number => [...wanted.values()].reduce((sum, set) => sum + set.size, 0);
  const check = (): void => {
    assert.equal(tree.size, count());
    for (const name of names) {
      const expected = [...wanted].filter(([, set]) => [...set].some((filter) => reference(filter, name)));
      const got = tree.receivers(name).map(({ subscriber }: Receiver) => subscriber);
      assert.deepEqual(new Set(got), new Set(expected.map(([subscriber]) => subscriber)), name);
      assert.equal(got.length, expected.length);
      const matching = expected.flatMap(([, set]) => [...set].filter((filter) => reference(filter, name)));
      assert.deepEqual(
        tree
          .match(name)
          .map(({ filter }) => filter)
          .sort(),
        matching.sort(),
      );
    }
  };
  check();
  for (const [subscriber, set] of wanted) {
    for (const filter of [...set]) {
      assert.equal(tree.remove(filter, subscriber), true);
      assert.equal(tree.remove(filter, subscriber), false);
      set.delete(filter);
    }
    check();
  }
  assert.equal(tree.size, 0);
}

function checkRetained(filters: readonly string[], names: readonly string[]): void {
  const counters = new Counters();
  const retained = new RetainedMessages({ messages: 1000, bytes: 1_000_000 }, counters, () => 0);
  const message = { qos: 0, retain: true, expiresAt: 0, publisherId: '', receivedAt: 0 } as const;
  const payload = Buffer.from('x');
  const all = new Set(names);
  for (const topic of all) {
    assert.ok(retained.set({ ...message, topic, payload, properties: Buffer.alloc(0) }));
  }
  assert.equal(retained.count, all.size);
  for (const filter of filters) {
    const got = [...retained.match(filter)].map(({ topic }) => topic);
    const expected = [...all].filter((name) => reference(filter, name));
    assert.deepEqual(got.sort(), expected.sort(), filter);
  }
  for (const topic of all) retained.delete(topic);
  assert.deepEqual([retained.count, retained.bytes], [0, 0]);
}

const STRATEGIES: readonly SharedStrategy[] = ['round_robin', 'least_in_flight', 'sticky', 'topic_hash'];

function checkShared(filters: readonly string[], name: string): void {
  for (const filter of filters) {
    const whole = `$share/${filter}`;
    const [group, inner] = topics.sharedPartsOf(whole);
    const valid =
      /^[^/+#\0]+\/./su.test(filter) && naiveFilter(filter.slice(filter.indexOf('/') + 1)) && naiveFilter(whole);
    assert.equal(topics.isShared(whole), true);
    assert.equal(topics.isValidShared(whole), valid, JSON.stringify(whole));
    if (!valid) continue;
    assert.equal(`$share/${group}/${inner}`, whole);
    for (const strategy of STRATEGIES) {
      const shared = new SharedSubscriptions(strategy, new Work());
      const members = [new Listener('a'), new Listener('b'), new Listener('c')];
      for (const subscriber of members) shared.join({ ...OPTIONS, subscriber, filter: whole });
      const publication = new Publication();
      publication.route = new Route(name, Buffer.from(name));
      const rounds = 6;
      for (let i = 0; i < rounds; i++) shared.get(whole)?.deliver(publication);
      assert.equal(
        members.reduce((sum, { got }) => sum + got, 0),
        rounds,
        `${strategy}: each message to one member`,
      );
      for (const subscriber of members) assert.ok(shared.leave(whole, subscriber));
      assert.deepEqual([shared.size, shared.members], [0, 0]);
    }
  }
}

function run(bytes: Buffer): string {
  const feed = new Feed(bytes);
  const count = feed.byte() % 8;
  const rest = feed.rest();
  checkBytes(rest);
  const lines = rest.toString('utf8').split('\n');
  for (const line of lines) assert.equal(topics.isValidFilter(line), naiveFilter(line), JSON.stringify(line));
  const filters = lines.slice(0, count).filter(topics.isValidFilter);
  const names = lines.slice(count).filter(topics.isValidName);
  for (const filter of filters) {
    for (const name of names) assert.equal(topics.matches(filter, name), reference(filter, name), `${filter} ${name}`);
  }
  checkTree(filters, names);
  checkRetained(filters, names);
  checkShared(lines.slice(0, count), names[0] ?? 't');
  const hits = filters.filter((filter) => names.some((name) => reference(filter, name)));
  return `${filters.length} ${Math.min(names.length, 4)} ${hits.length}`;
}

export const topicTarget: Target = {
  name: 'topics',
  scope: ['/src/bus/', '/src/wire/utf8'],
  longest: 400,
  words: [
    '/',
    '+',
    '#',
    '/+',
    '/#',
    '$',
    '$SYS',
    '$share/',
    '\n',
    '\0',
    '\ufeff',
    '\ud7ff',
    '\u{10ffff}',
    Buffer.from('c080', 'hex'),
    Buffer.from('eda080', 'hex'),
  ],
  seeds: () => [
    input(3, 'a/+/c\na/#\n#\na/b/c\na\n$SYS/x'),
    input(2, '+/+\n/#\n/finance\n/\n//'),
    input(2, 'g/a/+\n$SYS/#\n$SYS/a\na/ä'),
    input(4, 'a\na/b\na/b/#\n+/b\na/b\na'),
  ],
  run,
};
