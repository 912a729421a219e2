/** `TextMap` is a Map whatever its keys are and however many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TextMap } from '../../src/bus/text-map.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

/** Short keys, and one that is too long for V8 to hash. */
const KEYS = [...Array.from({ length: 14 }, (_, i) => `key/${i}`), 'x'.repeat(20_000)];

test('it has what a Map has, with few keys, many, and long ones', () => {
  for (const seed of seeds(20)) {
    const random = new Random(seed);
    const map = new TextMap<number>();
    const model = new Map<string, number>();
    for (let step = 0; step < 400; step++) {
      const key = random.pick(KEYS);
      if (random.below(20) === 0) {
        map.clear();
        model.clear();
      } else if (random.below(5) < 2) assert.equal(map.delete(key), model.delete(key), `SEED=${seed}`);
      else {
        map.set(key, step);
        model.set(key, step);
      }
      assert.equal(map.size, model.size);
      assert.equal(map.get(key), model.get(key));
      assert.equal(map.has(key), model.has(key));
      // The long key comes last.
      const expected = [...model].sort(([one], [other]) => Number(one.length > 100) - Number(other.length > 100));
      assert.deepEqual([...map], expected, `SEED=${seed}`);
      assert.deepEqual(
        [...map.keys()],
        [...map.entries()].map(([each]) => each),
      );
      assert.equal(map.first(), expected[0]?.[1]);
    }
  }
});

test('what is deleted while it is iterated over does not come, and nothing is passed over', () => {
  for (const count of [3, 12]) {
    const map = new TextMap<number>();
    for (let i = 0; i < count; i++) map.set(`${i}`, i);
    const seen: number[] = [];
    for (const [key, value] of map) {
      seen.push(value);
      map.delete(key);
      if (value === 0) map.delete('1');
    }
    assert.deepEqual(
      seen,
      Array.from({ length: count }, (_, i) => i).filter((i) => i !== 1),
    );
    assert.equal(map.size, 0);
  }
});
