/**
 * What survives a power cut. The broker runs under trace with clients of all kinds; at several points of the trace the
 * power is cut on a model disk (power-disk.ts), the real broker starts on what is left, and everything that the clients
 * had been told by then must hold. CRASH_SEED chooses other traffic and other cuts.
 */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mulberry32 } from '../support/disk.js';
import { Portico, temporaryFolder } from '../support/portico.js';
import { crashSeed } from './chance.js';
import { type Life, live, losses, World } from './power-cut-scene.js';
import { type Choose, DROPPED, type Fate, KEPT, PowerDisk, torn } from './power-disk.js';
import { type Call, pathsOf } from './trace.js';

/** What is left of a life after a cut. */
function leave(life: Life, initial: string | null, cut: number, fate: Fate): string {
  const left = join(temporaryFolder(), 'data');
  new PowerDisk(life.root, initial).replay(life.calls, cut).survive(fate, left);
  return left;
}

function copy(folder: string): string {
  const to = join(temporaryFolder(), 'data');
  cpSync(folder, to, { recursive: true });
  return to;
}

/** Creations of log files by LevelDB after the clients had come. */
function newLogs({ calls, ready }: Life): Call[] {
  const logs = calls.filter(({ name, args, begin }) => name === 'openat' && args.includes('O_CREAT') && begin > ready);
  return logs.filter((call) => pathsOf(call)[0].endsWith('.log'));
}

/** Lines of a start at which the disk has something else to lose than before. */
function turnsOfStart(life: Life, initial: string | null): number[] {
  const { turns } = new PowerDisk(life.root, initial).replay(life.calls, Number.POSITIVE_INFINITY);
  return turns.filter((line) => line < life.ready);
}

/** The line behind an acknowledgement to the publisher. */
function behindAcknowledgement({ acknowledgements }: Life, choose: Choose): number {
  return acknowledgements[choose(acknowledgements.length)] + 1;
}

/** Cuts of a life at acknowledgements, wherever they are. */
const ANYWHERE = 3;

test('power cuts with store.sync always: nothing acknowledged is lost, QoS 2 arrives once, in two lives of the broker', {
  timeout: 300_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const first = await live(new World(), null, 'always', 300, choose);
  // The first acknowledgement that a new log stands for.
  const logs = newLogs(first).map(({ end }) => 1 + (first.acknowledgements.find((line) => line > end) ?? end));
  assert.ok(logs.length > 0, 'LevelDB has begun no new log');
  const cuts = [...logs.slice(0, 2), ...Array.from({ length: ANYWHERE }, () => behindAcknowledgement(first, choose))];
  let left = '';
  for (const [index, cut] of cuts.entries()) {
    const fate = index % 2 === 0 ? DROPPED : torn(choose);
    left = leave(first, null, cut, fate);
    assert.deepEqual(await losses(copy(left), first.told(cut)), [], `cut at line ${cut} of the first life`);
  }
  const told = first.told(cuts.at(-1) as number);
  t.diagnostic(`the second life follows a cut with ${told.progress.count} of 300 publications completed`);

  const second = await live(told, left, 'always', 100, choose);
  const starting = turnsOfStart(second, left);
  for (let index = 0; index < 2 * ANYWHERE; index++) {
    const cut = index % 2 === 0 ? starting[choose(starting.length)] + 1 : behindAcknowledgement(second, choose);
    const fate = index % 4 < 2 ? DROPPED : torn(choose);
    const again = leave(second, left, cut, fate);
    assert.deepEqual(await losses(again, second.told(cut)), [], `cut at line ${cut} of the second life`);
  }
});

test('a power cut in the very first start leaves something on which the broker starts', {
  timeout: 300_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const life = await live(new World(), null, 'always', 1, choose);
  const turns = turnsOfStart(life, null);
  for (let index = 0; index < 2 * ANYWHERE; index++) {
    const cut = turns[choose(turns.length)] + 1;
    const portico = await Portico.start({
      data_dir: leave(life, null, cut, index % 2 === 0 ? DROPPED : torn(choose)),
      log: { level: 'warn', format: 'json' },
    });
    await portico.dispose();
  }
});

test('a power cut with store.sync never loses what the system had not written, the death of the process nothing', {
  timeout: 300_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const life = await live(new World(), null, 'never', 100, choose);
  const cut = behindAcknowledgement(life, choose);
  const told = life.told(cut);
  assert.deepEqual(await losses(leave(life, null, cut, KEPT), told), []);
  const lost = await losses(leave(life, null, cut, DROPPED), told);
  assert.ok(
    lost.some((line) => line.startsWith('message ')),
    'the model loses nothing, so it proves nothing',
  );
});

test('a power cut with store.sync interval loses nothing that was acknowledged before the last sync', {
  timeout: 300_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const life = await live(new World(), null, 'interval', 300, choose);
  const { logSyncs } = new PowerDisk(life.root, null).replay(life.calls, Number.POSITIVE_INFINITY);
  const own = logSyncs.filter((sync) => sync.own && sync.begin > life.ready);
  const [newLog] = newLogs(life);
  assert.ok(newLog !== undefined, 'LevelDB has begun no new log');
  const afterNewLog = own.findIndex(({ begin }) => begin > newLog.end);
  for (const index of [afterNewLog, ...Array.from({ length: ANYWHERE - 1 }, () => choose(own.length))]) {
    const next = own[index + 1]?.begin ?? Number.POSITIVE_INFINITY;
    const cut = 1 + Math.max(...logSyncs.filter(({ begin }) => begin < next).map(({ end }) => end));
    const kept = life.told(own[index].begin);
    assert.deepEqual(await losses(leave(life, null, cut, DROPPED), life.told(cut), kept), [], `cut at line ${cut}`);
  }
});
