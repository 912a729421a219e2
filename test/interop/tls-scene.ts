/** The broker with listeners of TLS of each kind, on certificates that openssl has made. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { type LogLine, listenersAt, Portico, temporaryFolder } from '../support/portico.js';
import { listening, logged } from './coap-transports.js';
import { run } from './programs.js';
import { SysWatch } from './sys.js';

export const HOST = '127.0.0.1';
export const KEY = 'c0ffeec0ffee';

const runFile = promisify(execFile);

/** The listeners, and what is theirs besides a certificate. */
const LISTENERS = {
  plain: ['mqtts', {}],
  webSocket: ['wss', {}],
  asked: ['mqtts', { ca: true }],
  required: ['mqtts', { ca: true, require_certificate: true, crl: true }],
  subject: ['wss', { ca: true, require_certificate: true, username_from: 'subject' }],
  door: ['mqtts', { ca: true, require_certificate: true, username_from: 'connect' }],
  psk: ['mqtts', { psk_hint: 'portico', min_tls_version: 'tlsv1.3' }],
  pskOld: ['mqtts', { psk_hint: 'portico', max_tls_version: 'tlsv1.2' }],
  modern: ['mqtts', { min_tls_version: 'tlsv1.3' }],
  old: [
    'mqtts',
    { max_tls_version: 'tlsv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305' },
  ],
  suites: ['mqtts', { ciphersuites: 'TLS_CHACHA20_POLY1305_SHA256' }],
} as const satisfies Record<string, readonly ['mqtts' | 'wss', Readonly<Record<string, unknown>>]>;

export type ListenerName = keyof typeof LISTENERS;

export class TlsScene {
  readonly files: CertificateFiles;
  readonly portico: Portico;
  readonly ports: Readonly<Record<ListenerName, number>>;
  readonly sys: SysWatch;

  private constructor(files: CertificateFiles, portico: Portico, ports: TlsScene['ports'], sys: SysWatch) {
    this.files = files;
    this.portico = portico;
    this.ports = ports;
    this.sys = sys;
  }

  /** Users: `tom` with the password `secret`; `meter-7` with `KEY`; `device` by its certificate, who may use `device/#` only. */
  static async start(): Promise<TlsScene> {
    const files = await CertificateFiles.make();
    await makeRevoked(files);
    const folder = temporaryFolder();
    const [psk, passwords, acl] = ['psk', 'passwords', 'acl'].map((name) => join(folder, name));
    await writeFile(psk, `meter-7:${KEY}\n`);
    await writeFile(passwords, '');
    await run('mosquitto_passwd', ['-b', passwords, 'tom', 'secret']);
    await writeFile(acl, 'user tom\ntopic readwrite #\ntopic read $SYS/#\npattern readwrite %u/#\n');
    const certificate = { cert_file: files.path('server.pem'), key_file: files.path('server.key') };
    const secure = Object.values<readonly [string, Readonly<Record<string, unknown>>]>(LISTENERS).map(
      ([type, { ca, crl, ...options }]) => ({
        ...{ type, host: HOST, port: 0 },
        ...('psk_hint' in options ? null : certificate),
        ...(ca === true && { ca_file: files.path('ca.pem') }),
        ...(crl === true && { crl_file: files.path('crl.pem') }),
        ...options,
      }),
    );
    const portico = await Portico.start((ports) => ({
      listeners: [...listenersAt(ports), ...secure],
      access: { password_file: passwords, acl_file: acl, psk_file: psk },
      mqtt: { connect_timeout: 2 },
    }));
    const counts = { mqtts: 0, wss: 0 };
    const ports = {} as Record<ListenerName, number>;
    for (const [name, [type]] of Object.entries(LISTENERS)) {
      const { port } = await listening(portico, `${type} on ${HOST}:0`, counts[type]++);
      ports[name as ListenerName] = port;
    }
    const sys = await SysWatch.start(portico.ports.mqtt, { username: 'tom', password: 'secret' });
    return new TlsScene(files, portico, ports, sys);
  }

  async dispose(): Promise<void> {
    await this.portico.dispose();
    await this.files.remove();
  }

  path(file: string): string {
    return this.files.path(file);
  }

  /** Options of mosquitto_pub and mosquitto_sub: whom they trust, and as whom they come. */
  mosquitto(name?: string): string[] {
    const own = name === undefined ? [] : ['--cert', this.path(`${name}.pem`), '--key', this.path(`${name}.key`)];
    return ['--cafile', this.path('ca.pem'), ...own];
  }

  /** How long the log is. */
  get mark(): number {
    return this.portico.logLines.length;
  }

  /** The reason of the first connection that was refused since. */
  async refusal(mark: number): Promise<string> {
    const line = await logged(this.portico, ({ msg }) => /^connection from 127\.0\.0\.1:\d+ refused: /.test(msg), mark);
    return String(line.reason);
  }

  /** The client that has come since. */
  came(mark: number, id: string): Promise<LogLine> {
    return logged(this.portico, ({ msg, client }) => msg.includes(' connected from ') && client === id, mark);
  }

  /** What openssl says of a handshake. */
  async openssl(listener: ListenerName, ...args: string[]): Promise<string> {
    const to = ['-connect', `${HOST}:${this.ports[listener]}`, '-CAfile', this.path('ca.pem')];
    const { stdout, stderr } = await run('openssl', ['s_client', ...to, '-brief', ...args]);
    return stdout.toString() + stderr;
  }
}

/** Makes `revoked`, of the CA `ca`, and that CA's list with it on it: `crl.pem`. */
export async function makeRevoked(files: CertificateFiles): Promise<void> {
  const openssl = (...args: string[]) => runFile('openssl', args, { cwd: files.folder, timeout: 30_000 });
  await openssl(
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'revoked.key',
    '-subj',
    '/CN=revoked',
    '-out',
    'revoked.csr',
  );
  const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-sha256', '-days', '30'];
  await openssl('x509', '-req', '-in', 'revoked.csr', ...signer, '-out', 'revoked.pem');
  await files.revoke('revoked');
}
