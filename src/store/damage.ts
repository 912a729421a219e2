/** What a store tells of its damage, and that in words. */
import { type ClientOf, describeGap, describeKey, KINDS } from './describe.js';
import { Family } from './keys.js';
import type { Fault } from './leveldb/inspection.js';
import type { Losses } from './salvage.js';

export type Damage =
  | {
      /** Files were damaged; the store was made anew of what could be read. */
      readonly kind: 'files';
      readonly faults: readonly Fault[];
      /** Where the files are now. */
      readonly folder: string;
      /** Records that were kept, by family. */
      readonly kept: ReadonlyMap<number, number>;
      readonly losses: Losses;
      /** Client identifiers of the sessions that were kept and that `losses` names, by their numbers. */
      readonly clients: ReadonlyMap<number, string>;
    }
  | {
      /** A record could not be read; it was set aside, and is not in the store any more. */
      readonly kind: 'record';
      readonly key: Buffer;
      readonly why: string;
      /** Where it is now; null if it could not be set aside, and stays in the store. */
      readonly folder: string | null;
    }
  | {
      /** Files were damaged, and no session is known for what these have left: it was taken out of the store. */
      readonly kind: 'orphans';
      readonly sessions: readonly number[];
      /** Records, by family. */
      readonly left: ReadonlyMap<number, number>;
      /** In the queue segments among them. */
      readonly messages: number;
      /** Where the files are from which they came. */
      readonly folder: string;
    }
  | {
      /** A log ends in a write that did not come to its end: nothing that was acknowledged. */
      readonly kind: 'torn';
      readonly fault: Fault;
    };

/** Families of which a broker may have something, apart from those of programs. */
const FAMILIES = [Family.Retained, Family.Session, Family.Subscription, Family.Flow, Family.Queue, Family.Will];
/** Names of damaged records, or of ranges of them, that a sentence lists. */
const NAMED = 20;

/** How many records and parts of files a damage stands for, as far as it is known; at least one. */
export function partsOf(damage: Damage): number {
  if (damage.kind === 'orphans') return [...damage.left.values()].reduce((sum, count) => sum + count, 0);
  if (damage.kind !== 'files') return 1;
  const { changes, gaps, values } = damage.losses;
  return Math.max(damage.faults.length, changes + gaps.length + values.length);
}

export function wordsOf(damage: Damage, clientOf?: ClientOf): string {
  switch (damage.kind) {
    case 'torn':
      return `${damage.fault.file} ${damage.fault.what}; nothing of it had been acknowledged`;
    case 'record': {
      const { key, why, folder } = damage;
      const where = folder === null ? 'it could not be set aside and stays where it is' : `it is in ${folder} now`;
      return `${describeKey(key, clientOf)} cannot be read (${why}); ${where}`;
    }
    case 'orphans': {
      const { sessions, left, messages, folder } = damage;
      const whose = `${sessions.length} ${sessions.length === 1 ? 'session' : 'sessions'} (number ${listed(sessions)})`;
      const records = counted(left).join(', ');
      const passed = left.has(Family.Flow) ? 'Shared messages of an ended session go to other members. ' : '';
      return (
        `nobody gets what is left of ${whose}, whose records are lost or which had ended: ` +
        `${records} with ${messages} messages. ${passed}All of it is in ${folder}/store`
      );
    }
    case 'files': {
      const faults = damage.faults.map(({ file, what }) => `${file} ${what}`).join(', ');
      return (
        `the store was damaged: ${faults}. What could be read is kept: ${kept(damage)}. ` +
        `Lost: ${lost(damage, (session) => damage.clients.get(session))}. The files as they were are in ${damage.folder}`
      );
    }
  }
}

function kept({ kept, faults }: Extract<Damage, { kind: 'files' }>): string {
  const counts = new Map(kept);
  counts.delete(Family.Version);
  // That nothing is left of a kind may be news.
  if (faults.some(isTable)) for (const family of FAMILIES) counts.set(family, counts.get(family) ?? 0);
  const words = counted(counts);
  return words.length === 0 ? 'nothing' : words.join(', ');
}

function isTable({ file }: Fault): boolean {
  return /\.(ldb|sst)$/.test(file);
}

/** Numbers of records of each kind, in the order of their families. */
function counted(counts: ReadonlyMap<number, number>): string[] {
  const sorted = [...counts].sort(([one], [other]) => one - other);
  return sorted.map(([family, count]) => `${count} ${KINDS[family] ?? 'unknown records'}`);
}

/** What is lost, as far as it is known. */
export function lost(
  { faults, losses }: { readonly faults: readonly Fault[]; readonly losses: Losses },
  clientOf: ClientOf,
): string {
  const { changes, bytes, gaps, values } = losses;
  const words: string[] = [];
  if (changes > 0) words.push(`${changes} changes in the log`);
  if (bytes > 0) words.push(`what stood in ${bytes} bytes`);
  if (gaps.length > 0) words.push(`some of these: ${listed(gaps.map((gap) => describeGap(gap, clientOf)))}`);
  if (values.length > 0) words.push(listed(values.map((key) => describeKey(key, clientOf))));
  const gone = faults.filter(
    ({ file, what }) => /\.(ldb|sst|log)$/.test(file) && /^(is missing|has 0 bytes)/.test(what),
  );
  if (gone.length > 0) words.push(`whatever stood in ${listed(gone.map(({ file }) => file))}, which nobody can know`);
  const cut = faults.filter(
    (fault) => isTable(fault) && !gone.includes(fault) && /bytes of|no footer/.test(fault.what),
  );
  if (cut.length > 0) words.push(`whatever stood at the end of ${listed(cut.map(({ file }) => file))}`);
  return words.length === 0 ? 'nothing that is known' : words.join('; ');
}

/** Names in a sentence; not all, if there are many. */
export function listed(names: readonly (string | number)[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
