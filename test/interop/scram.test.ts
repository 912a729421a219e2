/** SCRAM-SHA-256 from the command that makes the credentials to a client that logs in with them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import mqtt, { type IConnackPacket } from 'mqtt';
import type { IAuthPacket } from 'mqtt-packet';
import { freePorts, listenersAt, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { ScramClient } from '../support/scram-client.js';
import { Changing } from './changing.js';
import { type Finished, run, sourceFile } from './programs.js';
import { connectPacket, openRaw, openWebSocket, type RawClient } from './raw.js';

const NAME = 'SCRAM-SHA-256';
const LINE = /^[^:]+:SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=\n$/;

/** `portico scram NAME` with this standard input. */
function porticoScram(args: readonly string[], input: string | Buffer): Promise<Finished> {
  return run(process.execPath, [porticoMain, 'scram', ...args], input);
}

function auth(reasonCode: number, authenticationData: Buffer): IAuthPacket {
  return { cmd: 'auth', reasonCode, properties: { authenticationMethod: NAME, authenticationData } };
}

/** CONNECT and the exchange on a raw connection; returns CONNACK. */
async function logIn(client: RawClient, clientId: string, scram: ScramClient, username?: string) {
  client.send(
    connectPacket({
      clientId,
      protocolVersion: 5,
      ...(username === undefined ? {} : { username }),
      properties: { authenticationMethod: NAME, authenticationData: scram.first() },
    }),
  );
  await prove(client, scram);
  return client.expect('connack');
}

/** Answers the broker's AUTH. */
async function prove(client: RawClient, scram: ScramClient): Promise<void> {
  const { reasonCode, properties } = await client.expect('auth');
  assert.equal(reasonCode, 0x18);
  assert.ok(properties?.authenticationData);
  client.send(auth(0x18, scram.final(properties.authenticationData)));
}

describe('portico scram NAME', { timeout: 60_000 }, () => {
  test('prints a line for the file; the password comes from standard input, with or without a line end', async () => {
    for (const input of ['correct horse', 'correct horse\n', 'correct horse\r\n']) {
      const { code, stdout, stderr } = await porticoScram(['alice'], input);
      assert.equal(code, 0, stderr);
      assert.match(stdout.toString(), LINE);
      assert.ok(stdout.toString().startsWith('alice:'));
      assert.equal(stderr, '');
    }
  });

  test('refuses what cannot be a name or a password with exit code 3, and repeats neither', async () => {
    const cases: [args: string[], input: string | Buffer, sentence: RegExp][] = [
      [[], 'secret', /scram takes one word/],
      [['alice', 'secret'], '', /scram takes one word/],
      [[''], 'secret', /the name is empty/],
      [['a\u0007'], 'secret', /character that no user name may have/],
      [['a:b'], 'secret', /no colon/],
      [['#a'], 'secret', /begin with #/],
      [['a '], 'secret', /end with a space/],
      [['alice'], '', /the password is empty/],
      [['alice'], '\n', /the password is empty/],
      [['alice'], 'secret\u0007', /character that no password may have/],
      [['alice'], Buffer.from([0x73, 0xff]), /character that no password may have/],
      [['alice'], 'secret\nsecret\n', /more than one line/],
    ];
    for (const [args, input, sentence] of cases) {
      const { code, stdout, stderr } = await porticoScram(args, input);
      assert.equal(code, 3, stderr);
      assert.equal(stdout.length, 0);
      assert.match(stderr, sentence);
      assert.doesNotMatch(stderr, /secret/);
    }
  });

  test('asks twice on a terminal, and the password does not show', async () => {
    const onTerminal = async (...answers: string[]): Promise<{ shown: string; code: number }> => {
      const script = sourceFile('test/interop/python/terminal.py');
      const program = [process.execPath, porticoMain, 'scram', 'alice'];
      const { stdout } = await run('/usr/bin/python3', ['-B', script, JSON.stringify(answers), ...program]);
      const { shown, code } = JSON.parse(stdout.toString()) as { shown: string; code: number };
      assert.doesNotMatch(shown, /hunter/);
      return { shown: shown.replaceAll('\r\n', '\n'), code };
    };
    const good = await onTerminal('hunter2\r', 'huntex\u007fr2\r');
    assert.equal(good.code, 0, good.shown);
    const [first, second, line] = good.shown.split('\n');
    assert.deepEqual([first, second], ['Password of alice: ', 'The same again: ']);
    assert.match(`${line}\n`, LINE);
    const different = await onTerminal('hunter2\r', 'hunter3\r');
    assert.deepEqual([different.code, /the two passwords differ/.test(different.shown)], [3, true]);
    for (const end of ['\u0003', '\u0004']) {
      const left = await onTerminal(end);
      assert.deepEqual([left.code, /no password was given/.test(left.shown)], [3, true]);
    }
  });
});

describe('a broker with access.scram_file', { timeout: 60_000 }, () => {
  let portico: Portico;

  before(async () => {
    const file = join(temporaryFolder(), 'scram');
    let text = '# users\n';
    for (const [user, password] of [
      ['alice', 'correct horse'],
      ['bob, jr.', 'пароль'],
    ]) {
      text += (await porticoScram([user], password)).stdout;
    }
    writeFileSync(file, text);
    portico = await Portico.start({ access: { scram_file: file } });
  });
  after(() => portico.dispose());

  test('MQTT.js logs in, publishes and subscribes', async () => {
    const scram = new ScramClient('alice', 'correct horse');
    const client = mqtt.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, {
      protocolVersion: 5,
      reconnectPeriod: 0,
      properties: { authenticationMethod: NAME, authenticationData: scram.first() },
    });
    client.handleAuth = (packet, done) => {
      const { reasonCode, properties } = packet;
      if (reasonCode !== 0x18 || !properties?.authenticationData) return done(new Error(JSON.stringify(packet)));
      done(undefined, auth(0x18, scram.final(properties.authenticationData)));
    };
    const connack = await new Promise<IConnackPacket>((resolve, reject) => {
      client.once('connect', resolve);
      client.once('error', reject);
    });
    assert.equal(connack.properties?.authenticationMethod, NAME);
    assert.ok(scram.verifies(connack.properties?.authenticationData));
    const received = new Promise<string>((resolve) => {
      client.once('message', (_topic, payload) => resolve(payload.toString()));
    });
    await client.subscribeAsync('scram/js', { qos: 1 });
    await client.publishAsync('scram/js', 'in', { qos: 1 });
    assert.equal(await received, 'in');
    await client.endAsync();
  });

  test('a client logs in over TCP and WebSocket and authenticates again', async () => {
    const doors = [openRaw(portico.ports.mqtt, 5), openWebSocket(portico.ports.websocket, 5)];
    for (const client of await Promise.all(doors)) {
      const scram = new ScramClient('bob, jr.', 'пароль');
      const { reasonCode, properties } = await logIn(client, 'raw', scram, 'bob, jr.');
      assert.equal(reasonCode, 0);
      assert.ok(scram.verifies(properties?.authenticationData));
      const again = new ScramClient('bob, jr.', 'пароль', 'another-nonce');
      client.send(auth(0x19, again.first()));
      await prove(client, again);
      const end = await client.expect('auth');
      assert.equal(end.reasonCode, 0);
      assert.ok(again.verifies(end.properties?.authenticationData));
      client.send({ cmd: 'disconnect', reasonCode: 0 });
      await client.closed;
    }
  });

  test('a wrong password, another user’s name and no credentials are refused; the log says why', async () => {
    const wrong = await openRaw(portico.ports.mqtt, 5);
    assert.equal((await logIn(wrong, 'wrong', new ScramClient('alice', 'wrong horse'))).reasonCode, 0x87);
    await wrong.closed;
    const other = await openRaw(portico.ports.mqtt, 5);
    assert.equal((await logIn(other, 'other', new ScramClient('alice', 'correct horse'), 'bob')).reasonCode, 0x87);
    await other.closed;
    const plain = await openRaw(portico.ports.mqtt, 5);
    plain.send(connectPacket({ clientId: 'plain', protocolVersion: 5 }));
    assert.equal((await plain.expect('connack')).reasonCode, 0x87);
    await plain.closed;
    const password = await openRaw(portico.ports.mqtt, 4);
    password.send(connectPacket({ clientId: 'p', username: 'alice', password: Buffer.from('correct horse') }));
    assert.equal((await password.expect('connack')).returnCode, 4);
    await password.closed;
    assert.match(portico.log, /SCRAM-SHA-256: wrong password, or an unknown user/);
    assert.match(portico.log, /authenticated as alice, but CONNECT names another user/);
    assert.doesNotMatch(portico.log, /correct horse/);
  });
});

test('a SCRAM file that is missing or malformed stops the start with exit code 3', { timeout: 60_000 }, async () => {
  const folder = temporaryFolder();
  const config = join(folder, 'portico.yaml');
  const file = join(folder, 'scram');
  writeFileSync(
    config,
    `access: { scram_file: ${file} }\nlisteners: [{ type: mqtt, port: 0 }]\ndata_dir: ${folder}/d\n`,
  );
  const start = (...args: string[]): Promise<Finished> => run(process.execPath, [porticoMain, ...args, '-c', config]);
  for (const args of [[], ['check']]) {
    const { code, stderr } = await start(...args);
    assert.deepEqual(
      [code, stderr],
      [
        3,
        `portico: ${config}:1: access.scram_file: ${file}: the SCRAM file cannot be read: there is none of that name\n`,
      ],
    );
  }
  writeFileSync(file, 'alice:hunter2\n');
  for (const args of [[], ['check']]) {
    const { code, stderr } = await start(...args);
    const fault = `portico: ${file}:1: the credentials are not SCRAM-SHA-256; portico scram NAME makes such a line\n`;
    assert.deepEqual([code, stderr], [3, fault]);
  }
});

test('a reload sends away who came by SCRAM if its listener has another section then, and nobody else', async () => {
  const file = join(temporaryFolder(), 'scram');
  writeFileSync(file, (await porticoScram(['alice'], 'correct horse')).stdout);
  const other = await freePorts();
  const host = '127.0.0.1';
  let ports = { mqtt: 0, websocket: 0, coap: 0 };
  const listeners = (access?: object): object[] => [
    ...listenersAt(ports),
    { type: 'mqtt', host, port: other.mqtt, ...(access && { access }) },
  ];
  const portico = await Portico.start((own) => {
    ports = own;
    return { listeners: listeners(), access: { scram_file: file } };
  });
  try {
    const scene = await Changing.of(portico);
    const come = async (port: number, clientId: string): Promise<RawClient> => {
      const client = await openRaw(port, 5);
      const { reasonCode } = await logIn(client, clientId, new ScramClient('alice', 'correct horse'));
      assert.equal(reasonCode, 0);
      return client;
    };
    const [stays, goes] = [await come(ports.mqtt, 'stays'), await come(other.mqtt, 'goes')];
    scene.write({ listeners: listeners({ scram_file: file }) });
    const lines = await scene.reload();
    assert.ok(lines.includes('reload: clients that may not connect any more, and were sent away: 1'), lines.join('\n'));
    assert.equal((await goes.expect('disconnect')).reasonCode, 0x87);
    const back = await come(other.mqtt, 'goes');
    await scene.reload();
    for (const client of [stays, back]) {
      client.send({ cmd: 'pingreq' });
      await client.expect('pingresp');
    }
  } finally {
    await portico.dispose();
  }
});
