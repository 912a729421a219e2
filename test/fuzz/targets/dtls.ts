/** DTLS: a server with keys, certificates and raw public keys, clients that have the right ones and say whatever the input wants, and strangers that know nothing. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { COOKIE_PERIOD } from '../../../src/coap/dtls/cookie.js';
import { CA, FROM, Made, SERVER } from '../../coap/dtls/certificates.js';
import {
  type ClientOptions,
  DtlsBench,
  type DtlsClient,
  ECDSA_CCM,
  ECDSA_CCM_8,
  ECDSA_GCM,
  fragmentOf,
  HANDSHAKE,
  KEY,
  P256,
  X25519,
} from '../../coap/dtls/client.js';
import { DEVICE_KEY, owner, RAW, RawKey, X509 } from '../../coap/dtls/raw-keys.js';
import { Feed, input, type Target } from '../target.js';
import { PastDatagrams } from './datagrams.js';

const LIMITS = { associations: 3, handshakes: 2, idleTime: 600_000, records: 200, handshakeDatagram: 100 };
/** What clients with certificates show, if anything: the first is good. */
const CREDENTIALS = [CA.issue(), CA.issue({ to: FROM + 1 }), new Made({}), undefined].map((made) =>
  made === undefined ? undefined : { chain: [made.der], key: made.keys.privateKey },
);
/** What clients with raw public keys show: the first is good. */
const RAW_CREDENTIALS = [DEVICE_KEY.credential, new RawKey().credential, undefined, CREDENTIALS[0]];
/** What they say of types of certificates. */
const TYPES = [[RAW], [X509, RAW], [RAW, X509], undefined];
/** The messages that such clients may change: Certificate, ClientKeyExchange and CertificateVerify. */
const CHANGEABLE = [11, 16, 15];
/** Clients have the ports 1 to 4, strangers those from here on. */
const STRANGERS = 5;

/** What a step does; its number is the upper half of the first byte, the client's that of the lower two bits. The bit above asks for a certificate's handshake, with the highest one of the four for a raw public key's. */
const Op = {
  Stranger: 0,
  Seconds: 1,
  Minutes: 2,
  Start: 3,
  Deliver: 4,
  Handshake: 5,
  Sealed: 6,
  Copies: 7,
  Repeat: 8,
  Plain: 9,
  Hello: 10,
  Answer: 11,
  Again: 12,
  EndAll: 13,
  Move: 14,
  Raw: 15,
} as const;

class World {
  readonly bench = new DtlsBench({
    limits: LIMITS,
    identityHint: 'hint',
    certificate: SERVER.credential,
    clientCertificates: { ca: [CA.x509], publicKeys: owner, required: false, now: () => FROM + 86_400_000 },
  });
  readonly clients: (DtlsClient | undefined)[] = [];
  /** What clients have protected: nothing else may be delivered. */
  readonly said = new Set<string>();
  readonly #strangers = new Map<number, { sent: number; received: number }>();
  readonly #past = new PastDatagrams(this.bench.below);
  #starts = 0;

  step(feed: Feed): void {
    const head = feed.byte();
    const { bench } = this;
    const index = head & 3;
    const client = this.clients[index];
    switch (head >> 4) {
      case Op.Stranger:
        this.#stranger(STRANGERS + index, Buffer.from(feed.take(feed.short() & 0x3ff)));
        break;
      case Op.Seconds:
        bench.clock.advance(feed.byte() * 100);
        break;
      case Op.Minutes:
        bench.clock.advance(feed.byte() * 10_000);
        break;
      case Op.Start:
        if ((head & 4) === 0) this.#start(index, feed.byte());
        else this.#startCertified(index, feed, (head & 8) !== 0 ? this.#rawWish(feed.byte()) : undefined);
        break;
      case Op.Copies: {
        const [from, copies] = [bench.flown + (head & 3), feed.byte() % 3];
        bench.copies = (flown) => (flown === from ? copies : 1);
        break;
      }
      case Op.EndAll:
        bench.dtls.endAssociations(({ cipherSuite }) => index === 0 || cipherSuite.includes('GCM'));
        break;
      case Op.Answer:
        if (bench.received.length > 0) bench.answer('answer');
        break;
      case Op.Again: {
        const bytes = this.#past.copy(feed.byte());
        const at = feed.short();
        if (bytes.length > 0) bytes[at % bytes.length] ^= feed.byte();
        bench.below.receive(bytes, 1 + index);
        break;
      }
      default:
        if (client !== undefined) this.#speak(head >> 4, client, feed);
    }
    if (head >> 4 === Op.Deliver) bench.deliver();
    // Strangers receive nothing: what they were sent has been counted.
    const mine = bench.below.sent.filter(({ port }) => port < STRANGERS);
    bench.below.sent.splice(0, bench.below.sent.length, ...mine);
  }

  /** Sends bytes from where no answer is read: there is no cookie, so there is no state and no amplification. */
  #stranger(port: number, bytes: Buffer): void {
    const { bench } = this;
    const before = { ...bench.dtls.tables, started: bench.dtls.counters.handshakesStarted };
    bench.below.receive(bytes, port);
    const account = this.#strangers.get(port) ?? { sent: 0, received: 0 };
    this.#strangers.set(port, account);
    account.sent += bytes.length;
    for (const answer of bench.below.sent) if (answer.port === port) account.received += answer.bytes.length;
    assert.ok(account.received <= account.sent, `${account.received} bytes for ${account.sent}`);
    const { timers: _, ...after } = bench.dtls.tables;
    const { timers: __, started, ...earlier } = before;
    assert.equal(bench.dtls.counters.handshakesStarted, started);
    assert.deepEqual(after, earlier);
  }

  #random(): Buffer {
    return createHash('sha256')
      .update(String(this.#starts++))
      .digest();
  }

  /** What a client of raw public keys shows, and says of types. */
  #rawWish(choice: number): ClientOptions {
    const [credential, clientTypes, serverTypes] = [
      RAW_CREDENTIALS[choice & 3],
      TYPES[(choice >> 2) & 3],
      TYPES[(choice >> 4) & 3],
    ];
    return {
      ...(credential && { credential }),
      ...(clientTypes && { clientTypes }),
      ...(serverTypes && { serverTypes }),
    };
  }

  /** A client of certificates, or of raw public keys (`raw`). Its message of a kind that the input names has bytes of the input in the place of its own. */
  #startCertified(index: number, feed: Feed, raw: ClientOptions | undefined): void {
    const choice = feed.byte();
    const credential = CREDENTIALS[choice & 3];
    const changed = CHANGEABLE[((choice >> 2) & 3) - 1];
    const [at, bytes] = changed === undefined ? [0, Buffer.alloc(0)] : [feed.short(), feed.take(feed.byte())];
    const client = this.bench.client(1 + index, {
      random: this.#random(),
      suites: [[ECDSA_CCM_8], [ECDSA_CCM], [ECDSA_GCM], [ECDSA_GCM, ECDSA_CCM_8]][(choice >> 4) & 3],
      groups: (choice & 64) === 0 ? [P256] : [X25519, P256],
      ...(raw ?? (credential === undefined ? {} : { credential })),
      ...((choice & 128) === 0 ? {} : { fragment: 60 }),
      change: (type, right) => {
        if (type !== changed) return right;
        const from = at % (right.length + 1);
        return Buffer.concat([right.subarray(0, from), bytes, right.subarray(from + bytes.length)]);
      },
    });
    this.clients[index] = client;
    client.start();
  }

  #start(index: number, choice: number): void {
    const random = this.#random();
    const options: ClientOptions = {
      random,
      extendedMasterSecret: (choice & 1) === 0,
      // None begins like another: the clients of one port can tell what is not for them.
      ...((choice & 2) === 0 ? {} : { cid: Buffer.alloc((choice >> 4) & 15, 1 + ((choice >> 4) & 15)) }),
      ...((choice & 4) === 0 ? {} : { fragment: 20 }),
      key: (choice & 8) === 0 ? KEY : Buffer.from('another'),
      ...((choice & 0xc0) === 0xc0 ? { suites: [0xa8] } : {}),
    };
    const client = this.bench.client(1 + index, options);
    this.clients[index] = client;
    client.start();
  }

  #speak(op: number, client: DtlsClient, feed: Feed): void {
    switch (op) {
      case Op.Handshake: {
        const body = Buffer.from(feed.take(feed.byte()));
        client.raw(client.plain(HANDSHAKE, body));
        break;
      }
      case Op.Sealed: {
        const type = 20 + (feed.byte() % 6);
        const body = Buffer.from(feed.take(feed.byte()));
        if (!client.hasKeys) return;
        if (type === 23) this.said.add(body.toString());
        client.raw(client.seal(type, body));
        break;
      }
      case Op.Repeat:
        client.repeat();
        break;
      case Op.Plain:
        client.raw(client.plain(feed.byte(), Buffer.from(feed.take(feed.byte()))));
        break;
      case Op.Hello: {
        // A ClientHello with a cookie, if there is one, and other bytes behind it.
        const body = Buffer.concat([client.helloBody().subarray(0, 36 + client.cookie.length), feed.take(feed.byte())]);
        const sequence = feed.byte() & 3;
        client.raw(client.plain(HANDSHAKE, fragmentOf({ type: 1, sequence, body }, 0, body.length)));
        break;
      }
      case Op.Move:
        this.bench.move(client, 1 + (feed.byte() & 3));
        break;
      case Op.Raw:
        client.raw(Buffer.from(feed.take(feed.short() & 0x3ff)));
        break;
      default:
    }
  }

  check(): void {
    const { dtls, received } = this.bench;
    assert.equal(dtls.counters.internalErrors, 0, this.bench.events.join('\n'));
    const { associations, handshakes, timers } = dtls.tables;
    assert.ok(associations <= LIMITS.associations && handshakes <= LIMITS.handshakes);
    assert.equal(timers, handshakes + Math.min(1, associations));
    for (const { text, source } of received) {
      const { identity, proof } = source.session as DtlsSession;
      assert.equal(identity, proof === 'none' ? undefined : 'device', 'an identity that nobody has shown');
      assert.ok(this.said.has(text), 'data that nobody protected');
      const { unproven: _, ...rest } = source;
      assert.deepEqual(Object.keys(rest).sort(), ['address', 'family', 'key', 'port', 'session']);
    }
  }
}

async function run(bytes: Buffer): Promise<string> {
  const world = new World();
  const { bench } = world;
  const feed = new Feed(bytes);
  for (let steps = 0; !feed.empty && steps < 200; steps++) {
    world.step(feed);
    world.check();
  }
  bench.copies = () => 1;
  bench.deliver();
  world.check();
  // Everything settles.
  bench.clock.advance(Math.max(LIMITS.idleTime, COOKIE_PERIOD) + 60_000);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  await bench.dtls.close();
  assert.equal(bench.clock.pending, 0);
  return Object.entries(bench.dtls.counters)
    .filter(([, count]) => count > 0)
    .map(([name]) => name)
    .join();
}

const op = (number: number, client = 0): number => (number << 4) | client;
const START = input(op(Op.Start), 0, op(Op.Deliver));
const START_CID = input(op(Op.Start, 1), 0x32, op(Op.Deliver));
const START_CERTIFIED = input(op(Op.Start, 4), 0, op(Op.Deliver));
const START_RAW = input(op(Op.Start, 12), 0, 0, op(Op.Deliver));
const DATA = input(op(Op.Sealed), 3, 4, 'data', op(Op.Deliver), op(Op.Answer));
const HELLO = Buffer.from(
  `16fefd0000000000000000003a 01000060 0000 000000 00002e fefd ${'11'.repeat(32)} 00 00 0002c0a8 0100 0000`.replace(
    / /g,
    '',
  ),
  'hex',
);

export const dtlsTarget: Target = {
  name: 'dtls',
  scope: ['/src/coap/dtls/'],
  longest: 2048,
  words: [
    START,
    START_CID,
    START_CERTIFIED,
    START_RAW,
    DATA,
    Buffer.from('16fefd0000000000000000', 'hex'),
    Buffer.from('17fefd0001000000000000', 'hex'),
    Buffer.from('19fefd0001000000000000', 'hex'),
    Buffer.from('0100002c0001000000000000', 'hex'),
    Buffer.from('c0a8', 'hex'),
    Buffer.from('00170000', 'hex'),
    Buffer.from('c0aec0acc02b', 'hex'),
    Buffer.from('000a000400020017', 'hex'),
    Buffer.from('000b00020100', 'hex'),
    Buffer.from('000d000400020403', 'hex'),
    Buffer.from('001300020102', 'hex'),
    Buffer.from('00140003020002', 'hex'),
    Buffer.from('0036000100', 'hex'),
  ],
  seeds: () => [
    input(START, DATA),
    input(START_CID, op(Op.Move, 1), 2, op(Op.Sealed, 1), 3, 2, 'hi', op(Op.Deliver), op(Op.Answer)),
    input(op(Op.Start), 8, op(Op.Deliver)),
    input(op(Op.Start), 4, op(Op.Deliver), op(Op.Repeat), op(Op.Deliver), DATA),
    input(START, op(Op.Sealed), 1, 2, 1, 0, op(Op.Deliver)),
    input(START, op(Op.Sealed), 2, 13, Buffer.from('01000001000400000000000100', 'hex'), op(Op.Deliver)),
    input(START, op(Op.Repeat), op(Op.Deliver), DATA, op(Op.Again), 5, 0, 9, 0, op(Op.EndAll), op(Op.Deliver)),
    input(START, op(Op.Start), 1, op(Op.Deliver), DATA),
    input(START, START_CID, op(Op.Start, 2), 0, op(Op.Start, 3), 0xc0, op(Op.Deliver), op(Op.Minutes), 70),
    input(op(Op.Copies, 3), 0, START, op(Op.Seconds), 20, op(Op.Deliver), DATA),
    input(op(Op.Stranger), 0, HELLO.length, HELLO, op(Op.Stranger), 0, HELLO.length, HELLO),
    input(op(Op.Start), 0, op(Op.Copies, 3), 0, op(Op.Deliver), op(Op.Plain), 21, 2, 2, 40),
    input(op(Op.Start), 0, op(Op.Copies, 2), 0, op(Op.Deliver), op(Op.Hello), 9, '\0\x02\xc0\xa8\x01\0\0\0', 1),
    input(START_CERTIFIED, DATA, op(Op.Repeat), op(Op.Deliver)),
    input(op(Op.Start, 4), 0xf3, op(Op.Deliver), DATA),
    ...[0x41, 0x82, 0xa3].map((choice) => input(op(Op.Start, 4), choice, op(Op.Deliver), DATA)),
    ...[0x04, 0x48, 0x0c, 0x08].map((choice) => input(op(Op.Start, 4), choice, 0, 9, 3, 'abc', op(Op.Deliver), DATA)),
    input(START_RAW, DATA, op(Op.Repeat), op(Op.Deliver), START_RAW, DATA),
    // Each combination of types, and each credential; then changed messages.
    ...[0x01, 0x02, 0x03, 0x14, 0x25, 0x28, 0x3c, 0x30, 0x0f].map((wish) =>
      input(op(Op.Start, 12), wish, 0xc0, op(Op.Deliver), DATA),
    ),
    ...[0x04, 0x48, 0x0c, 0x08].map((choice) =>
      input(op(Op.Start, 12), 0, choice, 0, 9, 3, 'abc', op(Op.Deliver), DATA),
    ),
    input(op(Op.Start, 12), 0, 4, 0, 3, 27, DEVICE_KEY.info.subarray(0, 27), op(Op.Deliver)),
    input(op(Op.Copies, 3), 0, START_RAW, op(Op.Seconds), 20, op(Op.Deliver), START_CERTIFIED, DATA),
    input(op(Op.Start, 12), 0, 128, op(Op.Deliver), op(Op.Plain), 20, 1, 1, op(Op.Deliver), DATA),
    input(op(Op.Copies, 3), 0, START_CERTIFIED, op(Op.Seconds), 20, op(Op.Deliver), START, DATA),
    input(START, op(Op.Handshake), 14, Buffer.from('0b00000200020000000000020000', 'hex'), op(Op.Raw), 0, 3, 'raw'),
  ],
  run,
};
