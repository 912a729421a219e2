/** CoAP over TCP (RFC 8323): the bytes of a connection, in any pieces, with a whole endpoint above it. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { type AbortCause, Connection, type ConnectionHost } from '../../../src/coap/tcp/connection.js';
import { DEFAULT_TCP_LIMITS } from '../../../src/coap/tcp/limits.js';
import type { DatagramAddress, DatagramTransport } from '../../../src/coap/transport.js';
import { blockValue, decode, encode, FakeClock, OPT } from '../../coap/harness.js';
import { Resources } from '../../coap/resources.js';
import { Feed, input, type Target } from '../target.js';

const MESSAGE_BYTES = 2048;
const LIMITS = { ...DEFAULT_TCP_LIMITS, messageBytes: MESSAGE_BYTES };
const SIGNALING = 7;

/** The side of a socket that a connection uses; it takes everything at once. */
class MemorySocket extends EventEmitter {
  readonly written: Buffer[] = [];
  readonly writableLength = 0;
  /** What waits to be told that it was taken. */
  #taken: (() => void)[] = [];
  ended = false;
  destroyed = false;

  setNoDelay(): void {}
  pause(): void {}
  resume(): void {}

  write(bytes: Buffer, taken?: () => void): boolean {
    assert.ok(!this.ended && !this.destroyed, 'nothing is written after the end');
    this.written.push(Buffer.from(bytes));
    if (taken !== undefined) this.#taken.push(taken);
    return true;
  }

  /** Says of everything that was written that it was taken, and of what is written for that. */
  take(): void {
    for (let some = this.#taken.splice(0); some.length > 0; some = this.#taken.splice(0)) {
      for (const taken of some) taken();
    }
  }

  end(bytes?: Buffer): void {
    if (bytes !== undefined) this.write(bytes);
    this.ended = true;
  }

  destroySoon(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}

/** A frame as RFC 8323 3.2 says, read plainly. */
interface Frame {
  readonly code: number;
  readonly token: Buffer;
  /** Options and payload. */
  readonly rest: Buffer;
}

/** The frames up to one that is not whole, too large or without form. */
function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tokenLength = bytes[at] & 15;
    const nibble = bytes[at] >> 4;
    const extended = [1, 2, 4][nibble - 13] ?? 0;
    const start = at + 2 + extended;
    if (tokenLength > 8 || start > bytes.length) break;
    const more = extended === 0 ? 0 : bytes.readUIntBE(at + 1, extended);
    const end = start + tokenLength + (extended === 0 ? nibble : more + [13, 269, 65_805][nibble - 13]);
    if (end - at > MESSAGE_BYTES || end > bytes.length) break;
    const token = bytes.subarray(start, start + tokenLength);
    frames.push({ code: bytes[start - 1], token, rest: bytes.subarray(start + tokenLength, end) });
    at = end;
  }
  return frames;
}

const inWords = ({ code, token, rest }: Frame): string => `${code} ${token.toString('hex')} ${rest.toString('hex')}`;

/** What became of a connection. */
interface Life {
  /** What reached the endpoint, in words. */
  readonly delivered: readonly string[];
  /** What went out, in words. */
  readonly answers: readonly string[];
  readonly end: string;
}

/** Gives a connection these pieces, one after the other. */
async function live(pieces: readonly Buffer[]): Promise<Life> {
  const socket = new MemorySocket();
  const clock = new FakeClock();
  const delivered: string[] = [];
  let end = 'open';
  let held = 0;
  let connection: Connection | null = null;
  const transport: DatagramTransport = {
    onDatagram: undefined,
    send: (bytes, offset, length) => connection?.send(bytes, offset, length),
    close: async () => {},
  };
  const host: ConnectionHost = {
    limits: LIMITS,
    now: () => clock.now(),
    deliver(datagram: Buffer, source: DatagramAddress) {
      assert.ok(!socket.destroyed, 'nothing is delivered after the end');
      const token = datagram.subarray(4, 4 + (datagram[0] & 15));
      // What says that TCP has taken a message is none of the client's.
      if (datagram[0] >> 4 !== 6) {
        delivered.push(inWords({ code: datagram[1], token, rest: datagram.subarray(4 + token.length) }));
      }
      transport.onDatagram?.(datagram, source);
    },
    holds(more: number) {
      held += more;
      assert.ok(held >= 0, 'no more is given up than was kept');
    },
    dropped: () => assert.fail('everything is taken'),
    aborted(_source: DatagramAddress, cause: AbortCause, reason: string) {
      assert.equal(end, 'open', 'it ends once');
      end = `${cause}: ${reason}`;
    },
    closed(gone: Connection) {
      transport.onGone?.(gone.address, 'closed');
    },
  };
  const deferred: (() => void)[] = [];
  const failures: string[] = [];
  const endpoint = new CoapEndpoint(transport, {
    handler: new Resources((answer) => deferred.push(answer)).handler,
    clock,
    random: () => 0,
    limits: { deduplicationBytes: 64 * 1024 },
    onEvent: (name, _remote, detail) => {
      if (name === 'handler-error' || name === 'internal-error') failures.push(`${name} ${detail}`);
    },
  });
  const address = { address: '192.0.2.1', port: 40_000, family: 'IPv4', key: 'tcp-1', reliable: true } as const;
  connection = new Connection(socket as unknown as Socket, address, host);
  for (const piece of pieces) if (!socket.destroyed) socket.emit('data', Buffer.from(piece));
  socket.take();
  for (const answer of deferred) answer();
  socket.take();
  assert.deepEqual(failures, []);
  assert.equal(endpoint.counters.internalErrors, 0);
  const answers = answersOf(Buffer.concat(socket.written));
  if (end === 'open' && socket.destroyed) end = 'released';
  socket.destroy();
  assert.equal(endpoint.tables.observers, 0, 'its observations have gone with it');
  await endpoint.close();
  return { delivered, answers, end };
}

async function run(bytes: Buffer): Promise<string> {
  const feed = new Feed(bytes);
  const cuts = feed.take(feed.byte() & 15);
  const sent = Buffer.concat([(feed.byte() & 1) === 1 ? CSM : Buffer.alloc(0), feed.rest()]);
  const whole = await live([sent]);

  // Messages reach the endpoint as a plain reader has them, up to the end of the connection.
  const plain = framesOf(sent).filter(({ code }) => code !== 0 && code >> 5 !== SIGNALING);
  assert.deepEqual(whole.delivered, plain.slice(0, whole.delivered.length).map(inWords));
  if (whole.end === 'open') assert.equal(whole.delivered.length, plain.length);

  // Whatever the pieces.
  const pieces: Buffer[] = [];
  let at = 0;
  for (const cut of cuts) {
    pieces.push(sent.subarray(at, at + cut));
    at += cut;
  }
  assert.deepEqual(await live([...pieces, sent.subarray(at)]), whole);
  const beginning = sent.subarray(0, 300);
  assert.deepEqual(await live(Array.from(beginning, (byte) => Buffer.from([byte]))), await live([beginning]));
  return `${whole.end.slice(0, 20)} ${[...new Set(whole.answers.map((answer) => answer.split(' ')[0]))].toSorted()}`;
}

/** What goes out is whole frames: CSM first, then answers and signals. They are said without the number that Observe counts. */
function answersOf(written: Buffer): string[] {
  const frames = framesOf(written);
  const sizes = frames.map(({ token, rest }) => headOf(rest.length) + token.length + rest.length);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    written.length,
  );
  return frames.map(({ code, token, rest }, index) => {
    assert.ok(index === 0 ? code === 0xe1 : [2, 4, 5, SIGNALING].includes(code >> 5), `code ${code}`);
    const { options, payload } = decode(Buffer.concat([Buffer.from([0x40 | token.length, code, 0, 0]), token, rest]));
    const said = options.map(([number, value]) => `${number}=${number === OPT.observe ? '' : value.toString('hex')}`);
    return `${code} ${token.toString('hex')} ${said} ${payload.toString('hex')}`;
  });
}

/** Bytes of a frame's head, for so many of options and payload. */
function headOf(length: number): number {
  return length < 13 ? 2 : length < 269 ? 3 : length < 65_805 ? 4 : 6;
}

/** A frame with what a datagram says. */
function frame(datagram: Buffer): Buffer {
  const tokenLength = datagram[0] & 15;
  const length = datagram.length - 4 - tokenLength;
  const head =
    length < 13
      ? [(length << 4) | tokenLength]
      : length < 269
        ? [0xd0 | tokenLength, length - 13]
        : [0xe0 | tokenLength, (length - 269) >> 8, (length - 269) & 0xff];
  return Buffer.concat([Buffer.from([...head, datagram[1]]), datagram.subarray(4)]);
}

const CSM = frame(encode({ code: '7.01' }));
const FRAMES: readonly Buffer[] = [
  frame(encode({ code: '0.01', path: ['test'], token: '0102' })),
  frame(encode({ code: '0.01', path: ['obs'], token: 'aa', options: [[OPT.observe, 0]] })),
  frame(encode({ code: '0.01', path: ['obs'], token: 'aa', options: [[OPT.observe, 1]] })),
  frame(encode({ code: '0.01', path: ['large'], token: 'bb', options: [[OPT.block2, blockValue(1, false, 64)]] })),
  frame(
    encode({
      code: '0.03',
      path: ['large-update'],
      token: 'cc',
      options: [[OPT.block1, blockValue(0, true, 16)]],
      payload: Buffer.alloc(16, 97),
    }),
  ),
  frame(encode({ code: '0.03', path: ['test'], token: 'dd', payload: Buffer.alloc(300, 98) })),
  frame(encode({ code: '0.02', path: ['separate'], token: 'ee', payload: 'x' })),
  frame(encode({ code: '0.00' })),
  frame(encode({ code: '7.02', token: '01' })),
  frame(encode({ code: '7.03' })),
  frame(encode({ code: '7.04' })),
  frame(encode({ code: '7.05', payload: 'why' })),
  frame(encode({ code: '7.01', options: [[2, 1152]] })),
  frame(encode({ code: '7.01', options: [[1, 'x']] })),
];

export const coapTcp: Target = {
  name: 'coap-tcp',
  scope: ['/src/coap/'],
  longest: 4096,
  words: [...FRAMES, Buffer.from('d0', 'hex'), Buffer.from('e00000', 'hex'), Buffer.from('f000000000', 'hex')],
  seeds: () => [
    ...FRAMES.map((bytes) => input(0, 1, bytes)),
    input(0, 0, CSM),
    ...[3, 7].map((size) => input(15, Buffer.alloc(15, size), 1, Buffer.concat(FRAMES.slice(0, 9)))),
  ],
  run,
};
