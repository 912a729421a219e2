/** Key sets: which keys are taken, and how they are fetched. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { noCounts } from '../../../src/access/backends/backend.js';
import { parseJwks, RemoteKeys, readJwksFile } from '../../../src/access/backends/jwks.js';
import { KEY_ALGORITHMS, Tokens } from '../../../src/access/backends/tokens.js';
import { WebClient } from '../../../src/access/backends/web-client.js';
import { json, LoginServer } from '../../support/login-server.js';
import { temporaryFolder } from '../../support/portico.js';
import { ecPair, jwkOf, jwksOf, type Pair, rsaPair, signedBy } from '../../support/tokens.js';

const OLD = ecPair('old');
const NEW = ecPair('new');

test('a set without a key for signatures, or with one that cannot be used, is refused', () => {
  const set = (...keys: unknown[]): string => JSON.stringify({ keys });
  const secret = { kty: 'oct', k: 'c2VjcmV0', kid: 'x' };
  for (const [text, sentence] of [
    ['', /not JSON/],
    ['[]', /not a JSON Web Key Set/],
    ['null', /not a JSON Web Key Set/],
    ['{"keys":{}}', /not a JSON Web Key Set/],
    [set(), /no key of the types RSA and EC/],
    [set(null), /key 1 is no object/],
    [set(jwkOf(OLD), 'x'), /key 2 is no object/],
    [set(jwkOf(OLD, { use: 'enc' })), /no key/],
    [set({ kty: 'OKP', crv: 'Ed25519', x: 'AA' }), /no key/],
    [set(secret), /key 1 has private parts/],
    [set(OLD.privateKey.export({ format: 'jwk' })), /key 1 has private parts/],
    [set({ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }), /key 1 is no public key/],
    [set({ kty: 'RSA' }), /key 1 is no public key/],
    [set(jwkOf(rsaPair('short', 1024))), /key 1 is shorter than 2048 bits/],
  ] as const) {
    assert.throws(() => parseJwks(text), sentence, text);
  }
});

test('keys of other types and uses may stand beside those that are taken (RFC 7517 5)', () => {
  parseJwks(
    JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA' }, jwkOf(OLD, { use: 'enc' }), jwkOf(NEW)] }),
  );
});

test('a file that cannot be read, or is no set of keys, is a fault that names it and shows nothing of it', async () => {
  const file = join(temporaryFolder(), 'jwks.json');
  await assert.rejects(readJwksFile(file), {
    code: 'PORTICO_SECURITY_FILE',
    message: /jwks\.json: the file of keys cannot be read/,
  });
  writeFileSync(file, 'secret');
  await assert.rejects(readJwksFile(file), { code: 'PORTICO_SECURITY_FILE', message: `${file}: it is not JSON` });
  writeFileSync(file, jwksOf(OLD));
  await readJwksFile(file);
});

describe('keys from a URL', () => {
  let server: LoginServer;
  let client: WebClient;
  /** For servers that do not answer. */
  let hasty: WebClient;
  let now = 0;
  const counts = noCounts();

  beforeEach(async () => {
    server = await LoginServer.start();
    server.answering = publishing(OLD);
    Object.assign(counts, noCounts());
    client = new WebClient({ ca: null, timeout: 30_000, connections: 1, most: 4096 });
    hasty = new WebClient({ ca: null, timeout: 1000, connections: 1, most: 4096 });
    now = 1_700_000_000_000;
  });
  afterEach(async () => {
    client.close();
    hasty.close();
    await server.close();
  });

  function publishing(...pairs: Pair[]): LoginServer['answering'] {
    return (_asked, response) => response.end(jwksOf(...pairs));
  }

  function tokensOf(url = server.url, by = client): Tokens {
    const keys = new RemoteKeys(
      url,
      by,
      600_000,
      () => counts,
      () => now,
    );
    const options = {
      key: keys.keyOf,
      algorithms: KEY_ALGORITHMS,
      usernameClaim: 'sub',
      matchUsername: true,
      claims: [],
      leeway: 0,
      requireExpiry: false,
      disconnectAfterExpiry: true,
    };
    return new Tokens(options, () => now);
  }

  async function ask(tokens: Tokens, pair: Pair): Promise<string> {
    const password = Buffer.from(signedBy(pair, 'ES256', { sub: 'ann' }));
    const who = { username: 'ann', password, clientId: 'c', remote: '127.0.0.1:1', transport: 'mqtt', version: 5 };
    const answer = await tokens.ask(who);
    return 'reason' in answer ? `${answer.outcome}: ${answer.reason}` : answer.outcome;
  }

  test('they are fetched once for many tokens, and again when they are old', async () => {
    const tokens = tokensOf();
    assert.deepEqual(await Promise.all([ask(tokens, OLD), ask(tokens, OLD), ask(tokens, OLD)]), [
      'allow',
      'allow',
      'allow',
    ]);
    now += 599_999;
    assert.equal(await ask(tokens, OLD), 'allow');
    assert.equal(server.asked.length, 1);
    assert.deepEqual([server.asked[0].method, server.asked[0].path], ['GET', '/login']);
    server.answering = publishing(NEW);
    now += 1;
    assert.match(await ask(tokens, OLD), /^deny: no applicable key/, 'a key that its issuer has taken back');
    assert.equal(server.asked.length, 2);
    assert.deepEqual([counts.jwksFetches, counts.jwksFailures], [2, 0]);
  });

  test('a token with a key that is not there makes them fetched again, every ten seconds at most', async () => {
    const tokens = tokensOf();
    assert.equal(await ask(tokens, OLD), 'allow');
    assert.match(await ask(tokens, NEW), /^deny: no applicable key/);
    assert.equal(server.asked.length, 1, 'they have just been fetched');
    server.answering = publishing(OLD, NEW);
    now += 10_000;
    assert.equal(await ask(tokens, NEW), 'allow');
    assert.equal(server.asked.length, 2);
    for (let i = 0; i < 5; i++) assert.match(await ask(tokens, ecPair(`guess ${i}`)), /^deny: no applicable key/);
    assert.equal(server.asked.length, 2);
  });

  for (const [what, answering, reason] of [
    ['fails', (_asked, response) => response.writeHead(500).end(), /status 500/],
    ['redirects', (_asked, response) => response.writeHead(302, { location: server.url }).end(), /status 302/],
    ['answers garbage', (_asked, response) => response.end('<html>'), /it is not JSON/],
    ['answers too much', (_asked, response) => response.end(Buffer.alloc(5000, 0x20)), /longer than 4096 bytes/],
    ['closes the connection', (_asked, response) => response.destroy(), /other side closed|socket hang up|terminated/],
    ['does not answer', () => {}, /it has not answered within 1 s/],
    ['stops in its answer', (_asked, response) => response.write('{"keys":['), /it has not answered within 1 s/],
    ['answers private keys', json({ keys: [OLD.privateKey.export({ format: 'jwk' })] }), /private parts/],
  ] as [string, LoginServer['answering'], RegExp][]) {
    test(`tokens are refused while a server ${what}, which is no failed login; it is asked again after ten seconds`, async () => {
      const isSilent = reason.source.startsWith('it has not answered');
      const tokens = tokensOf(server.url, isSilent ? hasty : client);
      server.answering = answering;
      for (let i = 0; i < 3; i++) {
        const said = await ask(tokens, OLD);
        assert.match(said, /^unavailable: the keys of tokens cannot be fetched: /);
        assert.match(said, reason);
      }
      assert.equal(server.asked.length, 1);
      assert.deepEqual([counts.jwksFetches, counts.jwksFailures], [1, 1]);
      server.answering = publishing(OLD);
      now += 10_000;
      assert.match(await ask(tokens, OLD), isSilent ? /./ : /^allow$/);
      assert.equal(server.asked.length, 2);
    });
  }

  test('nobody listens there: tokens are refused', async () => {
    const { url } = server;
    const tokens = tokensOf(url);
    await server.close();
    assert.match(await ask(tokens, OLD), /^unavailable: .*ECONNREFUSED/);
    server = await LoginServer.start();
  });

  test('keys that are too old let nobody in when they cannot be fetched again', async () => {
    const tokens = tokensOf();
    assert.equal(await ask(tokens, OLD), 'allow');
    server.answering = (_asked, response) => response.writeHead(503).end();
    now += 600_000;
    assert.match(await ask(tokens, OLD), /^unavailable: .*status 503/);
    assert.match(await ask(tokens, OLD), /^unavailable: .*status 503/);
    assert.equal(server.asked.length, 2);
  });
});
