/** Reading and observing topic filters: envelopes that name their topics. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode as decodeCbor } from 'cborg';
import { Face } from '../support/coap-face.js';
import { block, blockValue, CON, type Decoded, NON, number, OPT } from './harness.js';

const OBSERVE = { token: '0b', options: [[OPT.observe, 0]] } as const;

interface Envelope {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly more?: boolean;
}

function envelopes(message: Decoded): [string, string][] {
  assert.equal(number(message, OPT.contentFormat), 60);
  return decodeCbor(message.payload).map(({ topic, payload }: Envelope) => [topic, Buffer.from(payload).toString()]);
}

test('GET of a filter lists the retained values that match it, each with its topic, in CBOR', async () => {
  const face = await Face.create();
  const device = face.device();
  assert.deepEqual(envelopes(await device.ask('get', '/ps/a/+/c')), []);
  await device.ask('put', '/ps/a/1/c', { payload: 'one', options: [[OPT.contentFormat, 50]] });
  await device.ask('put', '/ps/a/2/c?expiry=100', { payload: 'two' });
  await device.ask('put', '/ps/a/3/d', { payload: 'other' });
  const answer = await device.ask('get', '/ps/a/+/c');
  assert.equal(answer.code, '2.05');
  const common = { retain: true, qos: 1 };
  const list = decodeCbor(answer.payload) as (Envelope & { max_age?: number })[];
  assert.deepEqual(
    list.sort((one, other) => one.topic.localeCompare(other.topic)),
    [
      { topic: 'a/1/c', payload: new Uint8Array(Buffer.from('one')), content_format: 50, ...common },
      { topic: 'a/2/c', payload: new Uint8Array(Buffer.from('two')), max_age: list[1].max_age, ...common },
    ],
  );
  assert.deepEqual(envelopes(await device.ask('get', '/ps/a/3/#')), [['a/3/d', 'other']]);
  await face.stop();
});

test('Accept 50 lists them in JSON, a payload that is no text in base64; another Accept is 4.06', async () => {
  const face = await Face.create();
  const device = face.device();
  await device.ask('put', '/ps/a', { payload: 'ü' });
  const json = async () => {
    const answer = await device.ask('get', '/ps/+', { options: [[OPT.accept, 50]] });
    assert.equal(number(answer, OPT.contentFormat), 50);
    return JSON.parse(String(answer.payload));
  };
  assert.deepEqual(await json(), [{ topic: 'a', qos: 1, retain: true, payload: 'ü' }]);
  await device.ask('put', '/ps/a', { payload: Buffer.from([0xff]) });
  assert.deepEqual(await json(), [{ topic: 'a', qos: 1, retain: true, payload_base64: '/w==' }]);
  const refused = await device.ask('get', '/ps/+', { options: [[OPT.accept, 0]] });
  assert.deepEqual([refused.code, String(refused.payload)], ['4.06', 'a list is CBOR (60) or JSON (50)']);
  await face.stop();
});

test('User Properties and a Content Type without a number stand in the envelope', async () => {
  const face = await Face.create();
  const client = await face.engine.connect({ protocolVersion: 5 });
  const properties = { contentType: 'image/x', userProperties: { unit: 'K' } };
  client.send({ cmd: 'publish', topic: 'a', payload: 'x', qos: 1, messageId: 1, retain: true, dup: false, properties });
  await client.expect('puback');
  const [envelope] = decodeCbor((await face.device().ask('get', '/ps/+')).payload);
  assert.deepEqual([envelope.content_type, envelope.user_properties], ['image/x', [['unit', 'K']]]);
  await face.stop();
});

test('coap.tell_publisher: the envelope says who has published, if it is a client; without it nobody is told', async () => {
  for (const tell_publisher of [true, false]) {
    const face = await Face.create({ tell_publisher });
    const client = await face.engine.connect({ clientId: 'sensor-7' });
    const device = face.device();
    const publishers = (message: Decoded): unknown[] =>
      decodeCbor(message.payload).map(({ topic, publisher }: { topic: string; publisher?: string }) => [
        topic,
        publisher,
      ]);
    const publish = async (messageId: number): Promise<void> => {
      client.send({ cmd: 'publish', topic: 'a/1', payload: 'x', qos: 1, messageId, retain: true, dup: false });
      await client.expect('puback');
    };
    await publish(1);
    face.engine.broker.publish({ topic: 'a/own', payload: 'x', retain: true });
    const told = tell_publisher ? 'sensor-7' : undefined;
    const first = await device.ask('get', '/ps/a/+', OBSERVE);
    assert.deepEqual(publishers(first).sort(), [
      ['a/1', told],
      ['a/own', undefined],
    ]);
    await publish(2);
    assert.deepEqual(publishers(await device.next()), [['a/1', told]]);
    await face.stop();
  }
});

test('a long list goes in blocks; beyond coap.max_payload it is cut, says so, and the log names the option', async () => {
  const face = await Face.create({ max_payload: 200, block_size: 64 });
  const device = face.device();
  for (let i = 0; i < 10; i++) await device.ask('put', `/ps/a/${i}`, { payload: 'x' });
  const parts: Buffer[] = [];
  for (let i = 0; ; i++) {
    const part = await device.ask('get', '/ps/a/+', { options: [[OPT.block2, blockValue(i, false, 64)]] });
    parts.push(part.payload);
    if (block(part, OPT.block2)?.more !== true) break;
  }
  const whole = Buffer.concat(parts);
  assert.ok(whole.length <= 200, `${whole.length} bytes`);
  const list = decodeCbor(whole) as Envelope[];
  assert.deepEqual(list.at(-1), { more: true });
  assert.ok(list.length > 3 && list.length < 10);
  assert.deepEqual(face.limits, ['coap.max_payload']);
  assert.equal(face.engine.broker.counters.cutCoapLists, 1);
  await face.stop();
});

test('coap.listed: a list has so many values, says that there are more, is counted and told', async () => {
  const face = await Face.create({ listed: 3 });
  const device = face.device();
  for (let i = 0; i < 3; i++) await device.ask('put', `/ps/a/${i}`, { payload: 'x' });
  assert.equal(envelopes(await device.ask('get', '/ps/a/+')).length, 3);
  assert.equal(face.engine.broker.counters.cutCoapLists, 0);
  await device.ask('put', '/ps/a/3', { payload: 'x' });
  const list = decodeCbor((await device.ask('get', '/ps/a/+')).payload) as Envelope[];
  assert.deepEqual([list.length, list.at(-1)], [4, { more: true }]);
  assert.deepEqual(face.limits, ['coap.listed']);
  assert.equal(face.engine.broker.counters.cutCoapLists, 1);
  await face.stop();
});

test('an observed filter is told of every matching message, with its topic; QoS 0 non-confirmable, QoS 1 confirmable', async () => {
  const face = await Face.create();
  const [device, publisher] = [face.device(), face.device()];
  await publisher.ask('put', '/ps/a/old/c', { payload: '0' });
  const first = await device.ask('get', '/ps/a/+/c', OBSERVE);
  assert.deepEqual(envelopes(first), [['a/old/c', '0']]);
  assert.notEqual(number(first, OPT.observe), undefined);
  await publisher.ask('post', '/ps/a/1/c?q=0', { payload: '1' });
  const one = await device.next();
  assert.deepEqual([one.type, one.token, envelopes(one)], [NON, '0b', [['a/1/c', '1']]]);
  await publisher.ask('post', '/ps/a/2/c', { payload: '2' });
  const two = await device.next();
  assert.deepEqual([two.type, envelopes(two)], [CON, [['a/2/c', '2']]]);
  assert.ok(Number(number(two, OPT.observe)) > Number(number(one, OPT.observe)));
  device.acknowledge(two);
  await publisher.ask('post', '/ps/b/2/c', { payload: 'no match' });
  await device.none();
  assert.equal((await device.ask('get', '/ps/a/+/c', { token: '0b', options: [[OPT.observe, 1]] })).code, '2.05');
  await publisher.ask('post', '/ps/a/2/c', { payload: '3' });
  await device.none();
  await face.stop();
});

test('while a device has not acknowledged, the newest message of each topic waits, and they come together', async () => {
  const face = await Face.create();
  const [device, publisher] = [face.device(), face.device()];
  await device.ask('get', '/ps/#', OBSERVE);
  await publisher.ask('post', '/ps/a', { payload: '1' });
  const first = await device.next();
  for (const [topic, payload] of [
    ['a', '2'],
    ['b', '3'],
    ['a', '4'],
    ['c', '5'],
  ]) {
    await publisher.ask('post', `/ps/${topic}`, { payload });
  }
  await device.none();
  device.acknowledge(first);
  assert.deepEqual(envelopes(await device.next()), [
    ['b', '3'],
    ['a', '4'],
    ['c', '5'],
  ]);
  assert.equal(face.engine.broker.counters.replacedCoapNotifications, 1);
  await face.stop();
});

test('coap.waiting_notifications: the topic that has waited longest is dropped, counted, and the log names the option', async () => {
  const face = await Face.create({ waiting_notifications: 2 });
  const [device, publisher] = [face.device(), face.device()];
  await device.ask('get', '/ps/#', OBSERVE);
  for (const topic of ['first', 'a', 'b', 'c']) await publisher.ask('post', `/ps/${topic}`, { payload: topic });
  device.acknowledge(await device.next());
  assert.deepEqual(envelopes(await device.next()), [
    ['b', 'b'],
    ['c', 'c'],
  ]);
  assert.equal(face.engine.broker.counters.droppedCoapNotifications, 1);
  assert.deepEqual(face.limits, ['coap.waiting_notifications']);
  await face.stop();
});

test('what waits goes in as many notifications as it needs, none larger than a block', async () => {
  const face = await Face.create({ block_size: 128 });
  const [device, publisher] = [face.device(), face.device()];
  await device.ask('get', '/ps/#', OBSERVE);
  for (let i = 0; i < 10; i++) await publisher.ask('post', `/ps/t${i}`, { payload: '0123456789' });
  const topics: string[] = [];
  while (topics.length < 10) {
    const notification = await device.next();
    assert.ok(notification.payload.length <= 128 && block(notification, OPT.block2) === undefined);
    topics.push(...envelopes(notification).map(([topic]) => topic));
    device.acknowledge(notification);
  }
  assert.deepEqual(
    topics,
    Array.from({ length: 10 }, (_, i) => `t${i}`),
  );
  await face.stop();
});

test('nothing can be published on a filter: 4.00; so is one that is no valid filter', async () => {
  const face = await Face.create();
  const device = face.device();
  for (const method of ['put', 'post', 'delete'] as const) {
    const refused = await device.ask(method, '/ps/a/+', method === 'delete' ? {} : { payload: 'x' });
    assert.deepEqual([refused.code, String(refused.payload)], ['4.00', 'a topic filter takes nothing but GET']);
  }
  for (const filter of ['a/b+', 'a/#/c', '#a']) {
    const refused = await device.ask('get', `/ps/${filter}`);
    assert.deepEqual([refused.code, String(refused.payload)], ['4.00', 'the path names no topic']);
  }
  await face.stop();
});

test('topics and filters are observed by GET: FETCH of a topic is 4.05, and of a filter 4.00, also with Observe', async () => {
  const face = await Face.create();
  const device = face.device();
  for (const [uri, code] of [
    ['/ps/a/b', '4.05'],
    ['/ps/a/+', '4.00'],
  ] as const) {
    const answer = await device.ask('fetch', uri, { ...OBSERVE, payload: 'x' });
    assert.deepEqual([answer.code, number(answer, OPT.observe)], [code, undefined], uri);
  }
  await face.stop();
});
