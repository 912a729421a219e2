/** Certificates on a network that loses, doubles and reorders, in fragments. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';
import { CA } from './certificates.js';
import { asking, DEVICE, SUITES, sessionOf } from './certified.js';
import { P256, X25519 } from './client.js';

/** Certificates that no datagram holds: 1,500 bytes and more, both ways. */
const LARGE_SERVER = CA.issue({ names: ['large'], ca: true }).issue({ names: ['server'], padding: 1500 });
const LARGE_DEVICE = CA.issue({ names: ['middle'], ca: true }).issue({ padding: 1500 });

test('RFC 6347 4.2.3: large certificates go in fragments, both ways, and no datagram is larger than asked for', () => {
  for (const handshakeDatagram of [100, 500, 1232]) {
    const server = asking(true, { certificate: LARGE_SERVER.credential, limits: { handshakeDatagram } });
    const client = server.client(1, { suites: SUITES, credential: LARGE_DEVICE.credential, fragment: 200 }).connect();
    server.check(client);
    assert.deepEqual(client.chain, LARGE_SERVER.chain);
    assert.ok(Math.max(...server.fromServer.map(({ length }) => length)) <= handshakeDatagram);
    assert.ok(server.fromServer.length > 2 + 2000 / handshakeDatagram);
  }
});

test('RFC 6347 4.2.1: nothing large goes out before the cookie has come back', () => {
  const server = asking(true, { certificate: LARGE_SERVER.credential });
  const client = server.client(1, { suites: SUITES });
  for (let time = 0; time < 20; time++) client.start();
  const [before] = [server.flown];
  server.copies = (flown) => (flown >= before ? 0 : 1);
  server.deliver();
  assert.ok(server.fromServer.every(({ length }) => length < 100));
  assert.equal(server.dtls.tables.handshakes, 0);
});

test('every datagram of a mutual handshake lost in turn, and every two of them', () => {
  const options = { certificate: LARGE_SERVER.credential };
  const lossless = asking(true, options);
  lossless.client(1, { suites: SUITES, credential: DEVICE.credential, fragment: 300 }).connect();
  const total = lossless.flown;
  assert.ok(total > 10);
  for (let first = 0; first < total; first++) {
    for (let second = first; second < total + 2; second++) {
      const server = asking(true, options);
      server.copies = (flown) => (flown === first || flown === second ? 0 : 1);
      const client = server.client(1, { suites: SUITES, credential: DEVICE.credential, fragment: 300 });
      client.start();
      server.deliver();
      for (let seconds = 0; !client.connected && seconds < 10; seconds++) {
        if ((first + second) % 2 === 0) client.repeat();
        server.clock.advance(1_000);
        server.deliver();
        if ((first + second) % 2 === 1 && !client.connected) client.repeat();
        server.deliver();
      }
      assert.ok(client.connected, `without datagrams ${first} and ${second}`);
      server.copies = () => 1;
      server.check(client);
      assert.deepEqual([server.dtls.tables.associations, server.dtls.tables.handshakes], [1, 0]);
      assert.deepEqual(client.alerts, []);
    }
  }
});

for (const seed of seeds(40)) {
  test(`a network that loses, doubles and reorders the fragments of certificates (SEED=${seed})`, () => {
    const random = new Random(seed);
    const limits = { handshakeDatagram: random.pick([200, 500, 1232]) };
    const server = asking(random.oneIn(2), { certificate: LARGE_SERVER.credential, limits });
    const cid = random.oneIn(2) ? Buffer.from('theirs') : undefined;
    server.copies = () => (random.oneIn(8) ? 0 : random.oneIn(8) ? 2 : 1);
    server.pick = (waiting) => random.below(waiting);
    const groups = random.pick([[P256], [X25519, P256]]);
    const options = { suites: [random.pick(SUITES)], groups, credential: DEVICE.credential };
    const client = server.client(1, { ...options, fragment: 150, ...(cid === undefined ? {} : { cid }) });
    client.start();
    for (let turn = 0; turn < 40 && !client.connected; turn++) {
      // The network gets better, or no handshake could be sure to end.
      if (turn === 8) server.copies = () => 1;
      server.deliver();
      server.clock.advance(500);
      if (turn % 3 === 2) client.repeat();
    }
    server.copies = () => 1;
    server.deliver();
    assert.ok(client.connected);
    assert.deepEqual(client.alerts, []);
    server.pick = () => 0;
    server.check(client);
    assert.equal(sessionOf(server).identity, 'device');
    assert.deepEqual([server.dtls.counters.internalErrors, server.dtls.tables.handshakes], [0, 0]);
  });
}
