/** LevelDB, with batches as fast as it can take them. */
import { Level } from 'level';
import { Sealer, sealAll } from './seal.js';
import type { Operation } from './store.js';

const BYTES = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;

/** Bytes of changes up to which their batch is used again. It keeps the memory that it has grown to until it is collected. */
const MOST_KEPT = 1024 * 1024;

/** What a class that extends abstract-level's chained batch has: what `put`, `del` and `write` end in. */
interface Changes {
  _clear(): void;
  _put(key: Buffer, value: Buffer): void;
  _del(key: Buffer): void;
  _write(options: { sync: boolean }): Promise<void>;
}

export class Database extends Level<Buffer, Buffer> {
  /** What `batch` ends in. */
  declare protected _batch: (operations: readonly Operation[], options: { sync: boolean }) => Promise<void>;
  readonly #sealer = new Sealer();
  /** For one change after the other; null until the first. */
  #changes: Changes | null = null;

  /** Opens itself in the next turn, as every abstract-level does, or when it is told. */
  constructor(directory: string) {
    super(directory, BYTES);
  }

  /**
   * Applies all operations or none, their values sealed. One call at a time. `batch` copies each operation, looks for
   * its encodings, hooks and sublevels, and costs many times as much; keys and values are bytes here, and there is
   * nothing to look for. Rejects with an error of abstract-level if the database is not open.
   */
  async apply(operations: readonly Operation[], sync: boolean): Promise<void> {
    // It throws then.
    if (this.status !== 'open') this.batch();
    if (sizeOf(operations) > MOST_KEPT) await this._batch(sealAll(operations), { sync });
    else await this.#filled(operations)._write({ sync });
  }

  #filled(operations: readonly Operation[]): Changes {
    this.#changes ??= this.batch() as unknown as Changes;
    const changes = this.#changes;
    changes._clear();
    for (const operation of operations) {
      if (operation.type === 'del') changes._del(operation.key);
      else changes._put(operation.key, this.#sealer.seal(operation.key, operation.value));
    }
    return changes;
  }

  override async close(): Promise<void> {
    this.#changes = null;
    await super.close();
  }
}

function sizeOf(operations: readonly Operation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    bytes += operation.key.length;
    if (operation.type === 'put') bytes += operation.value.length;
  }
  return bytes;
}
