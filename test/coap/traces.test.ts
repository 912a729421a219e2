/** CoAP devices that an admin traces: their messages and what becomes of them, without their secrets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import type { BrokerOptions } from '../../src/broker.js';
import type { CoapTopicsOptions } from '../../src/plugins/coap-topics/options.js';
import { Face } from '../support/coap-face.js';
import { Follower, fieldsOf, traced } from '../support/tracing.js';
import { CON, OPT } from './harness.js';

const OBSERVE = { token: '0a', options: [[OPT.observe, 0]] } as const;
const SESSION = { identity: 'ann', cipherSuite: 'TLS_PSK_WITH_AES_128_CCM_8', proof: 'psk' };

const create = (options: Partial<CoapTopicsOptions> = {}, broker: BrokerOptions = {}): Promise<Face> =>
  Face.create(options, traced(broker));

test('a device is followed by its client identifier: each request and response with its path, options, token and size', async () => {
  const face = await create();
  const follower = new Follower(face.engine, 'client', 'meter', 100);
  const device = face.device();
  const { mid } = await device.ask('put', '/ps/a/b?c=meter&qos=1', {
    token: '0102',
    payload: '21.5',
    options: [[OPT.contentFormat, 0]],
  });
  const line = await follower.next('received');
  const where = [line.client, line.address, line.transport];
  assert.deepEqual(where, ['meter', `192.0.2.1:${device.port}`, 'coap']);
  assert.deepEqual(fieldsOf(line), {
    event: 'received',
    type: 'CON',
    method: 'PUT',
    message_id: mid,
    token: '0102',
    path: '/ps/a/b',
    query: ['c=meter', 'qos=1'],
    options: { content_format: 0 },
    bytes: 4,
    payload: '21.5',
  });
  const { type, code, message_id: id, token } = await follower.next('sent');
  assert.deepEqual([type, code, id, token], ['ACK', '2.01', mid, '0102']);
  await face.device().ask('get', '/ps/a/b');
  assert.deepEqual(await follower.rest(), [], 'others are not told of');
  follower.leave();
  await face.stop();
});

test('an observation is told with its notifications, what acknowledges them, and its end', async () => {
  const face = await create();
  const device = face.device();
  const follower = new Follower(face.engine, 'address', `192.0.2.1:${device.port}`);
  await device.ask('get', '/ps/a?c=dev', OBSERVE);
  assert.deepEqual((await follower.next('received')).options, { observe: 0 });
  assert.deepEqual(fieldsOf(await follower.next('subscribed')), { event: 'subscribed', filter: 'a', qos: 2 });
  await follower.next('sent');
  await face.device().ask('post', '/ps/a?qos=1', { payload: 'x' });
  const notification = await device.next();
  const told = await follower.next('sent');
  assert.deepEqual([told.client, told.type, told.code, told.token, told.bytes], ['dev', 'CON', '2.05', '0a', 1]);
  assert.ok('observe' in (told.options as object));
  assert.equal(notification.type, CON);
  device.acknowledge(notification);
  const acknowledgement = await follower.next('received');
  assert.deepEqual(
    [acknowledgement.type, acknowledgement.code, acknowledgement.message_id],
    ['ACK', '0.00', notification.mid],
  );
  follower.leave();
  await face.stop();
});

test('a device that observes already is followed from now on', async () => {
  const face = await create();
  const [device, secured] = [face.device(), face.device(SESSION)];
  for (const one of [device, secured]) await one.ask('get', '/ps/a', OBSERVE);
  const followers = [
    new Follower(face.engine, 'client', `coap-192.0.2.1:${device.port}`),
    new Follower(face.engine, 'user', 'ann'),
  ];
  for (const follower of followers) await follower.next('present');
  await face.device().ask('post', '/ps/a', { payload: 'x' });
  for (const follower of followers) assert.equal((await follower.next('sent')).token, '0a');
  for (const follower of followers) follower.leave();
  await face.stop();
});

test('passwords and tokens of connections are never shown, neither in queries nor as what is answered', async () => {
  const face = await create({ insecure_password: true });
  const follower = new Follower(face.engine, 'address', '192.0.2.1', 1000);
  const device = face.device();
  const { payload } = await device.ask('post', '/mqtt/connection?clientid=dev&username=ann&password=hidden');
  const token = payload.toString();
  assert.equal(token.length, 22);
  const [asked, answered] = [await follower.next('received'), await follower.next('sent')];
  assert.deepEqual(asked.query, ['clientid=dev', 'username=ann', 'password=(not shown)']);
  assert.deepEqual([asked.client, asked.username, answered.code, answered.bytes], ['dev', 'ann', '2.01', 22]);
  await device.ask('put', `/ps/a?token=${token}`, { payload: 'x' });
  assert.deepEqual((await follower.next('received')).query, ['token=(not shown)']);
  await face.device().ask('put', `/ps/a?t=${token}`, { payload: 'x' });
  assert.equal((await follower.next('received')).client, 'dev', 'who has the token is that client, from wherever');
  await face.device().ask('post', '/mqtt/connection?c=dev&u=ann&p=hidden');
  await follower.rest();
  assert.ok(!follower.text.includes('hidden') && !follower.text.includes(token), follower.text);
  follower.leave();
  await face.stop();
});

test('what a device may not do is told with the deciding rule', async () => {
  const acl = parseMosquittoAcl(Buffer.from('topic read in/#\n'), 'FILE');
  const face = await create({}, { acl });
  const follower = new Follower(face.engine, 'client', 'dev');
  const device = face.device();
  assert.equal((await device.ask('put', '/ps/in/a?c=dev', { payload: 'x' })).code, '4.03');
  const { action, topic, reason } = await follower.next('denied');
  assert.deepEqual([action, topic, reason], ['publish', 'in/a', 'no rule allows it']);
  assert.equal((await device.ask('get', '/ps/out/a?c=dev')).code, '4.03');
  assert.deepEqual(fieldsOf(await follower.next('denied')), {
    event: 'denied',
    action: 'receive',
    topic: 'out/a',
    reason: 'no rule allows it',
  });
  follower.leave();
  await face.stop();
});

test('a device that DTLS vouches for is followed by its identity, from its first message on', async () => {
  const face = await create();
  const follower = new Follower(face.engine, 'user', 'ann');
  const device = face.device(SESSION);
  await device.ask('get', '/ps/a');
  const { client, method, path } = await follower.next('received');
  assert.deepEqual([client, method, path], ['coap-ann', 'GET', '/ps/a']);
  await follower.next('connected');
  assert.equal((await follower.next('sent')).code, '4.04');
  device.leave();
  assert.equal((await follower.next('disconnected')).reason, 'close_notify');
  follower.leave();
  await face.stop();
});

test('messages of a topic that a device publishes are told with it', async () => {
  const face = await create();
  const follower = new Follower(face.engine, 'topic', 'a/#');
  await face.device(SESSION).ask('post', '/ps/a/1', { payload: 'xyz' });
  const { client, username, topic, bytes, receivers } = await follower.next('published');
  assert.deepEqual([client, username, topic, bytes, receivers], ['coap-ann', 'ann', 'a/1', 3, 0]);
  follower.leave();
  await face.stop();
});

test('the token of a connection is not shown either where another request has its CoAP token, or comes before the answer', async () => {
  const face = await create({ insecure_password: true });
  const follower = new Follower(face.engine, 'address', '192.0.2.1', 1000);
  const device = face.device();
  device.send({ code: '0.02', path: ['mqtt', 'connection'], options: [[OPT.uriQuery, 'clientid=dev']] });
  device.send({ code: '0.01', path: ['ps', 'a'] });
  const answers = [await device.next(), await device.next()];
  const token = answers.find(({ code }) => code === '2.01')!.payload.toString();
  assert.equal(token.length, 22);
  await follower.rest();
  assert.ok(follower.text.includes('"2.01"') && !follower.text.includes(token), follower.text);
  follower.leave();
  await face.stop();
});

test('passwords in a query are not shown either where the device has written them wrong', async () => {
  const face = await create();
  const follower = new Follower(face.engine, 'address', '192.0.2.1');
  const wrong = ['Password=hidden', 'PASSWORD=hidden', '%70assword=hidden', 'password=a&hidden'];
  for (const query of wrong) {
    face.device().send({ code: '0.02', path: ['mqtt', 'connection'], options: [[OPT.uriQuery, query]] });
  }
  await follower.rest();
  assert.ok(follower.text.includes('not shown') && !follower.text.includes('hidden'), follower.text);
  follower.leave();
  await face.stop();
});
