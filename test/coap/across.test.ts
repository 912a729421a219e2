/** What crosses the border between CoAP and MQTT 5.0, besides topic and payload. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Face } from '../support/coap-face.js';
import { CON, NON, number, OPT, values } from './harness.js';

test('limits.messages_per_second: a device that publishes too fast gets 4.29 with Max-Age until it has waited', async () => {
  const face = await Face.create({}, { session: { messagesPerSecond: 2 } });
  const [device, other] = [face.device(), face.device(undefined, false, '192.0.2.2')];
  const codes = [];
  for (let i = 0; i < 3; i++) codes.push((await device.ask('post', '/ps/a', { payload: 'x' })).code);
  assert.deepEqual(codes, ['2.04', '2.04', '4.29']);
  const refused = await device.ask('put', '/ps/a', { payload: 'x' });
  assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 1]);
  assert.equal(
    (await device.ask('get', '/ps/a')).code,
    '4.04',
    'what was refused is not retained, and reading is free',
  );
  assert.equal((await other.ask('post', '/ps/a', { payload: 'x' })).code, '2.04', 'nobody else is held up');
  assert.equal(face.engine.broker.counters.throttledMessages, 2);
  face.pass(1);
  assert.equal((await device.ask('post', '/ps/a', { payload: 'x' })).code, '2.04');
  await face.stop();
});

test('limits.bytes_per_second: a device that has sent too much gets 4.29 with Max-Age until it has waited', async () => {
  const face = await Face.create({}, { session: { bytesPerSecond: 100 } });
  const device = face.device();
  assert.equal((await device.ask('post', '/ps/a', { payload: Buffer.alloc(350) })).code, '2.04');
  const refused = await device.ask('post', '/ps/a', { type: NON, payload: 'x' });
  assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 3]);
  assert.equal(face.engine.broker.counters.throttledBytes, 1);
  face.pass(3);
  assert.equal((await device.ask('post', '/ps/a', { payload: 'x' })).code, '2.04');
  await face.stop();
});

test('a confirmable publication has QoS 1, a non-confirmable one QoS 0, unless the query says otherwise', async () => {
  const face = await Face.create();
  const subscriber = await face.engine.connect();
  await subscriber.subscribe('a', 2);
  const device = face.device();
  for (const [type, uri, qos] of [
    [CON, '/ps/a', 1],
    [NON, '/ps/a', 0],
    [NON, '/ps/a?qos=2', 2],
    [CON, '/ps/a?q=0', 0],
  ] as const) {
    assert.equal((await device.ask('post', uri, { type, payload: 'x' })).code, '2.04');
    assert.equal((await subscriber.expect('publish')).qos, qos, uri);
  }
  await face.stop();
});

test('an observation has the QoS of its query: with 0 notifications are non-confirmable, for a topic and for a filter', async () => {
  for (const path of ['/ps/a/b', '/ps/a/+']) {
    for (const [query, published, type] of [
      ['', 1, CON],
      ['?qos=0', 1, NON],
      ['?q=1', 2, CON],
      ['?q=1', 0, NON],
    ] as const) {
      const face = await Face.create();
      const [device, publisher] = [face.device(), face.device()];
      const first = await device.ask('get', path + query, { token: '0a', options: [[OPT.observe, 0]] });
      assert.notEqual(number(first, OPT.observe), undefined);
      await publisher.ask('post', `/ps/a/b?qos=${published}`, { payload: 'x' });
      assert.equal((await device.next()).type, type, path + query);
      await face.stop();
    }
  }
});

test('a QoS, a retain or an expiry that there is not is 4.02, in words', async () => {
  const face = await Face.create();
  const device = face.device();
  const words = 'qos, retain or expiry has a value that it cannot have';
  for (const query of ['q=3', 'retain=yes', 'expiry=-1', 'expiry=4294967296']) {
    const refused = await device.ask('put', `/ps/a?${query}`, { payload: 'x' });
    assert.deepEqual([refused.code, String(refused.payload)], ['4.02', words]);
  }
  for (const path of ['/ps/a', '/ps/+']) {
    const refused = await device.ask('get', `${path}?qos=3`, { token: '0a', options: [[OPT.observe, 0]] });
    assert.deepEqual([refused.code, String(refused.payload), number(refused, OPT.observe)], ['4.02', words, undefined]);
  }
  await face.stop();
});

test('Content-Format is the Content Type of MQTT 5.0; one without a media type comes back as it was', async () => {
  const face = await Face.create();
  const subscriber = await face.engine.connect({ protocolVersion: 5 });
  await subscriber.subscribe('#', 0);
  const device = face.device();
  await device.ask('put', '/ps/json', { payload: '1', options: [[OPT.contentFormat, 50]] });
  assert.equal((await subscriber.expect('publish')).properties?.contentType, 'application/json');
  await device.ask('put', '/ps/own', { payload: '1', options: [[OPT.contentFormat, 65_000]] });
  assert.equal((await subscriber.expect('publish')).properties?.contentType, undefined);
  assert.equal(number(await device.ask('get', '/ps/own'), OPT.contentFormat), 65_000);
  await face.stop();
});

test('expiry is the Message Expiry Interval, and what is left of it the Max-Age; then the value is gone', async () => {
  const face = await Face.create();
  const subscriber = await face.engine.connect({ protocolVersion: 5 });
  await subscriber.subscribe('a', 0);
  const device = face.device();
  await device.ask('put', '/ps/a?expiry=100', { payload: 'x' });
  assert.equal((await subscriber.expect('publish')).properties?.messageExpiryInterval, 100);
  assert.equal(number(await device.ask('get', '/ps/a'), OPT.maxAge), 100);
  face.pass(40);
  assert.equal(number(await device.ask('get', '/ps/a'), OPT.maxAge), 60);
  face.pass(61);
  assert.equal((await device.ask('get', '/ps/a')).code, '4.04');
  assert.equal((await device.ask('put', '/ps/a?expiry=never', { payload: 'x' })).code, '4.02');
  await face.stop();
});

test('what an MQTT client says of a value reaches devices, also with notifications: Content Type and Message Expiry Interval', async () => {
  const face = await Face.create();
  const client = await face.engine.connect({ protocolVersion: 5 });
  const publish = async (messageId: number, payload: string, properties: object): Promise<void> => {
    client.send({ cmd: 'publish', topic: 'a', payload, qos: 1, messageId, retain: true, dup: false, properties });
    await client.expect('puback');
  };
  await publish(1, '1', { contentType: 'application/cbor', messageExpiryInterval: 90 });
  const device = face.device();
  const first = await device.ask('get', '/ps/a', { token: '0a', options: [[OPT.observe, 0]] });
  assert.deepEqual([number(first, OPT.contentFormat), number(first, OPT.maxAge)], [60, 90]);
  await publish(2, '2', { contentType: 'Application/CBOR', messageExpiryInterval: 30 });
  const notification = await device.next();
  assert.deepEqual([notification.code, notification.token, String(notification.payload)], ['2.05', '0a', '2']);
  assert.deepEqual([number(notification, OPT.contentFormat), number(notification, OPT.maxAge)], [60, 30]);
  assert.equal(values(notification, OPT.etag).length, 1);
  device.acknowledge(notification);
  await publish(3, '3', { contentType: 'application/cbor' });
  const lasting = await device.next();
  assert.equal(
    number(lasting, OPT.maxAge),
    undefined,
    'a value that does not expire is fresh as long as the client says',
  );
  device.acknowledge(lasting);
  await publish(4, '4', { contentType: 'application/json' });
  const last = await device.next();
  assert.deepEqual([last.code, number(last, OPT.observe)], ['4.06', undefined], 'RFC 7641 4.2');
  await face.stop();
});

test('who observes before there is a value is told the Content-Format of the first one, and of no other (RFC 7641 4.2)', async () => {
  const face = await Face.create();
  const publisher = face.device();
  const device = face.device();
  const empty = await device.ask('get', '/ps/late', { token: '0b', options: [[OPT.observe, 0]] });
  assert.deepEqual([empty.code, empty.payload.length, number(empty, OPT.contentFormat)], ['2.05', 0, undefined]);
  for (const payload of ['1', '2']) {
    await publisher.ask('put', '/ps/late', { payload, options: [[OPT.contentFormat, 50]] });
    const notification = await device.next();
    assert.deepEqual(
      [notification.code, String(notification.payload), number(notification, OPT.contentFormat)],
      ['2.05', payload, 50],
    );
    device.acknowledge(notification);
  }
  await publisher.ask('put', '/ps/late', { payload: '3', options: [[OPT.contentFormat, 60]] });
  assert.equal((await device.next()).code, '4.06');
  await face.stop();
});

test('ETag: 2.03 without payload if the device has the value, 2.05 with another ETag after a change', async () => {
  const face = await Face.create();
  const device = face.device();
  await device.ask('put', '/ps/a', { payload: 'x' });
  const [etag] = values(await device.ask('get', '/ps/a'), OPT.etag);
  const valid = await device.ask('get', '/ps/a', { options: [[OPT.etag, etag]] });
  assert.deepEqual([valid.code, valid.payload.length, values(valid, OPT.etag)], ['2.03', 0, [etag]]);
  await device.ask('put', '/ps/a', { payload: 'y' });
  const changed = await device.ask('get', '/ps/a', { options: [[OPT.etag, etag]] });
  assert.deepEqual([changed.code, String(changed.payload)], ['2.05', 'y']);
  assert.notDeepEqual(values(changed, OPT.etag), [etag]);
  await face.stop();
});

test('If-Match and If-None-Match hold for the retained value: 4.12, and nothing is published', async () => {
  const face = await Face.create();
  const device = face.device();
  const put = async (payload: string, option: number, value: Buffer | string): Promise<string> =>
    (await device.ask('put', '/ps/a', { payload, options: [[option, value]] })).code;
  assert.equal(await put('x', OPT.ifMatch, ''), '4.12', 'there is no value');
  assert.equal(await put('x', OPT.ifNoneMatch, ''), '2.01');
  assert.equal(await put('y', OPT.ifNoneMatch, ''), '4.12');
  const [etag] = values(await device.ask('get', '/ps/a'), OPT.etag);
  assert.equal(await put('y', OPT.ifMatch, etag), '2.04');
  assert.equal(await put('z', OPT.ifMatch, etag), '4.12', 'it is another value by now');
  assert.equal(await put('z', OPT.ifMatch, ''), '2.04', 'any value');
  assert.equal((await device.ask('delete', '/ps/a', { options: [[OPT.ifMatch, etag]] })).code, '4.12');
  assert.equal(String((await device.ask('get', '/ps/a')).payload), 'z');
  await face.stop();
});

test('a publication that the hook authorizePublish refuses is 4.03', async () => {
  const refuse = new Error('not here');
  const face = await Face.create(
    {},
    { authorizePublish: (_client, { topic }, done) => done(topic === 'a' ? refuse : null) },
  );
  const device = face.device();
  assert.equal((await device.ask('put', '/ps/a', { payload: 'x' })).code, '4.03');
  assert.equal((await device.ask('put', '/ps/b', { payload: 'x' })).code, '2.01');
  await face.stop();
});
