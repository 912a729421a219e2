/** Handshakes that fail, in the log: at most one line a second, since a stranger can cause any number. */
import type { PluginLogger } from '../plugin.js';

/** Milliseconds between two lines. */
const INTERVAL = 1000;

export class HandshakeLog {
  readonly #logger: PluginLogger;
  readonly #now: () => number;
  #last = Number.NEGATIVE_INFINITY;
  #suppressed = 0;

  /** @param now milliseconds of a clock */
  constructor(logger: PluginLogger, now: () => number = () => performance.now()) {
    this.#logger = logger;
    this.#now = now;
  }

  /**
   * @param protocol `DTLS`, `TLS`
   * @param remote `address:port`
   * @param reason in words
   */
  failed(protocol: string, remote: string, reason: string): void {
    const now = this.#now();
    if (now - this.#last < INTERVAL) {
      this.#suppressed++;
      return;
    }
    const more = this.#suppressed === 0 ? '' : ` (and ${this.#suppressed} others since the last line)`;
    this.#last = now;
    this.#suppressed = 0;
    this.#logger.warn({ remote, reason }, `the ${protocol} handshake with ${remote} failed: ${reason}${more}`);
  }
}
