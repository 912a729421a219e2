/** ETSI TD_COAP_BLOCK 01-06, and what RFC 7959 and RFC 9175 say beyond them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoapServerOptions } from '../../src/coap/endpoint.js';
import {
  Bench,
  block,
  blockValue,
  type Client,
  type Decoded,
  number,
  OPT,
  type OptionValue,
  values,
} from './harness.js';
import { LARGE, Resources } from './resources.js';

function server(options: Partial<CoapServerOptions> = {}): { bench: Bench; resources: Resources; client: Client } {
  const resources = new Resources(() => {});
  const bench = new Bench(resources.handler, options);
  return { bench, resources, client: bench.client() };
}

function getBlock(client: Client, path: string, index: number, size: number, options: [number, OptionValue][] = []) {
  return client.ask({
    code: '0.01',
    token: String(10 + (index % 80)),
    path: [path],
    options: [[OPT.block2, blockValue(index, false, size)], ...options],
  });
}

/** Fetches a whole resource block by block; the first request carries Block2 only if `early`. */
function fetch(client: Client, path: string, size: number, early = true): Buffer {
  const parts: Buffer[] = [];
  let used = size;
  for (let index = 0; ; ) {
    const response =
      index === 0 && !early ? client.ask({ code: '0.01', path: [path] }) : getBlock(client, path, index, used);
    assert.equal(response.code, '2.05');
    const answered = block(response, OPT.block2);
    assert.ok(answered !== undefined);
    assert.ok(answered.size <= used || !early);
    assert.equal(answered.number * answered.size, Buffer.concat(parts).length);
    parts.push(response.payload);
    if (!answered.more) return Buffer.concat(parts);
    assert.equal(response.payload.length, answered.size);
    used = Math.min(size, answered.size);
    index = Buffer.concat(parts).length / used;
  }
}

/** Sends a body block by block; returns every answer. */
function sendBlocks(
  client: Client,
  path: string,
  body: Buffer,
  size: number,
  options: [number, OptionValue][] = [],
  code = '0.03',
): Decoded[] {
  const answers: Decoded[] = [];
  for (let index = 0; index * size < body.length; index++) {
    const more = (index + 1) * size < body.length;
    const answer = client.ask({
      code,
      // A token of its own for each block, as libcoap does.
      token: (0x1000 + index).toString(16),
      path: [path],
      options: [[OPT.block1, blockValue(index, more, size)], ...options],
      payload: body.subarray(index * size, (index + 1) * size),
    });
    answers.push(answer);
    if (answer.code !== '2.31') break;
  }
  return answers;
}

test('TD_COAP_BLOCK_01: GET with early negotiation: every block right, the server may lower SZX', () => {
  const { client } = server();
  for (const size of [64, 256, 512, 1024]) assert.deepEqual(fetch(client, 'large', size), LARGE);
  const lowering = server({ limits: { blockSize: 128 } }).client;
  assert.equal(block(getBlock(lowering, 'large', 0, 1024), OPT.block2)?.size, 128);
  assert.deepEqual(fetch(lowering, 'large', 1024), LARGE);
  // Lowered in the middle: block 1 of 1024 starts where block 8 of 128 does.
  assert.deepEqual(block(getBlock(lowering, 'large', 1, 1024), OPT.block2), { number: 8, more: true, size: 128 });
});

test('TD_COAP_BLOCK_02: GET without Block2 is answered with block 0, and the client goes on with smaller blocks', () => {
  const { client, resources } = server();
  const first = client.ask({ code: '0.01', path: ['large'] });
  assert.deepEqual(block(first, OPT.block2), { number: 0, more: true, size: 1024 });
  assert.deepEqual(fetch(client, 'large', 1024, false), LARGE);
  assert.deepEqual(fetch(client, 'large', 64, false), LARGE);
  // The later blocks come from the body that was kept: one handler call for each transfer.
  assert.equal(resources.handled.length, 3);
});

test('TD_COAP_BLOCK_03: PUT with Block1: 2.31 with Block1 echoed, 2.04 with Block1 at the end', () => {
  const { client, resources, bench } = server();
  const answers = sendBlocks(client, 'large-update', LARGE, 256);
  const blocks = answers.map((answer) => block(answer, OPT.block1));
  assert.deepEqual(
    answers.map((answer) => answer.code),
    [...new Array<string>(answers.length - 1).fill('2.31'), '2.04'],
  );
  for (const [index, answered] of blocks.entries()) {
    assert.deepEqual(answered, { number: index, more: index < blocks.length - 1, size: 256 });
  }
  assert.deepEqual(resources.lastBody, LARGE);
  assert.equal(resources.handled.length, 1);
  assert.equal(bench.endpoint.counters.block1Completed, 1);
  assert.equal(bench.endpoint.tables.block1Bodies, 0);
  assert.equal(bench.endpoint.tables.block1Bytes, 0);
});

test('TD_COAP_BLOCK_04: POST with Block1 ends in 2.01 with Location-Path', () => {
  const { client, resources } = server();
  const answer = sendBlocks(client, 'large-create', LARGE, 512, [], '0.02').at(-1);
  assert.ok(answer !== undefined);
  assert.equal(answer.code, '2.01');
  assert.deepEqual(values(answer, OPT.locationPath).map(String), ['created', '1']);
  assert.deepEqual(resources.lastBody, LARGE);
});

test('TD_COAP_BLOCK_05: POST with Block1, then Block2 in the answer: handled once', () => {
  const { client, resources } = server();
  const answer = sendBlocks(client, 'large-post', LARGE, 256, [[OPT.contentFormat, 0]], '0.02').at(-1);
  assert.ok(answer !== undefined);
  assert.equal(answer.code, '2.04');
  assert.deepEqual(block(answer, OPT.block1)?.more, false);
  const parts = [answer.payload];
  for (let index = 1; block(answer, OPT.block2)?.more; index++) {
    const size = block(answer, OPT.block2)!.size;
    const next = client.ask({
      code: '0.02',
      path: ['large-post'],
      options: [[OPT.block2, blockValue(index, false, size)]],
    });
    assert.equal(next.code, '2.04');
    assert.deepEqual(values(next, OPT.etag), values(answer, OPT.etag));
    parts.push(next.payload);
    if (!block(next, OPT.block2)?.more) break;
  }
  assert.deepEqual(Buffer.concat(parts), Buffer.from(LARGE).reverse());
  assert.deepEqual(resources.handled, ['/large-post']);
});

test('TD_COAP_BLOCK_06: GET with 16-byte blocks', () => {
  assert.deepEqual(fetch(server().client, 'large', 16), LARGE);
});

test('RFC 7959 2.9.2: a missing block, and a block without its beginning, are 4.08', () => {
  const { client, bench } = server();
  const send = (index: number, more: boolean, options: [number, OptionValue][] = []) =>
    client.ask({
      code: '0.03',
      path: ['large-update'],
      options: [[OPT.block1, blockValue(index, more, 16)], ...options],
      payload: Buffer.alloc(16, index),
    }).code;
  assert.equal(send(3, true), '4.08');
  assert.equal(send(0, true), '2.31');
  assert.equal(send(2, true), '4.08');
  assert.equal(send(2, false), '4.08');
  // What is there stays: the missing block may still come.
  assert.equal(send(1, true), '2.31');
  assert.equal(send(2, false), '2.04');
  assert.equal(send(1_048_575, true), '4.13');
  assert.equal(bench.endpoint.counters.block1Incomplete, 3);
});

test('RFC 7959 2.9.3: a body that is too large is 4.13 with Size1, by its blocks or by its own announcement', () => {
  const { client, bench } = server({ limits: { bodyBytes: 1_000 } });
  const answers = sendBlocks(client, 'large-update', LARGE, 256);
  assert.deepEqual(
    answers.map((answer) => answer.code),
    ['2.31', '2.31', '2.31', '4.13'],
  );
  assert.equal(number(answers[3], OPT.size1), 1_000);
  assert.equal(bench.endpoint.tables.block1Bodies, 0);
  const [announced] = sendBlocks(client, 'large-update', LARGE, 256, [[OPT.size1, LARGE.length]]);
  assert.equal(announced.code, '4.13');
  assert.equal(number(announced, OPT.size1), 1_000);
  const single = client.ask({ code: '0.03', path: ['large-update'], payload: Buffer.alloc(1_001) });
  assert.equal(single.code, '4.13');
  assert.equal(number(single, OPT.size1), 1_000);
  assert.equal(client.ask({ code: '0.03', path: ['large-update'], payload: Buffer.alloc(1_000) }).code, '2.04');
  assert.equal(bench.endpoint.counters.block1TooLarge, 3);
});

test('RFC 7959 2.2: SZX 7 is 4.00 in both options', () => {
  const { client } = server();
  assert.equal(client.ask({ code: '0.03', path: ['test'], options: [[OPT.block1, 7]], payload: 'x' }).code, '4.00');
  assert.equal(client.ask({ code: '0.01', path: ['test'], options: [[OPT.block2, 7]] }).code, '4.00');
});

test('RFC 7959 2.2: an empty block option is block 0 without more, of 16 bytes', () => {
  const { client, resources } = server();
  const answer = client.ask({ code: '0.03', path: ['test'], options: [[OPT.block1, '']], payload: 'sixteen' });
  assert.equal(answer.code, '2.04');
  assert.deepEqual(block(answer, OPT.block1), { number: 0, more: false, size: 16 });
  assert.equal(resources.lastBody.toString(), 'sixteen');
  const get = client.ask({ code: '0.01', path: ['large'], options: [[OPT.block2, '']] });
  assert.deepEqual(block(get, OPT.block2), { number: 0, more: true, size: 16 });
});

test('RFC 7959 2.2: a block that is not last is exactly its size, the last one no longer', () => {
  const { client } = server();
  const send = (value: number, length: number) =>
    client.ask({ code: '0.03', path: ['test'], options: [[OPT.block1, value]], payload: Buffer.alloc(length, 1) }).code;
  assert.equal(send(blockValue(0, true, 64), 63), '4.00');
  assert.equal(send(blockValue(0, true, 64), 65), '4.00');
  assert.equal(send(blockValue(0, false, 64), 65), '4.00');
  assert.equal(send(blockValue(0, true, 64), 0), '4.00');
});

test('RFC 7959 2.1: Block1 does not apply to GET and DELETE', () => {
  const { client } = server();
  assert.equal(client.ask({ code: '0.01', path: ['test'], options: [[OPT.block1, 0]] }).code, '4.02');
  assert.equal(client.ask({ code: '0.04', path: ['test'], options: [[OPT.block1, 0]] }).code, '4.02');
});

test('RFC 7959 2.5: bodies are told apart by endpoint and request options, never by token', () => {
  const { bench, resources, client } = server();
  const other = bench.client(41_000);
  const send = (from: Client, path: string, index: number, more: boolean, fill: number) =>
    from.ask({
      code: '0.03',
      token: 'aa',
      path: [path],
      options: [[OPT.block1, blockValue(index, more, 16)]],
      payload: Buffer.alloc(16, fill),
    }).code;
  assert.equal(send(client, 'one', 0, true, 1), '2.31');
  assert.equal(send(client, 'two', 0, true, 2), '2.31');
  assert.equal(send(other, 'one', 0, true, 3), '2.31');
  assert.equal(bench.endpoint.tables.block1Bodies, 3);
  assert.equal(send(client, 'one', 1, false, 1), '2.01');
  assert.deepEqual(resources.lastBody, Buffer.alloc(32, 1));
  assert.equal(send(client, 'two', 1, false, 2), '2.01');
  assert.deepEqual(resources.lastBody, Buffer.alloc(32, 2));
  assert.equal(send(other, 'one', 1, false, 3), '2.04');
  assert.deepEqual(resources.lastBody, Buffer.alloc(32, 3));
});

test('RFC 9175 3.3: Request-Tag keeps parallel bodies for one resource apart', () => {
  const { resources, client } = server();
  const send = (tag: string, index: number, more: boolean) =>
    client.ask({
      code: '0.03',
      path: ['tagged'],
      options: [
        [OPT.block1, blockValue(index, more, 16)],
        [OPT.requestTag, tag],
      ],
      payload: Buffer.alloc(16, tag),
    }).code;
  assert.equal(send('a', 0, true), '2.31');
  assert.equal(send('b', 0, true), '2.31');
  assert.equal(send('a', 1, false), '2.01');
  assert.equal(resources.lastBody.toString(), 'a'.repeat(32));
  assert.equal(send('b', 1, false), '2.04');
  assert.equal(resources.lastBody.toString(), 'b'.repeat(32));
});

test('RFC 7959 2.5: block 0 starts over; the last block may be repeated in a new message', () => {
  const { resources, client } = server();
  const send = (index: number, more: boolean, fill: string) =>
    client.ask({
      code: '0.03',
      path: ['again'],
      options: [[OPT.block1, blockValue(index, more, 16)]],
      payload: Buffer.alloc(16, fill),
    }).code;
  assert.equal(send(0, true, 'x'), '2.31');
  assert.equal(send(1, true, 'x'), '2.31');
  assert.equal(send(0, true, 'a'), '2.31');
  assert.equal(send(1, true, 'b'), '2.31');
  assert.equal(send(1, true, 'b'), '2.31');
  assert.equal(send(2, false, 'c'), '2.01');
  assert.equal(resources.lastBody.toString(), 'a'.repeat(16) + 'b'.repeat(16) + 'c'.repeat(16));
});

test('RFC 7959 2.3: the server asks for smaller request blocks with its answer to the first', () => {
  const { client, resources } = server({ limits: { blockSize: 64 } });
  const first = client.ask({
    code: '0.03',
    path: ['shrinking'],
    options: [[OPT.block1, blockValue(0, true, 256)]],
    payload: Buffer.alloc(256, 1),
  });
  assert.deepEqual(block(first, OPT.block1), { number: 0, more: true, size: 64 });
  const last = client.ask({
    code: '0.03',
    path: ['shrinking'],
    options: [[OPT.block1, blockValue(4, false, 64)]],
    payload: Buffer.alloc(10, 2),
  });
  assert.equal(last.code, '2.01');
  assert.deepEqual(resources.lastBody, Buffer.concat([Buffer.alloc(256, 1), Buffer.alloc(10, 2)]));
});

test('RFC 7959 2.4: blocks of one transfer come from one body and carry its ETag, though the resource changes', () => {
  const { client, resources } = server();
  const first = getBlock(client, 'large', 0, 1024);
  resources.change('/large', Buffer.alloc(3_000, 0x7a));
  const second = getBlock(client, 'large', 1, 1024);
  assert.deepEqual(values(second, OPT.etag), values(first, OPT.etag));
  assert.deepEqual(second.payload, LARGE.subarray(1024, 2048));
  const anew = getBlock(client, 'large', 0, 1024);
  assert.notDeepEqual(values(anew, OPT.etag), values(first, OPT.etag));
  const rest = getBlock(client, 'large', 1, 1024);
  assert.deepEqual(values(rest, OPT.etag), values(anew, OPT.etag));
  assert.deepEqual(rest.payload, Buffer.alloc(1024, 0x7a));
});

test('RFC 7959 2.4: without a kept body a GET starts anywhere, and its ETag tells a change', () => {
  const { bench, client, resources } = server();
  const middle = getBlock(client, 'large', 1, 512);
  assert.deepEqual(middle.payload, LARGE.subarray(512, 1024));
  bench.clock.advance(300_000);
  assert.equal(bench.endpoint.tables.block2Bodies, 0);
  assert.equal(bench.endpoint.counters.block2Expired, 1);
  resources.change('/large', Buffer.alloc(3_000, 0x7a));
  assert.notDeepEqual(values(getBlock(client, 'large', 1, 512), OPT.etag), values(middle, OPT.etag));
});

test('RFC 7959 2.4: a block beyond the end is 4.00; of a POST whose body is gone 4.08', () => {
  const { client } = server();
  assert.equal(getBlock(client, 'large', 100, 1024).code, '4.00');
  assert.equal(getBlock(client, 'test', 1, 16).code, '4.00');
  assert.equal(getBlock(client, 'nowhere', 1, 16).code, '4.04');
  const post = client.ask({ code: '0.02', path: ['large-post'], options: [[OPT.block2, blockValue(1, false, 64)]] });
  assert.equal(post.code, '4.08');
});

test('RFC 7959 2.4: a small body asked for with Block2 says that there is no more', () => {
  const answer = getBlock(server().client, 'test', 0, 64);
  assert.deepEqual(block(answer, OPT.block2), { number: 0, more: false, size: 64 });
  assert.equal(answer.payload.toString(), 'a test');
});

test('RFC 7959 4: Size2 is told on request', () => {
  const { client } = server();
  assert.equal(number(getBlock(client, 'large', 0, 64), OPT.size2), undefined);
  assert.equal(number(getBlock(client, 'large', 0, 64, [[OPT.size2, 0]]), OPT.size2), LARGE.length);
  assert.equal(number(client.ask({ code: '0.01', path: ['test'], options: [[OPT.size2, 0]] }), OPT.size2), 6);
});

test('a body without an ETag of its own gets one', () => {
  const payload = Buffer.alloc(2_000, 1);
  const bench = new Bench((_request, exchange) => exchange.respond({ code: 0x45, payload }));
  const client = bench.client();
  const first = client.ask({ code: '0.01', path: ['x'] });
  const second = client.ask({ code: '0.01', path: ['x'], options: [[OPT.block2, blockValue(1, false, 1024)]] });
  assert.equal(values(first, OPT.etag)[0].length, 8);
  assert.deepEqual(values(second, OPT.etag), values(first, OPT.etag));
});

test('request bodies are bounded by number and bytes, the oldest goes, and age ends them', () => {
  const { bench } = server({ limits: { block1Bodies: 10, block1Bytes: 64 * 1024 } });
  const start = (port: number) =>
    bench.client(port).ask({
      code: '0.03',
      path: ['x'],
      options: [[OPT.block1, blockValue(0, true, 1024)]],
      payload: Buffer.alloc(1024),
    }).code;
  for (let port = 1_000; port < 1_100; port++) assert.equal(start(port), '2.31');
  assert.equal(bench.endpoint.tables.block1Bodies, 10);
  assert.equal(bench.endpoint.counters.block1Evictions, 90);
  // One body that grows pushes the others out.
  const client = bench.client(5_000);
  assert.equal(sendBlocks(client, 'y', Buffer.alloc(60 * 1024), 1024).at(-1)?.code, '2.01');
  assert.ok(bench.endpoint.tables.block1Bytes <= 64 * 1024);
  start(6_000);
  bench.clock.advance(248_000);
  assert.equal(bench.endpoint.tables.block1Bodies, 0);
  assert.equal(bench.endpoint.tables.block1Bytes, 0);
  assert.ok(bench.endpoint.counters.block1Expired > 0);
  assert.equal(bench.endpoint.tables.timers, 0);
});

test('response bodies are bounded by number and bytes; one payload for many clients counts once', () => {
  const { bench } = server({ limits: { block2Bodies: 10, block2Bytes: 5_000 } });
  for (let port = 1_000; port < 1_100; port++) getBlock(bench.client(port), 'large', 0, 64);
  assert.equal(bench.endpoint.tables.block2Bodies, 10);
  assert.equal(bench.endpoint.tables.block2Bytes, LARGE.length);
  assert.equal(bench.endpoint.counters.block2Evictions, 90);
  const own = new Bench((_request, exchange) => exchange.respond({ code: 0x45, payload: Buffer.alloc(2_000) }), {
    limits: { block2Bytes: 5_000 },
  });
  for (let port = 1_000; port < 1_100; port++) own.client(port).ask({ code: '0.01', path: ['x'] });
  assert.equal(own.endpoint.tables.block2Bodies, 2);
  assert.equal(own.endpoint.tables.block2Bytes, 4_000);
});
