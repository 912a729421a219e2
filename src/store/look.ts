/** Reads a store that no broker has open, and changes nothing in it, damaged or not. */

import { ErrorKinds, PorticoError } from '../errors.js';
import { Family, textOf, versionKey } from './keys.js';
import { reason } from './level-errors.js';
import { type Fault, inspect } from './leveldb/inspection.js';
import { assertUnlocked } from './maintenance.js';
import { STORE_VERSION, sessionNumberIn } from './records.js';
import { type Losses, noLosses, type Salvaged, salvage } from './salvage.js';
import { unsealed } from './seal.js';
import { type StoreVersion, versionOf } from './upgrade.js';

/** What stands in a store. */
export interface Look {
  /** Damaged files; of a sound store none. */
  readonly faults: readonly Fault[];
  /** What cannot be read; known when the entries have been read to their end. */
  readonly losses: Losses;
  /** Client identifiers by the numbers of their sessions, if files are damaged; known with the losses. */
  readonly clients: ReadonlyMap<number, string>;
  /** Null if there is nothing in it. */
  readonly version: StoreVersion | null;
  /** Everything that can be read, in the order of keys; to be read once. */
  readonly entries: AsyncIterable<[Buffer, Buffer]>;
}

/**
 * @param directory of LevelDB; null is returned if there is no store in it
 * @throws PorticoError `PORTICO_STORE_OPEN` if another process uses it, or nobody knows what its records mean
 */
export async function lookAt(directory: string): Promise<Look | null> {
  try {
    const inspection = await inspect(directory, () => false);
    const { current, tables, logs } = inspection.files;
    if (!current && tables.size === 0 && logs.size === 0) return null;
    await assertUnlocked(directory);
    const losses = noLosses();
    const clients = new Map<number, string>();
    const entries = genuine(salvage(inspection, losses), inspection.faults.length > 0 ? clients : null);
    const first = await entries.next();
    const stated = !first.done && first.value[0][0] === Family.Version ? first.value : null;
    const lost = inspection.faults.length > 0 || losses.values.some((key) => key.equals(versionKey()));
    // Records without a version are refused, and each says its own.
    const version = stated ?? (lost ? versionRecord() : null);
    return {
      faults: inspection.faults,
      losses,
      clients,
      version: first.done ? null : versionOf(version?.[1]),
      entries: chain(first.done || stated !== null ? null : version, first, entries),
    };
  } catch (error) {
    if (error instanceof PorticoError) throw error;
    throw new PorticoError(ErrorKinds.StoreOpen, `cannot read the store in ${directory}: ${reason(error)}`, {
      cause: error,
    });
  }
}

function versionRecord(): [Buffer, Buffer] {
  return [versionKey(), Buffer.from([STORE_VERSION])];
}

async function* genuine(
  found: AsyncIterable<Salvaged>,
  clients: Map<number, string> | null,
): AsyncGenerator<[Buffer, Buffer], void> {
  for await (const { key, value: stored } of found) {
    const value = unsealed(key, stored) as Buffer;
    const number = clients !== null && key[0] === Family.Session ? sessionNumberIn(value) : null;
    if (number !== null) clients?.set(number, textOf(key));
    yield [key, value];
  }
}

async function* chain(
  version: [Buffer, Buffer] | null,
  first: IteratorResult<[Buffer, Buffer], void>,
  rest: AsyncIterable<[Buffer, Buffer]>,
): AsyncGenerator<[Buffer, Buffer]> {
  if (first.done) return;
  if (version !== null) yield version;
  yield first.value;
  yield* rest;
}
