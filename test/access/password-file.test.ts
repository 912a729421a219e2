import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, pbkdf2Sync, randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PasswordFile } from '../../src/access/password-file.js';
import { DEFAULT_LN, LN_RANGE, scryptHash } from '../../src/access/password-hash.js';
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

function scrypt(parameters: string): string {
  return `$scrypt$${parameters}$QUFB$${'A'.repeat(43)}`;
}

const SHAPE = 'the hash is not $scrypt$ln=..,r=..,p=..$salt$hash';
const COSTLY = 'the hash takes too much to check: 2^ln * r * p may be at most 2097152';

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

test('scrypt: the vectors of RFC 7914 12, as lines of a file', async () => {
  const vectors: [user: string, cost: string, salt: string, password: string, hash: string][] = [
    ['NaCl', 'ln=10,r=8,p=16', 'NaCl', 'password', 'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162'],
    [
      'chlor',
      'ln=14,r=8,p=1',
      'SodiumChloride',
      'pleaseletmein',
      '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2',
    ],
  ];
  const base64 = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '');
  const lines = vectors.map(
    ([user, cost, salt, , hash]) =>
      `${user}:$scrypt$${cost}$${base64(Buffer.from(salt))}$${base64(Buffer.from(hash, 'hex'))}`,
  );
  const passwords = await PasswordFile.load(fileWith(lines.join('\n')));
  for (const [user, , , password] of vectors) {
    assert.equal(await passwords.verify(user, password), true, user);
    assert.equal(await passwords.verify(user, `${password}.`), false, user);
  }
});

test('what scryptHash makes is known again, with each cost that may be asked for; two are never alike', async () => {
  const password = Buffer.from([0x70, 0xff, 0x80, 0x20]);
  assert.notEqual(await scryptHash(password, 10), await scryptHash(password, 10));
  for (const ln of [LN_RANGE[0], DEFAULT_LN, LN_RANGE[1]]) {
    const line = await scryptHash(password, ln);
    assert.match(line, new RegExp(`^\\$scrypt\\$ln=${ln},r=8,p=1\\$[A-Za-z0-9+/]{22}\\$[A-Za-z0-9+/]{43}$`));
    const passwords = await PasswordFile.load(fileWith(`a:${line}\n`));
    assert.equal(await passwords.verify('a', password), true);
    assert.equal(await passwords.verify('a', 'p'), false);
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
    ['alice:hunter2', 'the password is not hashed; portico passwd -U FILE hashes it'],
    ['alice:', 'the password is not hashed; portico passwd -U FILE hashes it'],
    [
      'alice:$argon2id$v=19$x$y',
      'the kind of hash is unknown; known are $scrypt$, $7$ (sha512-pbkdf2) and $6$ (sha512)',
    ],
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
    [`alice:${scrypt('ln=21,r=1,p=1')}`, 'ln must be less than 16 times r'],
    [`alice:${scrypt('ln=16,r=1,p=1')}`, 'ln must be less than 16 times r'],
    [`alice:${scrypt('ln=19,r=8,p=1')}`, COSTLY],
    [`alice:${scrypt('ln=15,r=8,p=9')}`, COSTLY],
    [`alice:${scrypt('ln=1,r=999999999,p=999999999')}`, COSTLY],
    [`alice:${scrypt('ln=99,r=99,p=1')}`, COSTLY],
    [`alice:${scrypt('ln=0,r=8,p=1')}`, SHAPE],
    [`alice:${scrypt('ln=15,r=8')}`, SHAPE],
    [`alice:${scrypt('r=8,ln=15,p=1')}`, SHAPE],
    [`alice:${scrypt('ln=1e1,r=8,p=1')}`, SHAPE],
    [`alice:${scrypt('ln=15,r=8,p=1')}$x`, SHAPE],
    ['alice:$scrypt$', SHAPE],
    [`alice:$scrypt$ln=15,r=8,p=1$$${'A'.repeat(43)}`, 'the salt is not base64 without padding'],
    [`alice:$scrypt$ln=15,r=8,p=1$QQ==$${'A'.repeat(43)}`, 'the salt is not base64 without padding'],
    [`alice:$scrypt$ln=15,r=8,p=1$QUFB$${'A'.repeat(20)}`, 'the hash is not 16 to 64 bytes in base64 without padding'],
    [`alice:$scrypt$ln=15,r=8,p=1$QUFB$${'A'.repeat(87)}`, 'the hash is not 16 to 64 bytes in base64 without padding'],
  ];
  for (const [line, fault] of cases)
    assert.deepEqual(await faultsOf(fileWith(`# one\n${line}\n`)), [`FILE:2: ${fault}`]);
  assert.deepEqual(await faultsOf(fileWith(`x\nalice:${good}\ny:z\nalice:${good}\n`)), [
    'FILE:1: the line is not user:hash',
    'FILE:3: the password is not hashed; portico passwd -U FILE hashes it',
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
