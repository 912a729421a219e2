/** What has been published, what has arrived where, and what is still to be acknowledged. */

/** How many messages went wrong in each way. */
export interface Deliveries {
  readonly arrived: number;
  /** Acknowledged and not arrived. */
  readonly lost: number;
  /** Arrived behind a later one of the same publisher, topic and QoS. */
  readonly disordered: number;
  /** QoS 1 messages that came again, which they may. */
  readonly repeated: number;
  /** QoS 2 messages that came again, which they must not. */
  readonly doubled: number;
}

export type Counted = 1 | 2;

interface Stream {
  readonly qos: Counted;
  /** The number of the last message published; they begin at 1. */
  sent: number;
  /** Those that were never acknowledged: they may arrive. */
  readonly givenUp: Set<number>;
}

interface Arrivals {
  last: number;
  /** Numbers that were passed over. */
  readonly missing: Set<number>;
}

/**
 * Streams are the messages of one publisher to one topic at one QoS. Every subscriber is to get every stream from its
 * first message on, in order.
 */
export class Ledger {
  readonly #streams = new Map<string, Stream>();
  readonly #subscribers = new Map<string, Map<string, Arrivals>>();
  /** By stream that a shared subscription gets: what has not reached any of its members. */
  readonly #groups = new Map<string, Set<number>>();
  #arrived = 0;
  #disordered = 0;
  #repeated = 0;
  #doubled = 0;

  /** Opens a stream for all subscribers. */
  stream(name: string, qos: Counted): void {
    this.#streams.set(name, { qos, sent: 0, givenUp: new Set() });
  }

  subscriber(name: string): void {
    this.#subscribers.set(name, new Map());
  }

  /** Opens a stream for the members of a shared subscription. */
  shared(name: string, qos: Counted): void {
    this.stream(name, qos);
    this.#groups.set(name, new Set());
  }

  /** The number of the stream's next message. */
  next(name: string): number {
    const stream = this.#streams.get(name)!;
    stream.sent++;
    this.#groups.get(name)?.add(stream.sent);
    return stream.sent;
  }

  /** The publisher does not wait for the acknowledgement of a message any more. */
  giveUp(name: string, number: number): void {
    this.#streams.get(name)!.givenUp.add(number);
    this.#groups.get(name)?.delete(number);
  }

  get published(): number {
    let all = 0;
    for (const { sent } of this.#streams.values()) all += sent;
    return all;
  }

  /** A message has arrived at a subscriber. */
  arrived(subscriber: string, name: string, number: number): void {
    this.#arrived++;
    const streams = this.#subscribers.get(subscriber)!;
    let arrivals = streams.get(name);
    if (arrivals === undefined) {
      arrivals = { last: 0, missing: new Set() };
      streams.set(name, arrivals);
    }
    const { last, missing } = arrivals;
    if (number > last) {
      for (let gap = last + 1; gap < number; gap++) missing.add(gap);
      arrivals.last = number;
    } else if (missing.delete(number)) this.#disordered++;
    else if (this.#streams.get(name)!.qos === 2) this.#doubled++;
    else this.#repeated++;
  }

  /** A message has arrived at a member of the shared subscription. */
  arrivedShared(name: string, number: number): void {
    this.#arrived++;
    if (!this.#groups.get(name)!.delete(number)) this.#repeated++;
  }

  /** Messages that have not arrived where they are to. */
  get owed(): number {
    let owed = 0;
    for (const [name, stream] of this.#streams) {
      const group = this.#groups.get(name);
      if (group !== undefined) owed += group.size;
      else for (const streams of this.#subscribers.values()) owed += owedOf(stream, streams.get(name)).length;
    }
    return owed;
  }

  /** What has not arrived, and where, by the numbers of the messages. */
  missing(): string[] {
    const missing: string[] = [];
    for (const [name, stream] of this.#streams) {
      const group = this.#groups.get(name);
      if (group !== undefined) {
        if (group.size > 0) missing.push(`no member of ${name} has ${ranges(group)}`);
        continue;
      }
      for (const [subscriber, streams] of this.#subscribers) {
        const numbers = owedOf(stream, streams.get(name));
        if (numbers.length > 0) missing.push(`${subscriber} has not ${ranges(numbers)} of ${stream.sent} of ${name}`);
      }
    }
    return missing;
  }

  /** What there is to say once everybody has had the time to get everything. */
  deliveries(): Deliveries {
    return {
      arrived: this.#arrived,
      lost: this.owed,
      disordered: this.#disordered,
      repeated: this.#repeated,
      doubled: this.#doubled,
    };
  }
}

/** Numbers of the messages that a subscriber has not, without those that were given up. */
function owedOf({ sent, givenUp }: Stream, arrivals: Arrivals | undefined): number[] {
  const owed = [...(arrivals?.missing ?? [])];
  for (let number = (arrivals?.last ?? 0) + 1; number <= sent; number++) owed.push(number);
  return owed.filter((number) => !givenUp.has(number));
}

/** Numbers as `3, 5-9`. */
function ranges(numbers: Iterable<number>): string {
  const texts: string[] = [];
  let first = Number.NaN;
  let last = Number.NaN;
  const end = (): void => {
    if (!Number.isNaN(first)) texts.push(first === last ? `${first}` : `${first}-${last}`);
  };
  for (const number of [...numbers].sort((a, b) => a - b)) {
    if (number !== last + 1) {
      end();
      first = number;
    }
    last = number;
  }
  end();
  return texts.join(', ');
}
