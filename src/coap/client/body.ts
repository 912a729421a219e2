/** The body of a response under assembly (RFC 7959 2.4). */
import { blockSize } from '../block.js';
import type { ResponseMessage } from './response.js';

/** What a block means for the body. Changed: it belongs to another body. Unfit: it is not the next one, or malformed. */
export type BlockFit = 'added' | 'changed' | 'unfit';

export class Body {
  readonly first: ResponseMessage;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(first: ResponseMessage) {
    this.first = first;
  }

  /** Bytes so far; they are the number of the next block times its size. */
  get length(): number {
    return this.#length;
  }

  /** Takes the next block; `response` has Block2. */
  add(response: ResponseMessage): BlockFit {
    const { block2, payload } = response;
    const size = blockSize(block2);
    const more = (block2 & 8) !== 0;
    if (!sameBytes(this.first.etag, response.etag) || this.first.contentFormat !== response.contentFormat) {
      return 'changed';
    }
    if ((block2 >>> 4) * size !== this.#length) return 'unfit';
    if (more ? payload.length !== size : payload.length > size) return 'unfit';
    this.#chunks.push(payload);
    this.#length += payload.length;
    return 'added';
  }

  /** The first response, with the whole body. */
  whole(): ResponseMessage {
    this.first.payload = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks, this.#length);
    return this.first;
  }
}

function sameBytes(left: Buffer | undefined, right: Buffer | undefined): boolean {
  return left === undefined || right === undefined ? left === right : left.equals(right);
}
