/** CoAP over DTLS and TLS with certificates: the broker as a process, libcoap's clients, and MQTT on the other side. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico, temporaryFolder } from '../support/portico.js';
import { across, ask, CLIENTS, listening, logged, METER } from './coap-transports.js';
import { JsClient } from './mqttjs.js';
import { run } from './programs.js';
import { SysWatch } from './sys.js';

const HOST = '127.0.0.1';

describe('CoAP with certificates', { timeout: 180_000 }, () => {
  let files: CertificateFiles;
  let portico: Portico;
  let js: JsClient;
  let sys: SysWatch;
  /** The URIs of the listeners: with a CA of devices, where each needs a certificate, and over TLS the same two. */
  let optional: string;
  let required: string;
  let tlsOptional: string;
  let tlsRequired: string;

  before(async () => {
    files = await CertificateFiles.make();
    const folder = temporaryFolder();
    const psk = join(folder, 'psk');
    writeFileSync(psk, `meter-7:${Buffer.from('sesame').toString('hex')}\n`);
    const passwords = join(folder, 'passwords');
    writeFileSync(passwords, '');
    assert.equal((await run('mosquitto_passwd', ['-b', passwords, 'tom', 'secret'])).code, 0);
    const own = {
      cert_file: files.path('server.pem'),
      key_file: files.path('server.key'),
      ca_file: files.path('ca.pem'),
    };
    const secure = (type: string, require_certificate: boolean): object => ({
      ...{ type, host: HOST, port: 0 },
      ...own,
      require_certificate,
    });
    portico = await Portico.start((ports) => ({
      listeners: [
        ...listenersAt(ports),
        secure('coaps', false),
        secure('coaps', true),
        secure('coaps+tcp', false),
        secure('coaps+tcp', true),
      ],
      access: { psk_file: psk, password_file: passwords },
    }));
    const uri = async (type: string, which: number): Promise<string> => {
      const { port } = await listening(portico, `${type} on ${HOST}:0`, which);
      return `${type}://${HOST}:${port}`;
    };
    [optional, required] = [await uri('coaps', 0), await uri('coaps', 1)];
    [tlsOptional, tlsRequired] = [await uri('coaps+tcp', 0), await uri('coaps+tcp', 1)];
    const tom = { username: 'tom', password: 'secret' };
    js = await JsClient.connect(`mqtt://${HOST}:${portico.ports.mqtt}`, { ...tom, clientId: 'beside' });
    await js.subscribe('door/#', 1);
    sys = await SysWatch.start(portico.ports.mqtt, tom);
  });
  after(async () => {
    await portico?.dispose();
    await files?.remove();
  });

  /** A client's certificate and key, and the CA that the server's must be of. */
  const own = (name: string): string[] => ['-c', files.path(`${name}.pem`), '-j', files.path(`${name}.key`)];
  const mutual = (name: string): string[] => [...own(name), '-C', files.path('ca.pem')];
  const trust = (name = 'ca'): string[] => ['-R', files.path(`${name}.pem`)];

  /** The broker refuses a client; what its log says of it. */
  async function refusal(client: string, args: readonly string[], root: string): Promise<string> {
    const from = portico.logLines.length;
    const { stdout } = await run(client, ['-B', '3', ...args, `${root}/ps/door/x`]);
    assert.doesNotMatch(stdout.toString(), /door/);
    const { reason } = await logged(portico, ({ msg }) => msg.includes('handshake with'), from);
    return String(reason);
  }

  /** The client of the broker that has come since. */
  async function came(from: number): Promise<unknown[]> {
    const line = await logged(portico, ({ msg }) => msg.includes('connected from'), from);
    return [line.client, line.username, line.transport];
  }

  test('the log says at the start who may connect', async () => {
    const known = `devices with a certificate of ${files.path('ca.pem')}`;
    const { line } = await listening(portico, `coaps on ${HOST}:0`, 1);
    assert.ok(line.includes(`/psk and ${known} may connect (`), line);
    const tls = await listening(portico, `coaps+tcp on ${HOST}:0`, 1);
    assert.ok(tls.line.includes(`: only ${known} may connect (`), tls.line);
  });

  for (const client of CLIENTS) {
    test(`${client} over coaps: the common name is the user name; messages go both ways`, async () => {
      for (const root of [optional, required]) {
        const from = portico.logLines.length;
        await across(js, client, mutual('device'), root);
        assert.deepEqual(await came(from), ['coap-device', 'device', 'coaps']);
        await logged(portico, ({ reason }) => reason === 'the device closed its DTLS association', from);
      }
    });

    test(`${client} over coaps: a device with a key is served beside those with certificates`, async () => {
      const from = portico.logLines.length;
      await across(js, client, METER, required);
      assert.deepEqual(await came(from), ['coap-meter-7', 'meter-7', 'coaps']);
    });

    test(`${client} over coaps: certificates of another CA, expired ones and none are refused, and told with their reason`, async () => {
      // GnuTLS sends no certificate whose CA has not been named.
      const stranger = client.includes('gnutls') ? 'no client certificate' : 'unknown CA "CN=other-ca"';
      const growth = await sys.growth(async () => {
        for (const [args, root, reason] of [
          [own('stranger'), required, stranger],
          [own('forged'), optional, 'unknown CA "CN=ca"'],
          [[], required, 'no client certificate'],
          [own('expired'), optional, 'certificate expired "CN=expired"'],
        ] as const) {
          // The log of a listener has one such line a second.
          if (root === required) await sys.passed(1);
          assert.equal(await refusal(client, [...args, ...trust()], root), reason);
        }
      });
      assert.equal(growth('coap/dtlsCertificatesRefused'), 4);
    });

    test(`${client} over coaps: who shows no certificate where none is required is let in with a password only`, async () => {
      const refused = await run(client, ['-B', '5', ...trust(), '-m', 'put', '-e', 'x', `${optional}/ps/door/x`]);
      assert.match(refused.stdout.toString() + refused.stderr, /4\.01/);
      const connection = `${optional}/mqtt/connection?clientid=c`;
      const credentials = '&username=tom&password=secret';
      const token = await ask(client, ...trust(), '-v', '3', '-m', 'post', `${connection}${credentials}`);
      assert.match(token, /^[\w-]{22}$/);
      await ask(client, ...trust(), '-m', 'delete', `${connection}&token=${token}`);
    });

    test(`${client} over coaps: a server of a CA that the device does not trust is left alone`, async () => {
      const { stdout } = await run(client, ['-B', '3', ...trust('other-ca'), `${optional}/ps/door/x`]);
      assert.doesNotMatch(stdout.toString(), /\b[24]\.0\d\b/);
    });
  }

  test('coap-client-openssl over coaps+tcp: the common name is the user name; messages go both ways', async () => {
    for (const root of [tlsOptional, tlsRequired]) {
      const from = portico.logLines.length;
      await across(js, CLIENTS[0], mutual('device'), root);
      assert.deepEqual(await came(from), ['coap-device', 'device', 'coaps+tcp']);
      await logged(portico, ({ reason }) => reason === 'its TCP connection was closed', from);
    }
  });

  test('coap-client-openssl over coaps+tcp: no certificate, one of another CA and an expired one are refused with their reason', async () => {
    const [client] = CLIENTS;
    const growth = await sys.growth(async () => {
      assert.equal(await refusal(client, trust(), tlsRequired), 'no client certificate');
      assert.equal(
        await refusal(client, [...own('stranger'), ...trust()], tlsOptional),
        'client certificate refused: unable to verify leaf signature, "CN=stranger"',
      );
      await sys.passed(1);
      assert.equal(
        await refusal(client, [...own('expired'), ...trust()], tlsRequired),
        'client certificate refused: cert has expired, "CN=expired"',
      );
    });
    assert.equal(growth('coap/tcpHandshakesFailed'), 3);
    const anonymous = await run(client, ['-B', '5', ...trust(), `${tlsOptional}/ps/door/x`]);
    assert.match(anonymous.stdout.toString() + anonymous.stderr, /4\.01/);
  });
});

describe('CoAP with the certificate of the server alone', { timeout: 60_000 }, () => {
  let files: CertificateFiles;
  let portico: Portico;
  let js: JsClient;
  let root: string;

  before(async () => {
    files = await CertificateFiles.make();
    portico = await Portico.start((ports) => ({
      listeners: [
        ...listenersAt(ports),
        { type: 'coaps', host: HOST, port: 0, cert_file: files.path('server.pem'), key_file: files.path('server.key') },
      ],
    }));
    const { port, line } = await listening(portico, `coaps on ${HOST}:0`);
    assert.match(line, /: anyone on this machine may connect without a password \(/);
    root = `coaps://${HOST}:${port}`;
    js = await JsClient.connect(`mqtt://${HOST}:${portico.ports.mqtt}`, { clientId: 'beside' });
    await js.subscribe('door/#', 1);
  });
  after(async () => {
    await portico?.dispose();
    await files?.remove();
  });

  for (const client of CLIENTS) {
    test(`${client}: the device knows the server and is anonymous; messages go both ways; keys are not taken`, async () => {
      await across(js, client, ['-R', files.path('ca.pem')], root);
      const { stdout } = await run(client, ['-B', '3', ...METER, `${root}/ps/door/x`]);
      assert.match(stdout.toString(), /handshake failure|Handshake failed/i);
    });
  }
});
