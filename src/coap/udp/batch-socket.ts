/**
 * A UDP socket that takes and gives many datagrams in one call (recvmmsg(2), sendmmsg(2)): a system call and the way into
 * JavaScript and back cost more than what is done with a small datagram. `batches.c` does the calls.
 *
 * All sockets share four tables: bytes and rows of what has come, bytes and rows of what goes. What has come is handed out
 * before anything else runs; what goes is given away at the end of the batch that it answers, or of the turn.
 */
import { copyBytes } from '../message.js';
import type { Batches, NativeSocket } from './batches.js';
import type { UdpEvents, UdpPlace, UdpSocket } from './socket.js';

/** Sizes of the tables; as in batches.c. */
const IN_ROWS = 64;
const IN_BYTES = 65_536;
const OUT_ROWS = 256;
const OUT_BYTES = 262_144;
/** Words of a row: offset, length, family (4 or 6) and port, address (4 words), scope. */
const ROW = 8;
const Word = { Offset: 0, Length: 1, Port: 2, Address: 3 } as const;
/** Words of an address, the last of which is its scope. */
const ADDRESS_WORDS = 5;
const SCOPE = 4;

/** Most bytes of a datagram (RFC 768: the length has 16 bits, and counts the header; without IPv4's own header). */
const MOST_BYTES = 65_507;
/** Bytes that small datagrams share, as Node's own buffers do: whoever keeps a part of one keeps so many. */
const POOL = 8_192;
const MOST_POOLED = 1_024;
/** Addresses that are remembered in the other form; beyond them the memory begins anew. */
const MOST_ADDRESSES = 4_096;
/** Datagrams, and bytes of them, that wait for room in the kernel; further ones are lost. */
const MOST_WAITING = 16_384;
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

/** A datagram that waits for room. */
interface Waiting {
  readonly bytes: Buffer;
  readonly port: number;
  readonly address: Uint32Array;
}

/** The tables, which the first socket makes. */
class Tables {
  readonly batches: Batches;
  readonly inBytes = Buffer.allocUnsafeSlow(IN_ROWS * IN_BYTES);
  readonly inRows = new Uint32Array(IN_ROWS * ROW);
  readonly outBytes = Buffer.allocUnsafeSlow(OUT_BYTES);
  readonly outRows = new Uint32Array(OUT_ROWS * ROW);
  readonly failures = new Uint32Array(1);
  /** Whose rows go, and how many there are, of so many bytes. */
  owner: BatchSocket | null = null;
  rows = 0;
  used = 0;
  /** IPv4 addresses by their number, and the rest by their words. */
  readonly #names = new Map<number | string, string>();
  readonly #addresses = new Map<string, Uint32Array | null>();

  constructor(batches: Batches) {
    this.batches = batches;
    batches.use(this.inBytes, this.inRows, this.outBytes, this.outRows, this.failures);
  }

  #pool = Buffer.allocUnsafeSlow(POOL);
  #pooled = 0;

  /** Bytes that nobody writes to again. */
  bytesFor(length: number): Buffer {
    if (length > MOST_POOLED) return Buffer.allocUnsafeSlow(length);
    if (this.#pooled + length > POOL) {
      this.#pool = Buffer.allocUnsafeSlow(POOL);
      this.#pooled = 0;
    }
    const start = this.#pooled;
    this.#pooled += length;
    return this.#pool.subarray(start, this.#pooled);
  }

  /** The source address of a row in text form. */
  nameOf(row: number): string {
    const { inRows } = this;
    const at = row + Word.Address;
    // An interface may have another name, or a name another interface, at any time.
    if (inRows[at + SCOPE] > 0) return this.batches.format(inRows.subarray(row, row + ROW));
    const key = inRows[row + Word.Port] >>> 16 === 4 ? inRows[at] : inRows.subarray(at, at + SCOPE).join();
    let name = this.#names.get(key);
    if (name === undefined) {
      if (this.#names.size === MOST_ADDRESSES) this.#names.clear();
      name = this.batches.format(inRows.subarray(row, row + ROW));
      this.#names.set(key, name);
    }
    return name;
  }

  /** The row of an address in text form, without a port; null if it is none. */
  addressOf(name: string): Uint32Array | null {
    let address = this.#addresses.get(name);
    if (address === undefined) {
      if (this.#addresses.size === MOST_ADDRESSES) this.#addresses.clear();
      const row = new Uint32Array(ROW);
      address = this.batches.parse(name, row) ? row : null;
      if (!name.includes('%')) this.#addresses.set(name, address);
    }
    return address;
  }
}

const TABLES = new WeakMap<Batches, Tables>();

function tablesOf(batches: Batches): Tables {
  let tables = TABLES.get(batches);
  if (tables === undefined) {
    tables = new Tables(batches);
    TABLES.set(batches, tables);
  }
  return tables;
}

export class BatchSocket implements UdpSocket {
  readonly address: string;
  readonly port: number;
  readonly #tables: Tables;
  readonly #events: UdpEvents;
  readonly #socket: NativeSocket;
  readonly #family: number;
  /** Datagrams for which the kernel has no room, in order. */
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** A batch is being handed out: what goes is given away behind it. */
  #inBatch = false;
  #closed = false;

  /** @throws Error of the system */
  constructor(batches: Batches, { address, port, receiveBuffer }: UdpPlace, events: UdpEvents) {
    this.#tables = tablesOf(batches);
    this.#events = events;
    const opened = batches.open(address, port, receiveBuffer, this.#onBatch, this.#onWritable);
    [this.#socket, this.address, this.port] = opened;
    this.#family = address.includes(':') ? 6 : 4;
  }

  get receiveBuffer(): number {
    return this.#tables.batches.receiveBuffer(this.#socket);
  }

  readonly #onBatch = (count: number): void => {
    if (count < 0) {
      this.#events.error();
      return;
    }
    const { inBytes, inRows } = this.#tables;
    this.#inBatch = true;
    for (let row = 0; row < count * ROW && !this.#closed; row += ROW) {
      const start = inRows[row + Word.Offset];
      const length = inRows[row + Word.Length];
      const bytes = this.#tables.bytesFor(length);
      copyBytes(inBytes, start, bytes, 0, length);
      const port = inRows[row + Word.Port] & 0xffff;
      const family = this.#family === 4 ? 'IPv4' : 'IPv6';
      try {
        this.#events.datagram(bytes, { address: this.#tables.nameOf(row), port, family });
      } catch (error) {
        // As for one that came alone: the others are not to blame.
        process.nextTick(() => {
          throw error;
        });
      }
    }
    this.#inBatch = false;
    this.#give();
  };

  send(bytes: Buffer, offset: number, length: number, port: number, address: string): boolean {
    if (this.#closed || !(port > 0 && port < 65_536) || length > MOST_BYTES) return true;
    const known = this.#tables.addressOf(address);
    if (known === null || known[Word.Port] >>> 16 !== this.#family) return true;
    return this.#enter(bytes, offset, length, port, known);
  }

  /** @returns whether it is lost */
  #enter(bytes: Buffer, offset: number, length: number, port: number, address: Uint32Array): boolean {
    this.#makeRoom(length);
    // In order: behind those that wait.
    if (this.#waiting.length > 0) return !this.#wait(bytes, offset, length, port, address);
    this.#put(bytes, offset, length, port, address);
    return false;
  }

  /** Gives away what is in the table if it is another socket's, or has no room for one more datagram. */
  #makeRoom(length: number): void {
    const { owner, rows, used } = this.#tables;
    if (owner !== null && (owner !== this || rows === OUT_ROWS || used + length > OUT_BYTES)) owner.#give();
  }

  /** Puts a datagram into the table, which has room for it. */
  #put(bytes: Buffer, offset: number, length: number, port: number, address: Uint32Array): void {
    const { outBytes, outRows } = this.#tables;
    if (this.#tables.owner === null) {
      this.#tables.owner = this;
      if (!this.#inBatch) process.nextTick(this.#give);
    }
    const row = this.#tables.rows++ * ROW;
    const at = this.#tables.used;
    this.#tables.used = at + length;
    copyBytes(bytes, offset, outBytes, at, length);
    outRows[row + Word.Offset] = at;
    outRows[row + Word.Length] = length;
    outRows[row + Word.Port] = (this.#family << 16) | port;
    for (let i = 0; i < ADDRESS_WORDS; i++) outRows[row + Word.Address + i] = address[Word.Address + i];
  }

  /** Gives away what is in the table, if it is this socket's. */
  readonly #give = (): void => {
    const { batches, rows, owner, failures } = this.#tables;
    if (owner !== this) return;
    this.#tables.owner = null;
    this.#tables.rows = 0;
    this.#tables.used = 0;
    if (this.#closed) return;
    const done = batches.send(this.#socket, rows);
    if (failures[0] > 0) {
      this.#events.lost(failures[0]);
      failures[0] = 0;
    }
    if (done < rows) this.#keep(done, rows);
  };

  /** Keeps rows for which the kernel has no room. */
  #keep(from: number, to: number): void {
    const { outBytes, outRows } = this.#tables;
    let lost = 0;
    for (let row = from * ROW; row < to * ROW; row += ROW) {
      const port = outRows[row + Word.Port] & 0xffff;
      const address = outRows.slice(row, row + ROW);
      if (!this.#wait(outBytes, outRows[row + Word.Offset], outRows[row + Word.Length], port, address)) lost++;
    }
    if (lost > 0) this.#events.lost(lost);
  }

  /** @returns whether there was a place for it */
  #wait(bytes: Buffer, offset: number, length: number, port: number, address: Uint32Array): boolean {
    if (this.#waiting.length >= MOST_WAITING || this.#waitingBytes + length > MOST_WAITING_BYTES) return false;
    if (this.#waiting.length === 0) this.#tables.batches.watch(this.#socket, 1);
    this.#waitingBytes += length;
    this.#waiting.push({ bytes: Buffer.from(bytes.subarray(offset, offset + length)), port, address });
    return true;
  }

  /** There is room again: what waits goes, as far as it does. */
  readonly #onWritable = (): void => {
    if (this.#closed) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#tables.batches.watch(this.#socket, 0);
    for (const { bytes, port, address } of waiting) {
      if (this.#enter(bytes, 0, bytes.length, port, address)) this.#events.lost(1);
    }
    this.#give();
  };

  async close(): Promise<void> {
    if (this.#closed) return;
    // What was sent before leaves.
    this.#give();
    this.#closed = true;
    this.#waiting = [];
    this.#tables.batches.close(this.#socket);
  }
}
