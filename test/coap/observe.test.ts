/** ETSI TD_COAP_OBS 01-14, and what RFC 7641 says beyond them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Core } from '../../src/coap/core.js';
import type { CoapServerOptions } from '../../src/coap/endpoint.js';
import type { CoapExchange } from '../../src/coap/exchange.js';
import { Message, parseMessage } from '../../src/coap/message.js';
import { type Observation, Observer } from '../../src/coap/observe.js';
import { Request } from '../../src/coap/request.js';
import {
  ACK,
  Bench,
  block,
  blockValue,
  type Client,
  CON,
  type Decoded,
  decode,
  encode,
  FakeClock,
  MemoryTransport,
  NON,
  number,
  OPT,
  values,
} from './harness.js';
import { LARGE, Resources } from './resources.js';

interface Server {
  readonly bench: Bench;
  readonly resources: Resources;
  readonly client: Client;
}

function server(options: Partial<CoapServerOptions> = {}): Server {
  const resources = new Resources(() => {});
  const bench = new Bench(resources.handler, options);
  return { bench, resources, client: bench.client() };
}

function register(client: Client, path: string, type = CON, token = '0b', observe = 0): Decoded {
  return client.ask({ type, code: '0.01', token, path: [path], options: [[OPT.observe, observe]] });
}

/** RFC 7641 3.4: is `later` newer than `earlier`? */
function isNewer(later: number | undefined, earlier: number | undefined): boolean {
  assert.ok(later !== undefined && earlier !== undefined && later <= 0xffffff);
  const distance = (later - earlier) & 0xffffff;
  return distance > 0 && distance < 1 << 23;
}

test('TD_COAP_OBS_01: a CON registration is answered with Observe, then CON notifications follow in order', () => {
  const { resources, client } = server();
  let last = register(client, 'obs');
  assert.deepEqual([last.type, last.code, last.token, last.payload.toString()], [ACK, '2.05', '0b', 'state 0']);
  for (let state = 1; state <= 20; state++) {
    resources.change('/obs', `state ${state}`);
    const next = client.one();
    assert.deepEqual([next.type, next.code, next.token], [CON, '2.05', '0b']);
    assert.equal(next.payload.toString(), `state ${state}`);
    assert.equal(number(next, OPT.contentFormat), number(last, OPT.contentFormat));
    assert.ok(isNewer(number(next, OPT.observe), number(last, OPT.observe)));
    client.acknowledge(next);
    last = next;
  }
});

test('TD_COAP_OBS_02: a NON registration gets NON notifications with message ids of the server', () => {
  const { resources, client, bench } = server();
  const first = register(client, 'obs-non', NON);
  assert.deepEqual([first.type, first.code], [NON, '2.05']);
  let last = first;
  for (let state = 1; state <= 20; state++) {
    bench.clock.advance(3_000);
    resources.change('/obs-non', `state ${state}`);
    const next = client.one();
    assert.deepEqual([next.type, next.token, next.payload.toString()], [NON, '0b', `state ${state}`]);
    assert.ok(isNewer(number(next, OPT.observe), number(last, OPT.observe)));
    assert.equal(next.mid, (last.mid + 1) & 0xffff);
    last = next;
  }
  assert.equal(bench.endpoint.counters.notifications, 20);
});

test('RFC 7641 4.5: of the notifications to a NON registration every so many one is CON', () => {
  const values = new Set<Observation>();
  const bench = new Bench(
    (_request, exchange) => {
      const observation = exchange.observe(() => {});
      if (observation !== undefined) values.add(observation);
      exchange.respond({ code: 0x45 });
    },
    { transmission: { confirmableEvery: 5 } },
  );
  const client = bench.client();
  register(client, 'x', NON);
  const types: number[] = [];
  for (let state = 0; state < 12; state++) {
    for (const observation of values) observation.notify({ code: 0x45 });
    const next = client.one();
    types.push(next.type);
    if (next.type === CON) client.acknowledge(next);
  }
  assert.deepEqual(types, [NON, NON, NON, NON, CON, NON, NON, NON, NON, CON, NON, NON]);
});

test('RFC 7641 4.5: within 24 hours without a CON the present state is repeated as one', () => {
  const { bench, resources, client } = server();
  register(client, 'obs-non', NON);
  for (let hour = 1; hour < 24; hour++) {
    bench.clock.advance(3_600_000);
    resources.change('/obs-non', `hour ${hour}`);
    assert.equal(client.one().type, NON);
  }
  bench.clock.advance(3_600_000);
  const check = client.take();
  assert.deepEqual([check[0].type, check[0].payload.toString()], [CON, 'hour 23']);
  client.acknowledge(check[0]);
  bench.clock.advance(100_000);
  assert.deepEqual(
    client.take().filter((message) => message.mid !== check[0].mid),
    [],
  );
  assert.equal(bench.endpoint.tables.observers, 1);
});

test('coap.observer_check: an observer of NON notifications confirms its interest in time, or is dropped', () => {
  const { bench, resources, client } = server({ transmission: { confirmableInterval: 40_000 } });
  register(client, 'obs-non', NON);
  for (let round = 0; round < 3; round++) {
    bench.clock.advance(40_000);
    const [check] = client.take();
    assert.deepEqual([check.type, check.payload.toString()], [CON, 'state 0']);
    client.acknowledge(check);
  }
  bench.clock.advance(150_000);
  assert.deepEqual(resources.resource('/obs-non').ended, ['timeout']);
});

test('RFC 7641 4.5.1: NON notifications keep to one in 3 seconds on average; those beyond go as CON, one at a time', () => {
  const { bench, resources, client } = server();
  register(client, 'obs-non', NON);
  const types: number[] = [];
  for (let state = 0; state < 20; state++) {
    resources.change('/obs-non', `state ${state}`);
    types.push(...client.take().map(({ type }) => type));
  }
  // Eight at once; then one that waits for its acknowledgement, and one state behind it, the newest.
  assert.deepEqual(types, [...new Array<number>(8).fill(NON), CON]);
  assert.equal(bench.endpoint.counters.notificationsPaced, 1);
  assert.equal(bench.endpoint.counters.notificationsReplaced, 10);
});

test('RFC 7641 4.5.1: once an acknowledgement has told the round-trip time, NON notifications keep to one in it', () => {
  const { bench, resources, client } = server();
  const sent = (): number[] => client.take().map(({ type }) => type);
  register(client, 'obs-non', NON);
  for (let state = 0; state < 9; state++) resources.change('/obs-non', `state ${state}`);
  const last = client.take().at(-1);
  assert.ok(last?.type === CON);
  bench.clock.advance(200);
  client.acknowledge(last);
  for (let state = 0; state < 100; state++) {
    bench.clock.advance(200);
    resources.change('/obs-non', `slow ${state}`);
    assert.deepEqual(sent(), [NON]);
  }
  let confirmable = 0;
  for (let state = 0; state < 100; state++) {
    bench.clock.advance(50);
    resources.change('/obs-non', `fast ${state}`);
    for (const message of client.take()) {
      if (message.type !== CON) continue;
      confirmable++;
      bench.clock.advance(200);
      client.acknowledge(message);
    }
  }
  assert.ok(confirmable > 1);
  assert.equal(bench.endpoint.tables.observers, 1);
});

test('TD_COAP_OBS_04: Max-Age is told, and after a loss of state the same token registers again with a newer value', () => {
  const { client } = server();
  const first = register(client, 'obs');
  assert.equal(number(first, OPT.maxAge), 30);
  const restarted = server();
  const again = register(restarted.bench.client(), 'obs');
  assert.equal(again.code, '2.05');
  // Both clocks are the same here; a value by the clock never falls behind by itself.
  const distance = ((number(again, OPT.observe) ?? 0) - (number(first, OPT.observe) ?? 0)) & 0xffffff;
  assert.ok(distance < 1 << 23);
});

test('TD_COAP_OBS_05: a CON notification is retransmitted, with the newest state as a new message, then the observer is dropped', () => {
  const { bench, resources, client } = server();
  register(client, 'obs');
  resources.change('/obs', 'one');
  const first = client.one();
  bench.clock.advance(2_100);
  assert.deepEqual(client.one().bytes, first.bytes);
  resources.change('/obs', 'two');
  resources.change('/obs', 'three');
  client.none();
  bench.clock.advance(4_100);
  const second = client.one();
  assert.deepEqual([second.type, second.payload.toString()], [CON, 'three']);
  assert.notEqual(second.mid, first.mid);
  assert.ok(isNewer(number(second, OPT.observe), number(first, OPT.observe)));
  // The attempts go on counting: two retransmissions are left.
  bench.clock.advance(8_100);
  assert.deepEqual(client.one().bytes, second.bytes);
  bench.clock.advance(16_100);
  assert.deepEqual(client.one().bytes, second.bytes);
  bench.clock.advance(32_100);
  client.none();
  assert.deepEqual(resources.resource('/obs').ended, ['timeout']);
  assert.equal(bench.endpoint.tables.observers, 0);
  assert.equal(bench.endpoint.counters.notificationsReplaced, 2);
  resources.change('/obs', 'four');
  client.none();
  bench.clock.advance(100_000);
  assert.equal(bench.endpoint.tables.timers, 0);
});

test('an endpoint that acknowledges nothing loses all its observations at once', () => {
  const { bench, resources, client } = server();
  register(client, 'obs', CON, '01');
  register(client, 'test', CON, '02');
  register(client, 'validate', CON, '03');
  resources.change('/obs', 'one');
  resources.change('/test', 'one');
  bench.clock.advance(63_000);
  assert.equal(client.take().length, 5);
  assert.equal(bench.endpoint.tables.observers, 0);
  for (const path of ['/obs', '/test', '/validate']) assert.deepEqual(resources.resource(path).ended, ['timeout']);
  bench.clock.advance(300_000);
  client.none();
});

test('TD_COAP_OBS_06: a Reset of a CON notification removes the observer', () => {
  const { bench, resources, client } = server();
  register(client, 'obs');
  resources.change('/obs', 'one');
  const notification = client.one();
  resources.change('/obs', 'two');
  client.reset(notification);
  assert.deepEqual(resources.resource('/obs').ended, ['reset']);
  resources.change('/obs', 'three');
  bench.clock.advance(100_000);
  client.none();
  assert.equal(bench.endpoint.tables.observers, 0);
});

test('TD_COAP_OBS_06: a Reset of a NON notification removes the observer, also one of several ago and of the first response', () => {
  for (const ago of [0, 1, 40]) {
    const { bench, resources, client } = server({ transmission: { confirmableEvery: 1_000, notificationInterval: 0 } });
    register(client, 'obs-non', NON);
    const sent: Decoded[] = [];
    for (let state = 0; state < 100; state++) {
      resources.change('/obs-non', `state ${state}`);
      sent.push(client.one());
    }
    client.reset(sent[99 - ago]);
    assert.deepEqual(resources.resource('/obs-non').ended, ['reset']);
    assert.equal(bench.endpoint.counters.resetsReceived, 1);
    resources.change('/obs-non', 'unheard');
    client.none();
  }
  const { resources, client } = server();
  client.reset(register(client, 'obs-non', NON));
  assert.deepEqual(resources.resource('/obs-non').ended, ['reset']);
});

test('a Reset of something else, or from somebody else, removes nobody', () => {
  const { bench, resources, client } = server();
  register(client, 'obs-non', NON);
  resources.change('/obs-non', 'one');
  const notification = client.one();
  bench.client(50_000).reset(notification);
  client.reset({ ...notification, mid: (notification.mid + 1_000) & 0xffff });
  client.acknowledge(notification);
  assert.equal(bench.endpoint.tables.observers, 1);
  assert.equal(bench.endpoint.counters.unmatchedReplies, 3);
});

test('TD_COAP_OBS_07: when the resource is deleted each observer gets 4.04 without Observe, and the list is empty', () => {
  const { bench, resources, client } = server();
  const other = bench.client(41_000);
  register(client, 'obs');
  register(other, 'obs', NON, '0c');
  const resource = resources.resource('/obs');
  assert.equal(bench.client(42_000).ask({ code: '0.04', path: ['obs'] }).code, '2.02');
  for (const [who, type, token] of [
    [client, CON, '0b'],
    [other, NON, '0c'],
  ] as const) {
    const final = who.one();
    assert.deepEqual([final.type, final.code, final.token], [type, '4.04', token]);
    assert.equal(number(final, OPT.observe), undefined);
    if (type === CON) who.acknowledge(final);
  }
  assert.equal(resource.observers.size, 0);
  assert.equal(bench.endpoint.tables.observers, 0);
  assert.deepEqual(resource.ended, ['error', 'error']);
});

test('a final response waits for the notification in flight, and takes its place when that is retransmitted', () => {
  const acknowledged = server();
  register(acknowledged.client, 'obs');
  acknowledged.resources.change('/obs', 'one');
  const first = acknowledged.client.one();
  acknowledged.bench.client(42_000).ask({ code: '0.04', path: ['obs'] });
  acknowledged.client.none();
  acknowledged.client.acknowledge(first);
  assert.equal(acknowledged.client.one().code, '4.04');

  const silent = server();
  register(silent.client, 'obs');
  silent.resources.change('/obs', 'one');
  silent.client.one();
  silent.bench.client(42_000).ask({ code: '0.04', path: ['obs'] });
  silent.bench.clock.advance(2_100);
  const final = silent.client.one();
  assert.equal(final.code, '4.04');
  assert.equal(number(final, OPT.observe), undefined);
  silent.client.acknowledge(final);
  silent.bench.clock.advance(100_000);
  silent.client.none();
  assert.equal(silent.bench.endpoint.tables.timers, 0);
});

test('TD_COAP_OBS_08: another Content-Format is 4.06 without Observe, and the list is empty', () => {
  const { bench, resources, client } = server();
  register(client, 'obs');
  const put = { code: '0.03', path: ['obs'], options: [[OPT.contentFormat, 50]] as const, payload: '{}' };
  assert.equal(bench.client(41_000).ask(put).code, '2.04');
  const final = client.one();
  assert.deepEqual([final.code, number(final, OPT.observe)], ['4.06', undefined]);
  client.acknowledge(final);
  assert.equal(resources.resource('/obs').observers.size, 0);
});

test('TD_COAP_OBS_09: what another client PUTs is notified', () => {
  const { bench, client } = server();
  register(client, 'obs');
  assert.equal(bench.client(41_000).ask({ code: '0.03', path: ['obs'], payload: 'from elsewhere' }).code, '2.04');
  assert.equal(client.one().payload.toString(), 'from elsewhere');
});

test('TD_COAP_OBS_10: a GET with another token leaves the observation alone', () => {
  const { bench, resources, client } = server();
  register(client, 'obs');
  const get = client.ask({ code: '0.01', token: 'cc', path: ['obs'] });
  assert.deepEqual([get.code, number(get, OPT.observe)], ['2.05', undefined]);
  resources.change('/obs', 'still');
  assert.equal(client.one().token, '0b');
  assert.equal(bench.endpoint.tables.observers, 1);
});

test('TD_COAP_OBS_11: never two CON in flight to one client; the newest state replaces the one that waits', () => {
  const { bench, resources, client } = server();
  register(client, 'obs', CON, '01');
  register(client, 'test', CON, '02');
  for (let state = 0; state < 10; state++) {
    resources.change('/obs', `obs ${state}`);
    resources.change('/test', `test ${state}`);
  }
  const received: string[] = [];
  for (let turn = 0; turn < 3; turn++) {
    const message = client.one();
    received.push(message.payload.toString());
    client.acknowledge(message);
  }
  client.none();
  assert.deepEqual(received, ['obs 0', 'test 9', 'obs 9']);
  assert.equal(bench.endpoint.counters.notificationsReplaced, 8 + 9);
});

test('TD_COAP_OBS_12: GET with Observe 1 and the token cancels, also what is in flight', () => {
  const { bench, resources, client } = server();
  register(client, 'obs');
  resources.change('/obs', 'one');
  client.one();
  const answer = register(client, 'obs', CON, '0b', 1);
  assert.deepEqual([answer.code, number(answer, OPT.observe)], ['2.05', undefined]);
  assert.deepEqual(resources.resource('/obs').ended, ['cancelled']);
  resources.change('/obs', 'two');
  bench.clock.advance(100_000);
  client.none();
});

test('TD_COAP_OBS_13: a large notification carries block 0, and GET fetches the rest of that state', () => {
  const { resources, client } = server();
  const first = register(client, 'obs-large');
  assert.deepEqual(block(first, OPT.block2), { number: 0, more: true, size: 1024 });
  const state = Buffer.alloc(2_500, 0x62);
  resources.change('/obs-large', state);
  const notification = client.one();
  assert.deepEqual(block(notification, OPT.block2), { number: 0, more: true, size: 1024 });
  assert.ok(isNewer(number(notification, OPT.observe), number(first, OPT.observe)));
  client.acknowledge(notification);
  const parts = [notification.payload];
  for (let index = 1; index < 3; index++) {
    const next = client.ask({
      code: '0.01',
      token: 'dd',
      path: ['obs-large'],
      options: [[OPT.block2, blockValue(index, false, 1024)]],
    });
    assert.deepEqual(values(next, OPT.etag), values(notification, OPT.etag));
    assert.equal(number(next, OPT.observe), undefined);
    parts.push(next.payload);
  }
  assert.deepEqual(Buffer.concat(parts), state);
});

test('TD_COAP_OBS_13: the block size asked for at the registration is that of the notifications', () => {
  const { resources, client } = server();
  client.ask({
    code: '0.01',
    token: '0b',
    path: ['obs-large'],
    options: [
      [OPT.observe, 0],
      [OPT.block2, blockValue(0, false, 64)],
    ],
  });
  resources.change('/obs-large', LARGE);
  assert.deepEqual(block(client.one(), OPT.block2), { number: 0, more: true, size: 64 });
});

test('TD_COAP_OBS_14: the size of the state varies around the block size', () => {
  const { resources, client } = server();
  register(client, 'obs');
  for (const size of [1023, 1024, 1025, 1, 2048, 0, 1024]) {
    resources.change('/obs', Buffer.alloc(size, 1));
    const notification = client.one();
    assert.equal(notification.payload.length, Math.min(size, 1024));
    assert.deepEqual(
      block(notification, OPT.block2),
      size > 1024 ? { number: 0, more: true, size: 1024 } : undefined,
      `size ${size}`,
    );
    client.acknowledge(notification);
  }
});

test('RFC 7641 4.1: the same endpoint and token registered again is replaced, not doubled, with newer values', () => {
  const { bench, resources, client } = server();
  let last = register(client, 'obs');
  for (let round = 0; round < 3; round++) {
    const again = register(client, 'obs');
    assert.ok(isNewer(number(again, OPT.observe), number(last, OPT.observe)));
    last = again;
  }
  assert.equal(bench.endpoint.tables.observers, 1);
  assert.equal(resources.resource('/obs').observers.size, 1);
  assert.deepEqual(resources.resource('/obs').ended, ['replaced', 'replaced', 'replaced']);
  resources.change('/obs', 'once');
  assert.equal(client.one().payload.toString(), 'once');
});

test('RFC 7641 4.1: tokens of the same bytes and another length are other observers', () => {
  const { bench, resources, client } = server();
  for (const token of ['', '00', '0000', '0000000000', '000000000000']) register(client, 'obs', NON, token);
  assert.equal(bench.endpoint.tables.observers, 5);
  resources.resource('/obs').observers.forEach((observation) => {
    observation.notify({ code: 0x45, contentFormat: 0 }, false);
  });
  assert.deepEqual(
    client.take().map((message) => message.token),
    ['', '00', '0000', '0000000000', '000000000000'],
  );
});

test('at the limits a registration is answered 2.05 without Observe', () => {
  const { bench, resources, client } = server({ limits: { observers: 3, observersPerRemote: 2 } });
  const registered = (who: Client, token: string) =>
    number(register(who, 'obs', CON, token), OPT.observe) !== undefined;
  assert.deepEqual([registered(client, '01'), registered(client, '02'), registered(client, '03')], [true, true, false]);
  const other = bench.client(41_000);
  assert.deepEqual([registered(other, '01'), registered(other, '02')], [true, false]);
  assert.equal(resources.resource('/obs').observers.size, 3);
  assert.equal(bench.endpoint.counters.observersRefusedPerRemote, 1);
  assert.equal(bench.endpoint.counters.observersRefused, 1);
  // A seat that is held may be taken again.
  assert.equal(registered(client, '02'), true);
});

test('ETags in a registration: 2.03 with Observe, and notifications follow', () => {
  const { resources, client } = server();
  const etag = resources.resource('/obs').etag;
  const response = client.ask({
    code: '0.01',
    token: '0b',
    path: ['obs'],
    options: [
      [OPT.observe, 0],
      [OPT.etag, etag],
    ],
  });
  assert.equal(response.code, '2.03');
  assert.notEqual(number(response, OPT.observe), undefined);
  resources.change('/obs', 'changed');
  assert.equal(client.one().code, '2.05');
});

test('RFC 7641 4.1: a registration answered with an error registers nobody, and ends what the token had', () => {
  const { bench, resources, client } = server();
  register(client, 'obs');
  const response = register(client, 'nowhere');
  assert.deepEqual([response.code, number(response, OPT.observe)], ['4.04', undefined]);
  assert.equal(bench.endpoint.tables.observers, 0);
  assert.deepEqual(resources.resource('/obs').ended, ['replaced']);
});

test('RFC 7641 2: Observe in other methods, and other values of it, are as good as none', () => {
  const { bench, client } = server();
  client.ask({ code: '0.03', token: '0b', path: ['obs'], options: [[OPT.observe, 0]], payload: 'x' });
  register(client, 'obs', CON, '0b', 2);
  assert.equal(bench.endpoint.tables.observers, 0);
});

test('a first response that comes late is separate, carries Observe, and later states follow it', () => {
  let exchange: CoapExchange | undefined;
  let observation: Observation | undefined;
  const ended: string[] = [];
  const bench = new Bench((_request, given) => {
    exchange = given;
    observation = given.observe((reason) => ended.push(reason));
  });
  const client = bench.client();
  client.send({ code: '0.01', token: '0b', path: ['x'], options: [[OPT.observe, 0]] });
  bench.clock.advance(60);
  assert.equal(client.one().code, '0.00');
  // A state that arrives before the first response is not lost.
  observation?.notify({ code: 0x45, payload: Buffer.from('second') });
  client.none();
  exchange?.respond({ code: 0x45, payload: Buffer.from('first') });
  const first = client.one();
  assert.deepEqual([first.type, first.payload.toString()], [CON, 'first']);
  client.acknowledge(first);
  const second = client.one();
  assert.equal(second.payload.toString(), 'second');
  assert.ok(isNewer(number(second, OPT.observe), number(first, OPT.observe)));
  client.reset(second);
  assert.deepEqual(ended, ['reset']);
});

test('an owner that ends an observation: nothing more is sent, and the end is told once', () => {
  const ended: string[] = [];
  let observation: Observation | undefined;
  const bench = new Bench((_request, exchange) => {
    observation = exchange.observe((reason) => ended.push(reason));
    exchange.respond({ code: 0x45 });
  });
  const client = bench.client();
  register(client, 'x');
  observation?.notify({ code: 0x45, payload: Buffer.from('1') });
  client.one();
  observation?.notify({ code: 0x45, payload: Buffer.from('2') });
  observation?.end();
  observation?.end({ code: 0x84 });
  observation?.notify({ code: 0x45 });
  assert.equal(observation?.active, false);
  bench.clock.advance(100_000);
  client.none();
  assert.deepEqual(ended, ['ended']);
});

test('an owner that throws when told of the end harms nobody', () => {
  let observation: Observation | undefined;
  const bench = new Bench(
    (_request, exchange) => {
      observation = exchange.observe(() => {
        throw new Error('owner');
      });
      exchange.respond({ code: 0x45 });
    },
    {
      onEvent: () => {
        throw new Error('listener');
      },
    },
  );
  const client = bench.client();
  register(client, 'x');
  observation?.notify({ code: 0x45 });
  client.reset(client.one());
  register(client, 'x');
  observation?.notify({ code: 0x45 });
  bench.clock.advance(100_000);
  assert.equal(bench.endpoint.tables.observers, 0);
  assert.equal(bench.endpoint.counters.internalErrors, 0);
});

test('closing the endpoint ends every observation', async () => {
  const { bench, resources, client } = server();
  register(client, 'obs');
  resources.change('/obs', 'one');
  client.one();
  resources.change('/obs', 'two');
  await bench.endpoint.close();
  client.none();
  assert.deepEqual(resources.resource('/obs').ended, ['closed']);
  assert.equal(bench.clock.pending, 0);
});

test('RFC 7641 4.4: after 2^24 - 1 the sequence goes on at 0', () => {
  const transport = new MemoryTransport();
  const core = new Core(transport, { clock: new FakeClock() });
  const remote = core.remotes.obtain({ address: '192.0.2.1', port: 40_000, family: 'IPv4' });
  const message = new Message();
  parseMessage(encode({ type: NON, code: '0.01', token: '0b', options: [[OPT.observe, 0]] }), message);
  assert.ok(remote !== undefined);
  const observer = new Observer(core, new Request(message, remote), 0xfffffe, () => {});
  assert.equal(observer.establish({ code: 0x45 }), 0xfffffe);
  for (let index = 0; index < 3; index++) observer.notify({ code: 0x45 });
  assert.deepEqual(
    transport.sent.map((datagram) => number(decode(datagram.bytes), OPT.observe)),
    [0xffffff, 0, 1],
  );
});
