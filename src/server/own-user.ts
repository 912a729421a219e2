/**
 * Root becomes another user (option `user`): after the files were read and what only root may bind is bound, and before
 * anything is written. It happens once, for all threads, and either wholly or the start stops.
 */
import { accessSync, chownSync, constants, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { LoadedConfig } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { sourceOf } from '../config/source.js';
import { namedUser, type SystemUser } from '../config/system-users.js';
import { becameUser, ErrorKinds, PorticoError } from '../errors.js';
import { bindEarly } from './early-sockets.js';

const { R_OK, W_OK, X_OK } = constants;
/** Of the data directory itself; as the store makes it. */
const FOLDER_MODE = 0o700;
const MAY_NOT = ['EACCES', 'EPERM'];
/** With it the system works for the process in threads that stay root. */
const IO_URING = 'UV_USE_IO_URING';

/** What Node.js has, and its declarations leave out. */
type WithGroups = NodeJS.Process & { initgroups?(user: string, extraGroup: number): void };

/** Whom this process has to become; null if it stays who it is. */
export function whomToBecome({ user: name }: Pick<Config, 'user'>, own = process.geteuid?.()): SystemUser | null {
  if (name === undefined || own !== 0) return null;
  const user = namedUser(name);
  if (user === null) {
    throw new PorticoError(ErrorKinds.Configuration, `user is ${JSON.stringify(name)}, and there is no such user`);
  }
  return user.uid === 0 ? null : user;
}

/**
 * Becomes the user that the configuration names, if it is root that runs this.
 * @throws PorticoError `PORTICO_LISTEN` if a port of root's cannot be bound, `PORTICO_CONFIGURATION` if it cannot become
 * that user, `PORTICO_STORE_OPEN` if that user cannot use the data directory
 */
export async function becomeUser(loaded: LoadedConfig, logger: Logger): Promise<void> {
  const { config } = loaded;
  const user = whomToBecome(config);
  if (user === null) return;
  const cannot = (why: string, cause?: unknown): PorticoError =>
    new PorticoError(
      ErrorKinds.Configuration,
      `${sourceOf(loaded, 'user')}: user: root cannot become the user ${user.name}: ${why}`,
      { cause },
    );
  if (![undefined, '', '0'].includes(process.env[IO_URING])) {
    throw cannot(`with ${IO_URING} the system would go on as root; take it out of the environment`);
  }
  await bindEarly(config.listeners, user, (sentence) => logger.warn({ option: 'user' }, sentence));
  try {
    (process as WithGroups).initgroups?.(user.name, user.gid);
    process.setgid?.(user.gid);
    makeDataDirectory(resolve(config.data_dir), user);
    process.setuid?.(user.uid);
  } catch (error) {
    if (error instanceof PorticoError) throw error;
    throw cannot(error instanceof Error ? error.message : String(error), error);
  }
  if (!isWholly(user)) throw cannot('the system has left it some of its rights');
  becameUser(user.name);
  logger.info(
    { uid: user.uid, gid: user.gid },
    `runs as the user ${user.name} (uid ${user.uid}, gid ${user.gid}) from here on`,
  );
  if (config.store.type !== 'memory') checkDataDirectory(resolve(config.data_dir), user.name);
}

/** Whether nothing of root is left, and there is no way back. */
function isWholly({ uid, gid }: SystemUser): boolean {
  const ids = [process.getuid?.(), process.geteuid?.(), process.getgid?.(), process.getegid?.()];
  if (ids.some((id, i) => id !== (i < 2 ? uid : gid))) return false;
  try {
    process.setuid?.(0);
    return false;
  } catch {
    return true;
  }
}

/**
 * Makes the data directory as the user; where that one may not, root makes it and gives it to the user. In folders that are
 * the user's root does nothing: a link could lead it elsewhere.
 */
function makeDataDirectory(folder: string, { uid, gid }: SystemUser): void {
  if (isThere(folder)) return;
  process.seteuid?.(uid);
  let denied: unknown = null;
  try {
    mkdirSync(dirname(folder), { recursive: true });
    mkdirSync(folder, { mode: FOLDER_MODE });
  } catch (error) {
    denied = error;
  } finally {
    process.seteuid?.(0);
  }
  if (!MAY_NOT.includes((denied as NodeJS.ErrnoException | null)?.code ?? '')) return;
  const missing: string[] = [];
  for (let path = folder; !isThere(path); path = dirname(path)) missing.unshift(path);
  try {
    for (const path of missing) {
      mkdirSync(path, path === folder ? { mode: FOLDER_MODE } : {});
      chownSync(path, uid, gid);
    }
  } catch {
    // Whoever opens the store says better what is wrong with the directory.
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** @throws PorticoError that says which command lets this process use what is there */
function checkDataDirectory(folder: string, user: string): void {
  const refuse = (sentence: string): never => {
    throw new PorticoError(ErrorKinds.StoreOpen, sentence);
  };
  const shut = foldersAbove(folder).find((path) => !may(path, X_OK));
  if (shut !== undefined) {
    refuse(`the user ${user} does not get to ${folder}, as ${shut} is closed to it; chmod o+x ${shut} lets it through`);
  }
  const store = join(folder, 'store');
  const mine = (path: string, mode: number): void => {
    if (may(path, mode)) return;
    const { uid } = statSync(path);
    const owner = uid === 0 ? 'root' : `the user with number ${uid}`;
    const sentence = `the user ${user} cannot write to ${path}, which belongs to ${owner}`;
    refuse(`${sentence}; chown -R ${user}: ${folder} gives it to that user`);
  };
  mine(folder, R_OK | W_OK | X_OK);
  mine(store, R_OK | W_OK | X_OK);
  for (const name of may(store, R_OK) ? namesIn(store) : []) mine(join(store, name), R_OK | W_OK);
}

/** The folders above one, the highest first. */
function foldersAbove(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [] : [...foldersAbove(above), above];
}

/** Whether this process may; what is not there, or cannot be looked at for another reason, is left to those who need it. */
function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch (error) {
    return !MAY_NOT.includes((error as NodeJS.ErrnoException).code ?? '');
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
