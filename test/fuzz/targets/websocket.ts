/** The WebSocket listener: sockets that send it anything, and frames in any order that RFC 6455 allows. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { WebSocketListener } from '../../../src/listeners/websocket.js';
import type { Transport } from '../../../src/session/transport.js';
import { Feed, input, type Target } from '../target.js';

/** What one connection has brought. */
class Visit {
  readonly data: Buffer[] = [];
  accepted = 0;
  closed = 0;
  refused = 0;
  sent = 0;
}

let visit = new Visit();

function accept(transport: Transport): void {
  const mine = visit;
  mine.accepted++;
  transport.handler = {
    onData(chunk) {
      assert.equal(mine.closed, 0, 'no data after the end');
      mine.data.push(Buffer.from(chunk));
    },
    onDrain() {},
    onClose() {
      mine.closed++;
    },
  };
}

const listener = new WebSocketListener('127.0.0.1', 0, {
  path: '/mqtt',
  maxConnectSize: 4096,
  connectTimeout: 60,
  enter: () => ({ address: null, pending: true, admitted: false, gone: false }),
  leave: () => {},
  accept,
  refused: () => {
    visit.refused++;
  },
});
await listener.listen();
const port = Number(listener.address.split(':').at(-1));

const UPGRADE = [
  'GET /mqtt HTTP/1.1',
  'Host: x',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Protocol: mqtt',
  `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`,
];
const HANDSHAKE = Buffer.from([...UPGRADE, '', ''].join('\r\n'));

const CONTINUATION = 0;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** A frame from a client (RFC 6455 5.2), masked with `key`. */
function frame(opcode: number, fin: boolean, payload: Buffer, key: number): Buffer {
  const { length } = payload;
  const head = [(fin ? 0x80 : 0) | opcode];
  if (length < 126) head.push(0x80 | length);
  else head.push(0x80 | 126, length >> 8, length & 0xff);
  const mask = Buffer.alloc(4, key);
  return Buffer.concat([Buffer.from(head), mask, payload.map((byte) => byte ^ key)]);
}

/** Frames that are allowed, and the messages that they carry. */
function allowed(feed: Feed): { readonly frames: Buffer; readonly messages: Buffer[]; readonly pings: number } {
  const frames: Buffer[] = [];
  const messages: Buffer[] = [];
  let parts: Buffer[] | null = null;
  let pings = 0;
  while (!feed.empty) {
    const head = feed.byte();
    const key = feed.byte();
    const control = head & 3;
    if (control === 3) {
      const payload = feed.take(feed.byte() % 126);
      const isPing = (head & 4) !== 0;
      if (isPing) pings++;
      frames.push(frame(isPing ? PING : PONG, true, payload, key));
      continue;
    }
    const payload = feed.take(feed.short() % 1024);
    const fin = control !== 1;
    frames.push(frame(parts === null ? BINARY : CONTINUATION, fin, payload, key));
    parts = [...(parts ?? []), payload];
    // The listener takes no longer ones.
    if (parts.reduce((sum, part) => sum + part.length, 0) > 4096)
      return { frames: Buffer.alloc(0), messages: [], pings: 0 };
    if (!fin) continue;
    messages.push(Buffer.concat(parts));
    parts = null;
  }
  frames.push(frame(CLOSE, true, Buffer.from([3, 232]), 0));
  return { frames: Buffer.concat(frames), messages, pings };
}

/** Sends the pieces, each in a packet of its own as far as the system lets it, then ends; returns the answer. */
async function send(pieces: readonly Buffer[]): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  const answer: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => answer.push(chunk));
  // A reset is one of the ways in which the listener may close.
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  for (const piece of pieces) if (piece.length > 0) socket.write(piece);
  socket.end();
  await closed;
  return Buffer.concat(answer);
}

/** What the listener has sent, as (opcode, payload). */
function answered(bytes: Buffer): { readonly opcode: number; readonly payload: Buffer }[] {
  const list: { opcode: number; payload: Buffer }[] = [];
  for (let at = bytes.indexOf('\r\n\r\n') + 4; at < bytes.length; ) {
    const length = bytes[at + 1];
    assert.ok(length < 126, 'not masked, and short');
    list.push({ opcode: bytes[at] & 15, payload: bytes.subarray(at + 2, at + 2 + length) });
    at += 2 + length;
  }
  return list;
}

async function run(bytes: Buffer): Promise<string> {
  visit = new Visit();
  const mine = visit;
  const feed = new Feed(bytes);
  const mode = feed.byte() % 4;
  if (mode === 0) {
    // Anything instead of HTTP, or HTTP with anything in it.
    const split = feed.byte();
    const answer = await send([feed.take(split), feed.rest()]);
    await settled(mine);
    return `${answer.toString('latin1', 0, 12)} ${mine.accepted} ${mine.refused}`;
  }
  if (mode === 1) {
    // Headers of the upgrade left out, doubled or with more behind them.
    const chosen = feed.byte();
    const lines = UPGRADE.filter((_, i) => i === 0 || (chosen & (1 << i)) === 0);
    const more = feed.rest();
    const answer = await send([Buffer.from(`${lines.join('\r\n')}\r\n`), more, Buffer.from('\r\n\r\n')]);
    await settled(mine);
    return `${chosen} ${answer.toString('latin1', 0, 12)} ${mine.accepted}`;
  }
  if (mode === 2) {
    // Anything instead of frames.
    const answer = await send([HANDSHAKE, feed.rest()]);
    await settled(mine);
    assert.match(answer.toString('latin1'), /^HTTP\/1\.1 101 /);
    assert.equal(mine.accepted, 1);
    assert.ok(mine.data.reduce((sum, { length }) => sum + length, 0) <= bytes.length);
    const codes = answered(answer).map(
      ({ opcode, payload }) => `${opcode}:${opcode === CLOSE ? payload.toString('hex') : ''}`,
    );
    return `${mine.data.length > 0} ${mine.refused} ${[...new Set(codes)]}`;
  }
  const { frames, messages, pings } = allowed(feed);
  const answer = await send([HANDSHAKE, frames]);
  await settled(mine);
  assert.deepEqual(mine.data, messages, 'every message, and as it was');
  assert.deepEqual([mine.accepted, mine.refused], [1, 0]);
  const pongs = answered(answer).filter(({ opcode }) => opcode === PONG).length;
  assert.ok(pongs <= pings);
  return `${Math.min(messages.length, 3)} ${Math.min(pongs, 3)}`;
}

/** Every connection that was taken has ended once. */
async function settled(mine: Visit): Promise<void> {
  for (let turns = 0; turns < 1000 && mine.closed < mine.accepted; turns++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  assert.equal(mine.closed, mine.accepted, 'the end of the connection was told');
  assert.ok(mine.refused <= 1, `${mine.refused} refusals of one connection`);
}

const headers = (...lines: string[]): Buffer => Buffer.from([...lines, '', ''].join('\r\n'));

export const webSocket: Target = {
  name: 'websocket',
  scope: ['/src/listeners/', '/node_modules/ws/'],
  longest: 20_000,
  words: [
    ...UPGRADE.map((line) => `${line}\r\n`),
    ...[
      '\r\n\r\n',
      '\r\n',
      ': ',
      'Sec-WebSocket-Extensions: permessage-deflate\r\n',
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Expect: 100-continue\r\n',
    ],
    frame(BINARY, true, Buffer.from('c000', 'hex'), 1),
    frame(1, true, Buffer.from('text'), 0),
    frame(BINARY, false, Buffer.from('a'), 2),
    frame(CONTINUATION, true, Buffer.from('b'), 3),
    frame(PING, true, Buffer.from('p'), 0),
    frame(CLOSE, true, Buffer.from([3, 232]), 0),
    Buffer.from('82fe', 'hex'),
    Buffer.from('82ff0000000100000000', 'hex'),
  ],
  seeds: () => [
    input(0, 255, HANDSHAKE),
    input(0, 20, HANDSHAKE, frame(BINARY, true, Buffer.from('c000', 'hex'), 7)),
    input(0, 9, headers('GET / HTTP/1.1', 'Host: x')),
    input(0, 0, headers('GET /other HTTP/1.1', ...UPGRADE.slice(1))),
    input(0, 0, headers(UPGRADE[0], `X: ${'x'.repeat(18_000)}`, ...UPGRADE.slice(1))),
    input(0, 0, headers('POST /mqtt HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked'), '5\r\nabcde\r\n0\r\n\r\n'),
    ...[0, 0x10, 0x20, 0x40, 0x08, 0x04, 0x02].map((left) => input(1, left, 'Sec-WebSocket-Protocol: mqttv3.1')),
    input(2, frame(BINARY, true, Buffer.from('c000', 'hex'), 9)),
    input(2, frame(1, true, Buffer.from('text'), 9), frame(BINARY, true, Buffer.from('c000', 'hex'), 9)),
    input(2, frame(BINARY, true, Buffer.alloc(5000), 9)),
    input(2, Buffer.from('8202c000', 'hex')),
    input(2, Buffer.from('89fe007e00000000', 'hex')),
    input(3, 0, 1, 0, 3, 'abc', 1, 2, 0, 2, 'de', 7, 3, 1, 'p', 0, 4, 0, 1, 'f'),
  ],
  run,
  close: () => listener.close(),
};
