/** Registered devices as topics: what is published about them, and the messages that become requests to them. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { number, OPT } from '../coap/harness.js';
import { journalOf } from '../support/journal.js';
import { LastingStore } from '../support/lasting-store.js';
import { FORMAT, LINKS, reply, Scene, words } from './scene.js';

let scene: Scene;

afterEach(() => scene.stop());

test('a retained message per device says its links, lifetime and base, and another one whether it is there', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1&lt=600&et=lamp');
  const listener = await scene.listener('devices/#');
  const about = await listener.next();
  assert.deepEqual([about.topic, about.retain, about.said.type], ['devices/node1', true, 'application/json']);
  assert.deepEqual(JSON.parse(about.payload), {
    base: `coap://192.0.2.1:${device.port}`,
    lifetime: 600,
    expires: new Date(scene.face.engine.clock.now() + 600_000).toISOString(),
    attributes: { et: 'lamp' },
    links: [
      { href: '/temp', rt: 'temperature', ct: 0 },
      { href: '/lamp', rt: 'light' },
    ],
  });
  const state = await listener.next();
  assert.deepEqual([state.topic, state.payload, state.retain], ['devices/node1/$state', 'online', true]);
});

test('who removes its registration is removed, who does not renew it has expired: both are told and stay told', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const location = await scene.register(device, 'ep=node1');
  await scene.register(device, 'ep=node2&d=attic&lt=60');
  const listener = await scene.listener('devices/+/$state', 'devices/+');
  await listener.lines(4);
  assert.equal((await device.ask('delete', location)).code, '2.02');
  assert.deepEqual(await listener.lines(2), ['devices/node1', 'devices/node1/$state removed']);
  scene.pass(60);
  assert.deepEqual(await listener.lines(2), ['devices/node2@attic', 'devices/node2@attic/$state expired']);
  const { registered, registrationsRemoved, registrationsExpired } = scene.count;
  assert.deepEqual([registered, registrationsRemoved, registrationsExpired], [0, 1, 1]);
  assert.deepEqual(scene.face.engine.broker.environment.router.retained.topics('devices/#').sort(), [
    'devices/node1/$state',
    'devices/node2@attic/$state',
  ]);
});

test('get, put, post and delete become requests, and the answers come below the resource', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/+/$response');
  const tell = async (verb: string, payload: string, properties: object, code: string, answer = '') => {
    listener.tell(`devices/node1/lamp/${verb}`, payload, properties);
    const asked = await device.next();
    device.send(reply(asked, code, answer));
    const { topic, payload: told, said } = await listener.next();
    assert.equal(topic, 'devices/node1/lamp/$response');
    return [words(asked), number(asked, OPT.contentFormat), told, said['coap-code']];
  };
  assert.deepEqual(await tell('get', 'x', {}, '2.05', 'off'), ['0.01 /lamp', undefined, 'off', '2.05']);
  const json = { contentType: 'application/json', userProperties: { 'coap-query': 'room=1' } };
  assert.deepEqual(await tell('put', '{}', json, '2.04'), ['0.03 /lamp?room=1 {}', 50, '', '2.04']);
  assert.deepEqual(await tell('post', 'on', {}, '2.01'), ['0.02 /lamp on', undefined, '', '2.01']);
  assert.deepEqual(await tell('delete', '', {}, '4.05', 'no'), ['0.04 /lamp', undefined, 'no', '4.05']);
});

test('RFC 8132: fetch, patch and ipatch become requests; coap-accept asks for a Content-Format; 4.06 and 4.15 are told', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/+/$response');
  const tell = async (verb: string, accept: string, answer: string) => {
    const contentType = 'application/merge-patch+json';
    const userProperties = { 'coap-accept': accept, 'coap-query': 'room=1' };
    listener.tell(`devices/node1/lamp/${verb}`, '{"on":1}', { contentType, userProperties });
    const asked = await device.next();
    device.send(reply(asked, answer));
    const { said } = await listener.next();
    return [words(asked), number(asked, OPT.contentFormat), number(asked, OPT.accept), said['coap-code']];
  };
  const request = '/lamp?room=1 {"on":1}';
  assert.deepEqual(await tell('fetch', 'application/json', '2.05'), [`0.05 ${request}`, 52, 50, '2.05']);
  assert.deepEqual(await tell('patch', '60', '4.06'), [`0.06 ${request}`, 52, 60, '4.06']);
  assert.deepEqual(await tell('ipatch', 'Application/CBOR', '4.15'), [`0.07 ${request}`, 52, 60, '4.15']);
});

test('a Content-Format that CoAP has no number for is not asked for: the failure says so in words', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/lamp/$response');
  for (const verb of ['get', 'observe']) {
    listener.tell(`devices/node1/lamp/${verb}`, '', { userProperties: { 'coap-accept': 'image/none' } });
    assert.deepEqual((await listener.next()).said, {
      'coap-failure': 'unsendable',
      'coap-detail': 'coap-accept: no Content-Format is known as image/none',
    });
  }
  await device.none();
  const { unsendable, inFlight } = scene.count;
  assert.deepEqual([unsendable, inFlight], [2, 0]);
});

test('the answer goes to the Response Topic with its Correlation Data, if the message has one', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('mine');
  listener.tell('devices/node1/a/b/get', '', { responseTopic: 'mine', correlationData: Buffer.from('7') });
  const asked = await device.next();
  assert.equal(words(asked), '0.01 /a/b');
  device.send(reply(asked, '2.05', '{"v":1}', [[OPT.contentFormat, 50]]));
  assert.deepEqual(await listener.next(), {
    topic: 'mine',
    payload: '{"v":1}',
    retain: false,
    said: { 'coap-code': '2.05', correlation: '7', type: 'application/json' },
  });
});

test('a Response Topic is for who may publish there: else the answer comes below the resource, and the log names the client', async () => {
  const denied: string[] = [];
  const journal = journalOf({
    denied: ({ id }, action, topic, reason) => void denied.push(`${id} ${action} ${topic}: ${reason}`),
  });
  scene = await Scene.create({}, { journal });
  scene.face.engine.broker.authorizePublish = (client, { topic }, done) =>
    done(client !== null && topic === 'alarm' ? new Error('not yours') : null);
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('alarm', 'mine', 'devices/node1/a/$response');
  for (const [responseTopic, expected] of [
    ['alarm', 'devices/node1/a/$response'],
    ['mine', 'mine'],
  ]) {
    listener.tell('devices/node1/a/get', '', { responseTopic });
    device.send(reply(await device.next(), '2.05', 'x'));
    assert.equal((await listener.next()).topic, expected);
  }
  listener.tell('devices/node1/a/cancel', '', { responseTopic: 'alarm' });
  assert.equal((await listener.next()).topic, 'devices/node1/a/$response');
  // What is no command asks for nothing.
  listener.tell('devices/node1/a/whatever', '', { responseTopic: 'alarm' });
  await listener.client.drain();
  assert.deepEqual(denied, ['listener publish alarm: not yours', 'listener publish alarm: not yours']);
});

test('failures are published: a Reset, no answer in time, more than may be under way', async () => {
  scene = await Scene.create({ device_timeout: 0.1, commands_per_device: 1 });
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/a/$response');
  const failure = async (): Promise<string> => (await listener.next()).said['coap-failure'];
  listener.tell('devices/node1/a/get');
  device.send({ type: 3, code: '0.00', mid: (await device.next()).mid });
  assert.equal(await failure(), 'reset');
  listener.tell('devices/node1/a/get');
  listener.tell('devices/node1/a/get');
  assert.equal(await failure(), 'limit');
  assert.equal(await failure(), 'timeout');
  assert.match(
    scene.limits.join(),
    /^coap\.commands_per_device: a message on devices\/node1\/a\/get for node1 was not sent/,
  );
});

test('a device is asked where its last request came from: after a change of its address at the new one', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const location = await scene.register(device, 'ep=node1');
  const moved = device.moved();
  assert.equal((await moved.ask('post', location)).code, '2.04');
  const listener = await scene.listener('devices/node1/a/$response');
  listener.tell('devices/node1/a/get');
  moved.send(reply(await moved.next(), '2.05', 'here'));
  assert.equal((await listener.next()).payload, 'here');
  await device.none();
});

test('observe publishes each state on the topic of the resource, and cancel ends it', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/temp', 'mine');
  listener.tell('devices/node1/temp/observe', '', { responseTopic: 'mine' });
  const asked = await device.next();
  assert.equal(words(asked), '0.01 /temp');
  assert.equal(number(asked, OPT.observe), 0);
  device.send(reply(asked, '2.05', '20', [[OPT.observe, 1]]));
  assert.deepEqual(await listener.lines(2), ['mine 20', 'devices/node1/temp 20']);
  device.send({ type: 0, code: '2.05', token: asked.token, payload: '21', options: [[OPT.observe, 2]] });
  assert.equal((await device.next()).code, '0.00');
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 21']);
  listener.tell('devices/node1/temp/cancel', '', { responseTopic: 'mine' });
  const cancelled = await device.next();
  assert.deepEqual([number(cancelled, OPT.observe), cancelled.token], [1, asked.token]);
  const told = await listener.next();
  assert.deepEqual([told.topic, told.said['coap-failure']], ['mine', 'cancelled']);
  device.send(reply(cancelled, '2.05', '21'));
});

test('a resource that cannot be observed says so: its error, or its only state and the end', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/temp', 'devices/node1/temp/$response');
  listener.tell('devices/node1/temp/observe');
  device.send(reply(await device.next(), '4.04'));
  assert.equal((await listener.next()).said['coap-code'], '4.04');
  listener.tell('devices/node1/temp/observe');
  device.send(reply(await device.next(), '2.05', '20'));
  assert.deepEqual(await listener.lines(2), ['devices/node1/temp/$response 20', 'devices/node1/temp 20']);
  assert.equal((await listener.next()).said['coap-failure'], 'cancelled');
});

test('RFC 7641 3.3.1: an observation goes on where the device registers again, since it may have begun anew', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/temp');
  listener.tell('devices/node1/temp/observe');
  device.send(reply(await device.next(), '2.05', '20', [[OPT.observe, 1]]));
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 20']);
  const moved = device.moved();
  // The registration's answer and the observation are on their way together.
  moved.send({ code: '0.02', path: ['rd'], payload: LINKS, options: [[OPT.uriQuery, 'ep=node1']] });
  const sent = [await moved.next(), await moved.next()];
  const asked = sent.find(({ code }) => code === '0.01');
  assert.ok(asked !== undefined && sent.some(({ code }) => code === '2.01'));
  assert.equal(number(asked, OPT.observe), 0);
  moved.send(reply(asked, '2.05', '30', [[OPT.observe, 1]]));
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 30']);
});

test('coap.device_observations and coap.device_observations_per_device: one too many is answered with limit, and told', async () => {
  scene = await Scene.create({ device_observations: 2, device_observations_per_device: 1 });
  const device = scene.face.device();
  const others = [scene.face.device(), scene.face.device()];
  await scene.register(device, 'ep=node1');
  for (const [index, other] of others.entries()) await scene.register(other, `ep=other${index}`);
  const listener = await scene.listener('devices/+/+/$response');
  listener.tell('devices/node1/a/observe');
  device.send(reply(await device.next(), '2.05', '1', [[OPT.observe, 1]]));
  assert.equal((await listener.next()).said['coap-code'], '2.05');
  listener.tell('devices/node1/b/observe');
  assert.deepEqual((await listener.next()).said, {
    'coap-failure': 'limit',
    'coap-detail': 'coap.device_observations_per_device',
  });
  listener.tell('devices/other0/a/observe');
  others[0].send(reply(await others[0].next(), '2.05', '1', [[OPT.observe, 1]]));
  assert.equal((await listener.next()).said['coap-code'], '2.05');
  listener.tell('devices/other1/a/observe');
  assert.equal((await listener.next()).said['coap-failure'], 'limit');
  assert.deepEqual(
    scene.limits.map((line) => line.replace(/:.*/, '')),
    ['coap.device_observations_per_device', 'coap.device_observations'],
  );
  const { refusedObservations, refusedObservationsPerPeer } = scene.count;
  assert.deepEqual([refusedObservations, refusedObservationsPerPeer], [1, 1]);
});

test('a device of DTLS is asked over its association; when that is gone it cannot be, until it comes back', async () => {
  scene = await Scene.create({}, {}, 'coaps://127.0.0.1:5684');
  const device = scene.face.device({ identity: 'alice' });
  const location = await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/a/$response');
  const found = await device.ask('get', '/rd-lookup/ep');
  assert.match(String(found.payload), /;base="coaps:\/\/192\.0\.2\.1:\d+"/);
  listener.tell('devices/node1/a/get');
  device.send(reply(await device.next(), '2.05', 'here'));
  assert.equal((await listener.next()).payload, 'here');
  device.leave();
  listener.tell('devices/node1/a/get');
  assert.equal((await listener.next()).said['coap-failure'], 'unsendable');
  await device.none();
  const back = device.moved();
  assert.equal((await back.ask('post', location)).code, '2.04');
  listener.tell('devices/node1/a/get');
  back.send(reply(await back.next(), '2.05', 'again'));
  assert.equal((await listener.next()).payload, 'again');
});

test('when an association is gone, what is under way fails at once, and observations go on when the device is back', async () => {
  scene = await Scene.create();
  const device = scene.face.device({ identity: 'alice' });
  const location = await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/temp', 'devices/node1/a/$response');
  listener.tell('devices/node1/temp/observe');
  device.send(reply(await device.next(), '2.05', '20', [[OPT.observe, 1]]));
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 20']);
  listener.tell('devices/node1/a/get');
  assert.equal(words(await device.next()), '0.01 /a');
  device.leave();
  assert.equal((await listener.next()).said['coap-failure'], 'gone');
  const back = device.moved();
  back.send({ code: '0.02', path: location.slice(1).split('/') });
  const sent = [await back.next(), await back.next()];
  const asked = sent.find(({ code }) => code === '0.01');
  assert.ok(asked !== undefined && sent.some(({ code }) => code === '2.04'));
  assert.deepEqual([words(asked), number(asked, OPT.observe)], ['0.01 /temp', 0]);
  back.send(reply(asked, '2.05', '21', [[OPT.observe, 1]]));
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 21']);
});

test('RFC 8323: over a connection a request is not confirmable, and nothing waits for an acknowledgement', async () => {
  scene = await Scene.create({}, {}, 'coap+tcp://127.0.0.1:5683');
  const device = scene.face.device(undefined, true);
  await scene.register(device, 'ep=node1');
  const found = await device.ask('get', '/rd-lookup/ep');
  assert.match(String(found.payload), /;base="coap\+tcp:\/\/192\.0\.2\.1:\d+"/);
  const listener = await scene.listener('devices/node1/a/$response');
  listener.tell('devices/node1/a/get');
  const asked = await device.next();
  assert.equal(asked.type, 1);
  device.send({ ...reply(asked, '2.05', 'here'), type: 1 });
  assert.equal((await listener.next()).payload, 'here');
});

test('a base of the device’s own choice is where it is asked; a name is not looked up', async () => {
  scene = await Scene.create();
  const tool = scene.face.device({ identity: 'tool' });
  const device = scene.face.device();
  await scene.register(tool, `ep=named&base=coap://device.example`);
  await scene.register(device, `ep=node1&base=coap://192.0.2.1:${device.port + 1000}`);
  const listener = await scene.listener('devices/+/a/$response');
  listener.tell('devices/named/a/get');
  assert.equal((await listener.next()).said['coap-failure'], 'unsendable');
  listener.tell('devices/node1/a/get');
  const { sent } = scene.face.bench.transport;
  while (sent.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(sent[0].port, device.port + 1000);
});

test('registrations survive a restart; whose lifetime ended meanwhile has expired, and that is told', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store });
  const device = scene.face.device();
  const bound = scene.face.device({ identity: 'alice' });
  const location = await scene.register(device, 'ep=node1&lt=600');
  await scene.register(device, 'ep=node2&lt=60');
  await scene.register(bound, 'ep=node3');
  const { clock } = scene.face.engine;
  await scene.stop();
  clock.advance(61);
  scene = await Scene.create({}, { store, clock });
  assert.equal(scene.count.registered, 2);
  const listener = await scene.listener('devices/+/$state', 'devices/+/a/$response');
  assert.deepEqual((await listener.lines(3)).sort(), [
    'devices/node1/$state online',
    'devices/node2/$state expired',
    'devices/node3/$state online',
  ]);
  const again = scene.face.device();
  listener.tell('devices/node1/a/get');
  again.send(reply(await again.next(), '2.05', 'still here'));
  assert.deepEqual(await listener.lines(1), ['devices/node1/a/$response still here']);
  // The association is gone with the broker that had it.
  listener.tell('devices/node3/a/get');
  assert.equal((await listener.next()).said['coap-failure'], 'unsendable');
  assert.equal((await again.ask('post', location)).code, '2.04');
});

test('what somebody has cleared about a device that is registered is published again at the next start', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store });
  await scene.register(scene.face.device(), 'ep=node1&lt=600');
  const eraser = await scene.listener('none');
  for (const topic of ['devices/node1', 'devices/node1/$state']) {
    eraser.client.publish(topic, '', { qos: 1, retain: true, messageId: 2 });
    await eraser.client.expect('puback');
  }
  const { clock } = scene.face.engine;
  await scene.stop();
  scene = await Scene.create({}, { store, clock });
  const listener = await scene.listener('devices/node1', 'devices/node1/$state');
  const about = await listener.next();
  assert.equal(JSON.parse(about.payload).lifetime, 600);
  assert.deepEqual(await listener.lines(1), ['devices/node1/$state online']);
});

test('a device that registered at an address where the broker does not listen any more has to come back', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store });
  await scene.register(scene.face.device(), 'ep=node1');
  const { clock } = scene.face.engine;
  await scene.stop();
  scene = await Scene.create({}, { store, clock }, 'coap://127.0.0.2:5683');
  const listener = await scene.listener('devices/node1/a/$response');
  listener.tell('devices/node1/a/get');
  assert.equal((await listener.next()).said['coap-failure'], 'unsendable');
  assert.equal(scene.count.unresolved, 1);
});

test('a name below the topic of devices is one level, and other topics there are no commands', async () => {
  scene = await Scene.create({ devices_topic: 'site/a' });
  const device = scene.face.device();
  const answer = await device.ask('post', '/rd?ep=urn:dev:mac:0024befffe804ff1', { payload: LINKS, options: FORMAT });
  assert.equal(answer.code, '2.01');
  const listener = await scene.listener('site/a/+/$state', 'site/a/+/$response');
  assert.deepEqual(await listener.lines(1), ['site/a/urn:dev:mac:0024befffe804ff1/$state online']);
  for (const other of ['', '/temp', '/temp/GET', '/temp/$response', '/get/x']) {
    listener.tell(`site/a/urn:dev:mac:0024befffe804ff1${other}`, 'x');
  }
  listener.tell('site/a/urn:dev:mac:0024befffe804ff1/get');
  const asked = await device.next();
  assert.equal(words(asked), '0.01 /');
  device.send(reply(asked, '2.05', 'root'));
  assert.deepEqual(await listener.lines(1), ['site/a/urn:dev:mac:0024befffe804ff1/$response root']);
});
