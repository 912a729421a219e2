/** Frames of CoAP over TCP that come in pieces (RFC 8323 3.2): they are put together, and the pieces are not kept. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Connection } from '../../src/coap/tcp/connection.js';
import { DEFAULT_TCP_LIMITS } from '../../src/coap/tcp/limits.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

const CSM = Buffer.from([0x00, 0xe1]);
const LONGEST = 70_000;

/** Nothing but what a connection asks of its socket here. */
class Line extends EventEmitter {
  readonly writableLength = 0;
  readonly delivered: Buffer[] = [];
  /** Bytes of what has not come in full. */
  held = 0;
  /** What each piece comes in. */
  readonly #piece = Buffer.alloc(LONGEST);

  constructor() {
    super();
    const address = { address: '192.0.2.1', port: 5683, family: 'IPv4' } as const;
    new Connection(this as unknown as Socket, address, {
      limits: { ...DEFAULT_TCP_LIMITS, messageBytes: LONGEST },
      now: () => 0,
      deliver: (datagram) => this.delivered.push(datagram),
      holds: (more) => {
        this.held += more;
      },
      dropped: () => {},
      aborted: (_source, _cause, reason) => assert.fail(reason),
      closed: () => {},
    });
    this.say(CSM);
  }

  setNoDelay(): void {}

  write(): boolean {
    return true;
  }

  /** The bytes are others as soon as they have been taken. */
  say(bytes: Buffer): void {
    const piece = this.#piece.subarray(0, bytes.copy(this.#piece));
    this.emit('data', piece);
    piece.fill(0xee);
  }
}

/** A PUT with a payload. */
function put(payload: Buffer): Buffer {
  const length = payload.length + 1;
  const head =
    length < 13
      ? [length << 4]
      : length < 269
        ? [13 << 4, length - 13]
        : length < 65_805
          ? [14 << 4, (length - 269) >> 8, (length - 269) & 255]
          : [15 << 4, 0, 0, (length - 65_805) >> 8, (length - 65_805) & 255];
  return Buffer.concat([Buffer.from([...head, 0x03, 0xff]), payload]);
}

/** Payloads that have been delivered, behind a header of four bytes and the marker. */
function payloadsOf({ delivered }: Line): Buffer[] {
  return delivered.map((datagram) => datagram.subarray(5));
}

test('a message that comes byte by byte is whole, whatever becomes of the buffers that its bytes came in', () => {
  for (const length of [1, 12, 300, 66_000]) {
    const line = new Line();
    const payload = new Random(length).bytes(length);
    let most = 0;
    for (const byte of put(payload)) {
      line.say(Buffer.from([byte]));
      most = Math.max(most, line.held);
    }
    assert.deepEqual(payloadsOf(line), [payload]);
    assert.ok(most <= put(payload).length, `${most} bytes were kept`);
    assert.equal(line.held, 0);
  }
});

for (const seed of seeds(20)) {
  test(`messages in pieces of any size are delivered whole and in order (SEED=${seed})`, () => {
    const random = new Random(seed);
    const line = new Line();
    const payloads = Array.from({ length: 30 }, () => random.bytes(1 + random.below(random.oneIn(5) ? 5000 : 40)));
    const bytes = Buffer.concat(payloads.map(put));
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + random.below(random.oneIn(3) ? 2000 : 20);
      line.say(bytes.subarray(at, end));
      at = end;
    }
    assert.deepEqual(payloadsOf(line), payloads);
    assert.equal(line.held, 0);
  });
}
