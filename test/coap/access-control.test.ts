/** CoAP devices under an access control list. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { Face } from '../support/coap-face.js';
import { OPT } from './harness.js';
import { CBOR, cbor, PUBSUB, Scene } from './pubsub-scene.js';

const OBSERVE = { token: '0b', options: [[OPT.observe, 0]] } as const;

/** Devices without credentials have no user name. */
const ACL = parseMosquittoAcl(
  Buffer.from('topic read in/#\ntopic deny in/secret\ntopic write out/#\ntopic readwrite both/#\nuser w\ntopic #\n'),
  'FILE',
);

test('what a device may not publish, read or observe is 4.03', async () => {
  const face = await Face.create({}, { acl: ACL });
  const device = face.device();
  assert.equal((await device.ask('put', '/ps/out/a', { payload: '1' })).code, '2.01');
  assert.equal((await device.ask('put', '/ps/in/a', { payload: '1' })).code, '4.03');
  assert.equal((await device.ask('get', '/ps/out/a')).code, '4.03');
  assert.equal((await device.ask('get', '/ps/in/secret')).code, '4.03');
  assert.equal((await device.ask('get', '/ps/in/a')).code, '4.04');
  assert.equal((await device.ask('get', '/ps/in/secret', OBSERVE)).code, '4.03');
  assert.equal((await device.ask('get', '/ps/out/#', OBSERVE)).code, '4.03');
  assert.equal((await device.ask('get', '/ps/in/#', OBSERVE)).code, '2.05');
  await face.stop();
});

test('a mapped resource is as its topic: what a device may not do with that is 4.03', async () => {
  const mapping = { path: '/s/{box}/{name}', topic: '{box}/{name}', convert: 'none' } as const;
  const face = await Face.create(
    { mappings: [{ ...mapping, methods: ['GET', 'PUT', 'POST', 'DELETE'] }] },
    { acl: ACL },
  );
  const device = face.device();
  assert.equal((await device.ask('put', '/s/out/a', { payload: '1' })).code, '2.01');
  assert.equal((await device.ask('post', '/s/in/a', { payload: '1' })).code, '4.03');
  assert.equal((await device.ask('delete', '/s/in/a')).code, '4.03');
  assert.equal((await device.ask('get', '/s/out/a')).code, '4.03');
  assert.equal((await device.ask('get', '/s/in/secret', OBSERVE)).code, '4.03');
  assert.equal((await device.ask('get', '/s/in/a', OBSERVE)).code, '2.05');
  await face.stop();
});

test('a filter shows a device what it may read', async () => {
  const face = await Face.create({}, { acl: ACL });
  for (const topic of ['in/a', 'in/secret', 'out/a']) face.engine.broker.publish({ topic, payload: 'x', retain: true });
  const device = face.device();
  const answer = await device.ask('get', '/ps/#', { options: [[OPT.accept, 50]] });
  const shown = JSON.parse(String(answer.payload)) as { topic: string }[];
  assert.deepEqual(
    shown.map(({ topic }) => topic),
    ['in/a'],
  );
  await face.stop();
});

test('a precondition holds for what is there, also where a device may only write', async () => {
  const face = await Face.create({}, { acl: ACL });
  face.engine.broker.publish({ topic: 'out/a', payload: 'x', retain: true });
  const device = face.device();
  const create = { payload: 'y', options: [[OPT.ifNoneMatch, Buffer.alloc(0)]] } as const;
  assert.equal((await device.ask('put', '/ps/out/a', create)).code, '4.12');
  assert.equal((await device.ask('put', '/ps/out/b', create)).code, '2.01');
  await face.stop();
});

test('a retained value is 4.04 once its publisher may not publish it any more (access.check_retain_source)', async () => {
  const face = await Face.create({}, { acl: ACL });
  const device = face.device();
  assert.equal((await device.ask('put', '/ps/both/a', { payload: '1' })).code, '2.01');
  assert.equal((await device.ask('get', '/ps/both/a')).code, '2.05');
  face.engine.broker.replaceAcl(parseMosquittoAcl(Buffer.from('topic read both/#\n'), 'FILE'));
  assert.equal((await device.ask('get', '/ps/both/a')).code, '4.04');
  const all = await device.ask('get', '/ps/both/#', { options: [[OPT.accept, 50]] });
  assert.deepEqual(JSON.parse(String(all.payload)), []);
  const observed = await device.ask('get', '/ps/both/#', OBSERVE);
  assert.equal(observed.code, '2.05');
  assert.ok(!String(observed.payload).includes('both/a'));
  assert.equal((await device.ask('delete', '/ps/both/a')).code, '4.03');
  face.engine.broker.replaceAcl(ACL);
  assert.equal((await device.ask('get', '/ps/both/a')).code, '2.05');
  await face.stop();
});

const rules = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');
/** Targets of links. */
const targets = (payload: Buffer): string[] => [...String(payload).matchAll(/<([^>]*)>/g)].map(([, target]) => target);

test('publish-subscribe tells a device of topics that it may read or publish on, and of no others', async () => {
  const scene = await Scene.create({ broker: { acl: rules('topic readwrite #\n') } });
  const device = scene.device();
  const made = new Map<string, { topic: string[]; data: string[] }>();
  for (const name of ['read', 'write', 'both', 'neither']) made.set(name, await device.topic(name));
  scene.engine.broker.replaceAcl(rules('topic read read\ntopic write write\ntopic readwrite both\n'));
  const known = ['read', 'write', 'both'].map((name) => made.get(name)!);
  const topics = known.map(({ topic }) => `/${topic.join('/')}`);
  const data = known.map((one) => `/${one.data.join('/')}`);
  const collection = ['pubsub'];
  assert.deepEqual(targets((await device.ask('get', collection)).payload), topics);
  const ofData = await device.ask('get', collection, { query: ['rt=core.ps.data'] });
  assert.deepEqual(targets(ofData.payload), data);
  const filter = { format: PUBSUB, payload: cbor({ 2: 'core.ps.data' }) };
  assert.deepEqual(targets((await device.ask('fetch', collection, filter)).payload), topics);
  const client = scene.engine.broker.openClient({ id: 'core', remote: '192.0.2.1:1', transport: 'coap' });
  const links = [...scene.pubsub.links(client)].map(({ href }) => href);
  assert.deepEqual(links, ['/pubsub', ...topics, ...data]);
  // Nothing was asked for that would be refused.
  assert.equal(scene.engine.broker.counters.deniedReceive, 0);
  const keys = { format: CBOR, payload: Buffer.from([0x81, 0x00]) };
  for (const [name, code] of [
    ['read', '2.05'],
    ['write', '2.05'],
    ['neither', '4.03'],
  ] as const) {
    const { topic } = made.get(name)!;
    assert.equal((await device.ask('get', topic)).code, code, name);
    assert.equal((await device.ask('fetch', topic, keys)).code, code, name);
  }
  await scene.stop();
});

test('a device that may publish on a topic, and not read it, deletes its data, and the topic with its data', async () => {
  const scene = await Scene.create({ broker: { acl: rules('topic write t\nuser reader\ntopic read t\n') } });
  const reader = scene.engine.broker.openClient({
    id: 'r',
    username: 'reader',
    remote: '192.0.2.1:1',
    transport: 'coap',
  });
  const device = scene.device();
  const { topic, data } = await device.topic('t');
  assert.equal((await device.ask('put', data, { payload: Buffer.from('1') })).code, '2.01');
  assert.equal((await device.ask('get', data)).code, '4.03');
  assert.equal((await device.ask('delete', data)).code, '2.02');
  assert.equal(reader.retained('t'), null);
  assert.equal((await device.ask('delete', data)).code, '4.04');
  assert.equal((await device.ask('put', data, { payload: Buffer.from('2') })).code, '2.01');
  assert.equal(String(reader.retained('t')?.payload), '2');
  assert.equal((await device.ask('delete', topic)).code, '2.02');
  assert.equal(reader.retained('t'), null);
  assert.equal((await device.ask('delete', topic)).code, '4.04');
  // Who may only read deletes neither.
  const again = await device.topic('t');
  scene.engine.broker.replaceAcl(rules('topic read t\n'));
  scene.engine.broker.publish({ topic: 't', payload: 'of the broker', retain: true });
  for (const path of [again.data, again.topic]) assert.equal((await device.ask('delete', path)).code, '4.03');
  assert.equal((await device.ask('get', again.topic)).code, '2.05');
  await scene.stop();
});

test('publish-subscribe has no data either whose publisher may not publish it any more', async () => {
  const scene = await Scene.create({ broker: { acl: rules('topic readwrite t\n') } });
  const device = scene.device();
  const { data } = await device.topic('t');
  assert.equal((await device.ask('put', data, { payload: Buffer.from('1') })).code, '2.01');
  assert.equal((await device.ask('get', data)).code, '2.05');
  scene.engine.broker.replaceAcl(rules('topic read t\n'));
  assert.equal((await device.ask('get', data)).code, '4.04');
  assert.equal(scene.engine.broker.counters.withheldRetained, 1);
  scene.engine.broker.replaceAcl(rules('topic readwrite t\n'));
  assert.equal((await device.ask('get', data)).code, '2.05');
  await scene.stop();
});
