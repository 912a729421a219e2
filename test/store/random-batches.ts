/** Random changes of a small set of keys, so that most overwrite or delete what is in older tables. */
import { Level } from 'level';
import { sealAll } from '../../src/store/seal.js';
import type { Operation } from '../../src/store/store.js';
import type { Random } from '../support/disk.js';

/** LevelDB with the least sizes that it takes: many tables with few changes. */
export class SmallTables extends Level<Buffer, Buffer> {
  /** Merges the tables that hold keys of a range. */
  declare compactRange: (start: Buffer, end: Buffer) => Promise<void>;

  constructor(directory: string, compression = true) {
    super(directory, { ...OPTIONS, compression });
  }
}

const OPTIONS = {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  writeBufferSize: 64 * 1024,
  maxFileSize: 1024 * 1024,
} as const;

const KEYS = 4000;

export function keyOf(random: Random): Buffer {
  return Buffer.from(`\x10topic/${random(KEYS)}`);
}

/** Now and then a large value, that spans blocks of the log, or makes a table of its own. */
function contentOf(random: Random): Buffer {
  const kind = random(100);
  const length = kind === 0 ? random(200_000) : kind < 20 ? random(10_000) : random(300);
  const value = Buffer.alloc(length, 'portico');
  // Half of them do not compress.
  if (random(2) === 0) for (let at = 0; at < length; at++) value[at] = random(256);
  return value;
}

/** One batch, sealed as the store seals it. */
export function batchOf(random: Random): Operation[] {
  const changes: Operation[] = [];
  for (let n = 1 + random(60); n > 0; n--) {
    const key = keyOf(random);
    changes.push(random(3) === 0 ? { type: 'del', key } : { type: 'put', key, value: contentOf(random) });
  }
  return sealAll(changes);
}
