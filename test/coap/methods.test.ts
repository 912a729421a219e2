/** FETCH, PATCH and iPATCH (RFC 8132): what reaches the handler, and how their bodies go block by block. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Observation } from '../../src/coap/observe.js';
import type { CoapRequest } from '../../src/coap/request.js';
import {
  Bench,
  block,
  blockValue,
  type Client,
  type Decoded,
  NON,
  number,
  OPT,
  type OptionValue,
  values,
} from './harness.js';

const FETCH = '0.05';
const PATCH = '0.06';
const IPATCH = '0.07';

/** A resource that answers with its request's body a hundred times over. */
function echoing(): { bench: Bench; client: Client; bodies: string[]; requests: CoapRequest[] } {
  const bodies: string[] = [];
  const requests: CoapRequest[] = [];
  const bench = new Bench((request, exchange) => {
    bodies.push(request.payload.toString());
    requests.push(request);
    exchange.respond({ code: 0x45, contentFormat: 60, payload: Buffer.from(request.payload.toString().repeat(100)) });
  });
  return { bench, client: bench.client(), bodies, requests };
}

function ask(client: Client, code: string, payload: string, options: [number, OptionValue][] = []): Decoded {
  return client.ask({ code, path: ['collection'], options: [[OPT.contentFormat, 60], ...options], payload });
}

test('RFC 8132: FETCH, PATCH and iPATCH reach the handler with their options', () => {
  const { client, requests, bodies } = echoing();
  for (const code of [FETCH, PATCH, IPATCH]) {
    const answer = ask(client, code, 'a', [
      [OPT.accept, 60],
      [OPT.ifMatch, 'tag'],
      [OPT.uriQuery, 'n=1'],
    ]);
    assert.deepEqual([answer.code, answer.payload.length], ['2.05', 100]);
  }
  assert.deepEqual(
    requests.map(({ method }) => method),
    [5, 6, 7],
  );
  for (const request of requests) {
    assert.deepEqual([request.contentFormat, request.accept, String(request.ifMatch[0])], [60, 60, 'tag']);
    assert.deepEqual([request.path, request.query], [['collection'], ['n=1']]);
  }
  assert.deepEqual(bodies, ['a', 'a', 'a']);
});

test('RFC 8132: bodies of FETCH, PATCH and iPATCH come block by block', () => {
  const { client, bodies } = echoing();
  for (const code of [FETCH, PATCH, IPATCH]) {
    assert.equal(ask(client, code, 'x'.repeat(16), [[OPT.block1, blockValue(0, true, 16)]]).code, '2.31');
    const last = ask(client, code, 'y', [[OPT.block1, blockValue(1, false, 16)]]);
    assert.deepEqual([last.code, block(last, OPT.block1)?.number], ['2.05', 1]);
  }
  assert.deepEqual(bodies, new Array(3).fill(`${'x'.repeat(16)}y`));
});

test('RFC 8132 2.5: the body of a FETCH selects its answer: blocks of two are not mixed up', () => {
  const { client, bodies } = echoing();
  const body = (letter: string): string => letter.repeat(20);
  const next = (letter: string, index: number): Decoded =>
    ask(client, FETCH, body(letter), [[OPT.block2, blockValue(index, false, 1024)]]);
  const parts = ['a', 'b'].map((letter) => [next(letter, 0)]);
  for (const [at, letter] of ['a', 'b'].entries()) parts[at].push(next(letter, 1));
  for (const [at, letter] of ['a', 'b'].entries()) {
    assert.equal(Buffer.concat(parts[at].map(({ payload }) => payload)).toString(), body(letter).repeat(100));
    assert.deepEqual(values(parts[at][1], OPT.etag), values(parts[at][0], OPT.etag));
  }
  assert.deepEqual(bodies, [body('a'), body('b')]);
});

test('RFC 8132 2.5: a later block of a FETCH may be asked for without the body; one that is gone is 4.08', () => {
  const { bench, client, bodies } = echoing();
  const body = 'c'.repeat(20);
  const first = ask(client, FETCH, body);
  const rest = (): Decoded =>
    client.ask({ code: FETCH, path: ['collection'], options: [[OPT.block2, blockValue(1, false, 1024)]] });
  assert.equal(Buffer.concat([first.payload, rest().payload]).toString(), body.repeat(100));
  bench.clock.advance(300_000);
  assert.equal(rest().code, '4.08');
  // With its body it is simply carried out again.
  assert.equal(ask(client, FETCH, body, [[OPT.block2, blockValue(1, false, 1024)]]).code, '2.05');
  assert.deepEqual(bodies, [body, body]);
  assert.equal(ask(client, PATCH, body, [[OPT.block2, blockValue(1, false, 1024)]]).code, '4.08');
});

test('RFC 8132 2.4: FETCH with Observe registers, and a large notification goes on block by block', () => {
  let observation: Observation | undefined;
  const bench = new Bench((_request, exchange) => {
    observation = exchange.observe(() => {});
    exchange.respond({ code: 0x45 });
  });
  const client = bench.client();
  const request = { type: NON, code: FETCH, token: '07', path: ['x'], payload: 'selector' };
  assert.notEqual(number(client.ask({ ...request, options: [[OPT.observe, 0]] }), OPT.observe), undefined);
  observation?.notify({ code: 0x45, payload: Buffer.alloc(1_500, 1) });
  assert.deepEqual(block(client.one(), OPT.block2), { number: 0, more: true, size: 1024 });
  const rest = client.ask({ ...request, options: [[OPT.block2, blockValue(1, false, 1024)]] });
  assert.equal(rest.payload.length, 1_500 - 1_024);
});
