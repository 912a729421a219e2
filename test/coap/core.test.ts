/** ETSI TD_COAP_CORE 01-23 and the option purposes of the Eclipse IoT-Testware, over datagrams in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoapExchange } from '../../src/coap/exchange.js';
import type { CoapRequest } from '../../src/coap/request.js';
import { ACK, Bench, CON, NON, number, OPT, values } from './harness.js';
import { Resources } from './resources.js';

interface Server {
  readonly bench: Bench;
  readonly resources: Resources;
  /** Answers of `/separate` that wait. */
  readonly deferred: (() => void)[];
}

function server(): Server {
  const deferred: (() => void)[] = [];
  const resources = new Resources((answer) => deferred.push(answer));
  return { bench: new Bench(resources.handler), resources, deferred };
}

const METHODS = [
  ['0.01', '2.05', undefined],
  ['0.04', '2.02', undefined],
  ['0.03', '2.04', 'new'],
  ['0.02', '2.04', 'new'],
] as const;

for (const [index, [code, answer, payload]] of METHODS.entries()) {
  test(`TD_COAP_CORE_0${index + 1}: ${code} as CON is answered ${answer}, piggybacked, same message id and token`, () => {
    const client = server().bench.client();
    const mid = client.send({ code, token: 'a1b2', path: ['test'], payload: payload ?? '' });
    const response = client.one();
    assert.deepEqual([response.type, response.code, response.mid, response.token], [ACK, answer, mid, 'a1b2']);
  });

  test(`TD_COAP_CORE_0${index + 5}: ${code} as NON is answered ${answer} as NON, same token, a message id of the server`, () => {
    const { bench } = server();
    const client = bench.client();
    const mids = new Set<number>();
    for (let round = 0; round < 3; round++) {
      client.send({ type: NON, code, token: 'a1b2', path: ['test'], payload: payload ?? '', mid: 100 + round });
      const response = client.one();
      assert.equal(response.type, NON);
      assert.equal(response.token, 'a1b2');
      if (round === 0) assert.equal(response.code, answer);
      mids.add(response.mid);
    }
    // Consecutive ids from a random start are not those of the requests.
    assert.equal(mids.size, 3);
    assert.notDeepEqual([...mids], [100, 101, 102]);
  });
}

test('TD_COAP_CORE_09, 11: a slow answer is an empty ACK, then a CON with a new message id and the token', () => {
  const { bench, deferred } = server();
  const client = bench.client();
  const mid = client.send({ code: '0.01', token: '0102030405060708', path: ['separate'] });
  client.none();
  bench.clock.advance(60);
  const empty = client.one();
  assert.deepEqual([empty.type, empty.code, empty.mid, empty.bytes.length], [ACK, '0.00', mid, 4]);
  deferred[0]();
  const response = client.one();
  assert.deepEqual([response.type, response.code, response.token], [CON, '2.05', '0102030405060708']);
  assert.equal(response.payload.toString(), 'separate');
  client.acknowledge(response);
  bench.clock.advance(100_000);
  client.none();
  assert.equal(bench.endpoint.tables.separateResponses, 0);
  assert.equal(bench.endpoint.tables.pendingExchanges, 0);
});

test('RFC 7252 5.2.1: an answer within the delay is piggybacked, and no empty ACK follows', () => {
  const { bench, deferred } = server();
  const client = bench.client();
  const mid = client.send({ code: '0.01', token: '01', path: ['separate'] });
  bench.clock.advance(20);
  deferred[0]();
  const response = client.one();
  assert.deepEqual([response.type, response.code, response.mid], [ACK, '2.05', mid]);
  bench.clock.advance(1_000);
  client.none();
  assert.equal(bench.endpoint.tables.timers, 0);
});

test('TD_COAP_CORE_10, 12: tokens of 0 to 8 bytes are echoed, piggybacked and separate', () => {
  const { bench, deferred } = server();
  const client = bench.client();
  for (let length = 0; length <= 8; length++) {
    const token = 'ff00ee11dd22cc33'.slice(0, 2 * length);
    assert.equal(client.ask({ code: '0.01', token, path: ['test'] }).token, token);
    client.send({ code: '0.01', token, path: ['separate'] });
    bench.clock.advance(60);
    client.one();
    deferred.pop()?.();
    const response = client.one();
    assert.equal(response.token, token);
    client.acknowledge(response);
  }
});

test('TD_COAP_CORE_13: Uri-Path options select the resource, and a "/" inside a segment is told apart', () => {
  const { bench, resources } = server();
  const client = bench.client();
  assert.equal(client.ask({ code: '0.01', path: ['seg1', 'seg2', 'seg3'] }).payload.toString(), 'three segments');
  assert.equal(client.ask({ code: '0.01', path: ['seg1/seg2/seg3'] }).code, '4.04');
  assert.equal(client.ask({ code: '0.01', path: ['seg1', 'seg2/seg3'] }).code, '4.04');
  assert.equal(client.ask({ code: '0.01', path: ['seg1%2Fseg2', 'seg3'] }).code, '4.04');
  assert.equal(client.ask({ code: '0.01', path: ['', 'test'] }).code, '4.04');
  assert.equal(client.ask({ code: '0.01' }).code, '4.04');
  assert.deepEqual(resources.handled, [
    '/seg1/seg2/seg3',
    '/seg1%2Fseg2%2Fseg3',
    '/seg1/seg2%2Fseg3',
    '/seg1%252Fseg2/seg3',
    '//test',
    '',
  ]);
});

test('TD_COAP_CORE_14: several Uri-Query options arrive one by one', () => {
  const client = server().bench.client();
  const options = ['first=1', 'second=2', 'third=3&x'].map((value): [number, string] => [OPT.uriQuery, value]);
  assert.equal(client.ask({ code: '0.01', path: ['query'], options }).payload.toString(), 'first=1&second=2&third=3&x');
});

test('TD_COAP_CORE_15: a repeated request is handled once and answered with the same bytes', () => {
  const { bench, resources } = server();
  const client = bench.client();
  const wire = { code: '0.02', token: '77', path: ['location-path'], mid: 500, payload: 'once' };
  const first = client.ask(wire);
  for (let round = 0; round < 4; round++) assert.deepEqual(client.ask(wire).bytes, first.bytes);
  assert.deepEqual(resources.handled, ['/location-path']);
  assert.equal(bench.endpoint.counters.duplicates, 4);
  assert.equal(bench.endpoint.counters.replays, 4);
});

test('TD_COAP_CORE_16: a duplicate during a slow handler starts nothing; the CON response is retransmitted until the ACK', () => {
  const { bench, resources, deferred } = server();
  const client = bench.client();
  const wire = { code: '0.01', token: '77', path: ['separate'], mid: 500 };
  client.send(wire);
  client.send(wire);
  client.none();
  bench.clock.advance(60);
  const empty = client.one();
  client.send(wire);
  assert.deepEqual(client.one().bytes, empty.bytes);
  assert.equal(deferred.length, 1);
  deferred[0]();
  const response = client.one();
  client.send(wire);
  assert.deepEqual(client.one().bytes, empty.bytes);
  const seen: number[] = [];
  for (let elapsed = 0; elapsed < 100_000; elapsed += 100) {
    bench.clock.advance(100);
    for (const again of client.take()) {
      assert.deepEqual(again.bytes, response.bytes);
      seen.push((elapsed + 100) / 1_000);
    }
  }
  // ACK_TIMEOUT 2 s, doubled each time, MAX_RETRANSMIT 4, the random factor at its least.
  assert.deepEqual(seen, [2, 6, 14, 30]);
  assert.equal(bench.endpoint.counters.transmissionTimeouts, 1);
  assert.equal(bench.endpoint.tables.separateResponses, 0);
  assert.deepEqual(resources.handled, ['/separate']);
});

test('TD_COAP_CORE_17: a NON request with a delayed answer gets no empty ACK and a NON response', () => {
  const { bench, deferred } = server();
  const client = bench.client();
  const mid = client.send({ type: NON, code: '0.01', token: '42', path: ['separate'] });
  bench.clock.advance(3_000);
  client.none();
  deferred[0]();
  const response = client.one();
  assert.deepEqual([response.type, response.code, response.token], [NON, '2.05', '42']);
  assert.notEqual(response.mid, mid);
});

test('TD_COAP_CORE_18: a created resource is named by Location-Path options without "/"', () => {
  const response = server()
    .bench.client()
    .ask({ code: '0.02', path: ['location-path'], payload: 'x' });
  assert.equal(response.code, '2.01');
  assert.deepEqual(values(response, OPT.locationPath).map(String), ['created', '1']);
});

test('TD_COAP_CORE_19: Location-Query options without "?" or "&"', () => {
  const response = server()
    .bench.client()
    .ask({ code: '0.02', path: ['location-query'], payload: 'x' });
  assert.equal(response.code, '2.01');
  assert.deepEqual(values(response, OPT.locationQuery).map(String), ['first=1', 'second=2']);
});

test('TD_COAP_CORE_20: Accept selects the representation; an unsupported one is 4.06', () => {
  const client = server().bench.client();
  const ask = (accept: number) => client.ask({ code: '0.01', path: ['multi-format'], options: [[OPT.accept, accept]] });
  assert.equal(number(ask(0), OPT.contentFormat), 0);
  assert.equal(number(ask(41), OPT.contentFormat), 41);
  assert.equal(ask(41).payload.toString(), '<xml/>');
  assert.equal(ask(50).code, '4.06');
});

test('TD_COAP_CORE_21: an ETag validates: 2.05, then 2.03 without payload, then 2.05 after a change', () => {
  const { bench, resources } = server();
  const client = bench.client();
  const first = client.ask({ code: '0.01', path: ['validate'] });
  const [etag] = values(first, OPT.etag);
  const ask = () => client.ask({ code: '0.01', path: ['validate'], options: [[OPT.etag, etag]] });
  const valid = ask();
  assert.deepEqual([valid.code, valid.payload.length], ['2.03', 0]);
  assert.deepEqual(values(valid, OPT.etag), [etag]);
  resources.change('/validate', 'changed');
  const changed = ask();
  assert.equal(changed.code, '2.05');
  assert.notDeepEqual(values(changed, OPT.etag), [etag]);
});

test('TD_COAP_CORE_22: If-Match with the ETag is 2.04, with a stale one 4.12 and no change; two of them count as either', () => {
  const { bench, resources } = server();
  const client = bench.client();
  const [etag] = values(client.ask({ code: '0.01', path: ['validate'] }), OPT.etag);
  const put = (payload: string, ...tags: Buffer[]) =>
    client.ask({
      code: '0.03',
      path: ['validate'],
      payload,
      options: tags.map((tag): [number, Buffer] => [OPT.ifMatch, tag]),
    }).code;
  assert.equal(put('one', etag), '2.04');
  assert.equal(put('two', etag), '4.12');
  assert.equal(resources.resource('/validate').payload.toString(), 'one');
  assert.equal(put('three', etag, resources.resource('/validate').etag), '2.04');
  assert.equal(put('four', Buffer.alloc(0)), '2.04');
});

test('TD_COAP_CORE_23: If-None-Match is 2.01 first and 4.12 then', () => {
  const client = server().bench.client();
  const put = () =>
    client.ask({ code: '0.03', path: ['create1'], payload: 'x', options: [[OPT.ifNoneMatch, '']] }).code;
  assert.equal(put(), '2.01');
  assert.equal(put(), '4.12');
});

test('IoT-Testware: an unknown critical option is 4.02 for CON and ignored for NON; an unknown elective one is ignored', () => {
  const { bench, resources } = server();
  const client = bench.client();
  for (const option of [9, 19, 31, 65_001]) {
    const mid = client.send({ code: '0.01', token: '05', path: ['test'], options: [[option, 'x']] });
    const response = client.one();
    assert.deepEqual([response.type, response.code, response.mid, response.token], [ACK, '4.02', mid, '05']);
    client.send({ type: NON, code: '0.01', token: '05', path: ['test'], options: [[option, 'x']] });
    client.none();
  }
  assert.equal(bench.endpoint.counters.badOptions, 8);
  assert.deepEqual(resources.handled, []);
  for (const option of [2, 10, 65_000]) {
    assert.equal(client.ask({ code: '0.01', path: ['test'], options: [[option, 'x']] }).code, '2.05');
  }
});

test('RFC 7252 5.4.5: a repeated option that may not repeat counts as unknown', () => {
  const client = server().bench.client();
  const twice = (option: number, value: string | number) =>
    client.ask({
      code: '0.03',
      path: ['new'],
      options: [
        [option, value],
        [option, value],
      ],
    }).code;
  assert.equal(twice(OPT.ifNoneMatch, ''), '4.02');
  assert.equal(twice(OPT.accept, 0), '4.02');
  assert.equal(twice(OPT.uriHost, 'host'), '4.02');
  assert.equal(twice(OPT.uriPort, 5683), '4.02');
  assert.equal(twice(OPT.block1, 6), '4.02');
  assert.equal(twice(OPT.contentFormat, 40), '2.01');
});

test('RFC 7252 5.4.3: an option of the wrong length counts as unknown', () => {
  const client = server().bench.client();
  const ask = (option: number, length: number) =>
    client.ask({ code: '0.01', path: ['test'], options: [[option, Buffer.alloc(length, 0x61)]] }).code;
  assert.equal(ask(OPT.uriHost, 256), '4.02');
  assert.equal(ask(OPT.uriPath, 256), '4.02');
  assert.equal(ask(OPT.uriQuery, 256), '4.02');
  assert.equal(ask(OPT.accept, 3), '4.02');
  assert.equal(ask(OPT.block2, 4), '4.02');
  assert.equal(ask(OPT.ifMatch, 9), '4.02');
  assert.equal(ask(OPT.ifNoneMatch, 1), '4.02');
  assert.equal(ask(OPT.uriPort, 3), '4.02');
  // Elective ones are ignored.
  assert.equal(ask(OPT.etag, 9), '2.05');
  assert.equal(ask(OPT.observe, 4), '2.05');
  assert.equal(ask(OPT.contentFormat, 3), '2.05');
  assert.equal(ask(OPT.size1, 5), '2.05');
});

test('RFC 7252 3.2, 5.10.1: a path or query that is not UTF-8, and the segments "." and "..", are 4.02', () => {
  const client = server().bench.client();
  const bad = Buffer.from([0xc3, 0x28]);
  for (const option of [OPT.uriPath, OPT.uriQuery, OPT.uriHost]) {
    assert.equal(client.ask({ code: '0.01', options: [[option, bad]] }).code, '4.02');
  }
  assert.equal(client.ask({ code: '0.01', path: ['..', 'test'] }).code, '4.02');
  assert.equal(client.ask({ code: '0.01', path: ['.'] }).code, '4.02');
});

test('IoT-Testware: Proxy-Uri and Proxy-Scheme to a server that is no proxy are 5.05', () => {
  const { bench, resources } = server();
  const client = bench.client();
  const ask = (option: number, value: string) => client.ask({ code: '0.01', options: [[option, value]] }).code;
  assert.equal(ask(OPT.proxyUri, 'coap://example.org/test'), '5.05');
  assert.equal(ask(OPT.proxyScheme, 'coap'), '5.05');
  assert.deepEqual(resources.handled, []);
});

test('IoT-Testware: Uri-Host is any by default; with a list of hosts an unknown one is 5.05', () => {
  const ask = (bench: Bench, host: string) =>
    bench.client().ask({ code: '0.01', path: ['test'], options: [[OPT.uriHost, host]] }).code;
  const resources = new Resources(() => {});
  assert.equal(ask(new Bench(resources.handler), 'anything'), '2.05');
  const strict = new Bench(resources.handler, { hosts: ['broker.example', '192.0.2.7'] });
  assert.equal(ask(strict, 'Broker.Example'), '2.05');
  assert.equal(strict.client(41_000).ask({ code: '0.01', path: ['test'] }).code, '2.05');
  assert.equal(
    strict.client(41_001).ask({ code: '0.01', path: ['test'], options: [[OPT.uriHost, 'other']] }).code,
    '5.05',
  );
});

test('IoT-Testware: 2.01, 2.02, 2.04, 2.05, 4.04, 4.05 and an unknown method', () => {
  const client = server().bench.client();
  const ask = (code: string, name: string) => client.ask({ code, path: [name], payload: 'x' }).code;
  assert.equal(ask('0.03', 'fresh'), '2.01');
  assert.equal(ask('0.03', 'fresh'), '2.04');
  assert.equal(ask('0.01', 'fresh'), '2.05');
  assert.equal(ask('0.04', 'fresh'), '2.02');
  assert.equal(ask('0.01', 'fresh'), '4.04');
  assert.equal(ask('0.05', 'test'), '4.05');
  assert.equal(ask('0.08', 'test'), '4.05');
  assert.equal(ask('0.31', 'test'), '4.05');
});

test('what a handler sees of a request', () => {
  let seen: CoapRequest | undefined;
  const bench = new Bench((request, exchange) => {
    seen = request;
    assert.equal(request.payload.toString(), 'body');
    exchange.respond({ code: 0x44 });
  });
  bench.client(43_210).ask({
    type: CON,
    code: '0.03',
    path: ['a', 'b'],
    options: [
      [OPT.ifMatch, Buffer.from([1])],
      [OPT.ifMatch, Buffer.from([2, 3])],
      [OPT.uriHost, 'host'],
      [OPT.contentFormat, 60],
      [OPT.accept, 50],
      [OPT.etag, Buffer.from([9])],
      [OPT.size1, 4],
      [OPT.observe, 1],
    ],
    payload: 'body',
  });
  assert.ok(seen !== undefined);
  assert.equal(seen.method, 3);
  assert.equal(seen.confirmable, true);
  assert.deepEqual(seen.path, ['a', 'b']);
  assert.equal(seen.pathKey, '/a/b');
  assert.deepEqual(seen.query, []);
  assert.equal(seen.uriHost, 'host');
  assert.deepEqual([seen.contentFormat, seen.accept, seen.observe, seen.size1], [60, 50, 1, 4]);
  assert.deepEqual(
    seen.ifMatch.map((tag) => [...tag]),
    [[1], [2, 3]],
  );
  assert.equal(seen.ifNoneMatch, false);
  assert.deepEqual(
    seen.etags.map((tag) => [...tag]),
    [[9]],
  );
  assert.deepEqual([seen.remote.address, seen.remote.port, seen.remote.family], ['192.0.2.1', 43_210, 'IPv4']);
  assert.equal(seen.remote.key, '192.0.2.1:43210');
});

test('RFC 7967: No-Response suppresses by class: an empty ACK for CON, nothing for NON', () => {
  const { bench } = server();
  const client = bench.client();
  const wire = (type: number, path: string, value: number) => ({
    type,
    code: '0.03',
    path: [path],
    payload: 'x',
    options: [[OPT.noResponse, value] as const],
  });
  const quiet = client.ask(wire(CON, 'test', 2));
  assert.deepEqual([quiet.type, quiet.code], [ACK, '0.00']);
  client.send(wire(NON, 'test', 26));
  client.none();
  assert.equal(client.ask(wire(NON, 'test', 24)).code, '2.04');
  assert.equal(client.ask({ ...wire(NON, 'nowhere', 2), code: '0.01' }).code, '4.04');
});

test('a handler that throws is 5.00 and counted; a second answer is ignored', () => {
  const events: string[] = [];
  let kept: CoapExchange | undefined;
  const bench = new Bench(
    (request, exchange) => {
      if (request.method === 1) throw new Error('broken handler');
      kept = exchange;
      exchange.respond({ code: 0x44 });
      assert.equal(exchange.closed, true);
      exchange.respond({ code: 0xa0 });
      throw new Error('after the answer');
    },
    { onEvent: (name, _remote, detail) => events.push(`${name} ${detail.split('\n')[0]}`) },
  );
  const client = bench.client();
  assert.equal(client.ask({ code: '0.01', path: ['x'] }).code, '5.00');
  assert.equal(client.ask({ code: '0.03', path: ['x'] }).code, '2.04');
  kept?.respond({ code: 0x45 });
  client.none();
  assert.equal(bench.endpoint.counters.handlerErrors, 2);
  assert.deepEqual(events, ['handler-error Error: broken handler', 'handler-error Error: after the answer']);
});

test('a handler that never answers: empty ACK, then 5.03, and nothing stays behind', () => {
  const bench = new Bench(() => {}, { transmission: { handlerTimeout: 10_000 } });
  const client = bench.client();
  client.send({ code: '0.01', token: '01', path: ['x'] });
  bench.clock.advance(60);
  assert.equal(client.one().code, '0.00');
  bench.clock.advance(10_000);
  const response = client.one();
  assert.deepEqual([response.type, response.code, response.token], [CON, '5.03', '01']);
  client.acknowledge(response);
  client.send({ type: NON, code: '0.01', token: '02', path: ['x'] });
  bench.clock.advance(10_100);
  const late = client.one();
  assert.deepEqual([late.type, late.code, late.token], [NON, '5.03', '02']);
  assert.equal(bench.endpoint.counters.handlerTimeouts, 2);
  assert.equal(bench.endpoint.tables.pendingExchanges, 0);
  assert.equal(bench.endpoint.tables.timers, 0);
});

test('RFC 7252 4.7: NSTART is 1: a second separate response waits for the ACK of the first', () => {
  const { bench, deferred } = server();
  const client = bench.client();
  client.send({ code: '0.01', token: '01', path: ['separate'] });
  client.send({ code: '0.01', token: '02', path: ['separate'] });
  bench.clock.advance(60);
  assert.equal(client.take().length, 2);
  for (const answer of deferred) answer();
  const first = client.one();
  assert.equal(first.token, '01');
  client.acknowledge(first);
  const second = client.one();
  assert.equal(second.token, '02');
  client.reset(second);
  bench.clock.advance(100_000);
  client.none();
  assert.equal(bench.endpoint.counters.resetsReceived, 1);
});

test('RFC 7252 4.4: message ids are counted for each remote, without a repetition among neighbours', () => {
  const { bench } = server();
  const mids = new Map<number, number[]>();
  for (const port of [1_001, 1_002]) {
    const client = bench.client(port);
    const list: number[] = [];
    for (let round = 0; round < 300; round++) {
      client.send({ type: NON, code: '0.01', path: ['test'], mid: round });
      list.push(client.one().mid);
    }
    mids.set(port, list);
    assert.equal(new Set(list).size, 300);
    for (let index = 1; index < 300; index++) assert.equal(list[index], (list[index - 1] + 1) & 0xffff);
  }
});

test('an answer that breaks an option, or does not fit a datagram, becomes 5.00', () => {
  const answers = [
    { code: 0x41, locationPath: ['x'.repeat(256)] },
    { code: 0x45, etag: Buffer.alloc(9) },
    { code: 0x41, locationPath: new Array<string>(400).fill('y'.repeat(250)) },
  ];
  const bench = new Bench((request, exchange) => exchange.respond(answers[Number(request.path[0])]));
  const client = bench.client();
  for (const index of answers.keys()) assert.equal(client.ask({ code: '0.02', path: [String(index)] }).code, '5.00');
  assert.equal(bench.endpoint.counters.unsendableResponses, 3);
});

test('a closed endpoint answers nothing, and late answers are dropped', async () => {
  const { bench, deferred } = server();
  const client = bench.client();
  client.send({ code: '0.01', path: ['separate'] });
  await bench.endpoint.close();
  deferred[0]();
  client.send({ code: '0.01', path: ['test'] });
  client.none();
  bench.clock.advance(300_000);
  assert.equal(bench.clock.pending, 0);
});
