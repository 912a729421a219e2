/** The client's associations: their records, their end, and their limits (RFC 6347 4.1, RFC 5246 7.2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoapClient } from '../../../src/coap/client/client.js';
import type { Outcome } from '../../../src/coap/client/outcome.js';
import { Code, Method } from '../../../src/coap/codes.js';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { ACK, decode, encode } from '../harness.js';
import { ALERT, DATA, HANDSHAKE } from './client.js';
import { at, ClientBench } from './client-bench.js';
import type { DtlsServer } from './server.js';

const NOTHING = { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 };

function connected(bench: ClientBench, port = 1): DtlsServer {
  const server = bench.server(port);
  bench.connect(server, port);
  return server;
}

test('a record that comes again, or is not authentic, reaches nobody; records may overtake each other', () => {
  const bench = new ClientBench();
  const server = connected(bench);
  const [first, second] = ['first', 'second'].map((text) => server.seal(DATA, Buffer.from(text)));
  for (const record of [second, first, second, first]) server.raw(record);
  const forged = server.seal(DATA, Buffer.from('forged'));
  forged[forged.length - 1] ^= 1;
  server.raw(forged);
  server.raw(server.plain(DATA, Buffer.from('plain')));
  bench.deliver();
  assert.deepEqual(bench.texts(), ['second', 'first']);
  assert.equal(bench.dtls.counters.replayedRecords, 2);
  assert.equal(bench.dtls.counters.badRecords, 1);
  assert.equal(bench.dtls.counters.droppedRecords, 1);
});

test('a forged record ends its datagram: each one would cost a decryption', () => {
  const bench = new ClientBench();
  const server = connected(bench);
  const forged = server.seal(DATA, Buffer.from('forged'));
  forged[forged.length - 1] ^= 1;
  server.raw(Buffer.concat([forged, forged, server.seal(DATA, Buffer.from('behind'))]));
  bench.deliver();
  assert.deepEqual(bench.texts(), []);
  assert.equal(bench.dtls.counters.badRecords, 1);
});

test('close_notify is answered, the requester is told, and the next datagram makes a new association', () => {
  const bench = new ClientBench();
  const server = connected(bench);
  server.raw(server.seal(ALERT, Buffer.from([1, 0])));
  bench.deliver();
  assert.deepEqual(server.alerts, [[1, 1, 0]]);
  assert.deepEqual(bench.told, ['gone 1: the device closed its DTLS association']);
  assert.deepEqual(bench.dtls.tables, NOTHING);
  connected(bench);
  assert.equal(bench.dtls.counters.handshakesCompleted, 2);
});

test('a fatal alert ends an association if it is authentic, and only then', () => {
  const bench = new ClientBench();
  const server = connected(bench);
  server.raw(server.plain(ALERT, Buffer.from([2, 40])));
  server.raw(server.seal(ALERT, Buffer.from([1, 100])));
  bench.deliver();
  assert.equal(bench.dtls.tables.associations, 1);
  server.raw(server.seal(ALERT, Buffer.from([2, 40])));
  bench.deliver();
  assert.deepEqual(server.alerts, []);
  assert.deepEqual(bench.told, ['gone 1: its DTLS failed with alert handshake_failure (40)']);
  assert.equal(bench.dtls.tables.associations, 0);
});

test('HelloRequest, the wish to renegotiate, is ignored (RFC 5246 7.4.1.1)', () => {
  const bench = new ClientBench();
  const server = connected(bench);
  server.raw(server.seal(HANDSHAKE, Buffer.from('000000000003000000000000', 'hex')));
  bench.deliver();
  bench.send('on it goes');
  bench.deliver();
  assert.deepEqual(server.data, ['first', 'on it goes']);
  assert.deepEqual(bench.told, []);
});

test('an association in which nothing comes any more is given up, and the next request makes another', async () => {
  const bench = new ClientBench();
  const server = connected(bench);
  server.say('alive');
  bench.deliver();
  // The server has begun anew and knows nothing.
  const anew = bench.server();
  assert.equal(bench.dtls.unanswered(at(1)), undefined);
  bench.send('lost');
  bench.clock.advance(1_900);
  assert.equal(bench.dtls.unanswered(at(1)), undefined);
  bench.clock.advance(200);
  assert.equal(bench.dtls.tables.associations, 1);
  assert.equal(bench.dtls.unanswered(at(1)), undefined);
  assert.equal(bench.dtls.tables.associations, 0);
  await bench.settle();
  assert.deepEqual(bench.told, ['gone 1: nothing comes in its DTLS association any more']);
  assert.equal(bench.dtls.counters.associationsLost, 1);
  bench.connect(anew);
});

test('an association in which something came meanwhile is kept', () => {
  const bench = new ClientBench();
  const server = connected(bench);
  server.say('busy');
  bench.deliver();
  bench.clock.advance(60_000);
  assert.equal(bench.dtls.unanswered(at(1)), undefined);
  assert.equal(bench.dtls.tables.associations, 1);
});

test('what waited for a handshake when its request was given up is not sent later', () => {
  const bench = new ClientBench();
  bench.send('open the door');
  bench.deliver();
  assert.equal(bench.dtls.unanswered(at(1)), 'no answer to ClientHello');
  assert.equal(bench.dtls.unanswered(at(2)), undefined);
  const server = bench.server();
  bench.clock.advance(1_100);
  bench.deliver();
  assert.equal(server.connected, true);
  assert.deepEqual(server.data, []);
  bench.send('now');
  bench.deliver();
  assert.deepEqual(server.data, ['now']);
});

test('limits.associations: the one idle longest ends with close_notify', () => {
  const bench = new ClientBench({ limits: { associations: 2 } });
  const servers = [1, 2].map((port) => connected(bench, port));
  servers[0].say('I am used');
  bench.deliver();
  connected(bench, 3);
  assert.deepEqual(servers[0].alerts, []);
  assert.deepEqual(servers[1].alerts, [[1, 1, 0]]);
  assert.deepEqual(bench.told, ['gone 2: its DTLS association made place for another']);
  assert.ok(bench.events.includes('limit 2 associations'));
  assert.equal(bench.dtls.counters.associationEvictions, 1);
  assert.equal(bench.dtls.tables.associations, 2);
});

test('limits.handshakes: one too many does not begin', async () => {
  const bench = new ClientBench({ limits: { handshakes: 2 } });
  for (const port of [1, 2, 3]) bench.send('x', at(port));
  await bench.settle();
  assert.deepEqual(bench.told, ['unreachable 3: too many DTLS handshakes are under way']);
  assert.deepEqual(bench.events, ['limit 3 handshakes']);
  assert.equal(bench.dtls.counters.handshakesRefused, 1);
  assert.equal(bench.dtls.tables.handshakes, 2);
});

test('limits.waitingDatagrams and limits.waitingBytes: a datagram beyond them is lost', () => {
  const bench = new ClientBench({ limits: { waitingDatagrams: 2, waitingBytes: 10 } });
  for (const text of ['1', '2', '3']) bench.send(text);
  bench.send('12345678', at(2));
  bench.send('1', at(2));
  assert.deepEqual(bench.events, ['limit 1 waitingDatagrams', 'limit 2 waitingBytes']);
  assert.equal(bench.dtls.tables.waitingBytes, 10);
  const servers = [1, 2].map((port) => bench.server(port));
  bench.deliver();
  assert.deepEqual(
    servers.map(({ data }) => data),
    [['1', '2'], ['12345678']],
  );
  assert.equal(bench.dtls.tables.waitingBytes, 0);
  const { droppedWaiting, droppedWaitingBytes } = bench.dtls.counters;
  assert.deepEqual([droppedWaiting, droppedWaitingBytes], [1, 1]);
});

test('limits.idleTime: an association that was silent for so long ends with close_notify', () => {
  const bench = new ClientBench({ limits: { idleTime: 10_000 } });
  const server = connected(bench);
  bench.clock.advance(10_100);
  bench.deliver();
  assert.deepEqual(server.alerts, [[1, 1, 0]]);
  assert.deepEqual(bench.told, ['gone 1: its DTLS association was idle for too long']);
  assert.equal(bench.dtls.counters.associationsExpired, 1);
  assert.deepEqual(bench.dtls.tables, NOTHING);
});

test('limits.records: an association that has sent so many ends with close_notify', async () => {
  const bench = new ClientBench({ limits: { records: 4 } });
  const server = connected(bench);
  bench.send('second');
  bench.send('one too many');
  bench.deliver();
  await bench.settle();
  assert.deepEqual(server.data, ['first', 'second']);
  assert.deepEqual(server.alerts, [[1, 1, 0]]);
  assert.deepEqual(bench.told, ['gone 1: its DTLS association has sent all its records']);
  assert.equal(bench.dtls.counters.associationsExhausted, 1);
});

test('a datagram that no record can hold is dropped', () => {
  const bench = new ClientBench();
  bench.send('x'.repeat(16_385));
  assert.equal(bench.dtls.counters.droppedSends, 1);
  assert.deepEqual(bench.dtls.tables, NOTHING);
});

test('close() says close_notify to every server, and nothing is left', async () => {
  const bench = new ClientBench();
  const server = connected(bench);
  bench.send('waits', at(2));
  await bench.dtls.close();
  bench.deliver();
  assert.deepEqual(server.alerts, [[1, 1, 0]]);
  assert.deepEqual(bench.dtls.tables, NOTHING);
  assert.equal(bench.clock.pending, 0);
  bench.send('too late');
  assert.equal(bench.dtls.counters.droppedSends, 1);
  assert.deepEqual(bench.told, []);
});

test('an event handler that throws is counted, and nothing else', () => {
  const bench = new ClientBench({
    onEvent: () => {
      throw new Error('no');
    },
  });
  connected(bench);
  assert.equal(bench.dtls.counters.internalErrors, 1);
});

/** A CoAP client over the DTLS of the bench. */
function coap(bench: ClientBench): { readonly client: CoapClient; ask(port?: number): Outcome[] } {
  const client = new CoapClient(bench.dtls, { clock: bench.clock, random: () => 0 });
  return {
    client,
    ask: (port = 1) => {
      const outcomes: Outcome[] = [];
      client.request(at(port), { method: Method.Get, path: ['x'] }, (outcome) => outcomes.push(outcome));
      return outcomes;
    },
  };
}

test('a CoAP request waits for the handshake, and its response is known by the association', async () => {
  const bench = new ClientBench();
  const { ask } = coap(bench);
  const endpoint = new CoapEndpoint(bench.echo(), {
    clock: bench.clock,
    handler: (request, exchange) => exchange.respond({ code: Code.Content, payload: Buffer.from(request.pathKey) }),
  });
  const outcomes = ask();
  bench.deliver();
  assert.equal(outcomes[0].response?.payload.toString(), '/x');
  await endpoint.close();
});

test('a CoAP request whose handshake fails has the failure `handshake`, with the alert in words', () => {
  const bench = new ClientBench({ credential: () => ({ identity: 'nobody', key: Buffer.from('no key') }) });
  const { client, ask } = coap(bench);
  bench.echo();
  const outcomes = ask();
  const others = ask();
  bench.deliver();
  const failure = {
    reason: 'handshake',
    detail: 'alert decrypt_error (51) of the server: identity or key may be wrong',
  };
  for (const [outcome] of [outcomes, others]) assert.deepEqual(outcome, { response: null, failure });
  assert.equal(client.counters.handshakeFailures, 2);
  assert.equal(client.tables.requests, 0);
});

test('a CoAP request whose time is over before the handshake says what the handshake waits for', () => {
  const bench = new ClientBench();
  const { ask } = coap(bench);
  const outcomes = ask();
  bench.clock.advance(5_100);
  const detail = 'no answer to ClientHello, no response within 5000 ms';
  assert.deepEqual(outcomes, [{ response: null, failure: { reason: 'handshake', detail } }]);
});

test('a server that has begun anew: one CoAP request is lost, the next one makes a new association', async () => {
  const bench = new ClientBench();
  const { ask } = coap(bench);
  const endpoint = new CoapEndpoint(bench.echo(), {
    clock: bench.clock,
    handler: (_request, exchange) => exchange.respond({ code: Code.Content }),
  });
  const before = ask();
  bench.deliver();
  assert.equal(before[0].failure, null);
  const anew = new CoapEndpoint(bench.echo(), {
    clock: bench.clock,
    handler: (_request, exchange) => exchange.respond({ code: Code.Changed }),
  });
  const lost = ask();
  for (let second = 0; second < 6; second++) {
    bench.deliver();
    bench.clock.advance(1_000);
  }
  assert.equal(lost[0].failure?.reason, 'timeout');
  await bench.settle();
  const after = ask();
  bench.deliver();
  assert.equal(after[0].response?.code, Code.Changed);
  assert.equal(bench.dtls.counters.handshakesCompleted, 2);
  await endpoint.close();
  await anew.close();
});

test('observations end as `gone` with their association', () => {
  const bench = new ClientBench();
  const server = bench.server();
  const { client } = coap(bench);
  const states: string[] = [];
  client.observe(
    at(1),
    { method: Method.Get, path: ['x'] },
    {
      onState: ({ payload }) => states.push(payload.toString()),
      onEnd: ({ reason, detail }) => states.push(`${reason}: ${detail}`),
    },
  );
  bench.deliver();
  const { mid, token } = decode(server.datagrams[0]);
  server.raw(server.seal(DATA, encode({ type: ACK, code: '2.05', mid, token, options: [[6, 1]], payload: 'on' })));
  server.raw(server.seal(ALERT, Buffer.from([1, 0])));
  bench.deliver();
  assert.deepEqual(states, ['on', 'gone: the device closed its DTLS association']);
});
