/** Failed logins and bans as clients meet them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScramSha256, scramCredentials } from '../../src/access/scram.js';
import type { BrokerOptions } from '../../src/broker.js';
import type { SessionOptions } from '../../src/session/environment.js';
import { loginFailed } from '../../src/session/failed-login.js';
import { Engine, type RawClient } from '../support/engine.js';
import { journalOf } from '../support/journal.js';
import { ScramClient } from '../support/scram-client.js';

const BAD = '192.0.2.1:50000';
const GOOD = '192.0.2.2:50000';

interface Scene {
  readonly engine: Engine;
  /** What the journal was told: failed logins, limits. */
  readonly told: string[];
}

async function scene(session: Partial<SessionOptions> = {}, options: BrokerOptions = {}): Promise<Scene> {
  const told: string[] = [];
  const engine = await Engine.create({
    identify: async (_user, password, anonymous) => (password === undefined ? anonymous : String(password) === 'right'),
    session: { lockoutFailures: 3, lockoutAddressFailures: 6, lockoutTime: 300, ...session },
    journal: journalOf({
      loginFailed: ({ remote, transport }, user, method) => told.push(`${remote} ${transport} ${user} ${method}`),
      limit: (_party, option, detail) => told.push(`${option}: ${detail}`),
    }),
    ...options,
  });
  return { engine, told };
}

let guesses = 0;

/** Logs in with a wrong password that nobody has tried; returns what CONNACK says. */
async function guess(engine: Engine, username: string, remote: string, version: 4 | 5 = 4): Promise<number> {
  return logIn(engine, username, `guess ${++guesses}`, remote, version);
}

/** Six names, one guess each: from the fourth on the refusals have to wait. */
async function guessSix(engine: Engine): Promise<number[]> {
  const { counters } = engine.broker;
  const before = counters.failedLogins;
  const answers: Promise<number>[] = [];
  for (let i = 0; i < 6; i++) {
    answers.push(guess(engine, `user ${i}`, BAD));
    while (counters.failedLogins < before + i + 1) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(counters.delayedRefusals, 3);
  engine.pass(4);
  return Promise.all(answers);
}

async function logIn(
  engine: Engine,
  username: string,
  password: string,
  remote: string,
  version: 4 | 5 = 4,
): Promise<number> {
  const fields = { clientId: `${username} ${guesses}`, username, password: Buffer.from(password) };
  const { connack } = await engine.connect({ ...fields, protocolVersion: version }, remote);
  return (version === 5 ? connack.reasonCode : connack.returnCode) ?? -1;
}

test('access.lockout_failures: the user is refused from there with 0x8A or return code 5, also with the right password', async () => {
  const { engine, told } = await scene();
  for (let i = 0; i < 3; i++) assert.equal(await guess(engine, 'ann', BAD), 4);
  assert.deepEqual(told.slice(0, 4), [
    `${BAD} mqtt ann password`,
    `${BAD} mqtt ann password`,
    `${BAD} mqtt ann password`,
    'access.lockout_failures: user "ann" from 192.0.2.1 is banned for 300 s: 3 failed logins',
  ]);
  assert.equal(await logIn(engine, 'ann', 'right', BAD, 5), 0x8a);
  assert.equal(await logIn(engine, 'ann', 'right', BAD), 5);
  assert.equal(told.at(-1), 'access.lockout_failures: a connection was refused: it is banned');
  assert.equal(await logIn(engine, 'bob', 'right', BAD), 0, 'another user behind the same address');
  assert.equal(await logIn(engine, 'ann', 'right', GOOD), 0, 'the same user from elsewhere');
  const { counters } = engine.broker;
  assert.deepEqual([counters.failedLogins, counters.bansImposed, counters.bans, counters.refusedBanned], [3, 1, 1, 2]);
  engine.pass(300);
  assert.equal(counters.bans, 0);
  assert.equal(await logIn(engine, 'ann', 'right', BAD), 0);
  await engine.stop();
});

test('access.lockout_address_failures: connections of the address are closed before anything is read; who is connected stays', async () => {
  const { engine, told } = await scene();
  const early = await engine.connect({ clientId: 'early', username: 'eve', password: Buffer.from('right') }, BAD);
  assert.deepEqual(await guessSix(engine), [4, 4, 4, 4, 4, 4]);
  assert.equal(told.at(-1), 'access.lockout_address_failures: 192.0.2.1 is banned for 300 s: 6 failed logins');
  const { connects } = engine.broker.counters;
  const closed = engine.open(5, '192.0.2.1:50001');
  await closed.end();
  assert.deepEqual(closed.bytes, []);
  assert.equal(told.at(-1), 'access.lockout_address_failures: a connection of 192.0.2.1, which is banned, was refused');
  assert.equal(engine.broker.counters.connects, connects);
  assert.equal(engine.broker.counters.refusedBanned, 1);
  assert.deepEqual(await early.drain(), []);
  assert.equal(await logIn(engine, 'eve', 'right', GOOD), 0);
  engine.pass(300);
  assert.equal(await logIn(engine, 'eve', 'right', BAD), 0);
  await engine.stop();
});

test('a connection that was there before the ban is refused when its CONNECT comes', async () => {
  const { engine } = await scene();
  const waiting = engine.open(5, '192.0.2.1:50001');
  await guessSix(engine);
  waiting.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clientId: 'c', clean: true, keepalive: 0 });
  assert.equal((await waiting.expect('connack')).reasonCode, 0x8a);
  await engine.stop();
});

test('guesses that come all at once are not answered beyond the ban, whether they are right or wrong', async () => {
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { engine } = await scene(
    {},
    {
      identify: async (_user, password) => {
        await gate;
        return String(password) === 'right';
      },
    },
  );
  const passwords = ['a', 'b', 'c', 'd', 'right', 'e'];
  const answers = passwords.map((password) => logIn(engine, 'ann', password, BAD, 5));
  while (engine.broker.counters.connects < passwords.length) await new Promise((resolve) => setImmediate(resolve));
  release();
  const codes = await Promise.all(answers);
  assert.deepEqual(codes, [0x86, 0x86, 0x86, 0x8a, 0x8a, 0x8a]);
  assert.equal(engine.broker.counters.failedLogins, 3);
  await engine.stop();
});

test('the refusal of a wrong password comes later and later; a right one is answered at once', async () => {
  const { engine } = await scene({ lockoutFailures: 100, lockoutAddressFailures: 0 });
  for (let i = 0; i < 3; i++) await guess(engine, 'ann', BAD);
  const answered: number[] = [];
  const refused = guess(engine, 'ann', BAD).then((code) => answered.push(code));
  while (engine.broker.counters.delayedRefusals === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await logIn(engine, 'ann', 'right', BAD), 0);
  engine.clock.advance(0.999);
  engine.broker.tick();
  assert.equal(await logIn(engine, 'bob', 'right', BAD), 0);
  assert.deepEqual(answered, []);
  engine.clock.advance(0.001);
  engine.broker.tick();
  await refused;
  assert.deepEqual(answered, [4]);
  await engine.stop();
});

test('an old password that a device repeats for ever bans neither it nor others', async () => {
  const { engine } = await scene();
  for (let i = 0; i < 50; i++) {
    const refused = logIn(engine, 'ann', 'old', BAD);
    while (engine.broker.counters.failedLogins <= i) await new Promise((resolve) => setImmediate(resolve));
    engine.pass(5);
    assert.equal(await refused, 4);
  }
  assert.equal(engine.broker.counters.bansImposed, 0);
  assert.equal(await logIn(engine, 'ann', 'right', BAD), 0);
  await engine.stop();
});

test('a client without user name is refused and does not count: it guesses nothing', async () => {
  const { engine, told } = await scene({}, { identify: (_user, _password, _anonymous) => false });
  for (let i = 0; i < 10; i++) {
    assert.equal((await engine.connect({ clientId: `c${i}` }, BAD)).connack.returnCode, 5);
  }
  assert.deepEqual(told, []);
  await engine.stop();
});

test('the authenticate hook counts where it says no, and not where it fails', async () => {
  const { engine, told } = await scene({}, { identify: () => true });
  engine.broker.authenticate = (_client, username, _password, done) => {
    if (username === 'down') done(Object.assign(new Error('the database is down'), { returnCode: 3 }), null);
    else if (username === 'bad') done(Object.assign(new Error('no'), { returnCode: 4 }), null);
    else done(null, false);
  };
  for (let i = 0; i < 10; i++) assert.equal(await guess(engine, 'down', BAD), 3);
  assert.equal(told.length, 0);
  for (let i = 0; i < 3; i++) assert.equal(await guess(engine, 'bad', BAD), 4);
  assert.equal(await guess(engine, 'bad', BAD), 5);
  assert.equal(engine.broker.counters.bans, 1);
  assert.ok(told.includes(`${BAD} mqtt bad hook`));
  await engine.stop();
});

test('SCRAM failures count for the user that was claimed, and a ban hides whether a proof was right', async () => {
  const users = new Map([['ann', await scramCredentials('right')]]);
  const { engine, told } = await scene({}, { authenticationMethods: [new ScramSha256(users)] });
  const prove = async (password: string): Promise<number | undefined> => {
    const scram = new ScramClient('ann', password);
    const properties = { authenticationMethod: 'SCRAM-SHA-256', authenticationData: scram.first() };
    const client: RawClient = engine.open(5, BAD);
    const packet = { protocolId: 'MQTT', protocolVersion: 5, clientId: 's', clean: true, keepalive: 0 } as const;
    client.send({ cmd: 'connect', ...packet, properties });
    const asked = await client.expect('auth');
    const authenticationData = scram.final(asked.properties?.authenticationData as Buffer);
    client.send({ cmd: 'auth', reasonCode: 0x18, properties: { ...properties, authenticationData } });
    return (await client.expect('connack')).reasonCode;
  };
  assert.equal(await prove('right'), 0);
  for (let i = 0; i < 3; i++) assert.equal(await prove('wrong'), 0x87);
  assert.equal(told[0], `${BAD} mqtt ann SCRAM-SHA-256`);
  assert.equal(await prove('right'), 0x8a);
  assert.equal(await logIn(engine, 'ann', 'right', BAD, 5), 0x8a, 'with a password too');
  assert.equal(engine.broker.counters.failedLogins, 3);
  await engine.stop();
});

test('clients inside the process, as devices over CoAP are, count and are refused alike', async () => {
  const { engine, told } = await scene();
  const connect = async (password: string | null, username = 'ann', remote = BAD): Promise<number> => {
    const credentials = { anonymous: false, keepalive: 60, verified: password === null };
    const client = await engine.broker.connectClient(
      { id: 'device', username, remote, transport: 'coaps' },
      password === null ? credentials : { ...credentials, password: Buffer.from(password) },
    );
    return 'reasonCode' in client ? client.reasonCode : 0;
  };
  for (const password of ['a', 'b', 'c']) assert.equal(await connect(password), 0x86);
  assert.equal(told[0], `${BAD} coaps ann password`);
  assert.equal(await connect('right'), 0x8a);
  assert.equal(await connect(null), 0x8a, 'a user that the transport has proved');
  assert.equal(await connect(null, 'bob'), 0);
  assert.equal(await logIn(engine, 'ann', 'right', BAD), 5, 'over MQTT too');
  await engine.stop();
});

test('whoever else finds out that somebody is not who he says tells it by loginFailed', async () => {
  const { engine } = await scene();
  const { environment } = engine.broker;
  const party = { id: '', remote: BAD, username: 'ann', transport: 'mqtts', version: 0 };
  for (let i = 0; i < 3; i++) assert.equal(loginFailed(environment, party, { username: 'ann', method: 'psk' }), 0);
  assert.equal(await logIn(engine, 'ann', 'right', BAD), 5);
  await engine.stop();
});

test('limits.lockout_entries: what is forgotten is counted and told', async () => {
  const { engine, told } = await scene({ lockoutEntries: 2 });
  for (let i = 0; i < 4; i++) await guess(engine, `user ${i}`, `192.0.2.${i}:1`);
  assert.equal(engine.broker.counters.forgottenFailures, 6);
  assert.match(told.at(-1) ?? '', /^limits\.lockout_entries: /);
  await engine.stop();
});
