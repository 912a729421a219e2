/** Counts what is asked of the allocators of buffers: a few bytes must not be able to ask for many. */

type Allocator = 'alloc' | 'allocUnsafe' | 'allocUnsafeSlow';
const ALLOCATORS: readonly Allocator[] = ['alloc', 'allocUnsafe', 'allocUnsafeSlow'];

/** Bytes that any input may ask for, and how many more for each of its own. */
const FREE_BYTES = 16 * 1024 * 1024;
const PER_BYTE = 1024;

export class Memory {
  asked = 0;
  readonly #originals = ALLOCATORS.map((name) => [name, Buffer[name]] as const);

  constructor() {
    for (const [name, original] of this.#originals) {
      const counting = (size: number, ...rest: []): Buffer => {
        this.asked += size;
        return original(size, ...rest);
      };
      Reflect.set(Buffer, name, counting);
    }
  }

  /** Throws if an input of so many bytes has asked for too much since `asked` was set to 0. */
  check(bytes: number): void {
    if (this.asked > FREE_BYTES + PER_BYTE * bytes) {
      throw new Error(`${bytes} bytes of input have asked for ${this.asked} bytes of memory`);
    }
  }

  close(): void {
    for (const [name, original] of this.#originals) Reflect.set(Buffer, name, original);
  }
}
