/** An endpoint without sockets: datagrams in memory, a clock that the test turns, and a codec that shares no code with it. */
import assert from 'node:assert/strict';
import { CoapEndpoint, type CoapServerOptions, type RequestHandler } from '../../src/coap/endpoint.js';
import type { Clock } from '../../src/coap/timers.js';
import type { DatagramAddress, DatagramTransport } from '../../src/coap/transport.js';

export const CON = 0;
export const NON = 1;
export const ACK = 2;
export const RST = 3;

/** Names of the option numbers used by the tests, RFC 7252 12.2 and its successors. */
export const OPT = {
  ifMatch: 1,
  uriHost: 3,
  etag: 4,
  ifNoneMatch: 5,
  observe: 6,
  uriPort: 7,
  locationPath: 8,
  uriPath: 11,
  contentFormat: 12,
  maxAge: 14,
  uriQuery: 15,
  hopLimit: 16,
  accept: 17,
  locationQuery: 20,
  block2: 23,
  block1: 27,
  size2: 28,
  proxyUri: 35,
  proxyScheme: 39,
  size1: 60,
  echo: 252,
  noResponse: 258,
  requestTag: 292,
} as const;

export type OptionValue = Buffer | string | number;

export interface Wire {
  readonly type?: number;
  /** "c.dd". */
  readonly code: string;
  readonly mid?: number;
  readonly token?: string;
  readonly path?: readonly string[];
  readonly options?: readonly (readonly [number, OptionValue])[];
  readonly payload?: Buffer | string;
}

export interface Decoded {
  readonly type: number;
  readonly code: string;
  readonly mid: number;
  readonly token: string;
  readonly options: readonly (readonly [number, Buffer])[];
  readonly payload: Buffer;
  readonly bytes: Buffer;
}

function uint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from(bytes);
}

function extended(value: number): [number, Buffer] {
  if (value < 13) return [value, Buffer.alloc(0)];
  if (value < 269) return [13, Buffer.from([value - 13])];
  return [14, Buffer.from([(value - 269) >> 8, (value - 269) & 255])];
}

export function encode(wire: Wire): Buffer {
  const token = Buffer.from(wire.token ?? '', 'hex');
  const [group, detail] = wire.code.split('.');
  const mid = wire.mid ?? 1;
  const parts: Buffer[] = [
    Buffer.from([
      0x40 | ((wire.type ?? CON) << 4) | token.length,
      (Number(group) << 5) | Number(detail),
      mid >> 8,
      mid & 255,
    ]),
    token,
  ];
  const options = [
    ...(wire.path ?? []).map((segment): [number, OptionValue] => [OPT.uriPath, segment]),
    ...(wire.options ?? []),
  ];
  let last = 0;
  for (const [number, value] of options.sort((left, right) => left[0] - right[0])) {
    const bytes = typeof value === 'number' ? uint(value) : typeof value === 'string' ? Buffer.from(value) : value;
    const [delta, deltaBytes] = extended(number - last);
    const [length, lengthBytes] = extended(bytes.length);
    parts.push(Buffer.from([(delta << 4) | length]), deltaBytes, lengthBytes, bytes);
    last = number;
  }
  const payload = typeof wire.payload === 'object' ? wire.payload : Buffer.from(wire.payload ?? '');
  if (payload.length > 0) parts.push(Buffer.from([0xff]), payload);
  return Buffer.concat(parts);
}

export function decode(bytes: Buffer): Decoded {
  assert.equal(bytes[0] >> 6, 1, 'version');
  const tokenLength = bytes[0] & 15;
  assert.ok(tokenLength <= 8, 'token length');
  const options: [number, Buffer][] = [];
  let at = 4 + tokenLength;
  let number = 0;
  let payload = Buffer.alloc(0);
  const extend = (nibble: number): number => {
    assert.notEqual(nibble, 15, 'nibble');
    if (nibble < 13) return nibble;
    at += nibble - 12;
    return nibble === 13 ? bytes.readUInt8(at - 1) + 13 : bytes.readUInt16BE(at - 2) + 269;
  };
  while (at < bytes.length) {
    const head = bytes[at++];
    if (head === 0xff) {
      payload = Buffer.from(bytes.subarray(at));
      assert.ok(payload.length > 0, 'payload after the marker');
      break;
    }
    number += extend(head >> 4);
    const length = extend(head & 15);
    assert.ok(at + length <= bytes.length, 'option inside the message');
    options.push([number, Buffer.from(bytes.subarray(at, at + length))]);
    at += length;
  }
  return {
    type: (bytes[0] >> 4) & 3,
    code: `${bytes[1] >> 5}.${String(bytes[1] & 31).padStart(2, '0')}`,
    mid: bytes.readUInt16BE(2),
    token: bytes.subarray(4, 4 + tokenLength).toString('hex'),
    options,
    payload,
    bytes,
  };
}

/** All values of an option. */
export function values(message: Decoded, option: number): Buffer[] {
  return message.options.filter(([number]) => number === option).map(([, value]) => value);
}

/** The value of an option as a number, undefined without it. */
export function number(message: Decoded, option: number): number | undefined {
  const [value] = values(message, option);
  return value === undefined ? undefined : value.reduce((sum, byte) => sum * 256 + byte, 0);
}

export interface Block {
  readonly number: number;
  readonly more: boolean;
  readonly size: number;
}

export function block(message: Decoded, option: number): Block | undefined {
  const value = number(message, option);
  return value === undefined ? undefined : { number: value >> 4, more: (value & 8) !== 0, size: 16 << (value & 7) };
}

/** A block option's value. */
export function blockValue(number: number, more: boolean, size: number): number {
  return (number << 4) | (more ? 8 : 0) | (Math.log2(size) - 4);
}

/** A clock that stands still until the test moves it. */
export class FakeClock implements Clock {
  time = 1_000_000;
  readonly #timers = new Map<object, { at: number; callback: () => void }>();

  now(): number {
    return this.time;
  }

  setTimer(callback: () => void, delay: number): unknown {
    const timer = {};
    this.#timers.set(timer, { at: this.time + delay, callback });
    return timer;
  }

  clearTimer(timer: unknown): void {
    this.#timers.delete(timer as object);
  }

  get pending(): number {
    return this.#timers.size;
  }

  /** Lets `milliseconds` pass and runs what falls due, in order. */
  advance(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      let next: object | undefined;
      let at = end;
      for (const [timer, entry] of this.#timers) {
        if (entry.at <= at) {
          if (next !== undefined && entry.at === at) continue;
          next = timer;
          at = entry.at;
        }
      }
      if (next === undefined) break;
      const entry = this.#timers.get(next)!;
      this.#timers.delete(next);
      this.time = Math.max(this.time, entry.at);
      entry.callback();
    }
    this.time = end;
  }
}

/** Datagrams in memory. */
export class MemoryTransport implements DatagramTransport {
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  onGone: ((remote: DatagramAddress, reason: string) => void) | undefined;
  readonly sent: { readonly bytes: Buffer; readonly port: number; readonly address: string }[] = [];
  /** Whether sent datagrams are kept; a fuzzer sends too many. */
  keep = true;
  count = 0;

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    this.count++;
    assert.ok(length >= 4 && offset >= 0 && offset + length <= bytes.length, 'a whole message inside the buffer');
    assert.ok(remote.port > 0 && remote.port < 65_536, 'a port that can be sent to');
    if (!this.keep) return;
    const copy = Buffer.from(bytes.subarray(offset, offset + length));
    this.sent.push({ bytes: copy, port: remote.port, address: remote.address });
  }

  async close(): Promise<void> {}

  receive(bytes: Buffer, port: number, address = '192.0.2.1'): void {
    this.onDatagram?.(bytes, { address, port, family: 'IPv4' });
  }
}

/** An endpoint in memory, and clients of it. */
export class Bench {
  readonly clock = new FakeClock();
  readonly transport = new MemoryTransport();
  readonly endpoint: CoapEndpoint;

  constructor(handler: RequestHandler, options: Partial<CoapServerOptions> = {}) {
    this.endpoint = new CoapEndpoint(this.transport, {
      clock: this.clock,
      random: () => 0,
      ...options,
      limits: { deduplicationBytes: 256 * 1024, ...options.limits },
      handler,
    });
  }

  client(port = 40_000): Client {
    return new Client(this, port);
  }
}

/** A client at one port: sends messages and takes what came back, in order. */
export class Client {
  readonly bench: Bench;
  readonly port: number;
  #mid: number;

  constructor(bench: Bench, port: number) {
    this.bench = bench;
    this.port = port;
    this.#mid = (port * 7) & 0x7fff;
  }

  raw(bytes: Buffer): void {
    this.bench.transport.receive(bytes, this.port);
  }

  /** Sends a message, with the next message id unless it names one. Returns the id. */
  send(wire: Wire): number {
    const mid = wire.mid ?? ++this.#mid;
    this.raw(encode({ ...wire, mid }));
    return mid;
  }

  /** Everything received since the last call. */
  take(): Decoded[] {
    const { sent } = this.bench.transport;
    const mine = sent.filter((datagram) => datagram.port === this.port).map((datagram) => decode(datagram.bytes));
    for (let index = sent.length - 1; index >= 0; index--) if (sent[index].port === this.port) sent.splice(index, 1);
    return mine;
  }

  /** The one message received since the last call. */
  one(): Decoded {
    const messages = this.take();
    assert.equal(messages.length, 1, `one message, not ${messages.map((message) => message.code).join(', ')}`);
    return messages[0];
  }

  none(): void {
    assert.deepEqual(this.take(), []);
  }

  /** Sends a request and returns its one answer. */
  ask(wire: Wire): Decoded {
    this.send(wire);
    return this.one();
  }

  acknowledge(message: Decoded): void {
    this.send({ type: ACK, code: '0.00', mid: message.mid });
  }

  reset(message: Decoded): void {
    this.send({ type: RST, code: '0.00', mid: message.mid });
  }
}
