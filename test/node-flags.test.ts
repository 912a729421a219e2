/** Whoever starts the broker as the documentation says starts it with the flags that the benchmarks and tests use. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NODE_FLAGS } from '../src/node-flags.js';
import { checkout } from './support/checkout.js';

const COMMAND = `node ${NODE_FLAGS.join(' ')}`;
const read = (file: string): string => readFileSync(join(checkout, file), 'utf8');

const STARTS: readonly [what: string, file: string, line: RegExp][] = [
  ['the portico command', 'src/main.ts', /^#!\/usr\/bin\/env -S (node .*)$/m],
  ['npm start', 'package.json', /"start": "exec (node .*) scripts\/start\.mjs"/],
  ['systemd', 'deploy/portico.service', /^ExecStart=\/usr\/bin\/env (node .*) \S+main\.js .*$/m],
];

for (const [what, file, line] of STARTS) {
  test(`${what} runs Node.js with the flags of the broker`, () => {
    assert.equal(line.exec(read(file))?.[1], COMMAND);
  });
}

test('the container runs the portico command', () => {
  const dockerfile = read('Dockerfile');
  assert.match(dockerfile, /ln -s \/portico\/dist\/src\/main\.js \/usr\/local\/bin\/portico$/m);
  assert.match(dockerfile, /^ENTRYPOINT \["portico"\]$/m);
});

test('Node.js knows the flags and follows them', () => {
  const print = 'process.stdout.write(String(require("node:v8").getHeapStatistics().heap_size_limit))';
  const limit = (flags: readonly string[]): number => Number(execFileSync(process.execPath, [...flags, '-e', print]));
  assert.ok(limit(NODE_FLAGS) < limit([]), 'a smaller young generation makes a smaller heap');
});
