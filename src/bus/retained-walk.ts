/** Retained messages on their way to whoever asked for them. */
import type { Publication } from './publication.js';

/** Retained messages one after the other. */
export interface RetainedWalk {
  readonly done: boolean;
  /**
   * Goes on by a step. If it finds a message, it points `publication` at it, without a copy: until retained messages
   * change, or the next step of any walk.
   */
  next(publication: Publication): boolean;
  /** Ends the walk. Whoever does not walk to the end has to say so. */
  close(): void;
}

/** Most of what is asked for is one exact topic. */
export class OneTopic implements RetainedWalk {
  readonly #find: (publication: Publication) => boolean;
  done = false;

  constructor(find: (publication: Publication) => boolean) {
    this.#find = find;
  }

  next(publication: Publication): boolean {
    this.done = true;
    return this.#find(publication);
  }

  close(): void {
    this.done = true;
  }
}
