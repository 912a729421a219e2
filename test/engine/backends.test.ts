/** What clients get of back-ends: who they are, what they may do, until when, and refusals. */
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { parseRoleAcl } from '../../src/access/acl/role-file.js';
import type { Answer, Backend } from '../../src/access/backends/backend.js';
import { SECRET_ALGORITHMS, Tokens } from '../../src/access/backends/tokens.js';
import { Passwords } from '../../src/access/passwords.js';
import type { BrokerOptions } from '../../src/broker.js';
import { Backends } from '../../src/server/backends.js';
import { identifier } from '../../src/server/identification.js';
import { Output } from '../../src/wire/output.js';
import { writeConnect } from '../../src/wire/writers.js';
import { Face } from '../support/coap-face.js';
import { Engine, FakeClock } from '../support/engine.js';
import { journalOf } from '../support/journal.js';
import { LastingStore } from '../support/lasting-store.js';
import { tokenWith } from '../support/tokens.js';

const SECRET = Buffer.alloc(32, 7);

/** What the log is told: failed logins, limits and refusals. */
interface Scene {
  readonly options: BrokerOptions & { readonly clock: FakeClock };
  readonly told: string[];
  readonly asked: string[];
  /** A token of `ann`, good for a minute; more claims go over these. */
  token(more?: object): Buffer;
}

/** A file with the user `tom`, tokens, and a server that says what the test says. */
function scene({ answer, file = true, acl }: { answer?: Answer; file?: boolean; acl?: string } = {}): Scene {
  const clock = new FakeClock();
  const told: string[] = [];
  const asked: string[] = [];
  const tokens = new Tokens(
    {
      key: createSecretKey(SECRET),
      algorithms: SECRET_ALGORITHMS,
      usernameClaim: 'sub',
      matchUsername: true,
      claims: [],
      groupsClaim: 'groups',
      leeway: 0,
      requireExpiry: true,
      disconnectAfterExpiry: true,
    },
    () => clock.now(),
  );
  const server: Backend = {
    by: 'http',
    ask: async ({ username = '', clientId, transport, version }) => {
      asked.push(`${username} ${clientId} ${transport} ${version}`);
      return answer ?? { outcome: 'ignore' };
    },
    close: () => {},
  };
  const users = {
    has: (name: string) => name === 'tom',
    verify: async (_name: string, word: Uint8Array) => `${Buffer.from(word)}` === 'secret',
  };
  const passwords = new Passwords(file ? users : null, { queue: 10, cache: 60 });
  const options = {
    clock,
    identify: identifier(passwords, new Backends([tokens, server])),
    acl: acl === undefined ? null : parseRoleAcl(acl, 'acl.yaml'),
    session: { lockoutFailures: 3, lockoutLoopback: true },
    journal: journalOf({
      loginFailed: (_party, user, method) => told.push(`${user} ${method}`),
      limit: (_party, option, detail) => told.push(`${option}: ${detail}`),
      refused: (_party, reason) => told.push(`refused: ${reason}`),
    }),
  };
  const token = (more: object = {}): Buffer => {
    const claims = { sub: 'ann', exp: clock.now() / 1000 + 60, ...more };
    return Buffer.from(tokenWith({ alg: 'HS256' }, claims, SECRET));
  };
  return { options, told, asked, token };
}

/** CONNECT of MQTT 5.0 with a password and no user name, which mqtt-packet does not write. */
async function connectNameless(engine: Engine, clientId: string, password: Buffer, remote?: string): Promise<number> {
  const packet = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, keepalive: 0 } as const;
  const client = engine.open(5, remote);
  const out = new Output();
  writeConnect(out, { ...packet, bridgeMode: false, clientId, password });
  client.sendBytes(out.bytes());
  return (await client.expect('connack')).reasonCode ?? -1;
}

const grant = {
  by: 'http',
  username: null,
  groups: [],
  superuser: false,
  expiresAt: Number.POSITIVE_INFINITY,
} as const;

test('a user of the password file is decided on by that alone; the others are those of the back-ends, in their order', async () => {
  const { options, told, asked, token } = scene({ answer: { outcome: 'allow', grant } });
  const engine = await Engine.create(options);
  const code = async (username: string, password: Buffer | string): Promise<number | undefined> =>
    (await engine.connect({ clientId: 'c', username, password: Buffer.from(password) })).connack.returnCode;
  assert.equal(await code('tom', 'secret'), 0);
  assert.equal(await code('tom', 'wrong'), 4);
  assert.equal(await code('tom', token({ sub: 'tom' })), 4, 'a token is no password of the file');
  assert.deepEqual(told.slice(0, 2), ['tom password', 'refused: bad user name or password']);
  assert.equal(await code('ann', token()), 0);
  assert.equal(await code('ann', token({ sub: 'bob' })), 4, 'a bad token is not shown to the next one');
  assert.deepEqual(asked, []);
  assert.equal(await code('ann', 'opaque'), 0);
  assert.deepEqual(asked, ['ann c mqtt 4']);
  await engine.stop();
});

test('who is known nowhere is refused with return code 4, or 0x86, and it counts as a failed login', async () => {
  for (const file of [true, false]) {
    const { options, told } = scene({ file });
    const engine = await Engine.create(options);
    const ann = { username: 'ann', password: Buffer.from('x') };
    assert.equal((await engine.connect(ann)).connack.returnCode, 4);
    assert.equal((await engine.connect({ ...ann, protocolVersion: 5 })).connack.reasonCode, 0x86);
    assert.deepEqual(told.slice(0, 2), ['ann password', 'refused: bad user name or password']);
    assert.equal(engine.broker.counters.failedLogins, 2);
    await engine.stop();
  }
});

test('without user name a token says who the client is; without both it is a matter of allow_anonymous', async () => {
  const { options, token, asked } = scene();
  const engine = await Engine.create(options);
  assert.equal(await connectNameless(engine, 'c', token()), 0);
  assert.equal(engine.broker.sessions.get('c')?.connection?.username, 'ann');
  assert.equal(await connectNameless(engine, 'd', token({ exp: 1 })), 0x86, 'a bad token is no stranger');
  assert.equal((await engine.connect({ clientId: 'e' })).connack.returnCode, 0);
  assert.deepEqual(asked, []);
  await engine.stop();
});

test('a refused token counts towards access.lockout_failures, and a ban holds for good tokens, too', async () => {
  const { options, told, token } = scene();
  const engine = await Engine.create(options);
  const remote = '192.0.2.1:5000';
  const log = async (password: Buffer): Promise<number | undefined> =>
    (await engine.connect({ protocolVersion: 5, username: 'ann', password }, remote)).connack.reasonCode;
  for (let i = 0; i < 3; i++) assert.equal(await log(token({ exp: i + 1 })), 0x86);
  assert.deepEqual(told.slice(0, 2), [
    'ann jwt',
    'refused: bad user name or password: "exp" claim timestamp check failed',
  ]);
  assert.equal(await log(token()), 0x8a);
  assert.equal(await connectNameless(engine, 'c', token(), remote), 0x8a, 'the user of the token is banned there');
  await engine.stop();
});

test('a server that cannot answer lets nobody in: 0x88, return code 3, and no failed login', async () => {
  const option = 'access.http_url';
  const { options, told } = scene({ answer: { outcome: 'unavailable', busy: false, option, reason: 'it is down' } });
  const engine = await Engine.create(options);
  const ann = { username: 'ann', password: Buffer.from('x') };
  assert.equal((await engine.connect(ann)).connack.returnCode, 3);
  const recent = await engine.connect({ ...ann, protocolVersion: 5 });
  assert.deepEqual(
    [recent.connack.reasonCode, recent.connack.properties?.reasonString],
    [0x88, 'nobody can tell who the client is now'],
  );
  assert.deepEqual(told.slice(0, 2), [`${option}: a connection was refused: it is down`, 'refused: it is down']);
  const { counters } = engine.broker;
  assert.deepEqual([counters.refusedUnidentified, counters.refusedConnections, counters.failedLogins], [2, 2, 0]);
  await engine.stop();
});

test('access.http_queue: a client too many is refused with 0x89, before MQTT 5.0 with return code 3', async () => {
  const option = 'access.http_queue';
  const { options, told } = scene({ answer: { outcome: 'unavailable', busy: true, option, reason: 'many wait' } });
  const engine = await Engine.create(options);
  const ann = { username: 'ann', password: Buffer.from('x') };
  assert.equal((await engine.connect(ann)).connack.returnCode, 3);
  const recent = await engine.connect({ ...ann, protocolVersion: 5 });
  assert.deepEqual(
    [recent.connack.reasonCode, recent.connack.properties?.reasonString],
    [0x89, 'access.http_queue is reached'],
  );
  assert.equal(told[0], 'access.http_queue: a connection was refused: many wait');
  assert.equal(engine.broker.counters.refusedAtHttpQueue, 2);
  await engine.stop();
});

test('waiting for a back-end does not count for mqtt.connect_timeout, up to 30 s', async () => {
  let settle: (answer: Answer) => void = () => {};
  const asking = new Promise<Answer>((resolve) => {
    settle = resolve;
  });
  let began: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    began = resolve;
  });
  const slow: Backend = {
    by: 'http',
    ask: () => {
      began();
      return asking;
    },
    close: () => {},
  };
  const passwords = new Passwords(null, { queue: 1, cache: 0 });
  const engine = await Engine.create({
    identify: identifier(passwords, new Backends([slow])),
    session: { connectTimeout: 10 },
  });
  const connecting = engine.connect({ username: 'ann', password: Buffer.from('x') });
  await begun;
  engine.pass(25);
  settle({ outcome: 'allow', grant });
  assert.equal((await connecting).connack.returnCode, 0);
  await engine.stop();
});

test('access.jwt_disconnect_after_expiry: a client is disconnected with 0x87 when its token expires, and its will is published', async () => {
  const { options, told, token } = scene();
  const engine = await Engine.create(options);
  const watcher = await engine.connect({ clientId: 'watcher' });
  await watcher.subscribe('gone', 0);
  const will = { topic: 'gone', payload: Buffer.from('ann'), qos: 0 as const, retain: false };
  const recent = await engine.connect({ clientId: 'a', protocolVersion: 5, username: 'ann', password: token(), will });
  const old = await engine.connect({
    clientId: 'b',
    username: 'ann',
    password: token({ exp: engine.clock.now() / 1000 + 61 }),
  });
  engine.pass(59);
  assert.deepEqual(await recent.drain(), []);
  engine.pass(1);
  const { reasonCode, properties } = await recent.expect('disconnect');
  assert.deepEqual([reasonCode, properties?.reasonString], [0x87, 'its token has expired']);
  await recent.end();
  assert.equal((await watcher.expect('publish')).payload.toString(), 'ann');
  assert.deepEqual(await old.drain(), [], 'another token has another time');
  engine.pass(1);
  await old.end();
  assert.equal(engine.broker.counters.expiredGrants, 2);
  assert.deepEqual(told, Array(2).fill('access.jwt_disconnect_after_expiry: its token has expired'));
  await engine.stop();
});

test('a client comes back with a new token, and has the time of that', async () => {
  const { options, token } = scene();
  const engine = await Engine.create(options);
  const first = await engine.connect({ clientId: 'a', username: 'ann', password: token() });
  engine.pass(50);
  const again = await engine.connect({ clientId: 'a', username: 'ann', password: token() });
  await first.end();
  engine.pass(50);
  assert.deepEqual(await again.drain(), []);
  engine.pass(10);
  await again.end();
  assert.equal(engine.broker.counters.expiredGrants, 1);
  await engine.stop();
});

const ACL = `
roles:
  pump: [{ allow: [publish, receive], topic: 'pumps/%u/#' }]
groups:
  plant: { roles: [pump], users: [fan] }
  other: { roles: [] }
everyone:
  rules: [{ allow: receive, topic: public }, { deny: receive, topic: secret }]
`;

test('the groups of a token are those of the access control list, for what is published, received, subscribed and a will', async () => {
  const { options, token } = scene({ acl: ACL });
  const engine = await Engine.create(options);
  const password = token({ groups: ['plant', 'unknown'] });
  const will = { topic: 'pumps/ann/gone', payload: Buffer.from('gone'), qos: 0 as const, retain: false };
  const late = { ...will, properties: { willDelayInterval: 5 } };
  const join = async (clientId: string, more: object) =>
    engine.connect({
      clientId,
      protocolVersion: 5,
      username: 'ann',
      password,
      properties: { sessionExpiryInterval: 100 },
      ...more,
    });
  const watcher = await join('watcher', {});
  await watcher.subscribe('pumps/ann/#', 0);
  const pump = await join('pump', { will });
  pump.publish('pumps/ann/x', 'on', { qos: 1, messageId: 1 });
  assert.equal((await pump.expect('puback')).reasonCode ?? 0, 0);
  assert.equal((await watcher.expect('publish')).topic, 'pumps/ann/x');
  pump.publish('pumps/bob/x', 'on', { qos: 1, messageId: 2 });
  assert.equal((await pump.expect('puback')).reasonCode, 0x87);
  await engine.cut(pump);
  assert.equal((await watcher.expect('publish')).topic, 'pumps/ann/gone');
  const slow = await join('slow', { will: late });
  await engine.cut(slow);
  engine.pass(5);
  assert.equal((await watcher.expect('publish')).topic, 'pumps/ann/gone', 'a will that waits has them, too');
  const plain = await engine.connect({ clientId: 'plain', protocolVersion: 5, username: 'ann', password: token() });
  plain.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'pumps/ann/#', qos: 0 }] });
  assert.deepEqual((await plain.expect('suback')).granted, [0x87], 'the same user without the group');
  await engine.stop();
});

test('a will that outlives its broker has the groups, or the rights of a superuser, of its client', async () => {
  for (const superuser of [false, true]) {
    const store = new LastingStore();
    const lent = { ...grant, groups: superuser ? [] : ['plant'], superuser };
    const { options } = scene({ acl: ACL, answer: { outcome: 'allow', grant: lent } });
    const former = await Engine.create({ ...options, store });
    for (const [clientId, topic, willDelayInterval] of [
      ['now', 'pumps/bob/now', 0],
      ['late', 'pumps/bob/late', 5],
      ['other', 'pumps/ann/x', 0],
    ] as const) {
      const will = {
        topic,
        payload: Buffer.from('gone'),
        qos: 1 as const,
        retain: true,
        properties: { willDelayInterval },
      };
      const properties = { sessionExpiryInterval: 100 };
      await former.connect({
        clientId,
        protocolVersion: 5,
        username: 'bob',
        password: Buffer.from('opaque'),
        will,
        properties,
      });
    }
    // Nobody stops the former broker: it is as if it had been killed.
    const engine = await Engine.create({ ...options, store });
    const { retained } = engine.broker.router;
    const text = (topic: string): string | undefined => retained.get(topic)?.payload.toString();
    assert.equal(text('pumps/bob/now'), 'gone');
    assert.equal(text('pumps/bob/late'), undefined);
    engine.pass(5);
    assert.equal(text('pumps/bob/late'), 'gone');
    assert.equal(text('pumps/ann/x'), superuser ? 'gone' : undefined, 'where the group may not publish');
    assert.equal(engine.broker.counters.deniedPublish, superuser ? 0 : 1);
    await engine.stop();
    await former.stop();
  }
});

test('access.check_retain_source: a retained message that was published by a group of a token is delivered', async () => {
  const { options, token } = scene({ acl: ACL });
  const engine = await Engine.create(options);
  const password = token({ groups: ['plant'] });
  const pump = await engine.connect({ clientId: 'pump', username: 'ann', password });
  pump.publish('pumps/ann/x', 'on', { qos: 1, messageId: 1, retain: true });
  await pump.expect('puback');
  const reader = await engine.connect({ clientId: 'reader', username: 'ann', password });
  await reader.subscribe('pumps/ann/#', 0);
  const { topic, retain } = await reader.expect('publish');
  assert.deepEqual([topic, retain], ['pumps/ann/x', true]);
  await engine.stop();
});

test('is_superuser: access control lists are not asked', async () => {
  const { options } = scene({ acl: ACL, answer: { outcome: 'allow', grant: { ...grant, superuser: true } } });
  const engine = await Engine.create(options);
  const root = await engine.connect({ username: 'root', password: Buffer.from('x'), protocolVersion: 5 });
  await root.subscribe('secret', 0);
  await root.subscribe('#', 0);
  root.publish('secret', 'x', { qos: 1, messageId: 3 });
  const cmds = [(await root.next()).cmd, (await root.next()).cmd];
  assert.ok(cmds.includes('puback') && cmds.includes('publish'), cmds.join());
  await engine.stop();
});

test('the authenticate hook is asked with the user of the token', async () => {
  const { options, token } = scene();
  const engine = await Engine.create(options);
  const asked: (string | undefined)[] = [];
  engine.broker.authenticate = (_client, username, _password, done) => {
    asked.push(username as string | undefined);
    done(null, true);
  };
  assert.equal(await connectNameless(engine, 'c', token()), 0);
  assert.deepEqual(asked, ['ann']);
  await engine.stop();
});

test('a CoAP device shows a token as its password; its connection ends with it', async () => {
  const { options, token, told } = scene({ acl: ACL });
  const face = await Face.create({ anonymous: false, insecure_password: true }, options);
  const ask = (password: Buffer | string) =>
    face.device().ask('post', `/mqtt/connection?clientid=dev&password=${password}`);
  assert.equal((await ask(token({ exp: 1 }))).code, '4.01');
  const made = await ask(token({ groups: ['plant'] }));
  assert.equal(made.code, '2.01');
  const post = async (): Promise<string> =>
    (await face.device().ask('post', `/ps/pumps/ann/x?clientid=dev&token=${made.payload}`, { payload: 'x' })).code;
  assert.equal(await post(), '2.04');
  face.engine.pass(60);
  assert.equal(await post(), '4.01');
  assert.ok(told.includes('access.jwt_disconnect_after_expiry: its token has expired'));
  assert.equal(face.engine.broker.counters.expiredGrants, 1);
  await face.stop();
});
