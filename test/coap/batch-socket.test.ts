/** A socket of batches, with a kernel that has room for so many datagrams. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { BatchSocket } from '../../src/coap/udp/batch-socket.js';
import { BATCHES, type Batches, type NativeSocket } from '../../src/coap/udp/batches.js';

const ROW = 8;
const PEER = '192.0.2.7';

/** What stands for the kernel: it takes the numbers that datagrams bear. */
class Kernel implements Batches {
  room = Number.POSITIVE_INFINITY;
  /** The next so many datagrams fail. */
  failing = 0;
  watched = false;
  closed = false;
  readonly taken: number[] = [];
  onBatch: (count: number) => void = () => {};
  onWritable: () => void = () => {};
  inBytes!: Buffer;
  inRows!: Uint32Array;
  #bytes!: Buffer;
  #rows!: Uint32Array;
  #failures!: Uint32Array;

  use(inBytes: Buffer, inRows: Uint32Array, bytes: Buffer, rows: Uint32Array, failures: Uint32Array): void {
    [this.inBytes, this.inRows, this.#bytes, this.#rows, this.#failures] = [inBytes, inRows, bytes, rows, failures];
  }

  parse(address: string, row: Uint32Array): boolean {
    assert.ok(BATCHES !== null);
    return BATCHES.parse(address, row);
  }

  format(row: Uint32Array): string {
    assert.ok(BATCHES !== null);
    return BATCHES.format(row);
  }

  open(
    address: string,
    port: number,
    _receiveBuffer: number,
    onBatch: (count: number) => void,
    onWritable: () => void,
  ): [NativeSocket, string, number] {
    [this.onBatch, this.onWritable] = [onBatch, onWritable];
    return [{} as NativeSocket, address, port];
  }

  send(_socket: NativeSocket, count: number): number {
    for (let i = 0; i < count; i++) {
      if (this.room === 0) return i;
      if (this.failing > 0) {
        this.failing--;
        this.#failures[0]++;
        continue;
      }
      this.room--;
      const [offset, length, port] = this.#rows.subarray(i * ROW);
      assert.deepEqual([length, port], [4, (4 << 16) | 5683]);
      this.taken.push(this.#bytes.readUInt32BE(offset));
    }
    return count;
  }

  watch(_socket: NativeSocket, writable: 0 | 1): void {
    this.watched = writable === 1;
  }

  receiveBuffer(): number {
    return 0;
  }

  close(): void {
    this.closed = true;
  }
}

let kernel: Kernel;
let socket: BatchSocket;
let lost: number;
let received: string[];

beforeEach(() => {
  kernel = new Kernel();
  lost = 0;
  received = [];
  socket = new BatchSocket(
    kernel,
    { address: '127.0.0.1', port: 5683, receiveBuffer: 0 },
    {
      datagram(bytes, { address, port, family }) {
        received.push(`${bytes} from ${family} ${address} ${port}`);
        send(100 + received.length);
      },
      lost(count) {
        lost += count;
      },
      error() {
        received.push('error');
      },
    },
  );
});

function send(number: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  if (socket.send(bytes, 0, 4, 5683, PEER)) lost++;
}

/** The end of the turn. */
const turn = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

test('what is sent in a turn leaves at its end, and what answers a batch behind it', async () => {
  for (const number of [1, 2, 3]) send(number);
  assert.deepEqual(kernel.taken, []);
  await turn();
  assert.deepEqual(kernel.taken, [1, 2, 3]);
  for (const [i, words] of ['a', 'bc'].entries()) {
    kernel.inBytes.write(words, i * 65_536);
    kernel.inRows.set([i * 65_536, words.length, (4 << 16) | (7000 + i), 0xc0000207], i * ROW);
  }
  kernel.onBatch(2);
  assert.deepEqual(received, [`a from IPv4 ${PEER} 7000`, `bc from IPv4 ${PEER} 7001`]);
  assert.deepEqual(kernel.taken, [1, 2, 3, 101, 102]);
  kernel.onBatch(-1);
  assert.equal(received.at(-1), 'error');
});

test('what the kernel has no room for waits for it, in order and behind what waits already', async () => {
  kernel.room = 300;
  for (const number of numbers(0, 1_000)) send(number);
  await turn();
  assert.ok(kernel.watched);
  assert.deepEqual(kernel.taken, numbers(0, 300));
  send(1_000);
  kernel.room = 100;
  kernel.onWritable();
  assert.deepEqual(kernel.taken, numbers(0, 400));
  assert.ok(kernel.watched, 'there is more');
  kernel.room = Number.POSITIVE_INFINITY;
  kernel.onWritable();
  assert.deepEqual(kernel.taken, numbers(0, 1_001));
  assert.ok(!kernel.watched);
  assert.equal(lost, 0);
});

test('no more than 16,384 wait; further ones are lost and counted', async () => {
  kernel.room = 0;
  for (const number of numbers(0, 20_000)) send(number);
  await turn();
  assert.equal(lost, 20_000 - 16_384);
  kernel.room = Number.POSITIVE_INFINITY;
  kernel.onWritable();
  assert.deepEqual(kernel.taken, numbers(0, 16_384));
});

test('a datagram that the kernel refuses is counted, and the next ones go', async () => {
  kernel.failing = 2;
  for (const number of numbers(0, 5)) send(number);
  await turn();
  assert.deepEqual(kernel.taken, [2, 3, 4]);
  assert.equal(lost, 2);
});

test('a zone is looked up each time: the interface of that name may be another one', () => {
  const asked: string[] = [];
  kernel.parse = (address, row) => {
    asked.push(address);
    return (BATCHES as Batches).parse(address, row);
  };
  for (let i = 0; i < 2; i++) socket.send(Buffer.alloc(4), 0, 4, 5683, 'fe80::1%lo');
  for (let i = 0; i < 2; i++) socket.send(Buffer.alloc(4), 0, 4, 5683, '192.0.2.99');
  assert.deepEqual(asked, ['fe80::1%lo', 'fe80::1%lo', '192.0.2.99']);
  kernel.taken.length = 0;
});

test('what was sent before the end leaves; later nothing does', async () => {
  send(1);
  await socket.close();
  send(2);
  await turn();
  assert.deepEqual(kernel.taken, [1]);
  assert.deepEqual([lost, kernel.closed], [1, true]);
});

test('an address that is none, or of the other family, is sent nothing', () => {
  for (const address of ['', 'localhost', '300.1.1.1', '::1', '127.0.0.1%lo', `${'1'.repeat(300)}`]) {
    assert.equal(socket.send(Buffer.alloc(4), 0, 4, 5683, address), true, address);
  }
});

test('addresses have the form that Node gives them', () => {
  assert.ok(BATCHES !== null);
  const row = new Uint32Array(ROW);
  for (const address of ['127.0.0.1', '255.255.255.255', '::1', '2001:db8::a:0:0:1', 'fe80::1%lo', '::ffff:1.2.3.4']) {
    assert.ok(BATCHES.parse(address, row), address);
    assert.equal(BATCHES.format(row), address);
  }
  for (const address of ['', '1.2.3', '1.2.3.4.5', ':::', 'fe80::1%nope', 'x'.repeat(5000)])
    assert.equal(BATCHES.parse(address, row), false);
});
