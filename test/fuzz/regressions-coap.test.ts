/** What fuzzing has found of CoAP: asking devices, templates, links, revoked certificates and what plugins keep. */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { readRevocationLists } from '../../src/access/revocation.js';
import { Broker } from '../../src/broker.js';
import { Method } from '../../src/coap/codes.js';
import { RevocationList } from '../../src/coap/dtls/revocation-list.js';
import { TemplateFailure, TemplateFault } from '../../src/plugins/coap-devices/liquid.js';
import { payloadTemplate } from '../../src/plugins/coap-devices/template.js';
import { UriTemplate } from '../../src/plugins/coap-devices/uri-template.js';
import { pluginKey } from '../../src/store/keys.js';
import { ClientBench } from '../coap/client/device.js';
import { CA } from '../coap/dtls/certificates.js';
import { NON, number, OPT } from '../coap/harness.js';
import { Scene as PubsubScene } from '../coap/pubsub-scene.js';
import { reply, Scene, words } from '../coap-devices/scene.js';
import { Face } from '../support/coap-face.js';
import { LastingStore } from '../support/lasting-store.js';
import { scratchFile } from './scratch.js';

let scene: Scene | undefined;

afterEach(async () => {
  await scene?.stop();
  scene = undefined;
});

test('a notification in one message is bounded as a body in blocks is, and the observation goes on', () => {
  const bench = new ClientBench({ limits: { bodyBytes: 100 } });
  const device = bench.device();
  const watched = device.watch({ method: Method.Get, path: ['a'] });
  const request = device.one();
  const notification = (observe: number, length: number): void =>
    void device.send({
      type: NON,
      code: '2.05',
      token: request.token,
      options: [[OPT.observe, observe]],
      payload: 'x'.repeat(length),
    });
  device.answer(request, { code: '2.05', options: [[OPT.observe, 1]], payload: '0' });
  notification(2, 101);
  notification(3, 100);
  assert.deepEqual(
    watched.states.map(({ length }) => length),
    [1, 100],
  );
  assert.deepEqual(watched.ends, []);
  const { counters, tables } = bench.client;
  assert.deepEqual([counters.bodiesTooLarge, tables.requests, tables.bodiesBytes], [1, 0, 0]);
});

function pem(der: Buffer): string {
  return `-----BEGIN X509 CRL-----\n${der.toString('base64')}\n-----END X509 CRL-----\n`;
}

/** Why a file of lists is refused. */
async function refusalOf(text: string): Promise<string> {
  const file = scratchFile('crl.pem');
  writeFileSync(file, text, { mode: 0o600 });
  try {
    await readRevocationLists({ option: 'crl_file', file });
    return '';
  } catch (error) {
    return (error as Error).message.replace(file, 'FILE');
  }
}

test('a file whose last list of revoked certificates is cut short is refused, and not read without it', async () => {
  const lists = pem(CA.list([])).repeat(2);
  assert.equal(await refusalOf(lists), '');
  assert.equal(await refusalOf(lists.slice(0, -10)), 'crl_file: FILE: list 2 in it is damaged: it has no end');
  assert.match(await refusalOf(`${lists.slice(0, 100)}${lists}`), /^crl_file: FILE: list 1 in it is damaged: /);
});

test('a list of revoked certificates until a date that there is not is damaged', async () => {
  for (const [written, wrong] of [
    ['460101', '461301'],
    ['460101', '460230'],
    ['260101', '260132'],
  ]) {
    const list = CA.list([]);
    // Behind the head of the whole; its own has two bytes.
    const start = list[1] === 0x81 ? 3 : 4;
    const signed = list.subarray(start, start + 2 + list[start + 1]);
    const toBeSigned = Buffer.from(signed.toString('latin1').replace(written, wrong), 'latin1');
    const signature = sign('sha256', toBeSigned, CA.keys.privateKey);
    const bits = Buffer.concat([Buffer.from([3, signature.length + 1, 0]), signature]);
    const content = Buffer.concat([toBeSigned, Buffer.from('300a06082a8648ce3d040302', 'hex'), bits]);
    const whole = Buffer.concat([Buffer.from([0x30, 0x81, content.length]), content]);
    assert.throws(() => new RevocationList(whole), TypeError, wrong);
    const isEnd = written !== '260101';
    assert.match(await refusalOf(pem(whole)), isEnd ? /it holds until no date that there is$/ : /^$/, wrong);
  }
});

test('a failure of a template says few words, however long the name that the message has not', () => {
  const template = payloadTemplate('{{ properties[payload] }}', undefined);
  const values = (payload: string) => ({ get: (name: string) => (name === 'payload' ? payload : {}) });
  for (const payload of ['x'.repeat(60_000), 'a\0b']) {
    assert.throws(
      () => template(values(payload)),
      (error) =>
        error instanceof TemplateFailure &&
        /^undefined variable: properties\..+ \(line 1, column 4\)$/.test(error.message) &&
        error.message.length < 300 &&
        !error.message.includes('\0'),
    );
  }
});

test('a failure is published however long the words of the message that it repeats', async () => {
  scene = await Scene.create();
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/lamp/$response');
  listener.tell('devices/node1/lamp/get', '', { userProperties: { 'coap-accept': 'x'.repeat(65_500) } });
  const { said } = await listener.next();
  assert.equal(said['coap-failure'], 'unsendable');
  assert.match(said['coap-detail'], /^coap-accept: no Content-Format is known as x{400,500}\.\.\.$/);
  assert.equal(scene.count.droppedReplies, 0);
});

test('a fault in a URI of several lines has the line and the column in it', () => {
  for (const [source, line, column] of [
    ['coap://h/{{ payload\n| upcase }}/{{ nope }}', 2, 16],
    ['coap://h/{{ payload\n| nope }}', 1, 10],
  ] as const) {
    assert.throws(
      () => new UriTemplate(source),
      (error) => error instanceof TemplateFault && error.line === line && error.column === column,
      source,
    );
  }
});

test('no link leads to another resource: a topic with a level . or .., or a longer one than a Uri-Path, has none', async () => {
  const face = await Face.create({
    mappings: [{ path: '/s/{device}', topic: 'd/{device}', methods: ['GET'], convert: 'none' }],
  });
  for (const level of ['..', '.', 'x'.repeat(256), 'good']) {
    face.engine.broker.publish({ topic: `d/${level}`, payload: 'x', qos: 0, retain: true });
  }
  const device = face.device();
  const collection = String((await device.ask('get', '/ps')).payload);
  assert.equal(collection, '</ps/d/good>;rt="core.ps.data";obs');
  const core = String((await device.ask('get', '/.well-known/core?rt=core.ps.data')).payload);
  assert.equal(core, `${collection},</s/good>;rt="core.ps.data";obs`);
  await face.stop();
});

/** A store that has a record of a plugin. */
async function storeWith(plugin: string, records: Readonly<Record<string, Buffer | string>>): Promise<LastingStore> {
  const store = new LastingStore();
  const operations = Object.entries(records).map(
    ([key, value]) => ({ type: 'put', key: pluginKey(plugin, key), value: Buffer.from(value) }) as const,
  );
  // A first start makes the store.
  const first = await PubsubScene.create({ broker: { store } });
  await first.stop();
  await store.write(operations, true);
  return store;
}

/** {0: name, 1: "/pubsub/data/x", 2: "core.ps.data", 7: 60}, behind its version. @param name of one character */
function topicRecord(name: string): Buffer {
  const data = '6e2f7075627375622f646174612f78';
  return Buffer.from(`01a40061${Buffer.from(name).toString('hex')}01${data}026c636f72652e70732e6461746107183c`, 'hex');
}

test('a stored topic that can be none beside the others is left out, and the broker starts', async () => {
  const store = await storeWith('coap', {
    '': topicRecord('a'),
    'no identifier': topicRecord('a'),
    '00000001': topicRecord('b'),
    '00000002': topicRecord('b'),
    '00000003': topicRecord('c'),
    '00000004': topicRecord('#'),
    '00000005': topicRecord('$'),
  });
  const pubsub = await PubsubScene.create({ broker: { store } });
  const { payload } = await pubsub.device().ask('get', ['pubsub']);
  assert.equal(String(payload), '</pubsub/00000001>;rt="core.ps.conf";ct=606');
  assert.equal(pubsub.engine.broker.sessions.damaged, 6);
  await pubsub.stop();
});

const REGISTRATION = {
  id: 'one',
  ep: 'node1',
  d: '',
  lt: 60,
  base: 'coap://192.0.2.1:40001',
  implicit: true,
  attributes: {},
  links: '</a>',
  owner: null,
  origin: { address: '192.0.2.1', port: 40_001, family: 'IPv4', via: 'coap://127.0.0.1:5683', bound: false },
  expiresAt: 1_700_000_060_000,
};

test('a stored registration with anything in it that no device can have said is left out, and the broker starts', async () => {
  const wrong: Readonly<Record<string, unknown>>[] = [
    { id: 'another' },
    { ep: '' },
    { ep: '+' },
    { d: 'a@b' },
    { lt: 0 },
    { base: 'http://h' },
    { implicit: 1 },
    { attributes: null },
    { attributes: { et: 1 } },
    { links: null },
    { owner: 1 },
    { origin: null },
    { origin: { ...REGISTRATION.origin, port: 0 } },
    { origin: { ...REGISTRATION.origin, family: 'IPv6' } },
    { expiresAt: 'soon' },
    { expiresAt: 1e300 },
  ];
  const records = wrong.map((more, i) => {
    const id = `wrong${i}`;
    return [id, JSON.stringify({ ...REGISTRATION, id, ep: id, ...more })] as const;
  });
  const same = ['two', JSON.stringify({ ...REGISTRATION, id: 'two' })] as const;
  const store = await storeWith('coap-devices', {
    one: JSON.stringify(REGISTRATION),
    ...Object.fromEntries([...records, same]),
  });
  scene = await Scene.create({}, { store });
  assert.deepEqual(
    [...scene.plugin.directory.all()].map(({ id }) => id),
    ['one'],
  );
  assert.equal(scene.face.engine.broker.sessions.damaged, wrong.length + 1);
});

test('a stored observation that no message can have asked for is left out', async () => {
  const kept = { observes: 'one', path: ['a'], query: [], qos: 1 };
  const store = await storeWith('coap-devices', {
    one: JSON.stringify(REGISTRATION),
    'one/a': JSON.stringify(kept),
    'one/b': JSON.stringify(kept),
    'one/c/d': JSON.stringify({ ...kept, path: ['c/d'] }),
    'one/+': JSON.stringify({ ...kept, path: ['+'] }),
    'one/..': JSON.stringify({ ...kept, path: ['..'] }),
    'one/e': JSON.stringify({ ...kept, path: ['e'], accept: 65_536 }),
    'one/f': JSON.stringify({ ...kept, path: ['f'], answer: 'a/#' }),
  });
  scene = await Scene.create({}, { store });
  assert.equal(scene.face.engine.broker.sessions.damaged, 6);
  const device = scene.face.device();
  const asked = await device.next();
  assert.deepEqual([words(asked), number(asked, OPT.observe)], ['0.01 /a', 0]);
  device.send(reply(asked, '2.05', '1', [[OPT.observe, 1]]));
  await device.none();
});

test('what is observed goes on after a restart also if what was published about the device has been cleared', async () => {
  const store = await storeWith('coap-devices', {
    one: JSON.stringify(REGISTRATION),
    'one/a': JSON.stringify({ observes: 'one', path: ['a'], query: [], qos: 1 }),
  });
  scene = await Scene.create({}, { store });
  const listener = await scene.listener('devices/node1', 'devices/node1/a/$response');
  assert.equal((await listener.next()).topic, 'devices/node1');
  assert.equal(words(await scene.face.device().next()), '0.01 /a');
  assert.deepEqual(await listener.client.drain(), []);
});

test('a stored record whose key is not UTF-8 is left out: no plugin could delete it', async () => {
  const store = await storeWith('coap-devices', {});
  const key = Buffer.concat([pluginKey('coap-devices', ''), Buffer.from([0xff])]);
  const value = Buffer.from(JSON.stringify({ ...REGISTRATION, id: '\ufffd' }));
  await store.write([{ type: 'put', key, value }], true);
  const broker = await Broker.createBroker({ store });
  const storage = broker.storageOf('coap-devices');
  assert.deepEqual(await storage.entries(String), []);
  assert.equal(broker.sessions.damaged, 1);
  await broker.stop();
});
