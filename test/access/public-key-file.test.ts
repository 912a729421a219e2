/** Files of the raw public keys of devices. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type PublicKeyUsers, readPublicKeyFile } from '../../src/access/public-key-file.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();
const file = join(folder, 'public-keys');

async function read(text: string): Promise<PublicKeyUsers> {
  writeFileSync(file, text, { mode: 0o600 });
  return readPublicKeyFile(file);
}

function base64(namedCurve = 'prime256v1'): string {
  return generateKeyPairSync('ec', { namedCurve }).publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
}

const [ONE, TWO] = [base64(), base64()];

test('users and keys; comments, blank lines and Windows line ends are read', async () => {
  for (const end of ['\n', '\r\n']) {
    const users = await read(['# devices', '', `door 1:${ONE}`, `Zähler:${TWO}`, ''].join(end));
    assert.deepEqual(
      [...users],
      [
        [ONE, 'door 1'],
        [TWO, 'Zähler'],
      ],
    );
  }
});

test('a line as the documentation makes it with openssl, from a private key and from a public one', async () => {
  const key = join(folder, 'door.key');
  const openssl = (command: string): string => execFileSync('sh', ['-c', command], { cwd: folder }).toString();
  openssl('openssl ecparam -name prime256v1 -genkey -noout -out door.key');
  const line = openssl(`echo "door:$(openssl pkey -in ${key} -pubout -outform DER | openssl base64 -A)"`);
  openssl('openssl pkey -in door.key -pubout -out door.pub');
  const same = openssl('echo "door:$(openssl pkey -pubin -in door.pub -pubout -outform DER | openssl base64 -A)"');
  assert.equal(line, same);
  assert.deepEqual([...(await read(line)).values()], ['door']);
});

test('every fault is reported with its line, and never with what stood there', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'der' });
  const secret = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  const off = Buffer.from(ONE, 'base64');
  off[90] ^= 1;
  const text = [
    `good:${ONE}`,
    'no colon',
    `:${TWO}`,
    'empty:',
    'words:secret words',
    'PEM:-----BEGIN PUBLIC KEY-----',
    `short:${ONE.slice(0, -4)}`,
    `off:${off.toString('base64')}`,
    `curve:${base64('secp384r1')}`,
    `rsa:${rsa.toString('base64')}`,
    `private:${secret.export({ type: 'pkcs8', format: 'der' }).toString('base64')}`,
    `good:${TWO}`,
    `other:${ONE}`,
    `${'x'.repeat(129)}:${base64()}`,
    `a\tb:${base64()}`,
  ];
  const outcome = await read(text.join('\n')).catch((error: unknown) => error);
  assert.ok(outcome instanceof PorticoError, 'the file was accepted');
  assert.equal(outcome.kind, ErrorKinds.SecurityFile);
  const kind =
    'the key is not the SubjectPublicKeyInfo of a public key of the curve P-256 (prime256v1) with an uncompressed point';
  const name = 'the name has more than 128 bytes or a control character';
  assert.deepEqual(outcome.message.split('\n'), [
    `${file}:2: the line is not user:key`,
    `${file}:3: the line is not user:key`,
    `${file}:4: the key is missing`,
    `${file}:5: the key is not in base64`,
    `${file}:6: the key is not in base64`,
    ...[7, 8, 9, 10, 11].map((line) => `${file}:${line}: ${kind}`),
    `${file}:12: user good is already on line 1`,
    `${file}:13: the key is already that of another line`,
    `${file}:14: ${name}`,
    `${file}:15: ${name}`,
  ]);
});

test('a file that is not there, or that everybody may write, stops with a sentence', async () => {
  const missing = join(folder, 'missing');
  await assert.rejects(readPublicKeyFile(missing), {
    kind: ErrorKinds.SecurityFile,
    message: `${missing}: the file of public keys cannot be read: there is none of that name`,
  });
  writeFileSync(file, '');
  chmodSync(file, 0o666);
  await assert.rejects(readPublicKeyFile(file), {
    message: `${file}: everybody may write the file of public keys; chmod o-w ${file} takes that away`,
  });
});
