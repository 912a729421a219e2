/** Bodies block by block, and Echo (RFC 7959, RFC 9175), from the side of the client. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, Method } from '../../../src/coap/codes.js';
import { block, blockValue, type Decoded, number, OPT, type OptionValue, values } from '../harness.js';
import { ClientBench, type Device } from './device.js';

const BODY = Buffer.from(Array.from({ length: 2_500 }, (_, index) => index % 251));
const PUT = { method: Method.Put, path: ['large'], payload: BODY, contentFormat: 42 };
const GET = { method: Method.Get, path: ['large'] };

/** Takes a whole upload in blocks of `size`; returns the requests. */
function takeUpload(device: Device, size: number): Decoded[] {
  const requests: Decoded[] = [];
  for (;;) {
    const request = device.one();
    requests.push(request);
    const asked = block(request, OPT.block1);
    assert.ok(asked !== undefined);
    const value = blockValue(asked.number, asked.more, Math.min(size, asked.size));
    device.answer(request, { code: asked.more ? '2.31' : '2.04', options: [[OPT.block1, value]] });
    if (!asked.more) return requests;
  }
}

/** Answers one request with a block of `body`. */
function giveBlock(
  device: Device,
  request: Decoded,
  body: Buffer,
  index: number,
  size: number,
  options: readonly (readonly [number, OptionValue])[] = [],
): void {
  const end = Math.min((index + 1) * size, body.length);
  device.answer(request, {
    code: '2.05',
    options: [...options, [OPT.block2, blockValue(index, end < body.length, size)]],
    payload: body.subarray(index * size, end),
  });
}

test('a large body goes out in blocks, with Size1 first and one Request-Tag (RFC 7959 2.5, RFC 9175 3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(PUT);
  const requests = takeUpload(device, 1_024);
  assert.equal(asked.response.code, Code.Changed);
  assert.deepEqual(Buffer.concat(requests.map(({ payload }) => payload)), BODY);
  assert.deepEqual(
    requests.map((request) => number(request, OPT.size1)),
    [2_500, undefined, undefined],
  );
  assert.equal(new Set(requests.map((request) => values(request, OPT.requestTag)[0].toString('hex'))).size, 1);
  assert.equal(new Set(requests.map(({ token }) => token)).size, 3);
  assert.ok(requests.every((request) => number(request, OPT.contentFormat) === 42));
  assert.equal(bench.client.tables.bodiesBytes, 0);
});

test('two uploads to one resource have different Request-Tags (RFC 9175 3.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const other = bench.device(5684);
  device.ask(PUT);
  other.ask(PUT);
  assert.notDeepEqual(values(device.one(), OPT.requestTag), values(other.one(), OPT.requestTag));
});

test('a smaller SZX in 2.31 is taken up where the first block ended (RFC 7959 2.5, figure 8)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(PUT);
  const requests = takeUpload(device, 256);
  assert.equal(asked.response.code, Code.Changed);
  assert.deepEqual(block(requests[1], OPT.block1), { number: 4, more: true, size: 256 });
  assert.deepEqual(Buffer.concat(requests.map(({ payload }) => payload)), BODY);
});

test('4.13 with a smaller SZX begins again with it (RFC 7959 2.9.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(PUT);
  device.answer(device.one(), { code: '4.13', options: [[OPT.block1, blockValue(0, true, 64)]] });
  const requests = takeUpload(device, 64);
  assert.equal(asked.response.code, Code.Changed);
  assert.equal(requests.length, 40);
  assert.deepEqual(Buffer.concat(requests.map(({ payload }) => payload)), BODY);
  const small = device.ask({ ...PUT, payload: BODY.subarray(0, 100) });
  assert.equal(block(device.take()[0], OPT.block1), undefined);
  small.pending?.cancel();
});

test('4.13 to a body in one message makes it go out in blocks, if it names a size (RFC 7959 2.9.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ ...PUT, payload: BODY.subarray(0, 100) });
  device.answer(device.one(), { code: '4.13', options: [[OPT.block1, blockValue(0, false, 32)]] });
  assert.equal(takeUpload(device, 32).length, 4);
  assert.equal(asked.response.code, Code.Changed);
  const refused = device.ask(PUT);
  device.answer(device.one(), { code: '4.13', options: [[OPT.size1, 2_000]] });
  assert.equal(refused.response.code, Code.RequestEntityTooLarge);
  assert.equal(refused.response.size1, 2_000);
});

test('4.08 begins the upload again under a new Request-Tag, not for ever (RFC 7959 2.9.2)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(PUT);
  const tags = new Set<string>();
  for (let round = 0; round < 3; round++) {
    const first = device.one();
    tags.add(values(first, OPT.requestTag)[0].toString('hex'));
    device.answer(first, { code: '2.31', options: [[OPT.block1, blockValue(0, true, 1_024)]] });
    device.answer(device.one(), { code: '4.08' });
  }
  assert.equal(tags.size, 3);
  assert.equal(asked.response.code, Code.RequestEntityIncomplete);
  device.none();
});

test('an error in the middle of an upload ends it', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(PUT);
  device.answer(device.one(), { code: '2.31', options: [[OPT.block1, blockValue(0, true, 1_024)]] });
  device.answer(device.one(), { code: '4.03' });
  assert.equal(asked.response.code, Code.Forbidden);
  device.none();
});

test('Block1 of another block, and 2.31 without need, are bad responses', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (const wire of [
    { code: '2.31', options: [[OPT.block1, blockValue(1, true, 1_024)]] },
    { code: '2.31' },
    { code: '2.31', options: [[OPT.block1, 7]] },
  ] as const) {
    const asked = device.ask(PUT);
    device.answer(device.one(), wire);
    assert.equal(asked.failure, 'bad-response');
  }
  const small = device.ask({ ...PUT, payload: Buffer.from('x') });
  device.answer(device.one(), { code: '2.31' });
  assert.equal(small.failure, 'bad-response');
});

test('a large body is fetched in blocks (RFC 7959 2.4)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(GET);
  const first = device.one();
  assert.equal(number(first, OPT.block2), undefined);
  const etag: readonly [number, OptionValue] = [OPT.etag, Buffer.of(1)];
  giveBlock(device, first, BODY, 0, 1_024, [etag, [OPT.size2, 2_500], [OPT.maxAge, 5]]);
  giveBlock(device, device.one(), BODY, 1, 1_024, [etag]);
  const third = device.one();
  assert.deepEqual(block(third, OPT.block2), { number: 2, more: false, size: 1_024 });
  giveBlock(device, third, BODY, 2, 1_024, [etag]);
  assert.deepEqual(asked.response.payload, BODY);
  assert.equal(asked.response.maxAge, 5);
  assert.equal(bench.client.tables.bodiesBytes, 0);
});

test('a small block size is asked for from the start, and a smaller one of the server is taken up (RFC 7959 2.4)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ ...GET, transmission: { blockSize: 512 } });
  const first = device.one();
  assert.deepEqual(block(first, OPT.block2), { number: 0, more: false, size: 512 });
  giveBlock(device, first, BODY, 0, 512);
  giveBlock(device, device.one(), BODY, 4, 128);
  const next = device.one();
  assert.deepEqual(block(next, OPT.block2), { number: 5, more: false, size: 128 });
  for (let index = 5; index < 20; index++) giveBlock(device, index === 5 ? next : device.one(), BODY, index, 128);
  assert.deepEqual(asked.response.payload, BODY);
});

test('a server that answers in larger blocks than were asked for is followed in those asked for', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ ...GET, transmission: { blockSize: 512 } });
  giveBlock(device, device.one(), BODY, 0, 1_024);
  const next = device.one();
  assert.deepEqual(block(next, OPT.block2), { number: 2, more: false, size: 512 });
  giveBlock(device, next, BODY.subarray(0, 1_536), 2, 512);
  assert.deepEqual(asked.response.payload, BODY.subarray(0, 1_536));
});

test('an ETag that changes begins the fetch again, not for ever (RFC 7959 2.4)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(GET);
  giveBlock(device, device.one(), BODY, 0, 1_024, [[OPT.etag, Buffer.of(1)]]);
  giveBlock(device, device.one(), BODY, 1, 1_024, [[OPT.etag, Buffer.of(2)]]);
  const again = device.one();
  assert.equal(number(again, OPT.block2), undefined);
  for (let index = 0; index < 3; index++) {
    giveBlock(device, index === 0 ? again : device.one(), BODY, index, 1_024, [[OPT.etag, Buffer.of(2)]]);
  }
  assert.deepEqual(asked.response.payload, BODY);
  const restless = device.ask(GET);
  for (let tag = 0; tag < 3; tag++) {
    giveBlock(device, device.one(), BODY, 0, 1_024, [[OPT.etag, Buffer.of(2 * tag)]]);
    giveBlock(device, device.one(), BODY, 1, 1_024, [[OPT.etag, Buffer.of(2 * tag + 1)]]);
  }
  assert.equal(restless.failure, 'body-changed');
});

test('a body that changes after a POST fails: it must not be carried out twice', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ method: Method.Post, path: ['x'], payload: Buffer.from('go') });
  giveBlock(device, device.one(), BODY, 0, 1_024, [[OPT.etag, Buffer.of(1)]]);
  const next = device.one();
  assert.equal(next.payload.length, 0);
  giveBlock(device, next, BODY, 1, 1_024, [[OPT.etag, Buffer.of(2)]]);
  assert.equal(asked.failure, 'body-changed');
  device.none();
});

test('blocks out of order, of a wrong length or of a reserved size are bad responses (RFC 7959 2.2, 2.4)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (const [value, length] of [
    [blockValue(1, true, 1_024), 1_024],
    [blockValue(0, true, 1_024), 1_000],
    [blockValue(0, false, 16), 17],
    [7, 16],
  ]) {
    const asked = device.ask(GET);
    device.answer(device.one(), { code: '2.05', options: [[OPT.block2, value]], payload: BODY.subarray(0, length) });
    assert.equal(asked.failure, 'bad-response');
  }
  for (const options of [[], [[OPT.block2, blockValue(2, true, 1_024)]]] as const) {
    const asked = device.ask(GET);
    giveBlock(device, device.one(), BODY, 0, 1_024);
    device.answer(device.one(), { code: '2.05', options, payload: BODY.subarray(0, 1_024) });
    assert.equal(asked.failure, 'bad-response');
  }
});

test('4.08 in the middle of a fetch begins it again; another error is the response', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(GET);
  giveBlock(device, device.one(), BODY, 0, 1_024);
  device.answer(device.one(), { code: '4.08' });
  giveBlock(device, device.one(), BODY, 0, 1_024);
  device.answer(device.one(), { code: '5.03' });
  assert.equal(asked.response.code, Code.ServiceUnavailable);
});

test('both bodies of one request may be large (RFC 7959 3.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ ...PUT, method: Method.Fetch });
  for (let index = 0; index < 2; index++) {
    device.answer(device.one(), { code: '2.31', options: [[OPT.block1, blockValue(index, true, 1_024)]] });
  }
  const last = device.one();
  device.answer(last, {
    code: '2.05',
    options: [
      [OPT.block1, blockValue(2, false, 1_024)],
      [OPT.block2, blockValue(0, true, 1_024)],
    ],
    payload: BODY.subarray(0, 1_024),
  });
  for (const index of [1, 2]) {
    const request = device.one();
    assert.equal(number(request, OPT.block1), undefined);
    assert.deepEqual(values(request, OPT.requestTag), values(last, OPT.requestTag));
    giveBlock(device, request, BODY, index, 1_024);
  }
  assert.deepEqual(asked.response.payload, BODY);
});

test('a FETCH in one message says its payload again for each block (RFC 8132 2.1)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ method: Method.Fetch, path: ['x'], payload: Buffer.from('what'), contentFormat: 0 });
  giveBlock(device, device.one(), BODY.subarray(0, 2_000), 0, 1_024);
  const next = device.one();
  assert.equal(next.payload.toString(), 'what');
  giveBlock(device, next, BODY.subarray(0, 2_000), 1, 1_024);
  assert.equal(asked.response.payload.length, 2_000);
});

test('4.01 with Echo is answered by the request with it, not for ever (RFC 9175 2.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ method: Method.Put, path: ['lock'], payload: Buffer.from('open') });
  const first = device.one();
  device.answer(first, { code: '4.01', options: [[252, Buffer.from('fresh?')]] });
  const second = device.one();
  assert.deepEqual(values(second, 252).map(String), ['fresh?']);
  assert.equal(second.payload.toString(), 'open');
  assert.notEqual(second.token, first.token);
  device.answer(second, { code: '2.04' });
  assert.equal(asked.response.code, Code.Changed);
  const never = device.ask(GET);
  for (let round = 0; round < 3; round++)
    device.answer(device.one(), { code: '4.01', options: [[252, Buffer.of(round)]] });
  assert.equal(never.response.code, Code.Unauthorized);
  const plain = device.ask(GET);
  device.answer(device.one(), { code: '4.01' });
  assert.equal(plain.response.code, Code.Unauthorized);
  device.none();
});

test('an Echo in the middle of an upload repeats that block, and the blocks after it have it too', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(PUT);
  device.answer(device.one(), { code: '2.31', options: [[OPT.block1, blockValue(0, true, 1_024)]] });
  device.answer(device.one(), { code: '4.01', options: [[252, Buffer.of(9)]] });
  const requests = takeUpload(device, 1_024);
  assert.deepEqual(
    requests.map((request) => [block(request, OPT.block1)?.number, values(request, 252)[0][0]]),
    [
      [1, 9],
      [2, 9],
    ],
  );
  assert.equal(asked.response.code, Code.Changed);
});

test('the timeout holds for all blocks together', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(GET);
  for (let index = 0; index < 9; index++) {
    giveBlock(device, device.one(), Buffer.alloc(10_000), index, 1_024);
    bench.clock.advance(490);
  }
  device.one();
  bench.clock.advance(600);
  assert.equal(asked.failure, 'timeout');
  assert.equal(bench.client.tables.bodiesBytes, 0);
});

test('limits: the largest body, announced or arrived, and the bytes of all bodies', () => {
  const bench = new ClientBench({ limits: { bodyBytes: 2_000, bodiesBytes: 3_000 } });
  const device = bench.device();
  const announced = device.ask(GET);
  giveBlock(device, device.one(), BODY, 0, 1_024, [[OPT.size2, 2_500]]);
  assert.equal(announced.failure, 'limit bodyBytes');
  const arrived = device.ask(GET);
  giveBlock(device, device.one(), BODY, 0, 1_024);
  giveBlock(device, device.one(), BODY, 1, 1_024);
  assert.equal(arrived.failure, 'limit bodyBytes');
  const upload = device.ask(PUT);
  assert.equal(bench.client.tables.bodiesBytes, 2_500);
  assert.equal(bench.device(2).ask(PUT).failure, 'limit bodiesBytes');
  const other = bench.device(3);
  const download = other.ask(GET);
  giveBlock(other, other.one(), BODY.subarray(0, 1_500), 0, 1_024);
  assert.equal(download.failure, 'limit bodiesBytes');
  upload.pending?.cancel();
  assert.equal(bench.client.tables.bodiesBytes, 0);
  assert.equal(bench.client.counters.bodiesTooLarge, 2);
  assert.equal(bench.client.counters.refusedBodies, 2);
});

test('limits: requests in all and for one peer, and peers', () => {
  const bench = new ClientBench({ limits: { requests: 3, requestsPerPeer: 2, peers: 2 } });
  const [one, two, three] = [1, 2, 3].map((port) => bench.device(port));
  const kept = [one.ask(GET), one.ask(GET)];
  assert.equal(one.ask(GET).failure, 'limit requestsPerPeer');
  kept.push(two.ask(GET));
  assert.equal(two.ask(GET).failure, 'limit requests');
  kept[0].pending?.cancel();
  assert.equal(three.ask(GET).failure, 'limit peers');
  kept[1].pending?.cancel();
  assert.deepEqual(three.ask(GET).outcomes, []);
  const { refusedRequests, refusedRequestsPerPeer, refusedPeers } = bench.client.counters;
  assert.deepEqual([refusedRequests, refusedRequestsPerPeer, refusedPeers], [1, 1, 1]);
});
