/** MessagePack, as its specification writes values down. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MessagePackError, unpack } from '../../src/cli/import/message-pack.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('MessagePack', () => {
  const values: readonly [string, string, unknown][] = [
    ['nil', 'c0', null],
    ['false', 'c2', false],
    ['true', 'c3', true],
    ['a positive fixint', '7f', 127],
    ['a negative fixint', 'e0', -32],
    ['uint 8', 'cc ff', 255],
    ['uint 16', 'cd 0100', 256],
    ['uint 32', 'ce ffffffff', 0xffff_ffff],
    ['uint 64', 'cf 0000000100000000', 2 ** 32],
    ['int 8', 'd0 80', -128],
    ['int 16', 'd1 ff00', -256],
    ['int 32', 'd2 80000000', -(2 ** 31)],
    ['int 64', 'd3 ffffffff00000000', -(2 ** 32)],
    ['float 32', 'ca 3fc00000', 1.5],
    ['float 64', 'cb 3ff8000000000000', 1.5],
    ['a fixstr', 'a2 c3bc', 'ü'],
    ['str 8', 'd9 01 61', 'a'],
    ['str 16', 'da 0001 61', 'a'],
    ['str 32', 'db 00000001 61', 'a'],
    ['bin 8', 'c4 02 00ff', Buffer.from([0, 255])],
    ['bin 16', 'c5 0001 00', Buffer.from([0])],
    ['bin 32', 'c6 00000000', Buffer.alloc(0)],
    ['a fixarray', '92 01 c0', [1, null]],
    ['array 16', 'dc 0001 01', [1]],
    ['array 32', 'dd 00000001 01', [1]],
    ['a fixmap', '81 a161 01', new Map([['a', 1]])],
    ['map 16', 'de 0001 a161 90', new Map([['a', []]])],
    ['map 32', 'df 00000001 a161 80', new Map([['a', new Map()]])],
  ];
  for (const [name, bytes, value] of values) {
    test(`${name} is read, and nothing of it that is cut short`, () => {
      const whole = hex(bytes);
      assert.deepEqual(unpack(whole), value);
      for (let length = 0; length < whole.length; length++) {
        assert.throws(() => unpack(whole.subarray(0, length)), MessagePackError);
      }
      assert.throws(() => unpack(Buffer.concat([whole, hex('c0')])), MessagePackError);
    });
  }

  for (const [name, bytes] of [
    ['a type that is never used', 'c1'],
    ['an extension', 'd4 01 00'],
    ['a list that says it is long', 'dd ffffffff'],
    ['lists inside each other without end', '91'.repeat(100_000)],
  ] as const) {
    test(`${name} is refused`, () => {
      assert.throws(() => unpack(hex(bytes)), MessagePackError);
    });
  }
});
