/** Certificates and keys of listeners: what is wrong with them is said before anything listens. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { readCertificate } from '../../src/access/certificate.js';
import { PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

before(() => {
  for (const name of ['one', 'two']) {
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
    execFileSync('openssl', ['req', '-x509', ...kind, '-subj', `/CN=${name}`, ...files], { stdio: 'ignore' });
  }
  const pem = readFileSync(at('one.pem'), 'utf8');
  writeFileSync(at('chain.pem'), pem + readFileSync(at('two.pem'), 'utf8'));
  writeFileSync(at('text.pem'), 'not a certificate\n');
  writeFileSync(at('damaged.pem'), pem.replace(/[A-Za-z]{20}/, 'AAAAAAAAAAAAAAAAAAAA'));
  writeFileSync(
    at('damaged.key'),
    readFileSync(at('one.key'), 'utf8').replace(/[A-Za-z0-9]{20}/, 'AAAAAAAAAAAAAAAAAAAA'),
  );
  execFileSync('openssl', ['ec', '-in', at('one.key'), '-aes128', '-passout', 'pass:x', '-out', at('locked.key')], {
    stdio: 'ignore',
  });
});

async function fault(cert: string, key: string): Promise<string> {
  try {
    await readCertificate({ option: 'cert_file', file: at(cert) }, { option: 'key_file', file: at(key) });
  } catch (error) {
    assert.ok(error instanceof PorticoError);
    assert.equal(error.code, 'PORTICO_SECURITY_FILE');
    return error.message.replaceAll(`${folder}/`, '');
  }
  return '';
}

test('a certificate with its key, and with others behind it, is read', async () => {
  assert.equal(await fault('one.pem', 'one.key'), '');
  assert.equal(await fault('chain.pem', 'one.key'), '');
});

test('a file that is missing, is no PEM, is damaged or does not match is refused with the option and the file', async () => {
  for (const [cert, key, sentence] of [
    ['none.pem', 'one.key', 'cert_file: none.pem: the certificate file cannot be read: there is none of that name'],
    ['one.pem', 'none.key', 'key_file: none.key: the key file cannot be read: there is none of that name'],
    ['.', 'one.key', 'cert_file: .: the certificate file cannot be read: it is a folder'],
    ['text.pem', 'one.key', 'cert_file: text.pem: there is no certificate in it (PEM)'],
    ['one.pem', 'text.pem', 'key_file: text.pem: there is no private key in it (PEM)'],
    ['damaged.pem', 'one.key', 'cert_file: damaged.pem: certificate 1 in it is damaged'],
    ['one.pem', 'damaged.key', 'key_file: damaged.key: the key in it is damaged'],
    ['one.pem', 'locked.key', 'key_file: locked.key: the key in it is encrypted, and nobody is there to be asked'],
    ['one.pem', 'two.key', 'key_file: two.key: it is not the key of the certificate in one.pem'],
  ]) {
    assert.equal((await fault(cert, key)).replace(`${folder}: `, '.: '), sentence);
  }
});
