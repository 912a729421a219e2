/** What clients know of their wills in a flood that ends by kill -9, and what has to have become of each. */
import assert from 'node:assert/strict';

/** Seconds: longer than any test. */
export const LONG = 3600;
/** Seconds: those wills are published that wait for less than a test. */
export const DELAYS = [0, 1, 1, LONG, LONG] as const;
/** Milliseconds, by the clock of a client, before which no will with a delay of a second is published. */
const EARLIEST = 900;

/** `must`: published once. `never`: not published. `may`: nobody can know, but not twice. */
type Fate = 'open' | 'must' | 'never' | 'may';

/** The will of one CONNECT. Times are milliseconds, as `performance.now()`. */
export class Will {
  readonly number: number;
  readonly name: string;
  /** Seconds. */
  readonly delay: number;
  readonly retain: boolean;
  /** CONNACK has come. */
  acknowledged = false;
  /** DISCONNECT was sent. */
  left = false;
  /** Its client was there until then, at least. */
  vanishedAt: number | null = null;
  fate: Fate = 'open';

  constructor(number: number, name: string, delay: number, retain: boolean) {
    this.number = number;
    this.name = name;
    this.delay = delay;
    this.retain = retain;
  }

  /** The broker has it, and was not told to forget it. */
  get stands(): boolean {
    return this.acknowledged && !this.left;
  }
}

export class Book {
  readonly wills: Will[] = [];
  /** By client identifier: the will that the broker has, or those that it may have, the oldest first. */
  readonly #held = new Map<string, Will[]>();
  /** What a subscriber was told before its time. */
  readonly faults: string[] = [];
  /** CONNECTs that have been acknowledged. */
  acknowledged = 0;
  /** From now on wills are due when their sessions end. */
  ending = false;

  /** A CONNECT is about to be sent. Whoever is connected under that name is taken over. */
  begin(name: string, delay: number, retain: boolean): Will {
    this.#vanish(name);
    const will = new Will(this.wills.length, name, delay, retain);
    this.wills.push(will);
    this.#held.set(name, [...this.#heldBy(name), will]);
    return will;
  }

  /** CONNACK has come: the will is the one that its client has, and those before it are called off or were published. */
  accepted(will: Will): void {
    const now = performance.now();
    will.acknowledged = true;
    this.acknowledged++;
    for (const former of this.#heldBy(will.name)) if (former !== will) former.fate = fateBefore(former, now);
    this.#held.set(will.name, [will]);
  }

  /** The connection is about to be cut. */
  cut(will: Will): void {
    this.#vanish(will.name);
  }

  /** That its client said DISCONNECT is durable. */
  settled(will: Will): void {
    will.fate = 'never';
    this.#held.delete(will.name);
  }

  /** The broker has died: the delays of those who were there, and of those who had just gone, count from there. */
  killed(at: number): void {
    for (const will of [...this.#held.values()].flat()) {
      if (will.vanishedAt === null || at - will.vanishedAt < EARLIEST) will.vanishedAt = at;
    }
  }

  /** A subscriber that is connected gets a will. */
  arrived(number: number): void {
    const { delay, vanishedAt, fate } = this.wills[number];
    const waited = vanishedAt === null ? 'while its client was connected' : performance.now() - vanishedAt;
    const inTime = typeof waited === 'number' && (this.ending || waited >= delay * EARLIEST);
    if (fate === 'never' || !inTime)
      this.faults.push(`will ${number}, ${delay} s, ${fate}: published after ${waited} ms`);
  }

  /** Everybody's session is about to end. */
  end(): void {
    this.ending = true;
    for (const held of this.#held.values()) {
      for (const will of held) will.fate = will.stands && (held.length === 1 || will.delay === 0) ? 'must' : 'may';
    }
  }

  get names(): ReadonlySet<string> {
    return new Set(this.wills.map(({ name }) => name));
  }

  /** Wills that are published without anybody's doing. */
  get due(): Will[] {
    const alone = [...this.#held.values()].filter(({ length }) => length === 1).flat();
    return this.wills.filter(
      (will) => will.fate === 'must' || (will.stands && will.delay < LONG && alone.includes(will)),
    );
  }

  /** @param published the numbers of the wills that a subscriber got which was away until the end, in order */
  check(published: readonly number[]): void {
    const counts = new Map<number, number>();
    for (const number of published) counts.set(number, (counts.get(number) ?? 0) + 1);
    for (const { number, name, delay, fate } of this.wills) {
      const count = counts.get(number) ?? 0;
      const least = fate === 'must' ? 1 : 0;
      const most = fate === 'never' ? 0 : 1;
      assert.ok(
        count >= least && count <= most,
        `will ${number} of ${name}, ${delay} s, ${fate}: published ${count} times`,
      );
    }
    // A CONNECT that was not answered has replaced the will before it, or has not.
    for (const [name, held] of this.#held) {
      if (!held[0].stands) continue;
      assert.ok(
        held.some(({ number }) => counts.has(number)),
        `${name} is gone without a will`,
      );
    }
  }

  count(fate: Fate): number {
    return this.wills.filter((will) => will.fate === fate).length;
  }

  #heldBy(name: string): readonly Will[] {
    return this.#held.get(name) ?? [];
  }

  #vanish(name: string): void {
    for (const will of this.#heldBy(name)) will.vanishedAt ??= performance.now();
  }
}

/** What has become of a will whose client has come back. */
function fateBefore({ delay, stands, vanishedAt }: Will, now: number): Fate {
  if (delay === 0) return stands ? 'must' : 'may';
  const late = vanishedAt !== null && now - vanishedAt >= EARLIEST;
  return late && delay < LONG ? 'may' : 'never';
}
