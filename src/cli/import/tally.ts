/** What an import has taken, and what it has not and why: the summary at its end. */

/** What can be taken, one and many of it. */
const KINDS = {
  retained: ['retained message', 'retained messages'],
  session: ['session', 'sessions'],
  subscription: ['subscription', 'subscriptions'],
  waiting: ['waiting message', 'waiting messages'],
  inFlight: ['message in flight', 'messages in flight'],
  inbound: ['publication that awaits PUBREL', 'publications that await PUBREL'],
  will: ['will', 'wills'],
} as const;
export type Kind = keyof typeof KINDS;

/** Reasons, and stretches, that are listed; those of a badly damaged file may be many. */
const MAX_REASONS = 20;

interface Reason {
  count: number;
  /** Where it was met first: an offset, a key. */
  readonly example: string;
}

export class Tally {
  readonly #taken = new Map<Kind, number>();
  readonly #left = new Map<string, Reason>();
  /** A line for each of the first stretches that were lost. */
  readonly #lost: string[] = [];
  #stretches = 0;
  #lostBytes = 0;

  take(kind: Kind): void {
    this.#taken.set(kind, (this.#taken.get(kind) ?? 0) + 1);
  }

  /**
   * Something is not taken.
   * @param what with its reason: `messages of QoS 0 that wait: Portico keeps none`
   * @param example where it stands
   */
  leave(what: string, example: string): void {
    const known = this.#left.get(what);
    if (known !== undefined) known.count++;
    else if (this.#left.size < MAX_REASONS) this.#left.set(what, { count: 1, example });
    else this.#left.set('others', { count: (this.#left.get('others')?.count ?? 0) + 1, example });
  }

  /** Bytes of a file, from one offset to another, that nobody can read. */
  lose(from: number, to: number, why: string): void {
    this.#stretches++;
    this.#lostBytes += to - from;
    if (this.#stretches > MAX_REASONS) return;
    this.#lost.push(`lost: ${why}, offset ${from} to ${to}, ${to - from} bytes`);
  }

  /** Lines for people. */
  lines(): string[] {
    const taken = [...this.#taken].map(
      ([kind, count]) => `${count.toLocaleString('en-US')} ${KINDS[kind][count === 1 ? 0 : 1]}`,
    );
    const lines = [`taken: ${taken.length === 0 ? 'nothing' : taken.join(', ')}`, ...this.#lost];
    if (this.#stretches > MAX_REASONS) {
      lines.push(`lost: in all ${this.#stretches} stretches of the file, ${this.#lostBytes} bytes`);
    }
    for (const [what, { count, example }] of this.#left) {
      lines.push(`not taken: ${count.toLocaleString('en-US')} × ${what} (${count > 1 ? 'first ' : ''}${example})`);
    }
    return lines;
  }
}
