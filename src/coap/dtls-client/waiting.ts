/** Datagrams that wait for the end of a handshake: bounded for each, and in all. */
import type { DtlsClientLimits } from './limits.js';

/** What became of a datagram: 'known' is one that waits already, as a request does that is sent again meanwhile. */
export type Waited = 'kept' | 'known' | 'waitingDatagrams' | 'waitingBytes';

export class WaitingDatagrams {
  readonly #limits: DtlsClientLimits;
  readonly #lists = new Map<string, Buffer[]>();
  #bytes = 0;

  constructor(limits: DtlsClientLimits) {
    this.#limits = limits;
  }

  /** Bytes of all. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a copy. @param owner of the handshake */
  add(owner: string, datagram: Buffer): Waited {
    const list = this.#lists.get(owner) ?? [];
    if (list.some((other) => other.equals(datagram))) return 'known';
    if (list.length >= this.#limits.waitingDatagrams) return 'waitingDatagrams';
    if (this.#bytes + datagram.length > this.#limits.waitingBytes) return 'waitingBytes';
    this.#bytes += datagram.length;
    list.push(Buffer.from(datagram));
    this.#lists.set(owner, list);
    return 'kept';
  }

  /** Takes those of one handshake out, the first to come first. */
  take(owner: string): readonly Buffer[] {
    const list = this.#lists.get(owner) ?? [];
    this.#lists.delete(owner);
    for (const { length } of list) this.#bytes -= length;
    return list;
  }
}
