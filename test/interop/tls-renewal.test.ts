/** New certificates while the broker runs: nobody is disconnected, and what is broken does not go into force. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico, temporaryFolder } from '../support/portico.js';
import { listening, logged } from './coap-transports.js';
import { JsClient } from './mqttjs.js';
import { SysWatch } from './sys.js';

const HOST = '127.0.0.1';
const runFile = promisify(execFile);

describe('renewal of certificates', { timeout: 180_000 }, () => {
  let files: CertificateFiles;
  let portico: Portico;
  let sys: SysWatch;
  let ca: Buffer;
  let folder: string;
  let ports: number[];
  let clients: JsClient[];
  let last = 0;

  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]) => runFile('openssl', args, { cwd: files.folder, timeout: 30_000 });

  /** A certificate of the CA for the listener, in a file of the folder of certificates. */
  async function issue(name: string, days = '30'): Promise<void> {
    await openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.key`);
    await openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', days, '-extfile', 'server.ext'];
    await openssl('x509', '-req', '-in', `${name}.csr`, ...signer, '-out', `${name}.pem`);
  }

  /** A list of revoked certificates of the CA. */
  async function revoke(...names: string[]): Promise<void> {
    const ca = ['ca', '-config', 'ca.conf', '-cert', 'ca.pem', '-keyfile', 'ca.key'];
    for (const name of names) await openssl(...ca, '-revoke', `${name}.pem`);
    await openssl(...ca, '-gencrl', '-out', 'next.crl');
  }

  /** A version of the files as Kubernetes has it: a folder of its own, and links that lead to it. */
  async function version(name: string): Promise<string> {
    const own = `..v${++last}`;
    await mkdir(at(own));
    await copyFile(files.path(`${name}.pem`), at(`${own}/tls.crt`));
    await copyFile(files.path(`${name}.key`), at(`${own}/tls.key`));
    return own;
  }

  /** The links lead to another version from one moment to the next. */
  function swap(own: string): void {
    symlinkSync(own, at('..data_tmp'));
    renameSync(at('..data_tmp'), at('..data'));
  }

  /** Whose certificate a listener shows. */
  function shown(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: HOST, ca }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on('error', reject);
    });
  }

  /** What the broker says of a change of files, of one listener or of both. */
  async function told(change: () => void | Promise<void>, words: RegExp, listeners = [3, 4]): Promise<string> {
    const mark = portico.logLines.length;
    await change();
    let line = '';
    for (const number of listeners) {
      const beginning = `listeners.${number}`;
      const found = await logged(portico, ({ msg }) => msg.startsWith(beginning) && words.test(msg), mark);
      line = found.msg;
    }
    return line;
  }

  before(async () => {
    files = await CertificateFiles.make();
    ca = readFileSync(files.path('ca.pem'));
    folder = temporaryFolder();
    const section = 'database = index\ncrlnumber = number\ndefault_md = sha256\ndefault_crl_days = 20\n';
    writeFileSync(files.path('ca.conf'), `[ca]\ndefault_ca = list\n[list]\n${section}`);
    writeFileSync(files.path('index'), '');
    writeFileSync(files.path('number'), '01\n');
    await revoke();
    await copyFile(files.path('next.crl'), at('revoked.crl'));
    symlinkSync(await version('server'), at('..data'));
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, at(name));
    const own = { host: HOST, port: 0, cert_file: at('tls.crt'), key_file: at('tls.key') };
    const asked = { ca_file: files.path('ca.pem'), crl_file: at('revoked.crl') };
    portico = await Portico.start((ports) => ({
      listeners: [...listenersAt(ports), { type: 'mqtts', ...own, ...asked }, { type: 'wss', ...own }],
      allow_anonymous: true,
    }));
    ports = [];
    for (const type of ['mqtts', 'wss']) ports.push((await listening(portico, `${type} on ${HOST}:0`)).port);
    sys = await SysWatch.start(portico.ports.mqtt);
    clients = [
      await JsClient.connect(`mqtts://${HOST}:${ports[0]}`, { ca, clientId: 'over-mqtts' }),
      await JsClient.connect(`wss://${HOST}:${ports[1]}`, { ca, clientId: 'over-wss' }),
    ];
    for (const client of clients) await client.subscribe('news', 1);
  });
  after(async () => {
    await portico?.dispose();
    await files?.remove();
  });

  /** Those who were there at first still are, and are served. */
  async function stillThere(news: string): Promise<void> {
    for (const client of clients) {
      assert.ok(client.raw.connected);
      await client.publish('news', news, 1);
      for (const other of clients) assert.equal((await other.next('news')).payload.toString(), news);
    }
  }

  const RENEWED = /^listeners\.\d: new certificates are in force/;

  test('links that lead to new files, as in Kubernetes: new connections see the new certificate, none is dropped', async () => {
    assert.deepEqual([await shown(ports[0]), await shown(ports[1])], ['server', 'server']);
    await issue('second');
    const next = await version('second');
    const growth = await sys.growth(async () => {
      const line = await told(() => swap(next), RENEWED);
      assert.match(line, /; the certificate is good until \d{4}-/);
      assert.deepEqual([await shown(ports[0]), await shown(ports[1])], ['second', 'second']);
    });
    assert.equal(growth('certificates/renewed'), 2);
    assert.equal(growth('certificates/refused'), 0);
    await stillThere('after the first renewal');
  });

  test('a new certificate without its key, and one that is damaged, leave the former in force: told and counted', async () => {
    await issue('third');
    const next = await version('third');
    await copyFile(files.path('third.key'), at('right.key'));
    await copyFile(files.path('server.key'), at(`${next}/tls.key`));
    const growth = await sys.growth(async () => {
      const mismatch =
        /^listeners\.\d\.key_file: .*: it is not the key of the certificate in .*; the former certificates stay in force$/;
      await told(() => swap(next), mismatch);
      await told(
        () => writeFileSync(at(`${next}/tls.crt`), 'cut off'),
        /^listeners\.\d\.cert_file: .*: there is no certificate in it/,
      );
      assert.deepEqual([await shown(ports[0]), await shown(ports[1])], ['second', 'second']);
    });
    assert.ok(growth('certificates/refused') >= 2);
    assert.equal(growth('certificates/renewed'), 0);
    await told(async () => {
      await copyFile(files.path('third.pem'), at(`${next}/tls.crt`));
      await rename(at('right.key'), at(`${next}/tls.key`));
    }, RENEWED);
    assert.deepEqual([await shown(ports[0]), await shown(ports[1])], ['third', 'third']);
    await stillThere('after the second renewal');
  });

  test('a list of revoked certificates is renewed: who comes again is refused, who is there stays', async () => {
    const own = { cert: readFileSync(files.path('device.pem')), key: readFileSync(files.path('device.key')) };
    const url = `mqtts://${HOST}:${ports[0]}`;
    const device = await JsClient.connect(url, { ca, ...own, clientId: 'device' });
    await revoke('device');
    await told(() => rename(files.path('next.crl'), at('revoked.crl')), RENEWED, [3]);
    const mark = portico.logLines.length;
    await assert.rejects(JsClient.connect(url, { ca, ...own, clientId: 'device-again' }));
    const { reason } = await logged(portico, ({ msg }) => msg.includes('refused: TLS handshake'), mark);
    assert.equal(reason, 'TLS handshake: client certificate refused: cert revoked, "CN=device"');
    await device.publish('news', 'from who was there', 1);
    for (const client of clients) assert.equal((await client.next('news')).payload.toString(), 'from who was there');
    await device.end();
  });

  test('days left are in $SYS, and the log warns of a certificate that has few', async () => {
    await sys.until('certificates/days_left', (days) => days === 29, 'is that of the certificate');
    await sys.until('certificates/crl_days_left', (days) => days === 19, 'is that of the list');
    await sys.until('certificates/ca_days_left', (days) => days === 29, 'is that of the CA');
    await issue('short', '4');
    const next = await version('short');
    const line = await told(
      () => swap(next),
      /^listeners\.\d\.cert_file: .*: a certificate in it expires in 3 days, at \d{4}-/,
    );
    assert.ok(line.includes(at('tls.crt')));
    await sys.until('certificates/days_left', (days) => days === 3, 'is that of the new one');
    await stillThere('at the end');
  });
});
