/** Security associations: replays, alerts, new handshakes at an old address, Connection IDs, limits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALERT, CID, DATA, DtlsBench, fragmentOf, HANDSHAKE, KEY, records } from './client.js';

const WARNING = 1;
const FATAL = 2;
const CLOSE = Buffer.from([WARNING, 0]);

test('RFC 6347 4.1.2.6: a record counts once, in any order within 64, and not at all when older', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  const sealed = Array.from({ length: 70 }, (_, i) => client.seal(DATA, Buffer.from(`${i}`)));
  for (const i of [69, 6, 40, 5, 69, 6, 68]) client.raw(sealed[i]);
  bench.deliver();
  // 5 lies 64 behind 69.
  assert.deepEqual(
    bench.received.map(({ text }) => text),
    ['69', '6', '40', '68'],
  );
  assert.equal(bench.dtls.counters.replayedRecords, 3);
});

test('forged, cut and unknown records are dropped in silence, and the association goes on', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  const sent = bench.fromServer.length;
  const good = client.seal(DATA, Buffer.from('never'));
  for (let at = 0; at < good.length; at++) {
    const forged = Buffer.from(good);
    forged[at] ^= 1;
    client.raw(forged);
    client.raw(good.subarray(0, at));
  }
  for (const type of [0, 24, 26, 255]) client.raw(client.seal(type, Buffer.from('x')));
  client.raw(client.plain(DATA, Buffer.from('in the clear')));
  client.raw(client.plain(ALERT, Buffer.from([FATAL, 40])));
  client.raw(client.plain(ALERT, CLOSE));
  client.raw(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  client.raw(Buffer.alloc(0));
  bench.deliver();
  assert.equal(bench.received.length, 0);
  assert.equal(bench.fromServer.length, sent);
  assert.ok(bench.dtls.counters.badRecords > 20);
  bench.check(client);
  // A forged record has not moved the window: the true one is still new.
  client.raw(good);
  bench.deliver();
  assert.equal(bench.received.at(-1)?.text, 'never');
});

test('several records in one datagram, and an empty one', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  client.raw(Buffer.concat(['a', '', 'c'].map((text) => client.seal(DATA, Buffer.from(text)))));
  bench.deliver();
  assert.equal(bench.received.map(({ text }) => text).join('|'), 'a||c');
});

for (const cid of [undefined, Buffer.from('a CID')]) {
  test(`RFC 5246 6.2.1: no content is longer than 2^14 bytes, ${cid === undefined ? 'without' : 'with'} a Connection ID`, () => {
    const bench = new DtlsBench();
    const client = bench.client(1, cid === undefined ? {} : { cid }).connect();
    client.raw(client.seal(DATA, Buffer.alloc(2 ** 14 + 1, 0x61)));
    bench.deliver();
    assert.equal(bench.received.length, 0);
    client.raw(client.seal(DATA, Buffer.alloc(2 ** 14, 0x61)));
    bench.deliver();
    assert.equal(bench.received.at(-1)?.text.length, 2 ** 14);
    bench.check(client);
  });
}

test('a datagram from source port 0, and one to an association that is no more, go nowhere', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  bench.check(client);
  bench.below.receive(client.seal(DATA, Buffer.from('x')), 0);
  assert.equal(bench.dtls.counters.droppedSourcePort, 1);
  client.raw(client.seal(ALERT, CLOSE));
  bench.deliver();
  bench.answer('too late');
  const { address, port, family } = bench.received[0].source;
  bench.dtls.send(Buffer.from('plain'), 0, 5, { address, port, family });
  assert.equal(bench.dtls.counters.droppedSends, 2);
  assert.equal(bench.below.sent.length, 0);
});

test('close_notify is answered with close_notify (RFC 5246 7.2.1), a fatal alert with nothing', () => {
  const bench = new DtlsBench();
  for (const [alert, answer] of [
    [CLOSE, [[1, WARNING, 0]]],
    [Buffer.from([FATAL, 80]), []],
  ] as const) {
    const client = bench.client(1).connect();
    client.raw(client.seal(ALERT, Buffer.from([WARNING, 90])));
    client.raw(client.seal(ALERT, Buffer.from([FATAL])));
    bench.deliver();
    assert.equal(bench.dtls.tables.associations, 1);
    client.raw(client.seal(ALERT, alert));
    bench.deliver();
    assert.deepEqual(client.alerts, answer);
    assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  }
});

test('close says close_notify to everyone', async () => {
  const bench = new DtlsBench();
  const clients = [1, 2, 3].map((port) => bench.client(port).connect());
  await bench.dtls.close();
  bench.deliver();
  for (const client of clients) assert.deepEqual(client.alerts, [[1, WARNING, 0]]);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(bench.clock.pending, 0);
});

test('RFC 5246 7.2.2: a ClientHello within an association is answered no_renegotiation', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  const body = client.helloBody();
  client.raw(client.seal(HANDSHAKE, fragmentOf({ type: 1, sequence: 4, body }, 0, body.length)));
  bench.deliver();
  assert.deepEqual(client.alerts, [[1, WARNING, 100]]);
  assert.equal(bench.dtls.tables.handshakes, 0);
  bench.check(client);
});

test('Finished again is answered again, a bounded number of times, and no more once data has come', () => {
  const bench = new DtlsBench();
  // The server's last flight is lost.
  bench.copies = (flown) => (flown === 5 ? 0 : 1);
  const client = bench.client(1);
  client.start();
  bench.deliver();
  assert.ok(!client.connected);
  bench.copies = () => 1;
  let answers = 0;
  for (let time = 0; time < 50; time++) {
    const before = bench.fromServer.length;
    client.repeat();
    bench.deliver();
    answers += bench.fromServer.length - before;
  }
  assert.ok(client.connected);
  assert.equal(answers, 16);
  // With data of the client its server knows that it has the answer.
  const other = bench.client(2).connect();
  bench.check(other);
  const quiet = bench.fromServer.length;
  other.repeat();
  bench.deliver();
  assert.equal(bench.fromServer.length, quiet);
});

test('RFC 6347 4.2.8: a new ClientHello at a live address: the old association lives until the new one has finished', () => {
  const bench = new DtlsBench();
  const old = bench.client(1).connect();
  bench.check(old);
  const key = bench.received[0].source.key;
  // Without a cookie nothing happens; with one a handshake begins beside the association.
  const young = bench.client(1);
  const start = bench.flown;
  bench.copies = (flown) => (flown >= start + 4 ? 0 : 1);
  young.start();
  bench.deliver();
  assert.deepEqual([bench.dtls.tables.associations, bench.dtls.tables.handshakes], [1, 1]);
  bench.copies = () => 1;
  old.sendData('still here');
  bench.deliver();
  assert.equal(bench.received.at(-1)?.text, 'still here');
  assert.equal(bench.received.at(-1)?.source.key, key);
  young.repeat();
  bench.deliver();
  assert.ok(young.connected);
  bench.check(young);
  assert.notEqual(bench.received.at(-1)?.source.key, key);
  const count = bench.received.length;
  old.sendData('gone');
  bench.deliver();
  assert.equal(bench.received.length, count);
  assert.equal(bench.dtls.counters.associationsReplaced, 1);
  assert.equal(bench.dtls.tables.associations, 1);
});

test('RFC 6347 4.2.8: a handshake at a live address that fails, or times out, leaves the association alone', () => {
  const bench = new DtlsBench();
  const old = bench.client(1).connect();
  // Its keys are not those of the association.
  const wrong = bench.client(1, { key: Buffer.from('wrong') });
  wrong.start();
  bench.deliver();
  assert.deepEqual(wrong.alerts, [[0, FATAL, 51]]);
  const silent = bench.client(1);
  const start = bench.flown;
  bench.copies = (flown) => (flown >= start + 4 ? 0 : 1);
  silent.start();
  bench.deliver();
  bench.clock.advance(40_000);
  assert.equal(bench.dtls.counters.handshakeTimeouts, 1);
  bench.copies = () => 1;
  old.sendData('unmoved');
  bench.deliver();
  assert.equal(bench.received.at(-1)?.text, 'unmoved');
});

test('a copy of the ClientHello of a live association starts nothing', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  const body = client.helloBody();
  const hello = client.plain(HANDSHAKE, fragmentOf({ type: 1, sequence: 1, body }, 0, body.length));
  const sent = bench.fromServer.length;
  for (let time = 0; time < 5; time++) client.raw(hello);
  bench.deliver();
  assert.equal(bench.fromServer.length, sent);
  assert.equal(bench.dtls.tables.handshakes, 0);
});

for (const theirs of [Buffer.alloc(0), Buffer.from('their connection')]) {
  test(`RFC 9146: Connection IDs, the client’s with ${theirs.length} bytes; the address follows a newer record only`, () => {
    const bench = new DtlsBench();
    const client = bench.client(1, { cid: theirs }).connect();
    assert.equal(client.serverCid?.length, 8);
    bench.check(client);
    const last = records(bench.fromServer.at(-1)!, theirs)[0];
    assert.equal(last.type, theirs.length > 0 ? CID : DATA);
    const { key } = bench.received[0].source;
    const late = client.seal(DATA, Buffer.from('late'));
    const newer = client.seal(DATA, Buffer.from('newer'), undefined, 30);
    // A forgery and a replay from elsewhere change nothing.
    const forged = Buffer.from(newer);
    forged[forged.length - 1] ^= 1;
    bench.below.receive(forged, 66);
    bench.move(client, 2);
    client.raw(newer);
    bench.deliver();
    assert.deepEqual(
      [bench.received.at(-1)?.text, bench.received.at(-1)?.source.port, bench.received.at(-1)?.source.key],
      ['newer', 2, key],
    );
    bench.answer('to the new port');
    assert.equal(client.data.at(-1), 'to the new port');
    bench.below.receive(late, 1);
    assert.equal(bench.received.at(-1)?.text, 'late');
    bench.below.receive(newer, 67);
    bench.answer('still to the new port');
    assert.equal(client.data.at(-1), 'still to the new port');
    assert.equal(bench.dtls.counters.addressChanges, 1);
    bench.check(client);
    // The old address is free: another client may come from there.
    bench.check(bench.client(1).connect());
    bench.check(client);
    assert.equal(bench.dtls.tables.associations, 2);
  });
}

test('RFC 9146 3: where a Connection ID was agreed on, a record without one is dropped, and the other way round', () => {
  const bench = new DtlsBench();
  const withCid = bench.client(1, { cid: Buffer.alloc(0) }).connect();
  const without = bench.client(2).connect();
  const record = withCid.seal(DATA, Buffer.from('x'));
  const stripped = Buffer.concat([Buffer.from([DATA]), record.subarray(1, 11), record.subarray(19)]);
  withCid.raw(stripped);
  const plain = without.seal(DATA, Buffer.from('y'));
  without.raw(Buffer.concat([Buffer.from([CID]), plain.subarray(1, 11), Buffer.alloc(8), plain.subarray(11)]));
  bench.deliver();
  assert.deepEqual(bench.received, []);
  bench.check(without);
  bench.check(withCid);
});

test('RFC 9146: a client behind the address of another with a Connection ID; both are told apart', () => {
  const bench = new DtlsBench();
  const first = bench.client(1, { cid: Buffer.alloc(0) }).connect();
  const second = bench.client(2, { cid: Buffer.alloc(0) }).connect();
  const third = bench.client(3).connect();
  // The first one moves to the second one's address, then to the third one's, which has no Connection ID.
  for (const port of [2, 3]) {
    bench.below.receive(first.seal(DATA, Buffer.from(`first at ${port}`)), port);
    assert.equal(bench.received.at(-1)?.text, `first at ${port}`);
  }
  bench.below.receive(second.seal(DATA, Buffer.from('second')), 2);
  assert.equal(bench.received.at(-1)?.text, 'second');
  bench.below.receive(third.seal(DATA, Buffer.from('third')), 3);
  assert.equal(bench.received.at(-1)?.text, 'third');
  assert.equal(new Set(bench.received.map(({ source }) => source.key)).size, 3);
});

test('a Connection ID in the handshake itself survives a lost last flight', () => {
  const bench = new DtlsBench();
  bench.copies = (flown) => (flown === 5 ? 0 : 1);
  const client = bench.client(1, { cid: Buffer.from('c') });
  client.start();
  bench.deliver();
  client.repeat();
  bench.deliver();
  assert.ok(client.connected);
  bench.check(client);
});

test('with the limit of associations reached the one that was idle longest goes, with close_notify and an event', () => {
  const bench = new DtlsBench({ limits: { associations: 3 } });
  const [first, second, third] = [1, 2, 3].map((port) => bench.client(port).connect());
  bench.check(first);
  const fourth = bench.client(4).connect();
  assert.deepEqual(second.alerts, [[1, WARNING, 0]]);
  for (const client of [first, third, fourth]) bench.check(client);
  assert.equal(bench.dtls.tables.associations, 3);
  assert.equal(bench.dtls.counters.associationEvictions, 1);
  assert.ok(bench.events.includes('limit 2 associations'));
});

test('an association that is idle for too long ends, with close_notify', () => {
  const bench = new DtlsBench({ limits: { idleTime: 10_000 } });
  const first = bench.client(1).connect();
  bench.clock.advance(4_000);
  const second = bench.client(2).connect();
  bench.clock.advance(4_000);
  bench.check(first);
  bench.clock.advance(7_000);
  bench.deliver();
  assert.equal(bench.dtls.tables.associations, 1);
  assert.deepEqual([first.alerts, second.alerts], [[], [[1, WARNING, 0]]]);
  bench.clock.advance(4_000);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(bench.dtls.counters.associationsExpired, 2);
  assert.equal(bench.clock.pending, 0);
});

test('RFC 6347 4.1: an association ends before its sequence numbers do', () => {
  const bench = new DtlsBench({ limits: { records: 5 } });
  const client = bench.client(1).connect();
  client.sendData('hello');
  bench.deliver();
  // Finished was the first record; the last one is close_notify.
  for (let time = 0; time < 10; time++) bench.answer(`${time}`);
  assert.deepEqual(client.data, ['0', '1', '2']);
  assert.deepEqual(client.alerts, [[1, WARNING, 0]]);
  assert.equal(bench.dtls.tables.associations, 0);
  assert.ok(bench.events.includes('limit 1 records'));
});

test('the highest sequence numbers are taken, in epoch 1; a ClientHello near the end of epoch 0 is not', () => {
  const bench = new DtlsBench();
  const client = bench.client(1).connect();
  client.raw(client.seal(DATA, Buffer.from('last'), 2 ** 48 - 1));
  bench.deliver();
  assert.equal(bench.received.at(-1)?.text, 'last');
  const other = bench.client(2);
  other.sequences[0] = 2 ** 48 - 10;
  other.start();
  bench.deliver();
  assert.equal(bench.dtls.tables.handshakes, 0);
  assert.ok(!other.connected);
});

test('the associations of an identity can be ended, as when its key is withdrawn', () => {
  const bench = new DtlsBench({ psk: () => KEY });
  const [a, b, c] = ['a', 'b', 'a'].map((identity, i) => bench.client(i + 1, { identity }).connect());
  assert.equal(
    bench.dtls.endAssociations((session) => session.identity === 'a'),
    2,
  );
  bench.deliver();
  assert.deepEqual([a.alerts, b.alerts, c.alerts], [[[1, WARNING, 0]], [], [[1, WARNING, 0]]]);
  bench.check(b);
});

test('a handshake that was under way when its key was withdrawn fails as with a wrong key', () => {
  const bench = new DtlsBench({ psk: () => KEY });
  const [a, b] = ['a', 'b'].map((identity, i) => {
    const client = bench.client(i + 1, { identity });
    const start = bench.flown;
    // What the client says after ServerHello is lost for now.
    bench.copies = (flown) => (flown >= start + 4 ? 0 : 1);
    client.start();
    bench.deliver();
    return client;
  });
  bench.copies = () => 1;
  assert.equal(bench.dtls.tables.handshakes, 2);
  assert.equal(
    bench.dtls.endAssociations((session) => session.identity === 'a'),
    0,
  );
  for (const client of [a, b]) client.repeat();
  bench.deliver();
  assert.deepEqual([a.connected, a.alerts], [false, [[0, FATAL, 51]]]);
  bench.check(b);
  assert.equal(bench.dtls.tables.handshakes, 0);
});

test('what throws above or beside the transport stays there', () => {
  const bench = new DtlsBench({
    onEvent: () => {
      throw new Error('event');
    },
  });
  const client = bench.client(1).connect();
  bench.dtls.onDatagram = () => {
    throw new Error('datagram');
  };
  client.sendData('x');
  bench.deliver();
  assert.equal(bench.dtls.counters.internalErrors, 3);
  bench.dtls.onDatagram = undefined;
  client.sendData('y');
  bench.deliver();
  assert.equal(bench.dtls.tables.associations, 1);
});
