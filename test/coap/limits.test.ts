/** Every table of the endpoint is bounded, and every bound is counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoapExchange } from '../../src/coap/exchange.js';
import { PathReader, pathKey } from '../../src/coap/paths.js';
import type { DatagramAddress } from '../../src/coap/transport.js';
import { Bench, encode, NON, number, OPT } from './harness.js';

test('remotes are bounded: idle ones leave, those used lately and busy ones stay', () => {
  const events: string[] = [];
  const bench = new Bench(
    (request, exchange) => {
      if (request.observe === 0) exchange.observe(() => {});
      exchange.respond({ code: 0x45 });
    },
    { limits: { remotes: 100 }, onEvent: (name, _remote, detail) => events.push(`${name} ${detail}`) },
  );
  const observer = bench.client(1);
  observer.ask({ type: NON, code: '0.01', path: ['x'], options: [[OPT.observe, 0]] });
  const regular = bench.client(2);
  const request = encode({ code: '0.03', path: ['x'], mid: 9 });
  regular.raw(request);
  const answer = regular.one();
  for (let port = 1_000; port < 3_000; port++) {
    bench.client(port).ask({ code: '0.03', path: ['x'] });
    if (port % 40 === 0) {
      regular.raw(request);
      assert.deepEqual(regular.one().bytes, answer.bytes);
    }
  }
  assert.equal(bench.endpoint.tables.remotes, 100);
  assert.equal(bench.endpoint.tables.observers, 1);
  assert.equal(bench.endpoint.counters.remoteEvictions, 1_902);
  // The regular one was never forgotten: its request was handled once.
  assert.equal(bench.endpoint.counters.requests, 2_002);
  assert.deepEqual(events, []);
});

test('remotes that came once are forgotten after EXCHANGE_LIFETIME, when others come; observers and regular ones stay', () => {
  const bench = new Bench((request, exchange) => {
    if (request.observe === 0) exchange.observe(() => {});
    exchange.respond({ code: 0x45 });
  });
  bench.client(1).ask({ type: NON, code: '0.01', path: ['x'], options: [[OPT.observe, 0]] });
  const regular = bench.client(2);
  for (let round = 0; round < 5; round++) {
    for (let port = 0; port < 50; port++) bench.client(10_000 + round * 100 + port).ask({ code: '0.03', path: ['x'] });
    regular.ask({ code: '0.03', path: ['x'] });
    bench.clock.advance(247_000);
  }
  bench.client(3).ask({ code: '0.03', path: ['x'] });
  // The observer, the regular one, the new one, and those of the last round.
  assert.equal(bench.endpoint.tables.remotes, 53);
  assert.equal(bench.endpoint.tables.observers, 1);
  assert.equal(bench.endpoint.counters.remoteEvictions, 0);
});

test('when every remote is busy a new one is dropped, and counted', () => {
  const events: string[] = [];
  const bench = new Bench(
    (_request, exchange) => {
      exchange.observe(() => {});
      exchange.respond({ code: 0x45 });
    },
    { limits: { remotes: 10 }, onEvent: (name, _remote, detail) => events.push(`${name} ${detail}`) },
  );
  for (let port = 1; port <= 12; port++) {
    bench.client(port).send({ type: NON, code: '0.01', path: ['x'], options: [[OPT.observe, 0]] });
  }
  assert.equal(bench.endpoint.tables.remotes, 10);
  assert.equal(bench.endpoint.counters.droppedRemotes, 2);
  assert.deepEqual(events, ['limit remotes', 'limit remotes']);
});

test('exchanges that wait are bounded, in all and for each remote: 5.03', () => {
  const waiting: CoapExchange[] = [];
  const bench = new Bench((_request, exchange) => waiting.push(exchange), {
    limits: { pendingExchanges: 5, pendingExchangesPerRemote: 3 },
  });
  const first = bench.client(1);
  for (let index = 0; index < 4; index++) first.send({ code: '0.01', path: ['x'] });
  assert.equal(first.one().code, '5.03');
  const second = bench.client(2);
  for (let index = 0; index < 3; index++) second.send({ code: '0.01', path: ['x'] });
  const refused = second.one();
  assert.equal(refused.code, '5.03');
  assert.equal(number(refused, OPT.maxAge), 2);
  assert.equal(bench.endpoint.counters.refusedExchanges, 1);
  assert.equal(bench.endpoint.counters.refusedExchangesPerRemote, 1);
  for (const exchange of waiting) exchange.respond({ code: 0x45 });
  assert.equal(bench.endpoint.tables.pendingExchanges, 0);
  assert.equal(first.take().length, 3);
});

test('separate responses are bounded, in all and for each remote: those beyond are dropped', () => {
  const waiting: CoapExchange[] = [];
  const bench = new Bench((_request, exchange) => waiting.push(exchange), {
    limits: { separateResponses: 5, separateResponsesPerRemote: 3 },
  });
  for (const port of [1, 2]) {
    for (let index = 0; index < 6; index++) bench.client(port).send({ code: '0.01', path: ['x'], mid: index });
  }
  bench.clock.advance(60);
  for (const exchange of waiting) exchange.respond({ code: 0x45 });
  assert.equal(bench.endpoint.tables.separateResponses, 5);
  assert.equal(bench.endpoint.counters.droppedSeparateResponses, 4);
  assert.equal(bench.endpoint.counters.droppedSeparateResponsesPerRemote, 3);
  bench.clock.advance(100_000);
  assert.equal(bench.endpoint.tables.separateResponses, 0);
  assert.equal(bench.endpoint.counters.transmissionTimeouts, 2);
  assert.equal(bench.endpoint.tables.timers, 0);
});

test('requests without number leave no more behind than the budgets allow', () => {
  const bench = new Bench((_request, exchange) => exchange.respond({ code: 0x45, payload: Buffer.from('x') }), {
    limits: { remotes: 50 },
  });
  bench.transport.keep = false;
  for (let round = 0; round < 100_000; round++) {
    bench.transport.receive(encode({ code: '0.01', mid: round & 0xffff, path: [`p${round}`] }), 1_000 + (round % 200));
  }
  const tables = bench.endpoint.tables;
  assert.equal(bench.endpoint.counters.requests, 100_000);
  assert.equal(tables.remotes, 50);
  assert.ok(tables.deduplicationBytes <= 256 * 1024);
  assert.ok(tables.paths <= 8_192);
  assert.equal(tables.timers, 0);
  assert.equal(tables.pendingExchanges, 0);
});

test('a security association is one remote, and answers follow it to its new address', () => {
  const keys: string[] = [];
  const session = { identity: 'device-7' };
  const exchanges: CoapExchange[] = [];
  const bench = new Bench((request, exchange) => {
    assert.equal(request.remote.session, session);
    keys.push(request.remote.key);
    exchanges.push(exchange);
  });
  const from = (port: number): DatagramAddress => ({
    address: '192.0.2.9',
    port,
    family: 'IPv4',
    key: 'dtls-7',
    session,
  });
  bench.transport.onDatagram?.(encode({ code: '0.01', path: ['x'], mid: 1 }), from(1_000));
  bench.transport.onDatagram?.(encode({ code: '0.01', path: ['x'], mid: 1 }), from(2_000));
  assert.equal(bench.endpoint.counters.duplicates, 1);
  exchanges[0].respond({ code: 0x45 });
  assert.deepEqual(
    bench.transport.sent.map((datagram) => datagram.port),
    [2_000],
  );
  assert.deepEqual(keys, ['dtls-7']);
});

test('a path key tells every list of segments from every other', () => {
  const lists = [
    [],
    [''],
    ['', ''],
    ['a'],
    ['a', ''],
    ['', 'a'],
    ['a/b'],
    ['a', 'b'],
    ['a%2Fb'],
    ['%'],
    ['%25'],
    ['/'],
  ];
  assert.equal(new Set(lists.map(pathKey)).size, lists.length);
  assert.equal(pathKey(['devices', 'temp']), '/devices/temp');
});

test('the memory of paths starts over when it is full, and never mixes paths up', () => {
  const reader = new PathReader();
  for (let index = 0; index < 20_000; index++) {
    const name = Buffer.from(`segment-${index}`);
    const path = reader.read(name, 0, name.length, name.length, [0], [name.length], 0, 1);
    assert.equal(path?.key, `/segment-${index}`);
    assert.ok(reader.size <= 8_192);
  }
  // Bytes that read alike from the first value on: "a", "b" against one segment that holds the second one's header.
  const two = Buffer.from([0x61, 0x01, 0x62]);
  assert.equal(reader.read(two, 0, 1, 3, [0, 2], [1, 1], 0, 2)?.key, '/a/b');
  assert.equal(reader.read(two, 0, 3, 3, [0], [3], 0, 1)?.key, '/a\u0001b');
});

test('remotes that are gone leave their places to others, whatever their order', () => {
  const bench = new Bench((_request, exchange) => exchange.respond({ code: 0x45 }), { limits: { remotes: 8 } });
  const at = (port: number): DatagramAddress => ({ address: '192.0.2.1', port, family: 'IPv4', key: `k${port}` });
  const ask = (port: number): void => {
    bench.transport.onDatagram?.(encode({ type: NON, code: '0.01', path: ['x'], mid: port }), at(port));
  };
  for (let port = 1; port <= 8; port++) ask(port);
  for (const port of [8, 1, 4, 4]) bench.transport.onGone?.(at(port), 'gone');
  assert.equal(bench.endpoint.tables.remotes, 5);
  for (let port = 11; port <= 13; port++) ask(port);
  assert.equal(bench.endpoint.tables.remotes, 8);
  assert.equal(bench.endpoint.counters.remoteEvictions, 0);
  for (let port = 21; port <= 40; port++) ask(port);
  assert.equal(bench.endpoint.tables.remotes, 8);
  assert.equal(bench.endpoint.counters.remoteEvictions, 20);
  for (let port = 1; port <= 40; port++) bench.transport.onGone?.(at(port), 'gone');
  assert.equal(bench.endpoint.tables.remotes, 0);
});
