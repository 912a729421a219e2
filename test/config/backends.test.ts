/** What a configuration says of back-ends, and the files that it names. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Answer } from '../../src/access/backends/backend.js';
import { describeListeners } from '../../src/config/listeners.js';
import { Backends, readBackends } from '../../src/server/backends.js';
import { temporaryFolder } from '../support/portico.js';
import { ecPair, jwksOf, signedBy, tokenWith } from '../support/tokens.js';
import { load } from './configurations.js';

const folder = temporaryFolder();

function fileOf(name: string, text: string, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, text, { mode });
  chmodSync(file, mode);
  return file;
}

const SECRET = 'a secret of 32 bytes, or of more';

async function read(access: object): Promise<Backends> {
  return Backends.of(await readBackends(load(JSON.stringify({ access })).config));
}

async function ask(access: object, password: string): Promise<Answer> {
  const backends = await read(access);
  const who = { username: 'ann', clientId: 'c', remote: '127.0.0.1:1', transport: 'mqtt', version: 5 };
  const answer = await backends.ask({ ...who, password: Buffer.from(password) }, () => true);
  backends.close();
  return answer;
}

const soon = (): number => Math.floor(Date.now() / 1000) + 3600;
const hs = (secret: Uint8Array | string, alg = 'HS256'): string =>
  tokenWith({ alg }, { sub: 'ann', exp: soon() }, Buffer.from(secret));

test('without options there are no back-ends', async () => {
  assert.equal((await read({})).size, 0);
});

test('a secret is the line of its file, or what that is in base64', async () => {
  for (const [name, text] of [
    ['plain', SECRET],
    ['line', `${SECRET}\n`],
    ['crlf', `${SECRET}\r\n`],
    ['base64', `base64:${Buffer.from(SECRET).toString('base64')}\n`],
  ]) {
    const answer = await ask({ jwt_secret_file: fileOf(name, text) }, hs(SECRET));
    assert.equal(answer.outcome, 'allow', name);
  }
});

test('a secret that is missing, open to everybody, malformed or too short is a fault that does not show it', async () => {
  const fault = async (file: string, more: object, sentence: string): Promise<void> => {
    await assert.rejects(read({ jwt_secret_file: file, ...more }), (error: NodeJS.ErrnoException) => {
      assert.equal(error.code, 'PORTICO_SECURITY_FILE');
      assert.ok(error.message.startsWith(`${file}: `) && error.message.includes(sentence), error.message);
      assert.ok(!error.message.includes('secret of 32'), error.message);
      return true;
    });
  };
  await fault(join(folder, 'nowhere'), {}, 'cannot be read: there is none of that name');
  await fault(folder, {}, 'it is a folder');
  await fault(fileOf('readable', SECRET, 0o604), {}, 'everybody may read the secret of tokens');
  await fault(fileOf('writable', SECRET, 0o602), {}, 'everybody may write the secret of tokens');
  await fault(fileOf('empty', '\n'), {}, 'is empty');
  await fault(fileOf('two', `${SECRET}\n${SECRET}\n`), {}, 'has one line');
  await fault(fileOf('no64', `base64:${SECRET}`), {}, 'is not base64');
  await fault(fileOf('short', SECRET.slice(1)), {}, 'has 31 bytes, and needs 32 for HS256');
  await fault(fileOf('long', SECRET), { jwt_algorithms: ['HS256', 'HS512'] }, 'has 32 bytes, and needs 64 for HS512');
});

test('tokens are verified in one way alone', async () => {
  const secret = fileOf('secret', SECRET);
  const pair = ecPair('one');
  const keys = fileOf('jwks.json', jwksOf(pair), 0o644);
  for (const [access, sentence] of [
    [
      { jwt_secret_file: secret, jwt_jwks_file: keys },
      /access\.jwt_secret_file and access\.jwt_jwks_file: there can be one/,
    ],
    [
      { jwt_jwks_file: keys, jwt_jwks_url: 'http://127.0.0.1/' },
      /jwt_jwks_file and access\.jwt_jwks_url: there can be one/,
    ],
    [{ jwt_secret_file: secret, jwt_algorithms: ['HS256', 'RS256'] }, /RS256 is not for access\.jwt_secret_file/],
    [{ jwt_jwks_file: keys, jwt_algorithms: ['HS256'] }, /HS256 is not for access\.jwt_jwks_file/],
  ] as const) {
    await assert.rejects(read(access), { code: 'PORTICO_CONFIGURATION', message: sentence });
  }
  assert.equal(
    (await ask({ jwt_jwks_file: keys }, signedBy(pair, 'ES256', { sub: 'ann', exp: soon() }))).outcome,
    'allow',
  );
  assert.equal((await ask({ jwt_jwks_file: keys }, hs(SECRET))).outcome, 'deny');
  assert.equal(
    (await ask({ jwt_secret_file: secret }, hs(SECRET, 'HS512'))).outcome,
    'deny',
    'HS256 unless it is said',
  );
});

test('options that are no URL, algorithm or claim are faults of the configuration', () => {
  for (const access of [
    { jwt_jwks_url: 'file:///etc/passwd' },
    { jwt_jwks_url: 'https://user:word@127.0.0.1/' },
    { http_url: '127.0.0.1:80' },
    { http_url: 'https://127.0.0.1/#x' },
    { jwt_algorithms: ['none'] },
    { jwt_claims: ['sub'] },
    { http_timeout: 0 },
  ]) {
    assert.throws(() => load(JSON.stringify({ access })), { code: 'PORTICO_CONFIGURATION' }, JSON.stringify(access));
  }
});

test('the token that shows who asks, and CAs, are files that are read at the start', async () => {
  const url = { http_url: 'https://127.0.0.1:1/' };
  await assert.rejects(read({ ...url, http_token_file: fileOf('open', 'abc', 0o604) }), /everybody may read the token/);
  await assert.rejects(read({ ...url, http_token_file: fileOf('bad', 'a b') }), /no bearer token may have/);
  await assert.rejects(read({ ...url, http_ca_file: fileOf('ca', 'x') }), /access\.http_ca_file/);
  const keys = { jwt_jwks_url: 'https://127.0.0.1:1/' };
  await assert.rejects(read({ ...keys, jwt_jwks_ca_file: fileOf('ca', 'x') }), /access\.jwt_jwks_ca_file/);
  const backends = await read({ ...url, http_token_file: fileOf('good', 'abc.def\n') });
  assert.ok(backends.has('http') && !backends.has('jwt'));
  backends.close();
});

test('back-ends are credentials: a listener may be open to other machines with them, and takes no strangers', () => {
  for (const [option, value, words] of [
    ['jwt_secret_file', '/s', 'only clients with a token may connect'],
    ['jwt_jwks_url', 'https://127.0.0.1/', 'only clients with a token may connect'],
    ['http_url', 'https://127.0.0.1/', 'only whom the server of access.http_url lets in may connect'],
  ]) {
    const loaded = load(
      JSON.stringify({ listeners: [{ type: 'mqtt', host: '0.0.0.0' }], access: { [option]: value } }),
    );
    assert.match(describeListeners(loaded)[0], new RegExp(words));
    assert.deepEqual(loaded.warnings, []);
  }
});
