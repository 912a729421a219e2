/**
 * What plugins keep in the store: topics of publish-subscribe over CoAP, registrations of devices and what is observed at
 * them. The broker starts on any such records, serves those that are good, and forgets what has ended.
 */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { isValidName } from '../../../src/bus/topics.js';
import { formatLinks, parseLinks } from '../../../src/coap/link-format.js';
import { encodeRegistration, levelOf, type Registration } from '../../../src/plugins/coap-devices/registration.js';
import { encodeProperties } from '../../../src/plugins/coap-topics/pubsub/cbor.js';
import { pluginKey, pluginParts, pluginRange, versionKey } from '../../../src/store/keys.js';
import type { Unreadable } from '../../../src/store/store.js';
import { type Decoded, decode, encode, OPT, values } from '../../coap/harness.js';
import { Scene as PubsubScene, pathOf } from '../../coap/pubsub-scene.js';
import { Scene as DevicesScene, reply, VIA } from '../../coap-devices/scene.js';
import { FakeClock } from '../../support/engine.js';
import { LastingStore } from '../../support/lasting-store.js';
import { Feed, input, type Target } from '../target.js';

const PLUGINS = ['coap', 'coap-devices'] as const;
const MOST_LINKS = 1_000;
/** Requests to devices that are answered. */
const MOST_ASKED = 8;

/** Takes out what cannot be read, as the store on a disk does. */
class Store extends LastingStore {
  /** Names of them. */
  readonly aside: string[] = [];

  async setAside(records: readonly Unreadable[]): Promise<void> {
    this.aside.push(...records.map(({ key }) => pluginParts(key)[1]));
    await this.write(
      records.map(({ key }) => ({ type: 'del', key })),
      true,
    );
  }
}

async function filled(bytes: Buffer): Promise<Store> {
  const store = new Store();
  const feed = new Feed(bytes);
  await store.write([{ type: 'put', key: versionKey(), value: Buffer.from([1]) }], true);
  while (!feed.empty) {
    const prefix = pluginKey(PLUGINS[feed.byte() & 1], '');
    const key = Buffer.concat([prefix, feed.take(feed.byte())]);
    await store.write([{ type: 'put', key, value: Buffer.from(feed.take(feed.short() & 0x7ff)) }], true);
  }
  return store;
}

/** Names of what a plugin keeps. */
async function keptIn(store: Store, plugin: string): Promise<string[]> {
  const names: string[] = [];
  for await (const [key] of store.entries(pluginRange(plugin))) names.push(pluginParts(key)[1]);
  return names;
}

/** The topics that are served, by their paths; each is as the draft has it. */
async function topicsOf(scene: PubsubScene): Promise<string[]> {
  const device = scene.device();
  const collection = await device.ask('get', ['pubsub']);
  const links = parseLinks(String(collection.payload), MOST_LINKS);
  assert.ok(links !== null, 'a list of links');
  const client = scene.engine.broker.openClient({ id: 'reader', remote: 'local', transport: 'coap', trusted: true });
  assert.ok(parseLinks(formatLinks(scene.pubsub.links(client)), MOST_LINKS) !== null);
  client.close();
  for (const { href } of links) {
    const answer = await device.ask('get', pathOf(href).map(decodeURIComponent));
    assert.equal(answer.code, '2.05', href);
  }
  assert.equal(new Set(links.map(({ href }) => href)).size, links.length);
  assert.deepEqual([scene.bench.endpoint.counters.handlerErrors, scene.bench.endpoint.counters.internalErrors], [0, 0]);
  return links.map(({ href }) => href);
}

async function runTopics(store: Store, clock: FakeClock): Promise<string> {
  const before = await keptIn(store, 'coap');
  const first = await PubsubScene.create({ broker: { store, clock } });
  const aside = store.aside.length;
  const served = await topicsOf(first);
  // Everything that is kept is served, or is told of.
  assert.equal(served.length + aside, before.length, `${served} of ${before}`);
  first.pass(1);
  for (let turns = 0; turns < 4; turns++) await turn();
  const left = await topicsOf(first);
  await first.stop();
  assert.equal((await keptIn(store, 'coap')).length, left.length, 'what has expired is gone');
  const second = await PubsubScene.create({ broker: { store, clock } });
  assert.deepEqual((await topicsOf(second)).sort(), left.sort(), 'the same after the next start');
  // Whatever is there can be deleted.
  const device = second.device();
  for (const href of left) {
    const { code } = await device.ask('delete', pathOf(href).map(decodeURIComponent));
    assert.equal(code, '2.02', href);
  }
  await second.stop();
  assert.deepEqual([await keptIn(store, 'coap'), store.aside.length], [[], aside], 'what is deleted is gone');
  return `${served.length} ${left.length} ${aside}`;
}

/** What devices are asked: each request is a message of CoAP, and is answered. */
async function answerDevices({ face }: DevicesScene): Promise<number> {
  const asked: { readonly message: Decoded; readonly port: number; readonly address: string }[] = [];
  for (let turns = 0; turns < 4; turns++) {
    await turn();
    for (const { bytes, port, address } of face.bench.transport.sent.splice(0)) {
      const message = decode(bytes);
      if (message.code === '0.01') asked.push({ message, port, address });
    }
    for (const { message, port, address } of asked.slice(0, MOST_ASKED)) {
      assert.equal(values(message, OPT.observe).length, 1, 'only observations go on');
      face.bench.transport.receive(encode(reply(message, '2.05', 'state', [[OPT.observe, 1]])), port, address);
    }
    if (asked.length > 0) break;
  }
  return asked.length;
}

async function runDevices(store: Store, clock: FakeClock): Promise<string> {
  const before = await keptIn(store, 'coap-devices');
  const earlier = store.aside.length;
  const scene = await DevicesScene.create({}, { store, clock }, VIA);
  const { broker } = scene.face.engine;
  const aside = store.aside.length;
  const { directory } = scene.plugin;
  const published: string[] = [];
  const reader = broker.openClient({ id: 'reader', remote: 'local', transport: 'internal', trusted: true });
  reader.subscribe('#', 0, ({ topic }) => void published.push(topic));
  const registrations = [...directory.all()];
  checkShown(scene, registrations);
  await broker.commit.settled();
  const kept = new Set(await keptIn(store, 'coap-devices'));
  const ids = new Set(registrations.map(({ id }) => id));
  for (const name of before) {
    // What is observed goes with the registration.
    const isOver = !ids.has(name.slice(0, Math.max(0, name.indexOf('/'))) || name);
    assert.ok(kept.has(name) || isOver || store.aside.includes(name), `${name} was lost`);
  }
  const asked = await answerDevices(scene);
  const topics = new Set([...registrations.map((one) => `devices/${levelOf(one)}`)]);
  for (const topic of published) {
    const [root, level] = topic.split('/');
    assert.ok(isValidName(topic) && (topics.has(`${root}/${level}`) || !topic.startsWith('devices/')), topic);
  }
  scene.pass(1);
  const { handlerErrors, internalErrors } = scene.face.bench.endpoint.counters;
  assert.deepEqual(
    [handlerErrors, internalErrors, scene.count.callbackErrors, scene.count.internalErrors],
    [0, 0, 0, 0],
  );
  const left = [...directory.all()].map(({ id }) => id).sort();
  reader.close();
  await scene.stop();
  const second = await DevicesScene.create({}, { store, clock }, VIA);
  const again = [...second.plugin.directory.all()];
  assert.deepEqual(again.map(({ id }) => id).sort(), left, 'the same after the next start');
  // Whoever is there can leave, and takes along what was observed.
  for (const { id, owner, origin, base } of again) {
    const { durable } = second.plugin.directory.remove(id, { owner, origin, base, address: origin });
    await durable;
  }
  await second.face.engine.broker.commit.settled();
  await second.stop();
  assert.deepEqual([await keptIn(store, 'coap-devices'), store.aside.length], [[], aside], 'what has ended is gone');
  return `${registrations.length} ${left.length} ${aside - earlier} ${asked}`;
}

function checkShown({ plugin, face }: DevicesScene, registrations: readonly Registration[]): void {
  const { directory } = plugin;
  const shown = parseLinks(formatLinks(directory.lookUpEndpoints([])), MOST_LINKS);
  assert.equal(shown?.length, registrations.length, 'a link for each device');
  assert.ok(parseLinks(formatLinks(directory.lookUpResources([])), MOST_LINKS) !== null);
  const levels = registrations.map(levelOf);
  assert.equal(new Set(levels).size, levels.length, 'a level for each device');
  for (const level of levels) {
    assert.ok(level !== '' && isValidName(level) && !/[/$]/.test(level), `${level} is a level of a topic`);
    const kept = face.engine.broker.router.retained.get(`devices/${level}`);
    assert.ok(kept !== null, `${level} is published`);
    JSON.parse(kept.payload.toString());
  }
}

async function run(bytes: Buffer): Promise<string> {
  const clock = new FakeClock();
  const store = await filled(bytes);
  const topics = await runTopics(store, clock);
  return `${topics} / ${await runDevices(store, clock)}`;
}

function entry(plugin: (typeof PLUGINS)[number], key: string, value: Buffer | string): Buffer {
  const { length } = Buffer.from(value);
  return input(PLUGINS.indexOf(plugin), Buffer.byteLength(key), key, length >> 8, length & 0xff, value);
}

/** The version of a topic's record, and its properties. */
function topic(more: object): Buffer {
  const configuration = {
    name: 'a/b',
    data: '/pubsub/data/x',
    resourceType: 'core.ps.data',
    observerCheck: 60,
    ...more,
  };
  return Buffer.concat([Buffer.from([1]), encodeProperties(configuration)]);
}

const REGISTRATION: Registration = {
  id: 'one',
  ep: 'node1',
  d: '',
  lt: 60,
  base: 'coap://192.0.2.1:5683',
  implicit: true,
  attributes: { et: 'lamp' },
  links: [{ href: '/temp', attributes: { rt: 'temperature', ct: 0 } }],
  owner: null,
  origin: { address: '192.0.2.1', port: 5683, family: 'IPv4', via: VIA, bound: false },
  expiresAt: 1_700_000_060_000,
};
const OBSERVATION = { observes: 'one', path: ['temp'], query: ['unit=C'], accept: 60, qos: 1 };

const registered = (more: object): Buffer => {
  const registration = { ...REGISTRATION, ...more };
  return entry('coap-devices', registration.id, encodeRegistration(registration));
};
const observed = (more: object): Buffer => {
  const observation = { ...OBSERVATION, ...more };
  return entry('coap-devices', `${observation.observes}/${observation.path.join('/')}`, JSON.stringify(observation));
};

const TOPICS: readonly Buffer[] = [
  entry('coap', 'c14cddc0', topic({})),
  entry(
    'coap',
    '0000000d',
    topic({ name: 'd', data: '/pubsub/data/d', contentFormat: 0, initialize: Buffer.from('v') }),
  ),
  entry('coap', '0000000e', topic({ name: 'e', data: '/other/e', expirationDate: 1_700_000_000, maxSubscribers: 1 })),
  entry('coap', '0000000f', topic({ name: 'f', data: 'coap://h/f', topicType: 't' })),
];
const DEVICES: readonly Buffer[] = [
  registered({}),
  registered({ id: 'two', ep: 'node2', d: 'sector', owner: 'alice', implicit: false, expiresAt: 1_700_000_001_500 }),
  registered({ id: 'six', ep: 'node6', base: 'coap://[2001:db8::1]:5683', attributes: {}, links: [], expiresAt: 1 }),
  observed({}),
  observed({ path: [], query: [], accept: undefined, answer: 'mine', correlation: 'Nw==' }),
  observed({ observes: 'none' }),
];

export const pluginRecords: Target = {
  name: 'plugin-records',
  scope: [
    '/src/plugins/coap-topics/pubsub/',
    '/src/plugins/coap-devices/',
    '/src/session/plugin-storage',
    '/src/store/record-reader',
  ],
  longest: 1500,
  words: [
    ...TOPICS,
    ...DEVICES,
    ...['"ep":"', '"d":"', '"lt":', '"base":"', '"expiresAt":', '"attributes":', '"origin":', '"links":"', '"owner":'],
    ...[
      '"observes":"one"',
      '"path":[',
      '"answer":"',
      '"accept":',
      '"qos":',
      '"family":"IPv6"',
      '"bound":true',
      '"port":',
    ],
    ...['null', '1e999', '-1', '0', '{}', '[]', '""', '"+"', '"#"', '"a/b"', '".."', '"\\u0000"', '"__proto__":', '$'],
    ...['/pubsub/data/', '\x00\x63a/b', '\x02\x6ccore.ps.data', '\x01\x60', '%', '<'],
    ...[Buffer.from('05c100', 'hex'), Buffer.from('ff', 'hex')],
  ],
  seeds: () => [
    ...TOPICS,
    ...DEVICES,
    Buffer.concat(TOPICS),
    Buffer.concat([...TOPICS].reverse()),
    Buffer.concat(DEVICES),
    Buffer.concat([DEVICES[0], DEVICES[3], DEVICES[4]]),
    Buffer.concat([...TOPICS.slice(0, 2), ...DEVICES.slice(0, 2)]),
  ],
  run,
};
