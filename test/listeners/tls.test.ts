/** TLS before MQTT: who comes in, as whom, and why others do not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { Made } from '../coap/dtls/certificates.js';
import { CA, issued, OTHER_CA, pem, Scene, SERVER, shows, VALID } from './tls-scene.js';

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
const DAY = 86_400_000;
const ASKED = { context: { ...SERVER, ca: pem(CA.der) }, demand: { certificate: 'asked' } } as const;
const REQUIRED = { context: { ...SERVER, ca: pem(CA.der) }, demand: { certificate: 'required' } } as const;

for (const maxVersion of VERSIONS) {
  test(`${maxVersion}: bytes go both ways, and ALPN is mqtt`, async (context) => {
    const scene = await Scene.open(context);
    const client = scene.client({ maxVersion, ALPNProtocols: ['foo', 'mqtt'] });
    client.write('ping');
    const outcome = await scene.next();
    assert.ok(outcome.kind === 'accepted');
    assert.equal(outcome.username, null);
    assert.equal(outcome.socket.getProtocol(), maxVersion);
    const [ping] = await once(outcome.socket, 'data');
    assert.equal(String(ping), 'ping');
    outcome.socket.write('pong');
    const [pong] = await once(client, 'data');
    assert.equal(String(pong), 'pong');
    assert.equal(client.alpnProtocol, 'mqtt');
    assert.deepEqual(scene.left, []);
  });

  test(`${maxVersion}: the common name of a good certificate is the user name; without one there is none`, async (context) => {
    for (const wish of [ASKED, REQUIRED]) {
      const scene = await Scene.open(context, wish);
      scene.client({ maxVersion, ...issued({ names: ['meter-7'] }) });
      assert.equal(await scene.refusal(), 'accepted meter-7');
    }
    const scene = await Scene.open(context, ASKED);
    scene.client({ maxVersion });
    assert.equal(await scene.refusal(), 'accepted null');
  });

  test(`${maxVersion}: username_from connect takes no name from a certificate, and subject the whole one`, async (context) => {
    for (const [usernameFrom, username] of [
      ['connect', 'null'],
      ['subject', 'CN=meter-7'],
    ] as const) {
      const scene = await Scene.open(context, { ...REQUIRED, demand: { ...REQUIRED.demand, usernameFrom } });
      scene.client({ maxVersion, ...issued({ names: ['meter-7'] }) });
      assert.equal(await scene.refusal(), `accepted ${username}`);
    }
  });

  test(`${maxVersion}: a bad certificate, or none where one is required, is refused with its reason`, async (context) => {
    const refused = (code: string, subject: string): string => `client certificate refused: ${code}, "CN=${subject}"`;
    for (const [options, wish, reason] of [
      [{}, REQUIRED, 'no client certificate'],
      [shows(OTHER_CA.issue(VALID)), ASKED, refused('unable to verify leaf signature', 'device')],
      [issued({ to: Date.now() - DAY / 2 }), ASKED, refused('cert has expired', 'device')],
      [issued({ from: Date.now() + DAY / 2 }), REQUIRED, refused('cert not yet valid', 'device')],
      [issued({ usages: [1] }), ASKED, refused('invalid purpose', 'device')],
      [
        shows(new Made({ ...VALID, names: ['the CA'], ca: true }).issue(VALID)),
        ASKED,
        refused('cert signature failure', 'device'),
      ],
      [issued({ names: ['one', 'two'] }), ASKED, 'no common name that could be an identity "CN=one\\nCN=two"'],
    ] as [ConnectionOptions, typeof ASKED | typeof REQUIRED, string][]) {
      const scene = await Scene.open(context, wish);
      const client = scene.client({ maxVersion, ...options });
      assert.equal(await scene.refusal(), `handshake: ${reason}`);
      await once(client, 'close');
      assert.equal(scene.left.length, 1, 'its place at the gate is free');
    }
  });

  test(`${maxVersion}: a new certificate is shown to who comes from then on; who is there stays, and no session of before is resumed`, async (context) => {
    const scene = await Scene.open(context, REQUIRED);
    const first = scene.client({ maxVersion, ...issued() });
    const ticket = once(first, 'session') as Promise<[Buffer]>;
    const outcome = await scene.next();
    assert.ok(outcome.kind === 'accepted');
    outcome.socket.write('x');
    await once(first, 'data');
    const [session] = await ticket;

    const again = scene.client({ maxVersion, session });
    assert.equal(await scene.refusal(), 'accepted device');
    assert.ok(again.isSessionReused(), 'before the change');

    scene.renew({ ...issued({ names: ['new server'] }), ca: pem(CA.der) });
    const other = scene.client({ maxVersion, session, ...issued({ names: ['second'] }) });
    assert.equal(await scene.refusal(), 'accepted second');
    assert.equal(other.isSessionReused(), false);
    assert.equal(other.getPeerCertificate().subject.CN, 'new server');

    first.write('still here');
    const [bytes] = await once(outcome.socket, 'data');
    assert.equal(String(bytes), 'still here');
  });
}

test('what is no TLS, has nothing in common or breaks off is refused in words', async (context) => {
  const scene = await Scene.open(context, { context: { ...SERVER, minVersion: 'TLSv1.3' } });
  for (const [bytes, reason] of [
    ['GET / HTTP/1.1\r\n\r\n', 'what came is HTTP, not TLS'],
    ['\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00', 'what came is no TLS'],
    ['something else entirely', 'what came is no TLS'],
  ]) {
    const client = await scene.plain();
    client.write(bytes, 'latin1');
    assert.equal(await scene.refusal(), `handshake: ${reason}`);
    if (!client.closed) await once(client, 'close');
  }
  scene.client({ maxVersion: 'TLSv1.2' });
  assert.equal(await scene.refusal(), 'handshake: the client speaks no version of TLS that the listener does');
  scene.client({ ALPNProtocols: ['h2'] });
  assert.equal(await scene.refusal(), 'handshake: the client speaks no protocol that the listener does (ALPN)');
  scene.client({ ciphers: 'TLS_AES_128_CCM_SHA256' });
  assert.equal(await scene.refusal(), 'handshake: the client has no cipher suite that the listener has');
  const broken = await scene.plain();
  broken.write(Buffer.from([0x16, 0x03, 0x01]));
  broken.end();
  assert.equal(await scene.refusal(), 'handshake: the client closed the connection before the handshake was done');
});

test('a pre-shared key names its user; another key and an identity that nobody has fail alike, and the reasons differ', async (context) => {
  const key = Buffer.from('c0ffee', 'hex');
  for (const [usernameFrom, username] of [
    ['identity', 'meter-7'],
    ['subject', 'meter-7'],
    ['connect', 'null'],
  ] as const) {
    const wish = { keys: new Map([['meter-7', key]]), context: { ciphers: 'PSK' }, demand: { usernameFrom } };
    const scene = await Scene.open(context, wish);
    const shake = async (identity: string, psk: Buffer): Promise<readonly [string, string]> => {
      const options = { ciphers: 'PSK', pskCallback: () => ({ identity, psk }), checkServerIdentity: () => undefined };
      const client = scene.client(options);
      const said = new Promise<string>((resolve) => {
        client.once('error', ({ message }) => resolve(/alert ([a-z ]+):/.exec(message)?.[1] ?? message));
        client.once('secureConnect', () => resolve('done'));
      });
      return [await scene.refusal(), await said];
    };
    assert.deepEqual(await shake('meter-7', key), [`accepted ${username}`, 'done']);
    const [wrong, alert] = await shake('meter-7', Buffer.from('decaf0', 'hex'));
    assert.match(wrong, /^handshake: identity "meter-7" has another key in access\.psk_file, or: /);
    assert.deepEqual(await shake('nobody', key), ['handshake: identity "nobody" is not in access.psk_file', alert]);
  }
});

test('who finds no place at the gate is closed before a byte of it is read', async (context) => {
  const scene = await Scene.open(context, { options: { enter: () => null } });
  const client = scene.client();
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
});

test('limits.connects_per_second: no handshake begins before its turn', async (context) => {
  const scene = await Scene.open(context, { waits: true });
  const [first, second] = [scene.client(), scene.client()];
  while (scene.waiting.length < 2) await once(scene.client(), 'connect');
  assert.equal(first.bytesRead + second.bytesRead, 0);
  for (const arrival of scene.waiting) arrival.unhold();
  assert.equal(await scene.refusal(), 'accepted null');
  assert.equal(await scene.refusal(), 'accepted null');
});

for (const [who, wish, bytes] of [
  ['says nothing', {}, []],
  ['sends a byte now and then', {}, [0x16, 0x03, 0x01, 0x02]],
  ['waits for its turn', { waits: true }, []],
] as const) {
  test(`a client that ${who} is closed after mqtt.connect_timeout, and told of with its address`, async (context) => {
    const scene = await Scene.open(context, { ...wish, timeout: 0.3 });
    const client = await scene.plain();
    const remote = `127.0.0.1:${client.localPort}`;
    let next = 0;
    const timer = setInterval(() => {
      if (next < bytes.length && !client.destroyed) client.write(Buffer.from([bytes[next++] ?? 0]));
    }, 50);
    const outcome = await scene.next();
    clearInterval(timer);
    assert.deepEqual(outcome, { kind: 'timeout', reason: 'no TLS handshake within mqtt.connect_timeout', remote });
    if (!client.closed) await once(client, 'close');
    assert.equal(scene.left.length, 1);
  });
}

test('the end of a listener ends handshakes that are under way, and is not told as their failure', async (context) => {
  const scene = await Scene.open(context, { timeout: 60 });
  const client = await scene.plain();
  client.write(Buffer.from([0x16]));
  const done = scene.client();
  assert.equal(await scene.refusal(), 'accepted null');
  const closed = scene.listener.close();
  await once(client, 'close');
  done.destroy();
  await closed;
  assert.equal(scene.left.length, 1);
});
