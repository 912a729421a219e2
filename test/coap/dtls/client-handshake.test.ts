/** The client's handshake (RFC 6347 4.2, RFC 4279 2, RFC 7627, RFC 9146), with a server that shares no code with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { CCM, CCM_8, DATA, GCM, HANDSHAKE, IDENTITY, KEY } from './client.js';
import { at, ClientBench } from './client-bench.js';
import type { ServerOptions } from './server.js';

const COOKIE = Buffer.from('sixteen of these');

for (const [suite, name] of [
  [CCM_8, 'TLS_PSK_WITH_AES_128_CCM_8'],
  [CCM, 'TLS_PSK_WITH_AES_128_CCM'],
  [GCM, 'TLS_PSK_WITH_AES_128_GCM_SHA256'],
] as const) {
  for (const [how, options] of [
    ['a cookie and a hint', { cookie: COOKIE, hint: 'who is it?' }],
    ['no cookie, no extended master secret', { extendedMasterSecret: false }],
    ['small fragments', { cookie: COOKIE, hint: 'a hint of some length', fragment: 7 }],
    ['a Connection ID of the server', { cid: Buffer.from('its own') }],
  ] as const satisfies readonly (readonly [string, ServerOptions])[]) {
    test(`${name}, ${how}: the datagram that began it arrives after it, and data goes both ways`, () => {
      const bench = new ClientBench();
      const server = bench.server(1, { suite, ...options });
      bench.send('first');
      bench.deliver();
      assert.equal(server.identity, IDENTITY);
      assert.deepEqual(server.data, ['first']);
      server.say('answer');
      bench.deliver();
      const [{ text, source }] = bench.received;
      const { session, ...remote } = source;
      assert.equal(text, 'answer');
      assert.deepEqual(remote, { address: '192.0.2.1', port: 1, family: 'IPv4', key: '192.0.2.1:1' });
      assert.deepEqual({ ...(session as DtlsSession) }, { identity: IDENTITY, proof: 'psk', cipherSuite: name });
      bench.send('second');
      bench.deliver();
      assert.deepEqual(server.data, ['first', 'second']);
      assert.equal(server.strange, 0);
      assert.equal(bench.dtls.counters.handshakesStarted, 1);
    });
  }
}

test('ClientHello offers three suites, the signalling suite of RFC 5746, the extended master secret and an empty Connection ID', () => {
  const bench = new ClientBench();
  const server = bench.server();
  bench.connect(server);
  assert.deepEqual(server.suites, [CCM_8, CCM, GCM, 0x00ff]);
  assert.deepEqual(
    [...server.extensions],
    [
      [23, Buffer.alloc(0)],
      [54, Buffer.from([0])],
    ],
  );
});

test('RFC 6347 4.2.4.1: a flight is repeated after 1 s and then after twice as long each time; at the end the requester is told', () => {
  const bench = new ClientBench();
  bench.send('lost');
  const times: number[] = [];
  const start = bench.clock.time;
  for (let seconds = 0; seconds <= 30; seconds += 0.1) {
    if (bench.below.sent.splice(0).length > 0) times.push(Math.round((bench.clock.time - start) / 1000));
    bench.clock.advance(100);
  }
  assert.deepEqual(times, [0, 1, 3, 7, 15]);
  assert.deepEqual(bench.told, ['unreachable 1: no answer to ClientHello within 30000 ms']);
  assert.deepEqual(bench.events, [
    'limit 1 handshakeTime',
    'handshake-failed 1 no answer to ClientHello within 30000 ms',
  ]);
  assert.equal(bench.dtls.counters.handshakeTimeouts, 1);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
});

test("the server's last message once more has the client's flight repeated at once (RFC 6347 4.2.4), a bounded number of times", () => {
  const bench = new ClientBench();
  const server = bench.server();
  // ServerHello and ServerHelloDone arrive 30 times, all that follows is lost.
  bench.copies = (flown) => (flown === 0 ? 1 : flown === 1 ? 30 : 0);
  bench.send('first');
  bench.deliver();
  assert.equal(bench.dtls.counters.flightsRepeated, 16);
  assert.deepEqual(server.messages, [1]);
});

test('a datagram that is sent again while it waits arrives once', () => {
  const bench = new ClientBench();
  const server = bench.server();
  for (const text of ['one', 'two', 'one', 'two']) bench.send(text);
  bench.deliver();
  assert.deepEqual(server.data, ['one', 'two']);
  assert.equal(bench.dtls.tables.waitingBytes, 0);
});

test('no answer to Finished: the words say that identity or key may be wrong', () => {
  const bench = new ClientBench();
  const server = bench.server(1, { key: Buffer.from('another key') });
  bench.send('first');
  bench.deliver();
  // A server may keep silent about what it cannot open (RFC 6347 4.1.2.7).
  bench.clock.advance(30_100);
  bench.deliver();
  assert.ok(server.strange > 0);
  assert.deepEqual(bench.told, ['unreachable 1: no answer to Finished: identity or key may be wrong within 30000 ms']);
});

test('a handshake that is given up for want of Finished ends what the server may have, with close_notify', () => {
  const bench = new ClientBench();
  const server = bench.server(1, { change: (type, right) => (type === 20 ? undefined : right) });
  bench.send('first');
  bench.deliver();
  assert.equal(server.connected, true);
  bench.clock.advance(30_100);
  bench.deliver();
  assert.deepEqual(server.alerts, [[1, 1, 0]]);
  assert.equal(bench.told.length, 1);
});

test('a fatal alert ends the handshake at once, in words', () => {
  const bench = new ClientBench();
  const server = bench.server(1, { change: () => undefined });
  bench.send('first');
  bench.deliver();
  server.raw(server.plain(21, Buffer.from([1, 100])));
  bench.deliver();
  assert.deepEqual(bench.told, []);
  server.raw(server.plain(21, Buffer.from([2, 115])));
  bench.deliver();
  assert.deepEqual(bench.told, ['unreachable 1: alert unknown_psk_identity (115) of the server']);
  assert.equal(bench.dtls.counters.handshakesFailed, 1);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
});

/** ServerHello with other bytes from `at` on. */
function hello(from: number, ...bytes: number[]): ServerOptions {
  return {
    change: (type, right) => {
      if (type !== 2) return right;
      const body = Buffer.from(right);
      Buffer.from(bytes).copy(body, from);
      return body;
    },
  };
}

for (const [what, options, alert, words] of [
  ['a version that was not offered', hello(0, 0xfe, 0xff), 70, /protocol_version/],
  ['a cipher suite that was not offered', hello(35, 0xc0, 0xae), 47, /illegal_parameter/],
  ['a compression method that was not offered', hello(37, 1), 47, /illegal_parameter/],
  ['an extension that was not offered', { extensions: [[16, Buffer.alloc(0)]] }, 110, /unsupported_extension/],
  ['an extension twice', { extensions: [[23, Buffer.alloc(0)]] }, 47, /illegal_parameter/],
  ['a wish to renegotiate', { extensions: [[0xff01, Buffer.from([1, 7])]] }, 40, /handshake_failure/],
  ['a malformed Connection ID', { extensions: [[54, Buffer.from([9])]] }, 50, /decode_error/],
  [
    'a malformed ServerHello',
    { change: (type: number, right: Buffer) => (type === 2 ? right.subarray(0, 30) : right) },
    50,
    /decode_error/,
  ],
  [
    'a malformed ServerKeyExchange',
    { hint: 'x', change: (type: number, right: Buffer) => (type === 12 ? Buffer.from([0, 9]) : right) },
    50,
    /ServerKeyExchange/,
  ],
  [
    'a ServerHelloDone with content',
    { change: (type: number, right: Buffer) => (type === 14 ? Buffer.from([1]) : right) },
    50,
    /ServerHelloDone/,
  ],
  [
    'no ServerHello',
    { change: (type: number, right: Buffer) => (type === 2 ? undefined : right) },
    10,
    /unexpected handshake message 14/,
  ],
  [
    'a message that is too long',
    { change: (type: number, right: Buffer) => (type === 2 ? Buffer.alloc(4097) : right) },
    50,
    /too long/,
  ],
  [
    'a wrong Finished',
    { change: (type: number, right: Buffer) => (type === 20 ? Buffer.alloc(12) : right) },
    51,
    /Finished of the server is wrong/,
  ],
  [
    'a short Finished',
    { change: (type: number, right: Buffer) => (type === 20 ? right.subarray(1) : right) },
    51,
    /Finished of the server is wrong/,
  ],
] as const) {
  test(`${what} is answered with alert ${alert}, and the requester is told`, () => {
    const bench = new ClientBench();
    const server = bench.server(1, options as ServerOptions);
    bench.send('first');
    bench.deliver();
    assert.deepEqual(server.alerts, [[0, 2, alert]]);
    assert.equal(bench.told.length, 1);
    assert.match(bench.told[0], words);
    assert.deepEqual(server.data, []);
    assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
  });
}

test('a server that asks for one cookie after the other is given up', () => {
  const bench = new ClientBench();
  const server = bench.server(1, { change: () => undefined });
  bench.send('first');
  for (let sequence = 0; sequence < 6; sequence++) {
    bench.deliver();
    server.flight([{ type: 3, sequence, body: Buffer.from([0xfe, 0xff, 1, sequence]) }]);
  }
  bench.deliver();
  assert.deepEqual(server.messages, [1, 1, 1, 1, 1]);
  assert.deepEqual(bench.told, ['unreachable 1: one cookie after the other']);
});

test('before Finished nothing of epoch 1 is taken, and an unprotected Finished is none', () => {
  const bench = new ClientBench();
  const server = bench.server(1, { change: (type, right) => (type === 20 ? undefined : right) });
  bench.send('first');
  bench.deliver();
  server.raw(server.seal(DATA, Buffer.from('too early')));
  server.raw(
    server.plain(HANDSHAKE, Buffer.concat([Buffer.from('1400000c000200000000000c', 'hex'), Buffer.alloc(12)])),
  );
  bench.deliver();
  assert.deepEqual(bench.received, []);
  assert.deepEqual(server.alerts, []);
  assert.equal(bench.dtls.tables.handshakes, 1);
  assert.equal(bench.dtls.tables.associations, 0);
});

test('records that are not authentic end no handshake: they may be of an association that is no more', () => {
  const bench = new ClientBench();
  const server = bench.server(1, { change: (type, right) => (type === 20 ? undefined : right) });
  bench.send('first');
  bench.deliver();
  const forged = server.seal(HANDSHAKE, Buffer.alloc(24));
  forged[forged.length - 1] ^= 1;
  server.raw(forged);
  bench.deliver();
  assert.equal(bench.dtls.counters.badRecords, 1);
  assert.equal(bench.dtls.tables.handshakes, 1);
  assert.deepEqual(bench.told, []);
});

test("the broker's own server: long identities go in fragments, and each datagram may be lost once", () => {
  const identity = 'i'.repeat(900);
  const limits = { identityBytes: 1000, handshakeDatagram: 256 };
  const run = (copies: (flown: number) => number): ClientBench => {
    const bench = new ClientBench({ credential: () => ({ identity, key: KEY }), limits: { handshakeDatagram: 256 } });
    bench.echo(1, { psk: (name) => (name === identity ? KEY : null), identityHint: 'hint', limits });
    bench.copies = copies;
    bench.send('hello');
    for (let tries = 0; tries < 10 && bench.dtls.tables.associations === 0; tries++) {
      bench.deliver();
      bench.clock.advance(1_100);
    }
    bench.deliver();
    return bench;
  };
  const { flown } = run(() => 1);
  for (let lost = 0; lost < flown - 2; lost++) {
    const bench = run((number) => (number === lost ? 0 : 1));
    assert.deepEqual(bench.texts(), ['echo hello'], `without datagram ${lost} of ${flown}`);
    assert.equal(bench.dtls.counters.handshakesStarted, 1);
  }
  for (let twice = 0; twice < flown; twice++) {
    const bench = run((number) => (number === twice ? 2 : 1));
    assert.deepEqual(bench.texts(), ['echo hello'], `with datagram ${twice} twice`);
  }
});

test("the broker's own server: the client's wrong key and unknown identity end with its alert", () => {
  for (const credential of [
    { identity: IDENTITY, key: Buffer.from('another key') },
    { identity: 'nobody', key: KEY },
  ]) {
    const bench = new ClientBench({ credential: () => credential });
    bench.echo();
    bench.send('hello');
    bench.deliver();
    assert.deepEqual(bench.told, [
      'unreachable 1: alert decrypt_error (51) of the server: identity or key may be wrong',
    ]);
  }
});

test('without a key, or with one that no message can say, nothing is sent', async () => {
  for (const credential of [
    () => undefined,
    () => ({ identity: '', key: KEY }),
    () => ({ identity: IDENTITY, key: Buffer.alloc(0) }),
    () => {
      throw new Error('no file');
    },
  ]) {
    const bench = new ClientBench({ credential });
    bench.send('hello');
    assert.deepEqual(bench.told, []);
    await bench.settle();
    assert.deepEqual(bench.told, ['unreachable 1: there is no key for it']);
    assert.equal(bench.below.sent.length, 0);
    assert.equal(bench.dtls.counters.handshakesWithoutKey, 1);
  }
});

test('two names of one address have one association at a time: none is used for the other', async () => {
  const keys = new Map([
    ['a', { identity: 'a', key: KEY }],
    ['b', { identity: 'b', key: KEY }],
  ]);
  const bench = new ClientBench({ credential: ({ key }) => keys.get(key ?? '') });
  const first = bench.server(1, { identity: 'a' });
  bench.send('for a', at(1, 'a'));
  bench.send('for b', at(1, 'b'));
  bench.deliver();
  await bench.settle();
  assert.deepEqual(first.data, ['for a']);
  assert.deepEqual(bench.told.splice(0), [
    'unreachable 1: a DTLS handshake with another name of its address is under way',
  ]);
  const second = bench.server(1, { identity: 'b' });
  bench.send('for b', at(1, 'b'));
  bench.deliver();
  await bench.settle();
  assert.deepEqual(second.data, ['for b']);
  assert.deepEqual(bench.told, ['gone 1: another name of its address took the place of its DTLS association']);
});
