/** One mosquitto.conf with TLS, read by mosquitto, by Portico and by `portico migrate`: the same clients have the same outcome. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { freePorts, porticoMain, temporaryFolder } from '../support/portico.js';
import { Program, run } from './programs.js';
import { makeRevoked } from './tls-scene.js';

const KEY = 'c0ffeec0ffee';

/** A listener of the file: its options, where `@` is the folder of certificates. */
const LISTENERS = {
  plain: 'certfile @/server.pem\nkeyfile @/server.key\ncafile @/ca.pem\n',
  required: 'certfile @/server.pem\nkeyfile @/server.key\ncafile @/ca.pem\nrequire_certificate true\n',
  identity:
    'certfile @/server.pem\nkeyfile @/server.key\ncafile @/ca.pem\ncrlfile @/crl.pem\nrequire_certificate true\n' +
    'use_identity_as_username true\n',
  subject:
    'certfile @/server.pem\nkeyfile @/server.key\ncapath @/cas\nrequire_certificate true\nuse_subject_as_username true\n',
  psk: 'psk_hint here\nuse_identity_as_username true\n',
  pskOnly: 'psk_hint here\n',
  modern: 'certfile @/server.pem\nkeyfile @/server.key\ntls_version tlsv1.3\n',
  ciphers: 'certfile @/server.pem\nkeyfile @/server.key\nciphers ECDHE-ECDSA-AES256-GCM-SHA384\n',
} as const;
type Name = keyof typeof LISTENERS;

/** A client: where it connects, as whom; and the user that it is, or null if it is not let in. */
interface Client {
  readonly at: Name;
  readonly as: readonly string[];
  readonly user: string | null;
}

const own = (name: string): string[] => ['--cert', `@/${name}.pem`, '--key', `@/${name}.key`];
const trust = ['--cafile', '@/ca.pem'];
const tom = ['-u', 'tom', '-P', 'secret'];
const psk = (identity: string, key = KEY): string[] => ['--psk-identity', identity, '--psk', key];

const CLIENTS: readonly Client[] = [
  { at: 'plain', as: [...trust, ...tom], user: 'tom' },
  { at: 'plain', as: [...trust, '-u', 'tom', '-P', 'wrong'], user: null },
  { at: 'plain', as: trust, user: null },
  { at: 'plain', as: ['--cafile', '@/other-ca.pem', ...tom], user: null },
  { at: 'plain', as: [...trust, ...own('stranger'), ...tom], user: 'tom' },
  { at: 'plain', as: [...trust, ...tom, '--tls-version', 'tlsv1.2'], user: 'tom' },
  { at: 'plain', as: tom, user: null },
  { at: 'required', as: [...trust, ...own('device'), ...tom], user: 'tom' },
  { at: 'required', as: [...trust, ...own('device')], user: null },
  { at: 'required', as: [...trust, ...tom], user: null },
  { at: 'required', as: [...trust, ...own('stranger'), ...tom], user: null },
  { at: 'required', as: [...trust, ...own('expired'), ...tom], user: null },
  { at: 'required', as: [...trust, ...own('revoked'), ...tom], user: 'tom' },
  { at: 'identity', as: [...trust, ...own('device')], user: 'device' },
  { at: 'identity', as: [...trust, ...own('device'), ...tom], user: 'device' },
  { at: 'identity', as: [...trust, ...own('revoked')], user: null },
  { at: 'identity', as: [...trust, ...tom], user: null },
  { at: 'subject', as: [...trust, ...own('device')], user: 'CN=device' },
  { at: 'subject', as: [...trust, ...own('stranger')], user: null },
  { at: 'psk', as: psk('meter-7'), user: 'meter-7' },
  { at: 'psk', as: [...psk('meter-7'), '--tls-version', 'tlsv1.2'], user: 'meter-7' },
  { at: 'psk', as: psk('meter-7', 'decaf0'), user: null },
  { at: 'psk', as: psk('nobody'), user: null },
  { at: 'psk', as: [...trust, ...own('device')], user: null },
  { at: 'pskOnly', as: [...psk('meter-7'), ...tom], user: 'tom' },
  { at: 'pskOnly', as: psk('meter-7'), user: null },
  { at: 'modern', as: [...trust, ...tom], user: 'tom' },
  { at: 'ciphers', as: [...trust, ...tom], user: 'tom' },
];

/** A broker on a copy of the file with ports of its own. */
interface Running {
  readonly program: Program;
  readonly ports: Readonly<Record<Name, number>>;
}

describe('a mosquitto.conf with TLS', { timeout: 240_000 }, () => {
  let files: CertificateFiles;
  let mosquitto: Running;
  let portico: Running;
  let migrated: Running;

  /** Starts a broker; the last of its listeners is open when the line comes. */
  async function start(command: string, args: readonly string[], ready: RegExp, migrate = false): Promise<Running> {
    const folder = temporaryFolder();
    const names = Object.keys(LISTENERS) as Name[];
    const free = [await freePorts(), await freePorts(), await freePorts(), await freePorts()];
    const numbers = free.flatMap(({ mqtt, websocket }) => [mqtt, websocket]);
    const ports = Object.fromEntries(names.map((name, i) => [name, numbers[i]])) as Record<Name, number>;
    const passwords = join(folder, 'passwords');
    writeFileSync(passwords, '');
    assert.equal((await run('mosquitto_passwd', ['-b', passwords, 'tom', 'secret'])).code, 0);
    writeFileSync(join(folder, 'psk'), `meter-7:${KEY}\n`);
    const head = `persistence true\npersistence_location ${folder}/\nlog_type all\npassword_file ${passwords}\npsk_file ${folder}/psk\n`;
    const listeners = names.map((name) => `listener ${ports[name]} 127.0.0.1\n${LISTENERS[name]}`).join('');
    const file = join(folder, 'mosquitto.conf');
    writeFileSync(file, (head + listeners).replaceAll('@', files.folder));
    // mosquitto gives up root for a user of its own.
    for (const path of [folder, passwords, join(folder, 'psk'), file]) chmodSync(path, 0o755);
    const ours = join(folder, 'portico.yaml');
    if (migrate) {
      const { code, stdout, stderr } = await run(command, [...args, 'migrate', file]);
      assert.equal(code, 0, stderr);
      writeFileSync(ours, stdout);
    }
    const program = await Program.start(command, [...args, '-c', migrate ? ours : file]);
    const last = String(ports[names[names.length - 1]]);
    await program.lines.take((line) => line.includes(last) && ready.test(line), 'the last listener');
    return { program, ports };
  }

  before(async () => {
    files = await CertificateFiles.make();
    await makeRevoked(files);
    mkdirSync(files.path('cas'));
    assert.equal((await run('cp', [files.path('ca.pem'), files.path('cas/ca.pem')])).code, 0);
    assert.equal((await run('openssl', ['rehash', files.path('cas')])).code, 0);
    // Keys that a group may read: it is that of the user for whom mosquitto gives up root.
    await run('chgrp', ['-R', 'mosquitto', files.folder]);
    await run('chmod', ['-R', 'g+rX', files.folder]);
    // What mosquitto says goes to its standard error.
    mosquitto = await start(
      '/bin/sh',
      ['-c', 'exec /usr/sbin/mosquitto "$@" 2>&1', 'mosquitto'],
      /Opening ipv4 listen socket/,
    );
    portico = await start(process.execPath, [porticoMain], /listening on/);
    migrated = await start(process.execPath, [porticoMain], /listening on/, true);
  });
  after(async () => {
    await mosquitto?.program.end();
    await portico?.program.end();
    await migrated?.program.end();
    await files?.remove();
  });

  /** The user that a client is, or null. */
  async function userOf({ program, ports }: Running, { at, as }: Client, id: string): Promise<string | null> {
    const args = [...as.map((one) => one.replaceAll('@', files.folder)), '-i', id, '-t', 'a', '-q', '1', '-m', 'x'];
    const { code } = await run('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(ports[at]), ...args]);
    if (code !== 0) return null;
    const line = await program.lines.take(
      (text) => text.includes(id) && /New client connected|connected from/.test(text),
      `the line that ${id} has come`,
    );
    return /u'([^']*)'\)/.exec(line)?.[1] ?? /"username":"([^"]*)"/.exec(line)?.[1] ?? '';
  }

  for (const [i, client] of CLIENTS.entries()) {
    const outcome = client.user === null ? 'is not let in' : `is ${client.user}`;
    test(`${client.at}: ${client.as.join(' ')}: ${outcome}, at both brokers and after portico migrate`, async () => {
      assert.equal(await userOf(mosquitto, client, `client-${i}-`), client.user, 'mosquitto');
      assert.equal(await userOf(portico, client, `client-${i}-`), client.user, 'Portico');
      assert.equal(await userOf(migrated, client, `client-${i}-`), client.user, 'Portico with what it was migrated to');
    });
  }
});
