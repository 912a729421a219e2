/**
 * Looks at the files of a store before LevelDB does, which would take much damage for good: it drops the rest of a block
 * of the log without a word, makes an empty store where CURRENT is missing, and deletes tables that a cut MANIFEST does
 * not name. Changes nothing.
 */

import { codeOf, listFiles, readWhatIsReadable, type StoreFiles } from './files.js';
import { changesOf, readLog } from './log-file.js';
import { type LiveTable, type Manifest, readManifest } from './manifest.js';
import { faultOf } from './table-file.js';

/** Something that is not as it was written. */
export interface Fault {
  /** Name of the file. */
  readonly file: string;
  /** In words, behind the name. */
  readonly what: string;
}

export interface Inspection {
  readonly files: StoreFiles;
  readonly faults: readonly Fault[];
  /** Logs with a write at their end that did not come to its end, as a kill or a power cut leaves it. */
  readonly torn: readonly Fault[];
  /** What makes up the store; null if that is not known for certain, and everything that is there has to be read. */
  readonly manifest: Manifest | null;
  /** Tables whose data blocks have not been looked at. */
  readonly unread: readonly LiveTable[];
}

/**
 * Looks at everything that makes up the store.
 * @param mayWait whether the data of a table need not be looked at now
 */
export async function inspect(directory: string, mayWait: (table: LiveTable) => boolean): Promise<Inspection> {
  const files = await listFiles(directory);
  const faults: Fault[] = [];
  const torn: Fault[] = [];
  const unread: LiveTable[] = [];
  const isNew = !files.current && files.tables.size === 0 && files.logs.size === 0;
  if (isNew) return { files, faults, torn, manifest: null, unread };
  let manifest = await currentManifest(files, faults);
  for (const table of manifest?.tables.values() ?? []) {
    const name = files.tables.get(table.number);
    if (name === undefined) {
      faults.push({ file: `${String(table.number).padStart(6, '0')}.ldb`, what: 'is missing' });
      continue;
    }
    const wait = mayWait(table);
    if (wait) unread.push(table);
    const fault = faultOf(await readWhatIsReadable(directory, name), table.size, !wait);
    if (fault !== null) faults.push({ file: name, what: fault });
  }
  const logNumber = manifest?.logNumber ?? 0;
  if (logNumber > 0 && !files.logs.has(logNumber)) {
    faults.push({ file: `${String(logNumber).padStart(6, '0')}.log`, what: 'is missing' });
  }
  // The MANIFEST of a store that has just been made names neither tables nor a log.
  if (logNumber === 0 && manifest !== null && files.tables.size > 0) {
    faults.push({ file: 'MANIFEST', what: 'names none of the tables that are there' });
    manifest = null;
  }
  // Then all that are there are read.
  if (manifest === null) {
    for (const name of files.tables.values()) {
      const bytes = await readWhatIsReadable(directory, name);
      const fault = bytes.length === 0 ? 'has 0 bytes' : faultOf(bytes, bytes.length, true);
      if (fault !== null) faults.push({ file: name, what: fault });
    }
  }
  // A file that is missing may mean that the MANIFEST is older than the store.
  if (faults.some(({ what }) => what === 'is missing')) manifest = null;
  for (const [number, name] of files.logs) {
    if (!isLiveLog(manifest, number)) continue;
    const { records, damagedBytes, tornBytes } = readLog(await readWhatIsReadable(directory, name));
    const malformed = records.filter((record) => changesOf(record) === null).length;
    if (damagedBytes > 0) faults.push({ file: name, what: `has ${damagedBytes} damaged bytes` });
    else if (malformed > 0) faults.push({ file: name, what: `has ${malformed} records that do not parse` });
    if (tornBytes > 0) torn.push({ file: name, what: `ends in ${tornBytes} bytes of a write that was cut off` });
  }
  return { files, faults, torn, manifest, unread };
}

/** Whether a log holds what is not in the tables. */
export function isLiveLog(manifest: Manifest | null, number: number): boolean {
  return manifest === null || number >= manifest.logNumber || number === manifest.previousLog;
}

async function currentManifest(files: StoreFiles, faults: Fault[]): Promise<Manifest | null> {
  const { directory } = files;
  if (!files.current) {
    faults.push({ file: 'CURRENT', what: 'is missing' });
    return null;
  }
  const name = /^(MANIFEST-\d+)\n$/.exec((await readWhatIsReadable(directory, 'CURRENT')).latin1Slice())?.[1];
  if (name === undefined) {
    faults.push({ file: 'CURRENT', what: 'names no MANIFEST' });
    return null;
  }
  try {
    const manifest = readManifest(await readWhatIsReadable(directory, name));
    if (!manifest.damaged) return manifest;
    faults.push({ file: name, what: 'is damaged' });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    faults.push({ file: name, what: 'is missing' });
  }
  return null;
}
