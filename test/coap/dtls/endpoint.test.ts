/** A CoAP endpoint over DTLS: its remote endpoints are security associations (RFC 7252 9.1). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { ACK, type Decoded, decode, encode, type Wire } from '../harness.js';
import { Resources } from '../resources.js';
import { DATA, DtlsBench, type DtlsClient } from './client.js';

class Server {
  readonly bench = new DtlsBench();
  readonly resources = new Resources(() => {});
  readonly endpoint = new CoapEndpoint(this.bench.dtls, {
    handler: this.resources.handler,
    clock: this.bench.clock,
    random: () => 0,
  });

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
