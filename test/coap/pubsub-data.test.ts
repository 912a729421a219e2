/** draft-ietf-core-coap-pubsub-21: publishing, reading and subscribing, on the bus of MQTT. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { ReasonCode } from '../../src/wire/reason-codes.js';
import { CON, type Decoded, NON, number, OPT, values } from './harness.js';
import { cbor, type Device, date, LINKS, locationOf, PUBSUB, Scene } from './pubsub-scene.js';

let scene: Scene;
let device: Device;

before(async () => {
  scene = await Scene.create({ broker: { retained: { messages: 100, bytes: 1e6, payload: 5000 } } });
  device = scene.device();
});

after(() => scene.stop());

/** Registers an observation; the answer must carry Observe. */
async function observe(observer: Device, path: readonly string[], type = NON): Promise<Decoded> {
  const first = await observer.ask('get', path, { observe: 0, token: '0b', type });
  assert.equal(first.code, '2.05');
  assert.notEqual(number(first, OPT.observe), undefined, 'Observe in the answer');
  return first;
}

/** The final response of an observation: no Observe, nobody left. */
async function assertFinal(observer: Device, code: string): Promise<void> {
  const last = await observer.next();
  assert.equal(last.code, code);
  assert.equal(last.token, '0b');
  assert.equal(number(last, OPT.observe), undefined, 'no Observe');
}

/** How many there are now. */
function observations(): number {
  const { observersRegistered, observersEnded } = scene.bench.endpoint.counters;
  return observersRegistered - observersEnded;
}

function publishMqtt(topic: string, payload: string, more: object = {}): void {
  scene.engine.broker.publish({ topic, payload, qos: 1, retain: true, ...more });
}

test('HALF CREATED: GET and Observe on topic-data are 4.04; read, update and delete of the topic work', async () => {
  const { topic, data } = await device.topic('half');
  assert.equal((await device.ask('get', data)).code, '4.04');
  const observed = await device.ask('get', data, { observe: 0, token: '01' });
  assert.deepEqual([observed.code, number(observed, OPT.observe)], ['4.04', undefined]);
  assert.equal((await device.ask('delete', data)).code, '4.04');
  assert.equal((await device.ask('get', topic)).code, '2.05');
  assert.equal((await device.ask('ipatch', topic, { format: PUBSUB, payload: cbor({ 6: 1 }) })).code, '2.04');
  assert.equal((await device.ask('delete', topic)).code, '2.02');
});

test('PUT topic-data: first 2.01 (FULLY CREATED), then 2.04; GET 2.05 gives the latest', async () => {
  const { data } = await device.topic('full');
  assert.equal((await device.ask('put', data, { payload: 'one' })).code, '2.01');
  assert.equal((await device.ask('put', data, { payload: 'two' })).code, '2.04');
  const answer = await device.ask('get', data);
  assert.deepEqual([answer.code, String(answer.payload)], ['2.05', 'two']);
});

test('initialize at the creation: FULLY CREATED with that data, the next PUT is 2.04', async () => {
  const { data } = await device.topic('initialized', { 3: 60, 8: Buffer.from('80', 'hex') });
  const answer = await device.ask('get', data);
  assert.deepEqual([answer.code, answer.payload.toString('hex')], ['2.05', '80']);
  assert.equal(number(answer, OPT.contentFormat), 60);
  assert.equal((await device.ask('put', data, { format: 60, payload: 'x' })).code, '2.04');
});

test('initialize that cannot be kept: no topic, and the reason why', async () => {
  const crowded = await Scene.create({ broker: { retained: { messages: 1, bytes: 1e6, payload: 5 } } });
  crowded.engine.broker.publish({ topic: 'taken', payload: 'MQTT', qos: 1, retain: true });
  for (const [name, initialize, code] of [
    ['no room', 'x', '4.29'],
    ['taken', 'too large', '4.13'],
  ] as const) {
    const payload = cbor({ 0: name, 2: 'core.ps.data', 3: 0, 8: Buffer.from(initialize) });
    assert.equal((await crowded.device().ask('post', ['pubsub'], { format: PUBSUB, payload })).code, code);
  }
  assert.equal(String(crowded.engine.broker.router.retained.get('taken')?.payload), 'MQTT', 'what was there stays');
  const links = await crowded.device().ask('get', ['pubsub']);
  assert.equal(String(links.payload), '');
  await crowded.stop();
});

test('DELETE topic-data: 2.02, then 4.04; HALF CREATED again, and initialize is not applied again', async () => {
  const { topic, data } = await device.topic('emptied', { 3: 0, 8: Buffer.from('first') });
  const observer = scene.device();
  await observe(observer, data);
  assert.equal((await device.ask('delete', data)).code, '2.02');
  await assertFinal(observer, '4.04');
  assert.equal((await device.ask('delete', data)).code, '4.04');
  assert.equal((await device.ask('get', data)).code, '4.04');
  assert.equal((await device.ask('get', topic)).code, '2.05');
  assert.equal((await device.ask('put', data, { format: 0, payload: 'again' })).code, '2.01');
});

test('DELETE topic: each observer gets a final 4.04 without Observe', async () => {
  const before = observations();
  const { topic, data } = await device.topic('ended');
  await device.ask('put', data, { payload: 'value' });
  const observers = [scene.device(), scene.device()];
  for (const observer of observers) await observe(observer, data);
  assert.equal((await device.ask('delete', topic)).code, '2.02');
  for (const observer of observers) await assertFinal(observer, '4.04');
  assert.equal(observations(), before);
});

test('PUT with another Content-Format than that of the topic, or none: 4.15; without topic-content-format any is right', async () => {
  const { data } = await device.topic('formats', { 3: 112 });
  assert.equal((await device.ask('put', data, { format: 110, payload: 'x' })).code, '4.15');
  assert.equal((await device.ask('put', data, { payload: 'x' })).code, '4.15');
  assert.equal((await device.ask('put', data, { format: 112, payload: 'x' })).code, '2.01');
  const free = await device.topic('any format');
  for (const [format, code] of [
    [50, '2.01'],
    [110, '2.04'],
  ] as const) {
    assert.equal((await device.ask('put', free.data, { format, payload: 'x' })).code, code);
    assert.equal(number(await device.ask('get', free.data), OPT.contentFormat), format);
  }
});

test('PUT of empty data is 4.00: DELETE clears', async () => {
  const { data } = await device.topic('not empty');
  assert.equal((await device.ask('put', data)).code, '4.00');
});

test('PUT publishes retained on the MQTT topic of that name: QoS 1 if confirmable, else QoS 0', async () => {
  const { data } = await device.topic('to/mqtt');
  const mqtt = await scene.engine.connect({ clientId: 'subscriber' });
  await mqtt.subscribe('to/#', 1);
  for (const [type, qos] of [
    [CON, 1],
    [NON, 0],
  ] as const) {
    await device.ask('put', data, { type, payload: `as ${type}` });
    const packet = await mqtt.expect('publish');
    assert.deepEqual([packet.topic, packet.qos, String(packet.payload)], ['to/mqtt', qos, `as ${type}`]);
    assert.equal(scene.engine.broker.router.retained.get('to/mqtt')?.qos, qos);
  }
  await device.ask('delete', data);
  assert.equal((await mqtt.expect('publish')).payload.length, 0, 'DELETE clears');
  await scene.engine.cut(mqtt);
});

test('a value that an MQTT client has published is data, also from before the topic', async () => {
  publishMqtt('before', 'earlier');
  const before = await device.topic('before');
  assert.equal(String((await device.ask('get', before.data)).payload), 'earlier');
  const { data } = await device.topic('from/mqtt', { 3: 110 });
  publishMqtt('from/mqtt', 'value');
  const answer = await device.ask('get', data);
  assert.deepEqual([answer.code, String(answer.payload)], ['2.05', 'value']);
  assert.equal(number(answer, OPT.contentFormat), 110, 'what says no format has that of the topic');
  assert.equal((await device.ask('put', data, { format: 110, payload: 'x' })).code, '2.04');
  publishMqtt('from/mqtt', '');
  assert.equal((await device.ask('get', data)).code, '4.04', 'HALF CREATED again');
});

test('GET with Observe 0: 2.05 with Observe, then NON notifications in order, of PUT and of MQTT publications', async () => {
  const { data } = await device.topic('observed');
  await device.ask('put', data, { payload: 'zero' });
  const observer = scene.device();
  const first = await observe(observer, data);
  assert.equal(String(first.payload), 'zero');
  let last = number(first, OPT.observe) ?? 0;
  const follow = async (payload: string): Promise<void> => {
    const notification = await observer.next();
    assert.deepEqual([notification.code, notification.type, String(notification.payload)], ['2.05', NON, payload]);
    const sequence = number(notification, OPT.observe) ?? 0;
    assert.ok(sequence > last);
    last = sequence;
  };
  await device.ask('put', data, { payload: 'one' });
  await follow('one');
  publishMqtt('observed', 'two');
  await follow('two');
  // What is not retained is told, and not kept.
  publishMqtt('observed', 'event', { retain: false });
  await follow('event');
  assert.equal(String((await device.ask('get', data)).payload), 'two');
});

test('a notification is a state: a newer one replaces one that waits', async () => {
  const always = await Scene.create({ notification: 'con' });
  const publisher = always.device();
  const { data } = await publisher.topic('states');
  await publisher.ask('put', data, { payload: '0' });
  const observer = always.device();
  await observe(observer, data);
  await publisher.ask('put', data, { payload: '1' });
  const one = await observer.next();
  assert.equal(one.type, CON);
  for (const payload of ['2', '3', '4']) await publisher.ask('put', data, { payload });
  observer.client.none();
  observer.client.acknowledge(one);
  assert.equal(String((await observer.next()).payload), '4');
  await always.stop();
});

test('Observe 1 unsubscribes; so does RST', async () => {
  const before = observations();
  const { data } = await device.topic('left');
  await device.ask('put', data, { payload: 'one' });
  const [cancelling, resetting] = [scene.device(), scene.device()];
  await observe(cancelling, data);
  await observe(resetting, data);
  const cancelled = await cancelling.ask('get', data, { observe: 1, token: '0b' });
  assert.equal(number(cancelled, OPT.observe), undefined);
  await device.ask('put', data, { payload: 'two' });
  resetting.client.reset(await resetting.next());
  await device.ask('put', data, { payload: 'three' });
  for (const one of [cancelling, resetting]) one.client.none();
  assert.equal(observations(), before);
});

test('a client that has ended observes no more: its device is told, and leaves its place', async () => {
  const scene = await Scene.create();
  const [publisher, observer, other] = [scene.device(), scene.device(), scene.device()];
  const { data } = await publisher.topic('left by its client', { 6: 1 });
  await publisher.ask('put', data, { payload: 'one' });
  await observe(observer, data);
  scene.clients[1].close('nothing heard');
  await assertFinal(observer, '4.01');
  await observe(other, data);
  scene.clients[2].close('the broker ends', ReasonCode.ServerShuttingDown);
  await assertFinal(other, '5.03');
  await publisher.ask('put', data, { payload: 'two' });
  for (const { client } of [observer, other]) client.none();
  await scene.stop();
});

test('max-subscribers: beyond it 2.05 without Observe; who registers anew keeps its place; a place that is left is free', async () => {
  const { data } = await device.topic('crowded', { 6: 1 });
  await device.ask('put', data, { payload: 'one' });
  const [one, other] = [scene.device(), scene.device()];
  const before = scene.pubsub.counters().pubsubSubscribersRefused;
  await observe(one, data);
  const refused = await other.ask('get', data, { observe: 0, token: '0b' });
  assert.deepEqual([refused.code, number(refused, OPT.observe)], ['2.05', undefined]);
  assert.equal(scene.pubsub.counters().pubsubSubscribersRefused, before + 1);
  await observe(one, data);
  await device.ask('put', data, { payload: 'two' });
  assert.equal(String((await one.next()).payload), 'two');
  other.client.none();
  await one.ask('get', data, { observe: 1, token: '0b' });
  await observe(other, data);
});

for (const method of ['post', 'ipatch'] as const) {
  test(`a lower max-subscribers by ${method}: the newest surplus observers get a final 4.04`, async () => {
    const { topic, data } = await device.topic(`lowered by ${method}`, { 6: 3 });
    await device.ask('put', data, { payload: 'one' });
    const observers = [scene.device(), scene.device(), scene.device()];
    for (const observer of observers) await observe(observer, data);
    const answer = await device.ask(method, topic, { format: PUBSUB, payload: cbor({ 6: 1 }) });
    assert.equal(answer.code, '2.04');
    for (const observer of observers.slice(1)) await assertFinal(observer, '4.04');
    await device.ask('put', data, { payload: 'two' });
    assert.equal(String((await observers[0].next()).payload), 'two');
    for (const observer of observers.slice(1)) observer.client.none();
  });
}

test('observer-check: a CON notification at least every so many seconds, also if nothing changes', async () => {
  const { topic, data } = await device.topic('checked', { 7: 60 });
  await device.ask('put', data, { payload: 'one' });
  const observer = scene.device();
  await observe(observer, data);
  scene.pass(59);
  observer.client.none();
  await device.ask('put', data, { payload: 'two' });
  assert.equal((await observer.next()).type, NON);
  scene.pass(1);
  const check = await observer.next();
  assert.deepEqual([check.type, String(check.payload)], [CON, 'two']);
  observer.client.acknowledge(check);
  scene.pass(61);
  observer.client.acknowledge(await observer.next());
  // A change at its time is the check.
  await device.ask('ipatch', topic, { format: PUBSUB, payload: cbor({ 7: 10 }) });
  scene.engine.pass(10);
  await device.ask('put', data, { payload: 'three' });
  const change = await observer.next();
  assert.deepEqual([change.type, String(change.payload)], [CON, 'three']);
  observer.client.acknowledge(change);
  scene.pass(1);
  observer.client.none();
});

test('silence unsubscribes: who does not acknowledge the check is forgotten', async () => {
  const quiet = await Scene.create();
  const publisher = quiet.device();
  const { data } = await publisher.topic('forgotten', { 7: 60 });
  await publisher.ask('put', data, { payload: 'one' });
  const observer = quiet.device();
  await observe(observer, data);
  quiet.pass(60);
  assert.equal((await observer.next()).type, CON);
  assert.equal(quiet.bench.endpoint.counters.observersEnded, 0);
  quiet.bench.clock.advance(100_000);
  assert.equal(quiet.bench.endpoint.counters.observersEnded, 1);
  await quiet.stop();
});

test('expiration-date reached: like DELETE, observers get a final 4.04, and data is cleared', async () => {
  const now = scene.engine.clock.now() / 1000;
  const { topic, data } = await device.topic('expires', { 5: date(now + 100) });
  await device.ask('put', data, { payload: 'value' });
  const observer = scene.device();
  await observe(observer, data);
  const before = scene.pubsub.counters().pubsubTopicsExpired;
  scene.pass(99);
  assert.equal((await device.ask('get', topic)).code, '2.05');
  scene.pass(1);
  await assertFinal(observer, '4.04');
  assert.equal((await device.ask('get', topic)).code, '4.04');
  assert.equal((await device.ask('get', data)).code, '4.04');
  assert.equal(scene.engine.broker.router.retained.get('expires'), null);
  // Counted once it is durable.
  while (scene.pubsub.counters().pubsubTopicsExpired === before) await turn();
  assert.equal(scene.pubsub.counters().pubsubTopicsExpired, before + 1);
});

test('what has expired is cleared although no rule lets anybody write there', async () => {
  const now = scene.engine.clock.now() / 1000;
  const { data } = await device.topic('expires-denied', { 5: date(now + 100) });
  await device.ask('put', data, { payload: 'value' });
  const { access } = scene.engine.broker.environment;
  access.acl = parseMosquittoAcl(Buffer.from('topic read #\n'), 'FILE');
  try {
    assert.equal((await device.ask('delete', data)).code, '4.03');
    scene.pass(100);
    assert.equal(scene.engine.broker.router.retained.get('expires-denied'), null);
  } finally {
    access.acl = null;
  }
});

test('an earlier expiration-date by iPATCH acts, a later one puts it off', async () => {
  const now = scene.engine.clock.now() / 1000;
  const { topic } = await device.topic('moved', { 5: date(now + 10) });
  await device.ask('ipatch', topic, { format: PUBSUB, payload: cbor({ 5: date(now + 1000) }) });
  scene.pass(500);
  assert.equal((await device.ask('get', topic)).code, '2.05');
  await device.ask('ipatch', topic, { format: PUBSUB, payload: cbor({ 5: date(now) }) });
  scene.pass(1);
  assert.equal((await device.ask('get', topic)).code, '4.04');
});

test('the Content-Format changes by an MQTT publication: observers get a final 4.06, GET says what it is', async () => {
  const { data } = await device.topic('foreign', { 3: 60 });
  await device.ask('put', data, { format: 60, payload: 'one' });
  const observer = scene.device();
  await observe(observer, data);
  publishMqtt('foreign', 'plain');
  const plain = await observer.next();
  assert.deepEqual([plain.code, number(plain, OPT.contentFormat)], ['2.05', 60], 'one that says no format');
  publishMqtt('foreign', '{}', { properties: { contentType: 'application/json' } });
  await assertFinal(observer, '4.06');
  assert.equal(number(await device.ask('get', data), OPT.contentFormat), 50);
  assert.equal((await device.ask('get', data, { accept: 60 })).code, '4.06');
});

test('a value without a format is told to observers of any, and never ends their observation', async () => {
  const { data } = await device.topic('unsaid');
  publishMqtt('unsaid', 'one');
  const observer = scene.device();
  assert.equal(number(await observe(observer, data), OPT.contentFormat), undefined);
  await device.ask('put', data, { format: 50, payload: 'two' });
  const notification = await observer.next();
  assert.deepEqual([notification.code, number(notification, OPT.contentFormat)], ['2.05', undefined]);
  const asking = scene.device();
  const first = await asking.ask('get', data, { observe: 0, token: '0b', accept: 50, type: NON });
  assert.equal(first.code, '2.05');
  publishMqtt('unsaid', 'three');
  assert.equal(number(await asking.next(), OPT.contentFormat), 50);
  await observer.next();
});

test('ETag: 2.03 if it is known; If-Match and If-None-Match hold, else 4.12', async () => {
  const { data } = await device.topic('tagged');
  const absent = [OPT.ifNoneMatch, ''] as const;
  assert.equal((await device.ask('put', data, { payload: 'one', more: [[OPT.ifMatch, '']] })).code, '4.12');
  assert.equal((await device.ask('put', data, { payload: 'one', more: [absent] })).code, '2.01');
  assert.equal((await device.ask('put', data, { payload: 'two', more: [absent] })).code, '4.12');
  const [etag] = values(await device.ask('get', data), OPT.etag);
  assert.equal((await device.ask('get', data, { more: [[OPT.etag, etag]] })).code, '2.03');
  assert.equal((await device.ask('delete', data, { more: [[OPT.ifMatch, Buffer.from('other')]] })).code, '4.12');
  assert.equal((await device.ask('put', data, { payload: 'two', more: [[OPT.ifMatch, etag]] })).code, '2.04');
  assert.equal((await device.ask('get', data, { more: [[OPT.etag, etag]] })).code, '2.05');
  assert.equal((await device.ask('delete', data, { more: [[OPT.ifMatch, '']] })).code, '2.02');
});

test('data above limits.retained_payload is 4.13', async () => {
  const { data } = await device.topic('large');
  let answer = await device.ask('put', data, { payload: Buffer.alloc(5001, 0x61) });
  assert.equal(answer.code, '4.13');
  answer = await device.ask('put', data, { payload: Buffer.alloc(5000, 0x61) });
  assert.equal(answer.code, '2.01');
});

test('coap.pubsub_publications_per_second: too fast is 4.29 with Max-Age, counted and told', async () => {
  const slow = await Scene.create({ pubsub_publications_per_second: 2 });
  const publisher = slow.device();
  const { data } = await publisher.topic('slow');
  const put = () => publisher.ask('put', data, { payload: 'x' });
  assert.deepEqual([(await put()).code, (await put()).code], ['2.01', '2.04']);
  const refused = await put();
  assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 1]);
  assert.equal(slow.pubsub.counters().pubsubPublicationsRefused, 1);
  assert.deepEqual(slow.limits, ['coap.pubsub_publications_per_second']);
  assert.equal((await slow.device().ask('put', data, { payload: 'x' })).code, '2.04', 'another device may');
  slow.pass(1);
  assert.equal((await put()).code, '2.04');
  await slow.stop();
});

test('limits.bytes_per_second: 4.29 has the seconds until the device may publish again as its Max-Age', async () => {
  const slow = await Scene.create({ broker: { session: { bytesPerSecond: 100 } } });
  const publisher = slow.device();
  const { data } = await publisher.topic('rated');
  assert.equal((await publisher.ask('put', data, { payload: Buffer.alloc(350) })).code, '2.01');
  for (const method of ['put', 'delete'] as const) {
    const refused = await publisher.ask(method, data, method === 'put' ? { payload: 'x' } : {});
    assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 3], method);
  }
  const initialize = { 0: 'rated too', 2: 'core.ps.data', 3: 0, 8: Buffer.from('x') };
  const creation = await publisher.ask('post', ['pubsub'], { format: PUBSUB, payload: cbor(initialize) });
  assert.deepEqual([creation.code, number(creation, OPT.maxAge)], ['4.29', 3]);
  slow.pass(3);
  assert.equal((await publisher.ask('put', data, { payload: 'x' })).code, '2.04');
  await slow.stop();
});

test('coap.pubsub_topics: one topic too many is 5.03, counted and told; a deleted one makes room', async () => {
  const small = await Scene.create({ pubsub_topics: 2 });
  const creator = small.device();
  const { topic } = await creator.topic('1');
  await creator.topic('2');
  const payload = cbor({ 0: '3', 2: 'core.ps.data' });
  const create = () => creator.ask('post', ['pubsub'], { format: PUBSUB, payload });
  assert.equal((await create()).code, '5.03');
  assert.equal(small.pubsub.counters().pubsubTopicsRefused, 1);
  assert.deepEqual(small.limits, ['coap.pubsub_topics']);
  await creator.ask('delete', topic);
  assert.equal((await create()).code, '2.01');
  await small.stop();
});

test('access: the hook that decides on publications decides on topics, too: 4.03 for create, update, delete and PUT', async () => {
  const guarded = await Scene.create();
  const one = guarded.device();
  const { topic, data } = await one.topic('guarded/topic');
  await one.ask('put', data, { payload: 'value' });
  const asked: string[] = [];
  guarded.engine.broker.authorizePublish = (_client, packet, done) => {
    asked.push(packet.topic);
    done(packet.topic.startsWith('guarded/') ? new Error('not here') : null);
  };
  const creation = { format: PUBSUB, payload: cbor({ 0: 'guarded/new', 2: 'core.ps.data' }) };
  assert.equal((await one.ask('post', ['pubsub'], creation)).code, '4.03');
  const change = { format: PUBSUB, payload: cbor({ 6: 1 }) };
  for (const method of ['post', 'ipatch'] as const) assert.equal((await one.ask(method, topic, change)).code, '4.03');
  assert.equal((await one.ask('delete', topic)).code, '4.03');
  assert.equal((await one.ask('put', data, { payload: 'other' })).code, '4.03');
  assert.equal((await one.ask('delete', data)).code, '4.03');
  assert.equal(String((await one.ask('get', data)).payload), 'value');
  assert.equal(asked.length, 6);
  assert.equal(guarded.engine.broker.counters.deniedPublish, 6);
  await one.topic('free');
  await guarded.stop();
});

test('two creations of one name at the same time, while the hook decides: one topic, the other 4.00', async () => {
  const slow = await Scene.create();
  const waiting: (() => void)[] = [];
  slow.engine.broker.authorizePublish = (_client, _packet, done) => void waiting.push(() => done(null));
  const [one, other] = [slow.device(), slow.device()];
  const creation = { format: PUBSUB, payload: cbor({ 0: 'same', 2: 'core.ps.data' }) };
  const answers = [one.ask('post', ['pubsub'], creation), other.ask('post', ['pubsub'], creation)];
  assert.equal(waiting.length, 2);
  for (const decide of waiting) decide();
  assert.deepEqual(
    (await Promise.all(answers)).map(({ code }) => code),
    ['2.01', '4.00'],
  );
  await slow.stop();
});

test('a path of several segments, with characters that are escaped in links', async () => {
  const elsewhere = await Scene.create({ pubsub_path: 'a b/c%d' });
  const creator = elsewhere.device();
  const path = ['a b', 'c%d'];
  const answer = await creator.create({ 0: 'x', 2: 'core.ps.data' }, path);
  assert.deepEqual(locationOf(answer).slice(0, 2), path);
  const links = await creator.ask('get', path);
  assert.equal(number(links, OPT.contentFormat), LINKS);
  assert.match(String(links.payload), /^<\/a%20b\/c%25d\/[0-9a-f]{8}>;/);
  assert.equal((await creator.ask('get', locationOf(answer))).code, '2.05');
  assert.equal((await creator.ask('put', [...path, 'data', locationOf(answer)[2]], { payload: 'x' })).code, '2.01');
  await elsewhere.stop();
});
