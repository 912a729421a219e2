/** The DTLS client on a network in memory, with servers of other code and of the broker's: no sockets, no real time. */
import assert from 'node:assert/strict';
import type { DtlsOptions } from '../../../src/coap/dtls/options.js';
import { DtlsTransport } from '../../../src/coap/dtls/transport.js';
import { type DtlsClientOptions, DtlsClientTransport } from '../../../src/coap/dtls-client/transport.js';
import type { DatagramAddress } from '../../../src/coap/transport.js';
import { FakeClock, MemoryTransport } from '../harness.js';
import { IDENTITY, KEY } from './client.js';
import { DtlsServer, type ServerOptions } from './server.js';

/** The port of the client. */
const CLIENT = 40_000;
const ADDRESS = '192.0.2.1';

/** Who takes datagrams at a port. */
interface Host {
  receive(datagram: Buffer): void;
  /** Those that it wants to send since it was last asked. */
  collect(): Buffer[];
}

export function at(port: number, key?: string): DatagramAddress {
  return { address: ADDRESS, port, family: 'IPv4', ...(key === undefined ? null : { key }) };
}

export class ClientBench {
  readonly clock = new FakeClock();
  readonly below = new MemoryTransport();
  readonly dtls: DtlsClientTransport;
  readonly received: { readonly text: string; readonly source: DatagramAddress }[] = [];
  /** What the client was told: `gone PORT: why`, `unreachable PORT: why`. */
  readonly told: string[] = [];
  readonly events: string[] = [];
  readonly #hosts = new Map<number, Host>();
  /** Datagrams since the start, both ways. */
  flown = 0;
  /** What becomes of the datagram with this number: how many copies arrive. */
  copies: (flown: number) => number = () => 1;

  constructor(options: Partial<DtlsClientOptions> = {}) {
    this.dtls = new DtlsClientTransport(this.below, {
      credential: () => ({ identity: IDENTITY, key: KEY }),
      clock: this.clock,
      onEvent: (name, remote, detail) => this.events.push(`${name} ${remote?.port} ${detail.split('\n')[0]}`),
      ...options,
    });
    this.dtls.onDatagram = (bytes, source) => this.received.push({ text: bytes.toString(), source });
    this.dtls.onGone = (remote, reason) => this.told.push(`gone ${remote.port}: ${reason}`);
    this.dtls.onUnreachable = (remote, reason) => this.told.push(`unreachable ${remote.port}: ${reason}`);
  }

  /** A server that shares no code with the client; it takes the place of the one that was there. */
  server(port = 1, options: ServerOptions = {}): DtlsServer {
    const out: Buffer[] = [];
    const server = new DtlsServer((datagram) => out.push(datagram), options);
    this.#hosts.set(port, { receive: (datagram) => server.receive(datagram), collect: () => out.splice(0) });
    return server;
  }

  /** A server of the broker that sends back what it receives. */
  echo(port = 1, options: Partial<DtlsOptions> = {}): DtlsTransport {
    const below = new MemoryTransport();
    const dtls = new DtlsTransport(below, {
      psk: (identity) => (identity === IDENTITY ? KEY : null),
      clock: this.clock,
      ...options,
    });
    dtls.onDatagram = (bytes, source) => {
      const answer = Buffer.concat([Buffer.from('echo '), bytes]);
      dtls.send(answer, 0, answer.length, source);
    };
    this.#hosts.set(port, {
      receive: (datagram) => below.receive(datagram, CLIENT),
      collect: () => below.sent.splice(0).map(({ bytes }) => bytes),
    });
    return dtls;
  }

  /** Nobody takes anything at this port any more. */
  remove(port = 1): void {
    this.#hosts.delete(port);
  }

  send(text: string, remote: DatagramAddress = at(1)): void {
    const bytes = Buffer.from(`__${text}__`);
    this.dtls.send(bytes, 2, bytes.length - 4, remote);
    bytes.fill(0);
  }

  /** Carries datagrams until none is on its way. */
  deliver(): void {
    for (let carried = 1; carried > 0; ) {
      carried = 0;
      for (const { bytes, port } of this.below.sent.splice(0)) {
        carried++;
        for (let copies = this.copies(this.flown++); copies > 0; copies--) {
          this.#hosts.get(port)?.receive(Buffer.from(bytes));
        }
      }
      for (const [port, host] of this.#hosts) {
        for (const bytes of host.collect()) {
          carried++;
          for (let copies = this.copies(this.flown++); copies > 0; copies--) this.below.receive(bytes, port, ADDRESS);
        }
      }
    }
  }

  /** A handshake on a network that loses nothing, and a datagram. */
  connect(server: DtlsServer, port = 1): this {
    this.send('first', at(port));
    this.deliver();
    assert.equal(server.data.at(-1), 'first');
    return this;
  }

  /** What was received since it was last asked. */
  texts(): string[] {
    return this.received.splice(0).map(({ text }) => text);
  }

  /** Lets what was put off to later happen. */
  async settle(): Promise<void> {
    await Promise.resolve();
  }
}
