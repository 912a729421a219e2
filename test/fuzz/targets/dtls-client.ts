/** The DTLS client: what servers that have the right key or certificate, or none, can say to it, and what strangers can. */
import assert from 'node:assert/strict';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { ServerCertificate } from '../../../src/coap/dtls/server-certificate.js';
import { ServerCertificates } from '../../../src/coap/dtls-client/server-certificates.js';
import { CA, FROM } from '../../coap/dtls/certificates.js';
import {
  CCM,
  CCM_8,
  ECDSA_CCM,
  ECDSA_CCM_8,
  ECDSA_GCM,
  GCM,
  HANDSHAKE,
  IDENTITY,
  KEY,
} from '../../coap/dtls/client.js';
import { at, ClientBench } from '../../coap/dtls/client-bench.js';
import type { DtlsServer, ServerOptions } from '../../coap/dtls/server.js';
import { Feed, input, type Target } from '../target.js';
import { PastDatagrams } from './datagrams.js';

const LIMITS = {
  associations: 2,
  handshakes: 2,
  idleTime: 600_000,
  records: 50,
  waitingDatagrams: 2,
  waitingBytes: 64,
};
/** The messages that a server may change: ServerHello, ServerKeyExchange, ServerHelloDone and Finished. */
const CHANGEABLE = [2, 12, 14, 20];
/** ServerHello, Certificate, ServerKeyExchange and CertificateRequest. */
const CHANGEABLE_OF_CERTIFIED = [2, 11, 12, 13];
/** Servers have the ports 1 to 4. From this one on they have certificates, */
const CERTIFIED = 3;
/** and from here on nobody is asked for anything. */
const STRANGERS = 5;

const SERVER = CA.issue({ hosts: ['192.0.2.1'] });
const BROKER = CA.issue({ names: [IDENTITY] });
const CERTIFICATES = {
  servers: new ServerCertificates({ ca: [CA.x509], now: () => FROM + 86_400_000 }),
  name: { host: '192.0.2.1', kind: 'IPv4' },
  own: { certificate: new ServerCertificate(BROKER.credential), identity: IDENTITY },
} as const;

/** What a step does; its number is the upper half of the first byte, the server's that of the lower two bits. */
const Op = {
  Send: 0,
  Deliver: 1,
  Seconds: 2,
  Minutes: 3,
  Serve: 4,
  ServeChanged: 5,
  Echo: 6,
  Plain: 7,
  Sealed: 8,
  Raw: 9,
  Handshake: 10,
  Again: 11,
  Copies: 12,
  Unanswered: 13,
  Stranger: 14,
  Remove: 15,
} as const;

class World {
  readonly bench = new ClientBench({
    limits: LIMITS,
    credential: ({ port }) => (port >= CERTIFIED ? CERTIFICATES : { identity: IDENTITY, key: KEY }),
  });
  readonly #servers: (DtlsServer | undefined)[] = [];
  /** What servers have protected. */
  readonly #said = new Set<string>();
  readonly #past = new PastDatagrams(this.bench.below);
  #sent = 0;

  step(feed: Feed): void {
    const head = feed.byte();
    const { bench } = this;
    const port = 1 + (head & 3);
    const server = this.#servers[port];
    switch (head >> 4) {
      case Op.Send:
        // Longer ones each time, so that the network can tell them.
        bench.send(`request ${this.#sent++ % 16}`, at(port, (head & 4) === 0 ? undefined : 'another name'));
        break;
      case Op.Deliver:
        bench.deliver();
        break;
      case Op.Seconds:
        bench.clock.advance(feed.byte() * 100);
        break;
      case Op.Minutes:
        bench.clock.advance(feed.byte() * 10_000);
        break;
      case Op.Serve:
        this.#serve(port, feed.byte(), undefined, feed);
        break;
      case Op.ServeChanged:
        this.#serve(
          port,
          feed.byte(),
          (port >= CERTIFIED ? CHANGEABLE_OF_CERTIFIED : CHANGEABLE)[(head >> 2) & 3],
          feed,
        );
        break;
      case Op.Echo:
        this.#servers[port] = undefined;
        bench.echo(port);
        break;
      case Op.Again: {
        const bytes = this.#past.copy(feed.byte());
        const place = feed.short();
        if (bytes.length > 0) bytes[place % bytes.length] ^= feed.byte();
        bench.below.receive(bytes, port);
        break;
      }
      case Op.Copies: {
        const [from, copies] = [bench.flown + (head & 3), feed.byte() % 3];
        bench.copies = (flown) => (flown === from ? copies : 1);
        break;
      }
      case Op.Unanswered:
        bench.dtls.unanswered(at(port));
        break;
      case Op.Stranger:
        this.#stranger(STRANGERS + (head & 3), Buffer.from(feed.take(feed.short() & 0x3ff)));
        break;
      case Op.Remove:
        bench.remove(port);
        break;
      default:
        if (server !== undefined) this.#speak(head >> 4, server, feed);
    }
  }

  #serve(port: number, choice: number, changed: number | undefined, feed: Feed): void {
    const [place, bytes] = changed === undefined ? [0, Buffer.alloc(0)] : [feed.short(), feed.take(feed.byte())];
    this.#servers[port] = this.bench.server(port, {
      ...(port >= CERTIFIED ? certified(choice) : { suite: [CCM_8, CCM, GCM, ECDSA_CCM_8][choice & 3] }),
      ...((choice & 4) === 0 ? {} : { cookie: Buffer.alloc((choice >> 3) & 31, choice) }),
      extendedMasterSecret: (choice & 8) === 0,
      ...((choice & 16) === 0 ? {} : { cid: Buffer.from('server') }),
      ...((choice & 32) === 0 ? {} : { hint: 'hint' }),
      ...((choice & 64) === 0 ? {} : { fragment: 9 }),
      ...((choice & 128) === 0 ? {} : { key: Buffer.from('another') }),
      change: (type, right) => {
        if (type !== changed) return right;
        const from = place % (right.length + 1);
        return Buffer.concat([right.subarray(0, from), bytes, right.subarray(from + bytes.length)]);
      },
    });
  }

  #speak(op: number, server: DtlsServer, feed: Feed): void {
    switch (op) {
      case Op.Plain:
        server.raw(server.plain(feed.byte(), Buffer.from(feed.take(feed.byte()))));
        break;
      case Op.Handshake:
        server.raw(server.plain(HANDSHAKE, Buffer.from(feed.take(feed.byte()))));
        break;
      case Op.Sealed: {
        const type = 20 + (feed.byte() % 6);
        const body = Buffer.from(feed.take(feed.byte()));
        if (!server.hasKeys) return;
        if (type === 23) this.#said.add(body.toString());
        server.raw(server.seal(type, body));
        break;
      }
      case Op.Raw:
        server.raw(Buffer.from(feed.take(feed.short() & 0x3ff)));
        break;
      default:
    }
  }

  /** Nobody who was not asked is ever answered, or remembered. */
  #stranger(port: number, bytes: Buffer): void {
    const { below, dtls } = this.bench;
    const before = { ...dtls.tables, sent: below.sent.length };
    below.receive(bytes, port);
    assert.deepEqual({ ...dtls.tables, sent: below.sent.length }, before);
  }

  check(): void {
    const { dtls, received } = this.bench;
    assert.equal(dtls.counters.internalErrors, 0, this.bench.events.join('\n'));
    const { associations, handshakes, waitingBytes, timers } = dtls.tables;
    assert.ok(associations <= LIMITS.associations && handshakes <= LIMITS.handshakes);
    assert.ok(waitingBytes <= LIMITS.waitingBytes && (handshakes > 0 || waitingBytes === 0));
    assert.equal(timers, handshakes + Math.min(1, associations));
    for (const { text, source } of received.splice(0)) {
      const { identity, proof } = source.session as DtlsSession;
      if (proof === 'none') assert.ok(source.port >= CERTIFIED);
      else assert.deepEqual([identity, proof], [IDENTITY, source.port >= CERTIFIED ? 'certificate' : 'psk']);
      assert.ok(text.startsWith('echo request') || this.#said.has(text), 'data that nobody protected');
    }
  }
}

/** What is in place of a key. */
function certified(choice: number): ServerOptions {
  return {
    suite: [ECDSA_CCM_8, ECDSA_CCM, ECDSA_GCM, CCM_8][choice & 3],
    certificate: { chain: SERVER.chain, key: ((choice & 128) === 0 ? SERVER : BROKER).keys.privateKey },
    ...((choice & 32) === 0 ? {} : { asks: [0x0401, 0x0403] }),
  };
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
  bench.clock.advance(LIMITS.idleTime + 60_000);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
  await bench.dtls.close();
  return Object.entries(bench.dtls.counters)
    .filter(([, count]) => count > 0)
    .map(([name]) => name)
    .join();
}

const op = (number: number, server = 0): number => (number << 4) | server;
const DELIVER = op(Op.Deliver);
const CONNECT = input(op(Op.Serve), 0, op(Op.Send), DELIVER);
const SAY = input(op(Op.Sealed), 3, 4, 'data', DELIVER);

export const dtlsClientTarget: Target = {
  name: 'dtls-client',
  scope: ['/src/coap/dtls/', '/src/coap/dtls-client/'],
  longest: 2048,
  words: [
    CONNECT,
    SAY,
    Buffer.from('16fefd0000000000000000', 'hex'),
    Buffer.from('17fefd0001000000000000', 'hex'),
    Buffer.from('0200002c0000000000000000', 'hex'),
    Buffer.from('030000030000000000000003feff00', 'hex'),
    Buffer.from('0e0000000001000000000000', 'hex'),
    Buffer.from('c0a8', 'hex'),
    Buffer.from('c0ae', 'hex'),
    Buffer.from('030017', 'hex'),
    Buffer.from('0403', 'hex'),
    Buffer.from('551d11', 'hex'),
    Buffer.from('00170000', 'hex'),
    Buffer.from('0036000100', 'hex'),
    Buffer.from('ff01000100', 'hex'),
  ],
  seeds: () => [
    input(CONNECT, SAY, op(Op.Send), DELIVER),
    ...[0x04, 0x2d, 0x12, 0x60, 0x03, 0x81, 0x7c].map((choice) =>
      input(op(Op.Serve), choice, op(Op.Send), DELIVER, SAY, op(Op.Send), DELIVER),
    ),
    ...CHANGEABLE.map((_, index) =>
      input(op(Op.ServeChanged, index << 2), 0x20, 0, 36, 3, '\0\xff\x01', op(Op.Send), DELIVER, SAY),
    ),
    ...[0x04, 0x2d, 0x12, 0x60, 0x03, 0x81, 0x7e].map((choice) =>
      input(op(Op.Serve, 2), choice, op(Op.Send, 2), DELIVER, op(Op.Sealed, 2), 3, 4, 'data', DELIVER),
    ),
    ...CHANGEABLE_OF_CERTIFIED.map((_, index) =>
      input(op(Op.ServeChanged, (index << 2) | 3), 0x20, 0, 12, 3, '\0\xff\x01', op(Op.Send, 3), DELIVER),
    ),
    input(op(Op.Echo, 1), op(Op.Send, 1), DELIVER, op(Op.Echo, 1), op(Op.Send, 1), DELIVER, op(Op.Seconds), 30),
    input(CONNECT, op(Op.Sealed), 1, 2, 1, 0, DELIVER, op(Op.Send), DELIVER),
    input(CONNECT, op(Op.Sealed), 1, 2, 2, 40, DELIVER, op(Op.Plain), 21, 2, 2, 40, DELIVER),
    input(CONNECT, op(Op.Send), op(Op.Seconds), 30, op(Op.Unanswered), op(Op.Send), DELIVER),
    input(CONNECT, op(Op.Send, 4), DELIVER, op(Op.Send), DELIVER),
    input(op(Op.Serve), 4, op(Op.Copies, 1), 0, op(Op.Send), DELIVER, op(Op.Seconds), 15, DELIVER, SAY),
    input(op(Op.Serve), 4, op(Op.Copies, 2), 2, op(Op.Send), DELIVER, op(Op.Again), 1, 0, 9, 1, DELIVER),
    input(...[0, 1, 2, 3].flatMap((port) => [op(Op.Serve, port), 0, op(Op.Send, port), DELIVER])),
    input(...[0, 1, 2, 3].map((port) => op(Op.Send, port)), op(Op.Send), op(Op.Send), op(Op.Minutes), 9),
    input(
      op(Op.Stranger),
      0,
      13,
      Buffer.from('16fefd00000000000000000000', 'hex'),
      op(Op.Remove),
      op(Op.Raw),
      0,
      1,
      'x',
    ),
    input(op(Op.Serve), 0, op(Op.Send), op(Op.Handshake), 15, '\x03\0\0\x03\0\0\0\0\0\0\0\x03\xfe\xff\0', DELIVER),
  ],
  run,
};
