/** A server that is asked over HTTP who may connect. Whatever it does but say so, nobody is let in. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Answer, type Candidate, noCounts } from '../../../src/access/backends/backend.js';
import { HttpLogins, type HttpLoginsOptions } from '../../../src/access/backends/http-logins.js';
import { WebClient } from '../../../src/access/backends/web-client.js';
import { CertificateFiles } from '../../coap/dtls/certificate-files.js';
import { json, LoginServer } from '../../support/login-server.js';

const ANN: Candidate = {
  username: 'ann',
  password: Buffer.from('secret'),
  clientId: 'dev',
  remote: '[2001:db8::1]:5000',
  transport: 'mqtts',
  version: 4,
};
const DENIED = { outcome: 'deny', by: 'http', reason: 'the server of logins refuses the client: ' };

function granted(more: object = {}): Answer {
  const grant = {
    by: 'http',
    username: null,
    groups: [],
    superuser: false,
    expiresAt: Number.POSITIVE_INFINITY,
  } as const;
  return { outcome: 'allow', grant: { ...grant, ...more } };
}

describe('HTTP', () => {
  let server: LoginServer;
  let client: WebClient;
  /** For servers that do not answer. */
  let hasty: WebClient;
  let now = 0;
  const counts = noCounts();

  beforeEach(async () => {
    server = await LoginServer.start();
    Object.assign(counts, noCounts());
    client = new WebClient({ ca: null, timeout: 30_000, connections: 4, most: 1000 });
    hasty = new WebClient({ ca: null, timeout: 1000, connections: 4, most: 1000 });
    now = 1_700_000_000_000;
  });
  afterEach(async () => {
    client.close();
    hasty.close();
    await server.close();
  });

  function logins(more: Partial<HttpLoginsOptions> = {}, by = client): HttpLogins {
    const usual = { url: server.url, token: null, concurrency: 4, queue: 10, cache: 60, deniedCache: 5 };
    return new HttpLogins(
      { ...usual, ...more },
      by,
      () => counts,
      () => now,
    );
  }

  const ask = (backend: HttpLogins, more: Partial<Candidate> = {}): Promise<Answer> =>
    backend.ask({ ...ANN, ...more }, () => true);

  test('it is asked with POST and JSON, and shown who asks', async () => {
    assert.deepEqual(await ask(logins({ token: 'abc.def' })), granted());
    const [{ method, path, headers, body }] = server.asked;
    assert.deepEqual([method, path, headers['content-type']], ['POST', '/login', 'application/json']);
    assert.equal(headers.authorization, 'Bearer abc.def');
    assert.deepEqual(JSON.parse(body), {
      username: 'ann',
      password: 'secret',
      clientid: 'dev',
      address: '2001:db8::1',
      listener: 'mqtts',
      protocol: 'mqtt 3.1.1',
    });
  });

  test('without a password it is asked with null, with one that is no UTF-8 in base64', async () => {
    const backend = logins();
    await ask(backend, { password: undefined, version: 0, transport: 'coaps', remote: '192.0.2.1:7' });
    await ask(backend, { password: Buffer.from([0xff, 0x00]) });
    const [first, second] = server.asked.map(({ body }) => JSON.parse(body));
    assert.deepEqual([first.password, first.protocol, first.address], [null, 'coap', '192.0.2.1']);
    assert.deepEqual([second.password, second.password_base64], [null, '/wA=']);
  });

  test('a client without user name is not asked about', async () => {
    assert.deepEqual(await ask(logins(), { username: undefined }), { outcome: 'ignore' });
    assert.equal(server.asked.length, 0);
  });

  for (const [status, said, answer] of [
    [200, { result: 'allow' }, granted()],
    [
      200,
      { result: 'allow', is_superuser: true, groups: ['a', 'b'] },
      granted({ superuser: true, groups: ['a', 'b'] }),
    ],
    [200, { result: 'allow', expire_at: 1_700_000_060 }, granted({ expiresAt: 1_700_000_060_000 })],
    [200, { result: 'allow', expire_at: 1_700_000_000 }, { ...DENIED, reason: `${DENIED.reason}expire_at is over` }],
    [200, { result: 'deny' }, { ...DENIED, reason: `${DENIED.reason}its answer` }],
    [200, { result: 'deny', is_superuser: true }, { ...DENIED, reason: `${DENIED.reason}its answer` }],
    [200, { result: 'ignore' }, { outcome: 'ignore' }],
    [401, {}, { ...DENIED, reason: `${DENIED.reason}status 401` }],
    [403, { result: 'allow' }, { ...DENIED, reason: `${DENIED.reason}status 403` }],
  ] as const) {
    test(`${status} ${JSON.stringify(said)} is ${answer.outcome}`, async () => {
      server.answering = json(said, status);
      assert.deepEqual(await ask(logins()), answer);
      assert.equal(counts.httpLoginFailures, 0);
    });
  }

  test('204 is allow', async () => {
    server.answering = (_asked, response) => response.writeHead(204).end();
    assert.deepEqual(await ask(logins()), granted());
  });

  const bad: [string, LoginServer['answering'], RegExp][] = [
    ['fails', json({ result: 'allow' }, 500), /status 500/],
    ['answers 201', json({ result: 'allow' }, 201), /status 201/],
    ['answers 206', json({ result: 'allow' }, 206), /status 206/],
    ['answers 404', json({ result: 'allow' }, 404), /status 404/],
    ['redirects', (_asked, response) => response.writeHead(307, { location: '/other' }).end(), /status 307/],
    ['answers garbage', (_asked, response) => response.end('allow'), /not JSON/],
    ['answers nothing', (_asked, response) => response.end(), /not JSON/],
    ['answers a list', json([{ result: 'allow' }]), /none of allow, deny, ignore/],
    ['answers a text', json('allow'), /no JSON object/],
    ['answers another word', json({ result: 'ALLOW' }), /none of allow, deny, ignore/],
    ['answers true', json({ result: true }), /none of allow, deny, ignore/],
    ['answers another kind of superuser', json({ result: 'allow', is_superuser: 'no' }), /is_superuser/],
    ['answers groups that are none', json({ result: 'allow', groups: 'a' }), /groups/],
    ['answers groups without names', json({ result: 'allow', groups: [1] }), /groups/],
    ['answers another kind of time', json({ result: 'allow', expire_at: '2030' }), /expire_at/],
    ['answers too much', json({ result: 'allow', more: 'x'.repeat(1000) }), /longer than 1000 bytes/],
    ['answers without end', (_asked, response) => endless(response), /longer than 1000 bytes/],
    ['does not answer', () => {}, /it has not answered within 1 s/],
    ['stops in its answer', (_asked, response) => response.write('{"result":"allow"'), /it has not answered within/],
    ['closes the connection', (_asked, response) => response.destroy(), /other side closed|socket hang up|terminated/],
    ['cuts its answer', (_asked, response) => cut(response), /other side closed|aborted|terminated/],
  ];
  for (const [what, answering, reason] of bad) {
    test(`nobody is let in by a server that ${what}`, async () => {
      server.answering = answering;
      const isSilent = reason.source.startsWith('it has not answered');
      const answer = await ask(logins({}, isSilent ? hasty : client));
      assert.equal(answer.outcome, 'unavailable');
      assert.ok(answer.outcome === 'unavailable' && !answer.busy);
      assert.match(answer.reason, reason);
      assert.ok(!answer.reason.includes('secret'));
      assert.deepEqual([server.asked.length, counts.httpLogins, counts.httpLoginFailures], [1, 1, 1]);
    });
  }

  test('a failure is not remembered', async () => {
    server.answering = json({}, 503);
    const backend = logins();
    assert.equal((await ask(backend)).outcome, 'unavailable');
    server.answering = json({ result: 'allow' });
    assert.deepEqual(await ask(backend), granted());
  });

  test('an answer is known for its time, to the same question alone', async () => {
    const backend = logins();
    await ask(backend);
    now += 59_999;
    assert.deepEqual(await ask(backend, { remote: '[2001:db8::1]:5001' }), granted());
    assert.equal(server.asked.length, 1, 'another port is the same client');
    assert.equal(counts.httpLoginsRemembered, 1);
    server.answering = json({ result: 'deny' });
    for (const more of [
      { username: 'bob' },
      { password: Buffer.from('Secret') },
      { password: undefined },
      { clientId: 'dev2' },
      { remote: '192.0.2.1:5000' },
      { transport: 'mqtt' },
      { version: 5 },
    ]) {
      assert.equal((await ask(backend, more)).outcome, 'deny', JSON.stringify(more));
    }
    now += 1;
    assert.equal((await ask(backend)).outcome, 'deny');
  });

  test('one that refuses is known for a shorter time, and one that expires no longer than until then', async () => {
    const backend = logins();
    server.answering = json({ result: 'deny' });
    for (const step of [0, 4999, 1]) {
      now += step;
      assert.equal((await ask(backend)).outcome, 'deny');
    }
    assert.equal(server.asked.length, 2);
    server.answering = json({ result: 'allow', expire_at: now / 1000 + 10 });
    const bob = { username: 'bob' };
    assert.equal((await ask(backend, bob)).outcome, 'allow');
    now += 9999;
    assert.equal((await ask(backend, bob)).outcome, 'allow');
    assert.equal(server.asked.length, 3);
    now += 1;
    assert.equal((await ask(backend, bob)).outcome, 'deny');
    assert.equal(server.asked.length, 4);
  });

  test('access.http_cache and access.http_denied_cache of 0: each question is asked', async () => {
    const backend = logins({ cache: 0, deniedCache: 0 });
    for (const result of ['allow', 'allow', 'deny', 'deny']) {
      server.answering = json({ result });
      assert.equal((await ask(backend)).outcome, result);
    }
    assert.equal(server.asked.length, 4);
  });

  test('access.http_queue: one question too many is not asked, and the others are answered', async () => {
    const backend = logins({ concurrency: 1, queue: 1 });
    const answers: (() => void)[] = [];
    server.answering = (asked, response) => answers.push(() => json({ result: 'allow' })(asked, response));
    const first = ask(backend);
    const second = ask(backend, { username: 'bob' });
    assert.deepEqual(await ask(backend, { username: 'cat' }), {
      outcome: 'unavailable',
      busy: true,
      option: 'access.http_queue',
      reason: 'too many questions to the server of logins wait',
    });
    for (const [i, one] of [first, second].entries()) {
      await server.askedTimes(i + 1);
      answers[i]();
      assert.equal((await one).outcome, 'allow');
    }
    assert.equal(server.asked.length, 2);
  });

  test('a server of https is asked only if its certificate is of access.http_ca_file', async () => {
    const files = await CertificateFiles.make();
    const read = (name: string): Buffer => readFileSync(files.path(name));
    const secure = await LoginServer.start({ cert: read('server.pem'), key: read('server.key') });
    const known = new WebClient({ ca: read('ca.pem'), timeout: 2000, connections: 1, most: 1000 });
    const unknown = new WebClient({ ca: null, timeout: 2000, connections: 1, most: 1000 });
    try {
      const options = { url: secure.url, token: null, concurrency: 1, queue: 1, cache: 0, deniedCache: 0 };
      const asked = await new HttpLogins(
        options,
        known,
        () => counts,
        () => now,
      ).ask(ANN, () => true);
      assert.equal(asked.outcome, 'allow');
      const refused = await new HttpLogins(
        options,
        unknown,
        () => counts,
        () => now,
      ).ask(ANN, () => true);
      assert.ok(refused.outcome === 'unavailable' && /certificate/.test(refused.reason), JSON.stringify(refused));
      assert.equal(secure.asked.length, 1);
    } finally {
      known.close();
      unknown.close();
      await secure.close();
      await files.remove();
    }
  });
});

function endless(response: Parameters<LoginServer['answering']>[1]): void {
  const write = (): void => {
    if (!response.destroyed && response.write(Buffer.alloc(500, 0x20))) setImmediate(write);
    else response.once('drain', write);
  };
  write();
}

function cut(response: Parameters<LoginServer['answering']>[1]): void {
  response.writeHead(200, { 'content-length': 100 });
  response.write('{"result":"allow"}', () => response.destroy());
}
