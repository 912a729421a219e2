/** What a stranger, or the owner of one key, can take from others: places in tables, time, addresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostOf } from '../../../src/coap/dtls/handshakes.js';
import { Shares } from '../../../src/coap/dtls/shares.js';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';
import { bench as certified } from './certified.js';
import {
  CCM_8,
  type ClientOptions,
  DATA,
  DtlsBench,
  type DtlsClient,
  ECDSA_CCM_8,
  fragmentOf,
  HANDSHAKE,
  KEY,
} from './client.js';

/** A ClientHello with a good cookie, from any address: the work of one host with many ports. */
function hello(bench: DtlsBench, port: number, address: string): void {
  const client = bench.client(port);
  for (const sequence of [0, 1]) {
    const body = client.helloBody();
    const record = client.plain(HANDSHAKE, fragmentOf({ type: 1, sequence, body }, 0, body.length));
    bench.below.receive(record, port, address);
    const [answer] = bench.below.sent.splice(0);
    if (sequence === 0) client.cookie = Buffer.from(answer!.bytes.subarray(28));
  }
}

test('RFC 4291 2.5.4: a host is an IPv4 address, or the first 64 bits of an IPv6 address, however it is written', () => {
  for (const [address, host] of [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::6', '2001:db8:1:2'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['2001:db8::3:4:5:6', '2001:db8:0:0'],
    ['2001:db8:0:2::', '2001:db8:0:2'],
    ['1::3:4:5:6:7:8', '1:0:3:4'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ]) {
    assert.equal(hostOf(address), host, address);
  }
});

for (const seed of seeds(3)) {
  test(`shares: a largest group makes place, its first member first (SEED=${seed})`, () => {
    const random = new Random(seed);
    const shares = new Shares<number>();
    const groups = new Map<string, number[]>();
    for (let member = 0; member < 2000; member++) {
      const owner = `${random.below(12)}`;
      const group = groups.get(owner) ?? [];
      groups.set(owner, group);
      const some = group[random.below(group.length + 1)] ?? -1;
      const what = random.below(3);
      if (what === 0) {
        shares.remove(owner, some);
        groups.set(
          owner,
          group.filter((one) => one !== some),
        );
      } else if (what === 1) {
        shares.touch(owner, some);
        if (some >= 0) groups.set(owner, [...group.filter((one) => one !== some), some]);
      } else {
        shares.add(owner, member);
        group.push(member);
      }
      const largest = Math.max(...[...groups.values()].map(({ length }) => length));
      assert.equal(shares.largest, largest);
      const firsts = [...groups.values()].filter(({ length }) => length === largest).map(([first]) => first);
      assert.ok(firsts.includes(shares.mostDispensable as number));
    }
  });
}

test('a banned address: nothing is known of it before its cookie, then each ClientHello is one access_denied, and nothing is computed or kept', () => {
  const asked: string[] = [];
  const isBanned = ({ address }: { readonly address: string }): boolean => {
    asked.push(address);
    return address === '198.51.100.9';
  };
  const bench = new DtlsBench({ isBanned, limits: { handshakesPerSecond: 1 } });
  const client = bench.client(1);
  const say = (sequence: number): Buffer | undefined => {
    const body = client.helloBody();
    const record = client.plain(HANDSHAKE, fragmentOf({ type: 1, sequence, body }, 0, body.length));
    bench.below.receive(record, 1000, '198.51.100.9');
    const answers = bench.below.sent.splice(0);
    assert.equal(answers.length, 1);
    assert.ok(answers[0].bytes.length < record.length);
    return answers[0].bytes;
  };
  // Anybody can write the address on a datagram: that tells the operator nothing, and the answer is the same as ever.
  const challenge = say(0)!;
  assert.equal(challenge[13], 3);
  assert.deepEqual([asked, bench.dtls.counters.handshakesBanned], [[], 0]);
  client.cookie = Buffer.from(challenge.subarray(28));
  for (const times of [1, 2, 3]) {
    const alert = say(1)!;
    // An alert, fatal, access_denied, under the number of the ClientHello's record.
    assert.deepEqual([alert[0], alert.readUIntBE(5, 6), ...alert.subarray(13)], [21, times, 2, 49]);
    assert.equal(bench.dtls.counters.handshakesBanned, times);
  }
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(bench.dtls.counters.handshakesStarted, 0);
  // The one handshake of this second is still there for others.
  assert.ok(bench.client(2).connect().connected);
});

test('of handshakes that were begun at once, those left when the ban comes fail, also with the right key', () => {
  const asked: string[] = [];
  const bench = new DtlsBench({
    isWelcome: ({ identity, proof }, { port }) => {
      asked.push(`${identity} ${proof} ${port}`);
      return port !== 2;
    },
  });
  bench.check(bench.client(1).connect());
  const seen = (options: ClientOptions): unknown => {
    const client = bench.client(2, options);
    client.start();
    bench.deliver();
    return [client.alerts, client.messages, bench.dtls.tables];
  };
  assert.deepEqual(seen({}), seen({ key: Buffer.from('the wrong key...') }), 'nothing tells which key is right');
  assert.deepEqual(asked, ['device psk 1', 'device psk 2'], 'it is asked only about who has shown its key');
  assert.equal(bench.dtls.counters.handshakesUnauthentic, 2);
  assert.equal(bench.dtls.counters.handshakesCompleted, 1);
});

test('a ban leaves associations alone that stand', () => {
  let banned = false;
  const bench = new DtlsBench({ isBanned: () => banned });
  const client = bench.client(1).connect();
  banned = true;
  bench.fromClient(client, client.seal(DATA, Buffer.from('on')));
  bench.deliver();
  assert.deepEqual(
    bench.received.map(({ text }) => text),
    ['on'],
  );
});

test('one host that fills the table of handshakes drives out its own, not those of others', () => {
  const bench = new DtlsBench({ limits: { handshakes: 16 } });
  const device = bench.client(1);
  device.start();
  // The device's second flight waits: it is on a slow link.
  bench.copies = (flown) => (flown === 4 ? 0 : 1);
  bench.deliver();
  for (let port = 1000; port < 1100; port++) hello(bench, port, '198.51.100.9');
  bench.copies = () => 1;
  device.repeat();
  bench.deliver();
  assert.ok(device.connected);
});

test('a device whose random repeats itself after a restart is served once the copy’s cookie is good no more', () => {
  const bench = new DtlsBench();
  const random = Buffer.alloc(32, 7);
  bench.client(1, { random }).connect();
  bench.clock.advance(120_000);
  const again = bench.client(1, { random });
  again.start();
  bench.deliver();
  assert.ok(again.connected);
});

test('what follows a record that is not authentic, in one datagram, costs nothing', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  const forged = client.seal(DATA, Buffer.from('x'));
  forged[forged.length - 1] ^= 1;
  bench.below.receive(Buffer.concat(Array.from({ length: 1000 }, () => forged)), 1);
  assert.equal(bench.dtls.counters.badRecords, 1);
  bench.check(client);
});

test('RFC 9146: a sleeping device keeps its association when its old address is given to another device', () => {
  const bench = new DtlsBench({ psk: () => KEY });
  const asleep = bench.client(1, { cid: Buffer.alloc(0), identity: 'asleep' }).connect();
  bench.client(1, { identity: 'other' } satisfies ClientOptions).connect();
  bench.below.receive(asleep.seal(DATA, Buffer.from('awake')), 2);
  assert.equal(bench.received.at(-1)?.text, 'awake');
});

test('an identity that fills the table of associations drives out its own', () => {
  const bench = new DtlsBench({ psk: () => KEY, limits: { associations: 8 } });
  const device: DtlsClient = bench.client(1, { identity: 'device' }).connect();
  for (let port = 100; port < 130; port++) bench.client(port, { identity: 'stolen' }).connect();
  bench.check(device);
});

test('strangers make place before an identity that has several associations does', () => {
  const bench = certified({ psk: () => KEY, limits: { associations: 4 } });
  const device = bench.client(1, { identity: 'device', suites: [CCM_8] }).connect();
  const stranger = bench.client(2, { suites: [ECDSA_CCM_8] }).connect();
  const twice = [3, 4, 5].map((port) => bench.client(port, { identity: 'twice', suites: [CCM_8] }).connect());
  assert.deepEqual(stranger.alerts, [[1, 1, 0]]);
  for (const client of [device, ...twice]) bench.check(client);
  bench.client(6, { identity: 'other', suites: [CCM_8] }).connect();
  assert.deepEqual(twice[0].alerts, [[1, 1, 0]]);
  for (const client of [device, twice[1], twice[2]]) bench.check(client);
});

test('handshakes beyond the budget of a second are dropped before any cryptography, and served when their clients repeat them', () => {
  const bench = new DtlsBench({ limits: { handshakesPerSecond: 2 } });
  for (const port of [1, 2]) bench.client(port).connect();
  const late = bench.client(3);
  late.start();
  bench.deliver();
  const { counters } = bench.dtls;
  assert.deepEqual([counters.handshakesStarted, counters.handshakesOverRate, late.messages], [2, 1, [3]]);
  assert.deepEqual(bench.dtls.tables.handshakes, 0);
  assert.equal(bench.events.at(-1), 'limit 3 handshakesPerSecond');
  bench.clock.advance(999);
  late.repeat();
  bench.deliver();
  assert.equal(counters.handshakesOverRate, 2);
  bench.clock.advance(1);
  late.repeat();
  bench.deliver();
  assert.ok(late.connected);
});

test('a host beyond its budget of handshakes does not use up that of others', () => {
  const bench = new DtlsBench({ limits: { handshakesPerSecond: 10, hostHandshakesPerSecond: 8 } });
  for (let port = 1000; port < 1100; port++) hello(bench, port, '2001:db8::1');
  assert.equal(bench.dtls.counters.handshakesOverHostRate, 92);
  assert.match(bench.events.at(-1)!, /^limit 1099 hostHandshakesPerSecond$/);
  for (const port of [1, 2]) bench.client(port).connect();
});

test('a ClientHello beyond the budget leaves the handshake and the association at its address as they are', () => {
  const bench = new DtlsBench({ limits: { hostHandshakesPerSecond: 1 } });
  const device = bench.client(1).connect();
  const again = bench.client(1);
  again.start();
  bench.deliver();
  assert.ok(!again.connected);
  bench.below.receive(device.seal(DATA, Buffer.from('still here')), 1);
  assert.equal(bench.received.at(-1)?.text, 'still here');
});
