/** RFC 9176 on the wire: what devices ask the directory, and what it answers. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { type Decoded, number, OPT } from '../coap/harness.js';
import type { Device } from '../support/coap-face.js';
import { FORMAT, LINKS, reply, Scene, words } from './scene.js';

let scene: Scene;

afterEach(() => scene.stop());

const text = (message: Decoded): string => String(message.payload);

async function codes(device: Device, requests: readonly (readonly [Parameters<Device['ask']>[0], string])[]) {
  const found: string[] = [];
  for (const [method, uri] of requests) found.push((await device.ask(method, uri)).code);
  return found;
}

test('RFC 9176 4.3: /.well-known/core announces the directory and both lookups by their resource types', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const all = await device.ask('get', '/.well-known/core?rt=core.rd*');
  assert.equal(
    text(all),
    '</rd>;rt="core.rd";ct=40,</rd-lookup/ep>;rt="core.rd-lookup-ep";ct=40;obs,' +
      '</rd-lookup/res>;rt="core.rd-lookup-res";ct=40;obs',
  );
  assert.equal(text(await device.ask('get', '/.well-known/core?rt=core.rd')), '</rd>;rt="core.rd";ct=40');
});

test('RFC 9176 5: POST registers, with 2.01 and a location; again with the same location', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const location = await scene.register(device, 'ep=node1&lt=600&et=lamp');
  assert.match(location, /^\/rd\/[\w-]{11}$/);
  assert.equal(await scene.register(device, 'ep=node1', '</new>'), location);
  const found = await device.ask('get', '/rd-lookup/res?ep=node1');
  assert.equal(text(found), `<coap://192.0.2.1:${device.port}/new>`);
  assert.equal(number(found, OPT.contentFormat), 40);
});

test('RFC 9176 5.3: a location is updated with 2.04 and removed with 2.02; one that is not there is 4.04', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const location = await scene.register(device, 'ep=node1');
  const requests = [
    ['post', `${location}?lt=700`],
    ['get', location],
    ['delete', location],
    ['delete', location],
    ['post', location],
    ['get', '/rd'],
    ['delete', '/rd-lookup/ep'],
    ['get', '/.well-known/rd'],
  ] as const;
  const expected = ['2.04', '4.05', '2.02', '4.04', '4.04', '4.05', '4.05', '4.05'];
  assert.deepEqual(await codes(device, requests), expected);
});

test('RFC 9176 5: registrations without a name, with bad links or of another format are refused', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const bad = await device.ask('post', '/rd', { payload: LINKS, options: FORMAT });
  assert.equal(bad.code, '4.00');
  assert.equal(text(bad), 'ep is missing');
  const format = await device.ask('post', '/rd?ep=a', { payload: '[]', options: [[OPT.contentFormat, 50]] });
  assert.equal(format.code, '4.15');
  const links = await device.ask('post', '/rd?ep=a', { payload: 'temp', options: FORMAT });
  assert.equal(links.code, '4.00');
  for (const ep of ['a/b', 'a+', '#', '$SYS', '', 'a\u0007']) {
    const named = await device.ask('post', `/rd?ep=${ep}`, { payload: LINKS, options: FORMAT });
    assert.equal(named.code, '4.00', ep);
  }
  assert.equal(scene.count.badRegistrations, 8);
  assert.equal(scene.count.registered, 0);
});

test('RFC 9176 5.1: simple registration: 2.04, then the broker asks for /.well-known/core where the request came from', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const listener = await scene.listener('devices/node1/$state');
  assert.equal((await device.ask('post', '/.well-known/rd?ep=node1&lt=600')).code, '2.04');
  const asked = await device.next();
  assert.equal(words(asked), '0.01 /.well-known/core');
  assert.equal(number(asked, OPT.accept), 40);
  device.send(reply(asked, '2.05', LINKS, FORMAT));
  assert.deepEqual(await listener.lines(1), ['devices/node1/$state online']);
  const base = `coap://192.0.2.1:${device.port}`;
  const found = await device.ask('get', '/rd-lookup/res');
  assert.equal(text(found), `<${base}/temp>;rt="temperature";ct=0,<${base}/lamp>;rt="light"`);
});

test('RFC 9176 5.1: a simple registration with a payload or a base is 4.00; one without links counts as failed', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const refused = await device.ask('post', '/.well-known/rd?ep=a', { payload: LINKS });
  assert.deepEqual([refused.code, text(refused)], ['4.00', 'a simple registration has no payload and no base']);
  assert.equal((await device.ask('post', '/.well-known/rd?ep=a&base=coap://192.0.2.1')).code, '4.00');
  assert.equal((await device.ask('post', '/.well-known/rd?ep=a')).code, '2.04');
  device.send(reply(await device.next(), '4.04'));
  assert.equal(scene.count.failedSimpleRegistrations, 1);
  assert.equal(scene.count.registered, 0);
});

test('RFC 9176 6: lookups by endpoint and by resource, filtered and in pages; nothing found is 2.05', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const one = await scene.register(device, 'ep=node1&et=lamp');
  await scene.register(device, 'ep=node2&d=floor2', '</temp>;rt="temperature sensor"');
  const base = `coap://192.0.2.1:${device.port}`;
  const ask = async (uri: string): Promise<string> => text(await device.ask('get', uri));
  assert.equal(await ask('/rd-lookup/ep?et=lamp'), `<${one}>;ep="node1";base="${base}";rt="core.rd-ep";et="lamp"`);
  assert.equal(await ask('/rd-lookup/res?rt=sensor'), `<${base}/temp>;rt="temperature sensor"`);
  assert.equal(await ask('/rd-lookup/res?d=floor*'), `<${base}/temp>;rt="temperature sensor"`);
  assert.equal((await ask('/rd-lookup/res?count=2&page=1')).split(',').length, 1);
  assert.match(await ask('/rd-lookup/ep?rt=light'), /^<[^>]+>;ep="node1";[^,]*$/);
  const none = await device.ask('get', '/rd-lookup/ep?ep=nobody');
  assert.deepEqual([none.code, text(none)], ['2.05', '']);
  assert.equal((await device.ask('get', '/rd-lookup/ep', { options: [[OPT.accept, 50]] })).code, '4.06');
});

test('RFC 9176 6: lookups can be observed: they tell what they find anew', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const watcher = scene.face.device();
  const first = await watcher.ask('get', '/rd-lookup/res?rt=light', { token: 'aa', options: [[OPT.observe, 0]] });
  assert.notEqual(number(first, OPT.observe), undefined);
  assert.equal(text(first), '');
  await scene.register(device, 'ep=node1');
  scene.plugin.tick();
  const second = await watcher.next();
  assert.equal(text(second), `<coap://192.0.2.1:${device.port}/lamp>;rt="light"`);
  watcher.acknowledge(second);
  await scene.register(device, 'ep=node2', '</temp>');
  scene.plugin.tick();
  await watcher.none();
});

test('coap.lookup_observers: one lookup too many is answered without Observe, counted and told; who registers anew keeps its place', async () => {
  scene = await Scene.create({ lookup_observers: 1 });
  const [first, second] = [scene.face.device(), scene.face.device()];
  const observe = async (from: Device): Promise<number | undefined> =>
    number(await from.ask('get', '/rd-lookup/res', { token: 'aa', options: [[OPT.observe, 0]] }), OPT.observe);
  assert.notEqual(await observe(first), undefined);
  assert.equal(await observe(second), undefined);
  assert.notEqual(await observe(first), undefined);
  assert.equal((await second.ask('get', '/rd-lookup/res')).code, '2.05');
  assert.equal(scene.count.refusedLookupObservers, 1);
  assert.deepEqual(
    scene.limits.map((line) => line.replace(/:.*/, '')),
    ['coap.lookup_observers'],
  );
  await scene.register(scene.face.device(), 'ep=node1');
  scene.plugin.tick();
  first.acknowledge(await first.next());
  await second.none();
  // A place that is left is free.
  await first.ask('get', '/rd-lookup/res', { token: 'aa', options: [[OPT.observe, 1]] });
  assert.notEqual(await observe(second), undefined);
});

test('a lookup is GET alone (RFC 9176 6.2): FETCH is 4.05, also with Observe', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  for (const path of ['/rd-lookup/ep', '/rd-lookup/res', '/rd']) {
    const answer = await device.ask('fetch', path, { token: 'aa', payload: 'x', options: [[OPT.observe, 0]] });
    assert.deepEqual([answer.code, number(answer, OPT.observe)], ['4.05', undefined], path);
  }
});

test('credentials in the query are no attributes of a device: nobody else is told them', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  const location = await scene.register(device, 'ep=node1&c=device-1&u=alice&p=secret');
  const found = await device.ask('get', '/rd-lookup/ep');
  assert.equal(text(found), `<${location}>;ep="node1";base="coap://192.0.2.1:${device.port}";rt="core.rd-ep"`);
});

test('a name belongs to the identity that has registered it', async () => {
  scene = await Scene.create();
  const alice = scene.face.device({ identity: 'alice' });
  const bob = scene.face.device({ identity: 'bob' });
  const nobody = scene.face.device();
  const location = await scene.register(alice, 'ep=node1');
  for (const other of [bob, nobody]) {
    assert.equal((await other.ask('post', '/rd?ep=node1', { payload: LINKS })).code, '4.03');
    assert.equal((await other.ask('post', '/.well-known/rd?ep=node1')).code, '4.03');
    assert.equal((await other.ask('post', location)).code, '4.03');
    assert.equal((await other.ask('delete', location)).code, '4.03');
  }
  assert.equal(scene.count.deniedRegistrations, 8);
  // The same identity may come by another association.
  assert.equal(await scene.register(alice.moved(), 'ep=node1'), location);
});

test('a device registers only what its client may publish on', async () => {
  scene = await Scene.create();
  scene.face.engine.broker.authorizePublish = (_client, { topic }, done) =>
    done(topic === 'devices/mine' || topic.startsWith('devices/mine/') ? null : new Error('not yours'));
  const device = scene.face.device();
  assert.equal((await device.ask('post', '/rd?ep=other', { payload: LINKS })).code, '4.03');
  assert.equal((await device.ask('post', '/.well-known/rd?ep=other')).code, '4.03');
  await scene.register(device, 'ep=mine');
  assert.equal(scene.count.deniedRegistrations, 2);
});

test('lookups show a device those on whose topic it may read or publish, also when they are observed', async () => {
  const rules = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');
  scene = await Scene.create({}, { acl: rules('topic write devices/+\n') });
  const [one, two] = [scene.face.device(), scene.face.device()];
  await scene.register(one, 'ep=mine');
  await scene.register(two, 'ep=theirs');
  const shown = async (path: string): Promise<string[]> =>
    [...text(await one.ask('get', path)).matchAll(/ep="([^"]*)"|:(\d+)\/lamp/g)].map((found) => found[1] ?? found[2]);
  assert.deepEqual(await shown('/rd-lookup/ep'), ['mine', 'theirs']);
  scene.face.engine.broker.replaceAcl(rules('topic read devices/mine\ntopic write devices/new\n'));
  assert.deepEqual(await shown('/rd-lookup/ep'), ['mine']);
  assert.deepEqual(await shown('/rd-lookup/res?rt=light'), [String(one.port)]);
  const watched = await one.ask('get', '/rd-lookup/ep', { token: 'aa', options: [[OPT.observe, 0]] });
  assert.match(text(watched), /^[^,]*ep="mine"[^,]*$/);
  await scene.register(two, 'ep=new');
  scene.plugin.tick();
  const told = await one.next();
  assert.deepEqual(
    [...text(told).matchAll(/ep="([^"]*)"/g)].map(([, name]) => name),
    ['mine', 'new'],
  );
  one.acknowledge(told);
  assert.equal(scene.face.engine.broker.counters.deniedReceive, 0);
});

test('limits of registrations: what is refused is answered, counted, and the log names the option', async () => {
  scene = await Scene.create({
    registrations: 2,
    registrations_per_device: 1,
    registration_bytes: 64,
    registration_links: 2,
    registration_lifetime_min: 60,
    registration_lifetime_max: 3600,
  });
  const device = scene.face.device();
  const register = async (from: Device, query: string, payload = '</a>'): Promise<string> =>
    (await from.ask('post', `/rd?${query}`, { payload })).code;
  assert.equal(await register(device, 'ep=a&lt=59'), '4.00');
  assert.equal(await register(device, 'ep=a&lt=3601'), '4.00');
  assert.equal(await register(device, 'ep=a', `</${'x'.repeat(64)}>`), '4.13');
  assert.equal(await register(device, 'ep=a', '</a>,</b>,</c>'), '4.13');
  assert.equal(await register(device, 'ep=a'), '2.01');
  const beyond = await device.ask('post', '/rd?ep=b', { payload: '</a>' });
  assert.deepEqual([beyond.code, number(beyond, OPT.maxAge)], ['5.03', 10]);
  assert.equal(await register(scene.face.device({ identity: 'alice' }), 'ep=b'), '2.01');
  assert.equal(await register(scene.face.device({ identity: 'bob' }), 'ep=c'), '5.03');
  assert.deepEqual(
    scene.limits.map((line) => line.replace(/:.*/, '')),
    [
      'coap.registration_lifetime_min',
      'coap.registration_lifetime_max',
      'coap.registration_bytes',
      'coap.registration_links',
      'coap.registrations_per_device',
      'coap.registrations',
    ],
  );
  const { count } = scene;
  assert.deepEqual(
    [
      count.refusedLifetimesMin,
      count.refusedLifetimesMax,
      count.refusedRegistrationBytes,
      count.refusedRegistrationLinks,
      count.refusedRegistrationsPerDevice,
      count.refusedRegistrations,
    ],
    [1, 1, 1, 1, 1, 1],
  );
});

test('what is published about a device needs no rule; the device registers and renews by its own', async () => {
  const aclOf = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');
  scene = await Scene.create({}, { acl: aclOf('user alice\ntopic write devices/mine\nuser w\ntopic #\n') });
  const witness = await scene.face.engine.connect({ username: 'w', clientId: 'w' });
  await witness.subscribe('devices/#', 0);
  const alice = scene.face.device({ identity: 'alice' });
  assert.equal((await alice.ask('post', '/rd?ep=other', { payload: LINKS })).code, '4.03');
  assert.equal((await scene.face.device().ask('post', '/rd?ep=mine', { payload: LINKS })).code, '4.03');
  const location = await scene.register(alice, 'ep=mine');
  assert.equal((await witness.expect('publish')).topic, 'devices/mine');
  assert.equal((await witness.expect('publish')).topic, 'devices/mine/$state');
  assert.equal((await alice.ask('post', location)).code, '2.04');
  // It loses its right, and lets its registration run out.
  scene.face.engine.broker.environment.access.acl = aclOf('user w\ntopic #\n');
  assert.equal((await alice.ask('post', location)).code, '4.03');
  assert.equal(scene.count.deniedRegistrations, 3);
});
