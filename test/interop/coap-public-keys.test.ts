/** CoAP over DTLS with raw public keys (RFC 7250): the broker as a process, libcoap's client of GnuTLS, and MQTT on the other side. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico, temporaryFolder } from '../support/portico.js';
import { across, ask, listening, logged, METER } from './coap-transports.js';
import { JsClient } from './mqttjs.js';
import { Program, run } from './programs.js';
import { SysWatch } from './sys.js';

const HOST = '127.0.0.1';
const GNUTLS = 'coap-client-gnutls';
const KEYS = ['meter', 'tom', 'stranger'] as const;

describe('CoAP with raw public keys', { timeout: 120_000 }, () => {
  const folder = temporaryFolder();
  const path = (file: string): string => join(folder, file);
  /** The client would rather have a certificate of the server, and then verifies it. */
  const device = (name: (typeof KEYS)[number]): string[] => ['-M', path(`${name}.key`), '-R', files.path('ca.pem')];
  let files: CertificateFiles;
  let portico: Portico;
  let js: JsClient;
  let sys: SysWatch;
  /** The URIs of the listeners: one with a key alone, and one with a certificate, a CA of devices and `require_certificate`. */
  let keyed: string;
  let required: string;

  /** The line of a user, made as the documentation says. */
  function lineOf(user: string): string {
    const info = `openssl pkey -in ${path(`${user}.key`)} -pubout -outform DER | openssl base64 -A`;
    return execFileSync('sh', ['-c', `echo "${user}:$(${info})"`]).toString();
  }

  before(async () => {
    files = await CertificateFiles.make();
    for (const name of ['own', ...KEYS]) {
      execFileSync('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path(`${name}.key`)]);
    }
    writeFileSync(path('keys'), `# devices\n${lineOf('meter')}${lineOf('tom')}`);
    writeFileSync(path('psk'), `meter-7:${Buffer.from('sesame').toString('hex')}\n`);
    writeFileSync(
      path('acl'),
      'user meter\ntopic readwrite door/#\nuser meter-7\ntopic readwrite door/#\nuser tom\ntopic readwrite #\ntopic read $SYS/#\n',
    );
    writeFileSync(path('passwords'), '');
    assert.equal((await run('mosquitto_passwd', ['-b', path('passwords'), 'tom', 'secret'])).code, 0);
    const coaps = { type: 'coaps', host: HOST, port: 0 };
    const own = { cert_file: files.path('server.pem'), key_file: files.path('server.key') };
    portico = await Portico.start((ports) => ({
      listeners: [
        ...listenersAt(ports),
        { ...coaps, key_file: path('own.key') },
        { ...coaps, ...own, ca_file: files.path('ca.pem'), require_certificate: true },
      ],
      access: {
        public_key_file: path('keys'),
        psk_file: path('psk'),
        password_file: path('passwords'),
        acl_file: path('acl'),
      },
    }));
    const uri = async (which: number): Promise<string> => {
      const { port } = await listening(portico, `coaps on ${HOST}:0`, which);
      return `coaps://${HOST}:${port}`;
    };
    [keyed, required] = [await uri(0), await uri(1)];
    const tom = { username: 'tom', password: 'secret' };
    js = await JsClient.connect(`mqtt://${HOST}:${portico.ports.mqtt}`, { ...tom, clientId: 'beside' });
    await js.subscribe('door/#', 1);
    sys = await SysWatch.start(portico.ports.mqtt, tom);
  });
  after(async () => {
    await portico?.dispose();
    await files?.remove();
  });

  /** The client of the broker that has come since. */
  async function came(from: number): Promise<unknown[]> {
    const line = await logged(portico, ({ msg }) => msg.includes('connected from'), from);
    return [line.client, line.username, line.transport];
  }

  /** The broker refuses a client; what its log says of it, once a second at most. */
  async function refusal(args: readonly string[], root: string): Promise<string> {
    await sys.passed(1);
    const from = portico.logLines.length;
    const { stdout } = await run(GNUTLS, ['-B', '3', ...args, `${root}/ps/door/x`]);
    assert.doesNotMatch(stdout.toString(), /2\.05|door/);
    const { reason } = await logged(portico, ({ msg }) => msg.includes('handshake with'), from);
    return String(reason);
  }

  test('the log says at the start who may connect', async () => {
    const known = `devices with a public key of ${path('keys')}`;
    const keys = `devices with a key of ${path('psk')}`;
    const first = await listening(portico, `coaps on ${HOST}:0`, 0);
    assert.ok(
      first.line.includes(`: only ${keys} and ${known} and users of ${path('passwords')} may connect`),
      first.line,
    );
    const { line } = await listening(portico, `coaps on ${HOST}:0`, 1);
    const certified = `devices with a certificate of ${files.path('ca.pem')}`;
    assert.ok(line.includes(`: only ${keys} and ${known} and ${certified} may connect (`), line);
  });

  test('the name of the key is the user name; messages go both ways, also beside certificates', async () => {
    for (const root of [keyed, required]) {
      const from = portico.logLines.length;
      await across(js, GNUTLS, device('meter'), root);
      assert.deepEqual(await came(from), ['coap-meter', 'meter', 'coaps']);
      await logged(portico, ({ reason }) => reason === 'the device closed its DTLS association', from);
    }
  });

  test('the ACL of the user holds for the device: of two keys one may publish elsewhere', async () => {
    const put = async (name: (typeof KEYS)[number]): Promise<string> => {
      const { stdout, stderr } = await run(GNUTLS, [
        '-B',
        '5',
        ...device(name),
        '-m',
        'put',
        '-e',
        'x',
        `${keyed}/ps/y`,
      ]);
      return stdout.toString() + stderr;
    };
    assert.match(await put('meter'), /4\.03/);
    assert.doesNotMatch(await put('tom'), /4\.0/);
  });

  test('devices with certificates and pre-shared keys are served beside', async () => {
    const certified = ['-c', files.path('device.pem'), '-j', files.path('device.key'), '-C', files.path('ca.pem')];
    const from = portico.logLines.length;
    const { stdout, stderr } = await run(GNUTLS, ['-B', '5', ...certified, `${required}/ps/door/x`]);
    // Its certificate is good, and the ACL has nothing for it.
    assert.match(stdout.toString() + stderr, /4\.0/);
    assert.deepEqual(await came(from), ['coap-device', 'device', 'coaps']);
    for (const root of [keyed, required]) await ask(GNUTLS, ...METER, '-m', 'put', '-e', 'x', `${root}/ps/door/psk`);
  });

  test('an unknown key, and none where one is required, are refused, counted, and told with the reason', async () => {
    const growth = await sys.growth(async () => {
      const [, unknown] = lineOf('stranger').trim().split(':');
      for (const root of [keyed, required]) {
        assert.equal(await refusal(device('stranger'), root), `unknown raw public key "${unknown}"`);
      }
      assert.equal(await refusal(['-n'], required), 'no client certificate');
    });
    assert.equal(growth('coap/dtlsPublicKeysRefused'), 2);
    assert.equal(growth('coap/dtlsCertificatesRefused'), 1);
    assert.equal(growth('coap/dtlsHandshakesUnauthentic'), 3);
  });

  test('who has no key where none is required needs a password', async () => {
    const refused = await run(GNUTLS, ['-B', '5', '-n', `${keyed}/ps/door/x`]);
    assert.match(refused.stdout.toString() + refused.stderr, /4\.01/);
    const credentials = 'clientid=c&username=tom&password=secret';
    const token = await ask(GNUTLS, '-n', '-v', '3', '-m', 'post', `${keyed}/mqtt/connection?${credentials}`);
    assert.match(token, /^[\w-]{22}$/);
  });

  test('a reload ends the association of a key that is taken out, and those of others go on', async () => {
    const observers = new Map<string, Program>();
    for (const name of ['meter', 'tom'] as const) {
      const uri = `${keyed}/ps/door/${name}`;
      await ask(GNUTLS, ...device(name), '-m', 'put', '-e', name, uri);
      const observer = await Program.start(GNUTLS, ['-s', '60', '-w', ...device(name), uri]);
      assert.equal(await observer.lines.next('the state'), name);
      observers.set(name, observer);
    }
    const from = portico.logLines.length;
    writeFileSync(path('keys'), `${lineOf('tom')}${lineOf('stranger')}`);
    process.kill(portico.pid, 'SIGHUP');
    await logged(portico, ({ msg }) => msg === 'reload: done', from);
    const gone = portico.logLines.slice(from).filter(({ msg }) => msg.includes('its DTLS association was ended'));
    assert.deepEqual(
      gone.map(({ client }) => client),
      ['coap-meter'],
      portico.log,
    );
    await js.publish('door/tom', 'open', 1);
    assert.equal(await observers.get('tom')?.lines.next('a notification'), 'open');
    await ask(GNUTLS, ...device('stranger'), `${keyed}/ps`);
    assert.match(await refusal(device('meter'), keyed), /^unknown raw public key/);
    for (const observer of observers.values()) await observer.end();
  });
});
