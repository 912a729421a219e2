/** The files of a listener of TLS: read together, watched however they change, warned of in time. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ExpiryNotice } from '../../src/access/expiry.js';
import { FileWatch, placesOf } from '../../src/access/file-watch.js';
import { isSame, readTlsFiles, type TlsFileNames } from '../../src/access/tls-files.js';
import { PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

const DAY = 86_400_000;
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const openssl = (...args: string[]): void => {
  execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
};

// A watch keeps no process alive.
const alive = setInterval(() => {}, 60_000);
after(() => clearInterval(alive));

before(() => {
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const [name, days] of [
    ['one', '10'],
    ['two', '20'],
  ]) {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    openssl('req', '-x509', ...kind, '-days', days, '-subj', `/CN=${name}`, ...files);
  }
  writeFileSync(
    at('ca.conf'),
    '[ca]\ndefault_ca = l\n[l]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\n',
  );
  writeFileSync(at('index'), '');
  writeFileSync(at('number'), '01\n');
  const list = ['ca', '-config', 'ca.conf', '-cert', 'one.pem', '-keyfile', 'one.key', '-gencrl'];
  openssl(...list, '-crldays', '5', '-out', 'short.crl');
  // Beyond 2049 the time has another form (RFC 5280 5.1.2.4).
  openssl(...list, '-crldays', '14600', '-out', 'long.crl');
  writeFileSync(at('text'), 'nothing of the kind\n', { mode: 0o600 });
});

const names = (files: Partial<Record<keyof TlsFileNames, string>>): TlsFileNames => {
  const named = (kind: keyof TlsFileNames) => {
    const file = files[kind];
    return file === undefined ? undefined : { option: `${kind}_file`, file: at(file) };
  };
  return { cert: named('cert'), key: named('key'), ca: named('ca'), caFolder: named('caFolder'), crl: named('crl') };
};

/** The sentence of a refusal; '' if there is none. */
async function fault(files: Partial<Record<keyof TlsFileNames, string>>): Promise<string> {
  try {
    await readTlsFiles(names(files));
  } catch (error) {
    assert.ok(error instanceof PorticoError);
    assert.equal(error.code, 'PORTICO_SECURITY_FILE');
    return error.message.replaceAll(`${folder}/`, '');
  }
  return '';
}

test('days left are those of the first certificate, CA and list to end', async () => {
  writeFileSync(at('both.pem'), ['one.pem', 'two.pem'].map((name) => execFileSync('cat', [at(name)])).join(''));
  writeFileSync(at('both.crl'), ['long.crl', 'short.crl'].map((name) => execFileSync('cat', [at(name)])).join(''));
  const { ends, context } = await readTlsFiles(
    names({ cert: 'two.pem', key: 'two.key', ca: 'both.pem', crl: 'both.crl' }),
  );
  const days = Object.values(ends).map((end) => Math.round((end - Date.now()) / DAY));
  assert.deepEqual(
    [Object.keys(ends), days],
    [
      ['cert_file', 'ca_file', 'crl_file'],
      [20, 10, 5],
    ],
  );
  assert.equal(Array.isArray(context.crl) && context.crl.length, 2);
  const long = await readTlsFiles(names({ crl: 'long.crl' }));
  assert.equal(Math.round(((long.ends.crl_file ?? 0) - Date.now()) / DAY), 14_600);
});

test('a key that everybody may read or write, a list that is none, and links in a circle are refused with what cures it', async () => {
  copyFileSync(at('one.key'), at('open.key'));
  chmodSync(at('open.key'), 0o644);
  copyFileSync(at('one.key'), at('loose.key'));
  chmodSync(at('loose.key'), 0o602);
  symlinkSync('open.key', at('link.key'));
  symlinkSync('circle.key', at('circle.key'));
  const cure = (file: string): string =>
    `everybody may read the key file; chmod o-r ${file} takes that away (in Kubernetes, defaultMode: 0440 of the volume)`;
  for (const [files, sentence] of [
    [{ cert: 'one.pem', key: 'open.key' }, `key_file: open.key: ${cure('open.key')}`],
    [{ cert: 'one.pem', key: 'link.key' }, `key_file: link.key: ${cure('link.key')}`],
    [
      { cert: 'one.pem', key: 'loose.key' },
      'key_file: loose.key: everybody may write the key file; chmod o-w loose.key takes that away',
    ],
    [
      { cert: 'one.pem', key: 'circle.key' },
      'key_file: circle.key: the key file cannot be read: its symbolic links lead in a circle',
    ],
    [
      { cert: 'one.pem', key: 'one.pem/key' },
      'key_file: one.pem/key: the key file cannot be read: a part of its path is no folder',
    ],
    [{ crl: 'text' }, 'crl_file: text: there is no list of revoked certificates in it (PEM, X509 CRL)'],
    [{ crl: 'none' }, 'crl_file: none: the list of revoked certificates cannot be read: there is none of that name'],
  ] as const) {
    assert.equal(await fault(files), sentence);
  }
  chmodSync(at('open.key'), 0o640);
  assert.equal(await fault({ cert: 'one.pem', key: 'link.key' }), '', 'a group may read it');
});

test('a folder of CAs is one whose files are named by their hash, and each of them is watched', {
  timeout: 30_000,
}, async (context) => {
  mkdirSync(at('cas'));
  assert.match(
    await fault({ caFolder: 'cas' }),
    /^caFolder_file: cas: there is no CA in it: openssl rehash gives them/,
  );
  assert.match(
    await fault({ caFolder: 'nothing' }),
    /^caFolder_file: nothing: the folder of CAs cannot be read: there is none/,
  );
  copyFileSync(at('one.pem'), at('cas/one.pem'));
  openssl('rehash', at('cas'));
  const before = await readTlsFiles(names({ caFolder: 'cas' }));
  assert.equal(before.context.ca?.length, 1);
  let take: () => void = () => {};
  const watch = new FileWatch([], { changed: () => take(), failed: assert.fail }, [at('cas')]);
  context.after(() => watch.close());
  await watch.arm();
  const told = new Promise<void>((resolve) => {
    take = resolve;
  });
  copyFileSync(at('two.pem'), at('cas/two.pem'));
  openssl('rehash', at('cas'));
  await told;
  const after = await readTlsFiles(names({ ca: 'one.pem', caFolder: 'cas' }));
  assert.equal(after.context.ca?.length, 3);
});

test('a damaged list of revoked certificates is refused with its number', async () => {
  const list = execFileSync('cat', [at('short.crl')], { encoding: 'utf8' });
  writeFileSync(at('damaged.crl'), list + list.replace(/[A-Za-z0-9]{20}/, 'AAAAAAAAAAAAAAAAAAAA'));
  assert.match(await fault({ crl: 'damaged.crl' }), /^crl_file: damaged\.crl: list 2 in it is damaged: /);
});

test('files are the same if their bytes are', async () => {
  const read = (): ReturnType<typeof readTlsFiles> => readTlsFiles(names({ cert: 'one.pem', key: 'one.key' }));
  assert.ok(isSame(await read(), await read()));
  assert.ok(!isSame(await read(), await readTlsFiles(names({ cert: 'two.pem', key: 'two.key' }))));
  assert.ok(!isSame(await read(), await readTlsFiles(names({ cert: 'one.pem', key: 'one.key', crl: 'short.crl' }))));
});

test('every symbolic link on the way to a file is watched in its folder, and the file itself', async () => {
  const root = temporaryFolder();
  const path = (name: string): string => join(root, name);
  mkdirSync(path('archive'));
  mkdirSync(path('..v1'));
  writeFileSync(path('archive/cert1.pem'), '');
  writeFileSync(path('..v1/tls.crt'), '');
  mkdirSync(path('live'));
  symlinkSync('../archive/cert1.pem', path('live/cert.pem'));
  symlinkSync('..v1', path('..data'));
  symlinkSync('..data/tls.crt', path('tls.crt'));
  symlinkSync(path('live/cert.pem'), path('absolute.pem'));
  const places = async (file: string): Promise<string[]> =>
    (await placesOf(path(file))).map(({ folder: place, name }) => join(place, name).slice(root.length + 1));
  assert.deepEqual(await places('live/cert.pem'), ['live/cert.pem', 'archive/cert1.pem'], 'certbot');
  assert.deepEqual(await places('tls.crt'), ['tls.crt', '..data', '..v1/tls.crt'], 'Kubernetes');
  assert.deepEqual(await places('absolute.pem'), ['absolute.pem', 'live/cert.pem', 'archive/cert1.pem']);
  assert.deepEqual(await places('not/yet/there.pem'), ['not'], 'where something has to appear first');
});

/** A watch whose next change can be awaited. */
function watching(...files: string[]): {
  readonly watch: FileWatch;
  next(): Promise<void>;
  readonly failures: string[];
} {
  let take: () => void = () => {};
  const failures: string[] = [];
  const watch = new FileWatch(files, {
    changed: () => take(),
    failed: (place) => failures.push(place),
  });
  return { watch, failures, next: () => new Promise((resolve) => (take = resolve)) };
}

test('a file that is written, replaced, removed, made anew or reached by another link is told of', {
  timeout: 30_000,
}, async (context) => {
  const root = temporaryFolder();
  const path = (name: string): string => join(root, name);
  mkdirSync(path('..v1'));
  mkdirSync(path('..v2'));
  for (const version of ['..v1', '..v2']) writeFileSync(path(`${version}/tls.crt`), version);
  symlinkSync('..v1', path('..data'));
  symlinkSync('..data/tls.crt', path('tls.crt'));
  writeFileSync(path('plain.pem'), '1');
  const { watch, next, failures } = watching(path('plain.pem'), path('tls.crt'), path('later/cert.pem'));
  context.after(() => watch.close());
  for (const change of [
    () => writeFileSync(path('plain.pem'), '2'),
    () => {
      writeFileSync(path('new'), '3');
      renameSync(path('new'), path('plain.pem'));
    },
    () => chmodSync(path('plain.pem'), 0o600),
    () => rmSync(path('plain.pem')),
    () => writeFileSync(path('plain.pem'), '4'),
    () => {
      symlinkSync('..v2', path('..data_tmp'));
      renameSync(path('..data_tmp'), path('..data'));
    },
    () => writeFileSync(path('..v2/tls.crt'), 'written behind the links'),
    () => mkdirSync(path('later')),
    () => writeFileSync(path('later/cert.pem'), '5'),
    () => renameSync(path('later'), path('away')),
  ]) {
    await watch.arm();
    const told = next();
    change();
    await told;
  }
  assert.deepEqual(failures, []);
});

test('other files of a folder are nobody’s business', { timeout: 30_000 }, async (context) => {
  const root = temporaryFolder();
  writeFileSync(join(root, 'cert.pem'), '1');
  const { watch, next } = watching(join(root, 'cert.pem'));
  context.after(() => watch.close());
  await watch.arm();
  let told = 0;
  const first = next().then(() => told++);
  writeFileSync(join(root, 'noise'), 'x');
  rmSync(join(root, 'noise'));
  const other = watching(join(root, 'other'));
  context.after(() => other.watch.close());
  await other.watch.arm();
  const seen = other.next();
  writeFileSync(join(root, 'other'), 'x');
  await seen;
  assert.equal(told, 0, 'the other watch has told of a later change');
  writeFileSync(join(root, 'cert.pem'), '2');
  await first;
});

test('a warning comes once below 30 days, daily below 7, and anew for a new certificate', () => {
  const notice = new ExpiryNotice('cert_file');
  const end = Date.UTC(2030, 0, 31);
  const said = (daysBefore: number): string | null => notice.due(end, end - daysBefore * DAY);
  assert.deepEqual([said(60), said(30)], [null, null]);
  assert.equal(said(29.5), 'a certificate in it expires in 29 days, at 2030-01-31T00:00:00.000Z');
  assert.deepEqual([said(28), said(15), said(7.1)], [null, null, null]);
  assert.match(said(6.9) ?? '', /expires in 6 days/);
  assert.equal(said(6.5), null, 'once a day');
  assert.match(said(5.9) ?? '', /expires in 5 days/);
  assert.match(said(1.5) ?? '', /expires in 1 day,/);
  assert.match(said(0.4) ?? '', /expires within a day,/);
  assert.equal(said(-0.7), 'a certificate in it has expired, at 2030-01-31T00:00:00.000Z');
  assert.equal(notice.due(end + 365 * DAY, end), null, 'a new one');
  assert.match(notice.due(end + 20 * DAY, end) ?? '', /expires in 20 days/);
});

test('a list of revoked certificates lives shorter: the warning comes daily from two days on', () => {
  const notice = new ExpiryNotice('crl_file');
  const end = Date.UTC(2030, 0, 31);
  assert.equal(notice.due(end, end - 2 * DAY), null);
  assert.match(notice.due(end, end - 1.9 * DAY) ?? '', /^the list of revoked certificates in it expires in 1 day,/);
  assert.equal(notice.due(end, end - 1 * DAY), null);
  assert.match(notice.due(end, end - 0.8 * DAY) ?? '', /within a day/);
});
