/** What clients wait for: acknowledgements, and how long they take. */

/** A connection, as far as it matters to what is awaited on it. */
export class Link {
  readonly name: string;
  /** When it was last opened; null while it is closed. */
  since: number | null = null;

  constructor(name: string) {
    this.name = name;
  }
}

/** Something that a client has sent and that is to be answered. */
export interface Awaited {
  readonly what: string;
  readonly link: Link;
  readonly begun: number;
  /** It has been reported as unanswered. */
  reported: boolean;
}

export class Acknowledgements {
  /** Milliseconds after which an answer is missing, if the connection lives for so long. */
  readonly #patience: number;
  readonly #awaited = new Set<Awaited>();
  readonly #report: (sentence: string) => void;
  answered = 0;
  unanswered = 0;
  /** Milliseconds that the slowest answer took. */
  slowest = 0;

  /** @param report told of each answer that is missing */
  constructor(patience: number, report: (sentence: string) => void) {
    this.#patience = patience;
    this.#report = report;
  }

  /** Answers that are awaited now. */
  get open(): number {
    return this.#awaited.size;
  }

  begin(what: string, link: Link): Awaited {
    const awaited = { what, link, begun: performance.now(), reported: false };
    this.#awaited.add(awaited);
    return awaited;
  }

  /** It has been answered. */
  end(awaited: Awaited): void {
    if (!this.#awaited.delete(awaited)) return;
    this.answered++;
    this.slowest = Math.max(this.slowest, this.#age(awaited, performance.now()));
  }

  /** Nobody waits for what was sent on this connection: the client is gone for good. */
  forget(link: Link): void {
    for (const awaited of this.#awaited) if (awaited.link === link) this.#awaited.delete(awaited);
  }

  /** Looks for what is overdue. */
  check(now = performance.now()): void {
    for (const awaited of this.#awaited) {
      if (awaited.reported || this.#age(awaited, now) < this.#patience) continue;
      awaited.reported = true;
      this.unanswered++;
      this.#report(`${awaited.link.name}: ${awaited.what} unanswered for ${this.#patience / 1000} s`);
    }
  }

  /** After an interruption the client asks again, and the time begins anew. */
  #age({ link, begun }: Awaited, now: number): number {
    return link.since === null ? 0 : now - Math.max(begun, link.since);
  }
}
