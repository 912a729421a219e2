/**
 * `npm test`: installs what is missing, checks style and types, builds, and runs every test. Words after `--` choose
 * test files whose path contains one of them; flags go to Node's test runner.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import {
  buildIfStale,
  fail,
  installPackages,
  installSystemPackages,
  requireNode,
  root,
  searchPath,
} from './prepare.mjs';

/** Milliseconds that one test file may take: what hangs has failed. */
const PATIENCE = 600_000;
const COLORS = process.stdout.isTTY ? 'force' : 'off';

/** Runs a Node program with its output on ours; resolves with its exit code. A signal to us is one to it. */
function node(args) {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: searchPath };
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
    child.on('close', (code) => resolve(code ?? 1));
  });
}

function testFiles(words) {
  const folder = join(root, 'dist', 'test');
  const files = readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith('.test.js'))
    .map((file) => relative(root, join(folder, file)))
    .sort();
  if (words.length === 0) return files;
  return files.filter((file) => words.some((word) => file.includes(word.replace(/\.ts$/, '.js'))));
}

/** A number of the summary that Node's test runner writes at the end. */
function count(report, name) {
  const found = [...report.matchAll(new RegExp(`^# ${name} (\\d+)$`, 'gm'))].at(-1);
  if (found === undefined) fail(`the test runner's report has no line "# ${name}"`);
  return Number(found[1]);
}

requireNode();
installPackages();
installSystemPackages();

const biome = join('node_modules', '@biomejs', 'biome', 'bin', 'biome');
if ((await node([biome, 'ci', `--colors=${COLORS}`, '.'])) !== 0)
  fail('the linter refuses the sources; mend them with: npm run format');
buildIfStale('all');

const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith('-'));
const words = args.filter((arg) => !arg.startsWith('-'));
const files = testFiles(words);
if (files.length === 0) fail(`no test file has ${words.join(' or ')} in its path`);

const report = join(root, 'dist', 'test-report.tap');
const outcome = await node([
  '--test',
  '--test-concurrency=2',
  `--test-timeout=${PATIENCE}`,
  '--test-reporter=spec',
  '--test-reporter-destination=stdout',
  '--test-reporter=tap',
  `--test-reporter-destination=${report}`,
  ...flags,
  ...files,
]);
if (outcome !== 0) process.exit(outcome);
const text = readFileSync(report, 'utf8');
if (count(text, 'tests') === 0) fail('no test has run');
// With a flag such as --test-name-pattern, what is left out counts as skipped.
if (flags.length === 0 && count(text, 'skipped') + count(text, 'todo') > 0) {
  fail(
    'a test was skipped; a test that cannot run has failed',
    text
      .split('\n')
      .filter((line) => /# (SKIP|TODO)/.test(line))
      .join('\n'),
  );
}
