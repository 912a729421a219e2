/** Deduplication (RFC 7252 4.5) against a plain model, its lifetimes and its budget. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoapCounters } from '../../src/coap/counters.js';
import { Deduplication, NOT_SEEN, Seen } from '../../src/coap/deduplication.js';
import { seeds } from '../support/seeds.js';
import { ACK, Bench, encode, NON } from './harness.js';

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * bound);
  };
}

test('agrees with a model: newest record wins, answers are kept whole, the oldest go first', () => {
  const [seed] = seeds(1);
  const next = random(seed);
  const counters = new CoapCounters();
  const table = new Deduplication(256 * 1024, counters);
  interface Entry {
    position: number;
    state: number;
    answer: Buffer;
    expiry: number;
  }
  const model = new Map<string, Entry>();
  const pending: { remote: number; mid: number; entry: Entry }[] = [];
  let found = 0;
  for (let step = 0; step < 200_000; step++) {
    const second = Math.floor(step / 1_000);
    const remote = 1 + next(20);
    const mid = next(400);
    const key = `${remote}/${mid}`;
    const known = model.get(key);
    const position = table.find(remote, mid, second);
    if (position !== NOT_SEEN) {
      found++;
      assert.ok(known !== undefined && known.expiry > second, 'nothing is found that was not put in');
      assert.equal(table.state(position), known.state);
      if (known.state === Seen.Answered) {
        const start = table.answerStart(position);
        assert.ok(known.answer.equals(table.bytes.subarray(start, start + table.answerLength(position))));
      }
      continue;
    }
    const expiry = second + 1 + next(60);
    const entry: Entry = {
      position: table.insert(remote, mid, Seen.Pending, second, expiry),
      state: Seen.Pending,
      answer: Buffer.alloc(next(10) === 0 ? next(1_100) : next(60), step),
      expiry,
    };
    model.set(key, entry);
    if (next(3) === 0) pending.push({ remote, mid, entry });
    else {
      table.answer(entry.position, entry.answer, entry.answer.length, second);
      entry.state = Seen.Answered;
    }
    if (pending.length > 30) {
      const [{ entry: late }] = pending.splice(next(pending.length), 1);
      if (next(2) === 0) {
        table.setState(late.position, Seen.Acknowledged);
        late.state = Seen.Acknowledged;
      } else {
        table.answer(late.position, late.answer, late.answer.length, second);
        late.state = Seen.Answered;
      }
    }
    assert.ok(table.size <= 256 * 1024);
  }
  assert.ok(found > 20_000, `${found} found`);
  assert.ok(counters.deduplicationEvictions > 1_000);
});

for (const stride of [1, 8, 1_024, 40_503]) {
  test(`the most recent requests are always found, however many came before; message ids ${stride} apart`, () => {
    const table = new Deduplication(256 * 1024, new CoapCounters());
    const answer = Buffer.alloc(20, 7);
    const idOf = (index: number): number => (Math.floor(index / 500) * stride) & 0xffff;
    // With an answer of two units a record has three.
    const kept = Math.floor((256 * 1024) / 48) - 2;
    for (let index = 0; index < 300_000; index++) {
      const remote = 1 + (index % 500);
      table.answer(table.insert(remote, idOf(index), Seen.Pending, 0, 247), answer, answer.length, 0);
      if (index < kept || index % 7 !== 0) continue;
      const earlier = index - (index % kept);
      const position = table.find(1 + (earlier % 500), idOf(earlier), 0);
      assert.equal(position === NOT_SEEN ? NOT_SEEN : table.state(position), Seen.Answered, `${index}, ${earlier}`);
    }
  });
}

test('a chain that is gone stays so when the positions begin anew', () => {
  const table = new Deduplication(256 * 1024, new CoapCounters());
  const nothing = Buffer.alloc(0);
  for (let remote = 2; remote < 60_000; remote++) {
    table.answer(table.insert(remote, 0, Seen.Pending, 0, 247), nothing, 0, 0);
  }
  // Each unit of it, taken for a record, says that the chain goes on at the next or at the former one.
  const answer = Buffer.alloc(4_000 * 16);
  for (let at = 0; at < answer.length; at += 16) answer.writeInt32LE(at % 32 === 0 ? 1 : -1, at);
  // Four of them go once around the ring of 2^14 units.
  for (let n = 4 * 2 ** (31 - 14); n > 0; n--) {
    table.answer(table.insert(1, 0, Seen.Pending, 0, 247), answer, answer.length, 0);
  }
  for (let turn = 0; turn < 15; turn++) {
    for (let id = 0; id < 65_536; id++) assert.equal(table.find(100_000 + turn, id, 0), NOT_SEEN);
  }
});

test('RFC 7252 4.8.2: a CON is known for EXCHANGE_LIFETIME, a NON for NON_LIFETIME', () => {
  const bench = new Bench((_request, exchange) => exchange.respond({ code: 0x44 }));
  const con = encode({ code: '0.03', path: ['x'], mid: 7 });
  const non = encode({ type: NON, code: '0.03', path: ['x'], mid: 8 });
  const client = bench.client();
  const handled = () => bench.endpoint.counters.requests;
  client.raw(con);
  client.raw(non);
  assert.equal(client.take().length, 2);
  bench.clock.advance(144_000);
  client.raw(con);
  client.raw(non);
  assert.equal(client.one().type, ACK);
  assert.equal(handled(), 2);
  bench.clock.advance(2_000);
  client.raw(non);
  assert.equal(client.one().type, NON);
  bench.clock.advance(98_000);
  client.raw(con);
  client.one();
  assert.equal(handled(), 3);
  bench.clock.advance(5_000);
  client.raw(con);
  client.one();
  assert.equal(handled(), 4);
});

test('the same message id from another address or port is another request', () => {
  const bench = new Bench((_request, exchange) => exchange.respond({ code: 0x44 }));
  const datagram = encode({ code: '0.03', path: ['x'], mid: 7 });
  bench.transport.receive(Buffer.from(datagram), 1_000, '192.0.2.1');
  bench.transport.receive(Buffer.from(datagram), 1_001, '192.0.2.1');
  bench.transport.receive(Buffer.from(datagram), 1_000, '192.0.2.2');
  bench.transport.receive(Buffer.from(datagram), 1_000, '192.0.2.1');
  assert.equal(bench.endpoint.counters.requests, 3);
  assert.equal(bench.endpoint.counters.duplicates, 1);
});

test('a NON duplicate is ignored, also while the handler is slow', () => {
  const answers: (() => void)[] = [];
  const bench = new Bench((_request, exchange) => answers.push(() => exchange.respond({ code: 0x44 })));
  const client = bench.client();
  const datagram = encode({ type: NON, code: '0.03', path: ['x'], mid: 7 });
  client.raw(datagram);
  client.raw(datagram);
  answers[0]();
  client.one();
  client.raw(datagram);
  client.none();
  assert.equal(answers.length, 1);
  assert.equal(bench.endpoint.counters.duplicates, 2);
});

test('an answer that comes after the acknowledgement delay leaves the empty ACK as what is replayed', () => {
  const answers: (() => void)[] = [];
  const bench = new Bench((_request, exchange) => answers.push(() => exchange.respond({ code: 0x44 })));
  const client = bench.client();
  const datagram = encode({ code: '0.03', path: ['x'], mid: 7 });
  client.raw(datagram);
  bench.clock.advance(60);
  const empty = client.one();
  answers[0]();
  client.acknowledge(client.one());
  client.raw(datagram);
  assert.deepEqual(client.one().bytes, empty.bytes);
});
