/** The certificate of a listener and its private key, and the CAs of its clients, from PEM files. All are tried before anything listens. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { ErrorKinds, PorticoError } from '../errors.js';
import { readAll } from './every-fault.js';
import { readSecurityFile, unreadable } from './security-file.js';

/** A file, and the option that names it. */
export interface NamedFile {
  readonly option: string;
  readonly file: string;
}

export interface Certificate {
  /** PEM as it was read: the certificate with what is between it and its root, and the key. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The same certificates in DER, the listener's own first. */
  readonly chain: readonly Buffer[];
  readonly privateKey: KeyObject;
}

/**
 * Reads a certificate and its key.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readCertificate(certificate: NamedFile, privateKey: NamedFile): Promise<Certificate> {
  const [[cert, certificates], [key, own]] = await readAll(
    read(certificate, 'certificate file').then((bytes) => [bytes, certificatesIn(bytes, certificate)] as const),
    readKey(privateKey).then((bytes) => [bytes, keyIn(bytes, privateKey)] as const),
  );
  if (!certificates[0].checkPrivateKey(own)) {
    throw fault(privateKey, `it is not the key of the certificate in ${certificate.file}`);
  }
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw fault(certificate, `it cannot be used: ${reasonOf(error)}`, error);
  }
  return { cert, key, chain: certificates.map(({ raw }) => raw), privateKey: own };
}

/**
 * Reads a private key that has no certificate.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readPrivateKey(privateKey: NamedFile): Promise<KeyObject> {
  return keyIn(await readKey(privateKey), privateKey);
}

/**
 * Refuses a key that DTLS does not speak: it has to be of the curve P-256 (RFC 7252 9.1.3.2, 9.1.3.3).
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export function requireP256(key: KeyObject, named: NamedFile): void {
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails } = key;
  const { namedCurve } = asymmetricKeyDetails ?? {};
  if (namedCurve === 'prime256v1') return;
  const what = namedCurve === undefined ? `of type ${type}` : `of the curve ${namedCurve}`;
  throw fault(named, `the key is ${what}, and over DTLS it has to be one of the curve P-256 (prime256v1)`);
}

/**
 * Reads the certificates of CAs.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readAuthorities(authorities: NamedFile): Promise<X509Certificate[]> {
  const certificates = certificatesIn(await read(authorities, 'file of CAs'), authorities);
  certificates.forEach((x509, i) => {
    if (!x509.ca) throw fault(authorities, `certificate ${i + 1} in it is not that of a CA (basicConstraints)`);
  });
  return certificates;
}

/** What `openssl rehash` calls the certificates of a folder. */
const HASHED = /^[\da-f]{8}\.\d+$/;

/**
 * Reads the certificates of CAs in a folder, a file each that is named by its hash.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readAuthorityFolder(folder: NamedFile): Promise<X509Certificate[]> {
  let names: string[];
  try {
    names = (await readdir(folder.file)).filter((name) => HASHED.test(name));
  } catch (error) {
    throw fault(folder, `the folder of CAs cannot be read: ${unreadable(error)}`, error);
  }
  if (names.length === 0) throw fault(folder, 'there is no CA in it: openssl rehash gives them the names that count');
  const files = names.sort().map((name) => ({ option: folder.option, file: join(folder.file, name) }));
  return (await readAll(...files.map(readAuthorities))).flat();
}

/**
 * Refuses CAs that TLS would not take, since it goes up to one that has signed itself.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export function requireRoots(authorities: readonly X509Certificate[], named: NamedFile): void {
  authorities.forEach((x509, i) => {
    if (authorities.some((other) => x509.checkIssued(other))) return;
    const sentence = `the CA of certificate ${i + 1} in it is not there: TLS needs all up to one that has signed itself`;
    throw fault(named, sentence);
  });
}

/** Nobody but its owner, or a group, may read a private key. */
function readKey(named: NamedFile): Promise<Buffer> {
  return readSecurityFile(named.file, 'key file', nameOf(named), true);
}

async function read({ option, file }: NamedFile, kind: string): Promise<Buffer> {
  return readSecurityFile(file, kind, nameOf({ option, file }));
}

/** What a sentence about a file begins with. */
export function nameOf({ option, file }: NamedFile): string {
  return `${option}: ${file}`;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates of a file, one at least. */
function certificatesIn(pem: Buffer, named: NamedFile): X509Certificate[] {
  const blocks = pem.toString('latin1').match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw fault(named, 'there is no certificate in it (PEM)');
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw fault(named, `certificate ${i + 1} in it is damaged`, error);
    }
  });
}

function keyIn(pem: Buffer, named: NamedFile): KeyObject {
  const text = pem.toString('latin1');
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw fault(named, 'there is no private key in it (PEM)');
  if (/ENCRYPTED/.test(text)) throw fault(named, 'the key in it is encrypted, and nobody is there to be asked');
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw fault(named, 'the key in it is damaged', error);
  }
}

/** What is wrong with a file. */
export function fault(named: NamedFile, sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.SecurityFile, `${nameOf(named)}: ${sentence}`, { cause });
}

/** OpenSSL's reason, without the place in its sources. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
}
