/**
 * `npm run fuzz -- [target ...] [--minutes N] [--seed n|random] [--input HEX] [--keep]`: fuzzes the parsers for as long as
 * one likes, the targets in turn. An input that breaks something is printed, and saved in fuzz-findings/.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from '../support/checkout.js';
import { Coverage } from './guide/coverage.js';
import { corpusFile, corpusOf, Finding, Guided } from './guide/guided.js';
import { Memory } from './guide/memory.js';
import { Watchdog } from './guide/watchdog.js';
import type { Target } from './target.js';
import { TARGETS, type TargetName } from './targets.js';

/** Milliseconds that one input may take; a machine that does other things as well is slow at times. */
const PATIENCE = 5_000;
/** Bytes of what is kept for the repository: of all inputs of a target, and of the longest. */
const MOST_KEPT = 6_000;
const LONGEST_KEPT = 400;

const findings = join(checkout, 'fuzz-findings');
const usage = `npm run fuzz -- [target ...] [--minutes N] [--seed n|random] [--input HEX] [--keep]

  --minutes N   how long, for all targets together (default 1)
  --seed n      what the changes follow from (default 1), or random
  --input HEX   runs one input only, as a finding names it
  --keep        writes the inputs that reach the most to test/fuzz/corpus/`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    input: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

// Before a target is loaded, so that its files are seen block by block.
const coverage = new Coverage();

function chosen(): readonly TargetName[] {
  const all = Object.keys(TARGETS) as TargetName[];
  const unknown = positionals.find((word) => all.every((name) => name !== word));
  if (unknown !== undefined) {
    console.error(`there is no target ${unknown}; there are ${all.join(', ')}`);
    process.exit(1);
  }
  return positionals.length === 0 ? all : all.filter((name) => positionals.includes(name));
}

/** The smallest inputs that together reach what all of them do. */
async function smallest(guided: Guided): Promise<Buffer[]> {
  const known = new Set(guided.target.seeds().map((bytes) => bytes.toString('hex')));
  const candidates = guided.corpus.toSorted((a, b) => a.length - b.length);
  const again = new Guided(guided.target, observers, 1);
  await again.begin(guided.target.seeds());
  const before = again.corpus.length;
  await again.begin(candidates.filter((bytes) => bytes.length <= LONGEST_KEPT));
  let size = 0;
  return again.corpus.slice(before).filter((bytes) => {
    size += bytes.length;
    return size <= MOST_KEPT && !known.has(bytes.toString('hex'));
  });
}

async function fuzz(target: Target, seed: number, minutes: number): Promise<void> {
  const guided = new Guided(target, observers, seed, PATIENCE);
  await guided.begin([...target.seeds(), ...corpusOf(target.name)]);
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) await guided.batch();
  console.log(`${target.name}: ${guided.executions} inputs, ${guided.corpus.length} of them kept, seed ${seed}`);
  for (const line of coverage.report()) console.log(`  ${line}`);
  if (!values.keep) return;
  const kept = await smallest(guided);
  if (kept.length > 0)
    writeFileSync(corpusFile(target.name), kept.map((bytes) => `${bytes.toString('hex')}\n`).join(''));
  console.log(`  ${kept.length} written to ${corpusFile(target.name)}`);
}

function save(target: Target, { input }: Finding): void {
  mkdirSync(findings, { recursive: true });
  const file = join(findings, `${target.name}.txt`);
  writeFileSync(file, `${input.toString('hex')}\n`, { flag: 'a' });
  console.error(`saved in ${file}; again: npm run fuzz -- ${target.name} --input ${input.toString('hex')}`);
}

const memory = new Memory();
const watchdog = new Watchdog(join(findings, 'endless.txt'));
const seed = values.seed === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
// What nobody awaits is a finding too: of the input under way, or the one before it.
const stray: unknown[] = [];
process.on('uncaughtException', (error) => stray.push(error));
const observers = { coverage, memory, watchdog, stray };

if (values.help) console.log(usage);
else {
  const targets = chosen();
  for (const name of targets) {
    const target = await TARGETS[name]();
    try {
      if (values.input === undefined) await fuzz(target, seed, Number(values.minutes) / targets.length);
      else {
        const bytes = Buffer.from(values.input, 'hex');
        watchdog.begin(bytes);
        console.log(await target.run(bytes));
        watchdog.rest();
      }
    } catch (error) {
      process.exitCode = 1;
      if (error instanceof Finding) save(target, error);
      console.error(error instanceof Error ? error.message : error);
      if (!(error instanceof Finding)) console.error(error);
    } finally {
      await target.close?.();
    }
  }
}
memory.close();
coverage.close();
await watchdog.close();
for (const error of stray) {
  process.exitCode = 1;
  console.error('an exception that reached the process:', error);
}
process.exit();
