/** UTF-8 Encoded Strings and topic names: MQTT 1.5.4, 4.7. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkTopicName, decodeString, isValidUtf8 } from '../../src/wire/utf8.js';
import { WireError } from '../../src/wire/wire-error.js';

const VALID = [
  '',
  'a',
  'ascii/only',
  'ä',
  '\u0001\u007f',
  '\u0800',
  '\ud7ff',
  '\ue000',
  '\uffff',
  '\ufeffwith a byte order mark',
  '\u{10000}',
  '\u{10ffff}',
];
const INVALID: readonly (readonly [string, string])[] = [
  ['00', 'NUL [MQTT-1.5.4-2]'],
  ['6100', 'NUL behind a letter'],
  ['c3a400', 'NUL behind a letter of two bytes'],
  ['80', 'a continuation alone'],
  ['c3', 'a letter cut short'],
  ['e282', 'a letter of three bytes cut short'],
  ['f09f8c', 'a letter of four bytes cut short'],
  ['c0af', 'an overlong slash'],
  ['c080', 'an overlong NUL'],
  ['e0809f', 'overlong in three bytes'],
  ['f0808080', 'overlong in four bytes'],
  ['eda080', 'a high surrogate [MQTT-1.5.4-1]'],
  ['edbfbf', 'a low surrogate'],
  ['eda081edb080', 'a pair of surrogates'],
  ['f4908080', 'beyond U+10FFFF'],
  ['f888808080', 'a letter of five bytes'],
  ['fe', 'a byte that UTF-8 does not have'],
  ['ff', 'another'],
];

test('well-formed strings are valid and decoded with every character [MQTT-1.5.4-3]', () => {
  for (const text of VALID) {
    const bytes = Buffer.from(`<${text}>`);
    assert.equal(isValidUtf8(bytes, 1, bytes.length - 1), true, text);
    assert.equal(decodeString(bytes, 1, bytes.length - 1), text);
  }
});

test('ill-formed strings and NUL are invalid', () => {
  for (const [hex, what] of INVALID) {
    for (const prefix of ['', 'plain', 'ö']) {
      const bytes = Buffer.concat([Buffer.from(prefix), Buffer.from(hex, 'hex')]);
      assert.equal(isValidUtf8(bytes, 0, bytes.length), false, `${prefix} ${what}`);
      assert.throws(
        () => decodeString(bytes, 0, bytes.length),
        (error) => error instanceof WireError && error.reasonCode === 0x81,
      );
      assert.equal(checkTopicName(bytes, 0, bytes.length), 0x81, `${prefix} ${what}`);
    }
  }
});

test('only the bytes between the bounds count', () => {
  const bytes = Buffer.from('ff6100ff', 'hex');
  assert.equal(isValidUtf8(bytes, 1, 2), true);
  assert.equal(isValidUtf8(bytes, 1, 3), false);
  assert.equal(isValidUtf8(bytes, 1, 1), true);
});

test('validity is what the platform says of any bytes, but for NUL', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const accepts = (bytes: Uint8Array): boolean => {
    try {
      decoder.decode(bytes);
      return !bytes.includes(0);
    } catch {
      return false;
    }
  };
  const lead = fc.constantFrom(
    0x00,
    0x61,
    0x7f,
    0x80,
    0xbf,
    0xc0,
    0xc2,
    0xdf,
    0xe0,
    0xed,
    0xef,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  );
  const near = fc.array(fc.oneof(lead, fc.integer({ min: 0x80, max: 0xbf })), { maxLength: 12 });
  fc.assert(
    fc.property(
      fc.oneof(
        near.map((list) => Uint8Array.from(list)),
        fc.uint8Array({ maxLength: 40 }),
      ),
      (list) => {
        const bytes = Buffer.from(list);
        assert.equal(isValidUtf8(bytes, 0, bytes.length), accepts(bytes), bytes.toString('hex'));
      },
    ),
    { seed: 0x1507, numRuns: 20_000 },
  );
});

test('topic names: no wildcard, not empty, anything else [MQTT-3.3.2-2, MQTT-4.7.3-1]', () => {
  const reasons: [string, number][] = [
    ['a', 0],
    ['/', 0],
    ['//', 0],
    [' ', 0],
    ['$SYS/x', 0],
    ['größe/温度', 0],
    ['', 0x82],
    ['#', 0x81],
    ['a/#', 0x81],
    ['a+b', 0x81],
    ['+', 0x81],
    ['a/+/b', 0x81],
    ['ö/#', 0x81],
  ];
  for (const [topic, reason] of reasons) {
    const bytes = Buffer.from(`#${topic}+`);
    assert.equal(checkTopicName(bytes, 1, bytes.length - 1), reason, topic);
  }
});
