/**
 * The socket of a server endpoint, as a client uses it: a device behind an address translator is reached only from the
 * port that it talked to.
 */
import type { ClientLine, Requester } from './client/line.js';
import type { Core } from './core.js';
import type { DatagramAddress } from './transport.js';

export class SharedLine implements ClientLine {
  requester: Requester | undefined;
  /** Told of a remote endpoint that will never send or take anything again. */
  onGone: ((remote: DatagramAddress) => void) | undefined;
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  send(bytes: Buffer, offset: number, length: number, peer: DatagramAddress): void {
    this.#core.send(bytes, offset, length, peer);
  }

  /** One sequence for the requests and the responses that go to one peer; undefined if no remote can be remembered. */
  nextMessageId(peer: DatagramAddress): number | undefined {
    return this.#core.remotes.obtain(peer)?.nextMessageId();
  }

  /** The socket stays the endpoint's. */
  async close(): Promise<void> {}
}
