/** Makes the store of a data directory that has none: beside its place, and moved there when it is whole. */
import { existsSync, lchownSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type LoadRequest, loadConfig } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { whomToBecome } from '../server/own-user.js';
import { LevelStore } from '../store/level-store.js';
import type { Operation } from '../store/store.js';
import { flushAll, flushNames, reason, refuseRoot } from './files.js';

/** Bytes that are written to the store at a time. */
export const BATCH_BYTES: number = 1024 * 1024;

/** Adds records to the new store; they may not be changed any more. */
export type WriteBatch = (batch: Operation[]) => Promise<void>;

/**
 * Makes a store; until `fill` has resolved there is none.
 * @param command for the sentences of errors
 * @param fill writes everything
 * @returns the path of the store, and what `fill` returned
 * @throws PorticoError `PORTICO_BACKUP`, `PORTICO_STORE_OPEN`, `PORTICO_CONFIGURATION`
 */
export async function makeStore<T>(
  command: 'restore' | 'import',
  request: LoadRequest,
  fill: (write: WriteBatch, config: Config) => Promise<T>,
): Promise<{ target: string; filled: T }> {
  const { config } = loadConfig(request);
  const { data_dir: data } = config;
  if (config.store.type === 'memory') {
    const words = `${command}: store.type is memory, and nobody would read the store`;
    throw new PorticoError(ErrorKinds.Configuration, words);
  }
  const target = join(data, 'store');
  refuseStore(command, target);
  const { temporary, made } = await makeFolders(command, data);
  const store = new LevelStore(temporary);
  try {
    await store.open();
    const filled = await fill((batch) => write(command, store, batch, data), config);
    await store.close();
    await flushAll(temporary);
    giveAway(temporary, made, config);
    refuseStore(command, target);
    renameSync(temporary, target);
    await flushNames(data);
    await flushNames(dirname(data));
    return { target, filled };
  } catch (error) {
    await store.close();
    rmSync(temporary, { recursive: true, force: true });
    if (made !== undefined) rmSync(made, { recursive: true, force: true });
    throw error instanceof PorticoError ? error : failed(command, `cannot write to ${data}: ${reason(error)}`, error);
  }
}

/** What root has made here belongs to the user that the broker becomes. Only root's own folders get here (`refuseRoot`). */
function giveAway(store: string, made: string | undefined, config: Config): void {
  const user = whomToBecome(config);
  if (user === null) return;
  for (const name of readdirSync(store)) lchownSync(join(store, name), user.uid, user.gid);
  lchownSync(store, user.uid, user.gid);
  if (made === undefined) return;
  for (let path = resolve(config.data_dir); ; path = dirname(path)) {
    lchownSync(path, user.uid, user.gid);
    if (path === resolve(made)) return;
  }
}

async function write(command: string, store: LevelStore, batch: Operation[], data: string): Promise<void> {
  try {
    await store.write(batch, false);
  } catch (error) {
    throw new PorticoError(ErrorKinds.StoreCommit, `${command}: cannot write to ${data}: ${reason(error)}`, {
      cause: error,
    });
  }
}

function failed(command: string, sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.Backup, `${command}: ${sentence}`, { cause });
}

function refuseStore(command: string, target: string): void {
  if (existsSync(target) && readdirSync(target).length > 0) {
    const words = `there is a store in ${target} already; ${command} into another folder (--data), or move it away`;
    throw failed(command, words);
  }
}

/** A folder beside the store's, and the first of the folders that had to be made for it. */
async function makeFolders(command: string, data: string): Promise<{ temporary: string; made: string | undefined }> {
  try {
    refuseRoot(data);
    const made = mkdirSync(data, { recursive: true, mode: 0o700 });
    return { temporary: await mkdtemp(join(data, `store.${command}-`)), made };
  } catch (error) {
    if (error instanceof PorticoError) throw error;
    throw failed(command, `cannot write to ${data}: ${reason(error)}`, error);
  }
}
