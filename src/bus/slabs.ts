/**
 * Bytes outside the JavaScript heap: many small records that live long would cost an object each, and the garbage
 * collector would look at all of them again and again. A record has a place in a slab of places of equal size; a large
 * one has a slab of its own.
 */

const SLAB_BYTES = 65_536;
/** Records beyond it have a slab of their own. */
const LARGEST_PLACE = SLAB_BYTES / 4;
/** Sizes of places are its multiples. */
const UNIT = 16;
/** Sizes up to it are one unit apart, larger ones an eighth. */
const FINE = 256;
const PLACE_BITS = 12;
const PLACE_MASK = (1 << PLACE_BITS) - 1;
/** A place that is none. */
const NO_PLACE = PLACE_MASK;
const MAX_SLABS = 2 ** (32 - PLACE_BITS);

/** Some places of one size. Free ones that have been used are a list; each begins with the number of the next. */
export class Slab {
  readonly bytes: Buffer;
  /** `bytes` as words. */
  readonly words: DataView;
  /** Bytes of a place. */
  readonly size: number;
  readonly #places: number;
  used = 0;
  #free = NO_PLACE;
  /** Places from here on have never been used. */
  #fresh = 0;

  constructor(size: number) {
    this.size = size;
    this.#places = size > LARGEST_PLACE ? 1 : Math.min(NO_PLACE, Math.floor(SLAB_BYTES / size));
    this.bytes = Buffer.allocUnsafeSlow(this.#places * size);
    this.words = new DataView(this.bytes.buffer);
  }

  get full(): boolean {
    return this.used === this.#places;
  }

  take(): number {
    this.used++;
    if (this.#free === NO_PLACE) return this.#fresh++;
    const place = this.#free;
    this.#free = this.words.getUint32(place * this.size);
    return place;
  }

  give(place: number): void {
    this.used--;
    this.words.setUint32(place * this.size, this.#free);
    this.#free = place;
  }
}

/** Places for records. A place is a number from 1 to 2^32 - 1; 0 is none. */
export class Slabs {
  /** By number; there is no slab 0, so that no place is 0. */
  readonly #slabs: (Slab | null)[] = [null];
  /** Numbers of slabs that are gone. */
  readonly #vacant: number[] = [];
  /** By size: the numbers of slabs that have a free place. */
  readonly #open = new Map<number, number[]>();
  /** Bytes of all slabs. */
  memory = 0;

  /** Takes a place of at least `size` bytes; what stands in it is anything. */
  allocate(size: number): number {
    const placed = sizeOfPlace(size);
    let open = this.#open.get(placed);
    if (open === undefined) {
      open = [];
      if (placed <= LARGEST_PLACE) this.#open.set(placed, open);
    }
    if (open.length === 0) open.push(this.#add(new Slab(placed)));
    const number = open[open.length - 1];
    const slab = this.#slabs[number] as Slab;
    const place = slab.take();
    if (slab.full) open.pop();
    return number * (PLACE_MASK + 1) + place;
  }

  #add(slab: Slab): number {
    this.memory += slab.bytes.length;
    const number = this.#vacant.pop();
    if (number !== undefined) {
      this.#slabs[number] = slab;
      return number;
    }
    if (this.#slabs.length === MAX_SLABS) throw new RangeError('there are no more slabs');
    return this.#slabs.push(slab) - 1;
  }

  /** Gives a place back. */
  free(at: number): void {
    const number = at >>> PLACE_BITS;
    const slab = this.#slabs[number] as Slab;
    const wasFull = slab.full;
    slab.give(at & PLACE_MASK);
    if (slab.used === 0) this.#drop(number, slab, wasFull);
    else if (wasFull) this.#open.get(slab.size)?.push(number);
  }

  #drop(number: number, slab: Slab, wasFull: boolean): void {
    if (!wasFull) {
      const open = this.#open.get(slab.size) as number[];
      open.splice(open.indexOf(number), 1);
    }
    this.#slabs[number] = null;
    this.#vacant.push(number);
    this.memory -= slab.bytes.length;
  }

  /** Whether another record of `size` bytes may stand in the place. Not so for large ones: their bytes may be shared. */
  suits(at: number, size: number): boolean {
    return size <= LARGEST_PLACE && this.slab(at).size === sizeOfPlace(size);
  }

  /** The slab that a place is in. */
  slab(at: number): Slab {
    return this.#slabs[at >>> PLACE_BITS] as Slab;
  }

  /** Offset of a place in its slab. */
  offset(at: number): number {
    return (at & PLACE_MASK) * this.slab(at).size;
  }

  /** Whether a place has a slab of its own, whose bytes never change: a view of them may be kept. */
  isAlone(at: number): boolean {
    return this.slab(at).size > LARGEST_PLACE;
  }
}

/** Bytes of the place for a record. */
function sizeOfPlace(size: number): number {
  if (size > LARGEST_PLACE) return size;
  // An eighth of the power of two below, in whole units.
  const step = size <= FINE ? UNIT : 2 ** (28 - Math.clz32(size - 1));
  return Math.max(UNIT, Math.ceil(size / step) * step);
}
