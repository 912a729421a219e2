/** Decodes the records that a start reads; those that do not decode are set aside. */
import type { Store, Unreadable } from './store.js';

export class RecordReader {
  readonly #store: Store;
  readonly #failed: (error: unknown) => void;
  #unreadable: Unreadable[] = [];

  /** @param failed told of each record that does not decode, in a store that sets nothing aside */
  constructor(store: Store, failed: (error: unknown) => void) {
    this.#store = store;
    this.#failed = failed;
  }

  /** What `decode` makes of a record; null if it throws. */
  read<T>(key: Buffer, value: Buffer, decode: (value: Buffer) => T): T | null {
    try {
      return decode(value);
    } catch (error) {
      if (this.#store.setAside === undefined) this.#failed(error);
      else this.#unreadable.push({ key, value, why: error instanceof Error ? error.message : String(error) });
      return null;
    }
  }

  /** Sets aside what did not decode. */
  async finish(): Promise<void> {
    const unreadable = this.#unreadable;
    this.#unreadable = [];
    if (unreadable.length > 0) await this.#store.setAside?.(unreadable);
  }
}

/** A reader that throws what does not decode, in a store that sets nothing aside. */
export function strictReader(store: Store): RecordReader {
  return new RecordReader(store, (error) => {
    throw error;
  });
}
