/** The files of a listener that speaks TLS, all of them read and tried, so that they go into force together or not at all. */
import { X509Certificate } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { type NamedFile, readAuthorities, readAuthorityFolder, readCertificate, requireRoots } from './certificate.js';
import { readRevocationLists } from './revocation.js';

export interface TlsFileNames {
  readonly cert: NamedFile | undefined;
  readonly key: NamedFile | undefined;
  readonly ca: NamedFile | undefined;
  /** A folder of CAs. */
  readonly caFolder: NamedFile | undefined;
  readonly crl: NamedFile | undefined;
}

/** What they hold. */
export interface TlsFiles {
  /** For `node:tls`. */
  readonly context: Pick<SecureContextOptions, 'cert' | 'key' | 'ca' | 'crl'>;
  /** When the first of the certificates in a file, or of its lists, is past its time, in milliseconds since the epoch. */
  readonly ends: Readonly<Partial<Record<Expiring, number>>>;
}

/** A file that has an end. */
export type Expiring = 'cert_file' | 'ca_file' | 'crl_file';

/**
 * Reads the files.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readTlsFiles({ cert, key, ca, caFolder, crl }: TlsFileNames): Promise<TlsFiles> {
  const own = cert && key && (await readCertificate(cert, key));
  const authorities = [
    ...(ca === undefined ? [] : await readAuthorities(ca)),
    ...(caFolder === undefined ? [] : await readAuthorityFolder(caFolder)),
  ];
  const named = ca ?? caFolder;
  if (named !== undefined) requireRoots(authorities, named);
  const lists = crl && (await readRevocationLists(crl));
  return {
    context: {
      ...(own && { cert: own.cert, key: own.key }),
      ...(named && { ca: authorities.map(String) }),
      ...(lists && { crl: [...lists.pem] }),
    },
    ends: {
      ...(own && { cert_file: endOf(own.chain.map((der) => new X509Certificate(der))) }),
      ...(named && { ca_file: endOf(authorities) }),
      ...(lists && lists.until < Number.POSITIVE_INFINITY && { crl_file: lists.until }),
    },
  };
}

function endOf(certificates: readonly X509Certificate[]): number {
  return Math.min(...certificates.map(({ validTo }) => Date.parse(validTo)));
}

/** Whether files hold the same as others. */
export function isSame(one: TlsFiles, other: TlsFiles): boolean {
  const bytes = ({ context }: TlsFiles): string =>
    JSON.stringify([context.cert, context.key, context.ca, context.crl].map((part) => part?.toString()));
  return bytes(one) === bytes(other);
}
