/** Datagrams that break the protocols, sent to both ports at a steady rate. Nobody waits for an answer. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const SOCKETS = 8;
const TICK_MS = 10;
const PER_TICK = 5;
const LARGEST_GARBAGE = 1400;

/** What a datagram is made with: equal seeds make equal datagrams. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

/** A header of CoAP with a random message ID, and what follows it. */
function message(random: Random, first: number, code: number, rest: readonly number[]): Buffer {
  return Buffer.from([first, code, random.below(256), random.below(256), ...rest]);
}

/** A record of DTLS 1.2 with a fragment of random bytes. */
function dtlsRecord(random: Random, type: number, epoch: number, fragment: Buffer): Buffer {
  const head = Buffer.from([type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, random.below(256), random.below(256), 0, 0]);
  head.writeUInt16BE(fragment.length, 11);
  return Buffer.concat([head, fragment]);
}

const GET = 1;
const PUT = 3;

/** For the plain port. */
const plain: readonly ((random: Random) => Buffer)[] = [
  (random) => random.bytes(1 + random.below(LARGEST_GARBAGE)),
  (random) => message(random, 0x49 + random.below(7), GET, [1, 2, 3]), // a token length that is reserved
  (random) => message(random, 0x40, GET, [0xb5, 0x61, 0x62]), // an option that is cut short
  (random) => message(random, 0x40, GET, [0xf1, 0x00]), // an option delta that is reserved
  (random) => message(random, 0x40, GET, [0xe0, 0xff, 0xff]), // a critical option that nobody knows
  (random) => message(random, 0x40, PUT, [0xb1, 0x78, 0xff]), // a payload marker without a payload
  (random) => message(random, 0x40, 0, [1]), // an Empty message that is not empty
  (random) => message(random, 0x60, 0, []), // an Acknowledgement of nothing
  (random) => message(random, 0x70, 0, []), // a Reset of nothing
  (random) => message(random, 0x40, 0x45, []), // a response to nothing
  (random) => message(random, 0x40, PUT, [0xb2, 0x70, 0x73, 0x01, 0x79, 0xd1, 0x03, 0x77, 0xff, 0x7a]), // block 7, alone
  (random) => message(random, 0x40, PUT, [0xb2, 0x70, 0x73, 0x01, 0x79, 0xd1, 0x03, 0x0f, 0xff, 0x7a]), // a block size that is reserved
  (random) => message(random, 0x00, GET, []), // another version
];

/** For the port of DTLS. */
const secure: readonly ((random: Random) => Buffer)[] = [
  (random) => random.bytes(1 + random.below(LARGEST_GARBAGE)),
  (random) => dtlsRecord(random, 22, 0, random.bytes(60 + random.below(100))), // a handshake that is none
  (random) => dtlsRecord(random, 23, 1, random.bytes(16 + random.below(100))), // data of no session
  (random) => dtlsRecord(random, 21, 1, random.bytes(18)), // an alert of no session
  (random) =>
    dtlsRecord(random, 22, 0, Buffer.concat([Buffer.from([1, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 48]), random.bytes(48)])),
];

export class Hostile {
  readonly #random = new Random(7252);
  readonly #sockets: readonly Socket[];
  readonly #timer: NodeJS.Timeout;
  #sent = 0;

  private constructor(sockets: readonly Socket[], port: number) {
    this.#sockets = sockets;
    this.#timer = setInterval(() => this.#tick(port), TICK_MS);
  }

  /** Begins to send, to the plain port and the next one. */
  static async start(port: number): Promise<Hostile> {
    const sockets = Array.from({ length: SOCKETS }, () => createSocket('udp4').on('error', () => {}));
    for (const socket of sockets) {
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
    }
    return new Hostile(sockets, port);
  }

  /** Datagrams so far. */
  get sent(): number {
    return this.#sent;
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) socket.close();
  }

  #tick(port: number): void {
    const random = this.#random;
    for (let i = 0; i < PER_TICK; i++) {
      const [kinds, to] = random.below(2) === 0 ? [plain, port] : [secure, port + 1];
      const socket = this.#sockets[random.below(SOCKETS)]!;
      socket.send(kinds[random.below(kinds.length)]!(random), to, '127.0.0.1');
      this.#sent++;
    }
  }
}
