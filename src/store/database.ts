/** LevelDB, with batches as fast as it can take them. */
import { Level } from 'level';
import { Sealer } from './seal.js';
import type { Operation } from './store.js';

const BYTES = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;

/** Bytes of changes beyond which their batch is not used again: it keeps the memory that it has grown to. */
const MOST_KEPT = 1024 * 1024;

/** What a class that extends abstract-level's chained batch has: what `put`, `del` and `write` end in. */
interface Changes {
  _clear(): void;
  _put(key: Buffer, value: Buffer): void;
  _del(key: Buffer): void;
  _write(options: { sync: boolean }): Promise<void>;
  close(): Promise<void>;
}

export class Database extends Level<Buffer, Buffer> {
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
   * nothing to look for.
   */
  async apply(operations: readonly Operation[], sync: boolean): Promise<void> {
    const changes = this.#emptyChanges();
    let bytes = 0;
    for (const operation of operations) {
      const { key } = operation;
      bytes += key.length;
      if (operation.type === 'del') changes._del(key);
      else {
        bytes += operation.value.length;
        changes._put(key, this.#sealer.seal(key, operation.value));
      }
    }
    try {
      await changes._write({ sync });
    } finally {
      if (bytes > MOST_KEPT) this.#forgetChanges();
    }
  }

  /** @throws Error of abstract-level if the database is not open */
  #emptyChanges(): Changes {
    this.#changes ??= this.batch() as unknown as Changes;
    this.#changes._clear();
    return this.#changes;
  }

  #forgetChanges(): void {
    void this.#changes?.close();
    this.#changes = null;
  }

  override async close(): Promise<void> {
    this.#forgetChanges();
    await super.close();
  }
}
