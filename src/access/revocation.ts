/** Lists of revoked certificates (RFC 5280 5), PEM. */
import { createSecureContext } from 'node:tls';
import { DerReader, DerTag } from '../coap/dtls/der.js';
import { readTime } from '../coap/dtls/der-time.js';
import { fault, type NamedFile, nameOf, reasonOf } from './certificate.js';
import { readSecurityFile } from './security-file.js';

export interface RevocationLists {
  /** One list each. */
  readonly pem: readonly string[];
  /** When the first of them is past its time, in milliseconds since the epoch; infinite if none says so. */
  readonly until: number;
}

const BEGIN = '-----BEGIN X509 CRL-----';
const END = '-----END X509 CRL-----';

/**
 * Reads lists of revoked certificates.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message names the option and the file
 */
export async function readRevocationLists(named: NamedFile): Promise<RevocationLists> {
  const text = (await readSecurityFile(named.file, 'list of revoked certificates', nameOf(named))).toString('latin1');
  const [, ...lists] = text.split(BEGIN);
  if (lists.length === 0) throw fault(named, 'there is no list of revoked certificates in it (PEM, X509 CRL)');
  const damaged = (i: number, why: string, cause?: unknown): Error =>
    fault(named, `list ${i + 1} in it is damaged: ${why}`, cause);
  const pem: string[] = [];
  let until = Number.POSITIVE_INFINITY;
  for (const [i, list] of lists.entries()) {
    const end = list.indexOf(END);
    if (end < 0) throw damaged(i, 'it has no end');
    const base64 = list.slice(0, end);
    const whole = BEGIN + base64 + END;
    try {
      createSecureContext({ crl: whole });
    } catch (error) {
      throw damaged(i, reasonOf(error), error);
    }
    const next = nextUpdateOf(Buffer.from(base64, 'base64'));
    if (Number.isNaN(next)) throw damaged(i, 'it holds until no date that there is');
    pem.push(whole);
    until = Math.min(until, next);
  }
  return { pem, until };
}

/** `nextUpdate` of a list in DER (RFC 5280 5.1.2.5): infinite without one, NaN for what is no date. */
function nextUpdateOf(der: Buffer): number {
  const list = new DerReader(new DerReader(new DerReader(der).take(DerTag.Sequence)).take(DerTag.Sequence));
  list.optional(DerTag.Integer);
  list.take(DerTag.Sequence);
  list.take(DerTag.Sequence);
  list.whole();
  return readTime(list) ?? Number.POSITIVE_INFINITY;
}
