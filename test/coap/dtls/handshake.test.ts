/** The handshake: what is agreed on, and what a network may do to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { COOKIE_PERIOD } from '../../../src/coap/dtls/cookie.js';
import { LARGEST_MESSAGE, Reassembly } from '../../../src/coap/dtls/fragments.js';
import { DEFAULT_DTLS_LIMITS } from '../../../src/coap/dtls/limits.js';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';
import {
  ALERT,
  CCM,
  CCM_8,
  CCS,
  type ClientOptions,
  DATA,
  DtlsBench,
  type DtlsClient,
  fragmentOf,
  GCM,
  HANDSHAKE,
  KEY,
  records,
} from './client.js';

const FATAL = 2;

/** A client whose hello, cookie and second hello arrive; what it says after that is lost, until `copies` is set anew. */
function halfway(bench: DtlsBench, port: number): DtlsClient {
  const client = bench.client(port);
  const start = bench.flown;
  bench.copies = (flown) => (flown >= start + 4 ? 0 : 1);
  client.start();
  bench.deliver();
  return client;
}

for (const [suite, name] of [
  [CCM_8, 'TLS_PSK_WITH_AES_128_CCM_8'],
  [CCM, 'TLS_PSK_WITH_AES_128_CCM'],
  [GCM, 'TLS_PSK_WITH_AES_128_GCM_SHA256'],
] as const) {
  for (const extendedMasterSecret of [true, false]) {
    test(`${name} ${extendedMasterSecret ? 'with' : 'without'} the extended master secret (RFC 7627)`, () => {
      const bench = new DtlsBench();
      const client = bench.client(1000, { suites: [suite], extendedMasterSecret }).connect();
      bench.check(client);
      assert.equal(client.suite, suite);
      assert.equal(client.serverExtensions.has(23), extendedMasterSecret);
      const { key, session } = bench.received[0].source;
      assert.deepEqual({ ...(session as DtlsSession) }, { identity: 'device', cipherSuite: name, proof: 'psk' });
      assert.match(key ?? '', /^dtls \d+$/);
      // One flight of the server each time, and no more.
      assert.equal(client.messages.join(), '3,2,14,20');
    });
  }
}

test('the preference is the server’s: CCM_8, CCM, GCM', () => {
  const bench = new DtlsBench();
  assert.equal(bench.client(1, { suites: [0x1301, GCM, CCM, CCM_8] }).connect().suite, CCM_8);
  assert.equal(bench.client(2, { suites: [GCM, CCM] }).connect().suite, CCM);
});

test('RFC 5746: secure renegotiation is answered; an unasked extension is not sent', () => {
  const client = new DtlsBench().client(1, { extendedMasterSecret: false }).connect();
  assert.deepEqual([...client.serverExtensions], [[0xff01, Buffer.from([0])]]);
});

test('RFC 4279 5.2: an identity hint is sent if there is one', () => {
  const bench = new DtlsBench({ identityHint: 'use the label' });
  assert.equal(bench.client(1).connect().hint, 'use the label');
  assert.equal(new DtlsBench().client(1).connect().hint, undefined);
  assert.throws(() => new DtlsBench({ identityHint: 'x'.repeat(129) }), RangeError);
});

for (const [title, options, alert] of [
  ['no common cipher suite: handshake_failure', { suites: [0x1301] }, 40],
  ['RFC 5246 7.4.1.2: no cipher suites at all: decode_error', { suites: [], noSignal: true }, 50],
  ['no compression methods at all: decode_error', { compressions: Buffer.alloc(0) }, 50],
  ['DTLS 1.0 only: protocol_version', { version: 0xfeff }, 70],
  ['another protocol: protocol_version', { version: 0x0303 }, 70],
  ['no null compression: illegal_parameter', { compressions: Buffer.from([1]) }, 47],
  [
    'an extension twice: illegal_parameter',
    {
      extensions: [
        [9, KEY],
        [9, KEY],
      ],
    },
    47,
  ],
  [
    'a renegotiation in the first handshake: handshake_failure',
    { extensions: [[0xff01, Buffer.from('0155', 'hex')]] },
    40,
  ],
  ['a malformed Connection ID: decode_error', { extensions: [[54, Buffer.from('0255', 'hex')]] }, 50],
  ['a malformed extended_master_secret: decode_error', { extensions: [[23, KEY]], extendedMasterSecret: false }, 50],
] as [string, ClientOptions, number][]) {
  test(title, () => {
    const bench = new DtlsBench();
    const client = bench.client(1, options);
    client.start();
    bench.deliver();
    assert.deepEqual(client.alerts, [[0, FATAL, alert]]);
    assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
    assert.equal(bench.dtls.counters.handshakesFailed, 1);
  });
}

test('a wrong key, an unknown identity and one that is no identity look the same: decrypt_error', () => {
  const bench = new DtlsBench({
    psk: (identity) => {
      if (identity === 'throws') throw new Error('no such file');
      // U+FFFD is what bytes that are no UTF-8 would become.
      return identity === 'device' || identity.includes('\ufffd') ? KEY : identity === 'empty' ? Buffer.alloc(0) : null;
    },
  });
  const seen = (options: ClientOptions): unknown => {
    const client = bench.client(1, options);
    const before = bench.flown;
    client.start();
    bench.deliver();
    return [client.alerts, client.messages, bench.flown - before, bench.dtls.tables];
  };
  const expected = seen({ key: Buffer.from('the wrong key...') });
  assert.deepEqual(expected, [[[0, FATAL, 51]], [3, 2, 14], 6, { associations: 0, handshakes: 0, timers: 0 }]);
  assert.deepEqual(seen({ identity: 'nobody' }), expected);
  assert.deepEqual(seen({ identity: 'empty' }), expected);
  assert.deepEqual(seen({ identity: 'throws' }), expected);
  assert.deepEqual(seen({ identity: Buffer.from([0xff, 0xfe]) }), expected);
  assert.deepEqual(seen({ identity: 'x'.repeat(500) }), expected);
  assert.equal(bench.dtls.counters.handshakesUnauthentic, 6);
  assert.equal(bench.dtls.counters.keyErrors, 1);
  // The operator sees more.
  assert.deepEqual(bench.events.slice(0, 2), [
    'handshake-failed 1 bad record, identity "device"',
    'handshake-failed 1 bad record, identity "nobody"',
  ]);
  assert.equal(bench.events.length, 7);
});

test('keys of 1 and of 64 bytes, an empty identity and one of 128 bytes', () => {
  for (const identity of ['', 'ü'.repeat(64)]) {
    for (const key of [Buffer.from('k'), Buffer.alloc(64, 'k')]) {
      const bench = new DtlsBench({ psk: (asked) => (asked === identity ? key : null) });
      bench.check(bench.client(1, { identity, key }).connect());
      assert.ok(key.includes('k'), 'the key of the caller is left as it is');
    }
  }
});

test('RFC 6347 4.2.1: no state, no alert and no amplification before a good cookie', () => {
  const bench = new DtlsBench();
  for (let port = 1; port < 200; port++) {
    const client = bench.client(port);
    client.cookie = Buffer.alloc(port % 33, port);
    client.start();
  }
  assert.equal(bench.dtls.tables.handshakes, 0);
  bench.copies = () => 1;
  const before = bench.flown;
  // The hellos arrive; the answers are looked at here and not delivered.
  const shortest = bench.client(300);
  const hello = shortest.plain(HANDSHAKE, Buffer.concat([fragmentStart(shortest.helloBody()), Buffer.alloc(0)]));
  bench.below.receive(hello, 300);
  const [answer] = bench.below.sent.splice(0);
  assert.ok(answer.bytes.length <= hello.length, `${answer.bytes.length} of ${hello.length}`);
  const [record] = records(answer.bytes);
  assert.deepEqual([record.type, record.version, record.sequence], [HANDSHAKE, 0xfeff, 0]);
  // Many hellos in one datagram are worth one answer.
  bench.below.receive(Buffer.concat(Array.from({ length: 20 }, () => hello)), 300);
  assert.equal(bench.below.sent.splice(0).length, 1);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(bench.flown, before);
});

test('RFC 6347 4.2.1: a datagram is worth one look at a cookie, be it good or not', () => {
  const bench = new DtlsBench();
  const hellos = [1, 2].map(() => {
    const client = bench.client(1);
    const body = client.helloBody();
    bench.below.receive(client.plain(HANDSHAKE, fragmentOf({ type: 1, sequence: 0, body }, 0, body.length)), 1);
    client.cookie = Buffer.from(bench.below.sent.splice(0)[0].bytes.subarray(28));
    const again = client.helloBody();
    return client.plain(HANDSHAKE, fragmentOf({ type: 1, sequence: 1, body: again }, 0, again.length));
  });
  const stranger = bench.client(1);
  const body = stranger.helloBody();
  const without = stranger.plain(HANDSHAKE, fragmentOf({ type: 1, sequence: 0, body }, 0, body.length));
  bench.below.receive(Buffer.concat([without, ...hellos]), 1);
  assert.equal(bench.dtls.counters.handshakesStarted, 0);
  bench.below.receive(Buffer.concat(hellos), 1);
  assert.equal(bench.dtls.counters.handshakesStarted, 1);
  assert.equal(bench.dtls.tables.handshakes, 1);
});

/** The first fragment of a ClientHello: all up to the empty cookie. */
function fragmentStart(body: Buffer): Buffer {
  const start = body.subarray(0, 36);
  const head = Buffer.from('01000000000000000000000000', 'hex').subarray(0, 12);
  head.writeUIntBE(body.length, 1, 3);
  head.writeUIntBE(start.length, 9, 3);
  return Buffer.concat([head, start]);
}

test('RFC 6347 4.2.1: records and messages go on from the numbers of the ClientHello', () => {
  const bench = new DtlsBench();
  const client = bench.client(1);
  client.sequences[0] = 77;
  client.connect();
  const sent = bench.fromServer.flatMap((datagram) => records(datagram)).filter(({ epoch }) => epoch === 0);
  // HelloVerifyRequest; ServerHello and ServerHelloDone; ChangeCipherSpec.
  assert.deepEqual(
    sent.map(({ sequence }) => sequence),
    [77, 78, 79, 80],
  );
  assert.deepEqual(
    sent.slice(0, 3).map(({ body }) => body.readUInt16BE(4)),
    [0, 1, 2],
  );
});

test('RFC 6347 4.2.2: a cookie that has become too old is answered with the message that is due: the next one', () => {
  const bench = new DtlsBench();
  const client = bench.client(1);
  client.start();
  // The ClientHello with the cookie is lost, and comes again when the cookie is good no more.
  bench.copies = (flown) => (flown === 2 ? 0 : 1);
  bench.deliver();
  bench.clock.advance(2 * COOKIE_PERIOD);
  client.repeat();
  bench.deliver();
  assert.ok(client.connected);
  assert.equal(client.messages.join(), '3,3,2,14,20');
  bench.check(client);
});

test('every datagram of the handshake lost in turn, and every two of them', () => {
  const lossless = new DtlsBench();
  lossless.client(1).connect();
  const total = lossless.flown;
  assert.equal(total, 6);
  for (let first = 0; first < total; first++) {
    for (let second = first; second < total + 2; second++) {
      const bench = new DtlsBench();
      bench.copies = (flown) => (flown === first || flown === second ? 0 : 1);
      const client = bench.client(1);
      client.start();
      bench.deliver();
      for (let seconds = 0; !client.connected && seconds < 10; seconds++) {
        // Either side may be the one that repeats first.
        if ((first + second) % 2 === 0) client.repeat();
        bench.clock.advance(1_000);
        bench.deliver();
        if ((first + second) % 2 === 1 && !client.connected) client.repeat();
        bench.deliver();
      }
      assert.ok(client.connected, `without datagrams ${first} and ${second}`);
      bench.copies = () => 1;
      bench.check(client);
      assert.deepEqual([bench.dtls.tables.associations, bench.dtls.tables.handshakes], [1, 0]);
      assert.deepEqual(client.alerts, []);
    }
  }
});

for (const seed of seeds(40)) {
  test(`a network that loses, doubles and reorders fragments (SEED=${seed})`, () => {
    const random = new Random(seed);
    const bench = new DtlsBench({ limits: { handshakeDatagram: random.pick([64, 80, 1232]) }, identityHint: 'a hint' });
    const cid = random.oneIn(2) ? Buffer.from('theirs') : undefined;
    bench.copies = () => (random.oneIn(6) ? 0 : random.oneIn(6) ? 2 : 1);
    bench.pick = (waiting) => random.below(waiting);
    const fragment = random.pick([7, 20, 60]);
    const client = bench.client(1, { fragment, ...(cid === undefined ? {} : { cid }) });
    client.start();
    for (let turn = 0; turn < 30 && !client.connected; turn++) {
      // The network gets better, or no handshake could be sure to end.
      if (turn === 10) bench.copies = () => 1;
      bench.deliver();
      bench.clock.advance(500);
      if (turn % 3 === 2) client.repeat();
    }
    bench.copies = () => 1;
    bench.deliver();
    assert.ok(client.connected);
    assert.deepEqual(client.alerts, []);
    bench.pick = () => 0;
    bench.check(client);
    assert.deepEqual([bench.dtls.counters.internalErrors, bench.dtls.tables.handshakes], [0, 0]);
  });
}

test('messages in fragments of one byte, backwards', () => {
  const bench = new DtlsBench();
  const client = bench.client(1, { fragment: 1 });
  client.start();
  bench.pick = (waiting) => waiting - 1;
  for (let turn = 0; turn < 20 && !client.connected; turn++) {
    bench.deliver();
    client.repeat();
  }
  assert.ok(client.connected);
});

test('the server’s flight in fragments, none longer than the limit', () => {
  const bench = new DtlsBench({ limits: { handshakeDatagram: 60 }, identityHint: 'h'.repeat(128) });
  const client = bench.client(1, { cid: Buffer.from('cid') }).connect();
  const lengths = bench.fromServer.map((datagram) => datagram.length);
  // A protected fragment has at least 16 bytes of its message, whatever is asked for.
  assert.ok(Math.max(...lengths) <= 75, lengths.join());
  assert.ok(lengths.length > 6);
  assert.equal(client.hint, 'h'.repeat(128));
  bench.check(client);
});

test('RFC 6347 4.2.4: the server repeats its flight after 1, 2, 4 and 8 s, and gives up after the handshake time', () => {
  const bench = new DtlsBench();
  halfway(bench, 1);
  const times: number[] = [];
  for (let tenth = 1; tenth <= 320; tenth++) {
    bench.clock.advance(100);
    if (bench.below.sent.splice(0).length > 0) times.push(tenth / 10);
  }
  assert.deepEqual(
    times.map((seconds) => Math.floor(seconds)),
    [1, 3, 7, 15],
  );
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(bench.dtls.counters.handshakeTimeouts, 1);
  assert.equal(bench.clock.pending, 0);
});

test('a client that repeats its ClientHello without end is answered a bounded number of times', () => {
  const bench = new DtlsBench();
  const client = halfway(bench, 1);
  bench.copies = () => 1;
  const hello = client.plain(HANDSHAKE, helloWithCookie(client.helloBody()));
  let answers = 0;
  for (let time = 0; time < 1_000; time++) {
    bench.below.receive(hello, 1);
    answers += bench.below.sent.splice(0).length;
  }
  assert.equal(answers, 16);
});

function helloWithCookie(body: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head[0] = 1;
  head.writeUIntBE(body.length, 1, 3);
  head.writeUInt16BE(1, 4);
  head.writeUIntBE(body.length, 9, 3);
  return Buffer.concat([head, body]);
}

test('Finished ahead of ClientKeyExchange waits for it', () => {
  const bench = new DtlsBench();
  const client = bench.client(1, { fragment: 200 });
  client.start();
  // ClientKeyExchange, ChangeCipherSpec and Finished are the last three on their way, each by itself.
  bench.pick = (waiting) => waiting - 1;
  bench.deliver();
  assert.ok(client.connected);
  assert.equal(bench.dtls.counters.flightsRepeated, 0);
});

test('RFC 5246 7.4.9: Finished without ChangeCipherSpec in its datagram is unexpected_message', () => {
  const bench = new DtlsBench();
  const client = bench.client(1, { unchanged: true });
  client.start();
  bench.deliver();
  assert.deepEqual([client.connected, client.alerts], [false, [[0, FATAL, 10]]]);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.deepEqual(bench.events, ['handshake-failed 1 Finished without ChangeCipherSpec']);
});

test('Finished in a datagram of its own waits for ChangeCipherSpec; if none comes, unexpected_message ends the handshake in time', () => {
  const bench = new DtlsBench();
  const client = bench.client(1, { unchanged: true, fragment: 200 });
  client.start();
  bench.deliver();
  for (let repeated = 0; repeated < 3; repeated++) {
    client.repeat();
    bench.deliver();
  }
  // What is no ChangeCipherSpec changes nothing.
  for (const body of ['', '00', '0101', '02']) client.raw(client.plain(CCS, Buffer.from(body, 'hex')));
  bench.deliver();
  assert.deepEqual([client.connected, client.alerts, bench.dtls.tables.handshakes], [false, [], 1]);
  bench.clock.advance(DEFAULT_DTLS_LIMITS.handshakeTime);
  bench.deliver();
  assert.deepEqual([client.connected, client.alerts], [false, [[0, FATAL, 10]]]);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(bench.dtls.counters.handshakesFailed, 1);
});

test('ChangeCipherSpec that comes after Finished, or is lost and comes again, is enough', () => {
  for (const late of [true, false]) {
    const bench = new DtlsBench();
    const client = bench.client(1, { fragment: 200 });
    client.start();
    let held: Buffer | undefined;
    // HelloVerifyRequest; ServerHello and ServerHelloDone; ClientKeyExchange; ChangeCipherSpec.
    bench.copies = (flown) => {
      if (flown !== 5) return 1;
      held = client.plain(CCS, Buffer.from([1]));
      return 0;
    };
    bench.deliver();
    assert.ok(!client.connected && held !== undefined);
    if (late) client.raw(held);
    else client.repeat();
    bench.deliver();
    assert.ok(client.connected, late ? 'late' : 'again');
    bench.check(client);
  }
});

test('late data of an association that is no more does not end a handshake at its address', () => {
  const bench = new DtlsBench();
  const old = bench.client(1).connect();
  bench.dtls.endAssociations(() => true);
  bench.deliver();
  const start = bench.flown;
  // Between ClientKeyExchange and Finished, and before both.
  const client = bench.client(1, { fragment: 200 });
  client.start();
  bench.copies = (flown) => {
    if (flown >= start + 6) bench.below.receive(old.seal(DATA, Buffer.from('late')), 1);
    return 1;
  };
  bench.deliver();
  assert.ok(client.connected);
  assert.equal(bench.received.length, 0);
});

test('a message that is too long, or out of place, ends the handshake', () => {
  for (const [type, length, alert] of [
    [16, LARGEST_MESSAGE + 1, 50],
    [11, 8, 10],
    [20, 12, 10],
    [16, 1, 50],
    [16, 5, 50],
  ]) {
    const bench = new DtlsBench();
    const client = halfway(bench, 1);
    bench.copies = () => 1;
    const head = Buffer.alloc(12);
    const size = Math.min(length, 100);
    head[0] = type;
    head.writeUIntBE(length, 1, 3);
    head.writeUInt16BE(2, 4);
    head.writeUIntBE(size, 9, 3);
    bench.below.receive(client.plain(HANDSHAKE, Buffer.concat([head, Buffer.alloc(size)])), 1);
    bench.deliver();
    assert.deepEqual(client.alerts, [[0, FATAL, alert]]);
    assert.equal(bench.dtls.tables.handshakes, 0);
  }
});

test('RFC 5246 7.4.9: a Finished that is wrong, or too short, is decrypt_error though its record is authentic', () => {
  for (const finished of [(right: Buffer) => Buffer.alloc(right.length), (right: Buffer) => right.subarray(0, 11)]) {
    const bench = new DtlsBench();
    const client = bench.client(1, { finished });
    client.start();
    bench.deliver();
    assert.deepEqual(client.alerts, [[0, FATAL, 51]]);
    assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
    assert.deepEqual(bench.events, ['handshake-failed 1 bad Finished, identity "device"']);
  }
});

test('a Finished that is right but not protected counts for nothing', () => {
  const bench = new DtlsBench();
  const client = bench.client(1, { plainFinished: true });
  client.start();
  bench.deliver();
  assert.ok(!client.connected);
  assert.deepEqual([bench.dtls.tables.associations, bench.dtls.tables.handshakes], [0, 1]);
});

test('a later fragment cannot put another random behind the cookie', () => {
  const bench = new DtlsBench();
  const client = bench.client(1, { fragment: 40 });
  client.start();
  let isChanged = false;
  bench.copies = (flown) => {
    // In front of the last fragment of the second ClientHello.
    if (!isChanged && bench.dtls.tables.handshakes === 1 && flown > 0) {
      isChanged = true;
      const body = client.helloBody();
      const other = Buffer.from(body);
      other.fill(9, 2, 34);
      bench.below.receive(client.plain(HANDSHAKE, fragmentOf({ type: 1, sequence: 1, body: other }, 1, 40)), 1);
    }
    return 1;
  };
  const { receive } = bench.below;
  bench.below.receive = (bytes, port, address) => {
    receive.call(bench.below, bytes, port, address);
    bench.copies(1);
  };
  bench.deliver();
  assert.ok(isChanged);
  assert.deepEqual(client.alerts, [[0, FATAL, 47]]);
  assert.equal(bench.dtls.tables.handshakes, 0);
});

test('a message in pieces with too many gaps between them takes no more of them', () => {
  const assembly = new Reassembly(1, 4_000);
  const body = Buffer.alloc(1, 7);
  const add = (offset: number, bytes = body): void =>
    assembly.add({ type: 1, length: 4_000, messageSequence: 0, offset, body: bytes });
  for (let offset = 0; offset < 4_000; offset += 2) add(offset);
  assert.equal(assembly.body.filter((byte) => byte === 7).length, 32);
  // What fills the gaps is still taken.
  add(1, Buffer.alloc(2_000, 8));
  assert.ok(!assembly.complete);
  add(1_999, Buffer.alloc(2_001, 8));
  assert.ok(assembly.complete);
});

test('an alert of the client ends its handshake', () => {
  const bench = new DtlsBench();
  const client = halfway(bench, 1);
  assert.equal(bench.dtls.tables.handshakes, 1);
  bench.below.receive(client.plain(ALERT, Buffer.from([FATAL, 40])), 1);
  assert.equal(bench.dtls.tables.handshakes, 0);
  assert.equal(bench.dtls.counters.handshakesAbandoned, 1);
});

test('with the limit of handshakes reached the oldest makes place, and it is said', () => {
  const bench = new DtlsBench({ limits: { handshakes: 3 } });
  const halves = [1, 2, 3, 4].map((port) => {
    const client = halfway(bench, port);
    bench.clock.advance(10);
    return client;
  });
  assert.equal(bench.dtls.tables.handshakes, 3);
  assert.equal(bench.dtls.counters.handshakeEvictions, 1);
  assert.deepEqual(bench.events, ['limit 1 handshakes']);
  bench.copies = () => 1;
  for (const client of halves.slice(1)) {
    client.repeat();
    bench.deliver();
    assert.ok(client.connected);
  }
});

test('a handshake time below the first repetition holds', () => {
  const bench = new DtlsBench({ limits: { handshakeTime: 500 } });
  bench.client(1).start();
  bench.copies = (flown) => (flown === 3 ? 0 : 1);
  bench.deliver();
  bench.clock.advance(510);
  assert.equal(bench.dtls.counters.handshakeTimeouts, 1);
});

test('a wish for the flight needs the client’s random: a second message in the record does not get round it', () => {
  const bench = new DtlsBench();
  const client = bench.client(1);
  // The client takes nothing of the server's flight.
  bench.copies = (flown) => (flown === 3 ? 0 : 1);
  client.start();
  bench.deliver();
  const stranger = bench.client(1);
  const body = Buffer.alloc(0);
  const first = fragmentOf({ type: 99, sequence: 77, body }, 0, 0);
  const second = fragmentOf({ type: 1, sequence: 0, body }, 0, 0);
  bench.below.receive(
    stranger.plain(HANDSHAKE, Buffer.concat([first, ...Array.from({ length: 20 }, () => second)])),
    1,
  );
  assert.equal(bench.below.sent.length, 0);
});
