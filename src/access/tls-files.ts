/** The files of a listener that speaks TLS, all of them read and tried, so that they go into force together or not at all. */
import { X509Certificate } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { type NamedFile, readAuthorities, readAuthorityFolder, readCertificate, requireRoots } from './certificate.js';
import { readAll } from './every-fault.js';
import { readRevocationLists } from './revocation.js';

export interface TlsFileNames {
  readonly cert: NamedFile | undefined;
  readonly key: NamedFile | undefined;
  readonly ca: NamedFile | undefined;
  /** A folder of CAs. */
  readonly caFolder: NamedFile | undefined;
  readonly crl: NamedFile | undefined;
}

const nothing = Promise.resolve(undefined);

/** What they hold. */
export interface TlsFiles {
  /** For `node:tls`. */
  readonly context: Pick<SecureContextOptions, 'cert' | 'key' | 'ca' | 'crl'>;
  /** When the first of the certificates in a file, or of its lists, is past its time, in milliseconds since the epoch. */
  readonly ends: Readonly<Partial<Record<Expiring, number>>>;
}

/** A file that has an end: those of listeners and devices, and the CAs of servers that back-ends ask. */
export type Expiring = 'cert_file' | 'ca_file' | 'crl_file' | 'http_ca_file' | 'jwt_jwks_ca_file';

/**
 * Reads the files.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readTlsFiles({ cert, key, ca, caFolder, crl }: TlsFileNames): Promise<TlsFiles> {
  const named = ca ?? caFolder;
  const [own, authorities, lists] = await readAll(
    cert && key ? readCertificate(cert, key) : nothing,
    readTrusted(ca, caFolder),
    crl === undefined ? nothing : readRevocationLists(crl),
  );
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

/** CAs of a file, of a folder, or of both. */
async function readTrusted(ca: NamedFile | undefined, folder: NamedFile | undefined): Promise<X509Certificate[]> {
  const none: X509Certificate[] = [];
  const [inFile, inFolder] = await readAll(
    ca === undefined ? Promise.resolve(none) : readAuthorities(ca),
    folder === undefined ? Promise.resolve(none) : readAuthorityFolder(folder),
  );
  const all = [...inFile, ...inFolder];
  const named = ca ?? folder;
  if (named !== undefined) requireRoots(all, named);
  return all;
}

/** When the first of some certificates is past its time, in milliseconds since the epoch. */
export function endOf(certificates: readonly X509Certificate[]): number {
  return Math.min(...certificates.map(({ validTo }) => Date.parse(validTo)));
}

/** Whether files hold the same as others. */
export function isSame(one: TlsFiles, other: TlsFiles): boolean {
  const bytes = ({ context }: TlsFiles): string =>
    JSON.stringify([context.cert, context.key, context.ca, context.crl].map((part) => part?.toString()));
  return bytes(one) === bytes(other);
}
