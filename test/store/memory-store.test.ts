/** The store in memory gives what lies in a range, in the order of the keys, wherever it keeps it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  everything,
  Family,
  familyRange,
  flowKey,
  MAX_NUMBER,
  queueKey,
  queueRangeFrom,
  retainedKey,
  sessionKey,
  sessionRange,
  subscriptionKey,
  versionKey,
} from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';

const SESSIONS = [0, 1, 2, 254, 255, 256, 257, 65535, 65536, MAX_NUMBER];
const KEYS = [
  versionKey(),
  retainedKey('#'),
  retainedKey('$abcdefghij'),
  sessionKey('abcdefgh'),
  Buffer.from([Family.Queue]),
  Buffer.from([Family.Queue, 0, 0]),
  ...SESSIONS.flatMap((number) => [
    subscriptionKey(number, 'a/b'),
    flowKey(number),
    queueKey(number, 1, 2, 3, 0),
    queueKey(number, 300, 1, 3, 0),
  ]),
];
const RANGES = [
  everything(),
  ...Object.values(Family).map((family) => familyRange(family)),
  ...SESSIONS.map((number) => sessionRange(Family.Queue, number)),
  ...SESSIONS.map((number) => sessionRange(Family.Subscription, number)),
  ...SESSIONS.map((number) => queueRangeFrom(number, 2)),
  { gte: sessionRange(Family.Queue, 1).gte, lt: sessionRange(Family.Queue, 255).lt },
];

test('a range has the keys that lie in it, in their order, and clearing it leaves the others', async () => {
  for (const range of RANGES) {
    const store = new MemoryStore();
    await store.write(
      KEYS.map((key) => ({ type: 'put', key, value: key })),
      true,
    );
    const within = (key: Buffer): boolean => key.compare(range.gte) >= 0 && key.compare(range.lt) < 0;
    const found: Buffer[] = [];
    for await (const key of store.keys(range)) found.push(key);
    const expected = KEYS.filter(within).sort((one, other) => one.compare(other));
    assert.deepEqual(found, expected);
    await store.clear(range);
    for (const key of KEYS) assert.deepEqual(await store.get(key), within(key) ? undefined : key);
  }
});
