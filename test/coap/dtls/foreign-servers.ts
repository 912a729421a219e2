/** Servers of DTLS by others as processes, and the client on loopback that asks them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { CoapClient } from '../../../src/coap/client/client.js';
import type { Outcome } from '../../../src/coap/client/outcome.js';
import type { ClientRequest } from '../../../src/coap/client/request.js';
import { Method } from '../../../src/coap/codes.js';
import { type Credential, DtlsClientTransport } from '../../../src/coap/dtls-client/transport.js';
import { type DatagramAddress, type DatagramTransport, UdpTransport } from '../../../src/coap/transport.js';
import { UdpPorts } from '../../../src/coap/udp-ports.js';

export const SERVERS = ['coap-server-openssl', 'coap-server-gnutls'] as const;
export const KEY = 'sesame';
/** Milliseconds; datagrams are lost on purpose. */
export const PATIENT = { ackTimeout: 500, ackRandomFactor: 1, maxRetransmit: 10, timeout: 30_000, blockSize: 1024 };

export const children: ChildProcess[] = [];
export const clients: { close(): Promise<void> }[] = [];

/** Ends all of them. */
export async function endAll(): Promise<void> {
  for (const client of clients.splice(0)) await client.close();
  for (const child of children.splice(0)) {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

async function isFree(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  const bound = Promise.race([once(socket, 'listening').then(() => true), once(socket, 'error').then(() => false)]);
  socket.bind(port, '127.0.0.1');
  const free = await bound;
  if (free) await new Promise<void>((resolve) => socket.close(() => resolve()));
  return free;
}

/** Two ports in a row. */
export async function freePorts(): Promise<number> {
  for (;;) {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    await new Promise<void>((resolve) => socket.close(() => resolve()));
    if (port < 65_535 && (await isFree(port + 1))) return port;
  }
}

export function start(command: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  return new Promise((resolve, reject) => {
    child.once('spawn', () => {
      children.push(child);
      resolve(child);
    });
    child.once('error', (cause) =>
      reject(new Error(`${command} is missing; install it with: apt-get install -y libcoap3-bin openssl`, { cause })),
    );
  });
}

/** Whether a datagram is lost. */
type Loss = (number: number) => boolean;

/** Loses datagrams by their number, counted over both ways, on purpose. */
class Lossy implements DatagramTransport {
  onDatagram: DatagramTransport['onDatagram'];
  readonly #below: DatagramTransport;
  readonly #lost: Loss;
  #number = 0;

  constructor(below: DatagramTransport, lost: Loss) {
    this.#below = below;
    this.#lost = lost;
    below.onDatagram = (bytes, source) => {
      if (!this.#lost(this.#number++)) this.onDatagram?.(bytes, source);
    };
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    if (!this.#lost(this.#number++)) this.#below.send(bytes, offset, length, remote);
  }

  renew(remote: DatagramAddress): void {
    this.#below.renew?.(remote);
  }

  close(): Promise<void> {
    return this.#below.close();
  }
}

export interface Device {
  readonly dtls: DtlsClientTransport;
  readonly client: CoapClient;
  readonly remote: DatagramAddress;
  ask(request: ClientRequest): Promise<Outcome>;
}

/** A client with a key. */
export function device(
  port: number,
  key = KEY,
  identity = 'portico',
  lost: Loss = () => false,
  handshakeTime = 30_000,
): Promise<Device> {
  return deviceWith({ identity, key: Buffer.from(key) }, port, lost, handshakeTime);
}

export async function deviceWith(
  credential: Credential,
  port: number,
  lost: Loss = () => false,
  handshakeTime = 30_000,
): Promise<Device> {
  const udp = await UdpPorts.bind('127.0.0.1');
  const dtls = new DtlsClientTransport(new Lossy(udp, lost), {
    credential: () => credential,
    limits: { handshakeTime },
  });
  const client = new CoapClient(dtls);
  clients.push(client);
  const remote: DatagramAddress = { address: '127.0.0.1', port, family: 'IPv4' };
  return {
    dtls,
    client,
    remote,
    ask: (request) => new Promise((resolve) => client.request(remote, { transmission: PATIENT, ...request }, resolve)),
  };
}

const WITH_KEY = ['-k', KEY, '-h', 'a hint'];

/** Starts libcoap's server, which knows the key; resolves with its port of DTLS when it answers without. */
export function libcoap(server: string, ...args: readonly string[]): Promise<number> {
  return libcoapWith(server, [...WITH_KEY, ...args]);
}

/** The same, without the key. */
export async function libcoapWith(server: string, args: readonly string[]): Promise<number> {
  const port = await freePorts();
  await startAt(server, port, args);
  return port + 1;
}

export function restart(server: string, port: number): Promise<void> {
  return startAt(server, port, WITH_KEY);
}

async function startAt(server: string, port: number, args: readonly string[]): Promise<void> {
  await start(server, ['-A', '127.0.0.1', '-p', `${port}`, '-d', '10', ...args]);
  const plain = new CoapClient(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }));
  const remote: DatagramAddress = { address: '127.0.0.1', port, family: 'IPv4' };
  const transmission = { ...PATIENT, ackTimeout: 50 };
  const { failure } = await new Promise<Outcome>((resolve) =>
    plain.request(remote, { method: Method.Get, path: ['time'], transmission }, resolve),
  );
  await plain.close();
  assert.equal(failure, null, `${server} answers`);
}
