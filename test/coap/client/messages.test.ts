/** Messages of a client: Confirmable and Non-confirmable, retransmitted, matched and acknowledged (RFC 7252 4, 5.2, 5.3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, Method } from '../../../src/coap/codes.js';
import { ACK, CON, encode, NON, OPT, RST, values } from '../harness.js';
import { ClientBench } from './device.js';

const GET = { method: Method.Get, path: ['test'] };

test('a Confirmable request and its piggybacked response (RFC 7252 5.2.1)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({
    method: Method.Put,
    path: ['a', 'b'],
    query: ['x=1'],
    payload: Buffer.from('on'),
    contentFormat: 0,
    accept: 50,
    uriHost: 'lamp',
  });
  const request = device.one();
  assert.equal(request.type, CON);
  assert.equal(request.code, '0.03');
  assert.equal(request.token.length, 16);
  assert.deepEqual(values(request, OPT.uriPath).map(String), ['a', 'b']);
  assert.deepEqual(values(request, OPT.uriQuery).map(String), ['x=1']);
  assert.deepEqual(values(request, OPT.uriHost).map(String), ['lamp']);
  assert.equal(request.payload.toString(), 'on');
  device.answer(request, { code: '2.04', payload: 'done', options: [[OPT.contentFormat, 50]] });
  assert.equal(asked.response.code, Code.Changed);
  assert.equal(asked.response.payload.toString(), 'done');
  assert.equal(asked.response.contentFormat, 50);
  assert.equal(asked.response.maxAge, 60);
  device.none();
  assert.deepEqual(bench.client.tables, { requests: 0, observations: 0, bodiesBytes: 0, peers: 1, timers: 0 });
});

test('every method goes out under its own code (RFC 7252 12.1.1, RFC 8132)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (let method = 1; method <= 7; method++) {
    const asked = device.ask({ method });
    const request = device.one();
    assert.equal(request.code, `0.0${method}`);
    device.answer(request, { code: '4.05' });
    assert.equal(asked.response.code, Code.MethodNotAllowed);
  }
});

test('an unacknowledged request is retransmitted at doubling intervals, then given up (RFC 7252 4.2)', () => {
  const bench = new ClientBench({ transmission: { timeout: 100_000 } });
  const device = bench.device();
  const asked = device.ask(GET);
  const first = device.one();
  for (const wait of [2_000, 4_000, 8_000, 16_000]) {
    bench.clock.advance(wait - 20);
    device.none();
    bench.clock.advance(20);
    assert.deepEqual(device.one().bytes, first.bytes);
  }
  bench.clock.advance(31_900);
  assert.deepEqual(asked.outcomes, []);
  bench.clock.advance(200);
  assert.equal(asked.failure, 'unacknowledged');
  assert.equal(bench.client.counters.retransmissions, 4);
  assert.equal(bench.client.tables.timers, 0);
});

test('RFC 7252 4.8.1: once the round-trip time is known, a lost request is repeated when its answer is overdue, and given up no sooner', () => {
  const bench = new ClientBench({ transmission: { timeout: 100_000 } });
  const device = bench.device();
  for (let round = 0; round < 50; round++) {
    device.ask(GET);
    bench.clock.advance(600);
    const request = device.one();
    if (round % 2 === 0) device.answer(request, { code: '2.05' });
    else {
      device.acknowledge(request);
      device.send({ code: '2.05', token: request.token });
      device.take();
    }
  }
  const lost = device.ask(GET);
  device.one();
  const times: number[] = [];
  for (let elapsed = 100; lost.outcomes.length === 0; elapsed += 100) {
    bench.clock.advance(100);
    if (device.take().length > 0) times.push(elapsed);
    if (lost.outcomes.length > 0) times.push(elapsed);
  }
  assert.deepEqual(times, [700, 6_000, 14_000, 30_000, 62_000]);
  const stranger = bench.device(5684);
  stranger.ask(GET);
  stranger.one();
  bench.clock.advance(1_900);
  stranger.none();
  // Nothing is retransmitted to it: it has its whole time.
  const once = device.ask({ ...GET, transmission: { maxRetransmit: 0, timeout: 100_000 } });
  bench.clock.advance(1_900);
  assert.deepEqual(once.outcomes, []);
});

test('the random factor spreads the first timeout (RFC 7252 4.2)', () => {
  const bench = new ClientBench({ random: () => 0.5 });
  const device = bench.device();
  device.ask({ ...GET, transmission: { ackTimeout: 1_000, ackRandomFactor: 3, timeout: 60_000 } });
  device.one();
  bench.clock.advance(1_990);
  device.none();
  bench.clock.advance(20);
  device.one();
});

test('retransmission is chosen for each request', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask({ ...GET, transmission: { ackTimeout: 100, maxRetransmit: 1 } });
  bench.clock.advance(110);
  assert.equal(device.take().length, 2);
  bench.clock.advance(210);
  device.none();
  assert.equal(asked.failure, 'unacknowledged');
});

test('the timeout of a request holds whatever was acknowledged', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(GET);
  device.acknowledge(device.one());
  bench.clock.advance(4_990);
  assert.deepEqual(asked.outcomes, []);
  bench.clock.advance(20);
  assert.equal(asked.failure, 'timeout');
  device.none();
});

test('a separate response is acknowledged, and again when it is repeated (RFC 7252 5.2.2)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(GET);
  const request = device.one();
  device.acknowledge(request);
  bench.clock.advance(3_000);
  device.none();
  const response = encode({ type: CON, code: '2.05', mid: 7, token: request.token, payload: 'late' });
  for (let copy = 0; copy < 3; copy++) {
    device.raw(response);
    const answer = device.one();
    assert.deepEqual([answer.type, answer.code, answer.mid], [ACK, '0.00', 7]);
  }
  assert.equal(asked.response.payload.toString(), 'late');
  assert.equal(bench.client.counters.separateResponses, 1);
  assert.equal(bench.client.counters.duplicates, 2);
});

test('a separate response may be Non-confirmable, or overtake the Acknowledgement (RFC 7252 5.2.2)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (const type of [NON, CON]) {
    const asked = device.ask(GET);
    const request = device.one();
    device.send({ type, code: '2.05', token: request.token, payload: 'x' });
    assert.equal(device.take().length, type === CON ? 1 : 0);
    assert.equal(asked.response.payload.toString(), 'x');
    device.acknowledge(request);
    bench.clock.advance(60_000);
    device.none();
  }
  assert.equal(bench.client.counters.retransmissions, 0);
});

test('a Non-confirmable request goes out once, and takes a response of either type (RFC 7252 5.2.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (const type of [NON, CON]) {
    const asked = device.ask({ ...GET, confirmable: false });
    const request = device.one();
    assert.equal(request.type, NON);
    bench.clock.advance(4_000);
    device.none();
    device.send({ type, code: '2.05', token: request.token });
    assert.equal(asked.response.code, Code.Content);
    device.take();
  }
  const asked = device.ask({ ...GET, confirmable: false });
  bench.clock.advance(5_010);
  assert.equal(asked.failure, 'timeout');
  assert.equal(device.take().length, 1);
});

test('a Reset fails the request, Confirmable or not (RFC 7252 4.2, 4.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (const confirmable of [true, false]) {
    const asked = device.ask({ ...GET, confirmable });
    device.reset(device.one());
    assert.equal(asked.failure, 'reset');
  }
  assert.equal(bench.client.counters.resets, 2);
});

test('a response counts only from the endpoint that was asked, with its token and, piggybacked, its id (RFC 7252 5.3.2)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = device.ask(GET);
  const request = device.one();
  const other = bench.device(5684);
  const spoofed = bench.device(5683, '192.0.2.66');
  for (const stranger of [other, spoofed]) stranger.answer(request, { code: '2.05' });
  device.answer(request, { code: '2.05', token: 'ffffffffffffffff' });
  device.answer(request, { code: '2.05', token: request.token.slice(0, 8) });
  device.answer(request, { code: '2.05', token: '' });
  device.answer(request, { code: '2.05', mid: request.mid ^ 1 });
  device.send({ type: ACK, code: '0.00', mid: request.mid ^ 1 });
  device.send({ type: RST, code: '0.00', mid: request.mid ^ 1 });
  assert.deepEqual(asked.outcomes, []);
  device.none();
  assert.equal(bench.client.counters.unmatched, 8);
  device.answer(request, { code: '2.05' });
  assert.equal(asked.response.code, Code.Content);
});

test('a Confirmable response that nobody asked for gets a Reset, a Non-confirmable one nothing (RFC 7252 4.2, 4.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const mid = device.send({ type: CON, code: '2.05', token: '0102030405060708' });
  const answer = device.one();
  assert.deepEqual([answer.type, answer.code, answer.mid], [RST, '0.00', mid]);
  device.send({ type: NON, code: '2.05', token: '0102030405060708' });
  device.none();
});

test('a request, a ping and a malformed Confirmable message get a Reset (RFC 7252 4.2, 4.3)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  device.send({ type: CON, code: '0.01' });
  device.send({ type: CON, code: '0.00' });
  device.send({ type: CON, code: '7.01' });
  device.raw(Buffer.from([0x4f, 0x45, 0, 9]));
  assert.deepEqual(
    device.take().map((message) => message.type),
    [RST, RST, RST, RST],
  );
  device.send({ type: NON, code: '0.01' });
  device.raw(Buffer.from([0x5f, 0x45, 0, 9]));
  device.raw(Buffer.from([0x80, 0, 0, 0]));
  device.raw(Buffer.alloc(0));
  device.none();
});

test('an option that is critical and not understood rejects the response (RFC 7252 5.4.1)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (const type of [ACK, CON]) {
    const asked = device.ask(GET);
    const request = device.one();
    device.send({
      type,
      code: '2.05',
      token: request.token,
      ...(type === ACK ? { mid: request.mid } : null),
      options: [[9, Buffer.of(1)]],
    });
    assert.equal(asked.failure, 'bad-response');
    assert.deepEqual(
      device.take().map((message) => message.type),
      type === CON ? [RST] : [],
    );
  }
  const asked = device.ask(GET);
  device.answer(device.one(), { code: '2.05', options: [[2052, Buffer.of(1)]] });
  assert.equal(asked.response.code, Code.Content);
});

test('one message is in flight for each peer; an Acknowledgement lets the next one go (RFC 7252 4.7)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const other = bench.device(5684);
  const asked = [1, 2, 3].map((number) => device.ask({ ...GET, query: [String(number)] }));
  other.ask(GET);
  other.one();
  const first = device.one();
  device.acknowledge(first);
  const second = device.one();
  device.answer(second, { code: '2.05', payload: 'second' });
  const third = device.one();
  device.send({ type: CON, code: '2.05', token: first.token, payload: 'first' });
  device.one();
  device.answer(third, { code: '2.05', payload: 'third' });
  assert.deepEqual(
    asked.map(({ response }) => response.payload.toString()),
    ['first', 'second', 'third'],
  );
});

test('a Non-confirmable request without an answer holds its place for ACK_TIMEOUT', () => {
  const bench = new ClientBench();
  const device = bench.device();
  device.ask({ ...GET, confirmable: false });
  device.ask(GET);
  device.one();
  bench.clock.advance(1_990);
  device.none();
  bench.clock.advance(20);
  assert.equal(device.one().type, CON);
});

test('what waits in line can be withdrawn, and its time runs out there', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const first = device.ask(GET);
  const second = device.ask(GET);
  const third = device.ask({ ...GET, transmission: { timeout: 1_000 } });
  device.one();
  second.pending?.cancel();
  assert.equal(second.failure, 'cancelled');
  bench.clock.advance(1_010);
  assert.equal(third.failure, 'timeout');
  first.pending?.cancel();
  assert.equal(first.failure, 'cancelled');
  bench.clock.advance(100_000);
  device.none();
  assert.equal(bench.client.tables.requests, 0);
});

test('tokens and Message IDs of requests do not repeat, and Message IDs start at random (RFC 7252 4.4, 5.3.1)', () => {
  const bench = new ClientBench();
  const starts = new Set<number>();
  const tokens = new Set<string>();
  for (let port = 1; port <= 20; port++) {
    const device = bench.device(port);
    device.ask(GET);
    const request = device.one();
    starts.add(request.mid);
    tokens.add(request.token);
    device.answer(request, { code: '2.05' });
    device.ask(GET);
    const next = device.one();
    assert.equal(next.mid, (request.mid + 1) & 0xffff);
    tokens.add(next.token);
  }
  assert.equal(tokens.size, 40);
  assert.ok(starts.size > 15);
});

test('an idle peer keeps its Message IDs for EXCHANGE_LIFETIME (RFC 7252 4.4)', () => {
  const bench = new ClientBench({ limits: { peers: 2 } });
  const device = bench.device(1);
  device.ask(GET);
  const first = device.one();
  device.answer(first, { code: '2.05' });
  bench.clock.advance(200_000);
  device.ask(GET);
  const second = device.one();
  assert.equal(second.mid, (first.mid + 1) & 0xffff);
  device.answer(second, { code: '2.05' });
  bench.clock.advance(248_000);
  const other = bench.device(2);
  other.ask(GET);
  assert.equal(bench.client.tables.peers, 1);
});

test('a request that no message can say fails at once', () => {
  const bench = new ClientBench();
  const device = bench.device();
  for (const request of [
    { method: 0 },
    { method: 8 },
    { method: Method.Get, payload: Buffer.from('x') },
    { method: Method.Put, path: ['x'.repeat(256)] },
    { method: Method.Put, path: ['..'] },
    { method: Method.Put, path: Array.from({ length: 100 }, () => 'x'.repeat(255)) },
    { method: Method.Put, accept: 65_536 },
    { method: Method.Put, etags: [Buffer.alloc(9)] },
    { method: Method.Put, uriHost: '' },
  ]) {
    assert.equal(device.ask(request).failure, 'unsendable');
  }
  assert.equal(bench.device(0).ask(GET).failure, 'unsendable');
  device.none();
});

test('close ends everything, sends nothing more and refuses what comes later', async () => {
  const bench = new ClientBench();
  const device = bench.device();
  const asked = [device.ask(GET), device.ask(GET)];
  const watched = device.watch(GET);
  device.one();
  await bench.client.close();
  for (const one of asked) assert.equal(one.failure, 'closed');
  assert.deepEqual(watched.ends, [{ reason: 'closed', detail: '' }]);
  assert.equal(device.ask(GET).failure, 'closed');
  bench.clock.advance(100_000);
  device.none();
  assert.equal(bench.clock.pending, 0);
});

test('a callback that throws costs nothing but itself', () => {
  const bench = new ClientBench();
  const device = bench.device();
  bench.client.request(device.address, GET, () => {
    throw new Error('by the caller');
  });
  device.answer(device.one(), { code: '2.05' });
  assert.equal(bench.client.counters.callbackErrors, 1);
  assert.equal(bench.client.tables.requests, 0);
});
