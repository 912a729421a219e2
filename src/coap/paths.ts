/** Uri-Path options as segments and as one key, remembered by their bytes: most requests name a path seen before. */
import { isUtf8 } from 'node:buffer';

/** The Uri-Path options of a request. */
export interface Path {
  /** One string for each option; a "/" in it is part of the segment (RFC 7252 6.5). */
  readonly segments: readonly string[];
  /** "/" before each segment, with "%" and "/" within a segment as "%25" and "%2F". Equal keys mean equal segments. */
  readonly key: string;
}

export const ROOT: Path = { segments: [], key: '' };

const CACHED_PATHS = 8_192;
const CACHED_BYTES = 256;

/** Reads paths. Bounded: when the memory is full it starts over. */
export class PathReader {
  // By the length of the first segment, since its header is not among the bytes of the key.
  readonly #byFirst: (Map<string, Path> | undefined)[] = [];
  #size = 0;

  /** Paths remembered. */
  get size(): number {
    return this.#size;
  }

  /**
   * Reads `count` Uri-Path options. The first value starts at `start` and takes `firstLength` bytes, the last one ends at
   * `end`. Undefined if a segment is not UTF-8, or is "." or ".." (RFC 7252 5.10.1).
   */
  read(
    bytes: Buffer,
    start: number,
    firstLength: number,
    end: number,
    starts: readonly number[],
    lengths: readonly number[],
    first: number,
    count: number,
  ): Path | undefined {
    const raw = bytes.latin1Slice(start, end);
    const known = this.#byFirst[firstLength]?.get(raw);
    if (known !== undefined) return known;
    const segments: string[] = [];
    for (let index = first; index < first + count; index++) {
      const value = bytes.subarray(starts[index], starts[index] + lengths[index]);
      if (!isUtf8(value)) return undefined;
      const segment = value.toString('utf8');
      if (segment === '.' || segment === '..') return undefined;
      segments.push(segment);
    }
    const path: Path = { segments, key: pathKey(segments) };
    if (end - start <= CACHED_BYTES) this.#remember(firstLength, raw, path);
    return path;
  }

  #remember(firstLength: number, raw: string, path: Path): void {
    if (this.#size >= CACHED_PATHS) {
      this.#byFirst.length = 0;
      this.#size = 0;
    }
    let paths = this.#byFirst[firstLength];
    if (paths === undefined) {
      paths = new Map();
      this.#byFirst[firstLength] = paths;
    }
    paths.set(raw, path);
    this.#size++;
  }
}

/** The key of a path given as segments. */
export function pathKey(segments: readonly string[]): string {
  let key = '';
  for (const segment of segments) {
    key += `/${segment.replaceAll('%', '%25').replaceAll('/', '%2F')}`;
  }
  return key;
}
