/** Echo (RFC 9175 2): who has not shown where it is is sent little, and how it shows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoapServerOptions } from '../../src/coap/endpoint.js';
import type { Observation } from '../../src/coap/observe.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';
import {
  Bench,
  block,
  blockValue,
  type Client,
  CON,
  type Decoded,
  encode,
  NON,
  number,
  OPT,
  values,
} from './harness.js';
import { LARGE, Resources } from './resources.js';

/** IPv4 and UDP headers. */
const HEADERS = 28;

function server(options: Partial<CoapServerOptions> = {}): { bench: Bench; resources: Resources; client: Client } {
  const resources = new Resources(() => {});
  const bench = new Bench(resources.handler, { echo: true, ...options });
  return { bench, resources, client: bench.client() };
}

const get = (client: Client, path: string, echo?: Buffer): Decoded =>
  client.ask({ code: '0.01', token: '01', path: [path], options: echo === undefined ? [] : [[OPT.echo, echo]] });

function demanded(answer: Decoded): Buffer {
  assert.equal(answer.code, '4.01');
  const [value] = values(answer, OPT.echo);
  assert.ok(value.length >= 1 && value.length <= 40);
  return value;
}

test('RFC 9175 2.4: a large answer to somebody unknown is 4.01 with Echo; the request with it is served, and all that follow', () => {
  const events: string[] = [];
  const { bench, resources, client } = server({ onEvent: (name, _remote, detail) => events.push(`${name} ${detail}`) });
  const echo = demanded(get(client, 'large'));
  assert.deepEqual(events, ['limit echo']);
  assert.deepEqual(get(client, 'large', echo).payload, LARGE.subarray(0, 1024));
  assert.equal(get(client, 'large').code, '2.05');
  assert.deepEqual([bench.endpoint.counters.echoDemanded, bench.endpoint.counters.echoVerified], [1, 1]);
  // A small answer needs no such thing.
  assert.equal(get(bench.client(41_000), 'test').code, '2.05');
  assert.equal(resources.handled.length, 4);
});

test('RFC 9175 2.3: a value that is stale, forged, of another remote or of another server counts for nothing', () => {
  const { bench, client } = server();
  const echo = demanded(get(client, 'large'));
  const other = bench.client(41_000);
  demanded(get(other, 'large', echo));
  demanded(get(server().client, 'large', echo));
  const forged = Buffer.from(echo);
  forged[forged.length - 1] ^= 1;
  for (const value of [forged, echo.subarray(1), Buffer.alloc(40), Buffer.alloc(12, 0xff)]) {
    demanded(get(client, 'large', value));
  }
  bench.clock.advance(248_000);
  const again = demanded(get(client, 'large', echo));
  assert.equal(bench.endpoint.counters.echoVerified, 0);
  bench.clock.advance(246_000);
  assert.equal(get(client, 'large', again).code, '2.05');
});

test('RFC 9175 2.6: to somebody unknown never more than three times its own bytes go out, whatever it asks', () => {
  const { bench, client } = server();
  let earned = 0;
  let got = 0;
  const paths = ['large', 'test', 'nowhere', '.well-known/core', 'large-post', 'obs-large', 'query'];
  for (let round = 0; round < 700; round++) {
    const wire = {
      type: round % 2,
      code: ['0.01', '0.01', '0.05', '0.03'][round % 4],
      token: '0a',
      mid: round % 300,
      path: paths[round % paths.length].split('/'),
      options: round % 3 === 0 ? [[OPT.block2, blockValue(0, false, 1024)] as const] : [],
      payload: round % 4 === 3 ? 'x' : '',
    };
    earned += encode(wire).length + HEADERS;
    client.send(wire);
    for (const answer of client.take()) got += answer.bytes.length + HEADERS;
    assert.ok(got <= 3 * earned, `${got} bytes for ${earned}`);
  }
  assert.ok(bench.endpoint.counters.echoDemanded > 0);
});

test('RFC 7252 11.3: who asks for blocks gets smaller ones, and an answer to POST is cut instead of refused', () => {
  const { resources, client } = server();
  const early = client.ask({ code: '0.01', path: ['large'], options: [[OPT.block2, blockValue(0, false, 1024)]] });
  assert.equal(early.code, '2.05');
  const size = block(early, OPT.block2)?.size ?? 0;
  assert.ok(size >= 16 && size <= 128, String(size));
  assert.deepEqual(early.payload, LARGE.subarray(0, size));
  const post = client.ask({ code: '0.02', path: ['large-post'], payload: 'p'.repeat(500) });
  assert.deepEqual([post.code, resources.lastBody.length], ['2.04', 500]);
  assert.equal(resources.handled.filter((path) => path === '/large-post').length, 1);
});

test('RFC 9175 2.4: an acknowledged CON shows where a remote is; NON notifications that it has not earned become one', () => {
  let observation: Observation | undefined;
  const ended: string[] = [];
  const bench = new Bench(
    (_request, exchange) => {
      observation = exchange.observe((reason) => ended.push(reason));
      exchange.respond({ code: 0x45 });
    },
    { echo: true, transmission: { notificationInterval: 0 } },
  );
  const register = (client: Client): Decoded =>
    client.ask({ type: NON, code: '0.01', token: '0b', path: ['x'], options: [[OPT.observe, 0]] });
  const state = { code: 0x45, payload: Buffer.alloc(1_000, 1) };
  const client = bench.client();
  assert.notEqual(number(register(client), OPT.observe), undefined);
  observation?.notify(state, false);
  const check = client.one();
  assert.deepEqual([check.type, block(check, OPT.block2)], [CON, { number: 0, more: true, size: 16 }]);
  client.acknowledge(check);
  assert.equal(bench.endpoint.counters.echoVerified, 1);
  observation?.notify(state, false);
  const whole = client.one();
  assert.deepEqual([whole.type, whole.payload.length], [NON, 1_000]);
  // Somebody who never asked acknowledges nothing: it gets one small message with its retransmissions, and no more.
  const victim = bench.client(41_000);
  register(victim);
  for (let round = 0; round < 1_000; round++) {
    observation?.notify(state, false);
    bench.clock.advance(1_000);
  }
  assert.ok(victim.take().length <= 5);
  assert.deepEqual(ended, ['timeout']);
});

test('a registration whose first answer is not earned registers nobody; with Echo it does', () => {
  const { bench, resources, client } = server();
  const register = (...echo: Buffer[]): Decoded =>
    client.ask({
      type: NON,
      code: '0.01',
      token: '0b',
      path: ['obs-large'],
      options: [[OPT.observe, 0], ...echo.map((value): [number, Buffer] => [OPT.echo, value])],
    });
  const refused = register();
  const echo = demanded(refused);
  assert.equal(number(refused, OPT.observe), undefined);
  assert.deepEqual(resources.resource('/obs-large').ended, ['error']);
  assert.equal(bench.endpoint.tables.observers, 0);
  assert.notEqual(number(register(echo), OPT.observe), undefined);
  resources.change('/obs-large', 'small now');
  assert.equal(client.one().payload.toString(), 'small now');
});

test('a separate response that is not earned is 4.01 with Echo too, and its acknowledgement shows where the remote is', () => {
  const answers: (() => void)[] = [];
  const bench = new Bench(
    (_request, exchange) => answers.push(() => exchange.respond({ code: 0x45, payload: Buffer.alloc(900, 1) })),
    { echo: true },
  );
  const client = bench.client();
  const separate = (): Decoded => {
    client.send({ code: '0.01', token: '01', path: ['x'] });
    bench.clock.advance(60);
    assert.equal(client.one().code, '0.00');
    answers.pop()?.();
    return client.one();
  };
  const first = separate();
  assert.equal(first.type, CON);
  demanded(first);
  client.acknowledge(first);
  const second = separate();
  assert.deepEqual([second.type, second.code, second.payload.length], [CON, '2.05', 900]);
});

const OPTIONS = [OPT.observe, OPT.etag, OPT.block2, OPT.block1, OPT.size2, OPT.echo, OPT.noResponse, OPT.accept, 9, 10];
const PATHS = ['large', 'test', 'obs', 'obs-non', 'obs-large', 'query', 'separate', 'large-update', 'location-path'];

/** A request with options that need not make sense, sometimes with a byte turned over. */
function anything(chance: Random): Buffer {
  const bytes = encode({
    type: chance.below(2),
    code: `0.0${chance.pick([1, 1, 1, 2, 3, 5, 6, 7])}`,
    mid: chance.below(0x10000),
    token: 'abcd'.slice(0, 2 * chance.below(3)),
    path: [chance.pick(PATHS)],
    options: Array.from({ length: chance.below(4) }, () => [chance.pick(OPTIONS), chance.below(70)] as const),
    payload: 'x'.repeat(chance.oneIn(3) ? chance.below(100) : 0),
  });
  if (chance.oneIn(4)) bytes[chance.below(bytes.length)] = chance.below(256);
  return bytes;
}

for (const seed of seeds(3)) {
  test('whatever is sent in the name of a victim: it gets three times as much at most, and nothing breaks', () => {
    const chance = new Random(seed);
    const deferred: (() => void)[] = [];
    const resources = new Resources((answer) => deferred.push(answer));
    const bench = new Bench(resources.handler, { echo: true });
    const sent = new Map<number, number>();
    const got = new Map<number, number>();
    for (let round = 0; round < 20_000; round++) {
      const port = 1_000 + chance.below(2_000);
      const bytes = anything(chance);
      sent.set(port, (sent.get(port) ?? 0) + bytes.length + HEADERS);
      bench.transport.receive(bytes, port);
      if (chance.oneIn(20)) deferred.pop()?.();
      if (chance.oneIn(50)) {
        const path = [chance.pick(['obs', 'obs-non', 'obs-large', 'large'])];
        const change = encode({ code: '0.03', mid: round, path, payload: 'y'.repeat(2_000 + chance.below(1_000)) });
        bench.transport.receive(change, 999, '127.0.0.1');
      }
      for (const datagram of bench.transport.sent.splice(0)) {
        got.set(datagram.port, (got.get(datagram.port) ?? 0) + datagram.bytes.length + HEADERS);
      }
    }
    got.delete(999);
    for (const [port, bytes] of got) {
      // One confirmable notification may be under way that is not earned.
      assert.ok(bytes <= 3 * (sent.get(port) ?? 0) + 100, `seed ${seed}: ${bytes} bytes for ${sent.get(port)}`);
    }
    assert.equal(bench.endpoint.counters.internalErrors, 0);
    assert.equal(bench.endpoint.counters.handlerErrors, 0);
    assert.equal(bench.endpoint.counters.echoVerified, 0);
    assert.ok(bench.endpoint.counters.echoDemanded > 100);
  });
}

test('a security association and this machine itself have nothing to show', () => {
  const { bench } = server();
  const request = (mid: number): Buffer => encode({ code: '0.01', mid, path: ['large'] });
  bench.transport.receive(request(1), 1_000, '127.0.0.1');
  bench.transport.onDatagram?.(request(2), { address: '::1', port: 1_001, family: 'IPv6' });
  bench.transport.onDatagram?.(request(3), { address: '192.0.2.1', port: 1_002, family: 'IPv4', key: 'association' });
  for (const { bytes } of bench.transport.sent) assert.equal(bytes[1], 0x45);
  assert.equal(bench.transport.sent.length, 3);
});
