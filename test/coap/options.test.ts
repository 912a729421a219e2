/** What single options do to a request and to its answer (RFC 7252 5.10, RFC 7967, RFC 8768). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoapExchange } from '../../src/coap/exchange.js';
import { ACK, Bench, blockValue, CON, NON, number, OPT } from './harness.js';
import { Resources } from './resources.js';

test('IoT-Testware: 2.01, 2.02, 2.04, 2.05, 4.04 and 4.05 in separate responses', () => {
  let waiting: CoapExchange | undefined;
  const bench = new Bench((_request, exchange) => {
    waiting = exchange;
  });
  const client = bench.client();
  for (const [code, expected] of [
    [0x41, '2.01'],
    [0x42, '2.02'],
    [0x44, '2.04'],
    [0x45, '2.05'],
    [0x84, '4.04'],
    [0x85, '4.05'],
  ] as const) {
    client.send({ code: '0.02', token: 'ab', path: ['x'] });
    bench.clock.advance(60);
    assert.deepEqual([client.one().code, waiting?.closed], ['0.00', false]);
    waiting?.respond({ code });
    const response = client.one();
    assert.deepEqual([response.type, response.code, response.token], [CON, expected, 'ab']);
    client.acknowledge(response);
  }
});

test('IoT-Testware: Content-Format: a known one is taken, an unknown one is 4.15', () => {
  const client = new Bench(new Resources(() => {}).handler).client();
  const put = (format: number) =>
    client.ask({ code: '0.03', path: ['multi-format'], options: [[OPT.contentFormat, format]], payload: 'x' }).code;
  assert.deepEqual([put(0), put(41), put(50), put(65_000)], ['2.04', '2.04', '4.15', '4.15']);
});

test('IoT-Testware: Max-Age is told with what is fresh for a time, and left out otherwise', () => {
  const ages = [undefined, 0, 30, 0xffffffff];
  let asked = 0;
  const bench = new Bench((_request, exchange) => {
    const maxAge = ages[asked++];
    exchange.respond({ code: 0x45, ...(maxAge === undefined ? null : { maxAge }) });
  });
  const client = bench.client();
  for (const age of ages) assert.equal(number(client.ask({ code: '0.01', path: ['x'] }), OPT.maxAge), age);
});

test('RFC 7967: No-Response suppresses the classes that it names, and no others; 2.31 is always sent', () => {
  const codes = [0x45, 0x84, 0xa3] as const;
  const bits = [2, 8, 16] as const;
  let code = 0;
  const bench = new Bench((_request, exchange) => exchange.respond({ code }));
  const client = bench.client();
  for (let value = 0; value < 32; value++) {
    for (const [index, answered] of codes.entries()) {
      code = answered;
      const wire = {
        code: '0.03',
        token: '01',
        path: ['x'],
        options: [[OPT.noResponse, value] as const],
        payload: 'x',
      };
      const suppressed = (value & bits[index]) !== 0;
      client.send({ ...wire, type: NON });
      assert.equal(client.take().length, suppressed ? 0 : 1);
      const acknowledgement = client.ask({ ...wire, type: CON });
      assert.equal(acknowledgement.type, ACK);
      assert.equal(acknowledgement.code === '0.00', suppressed);
    }
  }
  const block = client.ask({
    code: '0.03',
    path: ['x'],
    options: [
      [OPT.noResponse, 2],
      [OPT.block1, blockValue(0, true, 16)],
    ],
    payload: Buffer.alloc(16),
  });
  assert.equal(block.code, '2.31');
});

test('RFC 8768 3: Hop-Limit is recognized; 0 and what is longer than a byte are 4.00', () => {
  const client = new Bench(new Resources(() => {}).handler).client();
  const ask = (value: Buffer) => client.ask({ code: '0.01', path: ['test'], options: [[OPT.hopLimit, value]] }).code;
  for (const hops of [1, 2, 16, 255]) assert.equal(ask(Buffer.from([hops])), '2.05');
  for (const value of [[], [0], [0, 1], [1, 0], [0, 0, 1]]) assert.equal(ask(Buffer.from(value)), '4.00');
});

test('RFC 8768: blocks of one body may come over ways of different lengths', () => {
  const resources = new Resources(() => {});
  const client = new Bench(resources.handler).client();
  const codes = [0, 1, 2].map((index) => {
    const options = [
      [OPT.block1, blockValue(index, index < 2, 16)],
      [OPT.hopLimit, 16 - index],
    ] as const;
    return client.ask({ code: '0.03', path: ['test'], options, payload: Buffer.alloc(16, index) }).code;
  });
  assert.deepEqual(codes, ['2.31', '2.31', '2.04']);
  assert.equal(resources.lastBody.length, 48);
});
