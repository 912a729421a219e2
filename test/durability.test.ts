/** docs/durability.md: each cell of its table says what its tests prove, and each test that it names is there. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DAMAGED, EVENTS, type Event, KINDS, SYNCS, type Sync, survives } from './crash/survival-kinds.js';
import { checkout } from './support/checkout.js';

/** The columns, and which events of `survival.test.ts` prove each cell; that of damage is proved by `damage-kinds.test.ts`. */
const COLUMNS: Readonly<Record<string, readonly [event: Event, syncs: readonly Sync[]] | 'damage'>> = {
  'Client gone': ['client gone', SYNCS],
  Restart: ['restart', SYNCS],
  '`kill -9`': ['kill -9', SYNCS],
  'Power cut, `always`': ['power cut', ['always']],
  'Power cut, `interval`, before the last sync': ['power cut', ['interval']],
  'Power cut, `never`': ['power cut', ['never']],
  'Disk full': ['disk full', SYNCS],
  'Damaged file': 'damage',
};
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
  assert.deepEqual(head.slice(1), Object.keys(COLUMNS));
  const proved = Object.values(COLUMNS).flatMap((column) => (column === 'damage' ? [] : [column[0]]));
  assert.deepEqual(new Set(proved), new Set(EVENTS));
  assert.deepEqual(
    rows.map(([kind]) => kind),
    KINDS,
  );
});

test('each cell says something and names a proof that is listed', () => {
  for (const [kind, ...cells] of rows) {
    assert.equal(cells.length, head.length - 1, kind);
    for (const [index, cell] of cells.entries()) {
      const names = referencesOf(cell);
      assert.ok(names.length > 0 && !cell.startsWith('['), `${kind}, ${head[1 + index]}: "${cell}"`);
      for (const name of names) assert.ok(proofs.has(name), `${kind}, ${head[1 + index]}: [${name}] is not listed`);
    }
  }
});

test('each cell of an event says what its own tests prove', () => {
  for (const [index, kind] of KINDS.entries()) {
    for (const [column, proved] of Object.values(COLUMNS).entries()) {
      if (proved === 'damage') continue;
      const [event, syncs] = proved;
      const cell = rows[index][1 + column];
      const where = `${kind}, ${head[1 + column]}: "${cell}"`;
      assert.ok(referencesOf(cell).includes('s'), where);
      for (const sync of syncs) assert.equal(/^yes\b/.test(cell), survives(kind, event, sync), where);
    }
  }
});

test('each cell of damage says what its own tests prove', () => {
  const column = 1 + Object.values(COLUMNS).indexOf('damage');
  for (const [index, kind] of KINDS.entries()) {
    const cell = rows[index][column];
    const [words] = cell.split(' [');
    assert.equal(words, DAMAGED[kind], `${kind}: "${cell}"`);
    // Files are damaged at random places in the same scene.
    const proofs = words === 'not stored' ? ['d'] : ['d', 'd1', 'd2'];
    assert.deepEqual(referencesOf(cell).slice(0, proofs.length), proofs, `${kind}: "${cell}"`);
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
