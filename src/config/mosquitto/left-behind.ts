/** What Mosquitto has kept over its last end, which a first start of Portico would do without. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Reader } from './reader.js';

/** Mosquitto's `persistence_file` where no line says it. */
const USUAL = 'mosquitto.db';

/**
 * A warning if there is such a file, and nothing of Portico's beside it yet.
 * @param conf the main file
 * @param dataDir the data directory of Portico
 */
export function leftBehind(conf: string, { values }: Reader, dataDir: unknown): string[] {
  const persistence = values.get('persistence');
  if (persistence?.value !== true || typeof dataDir !== 'string') return [];
  const folder = values.get('persistence_location')?.value ?? '';
  const file = join(String(folder), String(values.get('persistence_file')?.value ?? USUAL));
  if (!existsSync(file) || existsSync(join(dataDir, 'store'))) return [];
  const command = `portico import mosquitto-db ${file} -c ${conf}`;
  const first = `with Portico stopped, and ${join(dataDir, 'store')} removed if it is there by then`;
  const sentence = `${file} has what Mosquitto has kept, which is not read: ${first}, "${command}" takes it over`;
  return [`${persistence.place.where}: persistence: ${sentence}`];
}
