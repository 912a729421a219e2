/** SASLprep: RFC 4013. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { saslprep } from '../../src/access/saslprep.js';

test('the examples of RFC 4013 3', () => {
  assert.equal(saslprep('I\u00adX'), 'IX');
  assert.equal(saslprep('user'), 'user');
  assert.equal(saslprep('USER'), 'USER');
  assert.equal(saslprep('\u00aa'), 'a');
  assert.equal(saslprep('\u2168'), 'IX');
  assert.equal(saslprep('\u0007'), null);
  assert.equal(saslprep('\u0627\u0031'), null);
});

test('spaces become one kind of space, and what shows nothing goes', () => {
  assert.equal(saslprep('a\u00a0b\u3000c d'), 'a b c d');
  assert.equal(saslprep('\u2060a\ufe0fb\ufeff'), 'ab');
  assert.equal(saslprep('pa\u0308ss'), 'p\u00e4ss');
  assert.equal(saslprep('🔑 €'), '🔑 €');
});

test('nothing, and what RFC 4013 2.3 prohibits, has no prepared form', () => {
  assert.equal(saslprep(''), null);
  assert.equal(saslprep('\u00ad'), null);
  for (const code of [
    0x00, 0x1f, 0x7f, 0x9f, 0x06dd, 0x070f, 0x180e, 0x200e, 0x2028, 0x202e, 0x206a, 0xd800, 0xe000, 0xfdd0, 0xfff9,
    0xfffd, 0xffff, 0x1d173, 0x1fffe, 0xe0001, 0xe0041, 0xf0000, 0x10ffff,
  ]) {
    assert.equal(saslprep(`a${String.fromCodePoint(code)}b`), null, code.toString(16));
  }
});

test('right-to-left text stands alone, and at both ends (RFC 3454 6)', () => {
  assert.equal(saslprep('\u05d0\u05d1'), '\u05d0\u05d1');
  assert.equal(saslprep('\u05d01\u05d1'), '\u05d01\u05d1');
  assert.equal(saslprep('\u05d0a\u05d1'), null);
  assert.equal(saslprep('1\u05d0'), null);
});
