/** Each budget of the endpoint has an option, a counter of its own, and is told to the log by the option's name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoapCounters } from '../../src/coap/counters.js';
import type { RequestHandler } from '../../src/coap/endpoint.js';
import type { CoapExchange } from '../../src/coap/exchange.js';
import { type EndpointOptions, endpointOptions, optionOf } from '../../src/plugins/coap-topics/endpoint-options.js';
import { Bench, blockValue, type Client, NON, OPT } from './harness.js';

interface Limited {
  readonly bench: Bench;
  /** The limit has acted: its counter says how many times, and the log has named its option. */
  reached(option: string, counter: keyof CoapCounters, times: number): void;
}

function limited(options: EndpointOptions, handler: RequestHandler): Limited {
  const named: string[] = [];
  const bench = new Bench(handler, {
    ...endpointOptions(options),
    onEvent: (name, _remote, detail) => {
      if (name === 'limit') named.push(optionOf(detail));
    },
  });
  return {
    bench,
    reached: (option, counter, times) => {
      assert.equal(bench.endpoint.counters[counter], times);
      assert.deepEqual(named.splice(0), new Array(times).fill(option));
    },
  };
}

/** Requests that are answered together, later. */
function waiting(options: EndpointOptions): Limited & { answer(): void } {
  const exchanges: CoapExchange[] = [];
  const server = limited(options, (_request, exchange) => exchanges.push(exchange));
  return {
    ...server,
    answer: () => {
      for (const exchange of exchanges.splice(0)) exchange.respond({ code: 0x45 });
    },
  };
}

const ask = (client: Client): void => {
  client.send({ code: '0.01', path: ['x'] });
};

test('coap.exchanges: one request too many that waits for its answer is answered with 5.03', () => {
  const { bench, answer, reached } = waiting({ exchanges: 2 });
  for (const port of [1, 2, 3]) ask(bench.client(port));
  assert.equal(bench.client(3).one().code, '5.03');
  reached('coap.exchanges', 'refusedExchanges', 1);
  answer();
  ask(bench.client(4));
  bench.client(4).none();
});

test('coap.exchanges_per_client: so is one too many of a device', () => {
  const { bench, reached } = waiting({ exchanges_per_client: 2 });
  const client = bench.client();
  for (let index = 0; index < 3; index++) ask(client);
  assert.equal(client.one().code, '5.03');
  ask(bench.client(41_000));
  bench.client(41_000).none();
  reached('coap.exchanges_per_client', 'refusedExchangesPerRemote', 1);
});

test('coap.separate_responses: one too many that is not acknowledged is dropped', () => {
  const { bench, answer, reached } = waiting({ separate_responses: 2 });
  for (const port of [1, 2, 3]) ask(bench.client(port));
  bench.clock.advance(60);
  for (const port of [1, 2, 3]) bench.client(port).one();
  answer();
  assert.deepEqual(
    [1, 2, 3].map((port) => bench.client(port).take().length),
    [1, 1, 0],
  );
  reached('coap.separate_responses', 'droppedSeparateResponses', 1);
});

test('coap.separate_responses_per_client: so is one too many to a device', () => {
  const { bench, answer, reached } = waiting({ separate_responses_per_client: 2 });
  const client = bench.client();
  for (let index = 0; index < 3; index++) ask(client);
  bench.clock.advance(60);
  assert.equal(client.take().length, 3);
  answer();
  for (let index = 0; index < 2; index++) client.acknowledge(client.one());
  client.none();
  reached('coap.separate_responses_per_client', 'droppedSeparateResponsesPerRemote', 1);
});

/** Begins a body of blocks of 1,024 bytes. */
function begin(client: Client, index = 0): string {
  const options = [[OPT.block1, blockValue(index, true, 1024)]] as const;
  return client.ask({ code: '0.03', mid: index, path: ['x'], options, payload: Buffer.alloc(1_024) }).code;
}

test('coap.request_bodies: the oldest body that is being put together goes for one too many', () => {
  const { bench, reached } = limited({ request_bodies: 2 }, () => {});
  for (const port of [1, 2, 3]) assert.equal(begin(bench.client(port)), '2.31');
  reached('coap.request_bodies', 'block1Evictions', 1);
  assert.equal(begin(bench.client(1), 1), '4.08');
  assert.equal(begin(bench.client(3), 1), '2.31');
});

test('coap.request_bytes: so it does when all together are too large', () => {
  const { bench, reached } = limited({ request_bytes: 4_096 }, () => {});
  for (const port of [1, 2, 3]) assert.equal(begin(bench.client(port)), '2.31');
  reached('coap.request_bytes', 'block1EvictionsBytes', 1);
  assert.equal(begin(bench.client(1), 1), '4.08');
  assert.ok(bench.endpoint.tables.block1Bytes <= 4_096);
});

const large: RequestHandler = (_request, exchange) => exchange.respond({ code: 0x45, payload: Buffer.alloc(2_000) });
const post = { code: '0.02', path: ['x'] };
const rest = { ...post, options: [[OPT.block2, blockValue(1, false, 1024)]] as const };

test('coap.response_bodies: the oldest answer that is kept for its next blocks goes for one too many', () => {
  const { bench, reached } = limited({ response_bodies: 2 }, large);
  for (const port of [1, 2, 3]) assert.equal(bench.client(port).ask(post).code, '2.05');
  reached('coap.response_bodies', 'block2Evictions', 1);
  assert.deepEqual(
    [bench.client(1).ask({ ...rest, mid: 9 }).code, bench.client(3).ask({ ...rest, mid: 9 }).code],
    ['4.08', '2.05'],
  );
});

test('coap.response_bytes: so it does when all together are too large', () => {
  const { bench, reached } = limited({ response_bytes: 4_096 }, large);
  for (const port of [1, 2, 3]) assert.equal(bench.client(port).ask(post).code, '2.05');
  reached('coap.response_bytes', 'block2EvictionsBytes', 1);
  assert.equal(bench.client(1).ask({ ...rest, mid: 9 }).code, '4.08');
});

test('coap.clients: when all devices that are remembered are busy, one more gets no answer', () => {
  const { bench, reached } = waiting({ clients: 2 });
  for (const port of [1, 2, 3]) ask(bench.client(port));
  reached('coap.clients', 'droppedRemotes', 1);
});

test('coap.echo: a larger answer than a device has earned is 4.01 with Echo; off answers everybody', () => {
  const guarded = limited({ echo: 'auto' }, large);
  assert.equal(guarded.bench.client().ask({ code: '0.01', path: ['x'] }).code, '4.01');
  guarded.reached('coap.echo', 'echoDemanded', 1);
  const open = limited({ echo: 'off' }, large);
  assert.equal(open.bench.client().ask({ code: '0.01', path: ['x'] }).code, '2.05');
});

test('coap.notification_interval: faster NON notifications go out as CON; 0 sends all as they come', () => {
  for (const [interval, expected] of [
    [3, 8],
    [0, 30],
  ]) {
    let notify = (): void => {};
    const { bench } = limited({ notification_interval: interval }, (_request, exchange) => {
      const observation = exchange.observe(() => {});
      notify = () => observation?.notify({ code: 0x45 }, false);
      exchange.respond({ code: 0x45 });
    });
    const client = bench.client();
    client.ask({ type: NON, code: '0.01', path: ['x'], options: [[OPT.observe, 0]] });
    for (let state = 0; state < 30; state++) notify();
    assert.equal(client.take().filter(({ type }) => type === NON).length, expected);
    assert.equal(bench.endpoint.counters.notificationsPaced, interval === 0 ? 0 : 1);
  }
});
