/** coap.profile: what it sets, what wins over it, and the times that follow (RFC 7252 4.8). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DEFAULT_TRANSMISSION } from '../../src/coap/limits.js';
import { PROFILES, type Profile, type ProfileName, transmissionOf } from '../../src/coap/profiles.js';
import { loadConfig } from '../../src/config/load.js';
import { endpointOptions } from '../../src/plugins/coap-topics/endpoint-options.js';
import { checkout } from '../support/checkout.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';
import { Bench, type Client, decode } from './harness.js';

test('the default profile is what RFC 7252 says, and gives the times of its table', () => {
  const { maxLatency, ...rest } = PROFILES.default;
  assert.equal(maxLatency, 100_000);
  assert.deepEqual({ ...DEFAULT_TRANSMISSION, ...rest }, DEFAULT_TRANSMISSION);
  assert.deepEqual({ ...DEFAULT_TRANSMISSION, ...transmissionOf('default', {}) }, DEFAULT_TRANSMISSION);
});

test('the configuration as it comes means the defaults of the endpoint', () => {
  const { limits, transmission } = endpointOptions(loadConfig({ env: {} }).config.coap);
  assert.deepEqual({ ...DEFAULT_TRANSMISSION, ...transmission }, DEFAULT_TRANSMISSION);
  assert.equal(Object.values(limits ?? {}).includes(undefined as never), false);
});

test('an option that is set wins over the profile, whatever the profile', () => {
  for (const profile of Object.keys(PROFILES) as ProfileName[]) {
    const { transmission } = endpointOptions({ profile, ack_timeout: 2, notification_interval: 7 });
    assert.equal(transmission?.ackTimeout, 2_000);
    assert.equal(transmission?.notificationInterval, 7_000);
    assert.equal(transmission?.maxRetransmit, PROFILES[profile].maxRetransmit);
  }
});

test('RFC 7252 4.8.2: the lifetimes follow from the parameters, and are never below those of the defaults', () => {
  const narrow = transmissionOf('nb-iot', {});
  assert.deepEqual([narrow.exchangeLifetime, narrow.nonLifetime], [435_000, 325_000]);
  const quick = transmissionOf('default', { ackTimeout: 100, maxLatency: 1_000 });
  assert.deepEqual([quick.exchangeLifetime, quick.nonLifetime], [247_000, 145_000]);
  assert.equal(transmissionOf('default', { ackTimeout: 600_000, maxRetransmit: 20 }).exchangeLifetime, 86_400_000);
});

test('a profile is what the endpoint keeps to: retransmissions and the empty acknowledgement', () => {
  for (const [profile, acknowledged, expected] of [
    ['lossy', 250, [1, 3, 7, 15, 31, 63]],
    ['nb-iot', 1_000, [10, 30, 70, 150]],
  ] as const) {
    let answer = (): void => {};
    const bench = new Bench(
      (_request, exchange) => {
        answer = () => exchange.respond({ code: 0x45 });
      },
      { transmission: transmissionOf(profile, {}) },
    );
    const client = bench.client();
    client.send({ code: '0.01', path: ['x'] });
    bench.clock.advance(acknowledged - 20);
    client.none();
    bench.clock.advance(40);
    assert.equal(client.one().code, '0.00');
    answer();
    client.one();
    const seen: number[] = [];
    for (let second = 1; second <= 400; second++) {
      bench.clock.advance(1_010);
      for (const _again of client.take()) seen.push(second);
    }
    assert.deepEqual(
      seen.map((second, index) => Math.abs(second - expected[index]) <= 2),
      expected.map(() => true),
    );
  }
});

/** Devices to which a separate response does not get through, when one datagram in four is lost each way. */
function unreached(profile: ProfileName, devices: number, chance: Random): number {
  const answers: (() => void)[] = [];
  const bench = new Bench((_request, exchange) => answers.push(() => exchange.respond({ code: 0x45 })), {
    transmission: transmissionOf(profile, {}),
  });
  const clients = Array.from({ length: devices }, (_, index) => bench.client(1_000 + index));
  for (const client of clients) client.send({ code: '0.01', path: ['x'] });
  bench.clock.advance(PROFILES[profile].acknowledgeAfter + 20);
  bench.transport.sent.length = 0;
  const received = new Set<Client>();
  const deliver = (): void => {
    for (const { bytes, port } of bench.transport.sent.splice(0)) {
      if (chance.oneIn(4)) continue;
      const client = clients[port - 1_000];
      received.add(client);
      if (!chance.oneIn(4)) client.acknowledge(decode(bytes));
    }
  };
  for (const answer of answers) answer();
  for (let second = 0; second < 500; second++) {
    deliver();
    bench.clock.advance(1_000);
  }
  assert.equal(bench.endpoint.tables.separateResponses, 0);
  assert.ok(devices - received.size <= bench.endpoint.counters.transmissionTimeouts);
  return bench.endpoint.counters.transmissionTimeouts;
}

for (const seed of seeds(1)) {
  test('lossy gives up far fewer confirmable messages than default when one datagram in four is lost each way', () => {
    const chance = new Random(seed);
    const usual = unreached('default', 3_000, chance);
    const lossy = unreached('lossy', 3_000, chance);
    // Once in 60 times, and once in 300.
    assert.ok(usual > 25 && usual < 75, `default: ${usual}, seed ${seed}`);
    assert.ok(lossy < 25, `lossy: ${lossy}, seed ${seed}`);
  });
}

test('docs/coap.md says what each profile sets', () => {
  const page = readFileSync(join(checkout, 'docs', 'coap.md'), 'utf8');
  const rows: readonly [string, keyof Profile, number][] = [
    ['ack_timeout', 'ackTimeout', 1000],
    ['ack_random_factor', 'ackRandomFactor', 1],
    ['max_retransmit', 'maxRetransmit', 1],
    ['max_latency', 'maxLatency', 1000],
    ['acknowledge_after', 'acknowledgeAfter', 1000],
    ['notification_interval', 'notificationInterval', 1000],
  ];
  assert.equal(rows.length, Object.keys(PROFILES.default).length);
  for (const [option, key, unit] of rows) {
    const cells = (Object.keys(PROFILES) as ProfileName[]).map((name) => PROFILES[name][key] / unit);
    assert.ok(page.includes(`| \`coap.${option}\` | ${cells.join(' | ')} |`), option);
  }
});
