/** UDP from one port to all remotes, until one of them needs another. */
import { type DatagramAddress, type DatagramTransport, UdpTransport } from './transport.js';

/** Remotes that may have a port of their own; for one more the first of them goes back to the common one. */
const MOST = 1_024;
/** Datagrams kept while a port is being bound; further ones are lost. */
const WAITING = 4;

/** What is counted, since the start. */
export class UdpPortCounters {
  /** Remotes that went back to the common port, as there are too many with one of their own. */
  portEvictions = 0;
  /** Datagrams lost as too many waited for a port. */
  portDroppedWaiting = 0;
}

export interface UdpPortsOptions {
  /** Remotes that may have a port of their own; default 1,024. */
  readonly most?: number;
  /** A limit was reached, by `remote` or at its cost; it was counted under this name. */
  readonly onLimit?: (limit: keyof UdpPortCounters, remote: DatagramAddress) => void;
}

/** A remote with a port of its own. */
interface Other {
  readonly remote: DatagramAddress;
  /** While it is not bound, what waits for it. */
  readonly port: UdpTransport | Buffer[];
}

export class UdpPorts implements DatagramTransport {
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  readonly counters = new UdpPortCounters();
  readonly #first: UdpTransport;
  readonly #options: UdpPortsOptions;
  readonly #others = new Map<string, Other>();
  #closed = false;

  private constructor(first: UdpTransport, options: UdpPortsOptions) {
    this.#first = first;
    this.#options = options;
    first.onDatagram = (bytes, source) => {
      if (!this.#others.has(nameOf(source))) this.onDatagram?.(bytes, source);
    };
  }

  /** @param address local; rejects with `PORTICO_LISTEN` */
  static async bind(address: string, options: UdpPortsOptions = {}): Promise<UdpPorts> {
    return new UdpPorts(await UdpTransport.bind({ address, port: 0 }), options);
  }

  /** Ports in use. */
  get size(): number {
    return 1 + this.#others.size;
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    const port = this.#others.get(nameOf(remote))?.port ?? this.#first;
    if (!Array.isArray(port)) port.send(bytes, offset, length, remote);
    else if (port.length < WAITING) port.push(Buffer.from(bytes.subarray(offset, offset + length)));
    else this.#reached('portDroppedWaiting', remote);
  }

  renew(remote: DatagramAddress): void {
    const name = nameOf(remote);
    const before = this.#others.get(name)?.port;
    if (this.#closed || Array.isArray(before)) return;
    void before?.close();
    const waiting: Buffer[] = [];
    this.#others.set(name, { remote, port: waiting });
    UdpTransport.bind({ address: this.#first.address, port: 0 })
      .then(
        (port) => this.#bound(name, { remote, port }),
        // From the first port then, as before.
        () => this.#others.delete(name),
      )
      .then(() => {
        if (this.#closed) return;
        for (const bytes of waiting) this.send(bytes, 0, bytes.length, remote);
      });
  }

  #bound(name: string, other: Other & { readonly port: UdpTransport }): void {
    if (this.#closed) {
      void other.port.close();
      return;
    }
    if (this.#others.size > (this.#options.most ?? MOST)) this.#forgetOldest();
    this.#others.set(name, other);
    other.port.onDatagram = (bytes, source) => {
      if (nameOf(source) === name) this.onDatagram?.(bytes, source);
    };
  }

  #forgetOldest(): void {
    const [[name, { remote, port }]] = this.#others;
    this.#others.delete(name);
    if (port instanceof UdpTransport) void port.close();
    this.#reached('portEvictions', remote);
  }

  #reached(limit: keyof UdpPortCounters, remote: DatagramAddress): void {
    this.counters[limit]++;
    this.#options.onLimit?.(limit, remote);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.onDatagram = undefined;
    const others = [...this.#others.values()].map(({ port }) => port).filter((port) => port instanceof UdpTransport);
    this.#others.clear();
    await Promise.all([this.#first, ...others].map((transport) => transport.close()));
  }
}

function nameOf({ address, port }: DatagramAddress): string {
  return `${address} ${port}`;
}
