/** draft-ietf-core-coap-pubsub-21: the collection, and the configurations of its topics. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { encode } from 'cborg';
import { number, OPT } from './harness.js';
import { CBOR, cbor, type Device, date, LINKS, locationOf, mapOf, PUBSUB, pathOf, Scene } from './pubsub-scene.js';

let scene: Scene;
let device: Device;

before(async () => {
  scene = await Scene.create();
  device = scene.device();
});

after(() => scene.stop());

const REQUIRED = { 2: 'core.ps.data' } as const;
const ROOT = ['pubsub'];

/** Codes of creations with these payloads. */
async function codes(...payloads: Buffer[]): Promise<string[]> {
  const found: string[] = [];
  for (const payload of payloads) found.push((await device.ask('post', ROOT, { format: PUBSUB, payload })).code);
  return found;
}

test('POST collection with topic-name and resource-type: 2.01, Location-Path, ct 606, at least 0, 1 and 2', async () => {
  const answer = await device.create({ 0: 'created', ...REQUIRED });
  const location = locationOf(answer);
  assert.equal(location.length, 2);
  assert.equal(location[0], 'pubsub');
  const map = mapOf(answer);
  assert.equal(map[0], 'created');
  assert.equal(map[2], 'core.ps.data');
  assert.equal(pathOf(map[1])[0], 'pubsub');
  assert.notDeepEqual(pathOf(map[1]), location, 'topic and topic-data are two resources');
});

test('the bytes of a configuration are those of the draft: integer keys, a date with tag 1', async () => {
  // {0: "bytes", 2: "core.ps.data", 3: 112, 4: "t", 5: 1(9999999999), 6: 100}
  const payload = Buffer.from(
    'a600656279746573026c636f72652e70732e6461746103187004617405c11b00000002540be3ff061864',
    'hex',
  );
  const answer = await device.ask('post', ROOT, { format: PUBSUB, payload });
  assert.equal(answer.code, '2.01');
  const text = answer.payload.toString('hex');
  for (const part of [
    '00656279746573',
    '026c636f72652e70732e64617461',
    '031870',
    '046174',
    '05c11b00000002540be3ff',
    '061864',
    '071a00015180',
  ]) {
    assert.ok(text.includes(part), part);
  }
});

test('CBOR as small encoders write it is read: longer numbers than need be, maps of indefinite length, a date with a fraction', async () => {
  const name = Buffer.from('loose').toString('hex');
  const type = Buffer.from('core.ps.data').toString('hex');
  // {_ 0: "loose", 2: "core.ps.data", 3: 60 in four bytes, 5: 1(9999999999.5)}
  const payload = Buffer.from(`bf180065${name}02780c${type}031a0000003c05c1fb4202a05f1ffc0000ff`, 'hex');
  const answer = await device.ask('post', ROOT, { format: PUBSUB, payload });
  assert.equal(answer.code, '2.01', String(answer.payload));
  const map = mapOf(answer);
  assert.deepEqual([map[0], map[3], map[5]], ['loose', 60, date(9_999_999_999.5)]);
});

test('every property is kept: 0 to 8, observer-check is 86400 unless said', async () => {
  const properties = {
    0: 'all/of/it',
    ...REQUIRED,
    3: 60,
    4: 'temperature',
    5: date(9_999_999_999),
    6: 5,
    7: 3600,
    8: Buffer.from('80', 'hex'),
  };
  const { 1: data, ...map } = mapOf(await device.create(properties));
  assert.equal(typeof data, 'string');
  assert.deepEqual(map, { ...properties, 8: new Uint8Array([0x80]) });
  assert.equal(mapOf(await device.create({ 0: 'default check', ...REQUIRED }))[7], 86_400);
});

test('topic-name is unique in its collection: 4.00', async () => {
  await device.topic('twice');
  assert.deepEqual(await codes(cbor({ 0: 'twice', ...REQUIRED })), ['4.00']);
});

test('a topic-name that is no topic of MQTT is 4.00: empty, wildcards, NUL, $ at the beginning, too many levels', async () => {
  const names = ['', 'a/+', '#', 'nul\0', '$SYS/x', '$share/g/t', 'x/'.repeat(101)];
  const answers = await codes(...names.map((name) => cbor({ 0: name, ...REQUIRED })));
  assert.deepEqual(new Set(answers), new Set(['4.00']));
});

test('topic-name and resource-type are required; resource-type is core.ps.data: else 4.00', async () => {
  const payloads = [cbor(REQUIRED), cbor({ 0: 'no type' }), cbor({ 0: 'other', 2: 'core.ps.conf' })];
  assert.deepEqual(await codes(...payloads), ['4.00', '4.00', '4.00']);
});

for (const [what, properties] of [
  ['an unknown key', { 9: 1 }],
  ['a negative key', { [-1]: 1 }],
  ['a topic-name that is no text', { 0: 7 }],
  ['a topic-content-format above 65535', { 3: 65_536 }],
  ['a topic-content-format that is a float', { 3: 1.5 }],
  ['an expiration-date without tag 1', { 5: 9_999_999_999 }],
  ['an expiration-date that is over', { 5: date(1) }],
  ['a max-subscribers below 0', { 6: -1 }],
  ['an observer-check of 0', { 7: 0 }],
  ['an initialize that is text', { 3: 0, 8: 'text' }],
  ['initialize without topic-content-format', { 8: Buffer.from('x') }],
  ['an empty initialize', { 3: 0, 8: Buffer.alloc(0) }],
  ['null for a property', { 4: null }],
] as const) {
  test(`a bad or unknown property is 4.00: ${what}`, async () => {
    assert.deepEqual(await codes(cbor({ 0: `bad: ${what}`, ...REQUIRED, ...properties })), ['4.00']);
  });
}

test('what is no CBOR map, or not well-formed, is 4.00: repeated keys, more than one item, text that is not UTF-8', async () => {
  const type = `026c${Buffer.from('core.ps.data').toString('hex')}`;
  const hex = (text: string): Buffer => Buffer.from(text, 'hex');
  assert.deepEqual(await codes(hex(`a2006170${type}`)), ['2.01'], 'that is how it would be right');
  const wrong = [
    '',
    '80',
    '01',
    'ff',
    `a2006171`,
    `a2006171${type}00`,
    `a3006171006171${type}`,
    `a20061ff${type}`,
    `a2007f6171ff${type}`,
    `a200f7${type}`,
    `a200c06171${type}`,
    `c1a2006171${type}`,
    '81'.repeat(4000),
  ];
  assert.deepEqual(
    await codes(...wrong.map(hex)),
    wrong.map(() => '4.00'),
  );
});

test('a configuration with another Content-Format, or none, is 4.15; one above 4,096 bytes is 4.13 and counted', async () => {
  const payload = cbor({ 0: 'formats', ...REQUIRED });
  assert.equal((await device.ask('post', ROOT, { format: CBOR, payload })).code, '4.15');
  assert.equal((await device.ask('post', ROOT, { payload })).code, '4.15');
  const before = scene.pubsub.counters().pubsubConfigurationsTooLarge;
  const { topic } = await device.topic('grows', { 3: 0, 4: 'x'.repeat(500) });
  const growing = cbor({ 8: Buffer.alloc(4000) });
  for (const [method, path, body] of [
    ['post', ROOT, Buffer.alloc(4097, 0x80)],
    ['ipatch', topic, growing],
  ] as const) {
    const answer = await device.ask(method, path, { format: PUBSUB, payload: body });
    assert.equal(answer.code, '4.13');
    assert.equal(number(answer, OPT.size1), 4096);
  }
  assert.equal(scene.pubsub.counters().pubsubConfigurationsTooLarge, before + 2);
});

test('GET topic: 2.05 ct 606 with the whole map; Accept of another format 4.06', async () => {
  const { topic, data } = await device.topic('read', { 3: 112, 4: 'temperature' });
  const answer = await device.ask('get', topic);
  assert.equal(answer.code, '2.05');
  assert.deepEqual(mapOf(answer), {
    0: 'read',
    1: `/${data.join('/')}`,
    2: 'core.ps.data',
    3: 112,
    4: 'temperature',
    7: 86_400,
  });
  assert.equal((await device.ask('get', topic, { accept: PUBSUB })).code, '2.05');
  assert.equal((await device.ask('get', topic, { accept: CBOR })).code, '4.06');
});

test('FETCH topic with an array of keys, ct 60: 2.05 ct 606 with just those that there are', async () => {
  const { topic } = await device.topic('in parts', { 3: 112 });
  const ask = (payload: unknown, format = CBOR) =>
    device.ask('fetch', topic, { format, payload: Buffer.from(encode(payload)) });
  assert.deepEqual(mapOf(await ask([0, 3, 5, 99])), { 0: 'in parts', 3: 112 });
  assert.deepEqual(mapOf(await ask([])), {});
  assert.equal((await ask([0], PUBSUB)).code, '4.15');
  assert.equal((await ask(['topic-name'])).code, '4.00');
  assert.equal((await ask(new Map([[0, 1]]))).code, '4.00');
});

test('POST topic: 2.04 with the whole map; what is left out returns to its default', async () => {
  const { topic, data } = await device.topic('replaced', { 3: 112, 4: 'temperature', 6: 4, 7: 60 });
  const answer = await device.ask('post', topic, { format: PUBSUB, payload: cbor({ 0: 'replaced', 6: 9 }) });
  assert.equal(answer.code, '2.04');
  const whole = { 0: 'replaced', 1: `/${data.join('/')}`, 2: 'core.ps.data', 6: 9, 7: 86_400 };
  assert.deepEqual(mapOf(answer), whole);
  assert.deepEqual(mapOf(await device.ask('get', topic)), whole);
});

test('iPATCH topic: 2.04 with the whole map; what is left out stays', async () => {
  const { topic, data } = await device.topic('patched', { 3: 112, 4: 'temperature', 7: 60 });
  const payload = cbor({ 5: date(9_999_999_999), 6: 5 });
  const answer = await device.ask('ipatch', topic, { format: PUBSUB, payload });
  assert.equal(answer.code, '2.04');
  assert.deepEqual(mapOf(answer), {
    0: 'patched',
    1: `/${data.join('/')}`,
    2: 'core.ps.data',
    3: 112,
    4: 'temperature',
    5: date(9_999_999_999),
    6: 5,
    7: 60,
  });
});

for (const method of ['post', 'ipatch'] as const) {
  test(`${method}: 0, 1 and 2 cannot change (4.00, nothing changes), and may be repeated as they are`, async () => {
    const { topic, data } = await device.topic(`immutable for ${method}`, { 6: 3 });
    const present = { 0: `immutable for ${method}`, 1: `/${data.join('/')}`, 2: 'core.ps.data' };
    for (const change of [{ 0: 'other' }, { 1: '/pubsub/data/other' }, { 2: 'other' }]) {
      const payload = cbor({ ...present, ...change, 6: 8 });
      assert.equal((await device.ask(method, topic, { format: PUBSUB, payload })).code, '4.00');
    }
    assert.equal(mapOf(await device.ask('get', topic))[6], 3);
    const same = await device.ask(method, topic, { format: PUBSUB, payload: cbor({ ...present, 6: 8 }) });
    assert.equal(same.code, '2.04');
    assert.equal(mapOf(same)[6], 8);
  });
}

test('DELETE topic: 2.02, then 4.04 for the topic and for its topic-data', async () => {
  const { topic, data } = await device.topic('deleted');
  await device.ask('put', data, { payload: 'value' });
  assert.equal((await device.ask('delete', topic)).code, '2.02');
  assert.equal((await device.ask('delete', topic)).code, '4.04');
  assert.equal((await device.ask('get', topic)).code, '4.04');
  assert.equal((await device.ask('get', data)).code, '4.04');
  assert.equal((await device.ask('put', data, { payload: 'value' })).code, '4.04');
  assert.equal(scene.engine.broker.router.retained.get('deleted'), null);
  // The name is free again.
  await device.topic('deleted');
});

test('methods that a resource does not have are 4.05, paths that are not there 4.04', async () => {
  const { topic, data } = await device.topic('methods');
  for (const method of ['put', 'delete', 'patch', 'ipatch'] as const)
    assert.equal((await device.ask(method, ROOT)).code, '4.05');
  for (const method of ['put', 'patch'] as const) assert.equal((await device.ask(method, topic)).code, '4.05');
  for (const method of ['post', 'fetch', 'patch', 'ipatch'] as const)
    assert.equal((await device.ask(method, data)).code, '4.05');
  assert.equal((await device.ask('get', ['pubsub', 'data'])).code, '4.04');
  assert.equal((await device.ask('get', ['pubsub', 'nothing', 'here'])).code, '4.04');
});

test('GET collection: 2.05 ct 40, links to the topics', async () => {
  const { topic, data } = await device.topic('linked');
  const answer = await device.ask('get', ROOT);
  assert.equal(answer.code, '2.05');
  assert.equal(number(answer, OPT.contentFormat), LINKS);
  assert.equal((await device.ask('get', ROOT, { accept: CBOR })).code, '4.06');
  const filtered = await device.ask('get', ROOT, { query: [`href=/${topic.join('/')}`] });
  assert.equal(String(filtered.payload), `</${topic.join('/')}>;rt="core.ps.conf";ct=606`);
  const none = await device.ask('get', ROOT, { query: [`href=/${data.join('/')}`] });
  assert.equal(String(none.payload), '', 'data is listed where its resource type is asked for');
});

test('GET collection?rt=core.ps.data: links to the topic-data; other filters of RFC 6690 4.1 hold too', async () => {
  const { topic, data } = await device.topic('filtered', { 3: 11_542 });
  const links = async (...query: string[]) => String((await device.ask('get', ROOT, { query })).payload);
  const dataHref = `href=/${data.join('/')}`;
  const topicHref = `href=/${topic.join('/')}`;
  assert.equal(await links('rt=core.ps.data', dataHref), `</${data.join('/')}>;rt="core.ps.data";obs;ct=11542`);
  assert.equal(await links('rt=core.ps.data', topicHref), '');
  assert.equal(await links('rt=core.ps.conf', topicHref), `</${topic.join('/')}>;rt="core.ps.conf";ct=606`);
  assert.equal(await links('rt=core.ps.*', 'ct=11542'), `</${data.join('/')}>;rt="core.ps.data";obs;ct=11542`);
  assert.equal(await links('rt=other'), '');
  assert.equal(
    await links('rt=core.ps.conf', topicHref, 'c=dev', 't=token'),
    await links('rt=core.ps.conf', topicHref),
  );
});

test('GET and FETCH of the collection or of a topic with Observe are answered without it', async () => {
  const { topic } = await device.topic('not observed');
  const keys = Buffer.from([0x81, 0x00]);
  for (const answer of [
    await device.ask('get', ROOT, { observe: 0 }),
    await device.ask('fetch', ROOT, { observe: 0, format: PUBSUB, payload: cbor({ 0: 'not observed' }) }),
    await device.ask('get', topic, { observe: 0 }),
    await device.ask('fetch', topic, { observe: 0, format: CBOR, payload: keys }),
  ]) {
    assert.deepEqual([answer.code, number(answer, OPT.observe)], ['2.05', undefined]);
    assert.ok(answer.payload.length > 0);
  }
});

test('FETCH collection with a map, ct 606: 2.05 ct 40, topics in which every given property is equal', async () => {
  const one = await device.topic('fetched/1', { 3: 112, 4: 'humidity' });
  const two = await device.topic('fetched/2', { 3: 110, 4: 'humidity' });
  const ask = (filter: Record<number, unknown>) => device.ask('fetch', ROOT, { format: PUBSUB, payload: cbor(filter) });
  const link = ({ topic }: { topic: string[] }) => `</${topic.join('/')}>;rt="core.ps.conf";ct=606`;
  const both = await ask({ 4: 'humidity' });
  assert.equal(both.code, '2.05');
  assert.equal(number(both, OPT.contentFormat), LINKS);
  assert.equal(String(both.payload), `${link(one)},${link(two)}`);
  assert.equal(String((await ask({ 4: 'humidity', 3: 110 })).payload), link(two));
  assert.equal(String((await ask({ 0: 'fetched/1', 2: 'core.ps.data', 7: 86_400 })).payload), link(one));
  assert.equal(String((await ask({ 4: 'humidity', 6: 1 })).payload), '');
  assert.equal(String((await ask({ 99: 1 })).payload), '');
  assert.equal(String((await ask({ 0: 7 })).payload), '');
  const initialized = await device.topic('fetched/3', { 3: 0, 8: Buffer.from('x') });
  assert.equal(String((await ask({ 8: Buffer.from('x') })).payload), link(initialized));
  assert.equal(String((await ask({ 8: Buffer.from('y') })).payload), '');
  const wrong = await device.ask('fetch', ROOT, { format: CBOR, payload: cbor({ 0: 'x' }) });
  assert.equal(wrong.code, '4.15');
  assert.equal((await device.ask('fetch', ROOT, { format: PUBSUB, payload: Buffer.from('80', 'hex') })).code, '4.00');
});

test('topic-data may be chosen by the creator: below the data of the collection, or on another server', async () => {
  const chosen = await device.create({ 0: 'chosen', 1: '/pubsub/data/my%20own/place', ...REQUIRED });
  assert.equal(mapOf(chosen)[1], '/pubsub/data/my%20own/place');
  assert.equal((await device.ask('put', ['pubsub', 'data', 'my own', 'place'], { payload: 'x' })).code, '2.01');
  assert.equal(String(scene.engine.broker.router.retained.get('chosen')?.payload), 'x');
  const elsewhere = await device.create({ 0: 'elsewhere', 1: 'coaps://other.example/t', ...REQUIRED });
  assert.equal(mapOf(elsewhere)[1], 'coaps://other.example/t');
  const links = await device.ask('get', ROOT, { query: ['rt=core.ps.data', 'href=coaps*'] });
  assert.equal(String(links.payload), '<coaps://other.example/t>;rt="core.ps.data";obs');
  assert.equal((await device.ask('delete', locationOf(elsewhere))).code, '2.02');
});

test('topic-data that is taken, on a path of something else, or to be initialized elsewhere is 4.00', async () => {
  await device.create({ 0: 'taken', 1: '/pubsub/data/taken', ...REQUIRED });
  const references = [
    '/pubsub/data/taken',
    '/pubsub/data/%74aken',
    '/pubsub/data',
    '/pubsub/x',
    '/ps/x',
    '/pubsub/data/..',
    '/pubsub/data/x?y',
    '/pubsub/data/%ff',
    'data/x',
    '//host/x',
    'http://host/x',
    // Who looks up would read two links.
    '/pubsub/data/a>,</forged',
    'coap://host/a>,</forged',
    '',
  ];
  const answers = await codes(...references.map((one, i) => cbor({ 0: `reference ${i}`, 1: one, ...REQUIRED })));
  assert.deepEqual(
    answers,
    references.map(() => '4.00'),
  );
  const there = cbor({ 0: 'there', 1: 'coap://host/x', ...REQUIRED, 3: 0, 8: Buffer.from('x') });
  assert.deepEqual(await codes(there), ['4.00']);
});
