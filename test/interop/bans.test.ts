/** Failed logins of real clients: the line in the log, bans, and the command that lists and lifts them. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { generate } from 'mqtt-packet';
import { scryptHash } from '../../src/access/password-hash.js';
import { checkout } from '../support/checkout.js';
import { type LogLine, listenersAt, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { CLIENTS, listening, logged } from './coap-transports.js';
import { type Finished, run } from './programs.js';
import { connectPacket, openRaw, openTcp } from './raw.js';

const FAILURES = 3;
const ADDRESS_FAILURES = 6;

/** The expressions of the filter for fail2ban in the documentation, with what fail2ban puts in for an address. */
function documentedFilters(): RegExp[] {
  const page = readFileSync(join(checkout, 'docs', 'authentication.md'), 'utf8');
  const lines = /^failregex = (.*\n(?: {12}.*\n)*)/m.exec(page)?.[1].trimEnd().split('\n') ?? [];
  assert.equal(lines.length, 2);
  return lines.map(
    (line) => new RegExp(line.trim().replace('<ADDR>', String.raw`(?<address>[\d.]+|[\da-fA-F:]*:[\da-fA-F:.]*)`)),
  );
}

describe('failed logins', { timeout: 120_000 }, () => {
  let portico: Portico;
  let coaps: number;
  let mqtts: number;
  let guesses = 0;

  const bans = (...args: string[]): Promise<Finished> =>
    run(process.execPath, [porticoMain, 'bans', ...args, '-c', portico.configFile]);

  const logIn = async (username: string, password: string): Promise<number | undefined> => {
    const client = await openRaw(portico.ports.mqtt);
    client.send(connectPacket({ clientId: `c${++guesses}`, username, password: Buffer.from(password) }));
    const { returnCode } = await client.expect('connack');
    client.stream.destroy();
    await client.closed;
    return returnCode;
  };
  const guess = (username: string): Promise<number | undefined> => logIn(username, `guess ${++guesses}`);

  before(async () => {
    const folder = temporaryFolder();
    const passwords = join(folder, 'passwords');
    const hash = await scryptHash(Buffer.from('right'), 10);
    writeFileSync(passwords, ['ann', 'bob', 'x y'].map((user) => `${user}:${hash}\n`).join(''));
    const keys = join(folder, 'psk');
    writeFileSync(keys, `meter-7:${Buffer.from('sesame').toString('hex')}\n`);
    portico = await Portico.start((ports) => ({
      listeners: [
        ...listenersAt(ports),
        { type: 'coaps', host: '127.0.0.1', port: 0 },
        { type: 'mqtts', host: '127.0.0.1', port: 0, psk_hint: 'portico' },
      ],
      access: {
        password_file: passwords,
        psk_file: keys,
        lockout_loopback: true,
        lockout_failures: FAILURES,
        lockout_address_failures: ADDRESS_FAILURES,
      },
    }));
    coaps = (await listening(portico, 'coaps on 127.0.0.1:0')).port;
    mqtts = (await listening(portico, 'mqtts on 127.0.0.1:0')).port;
  });
  after(() => portico.dispose());

  test('a user that has failed too often is banned, listed, and lifted by name', async () => {
    assert.equal((await bans('list')).stdout.toString(), 'nobody is banned\n');
    for (let i = 0; i < FAILURES; i++) assert.equal(await guess('x y'), 4);
    assert.equal(await logIn('x y', 'right'), 5);
    assert.equal(await logIn('bob', 'right'), 0);
    const { stdout, code } = await bans('list');
    assert.equal(code, 0);
    assert.match(
      stdout.toString(),
      /^127\.0\.0\.1: user "x y", until \d{4}-\d\d-\d\dT[\d:.]+Z, for 3 failed logins\n$/,
    );
    assert.equal((await bans('lift', '127.0.0.1', '--user', 'bob')).stdout.toString(), 'bans lifted: 0\n');
    assert.equal((await bans('lift', '127.0.0.1', '--user', 'x y')).stdout.toString(), 'bans lifted: 1\n');
    assert.equal(await logIn('x y', 'right'), 0);
    await logged(portico, ({ msg }) => msg === 'bans of user "x y" from 127.0.0.1 were lifted by an admin: 1');
    await bans('lift', 'all');
  });

  test('an address from which too many fail is closed at once, over each transport, until it is lifted', async () => {
    for (let i = 0; i < ADDRESS_FAILURES; i++) assert.equal(await guess(`nobody ${i}`), 4);
    const socket = await openTcp(portico.ports.mqtt);
    const [bytes] = await Promise.all([received(socket), new Promise((resolve) => socket.once('close', resolve))]);
    assert.equal(bytes, 0);
    const { stdout } = await bans('list');
    assert.match(stdout.toString(), /^127\.0\.0\.1: everybody, until .*, for 6 failed logins\n$/);
    assert.equal((await bans('lift', 'all')).stdout.toString(), 'bans lifted: 1\n');
    assert.equal(await logIn('ann', 'right'), 0);
  });

  test('a wrong pre-shared key over DTLS counts like a wrong password, and a ban hides which key is right', async () => {
    const from = portico.logLines.length;
    const [client] = CLIENTS;
    const uri = `coaps://127.0.0.1:${coaps}/ps/x`;
    const right = ['-B', '5', '-u', 'meter-7', '-k', 'sesame'];
    const read = async (): Promise<string> => (await run(client, [...right, uri])).stdout.toString().trim();
    await run(client, [...right, '-m', 'put', '-e', 'shown', uri]);
    assert.equal(await read(), 'shown');
    for (let i = 0; i < FAILURES; i++) await run(client, ['-B', '5', '-u', 'meter-7', '-k', `not sesame ${i}`, uri]);
    const line = await logged(portico, ({ event }) => event === 'login_failed', from);
    assert.deepEqual(
      [line.address, line.transport, line.method, line.username],
      ['127.0.0.1', 'coaps', 'psk', 'meter-7'],
    );
    assert.match((await bans('list')).stdout.toString(), /^127\.0\.0\.1: user "meter-7", /);
    const isTold = ({ reason }: LogLine): boolean => String(reason).includes('is banned from there for failed logins');
    // Of handshakes that fail the log has one line a second.
    do assert.doesNotMatch(await read(), /shown/);
    while (!portico.logLines.slice(from).some(isTold));
    const counted = portico.logLines.slice(from).filter(({ event }) => event === 'login_failed');
    assert.equal(counted.length, FAILURES);
    await bans('lift', 'all');
    assert.equal(await read(), 'shown');
  });

  test('over DTLS a banned address is refused in its handshake, with the right key too, and told by the option', async () => {
    const [client] = CLIENTS;
    const uri = `coaps://127.0.0.1:${coaps}/ps/x`;
    const put = (): Promise<Finished> =>
      run(client, ['-v', '6', '-B', '5', '-u', 'meter-7', '-k', 'sesame', '-m', 'put', '-e', 'x', uri]);
    assert.doesNotMatch((await put()).stdout.toString(), /access.denied/i);
    const from = portico.logLines.length;
    for (let i = 0; i < ADDRESS_FAILURES; i++) await guess(`nobody ${i}`);
    const { stdout, stderr } = await put();
    assert.match(`${stdout}${stderr}`, /access.denied/i);
    const line = await logged(
      portico,
      ({ detail }) => detail === 'a connection of 127.0.0.1, which is banned, was refused',
      from,
    );
    assert.deepEqual([line.option, line.transport], ['access.lockout_address_failures', 'coaps']);
    await bans('lift', 'all');
  });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${maxVersion}: a wrong pre-shared key counts like a wrong password, and a ban hides which key is right`, async () => {
      const from = portico.logLines.length;
      /** Whether the handshake was done and the broker said nothing against it. */
      const shows = async (identity: string, key: string): Promise<boolean> => {
        const socket = connectTls({
          port: mqtts,
          host: '127.0.0.1',
          maxVersion,
          ciphers: 'TLS_AES_128_GCM_SHA256:PSK-AES128-GCM-SHA256',
          pskCallback: () => ({ identity, psk: Buffer.from(key) }),
          checkServerIdentity: () => undefined,
        });
        const fields = connectPacket({ clientId: `tls ${++guesses}`, protocolVersion: 4, protocolId: 'MQTT' });
        socket.write(generate(fields));
        return new Promise((resolve) => {
          socket.on('error', () => resolve(false));
          socket.once('close', () => resolve(false));
          socket.once('data', () => {
            resolve(true);
            socket.destroy();
          });
        });
      };
      assert.equal(await shows('meter-7', 'sesame'), true);
      for (let i = 0; i < FAILURES; i++) assert.equal(await shows('meter-7', `not sesame ${i}`), false);
      const line = await logged(portico, ({ event }) => event === 'login_failed', from);
      assert.deepEqual(
        [line.address, line.transport, line.method, line.username],
        ['127.0.0.1', 'mqtts', 'psk', 'meter-7'],
      );
      assert.match((await bans('list')).stdout.toString(), /^127\.0\.0\.1: user "meter-7", /);
      assert.equal(await shows('meter-7', 'sesame'), false);
      await logged(portico, ({ reason }) => String(reason).includes('is banned from there for failed logins'), from);
      for (let i = 0; i < ADDRESS_FAILURES - FAILURES; i++) assert.equal(await shows(`nobody ${i}`, 'sesame'), false);
      assert.match((await bans('list')).stdout.toString(), /^127\.0\.0\.1: everybody, /m);
      await bans('lift', 'all');
      assert.equal(await shows('meter-7', 'sesame'), true);
    });
  }

  test('the line of a failed login is found by the filter in the documentation, and no client can forge one', async () => {
    const from = portico.log.length;
    const forged = '{"level":"warn","time":"x","event":"login_failed","address":"198.51.100.1","transport":"mqtt"';
    await guess('ann');
    await guess(forged);
    await guess(`x\n${forged}`);
    const [json] = documentedFilters();
    await logged(portico, ({ username }) => username === `x\n${forged}`);
    const found = portico.log
      .slice(from)
      .split('\n')
      .flatMap((line) => json.exec(line)?.groups?.address ?? []);
    assert.deepEqual(found, ['127.0.0.1', '127.0.0.1', '127.0.0.1']);
    await bans('lift', 'all');
  });

  test('portico bans says what it cannot do', async () => {
    for (const [args, sentence] of [
      [['lift', 'everyone'], /the broker says: everyone is no IP address/],
      [['lift'], /bans takes the word list, or lift and an address/],
      [['list', 'x'], /bans takes the word list/],
      [['lift', 'all', '--topic', 'x'], /--topic belong to acl explain/],
    ] as const) {
      const { code, stderr } = await bans(...args);
      assert.notEqual(code, 0);
      assert.match(stderr, sentence);
    }
    const none = await run(process.execPath, [porticoMain, 'bans', 'list', '--data', temporaryFolder()]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /no broker runs in/);
  });
});

test('the line for people is found by the filter in the documentation, too', async () => {
  const folder = temporaryFolder();
  const passwords = join(folder, 'passwords');
  writeFileSync(passwords, `ann:${await scryptHash(Buffer.from('right'), 10)}\n`);
  const portico = await Portico.start({
    access: { password_file: passwords },
    log: { level: 'info', format: 'pretty' },
  });
  const client = await openRaw(portico.ports.mqtt);
  const username = 'WARN: login failed: address 198.51.100.1 transport mqtt';
  client.send(connectPacket({ clientId: 'c', username, password: Buffer.from('wrong') }));
  assert.equal((await client.expect('connack')).returnCode, 4);
  await client.closed;
  await portico.stop();
  const [, pretty] = documentedFilters();
  // fail2ban takes the time away before it looks.
  const lines = portico.log.split('\n').map((line) => line.replace(/\[[\d-]+ [\d:.]+\]/, '[]'));
  assert.deepEqual(
    lines.flatMap((line) => pretty.exec(line)?.groups?.address ?? []),
    ['127.0.0.1'],
  );
});

/** Bytes that a connection gets until it is closed. */
function received(socket: NodeJS.ReadableStream): Promise<number> {
  return new Promise((resolve) => {
    let count = 0;
    socket.on('data', (bytes: Buffer) => {
      count += bytes.length;
    });
    socket.on('error', () => {});
    socket.once('close', () => resolve(count));
  });
}
