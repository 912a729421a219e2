/** A memory store that outlives its broker. */
import { MemoryStore } from '../../src/store/memory-store.js';

export class LastingStore extends MemoryStore {
  override async close(): Promise<void> {}
}
