/** Random bytes from a seed, so that what failed can be repeated. */
import { seeds } from '../support/seeds.js';

/** Numbers from 0 to less than 1 (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The seed: see `seeds`. */
export function chooseSeed(): number {
  return seeds(1)[0];
}

/** From `least` to `most` random bytes. */
export function randomBuffer(random: () => number, least: number, most: number): Buffer {
  const length = least + Math.floor(random() * (most - least + 1));
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

/** A copy in which a few bytes are changed, left out, doubled or cut off. */
export function mutate(random: () => number, bytes: Uint8Array): Buffer {
  let result = Buffer.from(bytes);
  for (let changes = 1 + Math.floor(random() * 3); changes > 0 && result.length > 0; changes--) {
    const at = Math.floor(random() * result.length);
    switch (Math.floor(random() * 4)) {
      case 0:
        result[at] = Math.floor(random() * 256);
        break;
      case 1:
        result = Buffer.concat([result.subarray(0, at), result.subarray(at + 1)]);
        break;
      case 2:
        result = Buffer.concat([result.subarray(0, at), result.subarray(at), result.subarray(at)]);
        break;
      default:
        result = result.subarray(0, at);
    }
  }
  return result;
}
