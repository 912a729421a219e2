import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, pbkdf2Sync, randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PasswordFile } from '../../src/access/password-file.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();
let count = 0;

function fileWith(text: string): string {
  const file = join(folder, `passwords-${++count}`);
  writeFileSync(file, text);
  return file;
}

/** Runs Debian's mosquitto_passwd. */
function mosquittoPasswd(...args: string[]): void {
  const { status, stderr, error } = spawnSync('mosquitto_passwd', args, { encoding: 'utf8' });
  assert.equal(status, 0, `mosquitto_passwd: ${error?.message ?? stderr}; sudo apt-get install -y mosquitto`);
}

function pbkdf2(password: string, iterations: number): string {
  const salt = randomBytes(12);
  const hash = pbkdf2Sync(password, salt, iterations, 64, 'sha512');
  return `$7$${iterations}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

function sha512(password: string): string {
  const salt = randomBytes(12);
  const hash = createHash('sha512').update(password).update(salt).digest('base64');
  return `$6$${salt.toString('base64')}$${hash}`;
}

/** The lines of the refusal that loading must end in, with the name of the file taken away. */
async function faultsOf(file: string): Promise<string[]> {
  const outcome = await PasswordFile.load(file).catch((error: unknown) => error);
  assert.ok(outcome instanceof PorticoError, 'the file was accepted');
  assert.equal(outcome.kind, ErrorKinds.SecurityFile);
  assert.equal(outcome.kind.exitCode, 3);
  return outcome.message.split('\n').map((line) => line.replace(file, 'FILE'));
}

test('passwords written by mosquitto_passwd are known, and no others', async () => {
  const file = join(folder, 'real');
  mosquittoPasswd('-c', '-b', file, 'alice', 'secret');
  mosquittoPasswd('-b', file, 'bob', 'pässwörd € 🔑');
  mosquittoPasswd('-H', 'sha512', '-b', file, 'carol', 'old style');
  mosquittoPasswd('-b', file, 'dave', 'x'.repeat(500));
  assert.match(readFileSync(file, 'utf8'), /^alice:\$7\$[\s\S]*^carol:\$6\$/m);
  const passwords = await PasswordFile.load(file);
  assert.equal(passwords.size, 4);
  assert.equal(await passwords.verify('alice', 'secret'), true);
  assert.equal(await passwords.verify('alice', Buffer.from('secret')), true);
  assert.equal(await passwords.verify('bob', 'pässwörd € 🔑'), true);
  assert.equal(await passwords.verify('carol', 'old style'), true);
  assert.equal(await passwords.verify('dave', 'x'.repeat(500)), true);
  for (const [user, password] of [
    ['alice', 'Secret'],
    ['alice', ''],
    ['alice', 'old style'],
    ['carol', 'secret'],
    ['carol', ''],
    ['Alice', 'secret'],
    ['', 'secret'],
    ['mallory', 'secret'],
    ['constructor', 'secret'],
  ]) {
    assert.equal(await passwords.verify(user, password), false, `${user} ${password}`);
  }
});

test('a file hashed by mosquitto_passwd -U is read', async () => {
  const file = fileWith('alice:secret\nbob:other\n');
  chmodSync(file, 0o600);
  mosquittoPasswd('-U', file);
  const passwords = await PasswordFile.load(file);
  assert.equal(await passwords.verify('bob', 'other'), true);
  assert.equal(await passwords.verify('bob', 'secret'), false);
});

test('both kinds of hash, any number of iterations, comments, blank lines and Windows line ends are read', async () => {
  const lines = [
    '# users',
    '',
    `a:${pbkdf2('p', 1)}`,
    `b b:${pbkdf2('p', 5000)}`,
    '  ',
    `c:${sha512('p')}`,
    `d$:${sha512('')}`,
  ];
  for (const end of ['\n', '\r\n']) {
    const passwords = await PasswordFile.load(fileWith(lines.join(end)));
    assert.equal(passwords.size, 4);
    for (const user of ['a', 'b b', 'c']) assert.equal(await passwords.verify(user, 'p'), true, user);
    assert.equal(await passwords.verify('d$', ''), true);
  }
});

test('an empty file knows nobody', async () => {
  const passwords = await PasswordFile.load(fileWith('# nobody yet\n'));
  assert.equal(passwords.size, 0);
  assert.equal(await passwords.verify('alice', 'secret'), false);
});

test('every fault is reported with its line, and never with what stood there', async () => {
  const good = pbkdf2('p', 101);
  const [, , , salt, hash] = good.split('$');
  const cases: [line: string, fault: string][] = [
    ['alice', 'the line is not user:hash'],
    [`:${good}`, 'the line is not user:hash'],
    ['alice:hunter2', 'the password is not hashed; mosquitto_passwd -U FILE hashes it'],
    ['alice:', 'the password is not hashed; mosquitto_passwd -U FILE hashes it'],
    ['alice:$argon2id$v=19$x$y', 'the kind of hash is unknown; known are $7$ (sha512-pbkdf2) and $6$ (sha512)'],
    [`alice:$7$${salt}$${hash}`, 'the hash is not $7$iterations$salt$hash'],
    [`alice:$6$101$${salt}$${hash}`, 'the hash is not $6$salt$hash'],
    [`alice:$7$0$${salt}$${hash}`, 'the number of iterations must be a whole number from 1 to 1000000'],
    [`alice:$7$-1$${salt}$${hash}`, 'the number of iterations must be a whole number from 1 to 1000000'],
    [`alice:$7$1e3$${salt}$${hash}`, 'the number of iterations must be a whole number from 1 to 1000000'],
    [`alice:$7$1000001$${salt}$${hash}`, 'the number of iterations must be a whole number from 1 to 1000000'],
    [`alice:$7$99999999999$${salt}$${hash}`, 'the number of iterations must be a whole number from 1 to 1000000'],
    [`alice:$7$101$$${hash}`, 'the salt is not base64'],
    [`alice:$7$101$*$${hash}`, 'the salt is not base64'],
    [`alice:$7$101$${salt}$${hash.slice(0, -4)}`, 'the hash is not 64 bytes in base64'],
    [`alice:$7$101$${salt}$${hash}!`, 'the hash is not 64 bytes in base64'],
    [`alice:$6$${salt}$`, 'the hash is not 64 bytes in base64'],
  ];
  for (const [line, fault] of cases)
    assert.deepEqual(await faultsOf(fileWith(`# one\n${line}\n`)), [`FILE:2: ${fault}`]);
  assert.deepEqual(await faultsOf(fileWith(`x\nalice:${good}\ny:z\nalice:${good}\n`)), [
    'FILE:1: the line is not user:hash',
    'FILE:3: the password is not hashed; mosquitto_passwd -U FILE hashes it',
    'FILE:4: user alice is already on line 2',
  ]);
});

test('a file that cannot be read is named', async () => {
  const missing = join(folder, 'missing');
  assert.deepEqual(await faultsOf(missing), ['FILE: the password file cannot be read: there is none of that name']);
  assert.deepEqual(await faultsOf(folder), ['FILE: the password file cannot be read: it is a folder']);
});

test('an unknown user is hashed like a known one: the event loop goes on, and as much is computed', async () => {
  const passwords = await PasswordFile.load(fileWith(`alice:${pbkdf2('p', 50_000)}\n`));
  const used = async (user: string): Promise<number> => {
    const before = process.cpuUsage();
    let turns = 0;
    const count = (): void => {
      turns++;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    await passwords.verify(user, 'wrong');
    clearImmediate(timer);
    assert.ok(turns > 1, 'the event loop stood still');
    return process.cpuUsage(before).user;
  };
  // Least of five: what others do on this machine only adds.
  const least = async (user: string): Promise<number> => {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5; i++) best = Math.min(best, await used(user));
    return best;
  };
  const [known, unknown] = [await least('alice'), await least('mallory')];
  assert.ok(unknown > known / 2 && unknown < known * 2, `known ${known} us, unknown ${unknown} us`);
});

test('many verifications at once all end, and each with its own answer', async () => {
  const passwords = await PasswordFile.load(fileWith(`a:${pbkdf2('p', 1000)}\nb:${sha512('q')}\n`));
  const attempts = Array.from({ length: 200 }, (_, i) =>
    passwords.verify(i % 2 === 0 ? 'a' : 'b', i % 3 === 0 ? 'p' : 'q'),
  );
  const answers = await Promise.all(attempts);
  answers.forEach((answer, i) => {
    assert.equal(answer, i % 2 === 0 ? i % 3 === 0 : i % 3 !== 0, String(i));
  });
});
