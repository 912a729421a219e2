/** Whose scripts may connect over WebSocket: RFC 6455 10.2, RFC 6454. */
import type { IncomingMessage } from 'node:http';

/** Characters of an origin that the log shows. */
const SHOWN = 100;

export class Origins {
  readonly #allowed: ReadonlySet<string>;

  /** @param allowed origins, such as `https://example.org`; `null` is that of pages without one */
  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed.map((origin) => origin.toLowerCase()));
  }

  /** Whether a request comes from a page of the list, or from no browser: those send no origin. */
  allow({ headers }: IncomingMessage): boolean {
    const { origin } = headers;
    return origin === undefined || this.#allowed.has(origin.toLowerCase());
  }
}

/** What a client has sent as its origin, for the log. */
export function shown(origin: string | undefined): string {
  return JSON.stringify((origin ?? '').slice(0, SHOWN));
}
