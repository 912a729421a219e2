/** The certificate of a listener and its private key, from PEM files. Both are tried before anything listens. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { ErrorKinds, PorticoError } from '../errors.js';
import { readSecurityFile } from './security-file.js';

/** A file, and the option that names it. */
export interface NamedFile {
  readonly option: string;
  readonly file: string;
}

/** PEM as it was read: the certificate with what is between it and its root, and the key. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * Reads a certificate and its key.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readCertificate(certificate: NamedFile, privateKey: NamedFile): Promise<Certificate> {
  const cert = await read(certificate, 'certificate file');
  const key = await read(privateKey, 'key file');
  const own = certificateIn(cert, certificate);
  if (!own.checkPrivateKey(keyIn(key, privateKey))) {
    throw fault(privateKey, `it is not the key of the certificate in ${certificate.file}`);
  }
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw fault(certificate, `it cannot be used: ${reasonOf(error)}`, error);
  }
  return { cert, key };
}

async function read({ option, file }: NamedFile, kind: string): Promise<Buffer> {
  return readSecurityFile(file, kind, `${option}: ${file}`);
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The first certificate of a file, which is the listener's own. */
function certificateIn(pem: Buffer, named: NamedFile): X509Certificate {
  const blocks = pem.toString('latin1').match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw fault(named, 'there is no certificate in it (PEM)');
  const [own] = blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw fault(named, `certificate ${i + 1} in it is damaged`, error);
    }
  });
  return own;
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

function fault({ option, file }: NamedFile, sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.SecurityFile, `${option}: ${file}: ${sentence}`, { cause });
}

/** OpenSSL's reason, without the place in its sources. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
}
