import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IConnectPacket, IPublishPacket, Packet } from 'mqtt-packet';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { parseRoleAcl } from '../../src/access/acl/role-file.js';
import { ReasonCode } from '../../src/wire/reason-codes.js';
import { Engine } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';

const acl = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');

const RULES = acl(
  'user ann\ntopic read in/#\ntopic write out/#\ntopic deny in/secret\nuser w\ntopic #\ntopic read $SYS/#\npattern own/%c\n',
);

function user(username: string, protocolVersion: 4 | 5, more: Partial<IConnectPacket> = {}): Partial<IConnectPacket> {
  return { username, clientId: username, protocolVersion, ...more };
}

function topics(packets: readonly Packet[]): string[] {
  return packets.filter((packet): packet is IPublishPacket => packet.cmd === 'publish').map(({ topic }) => topic);
}

/** What the journal was told of what is denied. */
function deniedOf(engine: Engine): string[] {
  const lines: string[] = [];
  engine.broker.environment.journal.denied = (party, action, topic, reason) =>
    lines.push(`${party.id} ${action} ${topic}: ${reason}`);
  return lines;
}

for (const version of [4, 5] as const) {
  test(`MQTT ${version}: what may not be published reaches nobody, and is logged with the deciding line`, async () => {
    const engine = await Engine.create({ acl: RULES });
    const denied = deniedOf(engine);
    const witness = await engine.connect(user('w', version));
    await witness.subscribe('#', 1);
    const ann = await engine.connect(user('ann', version));
    for (const topic of ['out/a', 'in/a', 'in/secret', 'out/a', 'own/ann', 'own/bob']) {
      ann.publish(topic, 'x', { qos: 1, messageId: 5 });
      const { reasonCode } = await ann.expect('puback');
      const allowed = topic.startsWith('out') || topic === 'own/ann';
      if (version === 5) assert.equal(reasonCode ?? 0, allowed ? 0 : ReasonCode.NotAuthorized, topic);
    }
    assert.deepEqual(topics(await witness.drain()), ['out/a', 'out/a', 'own/ann']);
    assert.deepEqual(denied, [
      'ann publish in/a: no rule allows it',
      'ann publish in/secret: FILE:4: topic deny in/secret',
      'ann publish own/bob: no rule allows it',
    ]);
    assert.equal(engine.broker.counters.deniedPublish, 3);
    await engine.stop();
  });

  test(`MQTT ${version}: a filter that could only deliver what is denied is refused, one in part is granted`, async () => {
    const engine = await Engine.create({ acl: RULES });
    const denied = deniedOf(engine);
    const ann = await engine.connect(user('ann', version));
    const filters = ['in/a', 'in/secret', 'out/a', 'in/#', '$share/g/in/a', '$share/g/out/a'];
    ann.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 as const })) });
    const no = version === 5 ? 0x87 : 0x80;
    assert.deepEqual((await ann.expect('suback')).granted, [1, no, no, 1, 1, no]);
    assert.deepEqual(denied, [
      'ann subscribe in/secret: FILE:4: topic deny in/secret',
      'ann subscribe out/a: no rule allows it',
      'ann receive in/#: a part of it is not delivered; FILE:4: topic deny in/secret',
      'ann subscribe $share/g/out/a: no rule allows it',
    ]);
    assert.equal(engine.broker.counters.deniedSubscribe, 3);
    await engine.stop();
  });

  test(`MQTT ${version}: live, retained and queued messages are filtered at delivery`, async () => {
    const engine = await Engine.create({ acl: RULES });
    const witness = await engine.connect(user('w', version));
    for (const topic of ['in/kept', 'in/secret']) witness.publish(topic, 'x', { retain: true });
    await witness.drain();
    const session: Partial<IConnectPacket> = {
      clean: false,
      ...(version === 5 ? { properties: { sessionExpiryInterval: 1000 } } : {}),
    };
    const ann = await engine.connect(user('ann', version, session));
    ann.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'in/#', qos: 1 }] });
    await ann.expect('suback');
    for (const qos of [0, 1] as const) {
      for (const topic of ['in/a', 'in/secret', 'in/b']) {
        witness.publish(topic, 'x', { qos, ...(qos > 0 ? { messageId: 2 } : {}) });
        if (qos > 0) await witness.expect('puback');
      }
      await witness.drain();
    }
    assert.deepEqual(topics(await ann.drain()), ['in/kept', 'in/a', 'in/b', 'in/a', 'in/b']);
    await engine.cut(ann);
    for (const topic of ['in/secret', 'in/later', 'in/secret']) {
      witness.publish(topic, 'x', { qos: 1, messageId: 3 });
      await witness.expect('puback');
    }
    const again = await engine.connect(user('ann', version, session));
    const later = topics(await again.drain()).filter((topic) => topic !== 'in/a' && topic !== 'in/b');
    assert.deepEqual(later, ['in/later']);
    assert.ok(engine.broker.counters.deniedReceive >= 5);
    await engine.stop();
  });

  test(`MQTT ${version}: a will is checked when it is published`, async () => {
    const engine = await Engine.create({ acl: RULES });
    const denied = deniedOf(engine);
    const witness = await engine.connect(user('w', version));
    await witness.subscribe('#', 0);
    for (const topic of ['in/a', 'out/a', 'own/ann']) {
      const will = { topic, payload: Buffer.from('gone'), qos: 0 as const, retain: false };
      const ann = await engine.connect(user('ann', version, { will }));
      await engine.cut(ann);
    }
    assert.deepEqual(topics(await witness.drain()), ['out/a', 'own/ann']);
    assert.deepEqual(denied, ['ann publish in/a: its will: no rule allows it']);
    await engine.stop();
  });
}

test('a will that outlives its broker is checked with the user name of its client', async () => {
  const store = new LastingStore();
  const former = await Engine.create({ store });
  for (const [id, topic] of [
    ['a', 'out/a'],
    ['b', 'in/b'],
  ]) {
    const will = { topic, payload: Buffer.from('gone'), qos: 1 as const, retain: true };
    await former.connect({ username: 'ann', clientId: id, protocolVersion: 5, will });
  }
  // Nobody stops the former broker: it is as if it had been killed.
  const engine = await Engine.create({ acl: RULES, store });
  const { retained } = engine.broker.router;
  assert.equal(retained.get('out/a')?.payload.toString(), 'gone');
  assert.equal(retained.get('in/b'), null);
  assert.equal(engine.broker.counters.deniedPublish, 1);
  await engine.stop();
  await former.stop();
});

test('a will that waits for its delay is checked by the list in force when it is published', async () => {
  for (const [before, after, expected] of [
    [RULES, acl('user w\ntopic #\n'), []],
    [acl('user w\ntopic #\n'), RULES, ['out/a']],
    [null, acl('user w\ntopic #\n'), []],
    [RULES, null, ['out/a']],
  ] as const) {
    const engine = await Engine.create({ acl: before });
    const denied = deniedOf(engine);
    const witness = await engine.connect(user('w', 5));
    await witness.subscribe('#', 0);
    const properties = { willDelayInterval: 10 };
    const will = { topic: 'out/a', payload: Buffer.from('gone'), qos: 0 as const, retain: false, properties };
    const ann = await engine.connect(user('ann', 5, { will, properties: { sessionExpiryInterval: 100 } }));
    await engine.cut(ann);
    engine.pass(5);
    engine.broker.replaceAcl(after);
    engine.pass(6);
    assert.deepEqual(topics(await witness.drain()), expected);
    assert.deepEqual(denied, expected.length > 0 ? [] : ['ann publish out/a: its will: no rule allows it']);
    await engine.stop();
  }
});

for (const [version, refused] of [
  [4, 0x80],
  [5, ReasonCode.NotAuthorized],
] as const) {
  test(`MQTT ${version}: $SYS is read by whom the list names, in whole or in part, and written by nobody`, async () => {
    const list = acl(
      'topic read #\nuser ann\ntopic read $SYS/#\nuser bob\ntopic #\npattern read $SYS/broker/clients/#\n' +
        'user cat\ntopic readwrite $SYS/#\ntopic deny $SYS/broker/store/#\n',
    );
    const ours = parseRoleAcl(
      "users:\n  ann: { rules: [{ allow: receive, topic: '$SYS/#' }] }\n" +
        "  bob: { rules: [{ allow: [receive, publish], topic: '#' }] }\n" +
        "  cat:\n    rules:\n    - { allow: [receive, publish], topic: '$SYS/#' }\n" +
        "    - { deny: receive, topic: '$SYS/broker/store/#' }\n" +
        "everyone: { rules: [{ allow: receive, topic: '$SYS/broker/clients/#' }] }\n",
      'FILE',
    );
    for (const one of [list, ours]) {
      const engine = await Engine.create({ acl: one });
      const all = ['$SYS/broker/clients/total', '$SYS/broker/store/x', '$SYS/broker/uptime'];
      for (const topic of all) engine.broker.publish({ topic, payload: '1', retain: true });
      const codes: Record<string, number> = {};
      const read: Record<string, string[]> = {};
      for (const name of ['ann', 'bob', 'cat']) {
        const client = await engine.connect(user(name, version));
        const filters = ['$SYS/#', '$SYS/broker/uptime'].map((topic) => ({ topic, qos: 0 as const }));
        client.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters });
        const { granted } = await client.expect('suback');
        codes[name] = Number((granted as number[])[1]);
        assert.equal(Number((granted as number[])[0]), 0, name);
        read[name] = [...new Set(topics(await client.drain()))].sort();
        client.publish('$SYS/broker/uptime', 'mine', { retain: true });
        await client.drain();
      }
      assert.deepEqual(codes, { ann: 0, bob: refused, cat: 0 });
      assert.deepEqual(read, { ann: all, bob: all.slice(0, 1), cat: [all[0], all[2]] });
      assert.equal(engine.broker.router.retained.get('$SYS/broker/uptime')?.payload.toString(), '1');
      await engine.stop();
    }
  });
}

test('without a list everybody reads $SYS, and nobody writes it', async () => {
  const engine = await Engine.create();
  engine.broker.publish({ topic: '$SYS/broker/uptime', payload: '1', retain: true });
  const client = await engine.connect({});
  await client.subscribe('$SYS/#', 0);
  assert.deepEqual(topics(await client.drain()), ['$SYS/broker/uptime']);
  client.publish('$SYS/broker/uptime', 'mine', { retain: true });
  assert.deepEqual(topics(await client.drain()), []);
  await engine.stop();
});

test('the client hears why a subscription is refused, and not which line of the file does it', async () => {
  const engine = await Engine.create({ acl: RULES });
  const ann = await engine.connect(user('ann', 5));
  ann.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'in/secret', qos: 0 }] });
  const { properties } = await ann.expect('suback');
  assert.ok(!JSON.stringify(properties ?? {}).includes('FILE'));
  await engine.stop();
});

test('a list that takes the place of another is in force at once, also for what is remembered', async () => {
  const engine = await Engine.create({ acl: acl('user ann\ntopic a\n') });
  const ann = await engine.connect(user('ann', 5));
  await ann.subscribe('a', 0);
  ann.publish('a', '1');
  ann.publish('a', '2');
  assert.equal((await ann.drain()).length, 2);
  engine.broker.environment.access.acl = acl('user ann\ntopic write a\n');
  ann.publish('a', '3');
  assert.equal((await ann.drain()).length, 0);
  engine.broker.environment.access.acl = null;
  ann.publish('a', '4');
  assert.equal((await ann.drain()).length, 1);
  await engine.stop();
});

test('decisions on many topics in turn are right', async () => {
  const engine = await Engine.create({ acl: acl('user ann\ntopic t/#\ntopic deny t/+/no\n') });
  const ann = await engine.connect(user('ann', 4));
  await ann.subscribe('t/#', 0);
  const all = Array.from({ length: 300 }, (_, i) => `t/${i % 150}/${i % 3 === 0 ? 'no' : 'yes'}`);
  for (let round = 0; round < 3; round++) for (const topic of all) ann.publish(topic, 'x');
  const seen = topics(await ann.drainTurns());
  assert.deepEqual(
    seen,
    [...all, ...all, ...all].filter((topic) => topic.endsWith('yes')),
  );
  await engine.stop();
});

test('a subscribe rule of our own form refuses one filter', async () => {
  const text = "everyone: { rules: [{ allow: [receive, publish], topic: '#' }, { deny: subscribe, filter: '#' }] }";
  const engine = await Engine.create({ acl: parseRoleAcl(text, 'FILE') });
  const ann = await engine.connect(user('ann', 5));
  ann.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [
      { topic: '#', qos: 0 },
      { topic: '+/#', qos: 0 },
    ],
  });
  assert.deepEqual((await ann.expect('suback')).granted, [0x87, 0]);
  await engine.stop();
});

test('a client inside the process is held to the rules of its user name and identifier', async () => {
  const engine = await Engine.create({ acl: RULES });
  const witness = await engine.connect(user('w', 4));
  await witness.subscribe('#', 0);
  const ann = engine.broker.openClient({ id: 'c1', username: 'ann', remote: 'test', transport: 'coap' });
  const codes: number[] = [];
  const outcome = { acknowledge: (_type: number, _id: number, code: number) => codes.push(code) };
  for (const topic of ['out/a', 'in/a', 'own/c1', 'own/c2']) ann.publish(topic, Buffer.from('x'), {}, outcome);
  assert.deepEqual(codes, [0, ReasonCode.NotAuthorized, 0, ReasonCode.NotAuthorized]);
  assert.deepEqual(topics(await witness.drain()), ['out/a', 'own/c1']);
  ann.mayPublish('in/a', (code) => codes.push(code));
  ann.mayPublish('out/a', (code) => codes.push(code));
  assert.deepEqual(codes.slice(4), [ReasonCode.NotAuthorized, 0]);

  const taken: string[] = [];
  assert.equal(
    ann.subscribe('in/secret', 0, () => {}),
    ReasonCode.NotAuthorized,
  );
  const handled = new Promise<void>((resolve) => {
    const handle = ann.subscribe('in/#', 0, ({ topic }) => {
      taken.push(topic);
      resolve();
    });
    assert.equal(typeof handle, 'object');
  });
  for (const topic of ['in/secret', 'in/a']) witness.publish(topic, 'x', { retain: true });
  await witness.drain();
  await handled;
  assert.deepEqual(taken, ['in/a']);
  assert.equal(ann.retained('in/secret'), null);
  assert.equal(ann.hasRetained('in/secret'), false);
  assert.equal(ann.retained('in/a')?.topic, 'in/a');
  const kept: string[] = [];
  await ann.retainedMessages('#', ({ topic }) => {
    kept.push(topic);
    return true;
  });
  assert.deepEqual(kept, ['in/a']);
  await engine.stop();
});

test('a client inside the process that does what the configuration says needs no rule, and speaks for nobody else', async () => {
  const engine = await Engine.create({ acl: RULES });
  const witness = await engine.connect(user('w', 4));
  await witness.subscribe('#', 0);
  const own = engine.broker.openClient({ id: 'own', remote: 'internal', transport: 'internal', trusted: true });
  const codes: number[] = [];
  const outcome = { acknowledge: (_type: number, _id: number, code: number) => codes.push(code) };
  own.publish('in/secret', Buffer.from('x'), { retain: true }, outcome);
  own.mayPublish('in/secret', (code) => codes.push(code));
  assert.deepEqual(topics(await witness.drain()), ['in/secret']);
  assert.deepEqual(codes, [0, 0]);
  assert.equal(own.retained('in/secret')?.topic, 'in/secret');
  assert.equal(own.hasRetained('in/secret'), true);
  const handled = new Promise<string>((resolve) => {
    assert.equal(typeof own.subscribe('in/secret', 0, ({ topic }) => resolve(topic)), 'object');
  });
  witness.publish('in/secret', 'x');
  assert.equal(await handled, 'in/secret');
  // What another asks for is decided by the rights of that other.
  const ann = engine.broker.openClient({ id: 'c1', username: 'ann', remote: 'test', transport: 'coap' });
  own.mayPublish('in/secret', (code) => codes.push(code), ann);
  own.mayPublish('out/a', (code) => codes.push(code), ann);
  own.mayPublish('out/a', (code) => codes.push(code), null);
  assert.deepEqual(codes.slice(2), [ReasonCode.NotAuthorized, 0, ReasonCode.NotAuthorized]);
  await engine.stop();
});
