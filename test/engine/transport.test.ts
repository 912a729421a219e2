/** A connection's output on its way into a socket that takes it late. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { StreamTransport } from '../../src/session/transport.js';
import { Output } from '../../src/wire/output.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

const server = createServer({ allowHalfOpen: true });

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

after(() => {
  server.close();
});

/** Both ends of a connection; the far one does not read yet. */
async function pair(): Promise<{ near: Socket; far: Socket }> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  far.pause();
  const [near] = await accepted;
  return { near, far };
}

/** Fills an output with a run that says its number in every byte. */
function fill(output: Output, number: number, length: number): void {
  output.reserve(length);
  output.buffer.fill(number & 0xff, output.length, output.length + length);
  output.length += length;
}

/** Whoever takes buffers from the pool now must not have one of those that wait. */
function scribble(): void {
  const others = [4096, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 131_072].map((size) => {
    const other = new Output();
    fill(other, 0xee, size);
    return other;
  });
  for (const other of others) other.recycle();
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('a buffer is used again only after the socket has taken its bytes, however slowly it does', async () => {
  for (const seed of seeds(4)) {
    const random = new Random(seed);
    const { near, far } = await pair();
    const transport = new StreamTransport(near);
    const output = new Output();
    const runs: [number: number, length: number][] = [];
    const send = (): void => {
      const number = runs.length;
      const length = 1 + random.below(random.pick([100, 5000, 130_000]));
      fill(output, number, length);
      transport.write(output);
      runs.push([number, length]);
      scribble();
    };
    for (let i = 0; i < 400; i++) {
      send();
      if (random.below(8) === 0) await turn();
    }
    assert.ok(transport.pending > 0, 'the socket takes no more');
    // Half as many again, whenever there is room: the socket takes some at once, in the middle of older callbacks.
    let drained = false;
    const onDrain = (): void => {
      for (let i = 0; i < 40 && runs.length < 600; i++) send();
      drained = runs.length === 600 && transport.pending === 0;
      if (drained) near.end();
      else if (transport.pending === 0) setImmediate(onDrain);
    };
    transport.handler = { onData: () => {}, onClose: () => {}, onDrain };
    const reading = readAll(far);
    while (!drained) {
      await turn();
      scribble();
    }
    const bytes = await reading;
    const total = runs.reduce((sum, [, length]) => sum + length, 0);
    let at = 0;
    for (const [number, length] of runs) {
      const expected = Buffer.alloc(length, number & 0xff);
      assert.ok(bytes.subarray(at, at + length).equals(expected), `run ${number} of ${length} bytes, SEED=${seed}`);
      at += length;
    }
    assert.equal(bytes.length, total);
    near.destroy();
    far.destroy();
  }
});

test('what waits for a socket goes back to the pool once it is taken', async () => {
  const { near, far } = await pair();
  const transport = new StreamTransport(near);
  const output = new Output();
  const waiting = new Set<Buffer>();
  while (waiting.size < 8) {
    fill(output, 1, 65_536);
    const { buffer } = output;
    transport.write(output);
    if (transport.pending > 0) waiting.add(buffer);
  }
  const other = new Output();
  other.reserve(65_536);
  assert.ok(!waiting.has(other.buffer), 'a buffer that waits is in nobody else’s hands');
  const drained = new Promise<void>((resolve) => {
    transport.handler = { onData: () => {}, onClose: () => {}, onDrain: resolve };
  });
  far.resume();
  await drained;
  other.release();
  const taken = Array.from({ length: 8 }, () => {
    const next = new Output();
    next.reserve(65_536);
    return next.buffer;
  });
  assert.ok(
    taken.every((buffer) => waiting.has(buffer)),
    'the pool has them again',
  );
  near.destroy();
  far.destroy();
});

test('a socket that breaks keeps the buffers that it may still hold', async () => {
  const { near, far } = await pair();
  const transport = new StreamTransport(near);
  const output = new Output();
  const waiting = new Set<Buffer>();
  while (waiting.size < 4) {
    fill(output, 1, 16_384);
    const { buffer } = output;
    transport.write(output);
    if (transport.pending > 0) waiting.add(buffer);
  }
  const closed = new Promise<void>((resolve) => {
    transport.handler = { onData: () => {}, onDrain: () => {}, onClose: () => resolve() };
  });
  transport.destroy();
  await closed;
  await turn();
  const next = Array.from({ length: 8 }, () => new Output());
  for (const one of next) one.reserve(16_384);
  assert.ok(
    next.every(({ buffer }) => !waiting.has(buffer)),
    'none of them is in the pool',
  );
  far.destroy();
});
