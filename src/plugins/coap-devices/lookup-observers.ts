/** Lookups that are observed (RFC 9176 6, RFC 7641): told once a second, and only if what they found is another. */
import { Code, ContentFormat } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import { formatLinks } from '../../coap/link-format.js';
import type { Observation } from '../../coap/observe.js';
import type { CoapResponse } from '../../coap/response.js';
import type { Directory } from './directory.js';

/** Milliseconds that may go into looking at once; the others have their turn at the next look. */
const SPAN = 20;

export interface Lookup {
  readonly kind: 'ep' | 'res';
  readonly query: readonly string[];
  /** Whether the client may know of the device that is this level of a topic. */
  knows(level: string): boolean;
}

export class LookupObservers {
  readonly #directory: Directory;
  readonly #most: number;
  readonly #refused: () => void;
  readonly #observed = new Map<Observation, { readonly lookup: Lookup; text: string }>();
  /** Those that have not been looked at since the directory has changed. */
  readonly #stale = new Set<Observation>();

  /**
   * @param most lookups that are observed at a time: each is made anew when the directory changes
   * @param refused told of one more, which is a lookup like any (RFC 7641 4.1)
   */
  constructor(directory: Directory, most: number, refused: () => void) {
    this.#directory = directory;
    this.#most = most;
    this.#refused = refused;
  }

  answer(lookup: Lookup, exchange: CoapExchange): void {
    const text = this.#find(lookup);
    // One that is registered anew leaves its former place.
    const observation = exchange.observe(() => {
      if (observation === undefined) return;
      this.#observed.delete(observation);
      this.#stale.delete(observation);
    });
    if (observation !== undefined) {
      if (this.#observed.size < this.#most) this.#observed.set(observation, { lookup, text });
      else {
        observation.end();
        this.#refused();
      }
    }
    exchange.respond(responseOf(text));
  }

  /** The directory has changed. */
  changed(): void {
    for (const observation of this.#observed.keys()) this.#stale.add(observation);
  }

  /** Call about once a second. */
  tell(): void {
    const end = performance.now() + SPAN;
    for (const observation of this.#stale) {
      const observed = this.#observed.get(observation);
      this.#stale.delete(observation);
      const text = observed === undefined ? '' : this.#find(observed.lookup);
      if (observed !== undefined && text !== observed.text) {
        observed.text = text;
        observation.notify(responseOf(text));
      }
      if (performance.now() >= end) return;
    }
  }

  #find({ kind, query, knows }: Lookup): string {
    const directory = this.#directory;
    return formatLinks(
      kind === 'ep' ? directory.lookUpEndpoints(query, knows) : directory.lookUpResources(query, knows),
    );
  }
}

function responseOf(text: string): CoapResponse {
  return { code: Code.Content, contentFormat: ContentFormat.LinkFormat, payload: Buffer.from(text) };
}
