/** Verifies the certificates of servers: a path to a CA, and the name by which the server was asked for (RFC 5280 6, RFC 6125 6). */
import type { KeyObject, X509Certificate } from 'node:crypto';
import { commonNameOf } from '../common-name.js';
import { CertificatePaths, FOR_SERVERS, type PathOptions } from '../dtls/certificate-paths.js';
import { Alert } from '../dtls/protocol.js';
import { quoted, Refusal } from '../dtls/refusal.js';

/** Whom the certificate of a server has to name: its host, or its endpoint name. */
export interface ServerName {
  /** As in the URI: a dNSName or an iPAddress of the certificate. */
  readonly host: string;
  readonly kind: 'name' | 'IPv4' | 'IPv6';
  /** Of a device that has registered (RFC 9176): a dNSName of the certificate, or its common name. */
  readonly endpoint?: string | undefined;
}

export class ServerCertificates {
  readonly #paths: CertificatePaths;

  /** Throws a TypeError for what is no certificate of a CA, and if there is none. */
  constructor(options: PathOptions) {
    this.#paths = new CertificatePaths(options, FOR_SERVERS);
    if (options.ca.length === 0) throw new TypeError('certificates of servers need a CA');
  }

  /** The key of the server, whose certificate is good for `name`. Whether the server has it, ServerKeyExchange shows. */
  verify(chain: readonly Buffer[], name: ServerName): KeyObject | Refusal {
    return this.#paths.verify(chain, (x509) => {
      if (isFor(x509, name)) return x509.publicKey;
      const wanted = name.endpoint === undefined ? name.host : `${name.host} nor ${name.endpoint}`;
      return new Refusal(Alert.BadCertificate, `certificate of another name than ${wanted}: ${quoted(x509.subject)}`);
    });
  }
}

/** A common name is no host: certificates say hosts in subjectAltName (RFC 6125 6.4.4). */
const HOSTS_ONLY = { subject: 'never' } as const;

function isFor(x509: X509Certificate, { host, kind, endpoint }: ServerName): boolean {
  const isHost =
    kind === 'name'
      ? x509.checkHost(host, { ...HOSTS_ONLY, partialWildcards: false }) !== undefined
      : x509.checkIP(host.replace(/%.*$/, '')) !== undefined;
  if (isHost || endpoint === undefined) return isHost;
  return commonNameOf(x509) === endpoint || x509.checkHost(endpoint, { ...HOSTS_ONLY, wildcards: false }) !== undefined;
}
