/** Raw public keys on a network that loses, doubles and reorders. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';
import { SUITES, sessionOf } from './certified.js';
import { P256, X25519 } from './client.js';
import { BOTH, raw } from './raw-keys.js';

test('TD_COAP_DTLS_07: every datagram of a handshake with raw public keys lost in turn, and every two of them', () => {
  // Every message, and each of the server's fragments, has a datagram of its own.
  const options = { limits: { handshakeDatagram: 110 } };
  const wish = { ...BOTH, suites: SUITES, fragment: 300 };
  const lossless = raw(true, options);
  lossless.client(1, wish).connect();
  const total = lossless.flown;
  assert.ok(total > 10);
  for (let first = 0; first < total; first++) {
    for (let second = first; second < total + 2; second++) {
      const server = raw(true, options);
      server.copies = (flown) => (flown === first || flown === second ? 0 : 1);
      const client = server.client(1, wish);
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
      assert.deepEqual([sessionOf(server).identity, sessionOf(server).proof], ['device', 'public-key']);
      assert.deepEqual([server.dtls.tables.associations, server.dtls.tables.handshakes], [1, 0]);
      assert.deepEqual(client.alerts, []);
    }
  }
});

for (const seed of seeds(40)) {
  test(`raw public keys on a network that loses, doubles and reorders fragments (SEED=${seed})`, () => {
    const random = new Random(seed);
    const server = raw(random.oneIn(2), { limits: { handshakeDatagram: random.pick([100, 200, 1232]) } });
    const cid = random.oneIn(2) ? Buffer.from('theirs') : undefined;
    server.copies = () => (random.oneIn(8) ? 0 : random.oneIn(8) ? 2 : 1);
    server.pick = (waiting) => random.below(waiting);
    const groups = random.pick([[P256], [X25519, P256]]);
    const options = { ...BOTH, suites: [random.pick(SUITES)], groups, fragment: random.pick([40, 70, 300]) };
    const client = server.client(1, { ...options, ...(cid === undefined ? {} : { cid }) });
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
