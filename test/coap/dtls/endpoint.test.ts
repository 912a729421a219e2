/** A CoAP endpoint over DTLS: its remote endpoints are security associations (RFC 7252 9.1). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code } from '../../../src/coap/codes.js';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { CoapEndpoint, type CoapServerOptions } from '../../../src/coap/endpoint.js';
import { ACK, Bench, type Decoded, decode, encode, OPT, values, type Wire } from '../harness.js';
import { Resources } from '../resources.js';
import { ALERT, DATA, DtlsBench, type DtlsClient, IDENTITY } from './client.js';

class Server {
  readonly bench = new DtlsBench();
  readonly resources = new Resources(() => {});
  readonly endpoint: CoapEndpoint;

  constructor(options: Partial<CoapServerOptions> = {}) {
    this.endpoint = new CoapEndpoint(this.bench.dtls, {
      handler: this.resources.handler,
      clock: this.bench.clock,
      random: () => 0,
      ...options,
    });
  }

  /** What the client has received since the last call. */
  take(client: DtlsClient): Decoded[] {
    this.bench.deliver();
    return client.datagrams.splice(0).map((bytes) => decode(bytes));
  }

  ask(client: DtlsClient, wire: Wire): Decoded[] {
    client.raw(client.seal(DATA, encode(wire)));
    return this.take(client);
  }
}

const OBSERVE: Wire = { code: '0.01', path: ['obs'], token: 'aa', mid: 7, options: [[6, 0]] };

test('TD_COAP_DTLS_01: what is for coaps alone is served to a session; plain CoAP to the port of DTLS gets no answer, and over coap it is refused', () => {
  const handler: CoapServerOptions['handler'] = ({ remote }, exchange) => {
    const isSecure = (remote.session as DtlsSession | undefined)?.identity === IDENTITY;
    exchange.respond({ code: isSecure ? Code.Content : Code.Unauthorized });
  };
  const secure: Wire = { code: '0.01', path: ['secure'], mid: 7 };
  const server = new Server({ handler });
  const client = server.bench.client(1).connect();
  assert.deepEqual(
    server.ask(client, secure).map(({ code }) => code),
    ['2.05'],
  );
  const dropped = server.bench.dtls.counters.droppedRecords;
  // Also from the address that has an association.
  for (const port of [1, 2]) server.bench.below.receive(encode(secure), port);
  assert.deepEqual(server.bench.below.sent, []);
  assert.equal(server.bench.dtls.counters.droppedRecords, dropped + 2);
  assert.equal(new Bench(handler).client().ask({ ...secure }).code, '4.01');
});

test('RFC 9146, RFC 7252 9.1: an observation follows its association to a new address', () => {
  const server = new Server();
  const { bench, resources } = server;
  const client = bench.client(1, { cid: Buffer.from('c') }).connect();
  const [registered] = server.ask(client, OBSERVE);
  assert.deepEqual([registered.code, registered.type], ['2.05', ACK]);
  bench.move(client, 2);
  assert.equal(server.ask(client, { code: '0.01', path: ['test'], mid: 8 })[0].payload.toString(), 'a test');
  resources.change('/obs', 'after the move');
  const [notification] = server.take(client);
  assert.equal(notification.payload.toString(), 'after the move');
  assert.equal(server.ask(client, { type: ACK, code: '0.00', mid: notification.mid }).length, 0);
  assert.equal(server.endpoint.tables.remotes, 1);
  // A request that was answered at the old address is still known as a duplicate.
  const [again] = server.ask(client, { code: '0.01', path: ['test'], mid: 8 });
  assert.equal(again.mid, 8);
  assert.equal(server.endpoint.counters.duplicates, 1);
});

test('RFC 7252 9.1: a new association at the same address takes nothing over: no duplicate, no observation', () => {
  const server = new Server();
  const { bench, resources } = server;
  const first = bench.client(1).connect();
  server.ask(first, OBSERVE);
  const second = bench.client(1).connect();
  const [answer] = server.ask(second, { code: '0.01', path: ['test'], mid: 7 });
  assert.equal(answer.payload.toString(), 'a test');
  assert.equal(server.endpoint.counters.duplicates, 0);
  assert.equal(server.endpoint.tables.observers, 0, 'it ended with its association');
  assert.equal(server.endpoint.tables.remotes, 1, 'the former one is forgotten');
  resources.change('/obs', 'not for the second');
  assert.deepEqual(server.take(second), []);
  assert.equal(bench.dtls.counters.droppedSends, 0);
});

test('what is not authentic never reaches the endpoint; closing the endpoint ends the associations', async () => {
  const server = new Server();
  const { bench, endpoint } = server;
  const client = bench.client(1).connect();
  client.raw(encode({ code: '0.01', path: ['test'] }));
  client.raw(client.plain(DATA, encode({ code: '0.01', path: ['test'] })));
  assert.deepEqual(server.take(client), []);
  assert.equal(endpoint.counters.datagramsReceived, 0);
  await endpoint.close();
  bench.deliver();
  assert.deepEqual(client.alerts, [[1, 1, 0]]);
  assert.equal(bench.clock.pending, 0);
});

/** A server whose remotes have to show where they are, with a client whose association is at port 2 from now on. */
function moved(): { server: Server; client: DtlsClient } {
  const server = new Server({ echo: true });
  const client = server.bench.client(1, { cid: Buffer.from('c') }).connect();
  assert.equal(server.ask(client, { code: '0.01', path: ['large'], mid: 1 })[0].code, '2.05', 'the handshake is proof');
  server.bench.move(client, 2);
  return { server, client };
}

test('RFC 9146 6: after a change of address a larger answer is 4.01 with Echo, until the device has shown where it is', () => {
  const { server, client } = moved();
  const [refused] = server.ask(client, { code: '0.01', path: ['large'], mid: 2 });
  assert.equal(refused.code, '4.01');
  const echo = values(refused, OPT.echo)[0];
  const [answer] = server.ask(client, { code: '0.01', path: ['large'], mid: 3, options: [[OPT.echo, echo]] });
  assert.equal(answer.code, '2.05');
  assert.equal(server.ask(client, { code: '0.01', path: ['large'], mid: 4 })[0].code, '2.05');
  server.bench.move(client, 3);
  const [again] = server.ask(client, { code: '0.01', path: ['large'], mid: 5, options: [[OPT.echo, echo]] });
  assert.equal(again.code, '4.01', 'the value was for the former address');
});

test('RFC 9146 6: an association that has moved before its first request has to show where it is, too', () => {
  const server = new Server({ echo: true });
  const client = server.bench.client(1, { cid: Buffer.from('c') }).connect();
  server.bench.move(client, 2);
  assert.equal(server.ask(client, { code: '0.01', path: ['large'], mid: 1 })[0].code, '4.01');
});

test('RFC 9146 6: the acknowledgement of what was sent to the former address shows nothing of the new one', () => {
  const server = new Server({ echo: true });
  const { bench, resources } = server;
  const client = bench.client(1, { cid: Buffer.from('c') }).connect();
  server.ask(client, OBSERVE);
  resources.change('/obs', 'at the former address');
  const [notification] = server.take(client);
  bench.move(client, 2);
  server.ask(client, { type: ACK, code: '0.00', mid: notification.mid });
  assert.equal(server.endpoint.counters.echoVerified, 0);
  assert.equal(server.ask(client, { code: '0.01', path: ['large'], mid: 9 })[0].code, '4.01');
  resources.change('/obs', 'at the new address');
  const [small] = server.take(client).filter(({ code }) => code === '2.05');
  server.ask(client, { type: ACK, code: '0.00', mid: small.mid });
  assert.equal(server.endpoint.counters.echoVerified, 1);
  assert.equal(server.ask(client, { code: '0.01', path: ['large'], mid: 10 })[0].code, '2.05');
});

test('an association that ends takes its observations and its remote with it at once, and says why', () => {
  const gone: string[] = [];
  const server = new Server({ onGone: (_remote, reason) => gone.push(reason) });
  const client = server.bench.client(1).connect();
  server.ask(client, OBSERVE);
  assert.deepEqual([server.endpoint.tables.observers, server.endpoint.tables.remotes], [1, 1]);
  client.raw(client.seal(ALERT, Buffer.from([1, 0])));
  server.bench.deliver();
  assert.deepEqual([server.endpoint.tables.observers, server.endpoint.tables.remotes], [0, 0]);
  assert.deepEqual(gone, ['the device closed its DTLS association']);
});
