/** Observing a resource (RFC 7641 3), from the side of the client. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFresher } from '../../../src/coap/client/observation.js';
import { Method } from '../../../src/coap/codes.js';
import { ACK, blockValue, CON, type Decoded, NON, number, OPT, RST } from '../harness.js';
import { ClientBench, type Device, type Watched } from './device.js';

const GET = { method: Method.Get, path: ['temp'] };
const CANCELLED = [{ reason: 'cancelled', detail: '' }];
const FINAL = [{ reason: 'final', detail: '' }];

interface Registered {
  readonly watched: Watched;
  readonly request: Decoded;
}

/** An observation whose first state is "0" with Observe 1. */
function register(device: Device, maxAge = 60): Registered {
  const watched = device.watch(GET);
  const request = device.one();
  assert.equal(number(request, OPT.observe), 0);
  device.answer(request, {
    code: '2.05',
    options: [
      [OPT.observe, 1],
      [OPT.maxAge, maxAge],
    ],
    payload: '0',
  });
  return { watched, request };
}

function notify(device: Device, request: Decoded, observe: number, payload: string, type = NON): number {
  return device.send({ type, code: '2.05', token: request.token, options: [[OPT.observe, observe]], payload });
}

test('the sequence is a ring of 24 bits that no 128 seconds go round (RFC 7641 3.4)', () => {
  assert.equal(isFresher(2, 0, 1, 0), true);
  assert.equal(isFresher(1, 0, 1, 0), false);
  assert.equal(isFresher(1, 0, 2, 0), false);
  assert.equal(isFresher(2 ** 23, 0, 1, 0), true);
  assert.equal(isFresher(2 ** 23 + 1, 0, 1, 0), false);
  assert.equal(isFresher(0, 0, 2 ** 24 - 1, 0), true);
  assert.equal(isFresher(0, 0, 2 ** 23, 0), false);
  assert.equal(isFresher(0, 0, 2 ** 23 + 1, 0), true);
  assert.equal(isFresher(1, 128_000, 2, 0), false);
  assert.equal(isFresher(1, 128_001, 2, 0), true);
});

test('notifications are delivered in order; Confirmable ones are acknowledged, old ones too (RFC 7641 3.4, 4.5)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { watched, request } = register(device);
  notify(device, request, 2, '2');
  notify(device, request, 4, '4', CON);
  assert.equal(device.one().type, ACK);
  notify(device, request, 3, '3', CON);
  assert.equal(device.one().type, ACK);
  notify(device, request, 4, '4');
  notify(device, request, 5, '5');
  assert.deepEqual(watched.states, ['0', '2', '4', '5']);
  assert.deepEqual(watched.ends, []);
  assert.equal(bench.client.counters.staleNotifications, 2);
  assert.equal(bench.client.tables.observations, 1);
});

test('a repeated Confirmable notification is acknowledged again and delivered once (RFC 7252 4.5)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { watched, request } = register(device);
  for (let copy = 0; copy < 2; copy++) {
    device.send({ type: CON, mid: 9, code: '2.05', token: request.token, options: [[OPT.observe, 2]], payload: 'x' });
    const answer = device.one();
    assert.deepEqual([answer.type, answer.mid], [ACK, 9]);
  }
  assert.deepEqual(watched.states, ['0', 'x']);
});

test('cancelling deregisters with Observe 1 and the same token; what comes later gets a Reset (RFC 7641 3.6)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { watched, request } = register(device);
  watched.observation?.cancel();
  assert.deepEqual(watched.ends, CANCELLED);
  const cancellation = device.one();
  assert.equal(number(cancellation, OPT.observe), 1);
  assert.equal(cancellation.token, request.token);
  device.answer(cancellation, { code: '2.05', payload: 'last' });
  notify(device, request, 2, 'late');
  assert.equal(device.one().type, RST);
  assert.deepEqual(watched.states, ['0']);
  assert.equal(bench.client.tables.observations, 0);
  assert.equal(bench.client.tables.timers, 0);
});

test('a forgotten observation ends with a Reset to the next notification (RFC 7641 3.6)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { watched, request } = register(device);
  watched.observation?.forget();
  device.none();
  for (const type of [NON, CON]) {
    const mid = notify(device, request, 2, 'late', type);
    const answer = device.one();
    assert.deepEqual([answer.type, answer.mid], [RST, mid]);
  }
  assert.deepEqual(watched.ends, CANCELLED);
});

test('a response without Observe, and an error, are the last state (RFC 7641 3.2, 4.2)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const plain = device.watch(GET);
  device.answer(device.one(), { code: '2.05', payload: 'only' });
  assert.deepEqual([plain.states, plain.ends], [['only'], FINAL]);
  const refused = device.watch(GET);
  device.answer(device.one(), { code: '4.04', payload: 'none' });
  assert.deepEqual([refused.states, refused.ends], [['none'], FINAL]);
  const { watched, request } = register(device);
  device.send({ type: CON, code: '4.04', token: request.token, payload: 'gone' });
  assert.equal(device.one().type, ACK);
  assert.deepEqual([watched.states, watched.ends], [['0', 'gone'], FINAL]);
  assert.equal(bench.client.tables.observations, 0);
});

test('a registration that fails ends the observation', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const reset = device.watch(GET);
  device.reset(device.one());
  assert.equal(reset.ends[0].reason, 'reset');
  const silent = device.watch(GET);
  bench.clock.advance(5_010);
  assert.equal(silent.ends[0].reason, 'timeout');
  assert.equal(bench.client.tables.observations, 0);
});

test('when Max-Age has passed, the client registers anew with the same token (RFC 7641 3.3.1)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { watched, request } = register(device, 10);
  bench.clock.advance(14_990);
  device.none();
  bench.clock.advance(20);
  const again = device.one();
  assert.equal(number(again, OPT.observe), 0);
  assert.equal(again.token, request.token);
  // The server has started anew: its sequence counts from where it is.
  device.answer(again, { code: '2.05', options: [[OPT.observe, 0]], payload: 'again' });
  notify(device, request, 1, 'next');
  assert.deepEqual(watched.states, ['0', 'again', 'next']);
  bench.clock.advance(65_010);
  device.one();
  bench.clock.advance(5_010);
  assert.equal(watched.ends[0].reason, 'timeout');
});

test('a notification puts the registration anew off', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { request } = register(device, 10);
  bench.clock.advance(14_000);
  notify(device, request, 2, '2');
  bench.clock.advance(64_990);
  device.none();
  bench.clock.advance(20);
  device.one();
});

test('the rest of a large notification is fetched without Observe, under other tokens (RFC 7959 2.6)', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { watched, request } = register(device);
  const body = 'a'.repeat(16) + 'b'.repeat(16) + 'c';
  const give = (
    type: number,
    message: Decoded,
    index: number,
    observe: readonly (readonly [number, number])[],
  ): void => {
    device.send({
      type,
      code: '2.05',
      token: message.token,
      ...(type === ACK ? { mid: message.mid } : null),
      options: [...observe, [OPT.etag, 'e'], [OPT.block2, blockValue(index, index < 2, 16)]],
      payload: body.slice(16 * index, 16 * index + 16),
    });
  };
  give(NON, request, 0, [[OPT.observe, 2]]);
  const second = device.one();
  assert.equal(number(second, OPT.observe), undefined);
  assert.notEqual(second.token, request.token);
  give(ACK, second, 1, []);
  give(ACK, device.one(), 2, []);
  assert.deepEqual(watched.states, ['0', body]);
  assert.deepEqual(watched.ends, []);
  // A newer state replaces one that is still being fetched.
  give(NON, request, 0, [[OPT.observe, 3]]);
  const abandoned = device.one();
  notify(device, request, 4, 'short');
  give(ACK, abandoned, 1, []);
  device.none();
  assert.deepEqual(watched.states, ['0', body, 'short']);
  // One whose rest is lost is left out, and the observation goes on.
  give(NON, request, 0, [[OPT.observe, 5]]);
  device.reset(device.one());
  notify(device, request, 6, 'six');
  assert.deepEqual(watched.states, ['0', body, 'short', 'six']);
});

test('a large notification that changes while it is fetched is asked for anew, and the observation goes on', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const { watched, request } = register(device);
  device.send({
    type: NON,
    code: '2.05',
    token: request.token,
    options: [
      [OPT.observe, 2],
      [OPT.etag, 'a'],
      [OPT.block2, blockValue(0, true, 16)],
    ],
    payload: 'x'.repeat(16),
  });
  device.answer(device.one(), {
    code: '2.05',
    options: [
      [OPT.etag, 'b'],
      [OPT.block2, blockValue(1, false, 16)],
    ],
    payload: 'y',
  });
  device.answer(device.one(), { code: '2.05', options: [[OPT.etag, 'b']], payload: 'new' });
  assert.deepEqual([watched.states, watched.ends], [['0', 'new'], []]);
  notify(device, request, 3, 'three');
  assert.deepEqual(watched.states, ['0', 'new', 'three']);
});

test('a first state that comes blockwise, with a notification in between', () => {
  const bench = new ClientBench();
  const device = bench.device();
  const watched = device.watch(GET);
  const request = device.one();
  device.answer(request, {
    code: '2.05',
    options: [
      [OPT.observe, 1],
      [OPT.block2, blockValue(0, true, 16)],
    ],
    payload: 'x'.repeat(16),
  });
  const next = device.one();
  assert.equal(number(next, OPT.observe), undefined);
  notify(device, request, 2, 'newer');
  device.answer(next, { code: '2.05', options: [[OPT.block2, blockValue(1, false, 16)]], payload: 'y' });
  notify(device, request, 3, 'newest');
  assert.deepEqual([watched.states, watched.ends], [['newer', 'newest'], []]);
});

test('limits: observations in all and of one peer', () => {
  const bench = new ClientBench({ limits: { observations: 2, observationsPerPeer: 1 } });
  const [one, two, three] = [1, 2, 3].map((port) => bench.device(port));
  register(one);
  assert.deepEqual(one.watch(GET).ends, [{ reason: 'limit', detail: 'observationsPerPeer' }]);
  register(two);
  assert.deepEqual(three.watch(GET).ends, [{ reason: 'limit', detail: 'observations' }]);
  const { refusedObservations, refusedObservationsPerPeer } = bench.client.counters;
  assert.deepEqual([refusedObservations, refusedObservationsPerPeer], [1, 1]);
});
