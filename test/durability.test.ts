/** docs/durability.md: each cell of its table says what its tests prove, and each test that it names is there. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EVENTS, KINDS, SYNCS, survives } from './crash/survival-scene.js';
import { checkout } from './support/checkout.js';

const COLUMNS = [
  'Client gone',
  'Restart',
  '`kill -9`',
  'Power cut, `always`',
  'Power cut, `interval`, before the last sync',
  'Power cut, `never`',
  'Disk full',
  'Damaged file',
];
/** How many of the columns are events of `survival.test.ts`. */
const PROVED = 6;
/** A test's title as it stands between its quotes. */
const TEST = /\btest\(\s*(['"`])(.*?)\1,/gs;
const LEFT_OUT = /\b(?:test|describe|t|context)\.(?:skip|todo|only)\(|\b(?:skip|todo): /;

const page = readFileSync(join(checkout, 'docs', 'durability.md'), 'utf8');
const section = page.slice(page.indexOf('## What survives what'), page.indexOf('### The tests'));
const [head, , ...rows] = section
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
const proofs = new Map(
  [...page.matchAll(/^- \[(\w+)\] `([^`:]+)(?:: (.*))?`(.*)$/gm)].map(([, name, file, title]) => [
    name,
    { file, title },
  ]),
);
const referencesOf = (cell: string): string[] => [...cell.matchAll(/\[(\w+)\]/g)].map(([, name]) => name);

test('the table has a column for each event and a row for each kind', () => {
  assert.deepEqual(head.slice(1), COLUMNS);
  assert.deepEqual(
    rows.map(([kind]) => kind),
    KINDS,
  );
});

test('each cell says something and names a proof that is listed', () => {
  for (const [kind, ...cells] of rows) {
    assert.equal(cells.length, COLUMNS.length, kind);
    for (const [index, cell] of cells.entries()) {
      const names = referencesOf(cell);
      assert.ok(names.length > 0 && !cell.startsWith('['), `${kind}, ${COLUMNS[index]}: "${cell}"`);
      for (const name of names) assert.ok(proofs.has(name), `${kind}, ${COLUMNS[index]}: [${name}] is not listed`);
    }
  }
});

test('each cell of an event says what its own tests prove', () => {
  for (const [index, kind] of KINDS.entries()) {
    for (const [column, cell] of rows[index].slice(1, 1 + PROVED).entries()) {
      const event = EVENTS[Math.min(column, EVENTS.length - 1)];
      const syncs = event === 'power cut' ? [SYNCS[column - EVENTS.length + 1]] : SYNCS;
      assert.ok(referencesOf(cell).includes('s'), `${kind}, ${COLUMNS[column]}`);
      for (const sync of syncs)
        assert.equal(/^yes\b/.test(cell), survives(kind, event, sync), `${kind}, ${COLUMNS[column]}: "${cell}"`);
    }
  }
});

test('each proof is used, and is a test that exists and runs', () => {
  const used = new Set(rows.flatMap((cells) => cells.flatMap(referencesOf)));
  for (const [name, { file, title }] of proofs) {
    assert.ok(used.has(name), `[${name}] proves no cell`);
    assert.ok(file.endsWith('.test.ts') && existsSync(join(checkout, file)), `there is no ${file}`);
    const text = readFileSync(join(checkout, file), 'utf8');
    assert.ok(!LEFT_OUT.test(text), `${file} leaves out a test`);
    if (title === undefined) continue;
    const titles = [...text.matchAll(TEST)].map(([, , found]) => found);
    assert.ok(titles.includes(title), `${file} has no test with the title\n${title}`);
  }
});
