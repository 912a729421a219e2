/** Who published retained messages: each is kept once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/bus/counters.js';
import type { Source } from '../../src/bus/message.js';
import { RetainedMessages } from '../../src/bus/retained.js';
import { RetainedSources } from '../../src/bus/retained-sources.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

const IDS = ['', 'a', 'b', 'é', 'x'.repeat(300), 'y'.repeat(65_535)];
const NAMES = [null, '', 'a', 'ann', 'n'.repeat(65_535)];
const LISTENERS = [{}, {}, { listener: 'a' }, { listener: '1884' }, { listener: '/s'.repeat(300) }];

test('sources are as a map of them has them, whatever comes and goes', () => {
  for (const seed of seeds(4)) {
    const random = new Random(seed);
    const sources = new RetainedSources();
    /** Number of each use that is not released. */
    const uses: { number: number; key: string; id: string; source: Source | null }[] = [];
    for (let step = 0; step < 6000; step++) {
      if (random.below(5) < 2 && uses.length > 0) {
        const [gone] = uses.splice(random.below(uses.length), 1);
        sources.release(gone.number);
        continue;
      }
      const id = random.oneIn(3) ? `c${random.below(4000)}` : random.pick(IDS);
      const source = random.oneIn(4) ? null : { id, username: random.pick(NAMES), ...random.pick(LISTENERS) };
      const number = sources.use(id, source);
      const key = JSON.stringify([id, source]);
      const same = uses.find((use) => use.key === key);
      if (same !== undefined) assert.equal(number, same.number, `SEED=${seed}`);
      else if (number !== 0) assert.ok(!uses.some((use) => use.number === number), `SEED=${seed}`);
      uses.push({ number, key, id, source });
      const { number: any, id: itsId, source: its } = random.pick(uses);
      assert.equal(sources.publisherId(any), itsId);
      assert.deepEqual(sources.source(any), its);
    }
    assert.equal(sources.size, new Set(uses.map(({ number }) => number).filter((number) => number !== 0)).size);
    for (const { number } of uses) sources.release(number);
    assert.equal(sources.size, 0);
  }
});

test('a source does not keep the client that it was', () => {
  const sources = new RetainedSources();
  const client = { id: 'c', username: 'ann', much: Buffer.alloc(10) };
  const number = sources.use('c', client);
  assert.deepEqual(sources.source(number), { id: 'c', username: 'ann' });
  assert.notEqual(sources.source(number), client);
});

test('many messages of few publishers take no more for their user names', () => {
  const taken = [null, { id: 'client-1', username: 'a-user-name-of-thirty-two-bytes' }].map((source) => {
    const retained = new RetainedMessages({ messages: 1e6, bytes: 1e9 }, new Counters(), () => 1);
    for (let i = 0; i < 20_000; i++) {
      retained.set({
        topic: `site/${i % 100}/device/${i}`,
        payload: Buffer.alloc(20),
        qos: 1,
        retain: true,
        properties: Buffer.alloc(0),
        expiresAt: 0,
        publisherId: source?.id ?? '',
        receivedAt: 1,
        source,
      });
    }
    return retained.memory;
  });
  assert.ok(taken[1] - taken[0] <= 65_536 + 1024, `${taken[1] - taken[0]} bytes more`);
});

test('as many publishers as messages are kept outside the heap, and are gone with their messages', () => {
  const sources = new RetainedSources();
  const empty = sources.memory;
  const numbers: number[] = [];
  for (let i = 0; i < 50_000; i++) numbers.push(sources.use(`client-${i}`, { id: `client-${i}`, username: `u${i}` }));
  assert.equal(sources.size, 50_000);
  assert.ok((sources.memory - empty) / 50_000 < 64, `${(sources.memory - empty) / 50_000} bytes each`);
  assert.deepEqual(sources.source(numbers[0]), { id: 'client-0', username: 'u0' });
  const full = sources.memory;
  for (const number of numbers) sources.release(number);
  assert.equal(sources.size, 0);
  // They leave room for others, but for those that have gone last.
  for (let i = 0; i < 48_000; i++) sources.use(`caller-${i}`, { id: `caller-${i}`, username: `u${i}` });
  assert.ok(sources.memory <= full + 65_536, `${sources.memory - full} bytes more`);
});
