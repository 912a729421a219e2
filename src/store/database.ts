/** LevelDB, with batches as fast as it can take them. */
import { Level } from 'level';
import type { Operation } from './store.js';

const BYTES = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;

export class Database extends Level<Buffer, Buffer> {
  /** What `batch` ends in; a class that extends an abstract-level has it. */
  declare protected _batch: (operations: readonly Operation[], options: { sync: boolean }) => Promise<void>;

  /** Opens itself in the next turn, as every abstract-level does, or when it is told. */
  constructor(directory: string) {
    super(directory, BYTES);
  }

  /**
   * Applies all operations or none. `batch` copies each operation, looks for its encodings, hooks and sublevels, and
   * costs four times as much; keys and values are bytes here, and there is nothing to look for.
   */
  apply(operations: Operation[], sync: boolean): Promise<void> {
    return this.status === 'open' ? this._batch(operations, { sync }) : this.batch(operations, { sync });
  }
}
