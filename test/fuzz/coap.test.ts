/** Seeded mutations of CoAP datagrams against an endpoint in memory: nothing throws, every table keeps its bound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoapEndpoint } from '../../src/coap/endpoint.js';
import type { DatagramAddress } from '../../src/coap/transport.js';
import { blockValue, encode, FakeClock, MemoryTransport, OPT, type OptionValue } from '../coap/harness.js';
import { Resources } from '../coap/resources.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

/** Of 200 datagrams. */
const BURSTS = 400;

const PATHS = [
  [],
  ['test'],
  ['separate'],
  ['large'],
  ['large-update'],
  ['large-post'],
  ['large-create'],
  ['obs'],
  ['obs-non'],
  ['obs-large'],
  ['.well-known', 'core'],
  ['seg1', 'seg2', 'seg3'],
  ['multi-format'],
];
const CODES = ['0.00', '0.01', '0.02', '0.03', '0.04', '0.05', '0.07', '0.31', '1.00', '2.05', '4.04', '7.31'];
const SIZES = [16, 64, 256, 1024];

/** Remembers what was sent last, so that it can be acknowledged or reset. */
class RecordingTransport extends MemoryTransport {
  last: { readonly port: number; readonly messageId: number } = { port: 1, messageId: 0 };

  override send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    super.send(bytes, offset, length, remote);
    this.last = { port: remote.port, messageId: bytes.readUInt16BE(offset + 2) };
  }
}

/** A datagram that is mostly well-formed. */
function compose(random: Random): Buffer {
  if (random.below(50) === 0) return encode({ type: random.below(4), code: '0.00', mid: random.below(0x10000) });
  const options: [number, OptionValue][] = [];
  const maybe = (share: number, option: number, value: () => OptionValue): void => {
    if (random.below(share) === 0) options.push([option, value()]);
  };
  maybe(3, OPT.observe, () => random.below(3));
  maybe(4, OPT.block1, () => blockValue(random.below(6), random.below(2) === 0, random.pick(SIZES)));
  maybe(4, OPT.block2, () => blockValue(random.below(6), false, random.pick(SIZES)));
  maybe(20, OPT.block1, () => random.below(0x1000000));
  maybe(20, OPT.block2, () => random.below(0x1000000));
  maybe(8, OPT.contentFormat, () => random.pick([0, 40, 50, 606]));
  maybe(8, OPT.accept, () => random.pick([0, 41, 50]));
  maybe(8, OPT.etag, () => random.bytes(random.below(10)));
  maybe(12, OPT.ifMatch, () => random.bytes(random.below(9)));
  maybe(12, OPT.ifNoneMatch, () => '');
  maybe(10, OPT.requestTag, () => random.bytes(random.below(9)));
  maybe(10, OPT.noResponse, () => random.below(32));
  maybe(10, OPT.size1, () => random.below(5_000_000));
  maybe(20, OPT.size2, () => 0);
  maybe(30, OPT.proxyUri, () => 'coap://x');
  maybe(30, random.below(66_000) & 0xffff, () => random.bytes(random.below(20)));
  maybe(6, OPT.uriQuery, () => random.pick(['rt=Type1', 'href=/l*', '=', 'x']));
  return encode({
    type: random.below(10) < 8 ? random.below(2) : 2 + random.below(2),
    code: random.below(10) < 8 ? `0.0${1 + random.below(4)}` : random.pick(CODES),
    mid: random.below(3) === 0 ? random.below(16) : random.below(0x10000),
    token: random.bytes(random.below(9)).toString('hex'),
    path: random.pick(PATHS),
    options,
    payload: random.bytes(random.pick([0, 0, 1, 16, 16, 64, 64, 256, 1_024])),
  });
}

/** The blocks of one request body, in order. */
function body(random: Random): Buffer[] {
  const size = random.pick(SIZES);
  const blocks = 2 + random.below(4);
  const path = random.pick(PATHS);
  return Array.from({ length: blocks }, (_, index) =>
    encode({
      code: '0.03',
      mid: random.below(0x10000),
      path,
      options: [[OPT.block1, blockValue(index, index + 1 < blocks, size)]],
      payload: random.bytes(size),
    }),
  );
}

function mutate(random: Random, datagram: Buffer): Buffer {
  let bytes: Buffer = Buffer.from(datagram);
  for (let times = 1 + random.below(4); times > 0; times--) {
    const at = random.below(bytes.length + 1);
    switch (random.below(7)) {
      case 0:
        if (at < bytes.length) bytes[at] ^= 1 << random.below(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = random.pick([0, 0xff, 0xd0, 0xe0, 0x0e, 0x0d, 0xdd, 0xee, 0x80]);
        break;
      case 2:
        bytes = Buffer.from(bytes.subarray(0, at));
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), random.bytes(random.below(20)), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + random.below(8)))]);
        break;
      case 5:
        bytes = Buffer.concat([bytes, bytes.subarray(at)]).subarray(0, 65_507);
        break;
      default:
        bytes = random.below(4) === 0 ? random.bytes(random.below(64)) : bytes;
    }
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}

test('no datagram from any port makes the endpoint throw or outgrow its limits', async (t) => {
  const [seed] = seeds(1);
  const random = new Random(seed);
  const transport = new RecordingTransport();
  transport.keep = false;
  const clock = new FakeClock();
  const deferred: (() => void)[] = [];
  const resources = new Resources((answer) => deferred.push(answer));
  const limits = {
    remotes: 200,
    deduplicationBytes: 256 * 1024,
    pendingExchanges: 100,
    pendingExchangesPerRemote: 20,
    separateResponses: 50,
    separateResponsesPerRemote: 10,
    observers: 300,
    observersPerRemote: 20,
    bodyBytes: 8 * 1024,
    block1Bodies: 50,
    block1Bytes: 128 * 1024,
    block2Bodies: 50,
    block2Bytes: 64 * 1024,
  };
  const handlerErrors: string[] = [];
  const internalErrors: string[] = [];
  const endpoint = new CoapEndpoint(transport, {
    handler: resources.handler,
    clock,
    limits,
    onEvent: (name, _remote, detail) => {
      if (name === 'handler-error') handlerErrors.push(detail);
      if (name === 'internal-error') internalErrors.push(detail);
    },
  });
  let datagrams = 0;
  let fromPortZero = 0;
  let last = compose(random);
  for (let burst = 0; burst < BURSTS; burst++) {
    for (let step = 0; step < 200; step++) {
      const kind = random.below(10);
      const datagram = kind < 4 ? compose(random) : kind < 9 ? mutate(random, compose(random)) : last;
      last = datagram;
      const port = random.below(50) === 0 ? 0 : 1 + random.below(random.below(20) === 0 ? 65_535 : 30);
      if (port === 0) fromPortZero++;
      if (random.below(100) === 0) {
        for (const block of body(random)) {
          transport.receive(random.below(20) === 0 ? mutate(random, block) : block, port);
          datagrams++;
          if (port === 0) fromPortZero++;
        }
      }
      transport.receive(Buffer.from(datagram), port);
      datagrams++;
      if (random.below(8) === 0) {
        const { port: to, messageId } = transport.last;
        transport.receive(encode({ type: 2 + random.below(2), code: '0.00', mid: messageId }), to);
      }
      if (random.below(30) === 0) clock.advance(random.below(400));
      if (random.below(2_000) === 0) clock.advance(random.below(300_000));
      if (random.below(40) === 0) deferred.splice(random.below(deferred.length + 1), 1)[0]?.();
      if (deferred.length > 1_000) deferred.length = 0;
    }
    const tables = endpoint.tables;
    assert.ok(tables.remotes <= limits.remotes);
    assert.ok(tables.deduplicationBytes <= limits.deduplicationBytes);
    assert.ok(tables.pendingExchanges <= limits.pendingExchanges);
    assert.ok(tables.separateResponses <= limits.separateResponses);
    assert.ok(tables.observers <= limits.observers);
    assert.ok(tables.block1Bodies <= limits.block1Bodies);
    assert.ok(tables.block1Bytes <= limits.block1Bytes);
    assert.ok(tables.block2Bodies <= limits.block2Bodies);
    assert.ok(tables.block2Bytes <= limits.block2Bytes);
    assert.ok(tables.timers <= limits.pendingExchanges + limits.remotes + 3);
  }
  const { counters } = endpoint;
  const { requests, formatErrors } = counters;
  t.diagnostic(`SEED=${seed}: ${datagrams} datagrams, ${requests} handled, ${formatErrors} format errors`);
  assert.deepEqual(handlerErrors, []);
  assert.equal(counters.internalErrors, 0, internalErrors.join('\n'));
  assert.equal(counters.droppedSourcePort, fromPortZero);
  // The mixture reached what it is meant to reach.
  const reached: (keyof typeof counters)[] = [
    'requests',
    'formatErrors',
    'unexpectedMessages',
    'badOptions',
    'replays',
    'pings',
    'notifications',
    'retransmissions',
    'transmissionTimeouts',
    'resetsReceived',
    'block1Completed',
    'block1Incomplete',
    'observersRegistered',
    'separateAcknowledgements',
  ];
  for (const name of reached) assert.ok(counters[name] > 0, `${name} was not reached`);
  // Everything settles: no exchange, no transmission and no body stays behind.
  for (const answer of deferred) answer();
  clock.advance(600_000);
  const settled = endpoint.tables;
  assert.deepEqual([settled.pendingExchanges, settled.separateResponses, settled.block1Bodies], [0, 0, 0]);
  await endpoint.close();
  assert.equal(endpoint.tables.observers, 0);
  assert.equal(clock.pending, 0);
});
