/** Observations of registered devices that were begun by a message go on after a restart of the broker, until they end. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import {
  checkedObservation,
  type KeptObservation,
  KeptObservations,
} from '../../src/plugins/coap-devices/kept-observations.js';
import type { PluginStorage } from '../../src/plugins/plugin.js';
import type { MemoryStore } from '../../src/store/memory-store.js';
import { type Decoded, number, OPT } from '../coap/harness.js';
import { GatedStore } from '../store/gated-store.js';
import type { Device } from '../support/coap-face.js';
import { LastingStore } from '../support/lasting-store.js';
import { type Listener, reply, Scene, VIA, words } from './scene.js';

let scene: Scene;

afterEach(() => scene.stop());

/** A broker that starts on what the one before has left. */
async function restart(store: MemoryStore, seconds = 0, via = VIA, options = {}): Promise<void> {
  const { clock } = scene.face.engine;
  await scene.stop();
  clock.advance(seconds * 1000);
  scene = await Scene.create(options, { store, clock }, via);
}

const OBSERVED = (sequence: number): [number, number][] => [[OPT.observe, sequence]];

/** A device whose resource `temp` is observed, with everything that a message can ask for. */
async function observed(device: Device, listener: Listener): Promise<void> {
  listener.tell('devices/node1/temp/observe', '', {
    responseTopic: 'mine',
    correlationData: Buffer.from('7'),
    userProperties: { 'coap-query': 'unit=C', 'coap-accept': '60' },
  });
  device.send(reply(await device.next(), '2.05', '20', OBSERVED(1)));
  assert.deepEqual(await listener.lines(2), ['mine 20', 'devices/node1/temp 20']);
}

/** A device that is just starting, and knows nothing of requests. */
function unready(device: Device, { mid }: Decoded): void {
  device.send({ type: 3, code: '0.00', mid });
}

async function begun(store: LastingStore, query = 'ep=node1'): Promise<void> {
  scene = await Scene.create({}, { store });
  const device = scene.face.device();
  await scene.register(device, query);
  await observed(device, await scene.listener('devices/node1/temp', 'mine'));
}

test('after a restart the resource is observed again, as it was asked for, and its states are published', async () => {
  const store = new LastingStore();
  await begun(store);
  await restart(store);
  const device = scene.face.device();
  const asked = await device.next();
  assert.deepEqual([words(asked), number(asked, OPT.observe), number(asked, OPT.accept)], ['0.01 /temp?unit=C', 0, 60]);
  const listener = await scene.listener('devices/node1/temp', 'mine');
  device.send(reply(asked, '2.05', '21', OBSERVED(5)));
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 21']);
  device.send({ type: 1, code: '2.05', token: asked.token, payload: '22', options: OBSERVED(6) });
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 22']);
  // Its end is told where the message from before the restart wanted it.
  device.send({ type: 1, code: '4.04', token: asked.token });
  const { topic, said } = await listener.next();
  assert.deepEqual([topic, said], ['mine', { 'coap-code': '4.04', correlation: '7' }]);
  await restart(store);
  await scene.face.device().none();
});

test('a second restart finds it too, and `cancel` ends it for good', async () => {
  const store = new LastingStore();
  await begun(store);
  await restart(store);
  await restart(store);
  const device = scene.face.device();
  device.send(reply(await device.next(), '2.05', '21', OBSERVED(5)));
  const listener = await scene.listener('devices/node1/temp/$response');
  listener.tell('devices/node1/temp/cancel');
  const cancelled = await device.next();
  assert.equal(number(cancelled, OPT.observe), 1);
  device.send(reply(cancelled, '2.05', '21'));
  assert.equal((await listener.next()).said['coap-failure'], 'cancelled');
  await restart(store);
  await scene.face.device().none();
});

test('it ends with the registration: removed before, or expired while the broker did not run', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store });
  const device = scene.face.device();
  const location = await scene.register(device, 'ep=node1');
  await observed(device, await scene.listener('devices/node1/temp', 'mine'));
  assert.equal((await device.ask('delete', location)).code, '2.02');
  await scene.register(device, 'ep=node1&lt=60');
  await restart(store);
  await scene.face.device().none();
  const again = scene.face.device();
  await scene.register(again, 'ep=node1&lt=60');
  await observed(again, await scene.listener('devices/node1/temp', 'mine'));
  await restart(store, 61);
  await scene.register(scene.face.device(), 'ep=node1');
  await restart(store);
  await scene.face.device().none();
});

test('a device that is not ready after the restart is waited for: it is observed again when it renews its registration', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store });
  const device = scene.face.device();
  const location = await scene.register(device, 'ep=node1');
  await observed(device, await scene.listener('devices/node1/temp', 'mine'));
  await restart(store);
  const back = scene.face.device();
  unready(back, await back.next());
  const listener = await scene.listener('devices/node1/#', 'mine');
  await listener.lines(2);
  back.send({ code: '0.02', path: location.slice(1).split('/') });
  const sent = [await back.next(), await back.next()];
  const asked = sent.find(({ code }) => code === '0.01');
  assert.ok(asked !== undefined && sent.some(({ code }) => code === '2.04'));
  back.send(reply(asked, '2.05', '21', OBSERVED(1)));
  // Nothing but that it has renewed was told before.
  assert.equal((await listener.next()).topic, 'devices/node1');
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 21']);
});

test('a device that was not ready after the restart is tried again a minute later, and nothing is told meanwhile', async () => {
  const store = new LastingStore();
  await begun(store);
  await restart(store);
  const device = scene.face.device();
  unready(device, await device.next());
  const listener = await scene.listener('devices/node1/temp', 'mine');
  scene.pass(59);
  await device.none();
  scene.pass(1);
  device.send(reply(await device.next(), '2.05', '21', OBSERVED(1)));
  assert.deepEqual(await listener.lines(1), ['devices/node1/temp 21']);
  scene.pass(60);
  await device.none();
});

test('after a restart there are no more requests to a device at once than may be: the others follow', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store });
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const first = await scene.listener('devices/node1/a', 'devices/node1/b');
  for (const path of ['a', 'b']) {
    first.tell(`devices/node1/${path}/observe`);
    device.send(reply(await device.next(), '2.05', '1', OBSERVED(1)));
    await first.next();
  }
  await restart(store, 0, VIA, { commands_per_device: 1 });
  const back = scene.face.device();
  const listener = await scene.listener('devices/node1/a', 'devices/node1/b', 'devices/node1/+/$response');
  const asked = await back.next();
  await back.none();
  back.send(reply(asked, '2.05', '2', OBSERVED(1)));
  assert.deepEqual(await listener.lines(1), ['devices/node1/a 2']);
  scene.pass(1);
  back.send(reply(await back.next(), '2.05', '2', OBSERVED(1)));
  assert.deepEqual(await listener.lines(1), ['devices/node1/b 2']);
});

test('a device of DTLS is observed again when it is back, since its association is gone with the broker', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store }, 'coaps://127.0.0.1:5684');
  const device = scene.face.device({ identity: 'alice' });
  const location = await scene.register(device, 'ep=node1');
  await observed(device, await scene.listener('devices/node1/temp', 'mine'));
  await restart(store, 0, 'coaps://127.0.0.1:5684');
  const back = scene.face.device({ identity: 'alice' });
  await back.none();
  back.send({ code: '0.02', path: location.slice(1).split('/') });
  const sent = [await back.next(), await back.next()];
  assert.deepEqual(sent.map(({ code }) => code).sort(), ['0.01', '2.04']);
});

test('what the device does not observe is not kept: an error, or a state without Observe', async () => {
  const store = new LastingStore();
  scene = await Scene.create({}, { store });
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/+/$response');
  listener.tell('devices/node1/a/observe');
  device.send(reply(await device.next(), '4.05'));
  listener.tell('devices/node1/b/observe');
  device.send(reply(await device.next(), '2.05', '1'));
  await listener.lines(3);
  await restart(store);
  await scene.face.device().none();
});

test('that a resource is observed is told once the store has it, and so are its states; that it is not any more, too', async () => {
  const store = new GatedStore();
  scene = await Scene.create({}, { store });
  const device = scene.face.device();
  await scene.register(device, 'ep=node1');
  const listener = await scene.listener('devices/node1/temp', 'mine');
  store.hold();
  let before = store.writes.length;
  listener.tell('devices/node1/temp/observe', '', { responseTopic: 'mine' });
  const asked = await device.next();
  device.send(reply(asked, '2.05', '20', OBSERVED(1)));
  device.send({ type: 1, code: '2.05', token: asked.token, payload: '21', options: OBSERVED(2) });
  await store.arrived(before + 1);
  assert.deepEqual(await listener.client.drain(), []);
  store.letGo();
  assert.deepEqual(await listener.lines(3), ['mine 20', 'devices/node1/temp 20', 'devices/node1/temp 21']);
  store.hold();
  before = store.writes.length;
  listener.tell('devices/node1/temp/cancel', '', { responseTopic: 'mine' });
  const cancelled = await device.next();
  device.send(reply(cancelled, '2.05', '21'));
  await store.arrived(before + 1);
  assert.deepEqual(await listener.client.drain(), []);
  store.letGo();
  assert.equal((await listener.next()).said['coap-failure'], 'cancelled');
});

const KEPT: KeptObservation = { observes: 'id', path: ['a', 'b'], query: [], qos: 1 };

test('while the store takes nothing an observation is not kept, and one that is over is forgotten later', async () => {
  scene = await Scene.create();
  const records = new Map<string, Buffer>();
  let takes = true;
  const change = (apply: () => void): Promise<void> => {
    if (!takes) throw new Error('the store takes nothing');
    apply();
    return Promise.resolve();
  };
  const storage: Pick<PluginStorage, 'put' | 'delete'> = {
    put: (key, value) => change(() => void records.set(key, value)),
    delete: (key) => change(() => void records.delete(key)),
  };
  const kept = new KeptObservations(() => storage as PluginStorage);
  await kept.put(KEPT);
  assert.deepEqual([...records.keys()], ['id/a/b']);
  takes = false;
  assert.equal(kept.delete(KEPT), null);
  assert.equal(kept.put({ ...KEPT, path: [] }), null);
  kept.retry();
  assert.equal(records.size, 1);
  takes = true;
  kept.retry();
  assert.equal(records.size, 0);
  // One that is begun anew is not forgotten for the one before.
  takes = false;
  kept.delete(KEPT);
  takes = true;
  await kept.put(KEPT);
  kept.retry();
  assert.equal(records.size, 1);
});

test('a stored observation that is none says so', async () => {
  scene = await Scene.create();
  assert.equal(checkedObservation(KEPT, 'id/a/b'), KEPT);
  const none: object[] = [{ qos: 3 }, { path: 'a' }, { path: [1] }, { query: null }, { answer: 1 }, { accept: 'x' }];
  for (const wrong of none) {
    assert.throws(
      () => checkedObservation(JSON.parse(JSON.stringify({ ...KEPT, ...wrong })), 'id/a/b'),
      `${JSON.stringify(wrong)}`,
    );
  }
});
