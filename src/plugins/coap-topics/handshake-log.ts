/**
 * Handshakes that fail, in the log: at most one line a second, since a stranger can cause any number. Traces are told of
 * each.
 */
import type { PluginContext, PluginLogger } from '../plugin.js';

/** Milliseconds between two lines. */
const INTERVAL = 1000;

export class HandshakeLog {
  readonly #logger: PluginLogger;
  readonly #tracing: PluginContext['tracing'];
  readonly #now: () => number;
  #last = Number.NEGATIVE_INFINITY;
  #suppressed = 0;

  /** @param now milliseconds of a clock */
  constructor(
    { logger, tracing }: Pick<PluginContext, 'logger' | 'tracing'>,
    now: () => number = () => performance.now(),
  ) {
    this.#logger = logger;
    this.#tracing = tracing;
    this.#now = now;
  }

  /**
   * @param protocol `DTLS`, `TLS`
   * @param remote `address:port`
   * @param reason in words
   * @param identity that was claimed; undefined for none
   */
  failed(protocol: string, remote: string, reason: string, identity?: string): void {
    const id = identity === undefined ? '' : `coap-${identity}`;
    const transport = protocol === 'DTLS' ? 'coaps' : 'coaps+tcp';
    const party = { id, username: identity ?? null, remote, transport, version: 0 };
    this.#tracing.tracer?.tell(party, 'handshake failed', { protocol, reason });
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
