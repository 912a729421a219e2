/** The store on LevelDB. */
import { Level } from 'level';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { KeyRange, Operation, Store } from './store.js';

const ENCODING = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;

const NOTHING: Operation = { type: 'del', key: Buffer.from([0]) };

export class LevelStore implements Store {
  readonly #directory: string;
  readonly #db: Level<Buffer, Buffer>;

  /** @param directory where LevelDB keeps its files; created if absent */
  constructor(directory: string) {
    this.#directory = directory;
    this.#db = new Level<Buffer, Buffer>(directory, ENCODING);
  }

  async open(): Promise<void> {
    try {
      await this.#db.open();
    } catch (error) {
      throw new PorticoError(ErrorKinds.StoreOpen, `cannot open the store in ${this.#directory}: ${reason(error)}`, {
        cause: error,
      });
    }
  }

  async write(operations: Operation[], sync: boolean): Promise<void> {
    if (operations.length === 0 && !sync) return;
    // LevelDB skips an empty batch, synchronous or not: deleting what never exists makes it flush its log.
    await this.#db.batch(operations.length > 0 ? operations : [NOTHING], { sync });
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    return await this.#db.get(key);
  }

  entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    return this.#db.iterator({ ...range, ...ENCODING });
  }

  keys(range: KeyRange): AsyncIterable<Buffer> {
    return this.#db.keys({ ...range, ...ENCODING });
  }

  async clear(range: KeyRange): Promise<void> {
    await this.#db.clear(range);
  }

  async close(): Promise<void> {
    await this.#db.close();
  }
}

/** LevelDB says what went wrong in the cause of its error. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause;
  if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') return 'another process uses it';
  return cause instanceof Error ? cause.message : error.message;
}
