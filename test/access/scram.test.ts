/** SCRAM-SHA-256 (RFC 5802, RFC 7677): the server's side without a network. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthenticationStep } from '../../src/access/authentication-method.js';
import { ScramSha256, scramCredentials } from '../../src/access/scram.js';
import { generator, mutate } from '../interop/random.js';
import { ScramClient } from '../support/scram-client.js';
import { seeds } from '../support/seeds.js';

/** The example of RFC 7677 3. */
const EXAMPLE = {
  clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
  serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
  serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};
const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const USER = await scramCredentials('pencil', 4096, SALT);

const users = new Map([
  ['user', USER],
  ['a,b=c', await scramCredentials('comma', 5000)],
  ['IX', await scramCredentials('nine', 4096, Buffer.from('salt'))],
]);
const method = new ScramSha256(users, () => EXAMPLE.serverNonce);

/** What a first message is answered with. */
async function first(message: string | Buffer | null): Promise<AuthenticationStep> {
  return method.begin().step(message === null ? null : Buffer.from(message));
}

/** What a last message is answered with after a first one. */
async function last(clientFirst: string, message: string | Buffer | null): Promise<AuthenticationStep> {
  const exchange = method.begin();
  assert.equal((await exchange.step(Buffer.from(clientFirst))).outcome, 'continue');
  return exchange.step(message === null ? null : Buffer.from(message));
}

function dataOf(step: AuthenticationStep): Buffer {
  assert.ok(step.outcome !== 'failure' && step.data !== null, JSON.stringify(step));
  return step.data;
}

function refused(step: AuthenticationStep, reason: RegExp, message?: string): void {
  assert.ok(step.outcome === 'failure', `accepted: ${message}`);
  assert.equal(step.reasonCode, 0x87);
  assert.match(step.reason, reason, message);
}

/** A whole exchange of a client that does as it should. */
async function logIn(client: ScramClient, server = method): Promise<AuthenticationStep> {
  const exchange = server.begin();
  const challenge = await exchange.step(client.first());
  return exchange.step(client.final(dataOf(challenge)));
}

test('the example exchange of RFC 7677 3, byte for byte', async () => {
  const exchange = method.begin();
  assert.equal(String(dataOf(await exchange.step(Buffer.from(EXAMPLE.clientFirst)))), EXAMPLE.serverFirst);
  const end = await exchange.step(Buffer.from(EXAMPLE.clientFinal));
  assert.deepEqual(end, { outcome: 'success', username: 'user', data: Buffer.from(EXAMPLE.serverFinal) });
});

test('the test client agrees with the example, so that other tests may trust it', () => {
  const client = new ScramClient('user', 'pencil', 'rOprNGfwEbeRWgbNEkqO');
  assert.equal(String(client.first()), EXAMPLE.clientFirst);
  assert.equal(String(client.final(Buffer.from(EXAMPLE.serverFirst))), EXAMPLE.clientFinal);
  assert.ok(client.verifies(Buffer.from(EXAMPLE.serverFinal)));
});

test('the GS2 headers n and y are accepted, also with the user as authorization identity', async () => {
  for (const header of ['n,,', 'y,,', 'n,a=user,', 'y,a=user,']) {
    const client = new ScramClient('user', 'pencil', 'abc', header);
    const end = await logIn(client);
    assert.equal(end.outcome, 'success', header);
    assert.ok(client.verifies(dataOf(end)));
  }
});

test('a comma and an equals sign in a name come as =2C and =3D', async () => {
  const client = new ScramClient('a,b=c', 'comma');
  assert.match(String(client.first()), /^n,,n=a=2Cb=3Dc,/);
  const end = await logIn(client);
  assert.ok(end.outcome === 'success');
  assert.equal(end.username, 'a,b=c');
});

test('a name is prepared with SASLprep before it is looked up (RFC 5802 5.1)', async () => {
  for (const name of ['I\u00adX', '\u2168']) {
    const end = await logIn(new ScramClient(name, 'nine'));
    assert.ok(end.outcome === 'success');
    assert.equal(end.username, 'IX');
  }
});

test('optional extensions are ignored, in both messages', async () => {
  const client = 'n,,n=user,r=abc,x=1,y=a=b';
  const exchange = method.begin();
  const answer = dataOf(await exchange.step(Buffer.from(client)));
  assert.match(String(answer), /^r=abc%hv/);
  // The proof is over other bytes, so it cannot be right; but the message is read.
  const end = await exchange.step(Buffer.from(`c=biws,r=abc${EXAMPLE.serverNonce},x=1,p=${'A'.repeat(43)}=`));
  refused(end, /wrong password/);
});

test('a client that names only the method is asked for its first message, once', async () => {
  const exchange = method.begin();
  assert.deepEqual(await exchange.step(null), { outcome: 'continue', data: null });
  assert.equal(String(dataOf(await exchange.step(Buffer.from(EXAMPLE.clientFirst)))), EXAMPLE.serverFirst);
  assert.equal((await exchange.step(Buffer.from(EXAMPLE.clientFinal))).outcome, 'success');
  const twice = method.begin();
  await twice.step(null);
  refused(await twice.step(null), /no first message/);
});

test('every malformed first message is refused in words', async () => {
  const cases: [message: string | Buffer, reason: RegExp][] = [
    ['', /GS2 header/],
    ['n', /GS2 header/],
    ['n,', /GS2 header/],
    ['n=user,r=abc', /GS2 header/],
    ['N,,n=user,r=abc', /GS2 header/],
    ['x,,n=user,r=abc', /GS2 header/],
    ['n,user,n=user,r=abc', /GS2 header/],
    ['p=,,n=user,r=abc', /GS2 header/],
    ['p=tls-unique,,n=user,r=abc', /channel binding, which was not offered/],
    ['p=tls-exporter,a=user,n=user,r=abc', /channel binding, which was not offered/],
    ['n,,m=x,n=user,r=abc', /must be understood/],
    ['n,,m=,n=user,r=abc', /must be understood/],
    ['n,,', /user name/],
    ['n,,r=abc', /user name/],
    ['n,,n=,r=abc', /user name/],
    ['n,,n=a=b,r=abc', /user name/],
    ['n,,n=a=2c,r=abc', /user name/],
    ['n,,n=a=,r=abc', /user name/],
    ['n,,n=a\0b,r=abc', /user name/],
    ['n,,n=a\u0007b,r=abc', /character that no user name may have/],
    ['n,,n=\u00ad,r=abc', /character that no user name may have/],
    ['n,a=,n=user,r=abc', /authorization identity is malformed/],
    ['n,a==,n=user,r=abc', /authorization identity is malformed/],
    ['n,a=other,n=user,r=abc', /act as another user/],
    ['n,,n=user', /nonce/],
    ['n,,n=user,', /nonce/],
    ['n,,n=user,r=', /nonce/],
    ['n,,n=user,r=a b', /nonce/],
    ['n,,n=user,r=\u00e4', /nonce/],
    ['n,,n=user,x=1,r=abc', /nonce/],
    ['n,,n=user,r=abc,', /extension/],
    ['n,,n=user,r=abc,x', /extension/],
    ['n,,n=user,r=abc,1=x', /extension/],
    ['n,,n=user,r=abc,x=', /extension/],
    [Buffer.concat([Buffer.from('n,,n='), Buffer.from([0xff, 0xfe]), Buffer.from(',r=abc')]), /UTF-8/],
    ['\ufeffn,,n=user,r=abc', /GS2 header/],
    [`n,,n=user,r=${'a'.repeat(4096)}`, /too long/],
  ];
  for (const [message, reason] of cases) refused(await first(message), reason, String(message).slice(0, 80));
});

test('every malformed last message is refused in words', async () => {
  const nonce = `r=rOprNGfwEbeRWgbNEkqO${EXAMPLE.serverNonce}`;
  const proof = 'p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=';
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const cases: [message: string | Buffer | null, reason: RegExp][] = [
    [null, /channel binding/],
    ['', /channel binding/],
    [`${nonce},${proof}`, /channel binding/],
    [`c=biws!,${nonce},${proof}`, /channel binding/],
    [`c=bi ws,${nonce},${proof}`, /channel binding/],
    [`c=,${nonce},${proof}`, /does not repeat the GS2 header/],
    [`c=${base64('y,,')},${nonce},${proof}`, /does not repeat the GS2 header/],
    [`c=${base64('n,a=user,')},${nonce},${proof}`, /does not repeat the GS2 header/],
    [`c=${base64('n,,binding')},${nonce},${proof}`, /does not repeat the GS2 header/],
    ['c=biws', /nonce/],
    [`c=biws,${proof}`, /nonce/],
    [`c=biws,r=,${proof}`, /nonce/],
    [`c=biws,r=rOprNGfwEbeRWgbNEkqO,${proof}`, /nonce of the last message is another one/],
    [`c=biws,${nonce}x,${proof}`, /nonce of the last message is another one/],
    [`c=biws,r=${EXAMPLE.serverNonce},${proof}`, /nonce of the last message is another one/],
    [`c=biws,${nonce}`, /proof/],
    [`c=biws,${nonce},x=1`, /proof/],
    [`c=biws,${nonce},p=`, /the proof is not 32 bytes/],
    [`c=biws,${nonce},p=AAAA`, /the proof is not 32 bytes/],
    [`c=biws,${nonce},${proof.slice(0, -1)}`, /proof/],
    [`c=biws,${nonce},${proof}\n`, /proof/],
    [`c=biws,${nonce},${proof},x=1`, /proof/],
    [`c=biws,${nonce},x,${proof}`, /extension/],
    [`c=biws,${nonce},,${proof}`, /extension/],
    [Buffer.from([0xc0, 0x80]), /UTF-8/],
    [`c=biws,${nonce},x=${'a'.repeat(4096)},${proof}`, /too long/],
    [`c=biws,${nonce},p=${'A'.repeat(43)}=`, /wrong password, or an unknown user/],
    [`c=biws,${nonce},x=1,${proof}`, /wrong password, or an unknown user/],
  ];
  for (const [message, reason] of cases) {
    refused(await last(EXAMPLE.clientFirst, message), reason, String(message).slice(0, 80));
  }
});

test('a wrong password and an unknown user are refused in the same words', async () => {
  const wrong = await logIn(new ScramClient('user', 'Pencil'));
  refused(wrong, /wrong password, or an unknown user/);
  for (const username of ['mallory', 'constructor']) {
    assert.deepEqual(await logIn(new ScramClient(username, 'pencil')), { ...wrong, username });
  }
});

test('an unknown user gets a salt and a count as known ones have, the same each time', async () => {
  const challenge = async (name: string, server: ScramSha256): Promise<[salt: string, iterations: string]> => {
    const data = dataOf(await server.begin().step(new ScramClient(name, '').first()));
    const [, salt, iterations] = /,s=([^,]+),i=(\d+)$/.exec(data.toString()) ?? [];
    return [salt, iterations];
  };
  const known = new Set<string>();
  for (const { salt, iterations } of users.values()) known.add(`${salt.length} ${iterations}`);
  const salts = new Set<string>();
  const shapes = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const [salt, iterations] = await challenge(`mallory${i}`, method);
    assert.deepEqual(await challenge(`mallory${i}`, method), [salt, iterations]);
    salts.add(salt);
    shapes.add(`${Buffer.from(salt, 'base64').length} ${iterations}`);
  }
  assert.equal(salts.size, 100);
  assert.deepEqual([...shapes].sort(), [...known].sort());
  const other = new ScramSha256(users);
  assert.notDeepEqual(await challenge('mallory1', other), await challenge('mallory1', method), 'another process');
  const [salt, iterations] = await challenge('anybody', new ScramSha256(new Map()));
  assert.equal(Buffer.from(salt, 'base64').length, 16);
  assert.equal(iterations, '4096');
});

test('each exchange has a nonce of its own, and a recorded answer does not serve again', async () => {
  const server = new ScramSha256(users);
  const client = new ScramClient('user', 'pencil');
  const exchange = server.begin();
  const challenge = dataOf(await exchange.step(client.first()));
  const recorded = client.final(challenge);
  assert.equal((await exchange.step(recorded)).outcome, 'success');
  const again = server.begin();
  assert.notDeepEqual(dataOf(await again.step(client.first())), challenge);
  refused(await again.step(recorded), /nonce of the last message is another one/);
});

const PIECES = [
  'n',
  'y',
  'p=',
  'a=',
  ',',
  ',,',
  'n=',
  'r=',
  'm=',
  'c=',
  'biws',
  '=2C',
  '=3D',
  '=',
  '\0',
  'é',
  '🔑',
  'x=1',
];

test('fuzz: whatever arrives is answered, and only the right proof succeeds', async (t) => {
  const [seed] = seeds(1);
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const below = (bound: number): number => Math.floor(random() * bound);
  const anything = (): Buffer => Buffer.from(Array.from({ length: below(12) }, () => PIECES[below(18)]).join(''));
  const like = (text: string): Buffer => {
    const choice = below(8);
    if (choice === 0) return anything();
    return choice < 4 ? Buffer.from(text) : mutate(random, Buffer.from(text));
  };
  const outcomes = { continue: 0, success: 0, failure: 0 };
  for (let i = 0; i < 20_000; i++) {
    const exchange = method.begin();
    const [opening, answer] = [like(EXAMPLE.clientFirst), like(EXAMPLE.clientFinal)];
    let end = await exchange.step(opening);
    outcomes[end.outcome]++;
    if (end.outcome !== 'continue') continue;
    end = await exchange.step(answer);
    outcomes[end.outcome]++;
    const right = String(opening) === EXAMPLE.clientFirst && String(answer) === EXAMPLE.clientFinal;
    assert.equal(end.outcome, right ? 'success' : 'failure', `seed ${seed}: ${opening} ${answer}`);
  }
  for (const [outcome, count] of Object.entries(outcomes)) assert.ok(count > 1000, `${outcome}: ${count}`);
});

test('other users take the place of those there were; an exchange that has begun goes on', async () => {
  const server = new ScramSha256(users);
  const client = new ScramClient('user', 'pencil');
  const begun = server.begin();
  const challenge = await begun.step(client.first());
  server.replace(new Map([['other', USER]]));
  assert.equal((await begun.step(client.final(dataOf(challenge)))).outcome, 'success');
  refused(await logIn(new ScramClient('user', 'pencil'), server), /wrong password, or an unknown user/);
  assert.equal((await logIn(new ScramClient('other', 'pencil'), server)).outcome, 'success');
});
