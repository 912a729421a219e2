/** Every target of the fuzzers is told of in docs/testing.md, and gets its inputs in each run of the tests. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkout } from '../support/checkout.js';
import { TARGETS } from './targets.js';

const folder = join(checkout, 'test', 'fuzz');
const all = Object.keys(TARGETS).toSorted();

test('docs/testing.md has each target in its table, and no other', () => {
  const page = readFileSync(join(checkout, 'docs', 'testing.md'), 'utf8');
  const table = page.slice(page.indexOf('| Target |'), page.indexOf('For all of them:'));
  const cells = table.split('\n').map((line) => line.split('|')[1] ?? '');
  const named = cells.flatMap((cell) => [...cell.matchAll(/`([\w-]+)`/g)].map(([, name]) => name));
  assert.deepEqual(named.toSorted(), all);
});

test('each target is fuzzed by one test', () => {
  const files = readdirSync(folder).filter((name) => /^guided-.*\.test\.ts$/.test(name));
  const named = files.flatMap((file) => {
    const [, object] = /^fuzz\(\{(.*)\}\);$/ms.exec(readFileSync(join(folder, file), 'utf8')) ?? assert.fail(file);
    return [...object.matchAll(/'?([\w-]+)'?: [1-9]\d*/g)].map(([, name]) => name);
  });
  assert.deepEqual(named.toSorted(), all);
});
