/** CoAP devices among the clients that an admin is told of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientRoutes, linesOf, linesOfOne } from '../../src/admin/clients.js';
import { ControlServer } from '../../src/admin/control.js';
import { askBroker } from '../../src/admin/control-client.js';
import type { ToldClient, ToldDetails, ToldSubscription } from '../../src/admin/told-clients.js';
import { Face } from '../support/coap-face.js';
import { temporaryFolder } from '../support/portico.js';
import { OPT } from './harness.js';

const OBSERVE = { token: '0a', options: [[OPT.observe, 0]] } as const;
const START = '2023-11-14T22:13:20.000Z';
const SESSION = { identity: 'ann', cipherSuite: 'TLS_PSK_WITH_AES_128_CCM_8', proof: 'psk', connectionId: 'c1d2' };

function listOf({ engine }: Face): ToldClient[] {
  return [...linesOf(engine.broker, true)].filter((line) => line !== null) as ToldClient[];
}

function allOf({ engine }: Face, id: string): [ToldClient & ToldDetails, ...ToldSubscription[]] {
  const lines = [...linesOfOne(engine.broker.environment, id)].filter((line) => line !== null);
  return lines as [ToldClient & ToldDetails, ...ToldSubscription[]];
}

async function disconnect({ engine }: Face, client: string): Promise<void> {
  const directory = temporaryFolder();
  const log = { info() {}, warn() {} };
  const server = new ControlServer(directory, clientRoutes(engine.broker, log), log);
  await server.open();
  const answer = await askBroker(directory, 'POST', `/clients/disconnect?${new URLSearchParams({ client })}`);
  answer?.resume();
  await server.close();
}

test('a device without a name is a client with its address, what it observes and what it has published last', async () => {
  const face = await Face.create();
  const device = face.device();
  const id = `coap-192.0.2.1:${device.port}`;
  await device.ask('put', '/ps/a/1', { payload: 'x' });
  await device.ask('get', '/ps/b', OBSERVE);
  const { client, username, address, transport, protocol, since, subscriptions, last_topic: topic } = listOf(face)[0];
  assert.deepEqual(
    [client, username, address, transport, protocol, since, subscriptions, topic],
    [id, null, `192.0.2.1:${device.port}`, 'coap', 'coap', START, 1, 'a/1'],
  );
  const [, ...observations] = allOf(face, id);
  assert.deepEqual(observations, [{ subscription: { filter: 'b', qos: 2, since: START } }]);
  await face.stop();
});

test('a device of DTLS is told with its identity, what has proved it, where it is now and its Connection ID', async () => {
  const face = await Face.create();
  const device = face.device(SESSION);
  await device.ask('get', '/ps/a?c=meter');
  const [told] = allOf(face, 'meter');
  assert.deepEqual([told.username, told.keepalive, told.connected], ['ann', 30, true]);
  const { endpoint: _none, ...details } = told.details;
  assert.deepEqual(details, {
    now_at: `192.0.2.1:${device.port}`,
    cipher_suite: 'TLS_PSK_WITH_AES_128_CCM_8',
    proof: 'psk',
    connection_id: 'c1d2',
  });
  await face.stop();
});

test('a durable observation is told with its session and what waits; without its device the session is kept', async () => {
  const face = await Face.create();
  const [device, publisher] = [face.device(), face.device()];
  await device.ask('get', '/ps/a/+?c=dev&session=s', OBSERVE);
  for (const payload of ['1', '2', '3']) await publisher.ask('post', '/ps/a/1', { payload });
  const [told, observation] = allOf(face, 'dev');
  assert.deepEqual([told.subscriptions, told.waiting + told.in_flight], [1, 3]);
  assert.deepEqual(observation.subscription, {
    filter: 'a/+',
    qos: 1,
    since: START,
    session: 'coap client dev s',
    waiting: 2,
  });
  assert.deepEqual(
    listOf(face).map(({ client }) => client),
    ['dev', `coap-192.0.2.1:${publisher.port}`],
    'its session is no client of its own while it is observed',
  );
  face.bench.clock.advance(200_000);
  const kept = listOf(face).find(({ connected }) => !connected);
  assert.ok(kept !== undefined);
  assert.deepEqual([kept.client, kept.subscriptions], ['coap client dev s', 1]);
  assert.equal(kept.waiting + kept.in_flight, 3);
  await face.stop();
});

test('an admin ends a device: what it observes ends with 4.01, and its next request is that of a new client', async () => {
  const face = await Face.create();
  const device = face.device();
  const id = `coap-192.0.2.1:${device.port}`;
  const { counters } = face.engine.broker;
  const { subscriptions } = counters;
  await device.ask('get', '/ps/a', OBSERVE);
  face.engine.clock.advance(1);
  await disconnect(face, id);
  const last = await device.next();
  assert.deepEqual([last.code, last.token], ['4.01', '0a']);
  assert.deepEqual(listOf(face), []);
  assert.equal(counters.subscriptions, subscriptions);
  assert.equal((await device.ask('put', '/ps/a', { payload: 'x' })).code, '2.01');
  assert.equal(listOf(face)[0].since, '2023-11-14T22:13:21.000Z');
  await face.stop();
});

test('an admin ends a device of DTLS: its next request connects it anew', async () => {
  const face = await Face.create();
  const device = face.device(SESSION);
  await device.ask('get', '/ps/a', OBSERVE);
  await disconnect(face, 'coap-ann');
  assert.equal((await device.next()).code, '4.01');
  assert.deepEqual(listOf(face), []);
  assert.equal((await device.ask('put', '/ps/a', { payload: 'x' })).code, '2.01');
  assert.equal(listOf(face)[0].client, 'coap-ann');
  await face.stop();
});
