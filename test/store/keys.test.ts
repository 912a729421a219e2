import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  AedesKind,
  aedesKey,
  aedesParts,
  aedesRange,
  Family,
  familyRange,
  filterOf,
  flowKey,
  MAX_NUMBER,
  numberOfPart,
  numberPart,
  parseQueueKey,
  pluginKey,
  pluginParts,
  pluginRange,
  queueKey,
  queueRangeFrom,
  retainedKey,
  sessionKey,
  sessionOf,
  sessionRange,
  subscriptionKey,
  textOf,
  versionKey,
  willKey,
} from '../../src/store/keys.js';
import type { KeyRange } from '../../src/store/store.js';

/** Numbers on both sides of every byte border, in order; the largest leaves room for the end of its range. */
const NUMBERS = [0, 1, 255, 256, 65535, 65536, 2 ** 24, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, MAX_NUMBER - 1];

/** Texts of which many begin with another one, in no order. */
const TEXTS = ['', 'a', 'ab', 'a/', 'a/b', 'a\u0000', 'dev1', 'dev10', 'é', 'ÿ', 'Ж', '家', '\u{1f3e0}', '\u{10ffff}'];

/** Names of plugins, of which some begin with another one. */
const PLUGINS = ['a', 'ab', 'b', 'coap', 'coaq', 'é', 'x'.repeat(255)];

function within(range: KeyRange, key: Buffer): boolean {
  return Buffer.compare(key, range.gte) >= 0 && Buffer.compare(key, range.lt) < 0;
}

/** One key of each family, and more of those that have several. */
function everyKey(): Buffer[] {
  const keys = [versionKey()];
  for (const text of TEXTS) {
    keys.push(retainedKey(text), sessionKey(text), willKey(text));
    for (const kind of Object.values(AedesKind)) keys.push(aedesKey(kind, text), aedesKey(kind, text, 'x'));
    for (const plugin of PLUGINS) keys.push(pluginKey(plugin, text));
    for (const number of NUMBERS) keys.push(subscriptionKey(number, text));
  }
  for (const number of NUMBERS) {
    keys.push(flowKey(number));
    for (const first of NUMBERS)
      keys.push(queueKey(number, first, 1, 1, 0), queueKey(number, first, 2 ** 32 - 1, 0, 9e12));
  }
  return keys;
}

test('all keys differ', () => {
  const keys = everyKey();
  assert.equal(new Set(keys.map((key) => key.toString('hex'))).size, keys.length);
});

test('the range of a family holds the keys of that family and no other', () => {
  const keys = everyKey();
  for (const family of Object.values(Family)) {
    const range = familyRange(family);
    for (const key of keys) assert.equal(within(range, key), key[0] === family, `${family} ${key.toString('hex')}`);
    assert.ok(keys.some((key) => key[0] === family));
  }
});

describe('order', () => {
  const ordered: [string, (number: number) => Buffer][] = [
    ['session numbers of flow states', flowKey],
    ['session numbers of subscriptions', (number) => subscriptionKey(number, 'a')],
    ['session numbers of queues', (number) => queueKey(number, MAX_NUMBER, 1, 1, 0)],
    ['sequence numbers of segments', (number) => queueKey(7, number, 2 ** 32 - 1, 2 ** 32 - 1, 9e12)],
    ['number parts of Aedes keys', (number) => aedesKey(AedesKind.Outgoing, 'c', numberPart(number), 'z')],
  ];
  for (const [what, build] of ordered) {
    test(`byte order is number order: ${what}`, () => {
      for (let i = 1; i < NUMBERS.length; i++) {
        const step = `${NUMBERS[i - 1]} < ${NUMBERS[i]}`;
        assert.equal(Buffer.compare(build(NUMBERS[i - 1]), build(NUMBERS[i])), -1, step);
      }
    });
  }

  test('the largest number fits', () => {
    assert.equal(sessionOf(flowKey(MAX_NUMBER)), MAX_NUMBER);
    assert.equal(numberOfPart(numberPart(MAX_NUMBER)), MAX_NUMBER);
    assert.throws(() => flowKey(MAX_NUMBER + 1), RangeError);
  });
});

describe('parsing gives back what a key was built from', () => {
  test('text', () => {
    for (const text of TEXTS) {
      assert.equal(textOf(retainedKey(text)), text);
      assert.equal(textOf(sessionKey(text)), text);
      assert.equal(textOf(willKey(text)), text);
    }
  });

  test('session number and filter', () => {
    for (const number of NUMBERS) {
      for (const text of TEXTS) {
        const key = subscriptionKey(number, text);
        assert.equal(sessionOf(key), number);
        assert.equal(filterOf(key), text);
      }
    }
  });

  test('queue segments', () => {
    for (const number of NUMBERS) {
      const segment = {
        session: number,
        first: MAX_NUMBER - number,
        count: 2 ** 32 - 1,
        bytes: number % 2 ** 32,
        expiresAt: (number % 2 ** 32) * 1000,
      };
      const key = queueKey(segment.session, segment.first, segment.count, segment.bytes, segment.expiresAt);
      assert.deepEqual(parseQueueKey(key), segment);
    }
  });

  test('parts and numbers of Aedes keys', () => {
    for (const number of NUMBERS) assert.equal(numberOfPart(numberPart(number)), number);
    assert.deepEqual(aedesParts(aedesKey(AedesKind.Retained)), []);
    assert.deepEqual(aedesParts(aedesKey(AedesKind.Outgoing, ...TEXTS)), TEXTS);
  });

  test('an Aedes key that was cut is an error with a code', () => {
    const key = aedesKey(AedesKind.Outgoing, 'client', 'x');
    const whole = [2, 2 + 4 + 6, key.length];
    for (let length = 2; length <= key.length; length++) {
      const cut = key.subarray(0, length);
      if (whole.includes(length)) assert.equal(aedesParts(cut).length, whole.indexOf(length));
      else assert.throws(() => aedesParts(cut), { code: 'PORTICO_STORE_VALUE' }, `${length}`);
    }
  });
});

describe('ranges', () => {
  test("a session's range holds its keys and no other session's", () => {
    for (const family of [Family.Subscription, Family.Flow, Family.Queue]) {
      for (const number of NUMBERS) {
        const range = sessionRange(family, number);
        for (const key of everyKey()) {
          const own = key[0] === family && sessionOf(key) === number;
          assert.equal(within(range, key), own, `${family} ${number} ${key.toString('hex')}`);
        }
      }
    }
  });

  test('the range from a sequence number holds the segments from there on, of one session', () => {
    for (const number of NUMBERS) {
      for (const first of NUMBERS) {
        const range = queueRangeFrom(number, first);
        for (const key of everyKey()) {
          const segment = key[0] === Family.Queue ? parseQueueKey(key) : null;
          const own = segment !== null && segment.session === number && segment.first >= first;
          assert.equal(within(range, key), own);
        }
      }
    }
  });

  test('a part of an Aedes key that begins with another one is not in its range', () => {
    for (const client of TEXTS) {
      const range = aedesRange(AedesKind.Subscription, client);
      for (const other of TEXTS) {
        for (const filter of TEXTS) {
          assert.equal(within(range, aedesKey(AedesKind.Subscription, other, filter)), other === client);
          assert.equal(within(range, aedesKey(AedesKind.Incoming, other, filter)), false);
        }
      }
    }
  });

  test('the range of a kind holds all of it, also where a prefix ends in 0xFF', () => {
    for (const text of TEXTS) {
      assert.ok(within(aedesRange(AedesKind.Retained), aedesKey(AedesKind.Retained, text)));
      assert.ok(within(aedesRange(0xff), aedesKey(0xff, text)));
    }
    assert.ok(!within(aedesRange(AedesKind.Retained), aedesKey(AedesKind.Subscription)));
    assert.ok(!within(aedesRange(0xff), Buffer.from([Family.Aedes + 1])));
    // A part of 255 bytes makes a prefix whose length ends in 0xFF.
    const long = 'x'.repeat(255);
    assert.ok(within(aedesRange(AedesKind.Retained, long), aedesKey(AedesKind.Retained, long, 'y')));
    assert.ok(!within(aedesRange(AedesKind.Retained, long), aedesKey(AedesKind.Retained, `${long}x`)));
  });
});

test('the range of a plugin holds what that plugin keeps and nothing else', () => {
  for (const plugin of PLUGINS) {
    const range = pluginRange(plugin);
    for (const other of PLUGINS) {
      for (const text of TEXTS) assert.equal(within(range, pluginKey(other, text)), other === plugin);
    }
  }
});

test('a plugin key gives back the plugin and the key; one that is cut is refused', () => {
  for (const plugin of PLUGINS)
    for (const text of TEXTS) assert.deepEqual(pluginParts(pluginKey(plugin, text)), [plugin, text]);
  for (const cut of ['50', '5000', '500261']) {
    assert.throws(() => pluginParts(Buffer.from(cut, 'hex')), { code: 'PORTICO_STORE_VALUE' });
  }
});
