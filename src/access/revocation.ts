/** Lists of revoked certificates (RFC 5280 5), PEM. */
import { createSecureContext } from 'node:tls';
import { DerReader, DerTag } from '../coap/dtls/der.js';
import { fault, type NamedFile, nameOf, reasonOf } from './certificate.js';
import { readSecurityFile } from './security-file.js';

export interface RevocationLists {
  /** One list each. */
  readonly pem: readonly string[];
  /** When the first of them is past its time, in milliseconds since the epoch; infinite if none says so. */
  readonly until: number;
}

const LIST = /-----BEGIN X509 CRL-----([\s\S]+?)-----END X509 CRL-----/g;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

/**
 * Reads lists of revoked certificates.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readRevocationLists(named: NamedFile): Promise<RevocationLists> {
  const text = (await readSecurityFile(named.file, 'list of revoked certificates', nameOf(named))).toString('latin1');
  const lists = [...text.matchAll(LIST)];
  if (lists.length === 0) throw fault(named, 'there is no list of revoked certificates in it (PEM, X509 CRL)');
  const ends = lists.map(([pem, base64], i) => {
    try {
      createSecureContext({ crl: pem });
    } catch (error) {
      throw fault(named, `list ${i + 1} in it is damaged: ${reasonOf(error)}`, error);
    }
    return nextUpdateOf(Buffer.from(base64, 'base64'));
  });
  return { pem: lists.map(([pem]) => pem), until: Math.min(...ends) };
}

/** `nextUpdate` of a list in DER (RFC 5280 5.1.2.5). */
function nextUpdateOf(der: Buffer): number {
  const list = new DerReader(new DerReader(new DerReader(der).take(DerTag.Sequence)).take(DerTag.Sequence));
  list.optional(DerTag.Integer);
  list.take(DerTag.Sequence);
  list.take(DerTag.Sequence);
  list.whole();
  const short = list.optional(UTC_TIME);
  const text = (short ?? list.optional(GENERALIZED_TIME))?.toString('latin1') ?? '';
  // RFC 5280 4.1.2.5.1: two digits of a year from 50 are of the last century.
  const century = short === undefined ? '' : text < '5' ? '20' : '19';
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text);
  if (list.failed || parts === null) return Number.POSITIVE_INFINITY;
  const [, year, month, day, hour, minute, second] = parts.map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
