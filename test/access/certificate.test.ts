/** Certificates and keys of listeners: what is wrong with them is said before anything listens. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { readAuthorities, readCertificate, requireP256, requireRoots } from '../../src/access/certificate.js';
import { PorticoError } from '../../src/errors.js';
import { Made } from '../coap/dtls/certificates.js';
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
  writeFileSync(at('text.pem'), 'not a certificate\n', { mode: 0o600 });
  writeFileSync(at('damaged.pem'), pem.replace(/[A-Za-z]{20}/, 'AAAAAAAAAAAAAAAAAAAA'));
  writeFileSync(
    at('damaged.key'),
    readFileSync(at('one.key'), 'utf8').replace(/[A-Za-z0-9]{20}/, 'AAAAAAAAAAAAAAAAAAAA'),
    { mode: 0o600 },
  );
  execFileSync('openssl', ['ec', '-in', at('one.key'), '-aes128', '-passout', 'pass:x', '-out', at('locked.key')], {
    stdio: 'ignore',
  });
});

function fault(cert: string, key: string): Promise<string> {
  return said(readCertificate({ option: 'cert_file', file: at(cert) }, { option: 'key_file', file: at(key) }));
}

/** The sentence of a refusal; '' if there is none. */
async function said(reading: Promise<unknown>): Promise<string> {
  try {
    await reading;
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
  const cert = { option: 'cert_file', file: at('chain.pem') };
  const { chain } = await readCertificate(cert, { option: 'key_file', file: at('one.key') });
  assert.deepEqual(
    chain.map((der) => new X509Certificate(der).subject),
    ['CN=one', 'CN=two'],
  );
});

test('RFC 7252 9.1.3.3: a key that is not of P-256 is refused for DTLS, with the option and the file', async () => {
  for (const [name, kind, sentence] of [
    ['rsa', ['rsa:2048'], 'key_file: rsa.key: the key is of type rsa,'],
    [
      'p384',
      ['ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1'],
      'key_file: p384.key: the key is of the curve secp384r1,',
    ],
    ['ed', ['ed25519'], 'key_file: ed.key: the key is of type ed25519,'],
  ] as const) {
    const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
    execFileSync('openssl', ['req', '-x509', '-newkey', ...kind, '-nodes', '-subj', '/CN=x', ...files], {
      stdio: 'ignore',
    });
    const key = { option: 'key_file', file: at(`${name}.key`) };
    const certificate = await readCertificate({ option: 'cert_file', file: at(`${name}.pem`) }, key);
    assert.throws(() => requireP256(certificate.privateKey, key), {
      code: 'PORTICO_SECURITY_FILE',
      message:
        sentence.replace('key_file: ', `key_file: ${folder}/`) +
        ' and over DTLS it has to be one of the curve P-256 (prime256v1)',
    });
  }
  const key = { option: 'key_file', file: at('one.key') };
  requireP256((await readCertificate({ option: 'cert_file', file: at('one.pem') }, key)).privateKey, key);
});

test('a file of CAs for TLS goes up to those that have signed themselves', () => {
  const root = new Made({ names: ['root'], ca: true });
  const between = root.issue({ names: ['between'], ca: true });
  const named = { option: 'ca_file', file: 'f' };
  requireRoots([between.x509, root.x509], named);
  assert.throws(() => requireRoots([between.x509, between.issue({ ca: true }).x509], named), {
    message: 'ca_file: f: the CA of certificate 1 in it is not there: TLS needs all up to one that has signed itself',
  });
});

test('a file of CAs has certificates of CAs only', async () => {
  const authorities = (name: string): Promise<string> => said(readAuthorities({ option: 'ca_file', file: at(name) }));
  const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', at('leaf.key'), '-out', at('leaf.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-subj', '/CN=leaf', ...leaf], {
    stdio: 'ignore',
  });
  writeFileSync(at('mixed.pem'), readFileSync(at('one.pem'), 'utf8') + readFileSync(at('leaf.pem'), 'utf8'));
  assert.equal(await authorities('chain.pem'), '', 'two of them');
  for (const [file, sentence] of [
    ['none.pem', 'the file of CAs cannot be read: there is none of that name'],
    ['text.pem', 'there is no certificate in it (PEM)'],
    ['damaged.pem', 'certificate 1 in it is damaged'],
    ['leaf.pem', 'certificate 1 in it is not that of a CA (basicConstraints)'],
    ['mixed.pem', 'certificate 2 in it is not that of a CA (basicConstraints)'],
  ]) {
    assert.equal(await authorities(file), `ca_file: ${file}: ${sentence}`);
  }
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
