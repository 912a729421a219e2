/** Tokens, sets of keys, and answers of a server of logins: whatever they are, nobody is let in who should not be. */
import assert from 'node:assert/strict';
import { createHmac, createSecretKey } from 'node:crypto';
import { WebFailure } from '../../../src/access/backends/backend.js';
import { answerOf } from '../../../src/access/backends/http-logins.js';
import { parseJwks } from '../../../src/access/backends/jwks.js';
import { SECRET_ALGORITHMS, Tokens, tokenOf } from '../../../src/access/backends/tokens.js';
import { tokenWith } from '../../support/tokens.js';
import { Feed, input, type Target } from '../target.js';

const SECRET = Buffer.alloc(64, 7);
const NOW = 1_700_000_000;

const tokens = new Tokens(
  {
    key: createSecretKey(SECRET),
    algorithms: SECRET_ALGORITHMS,
    usernameClaim: 'sub',
    matchUsername: false,
    claims: [{ name: 'a.b', value: '%u' }],
    groupsClaim: 'groups',
    leeway: 0,
    requireExpiry: true,
    disconnectAfterExpiry: true,
  },
  () => NOW * 1000,
);

/** The claims of a token; null if they are no JSON object. */
function claimsOf(token: string): Record<string, unknown> | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** The input is a token as it stands, or header and claims that are signed here with the right secret. */
async function runTokens(bytes: Buffer): Promise<string> {
  const feed = new Feed(bytes);
  const signs = (feed.byte() & 1) === 1;
  const length = feed.byte();
  const head = Buffer.from(feed.take(length));
  let password = Buffer.concat([head, feed.rest()]);
  if (signs) {
    const header = head.toString('base64url');
    const claims = password.subarray(head.length).toString('base64url');
    password = Buffer.from(signedToken(header, claims));
  }
  const token = tokenOf(password);
  const who = { username: 'x', password, clientId: 'c', remote: '127.0.0.1:1', transport: 'mqtt', version: 5 };
  const answer = await tokens.ask(who);
  if (token === null) assert.equal(answer.outcome, 'ignore');
  else assert.ok(answer.outcome === 'allow' || answer.outcome === 'deny');
  if (answer.outcome === 'deny') return answer.reason.slice(0, 40);
  if (answer.outcome !== 'allow') return answer.outcome;
  assert.ok(signs, 'a signature that nobody could make');
  const claims = claimsOf(token ?? '') ?? assert.fail('claims that are none');
  const { username, expiresAt, superuser } = answer.grant;
  assert.ok(typeof username === 'string' && username.length > 0 && username.isWellFormed() && !username.includes('\0'));
  assert.equal(username, claims.sub);
  assert.ok(expiresAt > NOW * 1000 && !superuser);
  assert.ok(claims.nbf === undefined || (claims.nbf as number) <= NOW);
  return 'allow';
}

/** What is signed is what stands there, whatever it is. */
function signedToken(header: string, claims: string): string {
  const signed = `${header}.${claims}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

export const tokensTarget: Target = {
  name: 'tokens',
  scope: ['/src/access/backends/'],
  longest: 600,
  words: [
    '{"alg":"HS256"}',
    '"none"',
    '"crit":["x"]',
    '"sub":',
    '"exp":',
    '"nbf":',
    '"a":{"b":',
    '.',
    '..',
    '1700000001',
    '1e999',
    '"\\ud800"',
  ],
  seeds: () => [
    signed('{"alg":"HS256"}', `{"sub":"ann","exp":${NOW + 1},"a":{"b":"ann"},"groups":["x"]}`),
    signed('{"alg":"HS256","crit":["b64"],"b64":false}', `{"sub":"ann","exp":${NOW + 1}}`),
    signed('{"alg":"none"}', '{"sub":"ann"}'),
    signed('{"alg":"HS512","kid":"x"}', `{"sub":"\\ud800","exp":${NOW + 1}}`),
    input(0, 0, tokenWith({ alg: 'HS256' }, { sub: 'ann', exp: NOW + 1 }, Buffer.alloc(64, 8))),
    input(0, 0, tokenWith({ alg: 'none' }, { sub: 'ann', exp: NOW + 1 }, null)),
  ],
  run: runTokens,
};

function signed(header: string, claims: string): Buffer {
  return input(1, header.length, header, claims);
}

/** A key set is read, or refused with a sentence that shows nothing of it. */
function runKeys(bytes: Buffer): string {
  try {
    parseJwks(bytes.toString('utf8'));
    return 'read';
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.match(error.message, /^(it is|it has|key \d+)/);
    return error.message;
  }
}

const POINT =
  '"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"';

export const keySets: Target = {
  name: 'key-sets',
  scope: ['/src/access/backends/jwks'],
  longest: 600,
  words: [
    '{"keys":[',
    POINT,
    '"kty":"RSA"',
    '"n":"',
    '"e":"AQAB"',
    '"use":"enc"',
    '"d":"x"',
    '"kid":"x"',
    '{}',
    'null',
    ']}',
  ],
  seeds: () =>
    [
      `{"keys":[{${POINT},"kid":"a"}]}`,
      '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}',
      '{"keys":[{"kty":"oct","k":"x"}]}',
      '{"keys":[]}',
    ].map((text) => Buffer.from(text)),
  run: runKeys,
};

const STATUSES = [200, 204, 401, 403, 500, 302, 201];

/** An answer lets a client in only if it says so. */
function runAnswers(bytes: Buffer): string {
  const status = STATUSES[(bytes[0] ?? 0) % STATUSES.length];
  const body = bytes.subarray(1);
  try {
    const answer = answerOf({ status, body });
    if (answer.outcome === 'allow' && status !== 204) {
      assert.equal(status, 200);
      assert.equal(JSON.parse(body.toString('utf8')).result, 'allow');
      assert.ok(answer.grant.groups.every((group) => typeof group === 'string'));
      assert.equal(answer.grant.username, null);
      assert.ok(answer.grant.expiresAt > 0);
    }
    return answer.outcome;
  } catch (error) {
    assert.ok(error instanceof WebFailure, error as Error);
    return error.message.slice(0, 40);
  }
}

export const loginAnswers: Target = {
  name: 'login-answers',
  scope: ['/src/access/backends/http-logins'],
  longest: 300,
  words: [
    '"result":"allow"',
    '"result":"deny"',
    '"result":"ignore"',
    '"is_superuser":true',
    '"groups":["a"]',
    '"expire_at":',
    '1e999',
    '{',
    '}',
    'null',
  ],
  seeds: () => [
    input(0, '{"result":"allow","is_superuser":false,"groups":["a"],"expire_at":1}'),
    input(0, '{"result":"deny"}'),
    input(1),
    input(2, '{"result":"allow"}'),
  ],
  run: runAnswers,
};
