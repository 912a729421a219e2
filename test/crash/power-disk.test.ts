/** The model disk of the power-cut tests forgets what it should, and nothing else. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../support/portico.js';
import { DROPPED, type Fate, KEPT, PowerDisk } from './power-disk.js';
import { readTrace, tracer } from './trace.js';

/** What is left, by name, of what a program does in an empty directory before the power is cut at its end. */
function leftBy(program: string, fate: Fate): Record<string, string> {
  const folder = temporaryFolder();
  const root = join(folder, 'data');
  mkdirSync(root);
  const trace = join(folder, 'trace');
  const [command, ...args] = [...tracer(trace), process.execPath, '-e', `${HEAD}${program}`, root];
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const left = join(folder, 'left');
  const calls = readTrace(trace);
  assert.ok(calls.length > 0, `strace has written nothing: ${stderr}`);
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  new PowerDisk(root, empty).replay(calls, Number.POSITIVE_INFINITY).survive(fate, left);
  return Object.fromEntries(readdirSync(left).map((name) => [name, readFileSync(join(left, name), 'latin1')]));
}

const HEAD = `
const { closeSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, renameSync, unlinkSync, writeSync } = require('node:fs');
process.chdir(process.argv[1]);
const path = (name) => process.argv[1] + '/' + name;
const directory = openSync(process.argv[1], 'r');
const create = (name) => openSync(path(name), 'w');
`;

test('bytes that no fsync covered are gone, those that one covered stay, with zeros and quotes', () => {
  const program = `
    const a = create('a');
    writeSync(a, Buffer.from('one"\\\\\\0\\xff1', 'latin1'));
    fdatasyncSync(a);
    writeSync(a, 'two');
    const b = create('b');
    writeSync(b, 'lost');
    fsyncSync(directory);
  `;
  assert.deepEqual(leftBy(program, DROPPED), { a: 'one"\\\0\xff1', b: '' });
  assert.deepEqual(leftBy(program, KEPT), { a: 'one"\\\0\xff1two', b: 'lost' });
});

test('names that no fsync of the directory covered are gone, also those of files that were synced', () => {
  const program = `
    const a = create('a');
    writeSync(a, 'a');
    fsyncSync(a);
    fsyncSync(directory);
    const b = create('b');
    writeSync(b, 'b');
    fsyncSync(b);
    renameSync(path('b'), path('c'));
    unlinkSync(path('a'));
  `;
  assert.deepEqual(leftBy(program, DROPPED), { a: 'a' });
  assert.deepEqual(leftBy(program, KEPT), { c: 'b' });
  assert.deepEqual(leftBy(program, { ...DROPPED, names: () => 1 }), { a: 'a', b: 'b' });
});

test('of writes that no fsync covered a part may survive behind one that did not, with zeros before it', () => {
  const program = `
    const a = create('a');
    fsyncSync(directory);
    writeSync(a, 'one');
    writeSync(a, 'two');
  `;
  let writes = 0;
  assert.deepEqual(leftBy(program, { ...DROPPED, bytes: () => writes++ * 2 }), { a: '\0\0\0tw' });
});
