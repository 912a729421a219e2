/** `portico passwd`: what becomes of the file. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PasswordFile } from '../../src/access/password-file.js';
import { passwd } from '../../src/cli/passwd.js';
import { type PasswdRequest, parsePasswd } from '../../src/cli/passwd-arguments.js';
import { ReplacedFile } from '../../src/cli/replaced-file.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

let count = 0;

/** A file in a folder of its own. */
function fileWith(text: string | Buffer | null, mode = 0o600): string {
  const folder = join(temporaryFolder(), String(++count));
  mkdirSync(folder);
  const file = join(folder, 'passwords');
  if (text !== null) {
    writeFileSync(file, text);
    chmodSync(file, mode);
  }
  return file;
}

/** Runs the command; returns what it says on standard error. */
async function run(...words: string[]): Promise<string> {
  const said: string[] = [];
  const write = process.stderr.write;
  process.stderr.write = (text: string | Uint8Array): boolean => said.push(String(text)) > 0;
  try {
    await passwd(parsePasswd(['--cost', '10', ...words].filter((_, i) => !(words.includes('-D') && i < 2))));
  } finally {
    process.stderr.write = write;
  }
  return said.join('');
}

function set(file: string, user: string, password: string, ...options: string[]): Promise<string> {
  return run(...options, '-b', file, user, password);
}

async function refusal(work: Promise<unknown>): Promise<PorticoError> {
  const error = await work.then(() => null).catch((reason: unknown) => reason);
  assert.ok(error instanceof PorticoError, 'it was not refused');
  return error;
}

const linesOf = (file: string): string[] => readFileSync(file, 'utf8').split('\n');

test('-c makes a file with mode 0600, and -b adds to it', async () => {
  const file = fileWith(null);
  await set(file, 'alice', 'secret', '-c');
  await set(file, 'bob', '-other');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const passwords = await PasswordFile.load(file);
  assert.equal(passwords.size, 2);
  assert.equal(await passwords.verify('alice', 'secret'), true);
  assert.equal(await passwords.verify('bob', '-other'), true);
  assert.deepEqual(readdirSync(join(file, '..')), ['passwords'], 'nothing else is left there');
});

test('without -c a file that is missing is not made', async () => {
  const file = fileWith(null);
  assert.equal((await refusal(set(file, 'a', 'b'))).message, `${file}: there is none of that name; -c makes it`);
  assert.equal((await refusal(run('-D', file, 'a'))).message, `${file}: there is none of that name`);
  assert.deepEqual(readdirSync(join(file, '..')), []);
});

test('-c over a file that is there says how many users are gone', async () => {
  const file = fileWith('# old\nann:x\nbob:y\n');
  const said = await set(file, 'carol', 'secret', '-c');
  assert.match(said, /users that were in it and are not any more: 2\n/);
  assert.equal((await PasswordFile.load(file)).size, 1);
});

test('a new password takes the place of the former one; other lines, comments and bytes stay in their order', async () => {
  const before = Buffer.concat([
    Buffer.from('# one\n\nann:x\n# caf'),
    Buffer.from([0xe9]),
    Buffer.from('\nbob:y\r\n#end'),
  ]);
  const file = fileWith(before);
  await set(file, 'ann', 'secret');
  await set(file, 'bob', 'secret');
  await set(file, 'Ann', 'secret');
  const text = readFileSync(file).toString('latin1');
  assert.match(text, /^# one\n\nann:\$scrypt\$\S+\n# caf\xe9\nbob:\$scrypt\$\S+\r\n#end\r\nAnn:\$scrypt\$\S+\r\n$/);
});

test('a user who stands there twice has one line afterwards', async () => {
  const file = fileWith('ann:x\nbob:y\nann:z\n');
  await set(file, 'ann', 'secret');
  const lines = linesOf(file);
  assert.deepEqual(
    lines.map((line) => line.split(':')[0]),
    ['ann', 'bob', ''],
  );
});

test('names in any script, with spaces and dollars within, are found again', async () => {
  const file = fileWith('');
  for (const user of ['жук', 'a b', '$7$x', 'ann.*', '🔑']) {
    await set(file, user, 'one');
    await set(file, user, 'two');
    assert.equal(await (await PasswordFile.load(file)).verify(user, 'two'), true, user);
  }
  assert.equal(linesOf(file).length, 6);
});

test('-D takes a user away and nothing else; one who is not there is told', async () => {
  const file = fileWith('# one\nann:x\nbob:y\n');
  await run('-D', file, 'ann');
  assert.equal(readFileSync(file, 'utf8'), '# one\nbob:y\n');
  assert.equal((await refusal(run('-D', file, 'ann'))).message, `${file}: there is no user ann`);
  assert.equal(readFileSync(file, 'utf8'), '# one\nbob:y\n');
});

test('-U hashes what stands in the clear and leaves the rest', async () => {
  const file = fileWith('# users\nann:se:cret \n\nbob:пароль\r\n');
  await set(file, 'carol', 'third');
  const hashed = linesOf(file).find((line) => line.startsWith('carol'));
  await run('-U', file);
  const passwords = await PasswordFile.load(file);
  for (const [user, password] of [
    ['ann', 'se:cret '],
    ['bob', 'пароль'],
    ['carol', 'third'],
  ]) {
    assert.equal(await passwords.verify(user, password), true, user);
  }
  const lines = linesOf(file);
  assert.deepEqual([lines[0], lines[2], lines[4]], ['# users', '', hashed]);
  const { ino } = statSync(file);
  await run('-U', file);
  assert.equal(statSync(file).ino, ino, 'nothing to do, nothing written');
});

test('-U changes nothing if a line cannot be hashed, and names each without its words', async () => {
  const text = 'ann:hunter2\nhunter3\nbob:\ncarol:$7$hunter4\ndave:$argon2id$hunter5\n:hunter6\n';
  const file = fileWith(text);
  const { message, kind } = await refusal(run('-U', file));
  assert.equal(kind, ErrorKinds.SecurityFile);
  assert.deepEqual(message.replaceAll(file, 'FILE').split('\n'), [
    'FILE:2: the line is not user:password',
    'FILE:3: the password is empty',
    'FILE:4: the password looks like a hash, but the hash is not $7$iterations$salt$hash',
    'FILE:5: the password looks like a hash, but the kind of hash is unknown; known are $scrypt$, $7$ (sha512-pbkdf2) and ' +
      '$6$ (sha512)',
    'FILE:6: the line is not user:password',
  ]);
  assert.equal(readFileSync(file, 'utf8'), text);
});

test('a file that is there keeps its mode and its owner; one that everybody may read is told of', async () => {
  const file = fileWith('ann:x\n', 0o640);
  const root = process.getuid?.() === 0;
  if (root) chownSync(file, 1234, 4321);
  assert.equal(await set(file, 'ann', 'secret'), '');
  const { mode, uid, gid } = statSync(file);
  assert.equal(mode & 0o777, 0o640);
  if (root) assert.deepEqual([uid, gid], [1234, 4321]);
  chmodSync(file, 0o644);
  assert.match(await set(file, 'ann', 'secret'), /everybody may read it; chmod o-r/);
  assert.equal(statSync(file).mode & 0o777, 0o644);
});

test('a symbolic link stays, and what it leads to is replaced', async () => {
  const file = fileWith('ann:x\n');
  const link = `${file}-link`;
  symlinkSync(file, link);
  await set(link, 'ann', 'secret');
  assert.match(readFileSync(file, 'utf8'), /^ann:\$scrypt\$/);
  assert.match(readFileSync(link, 'utf8'), /^ann:\$scrypt\$/);
});

test('a file that somebody changes meanwhile is not overwritten', async () => {
  for (const change of ['ann:x\nbob:y\n', null]) {
    const file = fileWith(change === null ? null : 'ann:x\n');
    const opened = await ReplacedFile.open(file);
    writeFileSync(file, change ?? 'new:x\n');
    const { message } = await refusal(opened.replace(Buffer.from('mine')));
    assert.match(message, /somebody else has changed it just now; nothing was written/);
    assert.equal(readFileSync(file, 'utf8'), change ?? 'new:x\n');
    assert.deepEqual(readdirSync(join(file, '..')), ['passwords']);
  }
});

test('what cannot be a name or a password is refused, and no sentence repeats a password', async () => {
  const file = fileWith('ann:x\n');
  for (const [user, password, sentence] of [
    ['', 'hunter2', /the user name is empty/],
    ['a\u0007', 'hunter2', /character that no user name may have/],
    ['a\nb', 'hunter2', /character that no user name may have/],
    ['a:b', 'hunter2', /no colon/],
    ['#a', 'hunter2', /begin with #/],
    [' a', 'hunter2', /no spaces around it/],
    ['a ', 'hunter2', /no spaces around it/],
    ['ann', '', /the password is empty/],
    ['ann', 'hunter2\0', /character that no password may have/],
    ['ann', 'hunter2'.repeat(10_000), /longer than 65535 bytes/],
  ] as const) {
    const { message, kind } = await refusal(set(file, user, password));
    assert.equal(kind, ErrorKinds.Configuration);
    assert.match(message, sentence);
    assert.doesNotMatch(message, /hunter/);
  }
  assert.equal(readFileSync(file, 'utf8'), 'ann:x\n');
});

test('the command line: the same options as mosquitto_passwd, and nothing of it is repeated in a fault', () => {
  const base: PasswdRequest = {
    file: 'f',
    action: 'set',
    user: 'u',
    password: null,
    create: false,
    mosquitto: false,
    cost: 14,
  };
  assert.deepEqual(parsePasswd(['f', 'u']), base);
  assert.deepEqual(parsePasswd(['-c', 'f', 'u']), { ...base, create: true });
  assert.deepEqual(parsePasswd(['-c', '-b', 'f', 'u', '-p']), { ...base, create: true, password: '-p' });
  assert.deepEqual(parsePasswd(['-b', '--mosquitto', 'f', 'u', '']), { ...base, mosquitto: true, password: '' });
  assert.deepEqual(parsePasswd(['--cost', '12', '--', '-f', 'u']), { ...base, file: '-f', cost: 12 });
  assert.deepEqual(parsePasswd(['-D', 'f', 'u']), { ...base, action: 'delete' });
  assert.deepEqual(parsePasswd(['-U', 'f']), { ...base, action: 'hash all', user: '' });
  for (const [args, sentence] of [
    [[], /it takes two words, the file and the user/],
    [['f'], /it takes two words/],
    [['f', 'u', 'hunter2'], /it takes two words/],
    [['-b', 'f', 'u'], /-b takes three words/],
    [['-b', 'f', 'u', 'hunter2', 'hunter3'], /-b takes three words/],
    [['-D', 'f'], /it takes two words/],
    [['-U', 'f', 'u'], /it takes one word, the file/],
    [['-hunter2', 'f', 'u'], /an unknown option/],
    [['--cost', 'hunter2', 'f', 'u'], /--cost takes a whole number from 10 to 18/],
    [['--cost', '19', 'f', 'u'], /--cost takes a whole number from 10 to 18/],
    [['--cost'], /--cost takes a whole number/],
    [['-c', '-D', 'f', 'u'], /-c and -D do not go together/],
    [['-c', '-U', 'f'], /-c and -U do not go together/],
    [['-b', '-D', 'f', 'u'], /-b and -D do not go together/],
    [['-D', '-U', 'f'], /-D and -U do not go together/],
    [['--mosquitto', '--cost', '12', 'f', 'u'], /--cost is of scrypt/],
    [['', 'u'], /the name of the file is empty/],
  ] as const) {
    assert.throws(
      () => parsePasswd(args),
      (error: unknown) =>
        error instanceof PorticoError &&
        error.kind === ErrorKinds.Configuration &&
        sentence.test(error.message) &&
        !error.message.includes('hunter'),
      args.join(' '),
    );
  }
});
