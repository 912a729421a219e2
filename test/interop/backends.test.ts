/** The broker as a process, with tokens and a server of logins, and clients that others wrote. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { json, LoginServer } from '../support/login-server.js';
import { Portico, temporaryFolder } from '../support/portico.js';
import { ecPair, jwksOf, signedBy, tokenWith } from '../support/tokens.js';
import { Changing, OVER_BADLY } from './changing.js';
import { logged } from './coap-transports.js';
import { MQTT_VERSIONS, tryPublish } from './mosquitto.js';
import { SysWatch } from './sys.js';

const SECRET = Buffer.from('a secret of 32 bytes, or of more');
const OTHER = Buffer.from('another secret, as long as that!');
const soon = (seconds = 3600): number => Math.floor(Date.now() / 1000) + seconds;
const hs = (sub: string, more: object = {}, secret = SECRET): string =>
  tokenWith({ alg: 'HS256' }, { sub, exp: soon(), ...more }, secret);

const LIST = `
roles:
  all: [{ allow: [publish, receive], topic: '#' }]
groups:
  staff: { roles: [all] }
everyone:
  rules: [{ allow: publish, topic: 'mine/%u' }]
`;

const publishing = (topic: string, user: string, password: string): string[] => [
  ...['-q', '1', '-t', topic, '-m', 'x'],
  ...['-u', user, '-P', password],
];

describe('tokens with a secret, and a server of logins', { timeout: 120_000 }, () => {
  let server: LoginServer;
  let scene: Changing;
  let secret: string;

  before(async () => {
    const folder = temporaryFolder();
    secret = join(folder, 'secret');
    const list = join(folder, 'acl.yaml');
    writeFileSync(secret, SECRET, { mode: 0o600 });
    writeFileSync(list, LIST, { mode: 0o600 });
    server = await LoginServer.start();
    server.answering = (asked, response) => {
      const { username, password } = JSON.parse(asked.body);
      const allowed = username === 'hal' && password === 'open';
      json(allowed ? { result: 'allow', is_superuser: true } : { result: 'deny' })(asked, response);
    };
    const access = { jwt_secret_file: secret, jwt_groups_claim: 'groups', http_url: server.url, acl: list };
    scene = await Changing.of(await Portico.start({ access, allow_anonymous: false }));
  });
  after(async () => {
    await scene.portico.dispose();
    await server.close();
  });

  const connect = (options: IClientOptions): Promise<MqttClient> =>
    connectAsync(`mqtt://127.0.0.1:${scene.portico.ports.mqtt}`, {
      reconnectPeriod: 0,
      protocolVersion: 5,
      ...options,
    });

  for (const version of MQTT_VERSIONS) {
    test(`-V ${version}: mosquitto_pub with a token, and with a password that the server knows, may connect; others may not`, async () => {
      const { mqtt } = scene.portico.ports;
      for (const who of [
        ['ann', hs('ann')],
        ['hal', 'open'],
      ]) {
        const { code, stderr } = await tryPublish(mqtt, version, publishing(`mine/${who[0]}`, who[0], who[1]));
        assert.equal(code, 0, stderr);
      }
      for (const who of [
        ['bob', hs('ann')],
        ['ann', hs('ann', { exp: soon(-3600) })],
        ['ann', hs('ann', {}, OTHER)],
        ['ann', tokenWith({ alg: 'none' }, { sub: 'ann', exp: soon() }, null)],
        ['hal', 'wrong'],
      ]) {
        const { code, stderr } = await tryPublish(mqtt, version, publishing('mine/ann', who[0], who[1]));
        assert.notEqual(code, 0, who.join(' '));
        assert.match(stderr, /not authori[sz]ed|bad user ?name or password/i, who.join(' '));
      }
    });
  }

  test('a group of the token gives its rights, and so does is_superuser', async () => {
    const staff = await connect({ username: 'ann', password: hs('ann', { groups: ['staff'] }) });
    assert.deepEqual((await staff.subscribeAsync('any', { qos: 1 }))[0].qos, 1);
    const plain = await connect({ username: 'ann', password: hs('ann'), clientId: 'plain' });
    await assert.rejects(plain.subscribeAsync('any', { qos: 1 }));
    const hal = await connect({ username: 'hal', password: 'open' });
    const got = new Promise<string>((resolve) => staff.once('message', (topic) => resolve(topic)));
    await hal.publishAsync('any', 'x', { qos: 1 });
    assert.equal(await got, 'any');
    for (const client of [staff, plain, hal]) await client.endAsync();
  });

  test('a client whose token expires is disconnected with 0x87', async () => {
    // It is good for access.jwt_leeway.
    const client = await connect({ username: 'ann', password: hs('ann', { exp: soon(0) }) });
    const reasonCode = await new Promise((resolve) =>
      client.once('disconnect', (packet) => resolve(packet.reasonCode)),
    );
    assert.equal(reasonCode, 0x87);
    await client.endAsync(true);
    await logged(scene.portico, ({ msg }) => msg.includes('its token has expired'));
  });

  test('a server that is gone lets nobody in, and $SYS and the log say so', async () => {
    const { answering } = server;
    server.answering = (_asked, response) => response.writeHead(500).end();
    await assert.rejects(connect({ username: 'eve', password: 'x' }), /Server unavailable/);
    await logged(scene.portico, ({ msg }) => msg.includes('it answers with status 500'));
    server.answering = answering;
    const sys = await SysWatch.start(scene.portico.ports.mqtt, { username: 'hal', password: 'open' });
    const value = await sys.now();
    for (const name of ['connections/refused/unidentified', 'logins/http/failures']) assert.ok(value(name) >= 1, name);
    await sys.end();
  });

  test('no password and no token is in the log', async () => {
    await assert.rejects(connect({ username: 'eve', password: 'a-password-of-eve' }));
    await assert.rejects(connect({ username: 'bob', password: hs('ann') }));
    await logged(scene.portico, ({ msg }) => msg.includes('the claim sub is another'));
    for (const secretText of ['a-password-of-eve', SECRET.toString(), hs('ann').split('.')[0]]) {
      assert.ok(!scene.portico.log.includes(secretText), secretText);
    }
  });

  test('SIGHUP: another secret counts for who comes then; a fault in it leaves what there was', async () => {
    const before = await scene.connect('ann', hs('ann'), 5);
    assert.equal(before.code, 0);
    writeFileSync(secret, 'short');
    assert.equal((await scene.reload()).at(-1), OVER_BADLY);
    assert.equal((await scene.connect('ann', hs('ann'), 5)).code, 0);
    writeFileSync(secret, OTHER);
    const lines = await scene.reload();
    assert.ok(
      lines.some((line) => line.includes('access.jwt_secret_file: what is in')),
      lines.join('\n'),
    );
    assert.equal((await scene.connect('ann', hs('ann'), 5)).code, 0x86);
    assert.equal((await scene.connect('ann', hs('ann', {}, OTHER), 5)).code, 0);
    before.send({ cmd: 'pingreq' });
    await before.expect('pingresp');
  });
});

describe('files of back-ends', { timeout: 60_000 }, () => {
  let scene: Changing;
  let server: LoginServer;
  let folder: string;
  const [old, young] = [ecPair('old'), ecPair('young')];
  const token = (pair: typeof old): string => signedBy(pair, 'ES256', { sub: 'ann', exp: soon() });
  const at = (name: string): string => join(folder, name);

  /** A version of the files as Kubernetes has it: a folder of its own, to which the links lead from one moment to the next. */
  function renew(name: string, keys: string, bearer: string): void {
    mkdirSync(at(name));
    writeFileSync(at(`${name}/jwks.json`), keys, { mode: 0o640 });
    writeFileSync(at(`${name}/token`), bearer, { mode: 0o640 });
    symlinkSync(name, at('..data_tmp'));
    renameSync(at('..data_tmp'), at('..data'));
  }

  before(async () => {
    folder = temporaryFolder();
    renew('..v1', jwksOf(old), 'first');
    for (const name of ['jwks.json', 'token']) symlinkSync(`..data/${name}`, at(name));
    server = await LoginServer.start();
    const access = {
      ...{ jwt_jwks_file: at('jwks.json'), http_url: server.url, http_token_file: at('token') },
      ...{ http_cache: 3600, http_concurrency: 1 },
    };
    scene = await Changing.of(await Portico.start({ access }));
  });
  after(async () => {
    await scene.portico.dispose();
    await server.close();
  });

  test('they are taken without a reload once their links lead to others; nobody is disconnected, and no question is lost', async () => {
    const ann = await scene.connect('ann', token(old), 5);
    assert.equal(ann.code, 0);
    assert.equal((await scene.connect('ann', token(young), 5)).code, 0x86);
    assert.equal((await scene.connect('hal', 'open', 5)).code, 0);
    assert.equal(server.asked.at(-1)?.headers.authorization, 'Bearer first');

    // One question is under way, another one waits for its end.
    const { answering } = server;
    const held: (() => void)[] = [];
    server.answering = (asked, response) => held.push(() => answering(asked, response));
    const before = server.asked.length;
    const waiting = ['eve', 'joe'].map((name) => scene.connect(name, 'open', 5));
    await server.askedTimes(before + 1);
    const mark = scene.portico.logLines.length;
    renew('..v2', jwksOf(young), 'second');
    await logged(scene.portico, ({ msg }) => msg === 'access: new secrets and keys of back-ends are in force', mark);
    server.answering = answering;
    for (const answer of held) answer();
    for (const client of await Promise.all(waiting)) assert.equal(client.code, 0);

    assert.equal((await scene.connect('ann', token(young), 5)).code, 0);
    assert.equal((await scene.connect('ann', token(old), 5)).code, 0x86);
    assert.equal((await scene.connect('hal', 'open', 5)).code, 0);
    assert.equal(server.asked.at(-1)?.headers.authorization, 'Bearer second', 'known answers are forgotten');
    ann.send({ cmd: 'pingreq' });
    await ann.expect('pingresp');
  });

  test('what is wrong with them leaves what there was, and is told and counted', async () => {
    const mark = scene.portico.logLines.length;
    renew('..v3', 'no JSON', 'second');
    const { msg } = await logged(scene.portico, (line) => /stay in force$/.test(line.msg), mark);
    assert.ok(msg.startsWith(at('jwks.json')) && msg.includes('it is not JSON'), msg);
    assert.ok(msg.endsWith('; the former secrets and keys of back-ends stay in force'), msg);
    assert.equal((await scene.connect('ann', token(young), 5)).code, 0);
    const sys = await SysWatch.start(scene.portico.ports.mqtt, { username: 'hal', password: 'open' });
    const value = await sys.now();
    assert.deepEqual([value('certificates/renewed'), value('certificates/refused')], [1, 1]);
    await sys.end();
  });
});

describe('CAs of the servers that back-ends ask', { timeout: 60_000 }, () => {
  test('days left are in $SYS, and the log warns of each that has few, until another one is there', async () => {
    const folder = temporaryFolder();
    const make = (name: string, days: string): string => {
      const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`];
      const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
      execFileSync('openssl', ['req', '-x509', ...kind, '-days', days, ...files], { cwd: folder, stdio: 'ignore' });
      return join(folder, `${name}.pem`);
    };
    const [logins, keys] = [make('logins', '4'), make('keys', '21')];
    const portico = await Portico.start({
      allow_anonymous: true,
      access: {
        ...{ http_url: 'https://127.0.0.1:1/login', http_ca_file: logins },
        ...{ jwt_jwks_url: 'https://127.0.0.1:1/keys', jwt_jwks_ca_file: keys },
      },
    });
    try {
      await logged(portico, ({ msg }) =>
        msg.startsWith(`access.http_ca_file: ${logins}: the certificate of a CA in it expires in 3 days`),
      );
      await logged(portico, ({ msg }) =>
        msg.startsWith(`access.jwt_jwks_ca_file: ${keys}: the certificate of a CA in it expires in 20 days`),
      );
      const sys = await SysWatch.start(portico.ports.mqtt);
      const value = await sys.now();
      assert.deepEqual([value('certificates/http_ca_days_left'), value('certificates/jwks_ca_days_left')], [3, 20]);
      renameSync(make('next', '300'), logins);
      await sys.until('certificates/http_ca_days_left', (days) => days === 299, 'is that of the new one');
      await sys.end();
    } finally {
      await portico.dispose();
    }
  });
});

describe('tokens with keys from a URL', { timeout: 60_000 }, () => {
  test('keys are fetched, changed ones too; clients of tokens are sent away when no token is taken any more', async () => {
    const [old, young] = [ecPair('old'), ecPair('young')];
    const server = await LoginServer.start();
    server.answering = (_asked, response) => response.end(jwksOf(old));
    const scene = await Changing.of(await Portico.start({ access: { jwt_jwks_url: server.url } }));
    try {
      const token = (pair = old): string => signedBy(pair, 'ES256', { sub: 'ann', exp: soon() });
      const ann = await scene.connect('ann', token(), 5);
      assert.equal(ann.code, 0);
      assert.equal((await scene.connect('ann', token(young), 5)).code, 0x86);
      server.answering = (_asked, response) => response.end(jwksOf(young));
      await scene.reload();
      assert.equal((await scene.connect('ann', token(young), 5)).code, 0, 'a reload forgets the keys');
      scene.write({ access: {} });
      await scene.reload();
      assert.equal((await ann.expect('disconnect')).reasonCode, 0x87);
      assert.equal((await scene.connect('ann', 'anything', 5)).code, 0, 'anyone on this machine may connect again');
    } finally {
      await scene.portico.dispose();
      await server.close();
    }
  });
});
