/** The table of options of mosquitto.conf. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate } from '../../../src/cli/generate.js';
import { groups, names, rowOf } from '../../../src/config/mosquitto/table.js';
import { options } from '../../../src/config/options.js';
import { OPTION_NAMES } from './option-names.js';

const rows = groups.flatMap((group) => group.rows);

test('every option of Mosquitto 2.1.2 has a row, and no other name has one', () => {
  assert.deepEqual([...names].toSorted(), [...OPTION_NAMES].toSorted());
  assert.equal(names.length, new Set(names).size);
});

test('docs/mosquitto.md names every option', () => {
  const page = generate().get('docs/mosquitto.md') ?? '';
  for (const name of OPTION_NAMES) assert.ok(page.includes(`\`${name}\``), name);
});

test('what a row is honoured by is an option of the schema, and each row says something', () => {
  for (const { name, to = [], words } of rows) {
    assert.notEqual(words, '', name);
    assert.doesNotMatch(words, /\.$/, name);
    for (const target of to)
      assert.ok(
        options.some((option) => option.name === target),
        `${name}: ${target}`,
      );
  }
});

test('options of plugins share a row', () => {
  assert.equal(rowOf('plugin_opt_anything')?.name, 'plugin_opt_*');
  assert.equal(rowOf('auth_opt_anything')?.name, 'plugin_opt_*');
  assert.equal(rowOf('constructor'), undefined);
});
