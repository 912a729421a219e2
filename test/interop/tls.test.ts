/** MQTT over TLS: the broker as a process, and clients that others wrote. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { MQTT_VERSIONS, publish, Subscriber, tryPublish } from './mosquitto.js';
import { JsClient } from './mqttjs.js';
import { PahoClient } from './paho.js';
import { HOST, KEY, TlsScene } from './tls-scene.js';

const TOM = ['-u', 'tom', '-P', 'secret'];
const JS_TOM = { username: 'tom', password: 'secret' };
const PSK = ['--psk-identity', 'meter-7', '--psk', KEY];

describe('MQTT over TLS', { timeout: 240_000 }, () => {
  let scene: TlsScene;
  let ca: Buffer;

  before(async () => {
    scene = await TlsScene.start();
    ca = readFileSync(scene.path('ca.pem'));
  });
  after(() => scene?.dispose());

  for (const version of MQTT_VERSIONS) {
    // What its clients are told of a version is the lowest one, so the listener says which it is.
    for (const [tls, listener] of [
      ['tlsv1.2', 'old'],
      ['tlsv1.3', 'modern'],
    ] as const) {
      test(`mosquitto_pub and mosquitto_sub over ${tls}, ${version}: messages go both ways`, async () => {
        const args = [...scene.mosquitto(), ...TOM, '--tls-version', tls];
        const subscriber = await Subscriber.start(scene.ports[listener], version, [...args, '-t', 'a/b', '-q', '2']);
        await publish(scene.ports[listener], version, [...args, '-t', 'a/b', '-q', '2', '-m', `${tls} ${version}`]);
        assert.deepEqual(await subscriber.payloads(1), [`${tls} ${version}`]);
        await subscriber.end();
      });
    }
  }

  test('a password is asked for as without TLS', async () => {
    const mark = scene.mark;
    const wrong = [...scene.mosquitto(), '-u', 'tom', '-P', 'wrong'];
    const { code } = await tryPublish(scene.ports.plain, 'mqttv311', [...wrong, '-t', 'a', '-m', 'x']);
    assert.notEqual(code, 0);
    assert.equal(await scene.refusal(mark), 'bad user name or password');
  });

  test('paho with tls_set, and with a certificate of its own', async () => {
    const trust = { ca_certs: scene.path('ca.pem') };
    const tom = await PahoClient.connect(scene.ports.plain, { client_id: 'paho', tls: trust, ...JS_TOM });
    await tom.subscribe('device/#', 1);
    const mark = scene.mark;
    const own = { ...trust, certfile: scene.path('device.pem'), keyfile: scene.path('device.key') };
    const device = await PahoClient.connect(scene.ports.required, { client_id: 'paho-device', tls: own, version: 5 });
    const { username, transport } = await scene.came(mark, 'paho-device');
    assert.deepEqual([username, transport], ['device', 'mqtts']);
    await device.publish('device/state', 'here', 1);
    assert.equal((await tom.next()).payload.toString(), 'here');
    await device.disconnect();
    await tom.disconnect();
  });

  test('paho over secure WebSocket', async () => {
    const tls = { ca_certs: scene.path('ca.pem') };
    const options = { client_id: 'paho-wss', transport: 'websockets', ws_path: '/mqtt', tls, ...JS_TOM } as const;
    const client = await PahoClient.connect(scene.ports.webSocket, options);
    await client.subscribe('w/1', 1);
    await client.publish('w/1', 'over wss', 1);
    assert.equal((await client.next()).payload.toString(), 'over wss');
    await client.disconnect();
  });

  for (const [scheme, listener] of [
    ['mqtts', 'plain'],
    ['wss', 'webSocket'],
  ] as const) {
    test(`MQTT.js over ${scheme}: large messages arrive byte for byte, and the log names the transport`, async () => {
      const mark = scene.mark;
      const url = `${scheme}://${HOST}:${scene.ports[listener]}`;
      const client = await JsClient.connect(url, { ...JS_TOM, ca, clientId: `js-${scheme}` });
      assert.equal((await scene.came(mark, `js-${scheme}`)).transport, scheme);
      await client.subscribe('large', 1);
      const payloads = Array.from({ length: 12 }, (_, i) => Buffer.alloc(1_000_000 + i, `${i} of the payloads, `));
      for (const payload of payloads) client.raw.publish('large', payload, { qos: 1 });
      for (const payload of payloads) assert.ok((await client.next('large')).payload.equals(payload));
      await client.end();
    });
  }

  test('openssl that does not know the CA: the reason is in the log, and counted', async () => {
    const mark = scene.mark;
    const growth = await scene.sys.growth(async () => {
      await scene.openssl('plain', '-CAfile', scene.path('other-ca.pem'), '-verify_return_error');
      const reason = await scene.refusal(mark);
      assert.equal(reason, 'TLS handshake: the client does not know the CA of the listener’s certificate');
    });
    assert.equal(growth('tls/handshakes/failed'), 1);
  });

  test('openssl: versions and cipher suites are those of the listener', async () => {
    for (const [listener, args, says] of [
      ['plain', [], /Protocol version: TLSv1\.3/],
      ['plain', ['-tls1_2'], /Protocol version: TLSv1\.2/],
      ['plain', ['-alpn', 'mqtt'], /Protocol version: TLSv1\.3/],
      ['webSocket', ['-alpn', 'h2,http/1.1'], /Protocol version: TLSv1\.3/],
      ['modern', ['-tls1_3'], /Protocol version: TLSv1\.3/],
      ['old', [], /Protocol version: TLSv1\.2\nCiphersuite: ECDHE-ECDSA-AES256-GCM-SHA384/],
      ['old', ['-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305'], /Ciphersuite: ECDHE-ECDSA-CHACHA20-POLY1305/],
      ['suites', ['-tls1_3'], /Ciphersuite: TLS_CHACHA20_POLY1305_SHA256/],
      ['suites', ['-tls1_2'], /Protocol version: TLSv1\.2/],
    ] as const) {
      const said = await scene.openssl(listener, ...args);
      assert.match(said, says, `${listener} ${args.join(' ')}`);
      assert.match(said, /Verification: OK/);
    }
    const version = 'TLS handshake: the client speaks no version of TLS that the listener does';
    const suite = 'TLS handshake: the client has no cipher suite that the listener has';
    for (const [listener, args, reason] of [
      ['plain', ['-tls1_1', '-cipher', 'ALL@SECLEVEL=0'], version],
      ['plain', ['-tls1', '-cipher', 'ALL@SECLEVEL=0'], version],
      ['modern', ['-tls1_2'], version],
      ['old', ['-tls1_3'], version],
      ['old', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256'], suite],
      ['plain', ['-tls1_2', '-cipher', 'PSK', '-psk', KEY, '-psk_identity', 'meter-7'], suite],
      ['suites', ['-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'], suite],
      ['plain', ['-alpn', 'h2'], 'TLS handshake: the client speaks no protocol that the listener does (ALPN)'],
    ] as const) {
      const mark = scene.mark;
      await scene.openssl(listener, ...args);
      assert.equal(await scene.refusal(mark), reason, `${listener} ${args.join(' ')}`);
    }
  });

  test('a certificate: its common name is the user of the ACL, whatever CONNECT says; no password is asked for', async () => {
    for (const listener of ['asked', 'required'] as const) {
      const mark = scene.mark;
      const args = [...scene.mosquitto('device'), '-i', `by-${listener}`, '-u', 'tom', '-P', 'not the password'];
      const subscriber = await Subscriber.start(scene.ports[listener], 'mqttv5', [
        ...args,
        '-t',
        'device/#',
        '-q',
        '1',
      ]);
      assert.equal((await scene.came(mark, `by-${listener}`)).username, 'device');
      await publish(scene.ports.plain, 'mqttv5', [...scene.mosquitto(), ...TOM, '-t', 'device/x', '-m', listener]);
      assert.deepEqual(await subscriber.payloads(1), [listener]);
      await subscriber.end();
      const others = [...scene.mosquitto('device'), '-q', '1', '-t', 'other', '-m', 'x'];
      const { stderr } = await tryPublish(scene.ports[listener], 'mqttv5', others);
      assert.match(stderr, /Not authorized/);
    }
  });

  test('without a certificate where one is asked for, a password is; where one is required, nobody comes in', async () => {
    await publish(scene.ports.asked, 'mqttv311', [...scene.mosquitto(), ...TOM, '-t', 'a', '-q', '1', '-m', 'x']);
    let mark = scene.mark;
    await tryPublish(scene.ports.asked, 'mqttv311', [...scene.mosquitto(), '-t', 'a', '-q', '1', '-m', 'x']);
    assert.equal(await scene.refusal(mark), 'no user name, and anonymous clients are not allowed');
    mark = scene.mark;
    const { code } = await tryPublish(scene.ports.required, 'mqttv311', [
      ...scene.mosquitto(),
      ...TOM,
      '-t',
      'a',
      '-m',
      'x',
    ]);
    assert.notEqual(code, 0);
    assert.equal(await scene.refusal(mark), 'TLS handshake: no client certificate');
  });

  test('certificates of another CA, expired and revoked ones are refused, each with its reason', async () => {
    const growth = await scene.sys.growth(async () => {
      for (const [name, reason] of [
        ['stranger', 'unable to verify leaf signature, "CN=stranger"'],
        ['forged', 'unable to verify leaf signature, "CN=forged"'],
        ['expired', 'cert has expired, "CN=expired"'],
        ['revoked', 'cert revoked, "CN=revoked"'],
      ]) {
        const mark = scene.mark;
        const args = [...scene.mosquitto(name), '-t', 'device/x', '-q', '1', '-m', 'x'];
        assert.notEqual((await tryPublish(scene.ports.required, 'mqttv311', args)).code, 0);
        const said = await scene.refusal(mark);
        if (name === 'forged') assert.match(said, /client certificate refused: .*, "CN=forged"$/);
        else assert.equal(said, `TLS handshake: client certificate refused: ${reason}`);
      }
    });
    assert.equal(growth('tls/handshakes/failed'), 4);
  });

  test('username_from connect: a certificate opens the door, and the password says who it is', async () => {
    const mark = scene.mark;
    const args = [...scene.mosquitto('device'), '-i', 'at-the-door', '-t', 'a', '-q', '1', '-m', 'x'];
    await publish(scene.ports.door, 'mqttv311', [...args, ...TOM]);
    assert.equal((await scene.came(mark, 'at-the-door')).username, 'tom');
    assert.notEqual((await tryPublish(scene.ports.door, 'mqttv311', args)).code, 0);
    assert.equal(await scene.refusal(mark), 'no user name, and anonymous clients are not allowed');
  });

  test('username_from subject: the user name is the subject as openssl writes it by RFC 2253', async () => {
    for (const [i, subject] of [
      '/C=GB/O=Example, Inc./CN=meter 7',
      '/O=Größe \\+ mehr/OU=#1/CN= spaces ',
      '/DC=org/DC=example/OU=a"b;c<d>e/CN=one+UID=two',
    ].entries()) {
      const openssl = (...args: string[]) =>
        execFileSync('openssl', args, {
          cwd: scene.files.folder,
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        });
      const names = ['-utf8', '-multivalue-rdn', '-subj', subject];
      openssl('req', '-new', '-key', 'device.key', ...names, '-out', 'subject.csr');
      openssl(
        'x509',
        '-req',
        '-in',
        'subject.csr',
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-days',
        '2',
        '-out',
        'subject.pem',
      );
      const expected = openssl('x509', '-in', 'subject.pem', '-noout', '-subject', '-nameopt', 'RFC2253');
      const mark = scene.mark;
      const url = `wss://${HOST}:${scene.ports.subject}`;
      const own = { cert: readFileSync(scene.path('subject.pem')), key: readFileSync(scene.path('device.key')) };
      const client = await JsClient.connect(url, { ca, ...own, clientId: `subject-${i}` });
      const { username, transport } = await scene.came(mark, `subject-${i}`);
      assert.equal(username, expected.replace(/^subject=/, '').replace(/\n$/, ''));
      assert.equal(transport, 'wss');
      await client.end();
    }
  });

  for (const [tls, listener] of [
    ['tlsv1.2', 'pskOld'],
    ['tlsv1.3', 'psk'],
  ] as const) {
    test(`mosquitto_pub --psk over ${tls}: the identity is the user name; other keys and identities are refused with their reason`, async () => {
      const mark = scene.mark;
      const args = ['--tls-version', tls, '-i', `psk-${tls}`, '-t', 'meter-7/x', '-q', '1', '-m', tls];
      const subscriber = await Subscriber.start(scene.ports.plain, 'mqttv5', [
        ...scene.mosquitto(),
        ...TOM,
        '-t',
        'meter-7/#',
      ]);
      await publish(scene.ports[listener], 'mqttv5', [...PSK, ...args]);
      assert.deepEqual(await subscriber.payloads(1), [tls]);
      await subscriber.end();
      const { username, transport } = await scene.came(mark, `psk-${tls}`);
      assert.deepEqual([username, transport], ['meter-7', 'mqtts']);
      for (const [identity, key, reason] of [
        ['meter-7', 'decaf0', /^TLS handshake: identity "meter-7" has another key in access\.psk_file, or: /],
        ['nobody', KEY, /^TLS handshake: identity "nobody" is not in access\.psk_file$/],
      ] as const) {
        const from = scene.mark;
        const { code } = await tryPublish(scene.ports[listener], 'mqttv5', [
          '--psk-identity',
          identity,
          '--psk',
          key,
          ...args,
        ]);
        assert.notEqual(code, 0);
        assert.match(await scene.refusal(from), reason);
      }
    });
  }

  for (const [version, listener] of [
    ['-tls1_2', 'pskOld'],
    ['-tls1_3', 'psk'],
  ] as const) {
    test(`${version}: a client without a key finds nothing at a listener of keys, whatever certificate or session it has`, async () => {
      const session = scene.path(`session${version}`);
      const key = ['-cipher', 'PSK', '-psk', KEY, '-psk_identity', 'meter-7'];
      const said = await scene.openssl(listener, version, ...key, '-sess_out', session);
      assert.match(said, /Protocol version: TLSv1\.[23]\n/);
      const certificate = ['-cert', scene.path('device.pem'), '-key', scene.path('device.key')];
      for (const args of [certificate, existsSync(session) ? ['-sess_in', session] : []]) {
        const mark = scene.mark;
        await scene.openssl(listener, version, ...args);
        const reason = 'the client shows no pre-shared key, or has no cipher suite that the listener has';
        assert.equal(await scene.refusal(mark), `TLS handshake: ${reason}`);
      }
    });
  }

  test('garbage in the place of a handshake, and clients that are slow with it, are closed, told and counted', async () => {
    const growth = await scene.sys.growth(async () => {
      for (const port of [scene.ports.plain, scene.ports.webSocket, scene.ports.required, scene.ports.psk]) {
        for (const [bytes, reason] of [
          ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'TLS handshake: what came is HTTP, not TLS'],
          ['\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00', 'TLS handshake: what came is no TLS'],
        ]) {
          const mark = scene.mark;
          const socket = connect(port, HOST);
          socket.on('error', () => {});
          socket.write(bytes, 'latin1');
          await once(socket, 'close');
          assert.equal(await scene.refusal(mark), reason);
        }
      }
      const mark = scene.mark;
      const slow = [scene.ports.plain, scene.ports.webSocket].map((port) => {
        const socket = connect(port, HOST);
        socket.on('error', () => {});
        // The beginning of a ClientHello.
        socket.write(Buffer.from('160301020001', 'hex'));
        return once(socket, 'close');
      });
      await Promise.all(slow);
      assert.equal(await scene.refusal(mark), 'no TLS handshake within mqtt.connect_timeout');
    });
    assert.equal(growth('tls/handshakes/failed'), 8);
    assert.equal(growth('errors/connect_timeout'), 2);
  });

  test('a client that says no CONNECT after its handshake, and one that asks for no WebSocket, are closed and counted', async () => {
    const growth = await scene.sys.growth(async () => {
      for (const listener of ['plain', 'webSocket'] as const) {
        const mark = scene.mark;
        const client = connectTls({ port: scene.ports[listener], host: HOST, ca });
        await once(client, 'close');
        assert.match(await scene.refusal(mark), / within mqtt\.connect_timeout$/);
      }
    });
    assert.equal(growth('tls/handshakes/done'), 2);
    assert.equal(growth('errors/connect_timeout'), 2);
  });

  // The last one: when the broker hears of it is open.
  for (const [scheme, listener] of [
    ['mqtts', 'plain'],
    ['wss', 'webSocket'],
  ] as const) {
    test(`MQTT.js over ${scheme} leaves a broker whose CA it does not know`, async () => {
      const url = `${scheme}://${HOST}:${scene.ports[listener]}`;
      await assert.rejects(JsClient.connect(url, JS_TOM), /self-signed|unable to verify/);
    });
  }
});
