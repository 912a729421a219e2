/** The client against the server endpoint: over a bad network, with one socket for both, and with any bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoapClient } from '../../../src/coap/client/client.js';
import type { Outcome } from '../../../src/coap/client/outcome.js';
import { Code, Method } from '../../../src/coap/codes.js';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { seeds } from '../../support/seeds.js';
import { FakeClock, OPT, RST } from '../harness.js';
import { LARGE, Resources } from '../resources.js';
import { ClientBench, seededFill, seededRandom } from './device.js';
import { Network, type NetworkFaults } from './network.js';

/** A client and a server, both in memory. */
class Pair {
  readonly clock = new FakeClock();
  readonly network: Network;
  readonly resources: Resources;
  readonly server: CoapEndpoint;
  readonly client: CoapClient;
  readonly target;

  constructor(seed: number, faults: NetworkFaults) {
    const random = seededRandom(seed);
    const { clock } = this;
    this.network = new Network(clock, random, faults);
    this.resources = new Resources((answer) => clock.setTimer(answer, 500));
    const transport = this.network.bind(5683);
    this.target = transport.address;
    const limits = { deduplicationBytes: 256 * 1024 };
    this.server = new CoapEndpoint(transport, { handler: this.resources.handler, clock, random, limits });
    this.client = new CoapClient(this.network.bind(40_000), {
      clock,
      random,
      fillRandom: seededFill(seed),
      transmission: { timeout: 600_000 },
    });
  }
}

const BAD = { loss: 0.2, duplication: 0.2, delay: 300 } as const;

for (const seed of seeds(20)) {
  test(`seed ${seed}: over a network that loses, repeats and reorders, each request has its own response`, () => {
    const pair = new Pair(seed, BAD);
    const outcomes: (Outcome | undefined)[] = [];
    const transmission = { maxRetransmit: 12, ackTimeout: 400 };
    const ask = (method: number, path: string, payload?: Buffer): void => {
      const index = outcomes.length;
      outcomes.push(undefined);
      const request = { method, path: path.split('/'), transmission, ...(payload === undefined ? null : { payload }) };
      pair.client.request(pair.target, request, (outcome) => {
        assert.equal(outcomes[index], undefined, 'one outcome');
        outcomes[index] = outcome;
      });
    };
    for (let round = 0; round < 4; round++) {
      ask(Method.Get, 'large');
      ask(Method.Get, 'separate');
      ask(Method.Post, 'large-post', Buffer.from(`${round}${LARGE}`));
      ask(Method.Get, 'validate');
    }
    pair.clock.advance(600_000);
    const bodies = outcomes.map((outcome) => {
      assert.ok(outcome?.response, `${outcome?.failure?.reason} ${outcome?.failure?.detail}`);
      return outcome.response.payload.toString();
    });
    for (let round = 0; round < 4; round++) {
      assert.equal(bodies[4 * round], LARGE.toString());
      assert.equal(bodies[4 * round + 1], 'separate');
      assert.equal(bodies[4 * round + 2], Buffer.from(`${round}${LARGE}`).reverse().toString());
      assert.equal(bodies[4 * round + 3], 'to be validated');
    }
    // Each POST was carried out once, however often it was sent.
    assert.equal(pair.resources.handled.filter((path) => path === '/large-post').length, 4);
    assert.ok(pair.network.lost > 0);
    const { requests, bodiesBytes, timers } = pair.client.tables;
    assert.deepEqual([requests, bodiesBytes, timers], [0, 0, 0]);
  });

  test(`seed ${seed}: over such a network an observer gets states in order, and the last one`, () => {
    const pair = new Pair(seed, BAD);
    const states: string[] = [];
    const ends: object[] = [];
    const request = { method: Method.Get, path: ['obs'], transmission: { maxRetransmit: 12, ackTimeout: 400 } };
    const observation = pair.client.observe(pair.target, request, {
      onState: (response) => states.push(response.payload.toString()),
      onEnd: (end) => ends.push(end),
    });
    pair.clock.advance(60_000);
    for (let state = 1; state <= 20; state++) {
      pair.resources.change('/obs', `state ${state}`);
      pair.clock.advance(500 * (state % 5));
    }
    pair.clock.advance(400_000);
    const numbers = states.map((state) => Number(state.slice(6)));
    assert.deepEqual(
      numbers,
      [...numbers].sort((left, right) => left - right),
    );
    assert.equal(numbers.at(-1), 20);
    assert.deepEqual(ends, []);
    assert.ok(pair.client.counters.reregistrations > 0);
    observation.cancel();
    pair.clock.advance(400_000);
    assert.equal(pair.server.tables.observers, 0);
    assert.equal(pair.client.tables.observations, 0);
  });
}

test('a client on the line of a server endpoint asks from its port, and both go on', async () => {
  const clock = new FakeClock();
  const network = new Network(clock, () => 0.5, { loss: 0, duplication: 0, delay: 10 });
  const resources = new Resources((answer) => clock.setTimer(answer, 500));
  const transports = [network.bind(1), network.bind(2)];
  const [left, right] = transports.map((transport) => {
    const limits = { deduplicationBytes: 256 * 1024 };
    const endpoint = new CoapEndpoint(transport, { handler: resources.handler, clock, limits });
    return { endpoint, client: new CoapClient(endpoint.line, { clock }), address: transport.address };
  });
  const bodies: string[] = [];
  for (const [from, to] of [
    [left, right],
    [right, left],
  ]) {
    for (const path of ['test', 'separate', 'large']) {
      from.client.request(to.address, { method: Method.Get, path: [path] }, ({ response }) => {
        bodies.push(`${response?.payload}`);
      });
    }
    from.client.observe(
      to.address,
      { method: Method.Get, path: ['obs'] },
      {
        onState: (response) => bodies.push(response.payload.toString()),
        onEnd: () => {},
      },
    );
  }
  clock.advance(4_000);
  resources.change('/obs', 'state 1');
  clock.advance(1_000);
  const expected = ['test', 'separate', 'large', 'state 0', 'state 1'].flatMap((name) => [name, name]);
  const names = bodies.map((body) => (body === 'a test' ? 'test' : body === LARGE.toString() ? 'large' : body));
  assert.deepEqual(names.sort(), expected.sort());
  assert.equal(left.endpoint.counters.unexpectedMessages, 0);
  assert.equal(left.endpoint.counters.unmatchedReplies, 0);
  assert.equal(left.client.counters.unmatched, 0);
  await left.client.close();
  const late: Outcome[] = [];
  right.client.request(left.address, { method: Method.Get, path: ['test'] }, (outcome) => late.push(outcome));
  clock.advance(100);
  assert.equal(late[0].response?.code, Code.Content);
});

for (const seed of seeds(10)) {
  test(`seed ${seed}: no datagram makes the client throw, or hold what it should not`, () => {
    const random = seededRandom(seed);
    const bench = new ClientBench();
    const device = bench.device();
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
    for (let round = 0; round < 200; round++) {
      const request = { method: pick([1, 2, 3, 4, 5, 6, 7]), path: ['x'], confirmable: random() < 0.5 };
      const payload = [1, 4].includes(request.method) ? undefined : Buffer.alloc(pick([0, 10, 3_000]));
      if (random() < 0.2) device.watch({ method: 1, path: ['x'] });
      else device.ask({ ...request, ...(payload === undefined ? null : { payload }) });
      for (const message of device.take()) {
        if (message.type === RST || random() < 0.2) continue;
        const options = [OPT.etag, OPT.observe, OPT.maxAge, OPT.block1, OPT.block2, OPT.size1, OPT.size2, 252, 9]
          .filter(() => random() < 0.3)
          .map((option): readonly [number, number] => [option, Math.floor(random() * pick([2, 16, 256, 70_000]))]);
        const type = pick([0, 1, 2, 2, 2, 3]);
        const code = pick(['0.00', '2.05', '2.05', '2.04', '2.31', '2.31', '4.01', '4.08', '4.13', '5.00', '0.01']);
        const wire = {
          type,
          code,
          mid: message.mid,
          token: message.token,
          options,
          payload: Buffer.alloc(pick([0, 16, 1_024])),
        };
        device.send(code === '0.00' ? { type, code, mid: message.mid } : wire);
      }
      const noise = Buffer.from(Array.from({ length: Math.floor(random() * 30) }, () => Math.floor(random() * 256)));
      if (noise.length > 0) noise[0] = (noise[0] & 0x3f) | 0x40;
      device.raw(noise);
      bench.clock.advance(Math.floor(random() * 3_000));
    }
    bench.clock.advance(20_000);
    assert.equal(bench.client.counters.internalErrors, 0);
    const { requests, responses, counters } = { ...bench.client.counters, counters: bench.client.counters };
    const failures =
      counters.timeouts +
      counters.unacknowledged +
      counters.resets +
      counters.badResponses +
      counters.bodiesChanged +
      counters.bodiesTooLarge +
      counters.refusedBodies +
      counters.cancelled;
    assert.equal(requests - responses - failures, bench.client.tables.requests);
    if (bench.client.tables.observations === 0) assert.equal(bench.client.tables.bodiesBytes, 0);
  });
}
