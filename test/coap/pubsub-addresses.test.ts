/** The publish-subscribe face behind the sockets of several CoAP listeners. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { CoapTopics } from '../../src/plugins/coap-topics/plugin.js';
import { Pubsub } from '../../src/plugins/coap-topics/pubsub/pubsub.js';
import { FACE_OPTIONS, faceContext } from '../support/coap-face.js';
import { Engine } from '../support/engine.js';
import { type Decoded, decode, encode, OPT, type Wire } from './harness.js';
import { cbor, mapOf, PUBSUB, pathOf } from './pubsub-scene.js';

const OPTIONS = FACE_OPTIONS;

let engine: Engine;
let pubsub: Pubsub;
let listeners: CoapTopics[];

before(async () => {
  engine = await Engine.create();
  const context = faceContext(engine.broker);
  pubsub = new Pubsub({
    pubsub_path: 'pubsub',
    pubsub_content_format: PUBSUB,
    pubsub_topics: 10,
    notification: 'auto',
  });
  await pubsub.start(context);
  listeners = [
    new CoapTopics(OPTIONS, pubsub),
    new CoapTopics(OPTIONS, pubsub),
    new CoapTopics({ ...OPTIONS, anonymous: false }, pubsub),
    new CoapTopics(OPTIONS),
  ];
  for (const listener of listeners) await listener.start(context);
});

after(async () => {
  for (const listener of listeners) await listener.stop();
  await pubsub.stop();
  await engine.stop();
});

/** Asks one of the listeners, from a socket of its own. */
async function ask(listener: number, wire: Wire): Promise<Decoded> {
  const socket = createSocket('udp4');
  socket.connect(Number(listeners[listener].describe()[0].split(':')[1]), '127.0.0.1');
  await once(socket, 'connect');
  socket.send(encode(wire));
  const [bytes] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return decode(bytes);
}

test('all addresses that CoAP listens on serve the same topics', async () => {
  const created = await ask(0, {
    code: '0.02',
    path: ['pubsub'],
    options: [[OPT.contentFormat, PUBSUB]],
    payload: cbor({ 0: 'one', 2: 'core.ps.data' }),
  });
  assert.equal(created.code, '2.01');
  const data = pathOf(mapOf(created)[1]);
  assert.equal((await ask(1, { code: '0.03', path: data, payload: 'value' })).code, '2.01');
  assert.equal(String((await ask(0, { code: '0.01', path: data })).payload), 'value');
  const links = await ask(1, {
    code: '0.01',
    path: ['.well-known', 'core'],
    options: [[OPT.uriQuery, 'rt=core.ps.conf']],
  });
  assert.match(String(links.payload), /^<\/pubsub\/[0-9a-f]{8}>;rt="core\.ps\.conf";ct=606$/);
});

test('where devices need credentials, the face does, too: 4.01; a listener without the face has no such path', async () => {
  assert.equal((await ask(2, { code: '0.01', path: ['pubsub'] })).code, '4.01');
  assert.equal((await ask(3, { code: '0.01', path: ['pubsub'] })).code, '4.04');
});

test('paths that only begin like that of the face are not of it', async () => {
  assert.equal((await ask(0, { code: '0.01', path: ['pubsubs'] })).code, '4.04');
  assert.equal((await ask(0, { code: '0.03', path: ['ps', 'pubsub'], payload: 'x' })).code, '2.01');
});
