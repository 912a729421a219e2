/** UDP from one port to all remotes, until one of them needs another. */
import { type DatagramAddress, type DatagramTransport, UdpTransport } from './transport.js';

/** Remotes that may have a port of their own; for one more the first of them goes back to the common one. */
const MOST = 1_024;
/** Datagrams kept while a port is being bound; further ones are lost. */
const WAITING = 4;

export class UdpPorts implements DatagramTransport {
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  readonly #first: UdpTransport;
  /** Remotes with a port of their own; while that is not bound, what waits for it. */
  readonly #others = new Map<string, UdpTransport | Buffer[]>();
  #closed = false;

  private constructor(first: UdpTransport) {
    this.#first = first;
    first.onDatagram = (bytes, source) => {
      if (!this.#others.has(nameOf(source))) this.onDatagram?.(bytes, source);
    };
  }

  /** @param address local; rejects with `PORTICO_LISTEN` */
  static async bind(address: string): Promise<UdpPorts> {
    return new UdpPorts(await UdpTransport.bind({ address, port: 0 }));
  }

  /** Ports in use. */
  get size(): number {
    return 1 + this.#others.size;
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    const other = this.#others.get(nameOf(remote));
    if (Array.isArray(other)) {
      if (other.length < WAITING) other.push(Buffer.from(bytes.subarray(offset, offset + length)));
    } else (other ?? this.#first).send(bytes, offset, length, remote);
  }

  renew(remote: DatagramAddress): void {
    const name = nameOf(remote);
    const before = this.#others.get(name);
    if (this.#closed || Array.isArray(before)) return;
    void before?.close();
    const waiting: Buffer[] = [];
    this.#others.set(name, waiting);
    UdpTransport.bind({ address: this.#first.address, port: 0 })
      .then(
        (other) => this.#bound(name, other),
        // From the first port then, as before.
        () => this.#others.delete(name),
      )
      .then(() => {
        if (this.#closed) return;
        for (const bytes of waiting) this.send(bytes, 0, bytes.length, remote);
      });
  }

  #bound(name: string, other: UdpTransport): void {
    if (this.#closed) {
      void other.close();
      return;
    }
    const [oldest] = this.#others.keys();
    if (this.#others.size > MOST) {
      this.#forget(oldest);
    }
    this.#others.set(name, other);
    other.onDatagram = (bytes, source) => {
      if (nameOf(source) === name) this.onDatagram?.(bytes, source);
    };
  }

  #forget(name: string): void {
    const other = this.#others.get(name);
    this.#others.delete(name);
    if (other instanceof UdpTransport) void other.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.onDatagram = undefined;
    const others = [...this.#others.values()].filter((other) => other instanceof UdpTransport);
    this.#others.clear();
    await Promise.all([this.#first, ...others].map((transport) => transport.close()));
  }
}

function nameOf({ address, port }: DatagramAddress): string {
  return `${address} ${port}`;
}
