/** `GET /backup`: a backup of the running broker's store, at the pace of its reader. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ErrorKinds, PorticoError } from '../errors.js';
import { backupOf } from '../store/backup.js';
import type { GroupCommit } from '../store/commit.js';
import type { Store } from '../store/store.js';
import { readVersion } from '../store/upgrade.js';
import type { ControlLog, Route } from './control.js';

/** Milliseconds that a reader may take for one chunk before its snapshot, which keeps deleted data on disk, ends. */
const PATIENCE = 60_000;
/** Milliseconds that a backup waits for a store that may be failing. What was acknowledged is on the disk already. */
const COMMIT_PATIENCE = 5000;

/** Trailer that says how many records are not in the backup, because they are damaged. */
export const LEFT_OUT = 'portico-left-out';

export interface BackupSource {
  readonly store: Store;
  readonly commit: GroupCommit;
  /** Version of this Portico. */
  readonly portico: string;
}

export class BackupRoute implements Route {
  readonly method = 'GET';
  readonly path = '/backup';
  readonly #source: BackupSource;
  readonly #log: ControlLog;
  readonly #patience: number;
  #running = false;

  constructor(source: BackupSource, log: ControlLog, patience: number = PATIENCE) {
    this.#source = source;
    this.#log = log;
    this.#patience = patience;
  }

  async handle(_request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#running) throw new PorticoError(ErrorKinds.Limit, 'another backup is being taken');
    this.#running = true;
    try {
      await this.#send(response);
    } finally {
      this.#running = false;
    }
  }

  async #send(response: ServerResponse): Promise<void> {
    const { store, commit, portico } = this.#source;
    await settled(commit);
    const known = await readVersion(store);
    // One snapshot of all keys: sessions, flow states and segments are those of one commit group.
    let leftOut = 0;
    const entries = store.snapshot(() => leftOut++);
    const date = new Date().toISOString();
    const header = { portico, store: known?.version ?? 0, writer: known?.writer ?? '', date };
    response.writeHead(200, { 'content-type': 'application/octet-stream', trailer: LEFT_OUT });
    let bytes = 0;
    for await (const chunk of backupOf(header, entries)) {
      bytes += chunk.length;
      if (response.write(chunk)) await new Promise<void>((resolve) => setImmediate(resolve));
      else await drained(response, this.#patience);
      if (response.destroyed) throw new PorticoError(ErrorKinds.Backup, 'its reader went away');
    }
    response.addTrailers({ [LEFT_OUT]: String(leftOut) });
    response.end();
    const line = `a backup was taken: ${bytes} bytes`;
    if (leftOut === 0) this.#log.info(line);
    else this.#log.warn(`${line}; damaged records that are not in it: ${leftOut}`);
  }
}

/** Resolves when everything that has joined a group by now is on the disk, or when the store takes too long. */
async function settled(commit: GroupCommit): Promise<void> {
  if (commit.failing) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, COMMIT_PATIENCE);
  });
  try {
    await Promise.race([commit.settled(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when the reader has taken what was written, or is gone. */
function drained(response: ServerResponse, patience: number): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      response.off('drain', end).off('close', end);
      resolve();
    };
    const timer = setTimeout(() => {
      response.off('drain', end).off('close', end);
      reject(new PorticoError(ErrorKinds.Backup, `its reader took nothing for ${patience / 1000} s`));
    }, patience);
    response.on('drain', end).on('close', end);
  });
}
