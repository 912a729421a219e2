/** Topic Aliases of one connection, from its client and towards it: MQTT 5.0 3.3.2.3.4. They end with it [MQTT-3.3.2-7]. */
import { Holding, type MemoryBudget } from '../bus/memory-budget.js';
import type { Route } from '../bus/router.js';

/** Credit of a topic that is used more often than others. */
const MOST_CREDIT = 255;

/**
 * What the broker tells: topic to alias. A free alias is taken at the first use of a topic. When there is none, each use
 * of a topic without alias takes a credit from another topic, and the one that has none left gives up its alias: so the
 * topics that are used most keep theirs, and topics that come once do not drive them out.
 */
export class OutboundAliases {
  readonly #maximum: number;
  readonly #aliases = new Map<string, number>();
  /** By alias - 1: the topic, as the bytes that are the key, and its credit. */
  readonly #topics: string[] = [];
  readonly #credits: Uint8Array;
  #hand = 0;
  /** Whether the alias that `assign` returned has to be told with its topic. */
  isNew = false;

  /** @param maximum the client's Topic Alias Maximum [MQTT-3.1.2-26], or the broker's own if that is less; above 0 */
  constructor(maximum: number) {
    this.#maximum = maximum;
    this.#credits = new Uint8Array(maximum);
  }

  /**
   * The alias for a topic, 0 if it gets none. If it is new, the topic has to go with it.
   * @param topic the bytes of the topic name as a Latin-1 string
   */
  assign(topic: string): number {
    const known = this.#aliases.get(topic);
    if (known !== undefined) {
      if (this.#credits[known - 1] < MOST_CREDIT) this.#credits[known - 1]++;
      this.isNew = false;
      return known;
    }
    this.isNew = true;
    if (this.#topics.length < this.#maximum) {
      this.#topics.push(topic);
      return this.#give(topic, this.#topics.length);
    }
    const hand = this.#hand;
    this.#hand = (hand + 1) % this.#maximum;
    if (this.#credits[hand] > 0) {
      this.#credits[hand]--;
      return 0;
    }
    this.#aliases.delete(this.#topics[hand]);
    this.#topics[hand] = topic;
    return this.#give(topic, hand + 1);
  }

  #give(topic: string, alias: number): number {
    this.#aliases.set(topic, alias);
    this.#credits[alias - 1] = 1;
    return alias;
  }
}

/** What the client has told: alias to topic. */
export class InboundAliases {
  readonly #routes = new Map<number, Route>();
  /** What they take of the heap. */
  readonly #holding: Holding;

  constructor(heap: MemoryBudget) {
    this.#holding = new Holding(heap);
  }

  get(alias: number): Route | undefined {
    return this.#routes.get(alias);
  }

  /** Returns false if they took more memory than they may. */
  set(alias: number, route: Route): boolean {
    const { isOver, held } = this.#holding;
    this.#holding.set(held - bytesOf(this.#routes.get(alias)) + bytesOf(route));
    this.#routes.set(alias, route);
    return !isOver;
  }

  /** The connection has ended. */
  release(): void {
    this.#holding.set(0);
  }
}

/** Bytes of the heap that a remembered topic takes, about. */
function bytesOf(route: Route | undefined): number {
  return route === undefined ? 0 : 300 + 2 * route.topicBytes.length;
}
