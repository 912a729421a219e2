/** Tokens in the place of passwords: what is taken, what is refused, and what they say of a client. */
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import type { Answer } from '../../../src/access/backends/backend.js';
import { parseJwks } from '../../../src/access/backends/jwks.js';
import {
  claimAt,
  KEY_ALGORITHMS,
  SECRET_ALGORITHMS,
  Tokens,
  type TokensOptions,
  tokenOf,
} from '../../../src/access/backends/tokens.js';
import { type Claims, ecPair, jwkOf, jwksOf, type Pair, rsaPair, signedBy, tokenWith } from '../../support/tokens.js';

/** Seconds since the epoch. */
const NOW = 1_700_000_000;
const SECRET = Buffer.alloc(64, 7);
const RSA = rsaPair('rsa');
/** Of somebody else, under the name of the first. */
const STRANGER = rsaPair('rsa');
const EC: Readonly<Record<string, Pair>> = {
  ES256: ecPair('p256'),
  ES384: ecPair('p384', 'P-384'),
  ES512: ecPair('p521', 'P-521'),
};
const KEYS = jwksOf(RSA, ...Object.values(EC));
const CLAIMS = { sub: 'ann', exp: NOW + 60 };

function withSecret(more: Partial<TokensOptions> = {}): Tokens {
  return tokensOf({ key: createSecretKey(SECRET), algorithms: SECRET_ALGORITHMS, ...more });
}

function withKeys(more: Partial<TokensOptions> = {}): Tokens {
  return tokensOf({ key: parseJwks(KEYS), algorithms: KEY_ALGORITHMS, ...more });
}

function tokensOf(options: Pick<TokensOptions, 'key' | 'algorithms'> & Partial<TokensOptions>): Tokens {
  const usual = {
    usernameClaim: 'sub',
    matchUsername: true,
    claims: [],
    leeway: 0,
    requireExpiry: true,
    disconnectAfterExpiry: true,
  };
  return new Tokens({ ...usual, ...options }, () => NOW * 1000);
}

function ask(tokens: Tokens, password: string | undefined, username: string | undefined = 'ann'): Promise<Answer> {
  return tokens.ask({
    username,
    password: password === undefined ? undefined : Buffer.from(password),
    clientId: 'dev/1',
    remote: '127.0.0.1:1',
    transport: 'mqtt',
    version: 5,
  });
}

const hs = (claims: Claims, alg = 'HS256', key: Uint8Array = SECRET): string => tokenWith({ alg }, claims, key);

async function reasonOf(answer: Promise<Answer>): Promise<string> {
  const outcome = await answer;
  assert.equal(outcome.outcome, 'deny');
  return outcome.outcome === 'deny' ? outcome.reason : '';
}

for (const alg of SECRET_ALGORITHMS) {
  test(`${alg}: a token signed with the secret is taken, one with another secret is not`, async () => {
    const tokens = withSecret();
    const answer = await ask(tokens, hs(CLAIMS, alg));
    assert.deepEqual(answer, {
      outcome: 'allow',
      grant: { by: 'jwt', username: 'ann', groups: [], superuser: false, expiresAt: (NOW + 60) * 1000 },
    });
    assert.match(await reasonOf(ask(tokens, hs(CLAIMS, alg, Buffer.alloc(64, 8)))), /signature/);
  });
}

for (const alg of KEY_ALGORITHMS) {
  test(`${alg}: a token signed with a key of the set is taken, one with another key of its name is not`, async () => {
    const tokens = withKeys();
    const pair = EC[alg] ?? RSA;
    assert.equal((await ask(tokens, signedBy(pair, alg, CLAIMS))).outcome, 'allow');
    const other = EC[alg] === undefined ? STRANGER : ecPair(pair.kid, CURVES[alg]);
    assert.match(await reasonOf(ask(tokens, signedBy(other, alg, CLAIMS))), /signature/);
  });
}

const CURVES: Readonly<Record<string, 'P-256' | 'P-384' | 'P-521'>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
};

test('alg none is refused, with a signature and without', async () => {
  for (const tokens of [withSecret(), withKeys()]) {
    for (const alg of ['none', 'None', 'NONE', '']) {
      assert.match(await reasonOf(ask(tokens, tokenWith({ alg }, CLAIMS, null))), /./);
      const [head, body] = tokenWith({ alg }, CLAIMS, null).split('.');
      assert.match(await reasonOf(ask(tokens, `${head}.${body}.AAAA`)), /./);
    }
  }
});

test('a public key is no secret: a token signed with it by HS256 is refused (RFC 8725 2.1)', async () => {
  for (const { publicKey, kid } of [RSA, EC.ES256]) {
    const pem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
    for (const bytes of [pem, publicKey.export({ type: 'spki', format: 'der' })]) {
      for (const header of [{ alg: 'HS256', kid }, { alg: 'HS256' }]) {
        const reason = await reasonOf(ask(withKeys(), tokenWith(header, CLAIMS, bytes)));
        assert.match(reason, /"alg" \(Algorithm\) Header Parameter value not allowed/);
      }
    }
  }
  assert.match(await reasonOf(ask(withSecret(), signedBy(RSA, 'RS256', CLAIMS))), /not allowed/);
});

test('the algorithms are those of the configuration alone', async () => {
  const tokens = withKeys({ algorithms: ['ES256'] });
  assert.equal((await ask(tokens, signedBy(EC.ES256, 'ES256', CLAIMS))).outcome, 'allow');
  assert.match(await reasonOf(ask(tokens, signedBy(RSA, 'RS256', CLAIMS))), /not allowed/);
  assert.match(await reasonOf(ask(withSecret({ algorithms: ['HS512'] }), hs(CLAIMS))), /not allowed/);
});

test('a key that the token brings itself is not looked at (RFC 8725 3.10)', async () => {
  for (const more of [{ jwk: jwkOf(STRANGER) }, { jku: 'http://127.0.0.1:1/' }, { x5u: 'http://127.0.0.1:1/' }]) {
    const token = tokenWith({ alg: 'RS256', kid: 'rsa', ...more }, CLAIMS, STRANGER.privateKey);
    assert.match(await reasonOf(ask(withKeys(), token)), /signature/);
  }
});

test('a header that has to be understood and is not is refused (RFC 7515 4.1.11)', async () => {
  for (const more of [{ crit: ['exp2'], exp2: 1 }, { crit: [] }, { crit: ['b64'], b64: false }]) {
    assert.match(await reasonOf(ask(withSecret(), tokenWith({ alg: 'HS256', ...more }, CLAIMS, SECRET))), /./);
  }
});

test('exp and nbf hold, with the leeway of access.jwt_leeway', async () => {
  assert.match(await reasonOf(ask(withSecret(), hs({ sub: 'ann', exp: NOW }))), /"exp"/);
  assert.match(await reasonOf(ask(withSecret(), hs({ ...CLAIMS, nbf: NOW + 1 }))), /"nbf"/);
  const late = await ask(withSecret({ leeway: 5 }), hs({ sub: 'ann', exp: NOW - 4, nbf: NOW + 5 }));
  assert.equal(late.outcome === 'allow' && late.grant.expiresAt, (NOW + 1) * 1000);
  assert.match(await reasonOf(ask(withSecret({ leeway: 5 }), hs({ sub: 'ann', exp: NOW - 5 }))), /"exp"/);
  for (const exp of ['soon', null, {}, []]) {
    assert.match(await reasonOf(ask(withSecret(), hs({ sub: 'ann', exp }))), /"exp"/);
  }
});

test('a token without exp is refused unless access.jwt_require_expiry is false', async () => {
  assert.match(await reasonOf(ask(withSecret(), hs({ sub: 'ann' }))), /"exp"/);
  const answer = await ask(withSecret({ requireExpiry: false }), hs({ sub: 'ann' }));
  assert.equal(answer.outcome === 'allow' && answer.grant.expiresAt, Number.POSITIVE_INFINITY);
});

test('access.jwt_disconnect_after_expiry: without it a client stays', async () => {
  const answer = await ask(withSecret({ disconnectAfterExpiry: false }), hs(CLAIMS));
  assert.equal(answer.outcome === 'allow' && answer.grant.expiresAt, Number.POSITIVE_INFINITY);
});

test('iss and aud have to be those of the configuration', async () => {
  const tokens = withSecret({ issuer: 'https://id', audience: 'portico' });
  for (const aud of ['portico', ['other', 'portico']]) {
    assert.equal((await ask(tokens, hs({ ...CLAIMS, iss: 'https://id', aud }))).outcome, 'allow');
  }
  assert.match(await reasonOf(ask(tokens, hs({ ...CLAIMS, aud: 'portico' }))), /"iss"/);
  assert.match(await reasonOf(ask(tokens, hs({ ...CLAIMS, iss: 'https://id2', aud: 'portico' }))), /"iss"/);
  assert.match(await reasonOf(ask(tokens, hs({ ...CLAIMS, iss: 'https://id', aud: ['other'] }))), /"aud"/);
});

test('the user name of CONNECT has to be that of the token, or there is none', async () => {
  assert.match(await reasonOf(ask(withSecret(), hs(CLAIMS), 'bob')), /the claim sub is another/);
  const nameless = await withSecret().ask({
    username: undefined,
    password: Buffer.from(hs(CLAIMS)),
    clientId: 'c',
    remote: '127.0.0.1:1',
    transport: 'mqtt',
    version: 5,
  });
  assert.equal(nameless.outcome === 'allow' && nameless.grant.username, 'ann');
  const other = await ask(withSecret({ matchUsername: false }), hs(CLAIMS), 'bob');
  assert.equal(other.outcome === 'allow' && other.grant.username, 'ann');
});

test('a claim that is no user name lets nobody in', async () => {
  for (const sub of [undefined, '', 7, null, ['ann'], 'a\0b', '\ud800', 'x'.repeat(65_536)]) {
    const tokens = withSecret({ matchUsername: false });
    assert.match(await reasonOf(ask(tokens, hs({ exp: NOW + 1, sub }))), /the claim sub is no user name|"sub"/);
  }
});

test('access.jwt_claims: each has to be there, with %u and %c filled in once', async () => {
  const claims = [
    { name: 'client', value: '%c' },
    { name: 'realm.user', value: 'u-%u' },
  ];
  const tokens = withSecret({ claims, matchUsername: false });
  const right = { ...CLAIMS, client: ['x', 'dev/1'], realm: { user: 'u-ann' } };
  assert.equal((await ask(tokens, hs(right))).outcome, 'allow');
  assert.match(await reasonOf(ask(tokens, hs({ ...right, client: 'dev/2' }))), /the claim client is not %c/);
  assert.match(await reasonOf(ask(tokens, hs({ ...right, client: undefined }))), /the claim client/);
  assert.match(await reasonOf(ask(tokens, hs({ ...right, realm: {} }))), /the claim realm.user/);
  const sly = hs({ ...right, sub: '%c', realm: { user: 'u-dev/1' } });
  assert.match(await reasonOf(ask(tokens, sly)), /the claim realm.user/, 'what is filled in is no placeholder');
  const flags = withSecret({ claims: [{ name: 'ok', value: 'true' }] });
  assert.equal((await ask(flags, hs({ ...CLAIMS, ok: true }))).outcome, 'allow');
  assert.match(await reasonOf(ask(flags, hs({ ...CLAIMS, ok: { true: 1 } }))), /the claim ok/);
});

test('access.jwt_groups_claim: a list, or a text with spaces between them', async () => {
  const tokens = withSecret({ groupsClaim: 'realm_access.roles' });
  const groups = async (roles: unknown): Promise<unknown> => {
    const answer = await ask(tokens, hs({ ...CLAIMS, realm_access: { roles } }));
    return answer.outcome === 'allow' && answer.grant.groups;
  };
  assert.deepEqual(await groups(['plant', 'office']), ['plant', 'office']);
  assert.deepEqual(await groups(' plant  office'), ['plant', 'office']);
  assert.deepEqual(await groups(['plant', 7, null]), ['plant']);
  for (const roles of [undefined, null, 7, {}]) assert.deepEqual(await groups(roles), []);
});

test('claims are looked up by their own names first, and never in what every object has', () => {
  assert.equal(claimAt({ 'a.b': 1, a: { b: 2 } }, 'a.b'), 1);
  assert.equal(claimAt({ a: { b: 2 } }, 'a.b'), 2);
  for (const path of ['constructor', 'a.constructor.name', '__proto__', 'a.b.toString', 'a..b']) {
    assert.equal(claimAt({ a: { b: 2 } }, path), undefined, path);
  }
});

test('what is no token is left to whoever is asked next', async () => {
  const [head, body] = hs(CLAIMS).split('.');
  for (const password of [
    undefined,
    '',
    'secret',
    'a.b.c',
    `${head}.${body}`,
    `${head}.${body}.x.y.z`,
    `${head} .a.b`,
  ]) {
    assert.equal((await ask(withSecret(), password)).outcome, 'ignore', password);
  }
  assert.equal(tokenOf(Buffer.from([0xff, 0x2e, 0x2e])), null);
  const number = Buffer.from('{"alg":7}').toString('base64url');
  assert.equal(tokenOf(Buffer.from(`${number}..`)), null);
});

test('a payload that is no JSON object lets nobody in', async () => {
  for (const claims of [[], 'text', 7, null, true]) {
    const token = tokenWith({ alg: 'HS256' }, claims as unknown as Claims, SECRET);
    assert.match(await reasonOf(ask(withSecret(), token)), /./);
  }
});

test('a token that names no key is verified if one key alone may be meant', async () => {
  const header = { alg: 'RS256' };
  assert.equal((await ask(withKeys(), tokenWith(header, CLAIMS, RSA.privateKey))).outcome, 'allow');
  const two = tokensOf({ key: parseJwks(jwksOf(RSA, { ...STRANGER, kid: 'other' })), algorithms: KEY_ALGORITHMS });
  assert.match(await reasonOf(ask(two, tokenWith(header, CLAIMS, RSA.privateKey))), /multiple matching keys/);
});

test('what stands in the log shows nothing of the token', async () => {
  const token = hs({ ...CLAIMS, iss: 'secret-issuer', password: 'hidden' }, 'HS256', Buffer.alloc(64, 9));
  for (const tokens of [withSecret(), withKeys(), withSecret({ issuer: 'x' })]) {
    const reason = await reasonOf(ask(tokens, token));
    for (const part of [...token.split('.'), 'secret-issuer', 'hidden']) assert.ok(!reason.includes(part), reason);
  }
});
