/** CoAP: the message format, and a whole endpoint that is sent datagrams from any address. */
import assert from 'node:assert/strict';
import { blockSize } from '../../../src/coap/block.js';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { FormatError, Message, MessageWriter, parseMessage } from '../../../src/coap/message.js';
import { blockValue, decode, encode, FakeClock, MemoryTransport, OPT } from '../../coap/harness.js';
import { Resources } from '../../coap/resources.js';
import { Feed, input, type Target } from '../target.js';

/** A message as the writer writes it. */
function written(message: Message): Buffer {
  const writer = new MessageWriter(message.bytes.length + 16);
  const { bytes, type, code, messageId, tokenLength, tokenHigh, tokenLow } = message;
  writer.begin(type, code, messageId, tokenLength, tokenHigh, tokenLow);
  for (let i = 0; i < message.optionCount; i++) {
    const start = message.optionStarts[i];
    writer.opaque(message.optionNumbers[i], bytes.subarray(start, start + message.optionLengths[i]));
  }
  writer.payload(bytes, message.payloadStart, message.payloadEnd);
  return Buffer.from(writer.buffer.subarray(0, writer.length));
}

function runMessage(bytes: Buffer): string {
  const message = new Message();
  const error = parseMessage(bytes, message);
  if (error !== FormatError.None) return `error ${error}`;
  const { type, code, messageId, optionCount, payloadStart, payloadEnd } = message;
  assert.ok(payloadStart <= payloadEnd && payloadEnd === bytes.length);
  // Another decoder reads the same.
  const other = decode(bytes);
  assert.deepEqual([other.type, other.mid], [type, messageId]);
  assert.equal(other.code, `${code >> 5}.${String(code & 31).padStart(2, '0')}`);
  assert.deepEqual(other.payload, bytes.subarray(payloadStart));
  const options = Array.from({ length: optionCount }, (_, i) => {
    const start = message.optionStarts[i];
    return [message.optionNumbers[i], Buffer.from(bytes.subarray(start, start + message.optionLengths[i]))];
  });
  assert.deepEqual(other.options, options);
  // What is written reads the same, and is the shortest form, which stays as it is.
  const again = written(message);
  assert.ok(again.length <= bytes.length);
  const second = new Message();
  assert.equal(parseMessage(again, second), FormatError.None);
  assert.deepEqual(written(second), again);
  const { bytes: _, ...reread } = decode(again);
  const { bytes: __, ...original } = other;
  assert.deepEqual(reread, original);
  return `read ${type} ${Math.min(optionCount, 6)} ${payloadEnd > payloadStart}`;
}

const SEEDS: readonly Buffer[] = [
  encode({ code: '0.01', path: ['test'], token: '0102' }),
  encode({ code: '0.01', path: ['obs'], token: 'aa', options: [[OPT.observe, 0]] }),
  encode({ code: '0.01', path: ['obs'], token: 'aa', mid: 2, options: [[OPT.observe, 1]] }),
  encode({ type: 1, code: '0.01', path: ['obs-large'], token: 'bb', mid: 3, options: [[OPT.observe, 0]] }),
  encode({ code: '0.01', path: ['large'], mid: 4, options: [[OPT.block2, blockValue(0, false, 64)]] }),
  encode({ code: '0.01', path: ['large'], mid: 5, options: [[OPT.block2, blockValue(3, false, 64)]] }),
  encode({
    code: '0.03',
    path: ['large-update'],
    mid: 6,
    options: [[OPT.block1, blockValue(0, true, 16)]],
    payload: Buffer.alloc(16, 97),
  }),
  encode({
    code: '0.03',
    path: ['large-update'],
    mid: 7,
    options: [[OPT.block1, blockValue(1, false, 16)]],
    payload: 'end',
  }),
  encode({ code: '0.02', path: ['separate'], mid: 8, options: [[OPT.ifMatch, Buffer.from('ab')]], payload: 'x' }),
  encode({
    code: '0.01',
    path: ['.well-known', 'core'],
    mid: 9,
    options: [
      [OPT.uriQuery, 'rt=Type1'],
      [OPT.accept, 40],
    ],
  }),
  encode({ code: '0.00', mid: 10 }),
  encode({ type: 2, code: '0.00', mid: 0 }),
  encode({ type: 3, code: '0.00', mid: 0 }),
  encode({
    code: '0.04',
    path: ['test'],
    mid: 11,
    options: [
      [OPT.noResponse, 26],
      [OPT.proxyUri, 'coap://x'],
    ],
  }),
  encode({ code: '2.05', mid: 12, options: [[OPT.size1, 70_000]], payload: 'response' }),
];

const WORDS = [
  '\xb4test',
  '\xb3obs',
  '\x60',
  '\x61\x01',
  Buffer.from('d10e', 'hex'),
  Buffer.from('c1', 'hex'),
  '\xff',
  Buffer.from('e00000', 'hex'),
];

export const coapMessage: Target = {
  name: 'coap-message',
  scope: ['/src/coap/message'],
  longest: 1024,
  words: WORDS,
  seeds: () => [...SEEDS],
  run: runMessage,
};

const LIMITS = {
  remotes: 6,
  deduplicationBytes: 256 * 1024,
  pendingExchanges: 6,
  pendingExchangesPerRemote: 3,
  separateResponses: 6,
  separateResponsesPerRemote: 3,
  observers: 6,
  observersPerRemote: 3,
  bodyBytes: 4096,
  block1Bodies: 3,
  block1Bytes: 8 * 1024,
  block2Bodies: 3,
  block2Bytes: 8 * 1024,
};

/** What the first byte of a step says: where the datagram comes from, and what comes before it. */
function step(feed: Feed, clock: FakeClock, transport: MemoryTransport, deferred: (() => void)[]): void {
  const head = feed.byte();
  switch (head >> 5) {
    case 0:
      clock.advance(feed.byte() * 20);
      break;
    case 1:
      clock.advance(feed.byte() * 2_000);
      break;
    case 2:
      deferred.shift()?.();
      break;
    case 3: {
      // Answers the last datagram: Acknowledgement or Reset.
      const last = transport.sent.at(-1);
      if (last === undefined) break;
      const type = 2 + (head & 1);
      transport.receive(encode({ type, code: '0.00', mid: last.bytes.readUInt16BE(2) }), last.port, last.address);
      break;
    }
    default:
  }
  const port = (head & 15) === 15 ? 0 : 1 + (head & 15);
  const address = (head & 16) === 0 ? '192.0.2.1' : '192.0.2.2';
  transport.receive(Buffer.from(feed.take(feed.short() & 0x7ff)), port, address);
}

async function runEndpoint(bytes: Buffer): Promise<string> {
  const clock = new FakeClock();
  const transport = new MemoryTransport();
  const deferred: (() => void)[] = [];
  const resources = new Resources((answer) => deferred.push(answer));
  const failures: string[] = [];
  const endpoint = new CoapEndpoint(transport, {
    handler: resources.handler,
    clock,
    random: () => 0,
    limits: LIMITS,
    onEvent: (name, _remote, detail) => {
      if (name === 'handler-error' || name === 'internal-error') failures.push(`${name} ${detail}`);
    },
  });
  const feed = new Feed(bytes);
  while (!feed.empty) {
    step(feed, clock, transport, deferred);
    assert.deepEqual(failures, []);
    const { tables } = endpoint;
    for (const name of Object.keys(LIMITS)) {
      const limit = Reflect.get(LIMITS, name) as number;
      const held = Reflect.get(tables, name) as number | undefined;
      assert.ok(held === undefined || held <= limit, `${name}: ${held}`);
    }
  }
  for (const { bytes: sent } of transport.sent) checkAnswer(sent);
  assert.equal(endpoint.counters.internalErrors, 0);
  // Everything settles.
  for (const answer of deferred) answer();
  clock.advance(600_000);
  const settled = endpoint.tables;
  assert.deepEqual([settled.pendingExchanges, settled.separateResponses, settled.block1Bodies], [0, 0, 0]);
  await endpoint.close();
  assert.deepEqual([endpoint.tables.observers, clock.pending], [0, 0]);
  const { counters } = endpoint;
  return Object.entries(counters)
    .filter(([name, count]) => count > 0 && !name.startsWith('bytes'))
    .map(([name]) => name)
    .join();
}

/** What the endpoint sends is a message that says what it may. */
function checkAnswer(bytes: Buffer): void {
  const { code, options, payload } = decode(bytes);
  assert.ok(/^[0245]\./.test(code), code);
  for (const [number, value] of options) {
    if (number !== OPT.block2 && number !== OPT.block1) continue;
    const block = value.reduce((sum, byte) => sum * 256 + byte, 0);
    assert.ok((block & 7) < 7, 'a size of block that there is');
    if (number === OPT.block2) assert.ok(payload.length <= blockSize(block));
  }
}

/** Datagrams as steps, from ports 1 and 2. */
function steps(datagrams: readonly Buffer[]): Buffer {
  return Buffer.concat(
    datagrams.map((bytes, i) => input(0x80 | (i & 1), bytes.length >> 8, bytes.length & 0xff, bytes)),
  );
}

export const coapEndpoint: Target = {
  name: 'coap-endpoint',
  scope: ['/src/coap/'],
  longest: 4096,
  words: [...WORDS, ...SEEDS.map((bytes) => steps([bytes]))],
  seeds: () => [
    ...SEEDS.map((bytes) => steps([bytes])),
    steps(SEEDS),
    ...SEEDS.map((_, i) => Buffer.concat(SEEDS.slice(0, i + 1).map((bytes) => steps([bytes])))),
  ],
  run: runEndpoint,
};
