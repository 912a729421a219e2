/**
 * The contract of a store: an ordered map from bytes to bytes with atomic batches. What the keys and values mean is
 * said in `keys.ts` and `records.ts`; when a batch is written is said in `commit.ts`.
 */
import type { Damage } from './damage.js';

/** One change. */
export type Operation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

/** Half-open key range: `gte <= key < lt`. */
export interface KeyRange {
  readonly gte: Buffer;
  readonly lt: Buffer;
}

/** A record that its reader cannot make sense of. */
export interface Unreadable {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly why: string;
}

export interface Store {
  /** Opens or creates the store. Rejects with `PORTICO_STORE_OPEN`. */
  open(): Promise<void>;
  /**
   * Applies all operations or none. Keys and values must stay as they are until the promise settles.
   * @param sync resolve only when the operations would survive a power cut
   */
  write(operations: Operation[], sync: boolean): Promise<void>;
  /** A value that is damaged counts as absent. */
  get(key: Buffer): Promise<Buffer | undefined>;
  /**
   * Entries in key order, as of the call; without those whose value is damaged.
   * @param whole the caller goes through all of them, so that more may be read at a time
   */
  entries(range: KeyRange, whole?: boolean): AsyncIterable<[Buffer, Buffer]>;
  /** Keys in order, as of the call; `whole` as for `entries`. */
  keys(range: KeyRange, whole?: boolean): AsyncIterable<Buffer>;
  /**
   * All entries in key order, all of them as of the call. Rejects rather than go on with what is there later, as after
   * the store was opened anew.
   * @param leftOut told of each record that is not among them because its value is damaged
   */
  snapshot(leftOut?: (key: Buffer) => void): AsyncIterable<[Buffer, Buffer]>;
  /** Deletes a range; not atomic. */
  clear(range: KeyRange): Promise<void>;
  close(): Promise<void>;
  /** Told of what is damaged, from `open` on. Absent in a store without files. */
  onDamage?: ((damage: Damage) => void) | null;
  /** Takes records out of the store and keeps them aside; tells `onDamage` of each. Absent in a store without files. */
  setAside?(records: readonly Unreadable[]): Promise<void>;
}
