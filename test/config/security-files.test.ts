/** What is wrong with a file that says who is who: every kind of file with every fault, told in a sentence with its place. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { scramCredentials } from '../../src/access/scram.js';
import { scramLine } from '../../src/access/scram-file.js';
import { type LoadedConfig, loadConfig } from '../../src/config/load.js';
import { PorticoError } from '../../src/errors.js';
import { readSecurityFiles } from '../../src/server/security-files.js';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { makeRevoked } from '../interop/tls-scene.js';
import { temporaryFolder } from '../support/portico.js';
import { ecPair, jwksOf } from '../support/tokens.js';

/** A file that an option names. */
interface Kind {
  /** Where it is named in the configuration. */
  readonly path: readonly (string | number)[];
  /** The file of `Files` that is right. */
  readonly good: keyof Files;
  /** What is none of its kind, and what is said of it; of a line, if it has lines. */
  readonly malformed: string;
  readonly sentence: RegExp;
  readonly lines: boolean;
  /** A private key: nobody else may read it. */
  readonly secret?: true;
  /** Of those with the same word here, a configuration has one. */
  readonly one?: string;
  /** Other options of `access` without which it is not read. */
  readonly needs?: Readonly<Record<string, string>>;
}

interface Files {
  readonly passwords: string;
  readonly scram: string;
  readonly acl: string;
  readonly roles: string;
  readonly psk: string;
  readonly publicKeys: string;
  readonly devicePsk: string;
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly crl: string;
  readonly tokenSecret: string;
  readonly keySet: string;
  readonly bearer: string;
}

const users = { malformed: 'ann\n', lines: true } as const;
const certificate = {
  good: 'cert',
  malformed: 'no PEM\n',
  sentence: /there is no certificate in it/,
  lines: false,
} as const;
const authority = { ...certificate, good: 'ca' } as const;
const key = {
  good: 'key',
  malformed: 'no PEM\n',
  sentence: /there is no private key in it/,
  lines: false,
  secret: true,
} as const;
const list = {
  good: 'crl',
  malformed: 'no PEM\n',
  sentence: /there is no list of revoked certificates in it/,
  lines: false,
} as const;

const LOGINS = { http_url: 'https://127.0.0.1:1/' };

const KINDS: readonly Kind[] = [
  { path: ['access', 'password_file'], good: 'passwords', ...users, sentence: /the line is not user:hash/ },
  { path: ['access', 'scram_file'], good: 'scram', ...users, sentence: /the line is not name:SCRAM-SHA-256/ },
  {
    path: ['access', 'acl_file'],
    good: 'acl',
    malformed: 'topc x\n',
    lines: true,
    sentence: /begins with none of/,
    one: 'list',
  },
  {
    path: ['access', 'acl'],
    good: 'roles',
    malformed: 'rolls: {}\n',
    lines: true,
    sentence: /is none of roles, groups/,
    one: 'list',
  },
  { path: ['access', 'psk_file'], good: 'psk', ...users, sentence: /the line is not identity:key/ },
  { path: ['access', 'public_key_file'], good: 'publicKeys', ...users, sentence: /the line is not user:key/ },
  {
    path: ['access', 'jwt_secret_file'],
    good: 'tokenSecret',
    malformed: 'short\n',
    lines: false,
    sentence: /has 5 bytes, and needs 32 for HS256/,
    secret: true,
    one: 'tokens',
  },
  {
    path: ['access', 'jwt_jwks_file'],
    good: 'keySet',
    malformed: '{"keys":[]}\n',
    lines: false,
    sentence: /it has no key of the types RSA and EC/,
    one: 'tokens',
  },
  {
    path: ['access', 'jwt_jwks_ca_file'],
    ...authority,
    one: 'tokens',
    needs: { jwt_jwks_url: 'https://127.0.0.1:1/' },
  },
  { path: ['access', 'http_ca_file'], ...authority, needs: LOGINS },
  {
    path: ['access', 'http_token_file'],
    good: 'bearer',
    malformed: 'two words\n',
    lines: false,
    sentence: /has characters that no bearer token may have/,
    secret: true,
    needs: LOGINS,
  },
  { path: ['coap', 'device_psk_file'], good: 'devicePsk', ...users, sentence: /the line is not coaps:/ },
  { path: ['coap', 'device_ca_file'], ...authority },
  { path: ['coap', 'device_cert_file'], ...certificate },
  { path: ['coap', 'device_key_file'], ...key },
  ...[0, 1].flatMap((i): Kind[] => [
    { path: ['listeners', i, 'cert_file'], ...certificate },
    { path: ['listeners', i, 'key_file'], ...key },
    { path: ['listeners', i, 'ca_file'], ...authority },
    { path: ['listeners', i, 'crl_file'], ...list },
  ]),
  ...[2, 3].flatMap((i): Kind[] => [
    { path: ['listeners', i, 'cert_file'], ...certificate },
    { path: ['listeners', i, 'key_file'], ...key },
    { path: ['listeners', i, 'ca_file'], ...authority },
    { path: ['listeners', i, 'crl_file'], ...list },
  ]),
  // A raw public key.
  { path: ['listeners', 4, 'key_file'], ...key },
];

/** Makes a file, or what stands in its place; returns the path that is configured. */
type Make = (path: string, good: string, kind: Kind) => string;
const NONE = /cannot be read: there is none of that name$/;

/** Faults that any file can have. */
const FAULTS: readonly { readonly what: string; readonly make: Make; readonly sentence: RegExp }[] = [
  { what: 'is missing', make: (path) => path, sentence: NONE },
  { what: 'is a link to nothing', make: (path) => link('nowhere', path), sentence: NONE },
  { what: 'is a link to itself', make: (path) => link(path, path), sentence: /symbolic links lead in a circle$/ },
  {
    what: 'is a folder',
    make: (path) => {
      mkdirSync(path);
      return path;
    },
    sentence: /cannot be read: it is a folder$/,
  },
  {
    what: 'is below a file',
    make: (path, good) => join(put(path, good), 'below'),
    sentence: /cannot be read: a part of its path is no folder$/,
  },
  {
    what: 'is a pipe that nobody writes to',
    make: (path) => {
      execFileSync('mkfifo', ['-m', '644', path]);
      return path;
    },
    sentence: /cannot be read: it is no regular file$/,
  },
  { what: 'is a device without an end', make: (path) => link('/dev/zero', path), sentence: /no regular file$/ },
  { what: 'may be read by nobody', make: (path, good) => put(path, good, 0o000), sentence: /: this user may not$/ },
  {
    what: 'may be written by everybody',
    make: (path, good) => put(path, good, 0o602),
    sentence: /: everybody may write the .*; chmod o-w .* takes that away$/,
  },
  {
    what: 'is a link to one that everybody may write',
    make: (path, good) => link(put(`${path}.target`, good, 0o602), path),
    sentence: /: everybody may write the /,
  },
];

let certificates: CertificateFiles;
let files: Files;
const folder = temporaryFolder();
chmodSync(folder, 0o755);

/** The super-user, whom nothing is denied, reads as somebody else; then what is made here is that one's. */
const root = process.geteuid?.() === 0;
const SOMEBODY = 65_534;

function put(path: string, text: string | Buffer, mode = 0o600): string {
  writeFileSync(path, text);
  chmodSync(path, mode);
  if (root) chownSync(path, SOMEBODY, SOMEBODY);
  return path;
}

function link(target: string, path: string): string {
  symlinkSync(target, path);
  return path;
}

before(async () => {
  certificates = await CertificateFiles.make();
  await makeRevoked(certificates);
  const read = (name: string): string => readFileSync(certificates.path(name), 'utf8');
  const spki = execFileSync('openssl', ['pkey', '-in', certificates.path('device.key'), '-pubout', '-outform', 'DER']);
  files = {
    passwords: `ann:$7$101$${'A'.repeat(16)}$${Buffer.alloc(64).toString('base64')}\n`,
    scram: `${scramLine('ann', await scramCredentials('secret', 4096, Buffer.alloc(16)))}\n`,
    acl: 'user ann\ntopic readwrite #\n',
    roles: 'users: { ann: { rules: [{ allow: publish, topic: a }] } }\n',
    psk: 'ann:c0ffee\n',
    publicKeys: `ann:${spki.toString('base64')}\n`,
    devicePsk: 'coaps://192.0.2.1:5684 me:c0ffee\n',
    cert: read('server.pem'),
    key: read('server.key'),
    ca: read('ca.pem'),
    crl: read('crl.pem'),
    tokenSecret: 'a secret of 32 bytes, or of more\n',
    keySet: jwksOf(ecPair('one')),
    bearer: 'who-asks\n',
  };
  for (const [name, text] of Object.entries(files)) put(join(folder, `good.${name}`), text, 0o640);
});
after(() => certificates.remove());

/** A configuration that names a file of each kind, `file` in the place of one of them. */
function configured(other: Kind | null = null, file = ''): { readonly loaded: LoadedConfig; readonly line: number } {
  const tree: { access: Record<string, string>; coap: Record<string, string>; listeners: Record<string, unknown>[] } = {
    access: {},
    coap: {},
    listeners: ['mqtts', 'wss', 'coaps', 'coaps+tcp', 'coaps'].map((type, i) => ({
      type,
      host: '127.0.0.1',
      port: 7000 + i,
    })),
  };
  for (const kind of KINDS) {
    const [section, key, option] = kind.path;
    // The one that is asked for, or else the first.
    const chosen = other?.one === kind.one ? other : KINDS.find(({ one }) => one === kind.one);
    if (kind.one !== undefined && kind !== chosen) continue;
    if (section === 'access') Object.assign(tree.access, kind.needs);
    const named = kind === other ? file : join(folder, `good.${kind.good}`);
    if (section === 'listeners') tree.listeners[Number(key)][String(option)] = named;
    else tree[section as 'access' | 'coap'][String(key)] = named;
  }
  const config = join(folder, 'portico.yaml');
  const text = stringify(tree, { lineWidth: 0 });
  writeFileSync(config, text);
  const line = file === '' ? 0 : text.split('\n').findIndex((one) => one.endsWith(`: ${file}`)) + 1;
  return { loaded: loadConfig({ file: config, env: {} }), line };
}

/** Lines of the refusal, as a user who is not the super-user gets them. */
async function refusal(loaded: LoadedConfig): Promise<string[]> {
  if (root) process.seteuid?.(SOMEBODY);
  try {
    await readSecurityFiles(loaded);
  } catch (error) {
    assert.ok(error instanceof PorticoError, String(error));
    assert.equal(error.kind.exitCode, 3);
    return error.message.split('\n');
  } finally {
    if (root) process.seteuid?.(0);
  }
  return [];
}

let made = 0;

test('files of every kind that are right are read', async () => {
  for (const other of [null, ...KINDS.filter(({ one }) => one !== undefined)]) {
    const file = other === null ? '' : put(join(folder, `one.${other.good}`), files[other.good]);
    const { loaded } = configured(other, file);
    assert.deepEqual(await refusal(loaded), []);
  }
});

for (const kind of KINDS) {
  const option = kind.path.join('.');
  describe(option, () => {
    const faults = kind.secret
      ? [
          ...FAULTS,
          {
            what: 'may be read by everybody',
            make: (path: string, good: string) => put(path, good, 0o604),
            sentence: /: everybody may read the .*; chmod o-r .* takes that away/,
          },
        ]
      : FAULTS;
    for (const { what, make, sentence } of faults) {
      test(`${option} ${what}: one line with the place that names it`, async () => {
        const file = make(join(folder, `${++made}`), files[kind.good], kind);
        const { loaded, line } = configured(kind, file);
        const [told, ...more] = await refusal(loaded);
        assert.deepEqual(more, []);
        const { sources } = loaded;
        const where = sources.get(option) ?? '';
        assert.ok(where.endsWith(`portico.yaml:${line}`), where);
        assert.ok(told.startsWith(`${where}: ${option}: ${file}: `), told);
        assert.match(told, sentence);
      });
    }

    test(`${option} is malformed: one line that says so, and nothing of what stands there`, async () => {
      const file = put(join(folder, `${++made}`), kind.malformed);
      const { loaded } = configured(kind, file);
      const [told, ...more] = await refusal(loaded);
      assert.deepEqual(more, []);
      if (kind.lines) assert.ok(told.startsWith(`${file}:1: `), told);
      else assert.ok(told.includes(`: ${option}: ${file}: `), told);
      assert.match(told, kind.sentence);
    });

    test(`${option} is of bytes that are no text: told in lines, without them`, async () => {
      const bytes = Buffer.from('ann:\xff\xfe\0\x1b[31m\nbob\xff:\xff\n', 'latin1');
      const file = put(join(folder, `${++made}`), bytes);
      const { loaded } = configured(kind, file);
      const told = await refusal(loaded);
      assert.ok(told.length > 0);
      for (const line of told) {
        assert.ok(line.includes(file), line);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may come out
        assert.doesNotMatch(line, /[\0-\x1f\x7f\ufffd]/);
      }
    });
  });
}

test('Kubernetes: files of every kind behind the links of a mounted secret, before and after it is renewed', async () => {
  const place = mkdtempSync(join(folder, 'secret'));
  chmodSync(place, 0o755);
  const names = new Map<Kind, string>();
  const renew = (stamp: string): void => {
    mkdirSync(join(place, stamp));
    for (const kind of KINDS) put(join(place, stamp, kind.path.join('.')), files[kind.good], 0o440);
    execFileSync('ln', ['-sfn', stamp, join(place, '..data')]);
  };
  renew('..2026_01_01');
  for (const kind of KINDS) names.set(kind, link(`..data/${kind.path.join('.')}`, join(place, kind.path.join('.'))));
  for (const renewed of [false, true]) {
    if (renewed) renew('..2026_01_02');
    for (const [kind, file] of names) {
      const { loaded } = configured(kind, file);
      assert.deepEqual(await refusal(loaded), [], kind.path.join('.'));
    }
  }
});

test('what an editor of Windows puts in front of a file is not part of the first name', async () => {
  const [passwords] = KINDS;
  const { loaded } = configured(passwords, put(join(folder, 'marked'), `\ufeff${files.passwords}`));
  const { files: read } = await readSecurityFiles(loaded);
  assert.equal(read.usual.users?.has('ann'), true);
  assert.equal(read.usual.passwords?.size, 1);
});
