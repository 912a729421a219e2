import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NameTable } from '../../src/bus/name-table.js';
import { mulberry32 } from '../support/disk.js';

test('a table of names gives what a Map gives, with few names and with many, through additions and removals', () => {
  const choose = mulberry32(7);
  const table = new NameTable<number>();
  const model = new Map<string, number>();
  const nameOf = (): string => (choose(50) === 0 ? 'x'.repeat(choose(20_000)) : `name-${choose(12_000)}-é`);
  for (let step = 0; step < 60_000; step++) {
    const name = nameOf();
    assert.equal(table.get(name), model.get(name));
    if (choose(3) > 0) {
      table.set(name, step);
      model.set(name, step);
    } else assert.equal(table.delete(name), model.delete(name));
    assert.equal(table.size, model.size);
  }
  for (const [name, value] of model) assert.equal(table.get(name), value);
});

test('names that come and go do not wear a table of names out', () => {
  const table = new NameTable<number>();
  for (let i = 0; i < 2000; i++) table.set(`kept-${i}`, i);
  for (let i = 0; i < 200_000; i++) {
    table.set(`passing-${i}`, i);
    assert.equal(table.delete(`passing-${i}`), true);
    assert.equal(table.get(`passing-${i}`), undefined);
  }
  for (let i = 0; i < 2000; i++) assert.equal(table.get(`kept-${i}`), i);
});
