/** What commands print of texts that clients have written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, Table } from '../../src/cli/terminal.js';

test('what would move the cursor, end a line or turn the direction of writing is printed as an escape', () => {
  assert.equal(
    printable('a\u001b[2J\r\nb\u0085\u202e\u2066ü€😀'),
    'a\\u001b[2J\\u000d\\u000ab\\u0085\\u202e\\u2066ü€😀',
  );
});

test('a line of JSON without such characters means the same', () => {
  const value = { client: 'a\u001b[2J\u009b2J\u2028\u202eb' };
  const line = printable(JSON.stringify(value));
  assert.match(line, /^[ -~]*$/);
  assert.deepEqual(JSON.parse(line), value);
});

test('a cell is not cut through the middle of a character', async () => {
  const lines: string[] = [];
  const table = new Table(['A'], async (line) => void lines.push(line));
  await table.add([`${'x'.repeat(46)}😀😀`]);
  await table.end();
  assert.equal(lines[1], `${'x'.repeat(46)}…`);
});

test('the columns of a table stand below one another; what is too long is cut', async () => {
  const lines: string[] = [];
  const table = new Table(['A', 'LONGER', 'C'], async (line) => void lines.push(line));
  await table.add(['first', '1', 'x'.repeat(60)]);
  await table.add(['2', 'two\n', '']);
  assert.deepEqual(lines, []);
  await table.end();
  assert.deepEqual(lines, ['A      LONGER     C', `first  1          ${'x'.repeat(47)}…`, '2      two\\u000a']);
});

test('a table of any length is printed as it comes, as wide as its first thousand rows', async () => {
  const lines: string[] = [];
  const table = new Table(['A', 'B'], async (line) => void lines.push(line));
  for (let row = 0; row < 1000; row++) await table.add([`row ${row}`, 'x']);
  assert.equal(lines.length, 1001);
  await table.add(['a later row', 'x']);
  assert.deepEqual(lines.slice(-2), ['row 999  x', 'a later row  x']);
});
