/** What a store tells of its damage, and that in words. */
import { describeKey, KINDS } from './describe.js';
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
      /** A log ends in a write that did not come to its end: nothing that was acknowledged. */
      readonly kind: 'torn';
      readonly fault: Fault;
    };

/** Names of damaged records, or of ranges of them, that a sentence lists. */
const NAMED = 20;

/** How many records and parts of files a damage stands for, as far as it is known; at least one. */
export function partsOf(damage: Damage): number {
  if (damage.kind !== 'files') return 1;
  const { changes, gaps, values } = damage.losses;
  return Math.max(damage.faults.length, changes + gaps.length + values.length);
}

/** @param clientOf the client identifier of a session number, if it is known */
export function wordsOf(damage: Damage, clientOf?: (session: number) => string | undefined): string {
  switch (damage.kind) {
    case 'torn':
      return `${damage.fault.file} ${damage.fault.what}; nothing of it had been acknowledged`;
    case 'record': {
      const { key, why, folder } = damage;
      const where = folder === null ? 'it could not be set aside and stays where it is' : `it is in ${folder} now`;
      return `${describeKey(key, clientOf)} cannot be read (${why}); ${where}`;
    }
    case 'files': {
      const faults = damage.faults.map(({ file, what }) => `${file} ${what}`).join(', ');
      return (
        `the store was damaged: ${faults}. Everything that could be read is served: ${kept(damage.kept)}. ` +
        `Lost: ${lost(damage.losses)}. The files as they were are in ${damage.folder}`
      );
    }
  }
}

function kept(counts: ReadonlyMap<number, number>): string {
  const words = [...counts].map(([family, count]) => `${count} ${KINDS[family] ?? 'unknown records'}`);
  return words.length === 0 ? 'nothing' : words.join(', ');
}

/** What is lost, as far as it is known. */
export function lost({ changes, bytes, gaps, values }: Losses): string {
  const words: string[] = [];
  if (changes > 0) words.push(`${changes} changes in the log`);
  if (bytes > 0) words.push(`what stood in ${bytes} bytes`);
  const ranges = gaps.map(({ after, upTo }) =>
    after === null ? `up to ${describeKey(upTo)}` : `behind ${describeKey(after)} up to ${describeKey(upTo)}`,
  );
  if (ranges.length > 0) words.push(`some records between these: ${listed(ranges)}`);
  if (values.length > 0) words.push(listed(values.map((key) => describeKey(key))));
  return words.length === 0 ? 'nothing that is known' : words.join('; ');
}

/** Names in a sentence; not all, if there are many. */
export function listed(names: readonly string[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
