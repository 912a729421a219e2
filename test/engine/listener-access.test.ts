/** Listeners with users and rules of their own (`listeners.N.access`) beside those that have what all have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { ScramSha256, scramCredentials } from '../../src/access/scram.js';
import type { BrokerOptions } from '../../src/broker.js';
import type { AccessControl } from '../../src/session/access-control.js';
import { ListenerTerms } from '../../src/session/listener-terms.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import { Engine, type RawClient } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';

const acl = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');

/** Who may do what by the list of all. */
const USUAL = acl('user ann\ntopic readwrite a/#\nuser w\ntopic read #\ntopic read $SYS/#\n');
/** By that of the listener: ann may do other things there. */
const OWN = acl('user ann\ntopic readwrite b/#\npattern readwrite own/%c\n');

const BAD = 0x86;

function own(list: AccessControl['acl'], listener = '1884', more: Partial<AccessControl> = {}): AccessControl {
  return { acl: list, listener, identify: null, methods: null, ...more };
}

interface Scene {
  readonly engine: Engine;
  readonly control: AccessControl;
  /** Connects by the listener with rules of its own. */
  there(options?: Partial<IConnectPacket>): Promise<RawClient>;
  /** By one with those of all. */
  here(options?: Partial<IConnectPacket>): Promise<RawClient>;
  /** What was denied. */
  readonly denied: string[];
}

async function scene(control = own(OWN), options: BrokerOptions = {}): Promise<Scene> {
  const engine = await Engine.create({ acl: USUAL, ...options });
  const terms = [new ListenerTerms({}, control), new ListenerTerms({}, own(USUAL, ''))];
  engine.broker.replaceAcl(
    USUAL,
    new Map([
      ['1884', control],
      ['1883', terms[1].access ?? control],
    ]),
  );
  const denied: string[] = [];
  engine.broker.environment.journal.denied = (party, action, topic, reason) =>
    denied.push(`${party.id} ${action} ${topic}: ${reason}`);
  const by =
    (place: ListenerTerms) =>
    (more: Partial<IConnectPacket> = {}): Promise<RawClient> =>
      engine.connect({ protocolVersion: 5, ...more }, undefined, place);
  return { engine, control, there: by(terms[0]), here: by(terms[1]), denied };
}

async function publish(client: RawClient, topic: string, retain = false): Promise<number> {
  client.publish(topic, 'x', { qos: 1, retain, messageId: 7 });
  const { reasonCode = 0 } = await client.expect('puback');
  return reasonCode;
}

async function subscribe(client: RawClient, topic: string): Promise<unknown> {
  client.send({ cmd: 'subscribe', messageId: 3, subscriptions: [{ topic, qos: 1 }] });
  return (await client.expect('suback')).granted[0];
}

/** Topics of what a client has got; QoS 1 is acknowledged. */
async function got(client: RawClient): Promise<string[]> {
  const packets = await client.drainTurns();
  return packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.topic] : [])).sort();
}

/** What a new subscription is sent of the list of all. */
async function retained({ here, engine }: Scene, filter = '#'): Promise<string[]> {
  const witness = await here({ clientId: 'witness', username: 'w' });
  witness.send({ cmd: 'subscribe', messageId: 3, subscriptions: [{ topic: filter, qos: 0 }] });
  await witness.expect('suback');
  const topics = await got(witness);
  await engine.cut(witness);
  return topics;
}

test('login is decided by what the listener has, and by what all have where it has nothing', async () => {
  const identify =
    (right: string): AccessControl['identify'] =>
    (username, password, anonymous) =>
      username === undefined ? anonymous : String(password) === right;
  const control = own(null, '1884', { identify: identify('there') });
  const { engine, there, here } = await scene(control, {
    identify: (...asked) => identify('here')?.(...asked) ?? false,
  });
  const codeOf = async (way: Scene['here'], password: string): Promise<unknown> => {
    const client = await way({ clientId: 'a', username: 'ann', password: Buffer.from(password) });
    return 'connack' in client ? (client.connack as { reasonCode?: number }).reasonCode : undefined;
  };
  assert.deepEqual(
    [
      await codeOf(there, 'there'),
      await codeOf(there, 'here'),
      await codeOf(here, 'here'),
      await codeOf(here, 'there'),
    ],
    [0, BAD, 0, BAD],
  );
  control.identify = identify('other');
  assert.deepEqual([await codeOf(there, 'other'), await codeOf(there, 'there')], [0, BAD]);
  await engine.stop();
});

test('who is being asked about while its listener gets a section is asked about again, by what that has', async () => {
  const grant = { by: 'jwt', username: null, groups: [], superuser: true, expiresAt: Infinity } as const;
  const asked: (() => void)[] = [];
  const control = own(null, '');
  const { engine, there } = await scene(control, {
    identify: () => new Promise((resolve) => asked.push(() => resolve({ outcome: 'allow', grant }))),
  });
  const codes: Promise<unknown>[] = [];
  for (const clientId of ['token', 'ann']) {
    const more = clientId === 'ann' ? { username: 'ann', password: Buffer.from('here') } : {};
    codes.push(
      there({ clientId, ...more }).then((client) => Reflect.get(Reflect.get(client, 'connack'), 'reasonCode')),
    );
  }
  while (asked.length < 2) await new Promise(setImmediate);
  Object.assign(control, {
    acl: OWN,
    listener: '1884',
    identify: ((username, password, anonymous) =>
      username === undefined ? anonymous : String(password) === 'there') satisfies AccessControl['identify'],
  });
  for (const answer of asked) answer();
  assert.deepEqual(await Promise.all(codes), [0, BAD]);
  const [token] = engine.broker.connections;
  assert.equal(token.grant, null);
  await engine.stop();
});

test('authentication methods are those of the listener: what all have is not offered there', async () => {
  const scram = new ScramSha256(new Map([['ann', await scramCredentials('right')]]));
  const control = own(null, '1884', { methods: new Map() });
  const { engine, there, here } = await scene(control, { authenticationMethods: [scram] });
  const properties = { authenticationMethod: 'SCRAM-SHA-256', authenticationData: Buffer.from('n,,n=ann,r=x') };
  await assert.rejects(here({ properties }), /expected connack, got .*"auth"/);
  const refused = await there({ properties });
  assert.ok('connack' in refused && (refused.connack as { reasonCode?: number }).reasonCode === 0x8c);
  await engine.stop();
});

test('publications are checked by the list of the listener, and by no other', async () => {
  const { engine, there, here, denied } = await scene();
  const ann = await there({ clientId: 'c1', username: 'ann' });
  assert.deepEqual(
    [await publish(ann, 'a/1'), await publish(ann, 'b/1'), await publish(ann, 'own/c1')],
    [0x87, 16, 16],
  );
  const other = await here({ clientId: 'c2', username: 'ann' });
  assert.deepEqual(
    [await publish(other, 'a/1'), await publish(other, 'b/1'), await publish(other, 'own/c2')],
    [16, 0x87, 0x87],
  );
  assert.deepEqual(denied, [
    'c1 publish a/1: no rule allows it',
    'c2 publish b/1: no rule allows it',
    'c2 publish own/c2: no rule allows it',
  ]);
  await engine.stop();
});

test('SUBACK and deliveries are those of the list of the listener', async () => {
  const { engine, there, here } = await scene();
  const [near, far] = [
    await there({ clientId: 'c1', username: 'ann' }),
    await here({ clientId: 'c2', username: 'ann' }),
  ];
  assert.deepEqual([await subscribe(near, 'a/#'), await subscribe(far, 'a/#')], [0x87, 1]);
  assert.deepEqual([await subscribe(near, '#'), await subscribe(far, '#')], [1, 1]);
  for (const topic of ['a/1', 'b/1', 'c/1']) engine.broker.publish({ topic, payload: 'x', qos: 0 });
  assert.deepEqual([await got(near), await got(far)], [['b/1'], ['a/1']]);
  await engine.stop();
});

test('$SYS is readable as the list of the listener says', async () => {
  const { engine, there, here } = await scene(own(acl('user w\ntopic read a/#\n')));
  engine.broker.publish({ topic: '$SYS/broker/x', payload: 'x', retain: true });
  const [near, far] = [await there({ clientId: 'c1', username: 'w' }), await here({ clientId: 'c2', username: 'w' })];
  assert.deepEqual([await subscribe(near, '$SYS/#'), await subscribe(far, '$SYS/#')], [0x87, 1]);
  assert.deepEqual([await got(near), await got(far)], [[], ['$SYS/broker/x']]);
  await engine.stop();
});

test('a listener without a list of its own lets its clients do everything, whatever the list of all says', async () => {
  const { engine, there } = await scene(own(null));
  const [reader, writer] = [await there({ clientId: 'c1' }), await there({ clientId: 'c2' })];
  assert.deepEqual([await subscribe(reader, '#'), await publish(writer, 'z')], [1, 0]);
  assert.deepEqual(await got(reader), ['z']);
  await engine.stop();
});

test('what waits for a kept session is checked by the listener by which its client comes back', async () => {
  const { engine, there, here } = await scene();
  const properties = { sessionExpiryInterval: 100 };
  const away = await there({ clientId: 'c1', username: 'ann', properties });
  assert.deepEqual([await subscribe(away, '#')], [1]);
  await engine.cut(away);
  for (const topic of ['a/1', 'b/1']) engine.broker.publish({ topic, payload: 'x', qos: 1 });
  const back = await here({ clientId: 'c1', username: 'ann', clean: false, properties });
  assert.deepEqual(await got(back), ['a/1']);
  await engine.stop();
});

test('a list that a reload puts in the place of the listener’s holds at once for who is connected', async () => {
  const { engine, there, control } = await scene();
  const [reader, client] = [
    await there({ clientId: 'c1', username: 'ann' }),
    await there({ clientId: 'c2', username: 'ann' }),
  ];
  assert.deepEqual([await subscribe(reader, '#'), await publish(client, 'b/1')], [1, 0]);
  control.acl = acl('user ann\ntopic readwrite c/#\n');
  assert.deepEqual([await publish(client, 'b/1'), await publish(client, 'c/1')], [0x87, 0]);
  assert.deepEqual(await got(reader), ['b/1', 'c/1']);
  control.acl = null;
  assert.equal(await publish(client, 'b/1'), 0);
  await engine.stop();
});

for (const delay of [0, 5]) {
  test(`a will is checked by the listener that its client came by, with a delay of ${delay} s`, async () => {
    const { engine, there, here, denied } = await scene();
    const witness = await here({ clientId: 'witness', username: 'w' });
    await subscribe(witness, '#');
    const leave = async (way: Scene['here'], clientId: string, topic: string): Promise<void> => {
      const will = {
        topic,
        payload: Buffer.from('w'),
        qos: 0 as const,
        retain: false,
        properties: { willDelayInterval: delay },
      };
      await engine.cut(await way({ clientId, username: 'ann', will, properties: { sessionExpiryInterval: 100 } }));
    };
    await leave(there, 'c1', 'b/will');
    await leave(there, 'c2', 'a/will');
    await leave(here, 'c3', 'a/will');
    await leave(here, 'c4', 'b/will');
    engine.pass(delay + 1);
    assert.deepEqual(await got(witness), ['a/will', 'b/will']);
    assert.deepEqual(denied, [
      'c2 publish a/will: its will: no rule allows it',
      'c4 publish b/will: its will: no rule allows it',
    ]);
    await engine.stop();
  });
}

test('a will that waits over the death of the broker is checked by its listener then, and not published if that is gone', async () => {
  const outcomes: string[][] = [];
  for (const is of ['there', 'another', 'gone'] as const) {
    const store = new LastingStore();
    const former = await scene(own(OWN), { store });
    const will = {
      topic: 'b/will',
      payload: Buffer.from('w'),
      qos: 1 as const,
      retain: true,
      properties: { willDelayInterval: 5 },
    };
    await former.there({ clientId: 'c1', username: 'ann', will, properties: { sessionExpiryInterval: 100 } });
    // As if the process had died at this moment.
    const engine = await Engine.create({ store: await copyOf(store), acl: USUAL });
    const controls = {
      there: [['1884', own(OWN)]],
      another: [['1884', own(USUAL)]],
      gone: [['1885', own(OWN)]],
    } as const;
    engine.broker.replaceAcl(USUAL, new Map(controls[is]));
    engine.pass(6);
    const witness = await engine.connect({ clientId: 'witness', username: 'w', protocolVersion: 5 });
    engine.broker.replaceAcl(null);
    assert.equal(await subscribe(witness, '#'), 1);
    outcomes.push(await got(witness));
    await engine.stop();
    await former.engine.stop();
  }
  assert.deepEqual(outcomes, [['b/will'], [], []]);
});

/** What a store has at this moment, in one of its own. */
async function copyOf(store: LastingStore): Promise<MemoryStore> {
  const copy = new MemoryStore();
  const operations = [];
  for await (const [key, value] of store.snapshot()) operations.push({ type: 'put' as const, key, value });
  await copy.write(operations, true);
  return copy;
}

test('a retained message stands on the list of the listener that its publisher came by', async () => {
  const all = await scene();
  const { engine, control, there, here, denied } = all;
  const near = await there({ clientId: 'c1', username: 'ann' });
  const far = await here({ clientId: 'c1-far', username: 'ann' });
  for (const topic of ['b/1', 'b/2', 'own/c1']) assert.equal(await publish(near, topic, true), 16);
  assert.equal(await publish(far, 'a/1', true), 16);
  assert.deepEqual(await retained(all), ['a/1', 'b/1', 'b/2', 'own/c1']);
  control.acl = acl('user ann\ntopic write b/1\n');
  engine.broker.replaceAcl(USUAL, new Map([['1884', control]]));
  assert.deepEqual(await retained(all), ['a/1', 'b/1']);
  const why = 'its retained message is not delivered (access.check_retain_source)';
  assert.deepEqual(denied.toSorted(), [
    `c1 publish b/2: ${why}: no rule allows it`,
    `c1 publish own/c1: ${why}: no rule allows it`,
  ]);
  await engine.stop();
});

test('two publishers of one name and identifier by two listeners are two sources', async () => {
  const all = await scene();
  const { engine, there, here } = all;
  assert.equal(await publish(await there({ clientId: 'c', username: 'ann' }), 'b/1', true), 16);
  assert.equal(await publish(await here({ clientId: 'c', username: 'ann' }), 'a/1', true), 16);
  assert.deepEqual(await retained(all), ['a/1', 'b/1']);
  await engine.stop();
});

test('the listener of a retained message survives a restart; if it is gone, the message waits for it', async () => {
  const store = new LastingStore();
  const former = await scene(own(OWN), { store });
  assert.equal(await publish(await former.there({ clientId: 'c1', username: 'ann' }), 'b/1', true), 16);
  assert.equal(await publish(await former.here({ clientId: 'c2', username: 'ann' }), 'a/1', true), 16);
  await former.engine.stop();
  const all = await scene(own(OWN), { store });
  const { engine, denied } = all;
  assert.deepEqual(await retained(all), ['a/1', 'b/1']);
  engine.broker.replaceAcl(USUAL, new Map([['1885', own(OWN, '1885')]]));
  assert.deepEqual(await retained(all), ['a/1']);
  assert.match(denied[0], /^c1 publish b\/1: .*: the listener that it came by is not there any more$/);
  engine.broker.replaceAcl(USUAL, new Map([['1884', own(null)]]));
  assert.deepEqual(await retained(all), ['a/1', 'b/1']);
  // No listener has anything of its own any more: one list is for all.
  engine.broker.replaceAcl(USUAL);
  assert.deepEqual(await retained(all), ['a/1']);
  await engine.stop();
});

test('a will goes by the rules that its listener has when it is published, whenever they came', async () => {
  const { engine, control, here } = await scene();
  const witness = await here({ clientId: 'witness', username: 'w' });
  await subscribe(witness, '#');
  const terms = new ListenerTerms({}, own(USUAL, ''));
  const late = terms.access ?? control;
  const bring = (clientId: string, topic: string, willDelayInterval: number): Promise<RawClient> => {
    const will = {
      topic,
      payload: Buffer.from('w'),
      qos: 0 as const,
      retain: false,
      properties: { willDelayInterval },
    };
    const properties = { sessionExpiryInterval: 100 };
    return engine.connect({ protocolVersion: 5, clientId, username: 'ann', will, properties }, undefined, terms);
  };
  const clients = [await bring('c1', 'a/1', 0), await bring('c2', 'a/2', 5), await bring('c3', 'b/3', 5)];
  // The listener gets rules of its own.
  const controls = new Map([
    ['1884', control],
    ['1885', late],
  ]);
  Object.assign(late, { acl: OWN, listener: '1885' });
  engine.broker.replaceAcl(USUAL, controls);
  for (const client of clients) await engine.cut(client);
  engine.pass(6);
  assert.deepEqual(await got(witness), ['b/3']);
  const [one, other] = [await bring('c4', 'a/4', 0), await bring('c5', 'b/5', 0)];
  // And they go.
  Object.assign(late, { acl: USUAL, listener: '' });
  engine.broker.replaceAcl(USUAL, new Map([['1884', control]]));
  await engine.cut(one);
  await engine.cut(other);
  assert.deepEqual(await got(witness), ['a/4']);
  await engine.stop();
});

test('what a back-end has said of a client does not help its will once the listener has rules of its own', async () => {
  const grant = { by: 'jwt', username: null, groups: [], superuser: true, expiresAt: Infinity } as const;
  const late = own(USUAL, '');
  const { engine, there, here, denied } = await scene(late, { identify: () => ({ outcome: 'allow', grant }) });
  const witness = await here({ clientId: 'witness', username: 'w' });
  await subscribe(witness, '#');
  const will = { topic: 'c/will', payload: Buffer.from('w'), qos: 0 as const, retain: false };
  const client = await there({ clientId: 'c1', username: 'ann', will });
  Object.assign(late, { acl: OWN, listener: '1884' });
  engine.broker.replaceAcl(USUAL, new Map([['1884', late]]));
  await engine.cut(client);
  assert.deepEqual(await got(witness), []);
  assert.deepEqual(denied, ['c1 publish c/will: its will: no rule allows it']);
  await engine.stop();
});

test('a will whose listener gets rules while its client is connected is checked by them after the death of the broker', async () => {
  const store = new LastingStore();
  const former = await Engine.create({ store, acl: USUAL });
  const control = own(USUAL, '');
  const will = { topic: 'a/will', payload: Buffer.from('w'), qos: 1 as const, retain: true };
  const more = { protocolVersion: 5 as const, clientId: 'c1', username: 'ann', will };
  await former.connect(more, undefined, new ListenerTerms({}, control));
  Object.assign(control, { acl: OWN, listener: '1885' });
  former.broker.replaceAcl(USUAL, new Map([['1885', control]]));
  await former.broker.commit.settled();
  const engine = await Engine.create({ store: await copyOf(store), acl: USUAL });
  engine.broker.replaceAcl(USUAL, new Map([['1885', own(OWN, '1885')]]));
  engine.pass(1);
  const witness = await engine.connect({ clientId: 'witness', username: 'w', protocolVersion: 5 });
  assert.equal(await subscribe(witness, '#'), 1);
  assert.deepEqual(await got(witness), []);
  await engine.stop();
  await former.stop();
});

test('a client that nobody knows may have an answer where anybody may: by the list of every listener', async () => {
  const { engine, control } = await scene(own(acl('topic write open/#\n')), { acl: null });
  engine.broker.replaceAcl(null, new Map([['1884', control]]));
  const bus = engine.broker.openClient({ id: 'bus', remote: 'internal', transport: 'internal', trusted: true });
  const codes: number[] = [];
  for (const topic of ['shut/1', 'open/1']) bus.mayPublish(topic, (code) => codes.push(code), null);
  assert.deepEqual(codes, [0x87, 0]);
  await engine.stop();
});

test('clients inside the process have what all have', async () => {
  const { engine } = await scene();
  const device = engine.broker.openClient({ id: 'c1', username: 'ann', remote: 'test', transport: 'coap' });
  const codes: number[] = [];
  for (const topic of ['a/1', 'b/1'])
    device.publish(topic, Buffer.from('x'), {}, { acknowledge: (...told) => codes.push(told[2]) });
  assert.deepEqual(codes, [0, 0x87]);
  assert.deepEqual([device.mayReceive('a/1'), device.mayReceive('b/1')], [true, false]);
  await engine.stop();
});
