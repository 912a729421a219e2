/**
 * The version of the whole store, under `versionKey()`: one byte, and behind it the version of the Portico that last
 * began to write, as UTF-8. It is the first record of every store, checked before anything else is read.
 *
 * A store of a newer version is refused, and so is one that has records but no version: nobody knows what they mean. An
 * older one is raised by the steps of `UPGRADES`, version by version.
 */
import { ErrorKinds, PorticoError } from '../errors.js';
import { everything, versionKey } from './keys.js';
import { STORE_VERSION } from './records.js';
import type { Operation, Store } from './store.js';

export interface StoreVersion {
  /** 1 to 255. */
  readonly version: number;
  /** Version of the Portico that wrote it, empty if it did not say. */
  readonly writer: string;
}

/** One step. It may have been cut off and is then run again from the start, so it must take what it finds. */
export interface Upgrade {
  /** The version that it reads; it leaves the next one. */
  readonly from: number;
  run(store: Store): Promise<void>;
}

/** No version has been left behind yet. */
export const UPGRADES: readonly Upgrade[] = [];

/** What a start found, and what it has to write before anything else. */
export interface PreparedStore {
  /** The version that was found, null if the store is new. */
  readonly found: StoreVersion | null;
  readonly version: number;
  /** Makes this Portico the writer; null if it is already. */
  readonly operation: Operation | null;
}

export function encodeVersion({ version, writer }: StoreVersion): Buffer {
  return Buffer.concat([Buffer.from([version]), Buffer.from(writer)]);
}

/** @throws PorticoError `PORTICO_STORE_OPEN` if it is empty or 0 */
export function decodeVersion(value: Buffer): StoreVersion {
  if (value.length === 0 || value[0] === 0) throw refused('the version of the store is damaged; restore a backup');
  return { version: value[0], writer: value.utf8Slice(1) };
}

/**
 * The version of a store, null if there is nothing in it.
 * @throws PorticoError `PORTICO_STORE_OPEN` if there is something without a version
 */
export async function readVersion(store: Store): Promise<StoreVersion | null> {
  const value = await store.get(versionKey());
  if (value !== undefined) return decodeVersion(value);
  for await (const _ of store.keys(everything())) return versionOf(undefined);
  return null;
}

/**
 * The version of a store that has records.
 * @param value of `versionKey()`
 * @throws PorticoError `PORTICO_STORE_OPEN` if there is none
 */
export function versionOf(value: Buffer | undefined): StoreVersion {
  if (value === undefined) {
    throw refused(
      'the store has records but says no version: it is not one of Portico, or it is damaged. Nothing in it was ' +
        'changed; restore a backup, or move it away to begin with an empty one',
    );
  }
  return decodeVersion(value);
}

/**
 * Opens a store and prepares it. One that is refused is closed again, so that others can use it.
 * @throws PorticoError `PORTICO_STORE_OPEN`
 */
export async function openStore(store: Store, writer: string): Promise<PreparedStore> {
  await store.open();
  try {
    return await prepareStore(store, writer);
  } catch (error) {
    await store.close();
    throw error;
  }
}

/**
 * Refuses a store that this Portico does not know, and raises an older one.
 * @param writer version of this Portico
 * @throws PorticoError `PORTICO_STORE_OPEN`
 */
export async function prepareStore(
  store: Store,
  writer: string,
  { version = STORE_VERSION, upgrades = UPGRADES }: { version?: number; upgrades?: readonly Upgrade[] } = {},
): Promise<PreparedStore> {
  const found = await readVersion(store);
  if (found !== null) refuseNewer('the store', found, writer, version);
  for (let from = found?.version ?? version; from < version; from++) {
    await raise(store, from, writer, upgrades);
  }
  // A step has written it too.
  const current = found !== null && (found.version < version || found.writer === writer);
  const operation: Operation = { type: 'put', key: versionKey(), value: encodeVersion({ version, writer }) };
  return { found, version, operation: current ? null : operation };
}

async function raise(store: Store, from: number, writer: string, upgrades: readonly Upgrade[]): Promise<void> {
  const upgrade = upgrades.find((one) => one.from === from);
  if (upgrade === undefined) throw refused(`the store has version ${from}, which portico ${writer} no longer knows`);
  try {
    await upgrade.run(store);
    // Nothing of the next version counts before all of it is on the disk.
    const value = encodeVersion({ version: from + 1, writer });
    await store.write([{ type: 'put', key: versionKey(), value }], true);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new PorticoError(
      ErrorKinds.StoreOpen,
      `the store cannot be raised from version ${from} to ${from + 1}: ${words}. The next start tries again`,
      { cause: error },
    );
  }
}

/**
 * Says in words that something is of a newer Portico.
 * @param what `the store` or a backup
 * @throws PorticoError `PORTICO_STORE_OPEN`
 */
export function refuseNewer(what: string, found: StoreVersion, writer: string, known = STORE_VERSION): void {
  if (found.version <= known) return;
  const by = found.writer === '' ? 'a newer portico' : `portico ${found.writer}`;
  throw refused(
    `${what} was written by ${by} and has version ${found.version}; this is portico ${writer}, which knows versions ` +
      `up to ${known}. Run ${by === 'a newer portico' ? by : `${by} or a newer one`}, or restore a backup of a version ` +
      'that this one knows',
  );
}

function refused(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.StoreOpen, sentence);
}

/** What the log says at the start. */
export function describeVersion({ found, version }: PreparedStore): string {
  if (found === null) return `the store is new; it has version ${version}`;
  const by = found.writer === '' ? '' : `, last written by portico ${found.writer}`;
  if (found.version === version) return `the store has version ${version}${by}`;
  return `the store had version ${found.version}${by}, and was raised to version ${version}`;
}
