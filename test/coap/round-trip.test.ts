/** Retransmission that adapts to the round-trip time of a device (RFC 7252 4.8.1, RFC 6298). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RoundTrip } from '../../src/coap/round-trip.js';
import type { DatagramAddress, DatagramTransport } from '../../src/coap/transport.js';
import { ACK, Bench, type Client, decode, encode, OPT } from './harness.js';
import { Resources } from './resources.js';

const STEP = 50;

function observed(options: ConstructorParameters<typeof Bench>[1] = {}): {
  bench: Bench;
  resources: Resources;
  client: Client;
} {
  const resources = new Resources(() => {});
  const bench = new Bench(resources.handler, options);
  const client = bench.client();
  client.ask({ code: '0.01', token: '0b', path: ['obs'], options: [[OPT.observe, 0]] });
  return { bench, resources, client };
}

/** States that are acknowledged after so many milliseconds. */
function acquaint({ bench, resources, client }: ReturnType<typeof observed>, roundTrip: number): void {
  for (let state = 0; state < 50; state++) {
    resources.change('/obs', `acquaintance ${state}`);
    const notification = client.one();
    bench.clock.advance(roundTrip);
    client.acknowledge(notification);
  }
}

/** Milliseconds after which the next notification is retransmitted, each time, and those until it is given up. */
function silence({ bench, resources, client }: ReturnType<typeof observed>): [number[], number] {
  const { counters } = bench.endpoint;
  const given = counters.transmissionTimeouts;
  resources.change('/obs', 'nobody listens');
  client.one();
  const times: number[] = [];
  for (let elapsed = STEP; ; elapsed += STEP) {
    bench.clock.advance(STEP);
    if (client.take().length > 0) times.push(elapsed);
    if (counters.transmissionTimeouts > given) return [times, elapsed];
    assert.ok(elapsed < 400_000);
  }
}

test('a first retransmission comes when the acknowledgement is overdue by the round-trip time; the others when they come anyway', () => {
  assert.deepEqual(silence(observed()), [[2_000, 6_000, 14_000, 30_000], 62_000], 'nothing is known');
  const near = observed();
  acquaint(near, 20);
  assert.deepEqual(silence(near), [[500, 6_000, 14_000, 30_000], 62_000]);
  const far = observed();
  acquaint(far, 1_200);
  assert.deepEqual(silence(far), [[1_300, 6_000, 14_000, 30_000], 62_000]);
  const slow = observed({ transmission: { ackTimeout: 10_000 } });
  acquaint(slow, 9_000);
  assert.deepEqual(silence(slow), [[9_100, 30_000, 70_000, 150_000], 310_000]);
});

test('where nothing is retransmitted a message is not given up any sooner', () => {
  const scene = observed({ transmission: { maxRetransmit: 0 } });
  acquaint(scene, 20);
  assert.deepEqual(silence(scene), [[], 2_000]);
});

test('ACK_RANDOM_FACTOR spreads the first retransmission, too', () => {
  const scene = observed({ random: () => 0.999 });
  acquaint(scene, 20);
  const [[first, second]] = silence(scene);
  assert.deepEqual([first, second], [750, 9_000]);
});

test('RFC 6298 3: only what was sent once tells the round-trip time; a device that has moved has another one', () => {
  const scene = observed();
  const { bench, resources, client } = scene;
  resources.change('/obs', 'one');
  client.one();
  bench.clock.advance(2_050);
  const again = client.one();
  client.acknowledge(again);
  assert.deepEqual(silence(scene)[0][0], 2_000);

  const moving = new Bench(resources.handler);
  const at = (port: number): DatagramAddress => ({ address: '192.0.2.1', port, family: 'IPv4', key: 'k' });
  const say = (port: number, wire: Parameters<typeof encode>[0]): void => {
    moving.transport.onDatagram?.(encode(wire), at(port));
  };
  const last = () => decode(moving.transport.sent.splice(0).at(-1)?.bytes ?? assert.fail('nothing was sent'));
  say(1, { code: '0.01', token: '0b', path: ['obs'], options: [[OPT.observe, 0]] });
  resources.change('/obs', 'two');
  moving.clock.advance(20);
  say(1, { type: ACK, code: '0.00', mid: last().mid });
  resources.change('/obs', 'three');
  const crossing = last();
  const transport: DatagramTransport = moving.transport;
  transport.onMoved?.(at(2));
  say(2, { type: ACK, code: '0.00', mid: crossing.mid });
  resources.change('/obs', 'four');
  last();
  moving.clock.advance(1_900);
  assert.deepEqual(moving.transport.sent, []);
  moving.clock.advance(200);
  assert.equal(last().payload.toString(), 'four');
});

test('RFC 6298 2: the timeout follows the round-trip time and how much it varies', () => {
  const steady = new RoundTrip(1_000);
  assert.equal(steady.timeout(60_000), 3_000);
  for (let count = 0; count < 100; count++) steady.measured(1_000);
  assert.equal(steady.timeout(60_000), 1_100);
  for (let count = 0; count < 100; count++) steady.measured(count % 2 === 0 ? 500 : 1_500);
  assert.ok(steady.timeout(60_000) > 2_500);
  assert.equal(steady.timeout(2_000), 2_000);
});
