/**
 * Each record that a kind of docs/durability.md rests on is damaged, in each way. All kinds are served as they were but
 * those that rest on what was damaged: they may be set aside and named, or, of what was ended, be as before.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { Level } from 'level';
import { describeGap, describeKey } from '../../src/store/describe.js';
import { Family, flowKey, retainedKey, sessionOf } from '../../src/store/keys.js';
import { type Change, changesOf, readLog } from '../../src/store/leveldb/log-file.js';
import { readTable } from '../../src/store/leveldb/table-file.js';
import { sessionNumberIn } from '../../src/store/records.js';
import { isSealed } from '../../src/store/seal.js';
import { DAMAGED, KINDS, type Kind } from '../crash/survival-kinds.js';
import { type Found, familyOf, foundIn, isAllowed, nameOf, OWED, WHOLE } from './damage-kinds.js';
import {
  assertSetAside,
  copyOf,
  filesOf,
  flip,
  killedKinds,
  NONSENSE,
  originalsOf,
  put,
  type Start,
  scratch,
  start,
  valuesAside,
} from './damage-scene.js';

/** What a damage has taken, and how it is accounted for. */
interface Lost {
  readonly keys: readonly Buffer[];
  /** Checks that what was damaged is set aside and named. */
  assertNamed(started: Start): void;
  /** Whether a record that is not served, of a kind that rests on these keys, is set aside and named. */
  accounts(holder: Buffer, started: Start): boolean;
}

/** Damages the last record under a key, or its deletion. */
type Damage = (directory: string, key: Buffer) => Promise<Lost>;

/** The least that LevelDB takes. */
const BLOCK = 1024;

let scene: { readonly directory: string };
/** The changes of the log, commit by commit: they bring about all kinds. */
let commits: Change[][];

before(async () => {
  scene = { directory: await killedKinds() };
  commits = readLog(readFileSync(join(scene.directory, 'store', logOf(scene.directory)))).records.map((record) => {
    const changes = changesOf(record);
    assert.ok(changes !== null);
    return changes;
  });
});

function logOf(directory: string): string {
  const [log, ...more] = filesOf(directory).filter((name) => name.endsWith('.log'));
  assert.ok(log !== undefined && more.length === 0);
  return log;
}

const isIn = (keys: readonly Buffer[], key: Buffer): boolean => keys.some((other) => other.equals(key));

/** The last change of each key that has something of a kind: its own, and those of its sessions. */
function changesFor(kind: Kind): Change[] {
  const name = nameOf(kind);
  const changes = commits.flat();
  const own = changes.filter(({ key, value }) => key.includes(name) || value?.includes(name) === true);
  const flows: Buffer[] = [];
  for (const { key, value } of own) {
    const number = key[0] === Family.Session && value !== null ? sessionNumberIn(value) : null;
    if (number !== null) flows.push(flowKey(number));
    if (key[0] === Family.Subscription || key[0] === Family.Queue) flows.push(flowKey(sessionOf(key)));
  }
  const last = new Map<string, Change>();
  for (const change of changes)
    if (own.includes(change) || isIn(flows, change.key)) last.set(change.key.toString('hex'), change);
  return [...last.values()];
}

/** The key under which a kind stands, or stood before it was deleted. */
function holderOf(kind: Kind): Buffer {
  const deleted = DAMAGED[kind] === 'yes, or undone';
  const holders = changesFor(kind).filter(
    ({ key, value }) => key[0] === familyOf(kind) && (value === null) === deleted,
  );
  assert.equal(holders.length, 1, `${kind} stands in one record`);
  return holders[0].key;
}

async function inRecord(key: Buffer, damage: Promise<void>): Promise<Lost> {
  await damage;
  const isAside = (started: Start, aside: Buffer): boolean =>
    valuesAside(started.directory).some((record) => record.key === aside.toString('base64'));
  return {
    keys: [key],
    assertNamed(started) {
      const words = describeKey(key);
      const told = started.lines.filter((line) => line.startsWith(words) && line.includes('cannot be read'));
      assert.equal(told.length, 1, `${words} in ${started.lines.join('\n')}`);
      assert.ok(isAside(started, key), `${words} is not aside`);
    },
    accounts: (holder, started) => isAside(started, holder),
  };
}

const RECORD_DAMAGES: Readonly<Record<string, Damage>> = {
  'a record that does not decode': (directory, key) =>
    inRecord(key, put(directory, { type: 'put', key, value: NONSENSE })),
  'a record whose checksum is wrong': (directory, key) => inRecord(key, scratch(directory, key)),
};

function inFile(directory: string, keys: readonly Buffer[], assertNamed: Lost['assertNamed']): Lost {
  const originals = originalsOf(directory);
  return {
    keys,
    assertNamed(started) {
      assertSetAside(directory, originals);
      assertNamed(started);
    },
    accounts: (holder, { damages }) =>
      isIn(keys, holder) ||
      damages.some((damage) => damage.kind === 'orphans' && damage.sessions.includes(sessionOf(holder))),
  };
}

const FILE_DAMAGES: Readonly<Record<string, Damage>> = {
  async 'a flipped bit in a table'(directory, key) {
    // Opening makes a table of the log: here one of small blocks in which each key stands as it is.
    const db = new Level(join(directory, 'store'), { blockSize: BLOCK, blockRestartInterval: 1, compression: false });
    await db.open();
    await db.close();
    const table = filesOf(directory).findLast((name) => name.endsWith('.ldb'));
    assert.ok(table !== undefined);
    const path = join(directory, 'store', table);
    const whole = readTable(readFileSync(path), isSealed).changes;
    const { value } = whole.find((change) => change.key.equals(key)) as Change;
    // Behind a key stands whether it was deleted; of its changes the last one comes first.
    flip(path, readFileSync(path).indexOf(Buffer.concat([key, Buffer.from([value === null ? 0 : 1])])), 0);
    const left = new Set(readTable(readFileSync(path), isSealed).changes.map(({ sequence }) => sequence));
    const lost = whole.filter(({ sequence }) => !left.has(sequence));
    const keys = lost.map((change) => change.key);
    assert.ok(isIn(keys, key));
    const sizes = lost.map((change) => change.key.length + (change.value?.length ?? 0));
    assert.ok(sizes.slice(0, -1).reduce((sum, size) => sum + size, 0) < BLOCK, 'one block');
    return inFile(directory, keys, ({ lines: [line], damages: [files] }) => {
      assert.ok(files?.kind === 'files');
      const [gap, ...more] = files.losses.gaps;
      assert.equal(more.length, 0);
      assert.ok((gap.after === null || Buffer.compare(gap.after, key) <= 0) && Buffer.compare(key, gap.upTo) <= 0);
      assert.ok(line.includes(`${table} has a damaged block`), line);
      assert.ok(line.includes(describeGap(gap, (session) => files.clients.get(session))), line);
    });
  },

  async 'a flipped bit in the log'(directory, key) {
    const log = logOf(directory);
    const path = join(directory, 'store', log);
    // Before a key stands its length.
    flip(path, readFileSync(path).lastIndexOf(Buffer.concat([Buffer.from([key.length]), key])) + key.length, 0);
    const commit = commits.findLast((changes) => changes.some((change) => change.key.equals(key))) as Change[];
    const keys = commit.map((change) => change.key);
    // How many changes there were says the number of the next one, if there is one.
    const words = commit === commits.at(-1) ? '' : `${commit.length} changes in the log; `;
    return inFile(directory, keys, ({ lines: [line] }) =>
      assert.match(line, new RegExp(`${log} has \\d+ damaged bytes\\..* Lost: ${words}what stood in \\d+ bytes`)),
    );
  },
};

/** Starts a broker on a damaged store, and checks what it serves of each kind. */
async function check(directory: string, damaged: Buffer, lost: Lost): Promise<void> {
  const started = await start(directory);
  const found = await foundIn(started.engine);
  await started.engine.stop();
  const what = describeKey(damaged);
  lost.assertNamed(started);
  for (const kind of KINDS) {
    if (found[kind] === WHOLE[kind]) continue;
    const message = `${kind} is ${found[kind]} without ${what}`;
    assert.ok(
      changesFor(kind).some(({ key }) => isIn(lost.keys, key)),
      message,
    );
    assert.ok(isAllowed(kind, found[kind]), message);
    assertAccounted(kind, found[kind], lost, started, message);
  }
}

function assertAccounted(kind: Kind, found: Found, lost: Lost, started: Start, message: string): void {
  const hasLost = (families: readonly number[]): boolean => lost.keys.some(([family]) => families.includes(family));
  if (found === 'older') assert.ok(isIn(lost.keys, holderOf(kind)), message);
  else if (found === 'twice') assert.ok(hasLost([Family.Flow, Family.Session]), message);
  else assert.ok(lost.accounts(holderOf(kind), started), `${message}, and is not set aside`);
}

test('the scene has each kind, and a healthy store serves it', async () => {
  const started = await start(copyOf(scene));
  assert.deepEqual(await foundIn(started.engine), WHOLE);
  await started.engine.stop();
  assert.deepEqual(started.lines, []);
});

for (const kind of KINDS) {
  if (DAMAGED[kind] === 'not stored') {
    test(`${kind}: no record has anything of it`, () => {
      const keys = changesFor(kind).map(({ key }) => key);
      // The message that is owed is kept, as any retained one.
      const kept = kind === OWED ? [retainedKey(`${nameOf(kind)}/owed`)] : [];
      assert.deepEqual(keys, kept);
    });
    continue;
  }
  describe(kind, () => {
    // A deletion leaves no record.
    const damages = DAMAGED[kind] === 'yes, or undone' ? FILE_DAMAGES : { ...RECORD_DAMAGES, ...FILE_DAMAGES };
    for (const [damage, inflict] of Object.entries(damages)) {
      test(`${kind}: ${damage}`, async () => {
        const isRecord = damage in RECORD_DAMAGES;
        const keys = changesFor(kind).flatMap(({ key, value }) => (isRecord && value === null ? [] : [key]));
        assert.ok(isIn(keys, holderOf(kind)));
        for (const key of keys) {
          const directory = copyOf(scene);
          await check(directory, key, await inflict(directory, key));
        }
      });
    }
  });
}
