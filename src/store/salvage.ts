/**
 * Reads everything that can be read of a damaged store: all tables and logs, merged in the order of their keys, of each
 * key the newest value. LevelDB's own repair does not check the blocks that it reads, and after it a table with a higher
 * number hides newer values in one with a lower number.
 */
import type { Gap } from './describe.js';
import { familyRange } from './keys.js';
import { readWhatIsReadable } from './leveldb/files.js';
import { type Inspection, isLiveLog } from './leveldb/inspection.js';
import { type Change, changesOf, readLog } from './leveldb/log-file.js';
import { inOrder, readTable } from './leveldb/table-file.js';
import { isSealed } from './seal.js';

/** What could not be read, as far as it is known. */
export interface Losses {
  /** Changes that the damaged parts of the logs held, by the gaps in their numbers. */
  changes: number;
  /** Bytes of tables and logs. */
  bytes: number;
  /** Ranges of keys that a damaged part of a table held something of. */
  readonly gaps: Gap[];
  /** Keys whose value is not what was written. */
  readonly values: Buffer[];
}

export function noLosses(): Losses {
  return { changes: 0, bytes: 0, gaps: [], values: [] };
}

export interface Salvaged {
  readonly key: Buffer;
  /** In its stored form. */
  readonly value: Buffer;
}

/** A run of changes in order, which is read when its turn comes. */
interface Source {
  readonly smallest: Buffer;
  /** Whether its table stays where it is. */
  readonly stays: boolean;
  load(): Promise<readonly Change[]>;
}

/** Yields what the store holds, in order of keys; `losses` is complete at the end. */
export async function* salvage(inspection: Inspection, losses: Losses): AsyncGenerator<Salvaged> {
  for await (const { key, value } of salvageBeside(new Set(), inspection, losses))
    if (value !== null) yield { key, value };
}

/**
 * Yields what tables do not hold that stay as they are, in order of keys: what is to be changed in a store of these tables
 * alone. `losses` is complete at the end.
 * @param staying numbers of sound tables
 */
export async function* salvageBeside(
  staying: ReadonlySet<number>,
  inspection: Inspection,
  losses: Losses,
): AsyncGenerator<Pick<Change, 'key' | 'value'>> {
  let former: Buffer | null = null;
  for await (const { key, value, stays } of merged(await sourcesOf(staying, inspection, losses))) {
    if (former?.equals(key)) continue;
    former = key;
    if (stays) continue;
    const isGenuine = value === null || isSealed(key, value);
    if (!isGenuine) losses.values.push(key);
    yield { key, value: isGenuine ? value : null };
  }
}

async function sourcesOf(
  staying: ReadonlySet<number>,
  { files, manifest }: Inspection,
  losses: Losses,
): Promise<Source[]> {
  const { directory } = files;
  const sources: Source[] = [];
  const logs = [...files.logs].filter(([number]) => isLiveLog(manifest, number)).sort(([one], [other]) => one - other);
  for (const [, name] of logs) {
    const changes = logged(await readWhatIsReadable(directory, name), losses);
    if (changes.length > 0) sources.push({ smallest: changes[0].key, stays: false, load: async () => changes });
  }
  const going: Range[] = [];
  for (const [number, name] of files.tables) {
    if (staying.has(number) || (manifest !== null && !manifest.tables.has(number))) continue;
    const { changes, damagedBytes, gaps } = readTable(await readWhatIsReadable(directory, name), isSealed);
    losses.bytes += damagedBytes;
    losses.gaps.push(...gaps);
    if (changes.length === 0) continue;
    const [smallest, largest] = [Buffer.from(changes[0].key), Buffer.from(changes[changes.length - 1].key)];
    going.push({ smallest, largest });
    const load = async () => readTable(await readWhatIsReadable(directory, name), isSealed).changes;
    sources.push({ smallest, stays: false, load });
  }
  // All that is in a log is newer than all that is in tables.
  for (const number of staying) {
    const table = manifest?.tables.get(number);
    const name = files.tables.get(number);
    if (table === undefined || name === undefined || !going.some((other) => overlap(table, other))) continue;
    const load = async () => readTable(await readWhatIsReadable(directory, name), isSealed).changes;
    sources.push({ smallest: table.smallest, stays: true, load });
  }
  return sources;
}

type Range = { readonly smallest: Buffer; readonly largest: Buffer };

function overlap(one: Range, other: Range): boolean {
  return Buffer.compare(one.smallest, other.largest) <= 0 && Buffer.compare(other.smallest, one.largest) <= 0;
}

/** The changes of a log, in the order of a table. */
function logged(bytes: Buffer, losses: Losses): Change[] {
  const { records, behindDamage, damagedBytes } = readLog(bytes);
  losses.bytes += damagedBytes;
  const changes: Change[] = [];
  let next = -1;
  records.forEach((record, i) => {
    const found = changesOf(record);
    if (found === null || found.length === 0) {
      losses.bytes += found === null ? record.length : 0;
      return;
    }
    const { sequence } = found[0];
    if (behindDamage[i] && next >= 0) losses.changes += Math.max(0, sequence - next);
    next = sequence + found.length;
    for (const change of found) changes.push(change);
  });
  return changes.sort(inOrder);
}

interface Run {
  readonly changes: readonly Change[];
  readonly stays: boolean;
  at: number;
}

async function* merged(sources: Source[]): AsyncGenerator<Change & { readonly stays: boolean }> {
  const waiting = sources.sort((one, other) => Buffer.compare(other.smallest, one.smallest));
  const active: Run[] = [];
  for (;;) {
    let first: Run | null = null;
    for (const run of active) {
      if (first === null || inOrder(run.changes[run.at], first.changes[first.at]) < 0) first = run;
    }
    const next = waiting.at(-1);
    if (next !== undefined && (first === null || Buffer.compare(next.smallest, first.changes[first.at].key) <= 0)) {
      waiting.pop();
      const changes = await next.load();
      if (changes.length > 0) active.push({ changes, stays: next.stays, at: 0 });
      continue;
    }
    if (first === null) return;
    const { key, value, sequence } = first.changes[first.at++];
    yield { key, value, sequence, stays: first.stays };
    if (first.at === first.changes.length) active.splice(active.indexOf(first), 1);
  }
}

/** Whether a table holds nothing but records of one family. */
export function isOfFamily(family: number, { smallest, largest }: { smallest: Buffer; largest: Buffer }): boolean {
  const { gte, lt } = familyRange(family);
  return Buffer.compare(smallest, gte) >= 0 && Buffer.compare(largest, lt) < 0;
}
