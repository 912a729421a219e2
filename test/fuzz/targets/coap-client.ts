/**
 * The CoAP client: what hostile servers and strangers can answer, over a socket of its own, and over the line of a server
 * endpoint with devices that have come over UDP and over TCP.
 */
import assert from 'node:assert/strict';
import { blockSize } from '../../../src/coap/block.js';
import { CoapClient, type PendingRequest } from '../../../src/coap/client/client.js';
import type { ClientCounters } from '../../../src/coap/client/counters.js';
import type { ClientObservation } from '../../../src/coap/client/observation.js';
import type { ClientRequest } from '../../../src/coap/client/request.js';
import type { ClientResponse } from '../../../src/coap/client/response.js';
import { Method } from '../../../src/coap/codes.js';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import type { DatagramAddress } from '../../../src/coap/transport.js';
import { seededFill } from '../../coap/client/device.js';
import {
  ACK,
  block,
  blockValue,
  CON,
  type Decoded,
  decode,
  encode,
  FakeClock,
  MemoryTransport,
  NON,
  number,
  OPT,
  type OptionValue,
  RST,
  values,
} from '../../coap/harness.js';
import { Feed, input, type Target } from '../target.js';

const LIMITS = {
  requests: 6,
  requestsPerPeer: 4,
  bodyBytes: 600,
  bodiesBytes: 1_500,
  observations: 4,
  observationsPerPeer: 3,
  peers: 3,
  acknowledged: 8,
};
const TIMEOUT = 20_000;
/** Bytes of a block, unless the request says another. */
const BLOCK = 64;
/** Messages that one datagram can bring about: its Acknowledgement or Reset, and the next request in line. */
const MOST_ANSWERS = 2;
/** Peers that are asked have the ports from 1 on. */
const PEERS = 4;
const STRANGERS = 100;

const UPLOAD = Buffer.from(Array.from({ length: 300 }, (_, i) => i & 0xff));
/** What is asked; each has a path of its own, by which it is known again. */
const REQUESTS: readonly Omit<ClientRequest, 'path'>[] = [
  { method: Method.Get },
  { method: Method.Get, confirmable: false, etags: [Buffer.from('tag')] },
  { method: Method.Get, transmission: { blockSize: 16, maxRetransmit: 1 } },
  { method: Method.Put, payload: UPLOAD, contentFormat: 0 },
  { method: Method.Post, payload: UPLOAD.subarray(0, 40), query: ['a=b'] },
  { method: Method.Fetch, payload: UPLOAD.subarray(0, 20), contentFormat: 60 },
  { method: Method.Fetch, payload: UPLOAD, transmission: { blockSize: 32 } },
  { method: Method.Delete, transmission: { maxRetransmit: 0, ackTimeout: 500 } },
];
const OBSERVED = [0, 1, 2, 5, 6, 0, 1, 2];

/** What a step does; its number is the upper half of the first byte. */
const Op = {
  Ask: 0,
  Observe: 1,
  Cancel: 2,
  Milliseconds: 3,
  Seconds: 4,
  /** A response with the token of a request, whose other parts the input says. */
  Answer: 5,
  /** What a server that keeps to the rules would answer. */
  Serve: 6,
  Empty: 7,
  Raw: 8,
  Stranger: 9,
  Notify: 10,
  /** A notification of a large body. */
  NotifyBlock: 11,
  Gone: 12,
  Again: 13,
  /** The token of a request, from another peer. */
  Misplaced: 14,
  Renew: 15,
} as const;

interface Asked {
  readonly started: number;
  pending: PendingRequest | undefined;
  outcomes: number;
}

interface Watched {
  observation: ClientObservation | undefined;
  states: number;
  ends: number;
}

class World {
  readonly clock = new FakeClock();
  readonly #transport = new MemoryTransport();
  readonly #endpoint: CoapEndpoint | undefined;
  readonly client: CoapClient;
  /** What was wrong in a callback: the client lets nothing out of it. */
  readonly #broken: string[] = [];
  /** Over TCP nothing is lost, acknowledged or sent again. */
  readonly #reliable: boolean;
  readonly #asked: Asked[] = [];
  readonly #watched: Watched[] = [];
  /** Requests that were sent: what can be answered. */
  readonly #requests: { readonly message: Decoded; readonly port: number }[] = [];
  /** What has come last. */
  #past: { readonly bytes: Buffer; readonly port: number } | undefined;
  #seen = 0;
  #mid = 0x8000;

  constructor(way: number) {
    this.#reliable = way % 3 === 2;
    if (way % 3 > 0) {
      this.#endpoint = new CoapEndpoint(this.#transport, {
        handler: (_request, exchange) => exchange.respond({ code: 0x45 }),
        clock: this.clock,
        random: () => 0,
        limits: { deduplicationBytes: 64 * 1024 },
      });
    }
    const line = this.#endpoint?.line;
    this.client = new CoapClient(line ?? this.#transport, {
      clock: this.clock,
      random: () => 0.5,
      fillRandom: seededFill(1),
      limits: LIMITS,
      transmission: { timeout: TIMEOUT, blockSize: BLOCK, ackTimeout: 2_000 },
    });
    if (line !== undefined) line.onGone = (remote) => this.client.gone(remote);
  }

  #expect(holds: boolean, sentence: string): void {
    if (!holds) this.#broken.push(sentence);
  }

  #at(port: number): DatagramAddress {
    const address = { address: '192.0.2.1', port, family: 'IPv4' } as const;
    return this.#reliable ? { ...address, key: `tcp-${port}`, reliable: true } : address;
  }

  #requestOf(choice: number): ClientRequest {
    const request = { ...REQUESTS[choice], path: ['r', String(choice)] };
    return this.#reliable ? { ...request, confirmable: false } : request;
  }

  step(feed: Feed): void {
    const head = feed.byte();
    const choice = head & 7;
    const port = 1 + (head & 3);
    switch (head >> 4) {
      case Op.Ask:
        this.#ask(choice, 1 + (feed.byte() % PEERS));
        break;
      case Op.Observe:
        this.#observe(OBSERVED[choice], 1 + (feed.byte() % PEERS));
        break;
      case Op.Cancel: {
        const which = feed.byte();
        const asked = this.#asked[which % Math.max(1, this.#asked.length)];
        const watched = this.#watched[which % Math.max(1, this.#watched.length)];
        if (choice < 3) asked?.pending?.cancel();
        else if (choice < 6) watched?.observation?.cancel();
        else watched?.observation?.forget();
        break;
      }
      case Op.Milliseconds:
        this.clock.advance(feed.byte() * 20);
        break;
      case Op.Seconds:
        this.clock.advance(feed.byte() * 1_000);
        break;
      case Op.Renew:
        this.#watched[feed.byte() % Math.max(1, this.#watched.length)]?.observation?.renew();
        break;
      case Op.Gone:
        this.#transport.onGone?.(this.#at(port), 'gone');
        break;
      default:
        this.#hear(head, feed);
    }
    this.#look();
  }

  #ask(choice: number, port: number): void {
    const asked: Asked = { started: this.clock.now(), pending: undefined, outcomes: 0 };
    asked.pending = this.client.request(this.#at(port), this.#requestOf(choice), ({ response }) => {
      asked.outcomes++;
      this.#expect(asked.outcomes === 1, 'a request has two outcomes');
      this.#expect(this.clock.now() - asked.started <= TIMEOUT, 'an outcome comes too late');
      if (response !== null) this.#check(response);
    });
    this.#asked.push(asked);
  }

  #observe(choice: number, port: number): void {
    const watched: Watched = { observation: undefined, states: 0, ends: 0 };
    watched.observation = this.client.observe(this.#at(port), this.#requestOf(choice), {
      onState: (response) => {
        this.#expect(watched.ends === 0, 'a state comes after the end');
        watched.states++;
        this.#check(response);
      },
      onEnd: () => {
        watched.ends++;
        this.#expect(watched.ends === 1, 'an observation ends twice');
      },
    });
    this.#watched.push(watched);
  }

  #check({ code, payload, maxAge, etag, locationPath }: ClientResponse): void {
    this.#expect(code >> 5 >= 2 && code >> 5 <= 5, `the code ${code} is none of a response`);
    this.#expect(payload.length <= LIMITS.bodyBytes, `a body has ${payload.length} bytes`);
    this.#expect(Number.isInteger(maxAge) && maxAge >= 0 && maxAge < 2 ** 32, `Max-Age is ${maxAge}`);
    this.#expect(etag === undefined || (etag.length > 0 && etag.length <= 8), 'an ETag is out of its bounds');
    this.#expect(
      locationPath.every((segment) => Buffer.byteLength(segment) <= 255),
      'a segment is out of its bounds',
    );
  }

  /** A datagram that the input describes. */
  #hear(head: number, feed: Feed): void {
    const { message, port } = this.#requests.at(-1 - (feed.byte() % Math.max(1, this.#requests.length))) ?? {};
    switch (head >> 4) {
      case Op.Raw:
        this.#receive(feed.take(feed.short() & 0x3ff), 1 + (head & 3));
        break;
      case Op.Stranger:
        this.#foreign(feed.take(feed.short() & 0x3ff), STRANGERS + (head & 7));
        break;
      case Op.Again:
        if (this.#past !== undefined) this.#receive(this.#past.bytes, this.#past.port);
        break;
      default:
        if (message !== undefined && port !== undefined) this.#respond(head, message, port, feed);
    }
  }

  #respond(head: number, { mid, token, ...request }: Decoded, port: number, feed: Feed): void {
    const type = [ACK, NON, CON, ACK][head & 3];
    const own = { type, mid: type === ACK ? mid : this.#mid++ & 0xffff, token };
    switch (head >> 4) {
      case Op.Serve:
        this.#receive(encode({ ...own, ...served({ mid, token, ...request }, feed.byte()) }), port);
        break;
      case Op.Empty: {
        const empty = [ACK, RST, CON, NON][head & 3];
        this.#receive(encode({ type: empty, code: '0.00', mid }), port);
        break;
      }
      case Op.Notify: {
        const options: [number, OptionValue][] = [[OPT.observe, feed.byte() % 5]];
        if ((head & 4) !== 0) options.push([OPT.maxAge, feed.byte()]);
        const payload = Buffer.alloc(feed.short() & 0x3ff, 'n');
        this.#receive(encode({ ...own, code: '2.05', options, payload }), port);
        break;
      }
      case Op.NotifyBlock: {
        const size = 16 << (feed.byte() & 3);
        const options: [number, OptionValue][] = [
          [OPT.observe, feed.byte() % 5],
          [OPT.block2, blockValue(0, true, size)],
        ];
        this.#receive(encode({ ...own, code: '2.05', options, payload: Buffer.alloc(size, 'b') }), port);
        break;
      }
      default: {
        // Code, options and payload as the input has them.
        const start = encode({ ...own, code: '0.00' });
        start[1] = feed.byte();
        const bytes = Buffer.concat([start, feed.take(feed.short() & 0x3ff)]);
        if (head >> 4 === Op.Answer) this.#receive(bytes, port);
        else this.#foreign(bytes, 1 + (port % PEERS));
      }
    }
  }

  #receive(datagram: Buffer, port: number): void {
    const bytes = Buffer.from(datagram);
    // The framing of TCP knows no types.
    if (this.#reliable && bytes.length > 0) bytes[0] = 0x40 | (NON << 4) | (bytes[0] & 15);
    this.#past = { bytes: Buffer.from(bytes), port };
    const before = this.#transport.sent.length;
    this.#transport.onDatagram?.(bytes, this.#at(port));
    const answers = this.#transport.sent.length - before;
    assert.ok(answers <= MOST_ANSWERS, `${answers} datagrams for one`);
  }

  /** A datagram of somebody who was not asked this: nothing of it is delivered, and nothing under way ends. */
  #foreign(datagram: Buffer, port: number): void {
    const told = this.#told();
    const { requests, observations, bodiesBytes } = this.client.tables;
    this.#receive(datagram, port);
    // An empty Acknowledgement or Reset has no token: a peer that was asked may guess the Message ID of what it was asked.
    if (port < STRANGERS && datagram.length === 4) return;
    assert.deepEqual(this.#told(), told, 'a stranger is heard');
    const after = this.client.tables;
    assert.deepEqual([after.requests, after.observations, after.bodiesBytes], [requests, observations, bodiesBytes]);
  }

  #told(): number[] {
    return [
      ...this.#asked.map(({ outcomes }) => outcomes),
      ...this.#watched.flatMap(({ states, ends }) => [states, ends]),
    ];
  }

  /** What the client has sent is what it may send. */
  #look(): void {
    const { sent } = this.#transport;
    for (const { bytes, port } of sent.slice(this.#seen)) {
      const message = decode(bytes);
      if (message.code === '0.00') {
        assert.ok(message.type === ACK || message.type === RST);
        assert.equal(bytes.length, 4);
      } else if (message.code.startsWith('0.')) {
        checkRequest(message);
        assert.ok(port <= PEERS, 'only who is asked gets requests');
        this.#requests.push({ message, port });
      }
    }
    this.#seen = sent.length;
  }

  check(): void {
    const { tables, counters } = this.client;
    assert.deepEqual(this.#broken, []);
    assert.deepEqual([counters.internalErrors, counters.callbackErrors], [0, 0]);
    assert.equal(this.#endpoint?.counters.internalErrors ?? 0, 0);
    assert.ok(tables.requests <= LIMITS.requests + LIMITS.observations, `${tables.requests} requests`);
    assert.ok(tables.observations <= LIMITS.observations && tables.peers <= LIMITS.peers);
    assert.ok(tables.bodiesBytes >= 0 && tables.bodiesBytes <= LIMITS.bodiesBytes);
  }

  /** Whatever was said, it is over once time has passed and nothing is observed any more. */
  async settle(): Promise<void> {
    for (const { observation } of this.#watched) observation?.forget();
    this.clock.advance(TIMEOUT + 1_000);
    this.#look();
    this.check();
    const { requests, observations, bodiesBytes, timers } = this.client.tables;
    assert.deepEqual([requests, observations, bodiesBytes, timers], [0, 0, 0, 0], 'something stays behind');
    for (const { outcomes } of this.#asked) assert.equal(outcomes, 1, 'each request has its outcome');
    for (const { ends } of this.#watched) assert.equal(ends, 1, 'each observation has its end');
    checkSums(this.client.counters);
    await this.client.close();
    await this.#endpoint?.close();
    assert.equal(this.clock.pending, 0);
  }
}

/** A request that has begun has ended as one of these, and of nothing else. */
function checkSums(counters: Readonly<ClientCounters>): void {
  const { responses, timeouts, unacknowledged, resets, badResponses, bodiesChanged, cancelled } = counters;
  const { bodiesTooLarge, refusedBodies, unsendable, handshakeFailures } = counters;
  const failed = timeouts + unacknowledged + resets + badResponses + bodiesChanged + cancelled;
  const limited = bodiesTooLarge + refusedBodies + unsendable + handshakeFailures;
  assert.equal(responses + failed + limited, counters.requests, 'requests are counted once when they end');
  assert.equal(counters.observationsBegun, counters.observationsEnded);
}

/** A request says what was asked: its part of the body is where Block1 says that it is. */
function checkRequest(message: Decoded): void {
  const [, choice] = values(message, OPT.uriPath).map(String);
  const { method, payload = Buffer.alloc(0), transmission } = REQUESTS[Number(choice)];
  assert.equal(message.code, `0.0${method}`);
  const most = transmission?.blockSize ?? BLOCK;
  const block1 = block(message, OPT.block1);
  if (block1 !== undefined) {
    const start = block1.number * block1.size;
    const end = start + message.payload.length;
    assert.deepEqual(message.payload, payload.subarray(start, start + block1.size), 'a block of the body');
    assert.ok(block1.size <= most && block1.more === end < payload.length && end > start);
    assert.equal(values(message, OPT.requestTag).length, 1);
  } else if (message.payload.length > 0) assert.deepEqual(message.payload, payload);
  const block2 = block(message, OPT.block2);
  if (block2 !== undefined) assert.ok(block2.size <= most && !block2.more && block2.size <= 1024);
  assert.equal(message.token.length, 16, 'a token of eight bytes');
}

/** A right answer of a server: blocks of a body, and of the request's. @param choice how large both are */
function served(
  request: Decoded,
  choice: number,
): Pick<Decoded, 'code' | 'payload'> & { options: [number, OptionValue][] } {
  const options: [number, OptionValue][] = [];
  const block1 = block(request, OPT.block1);
  if (block1 !== undefined) {
    const size = Math.min(block1.size, 16 << (choice & 3));
    options.push([OPT.block1, blockValue(block1.number, block1.more, size)]);
    if (block1.more) return { code: '2.31', options, payload: Buffer.alloc(0) };
  }
  const observe = number(request, OPT.observe);
  if (observe === 0) options.push([OPT.observe, choice >> 4]);
  const body = Buffer.alloc((choice >> 2) * 12, 's');
  const { number: at, size } = block(request, OPT.block2) ?? { number: 0, size: blockSize(2) };
  if (body.length <= size && at === 0) return { code: '2.05', options, payload: body };
  const end = (at + 1) * size;
  options.push([OPT.block2, blockValue(at, end < body.length, size)], [OPT.size2, body.length]);
  return { code: '2.05', options, payload: body.subarray(at * size, end) };
}

async function run(bytes: Buffer): Promise<string> {
  const feed = new Feed(bytes);
  const world = new World(feed.byte());
  for (let steps = 0; !feed.empty && steps < 150; steps++) {
    world.step(feed);
    world.check();
  }
  await world.settle();
  return Object.entries(world.client.counters)
    .filter(([name, count]) => count > 0 && !/^(bytes|datagrams)/.test(name))
    .map(([name]) => name)
    .join();
}

const op = (number: number, low = 0): number => (number << 4) | low;
const SERVE = input(op(Op.Serve), 0, 0xa3);
const answer = (code: number, rest: string, low = 0): Buffer =>
  input(op(Op.Answer, low), 0, code, 0, rest.length / 2, Buffer.from(rest, 'hex'));

export const coapClient: Target = {
  name: 'coap-client',
  scope: ['/src/coap/client/', '/src/coap/shared-line'],
  longest: 1500,
  words: [
    SERVE,
    input(op(Op.Ask), 0),
    input(op(Op.Observe), 0),
    input(op(Op.Notify), 0, 3, 0, 4),
    // Block2, Block1, Echo, Observe, ETag, Max-Age, Size1.
    Buffer.from('d10a0a', 'hex'),
    Buffer.from('d10e0a', 'hex'),
    Buffer.from('d4ef01020304', 'hex'),
    Buffer.from('6101', 'hex'),
    Buffer.from('42abcd', 'hex'),
    Buffer.from('d10101', 'hex'),
    Buffer.from('d12f10', 'hex'),
    answer(0x81, 'd4ef01020304'),
    answer(0x88, ''),
    answer(0x8d, 'd10e02'),
    answer(0x5f, 'd10e08'),
  ],
  seeds: () =>
    [0, 1, 2].flatMap((way) => [
      ...REQUESTS.flatMap((_, choice) => [
        input(way, op(Op.Ask, choice), 0, SERVE),
        input(way, op(Op.Ask, choice), 0, ...Array<Buffer>(10).fill(SERVE)),
      ]),
      input(way, op(Op.Observe), 0, SERVE, op(Op.Notify), 0, 2, 0, 9, op(Op.Notify, 1), 0, 3, 0, 9),
      input(way, op(Op.Observe, 4), 0, ...Array<Buffer>(9).fill(SERVE), op(Op.NotifyBlock, 1), 0, 2, 3, SERVE, SERVE),
      input(way, op(Op.Observe), 0, SERVE, op(Op.Notify, 5), 0, 2, 1, 3, 255, op(Op.Seconds), 90, SERVE),
      input(way, op(Op.Observe), 0, SERVE, op(Op.Cancel, 4), 0, SERVE, op(Op.Notify, 1), 0, 4, 0, 1),
      input(way, op(Op.Ask), 0, answer(0x81, 'd4ef01020304'), SERVE),
      input(way, op(Op.Ask, 3), 0, answer(0x8d, 'd10e00'), SERVE, SERVE, answer(0x88, '')),
      input(way, op(Op.Ask), 0, answer(0x45, `d10a08ff${'61'.repeat(16)}`), answer(0x45, '4161d1090aff61')),
      input(way, op(Op.Ask), 0, op(Op.Empty), 0, answer(0x45, 'ff61', 2), op(Op.Again), 0),
      input(way, op(Op.Ask), 0, op(Op.Empty, 1), 0, op(Op.Ask), 0, op(Op.Gone)),
      input(way, op(Op.Ask), 0, op(Op.Misplaced), 0, 0x45, 0, 0, op(Op.Stranger), 0, 0, 4, '\x70\0\0\0'),
      input(way, ...[0, 1, 2, 3, 4, 5, 6, 7].flatMap((n) => [op(Op.Ask, n), n]), op(Op.Milliseconds), 255, SERVE),
      input(way, op(Op.Raw), 0, 0, 5, '\x41\x01\0\x01a', op(Op.Observe), 1, SERVE, op(Op.Renew), 0, SERVE),
    ]),
  run,
};
