/** A list of revoked certificates (RFC 5280 5): complete, and of the CA that has issued them. */
import { type KeyObject, verify } from 'node:crypto';
import { DerReader, DerTag } from './der.js';
import { readTime } from './der-time.js';

/** [0], constructed: the extensions of the list. */
const LIST_EXTENSIONS = 0xa0;

/** Hashes of signatures, by the object identifier of their algorithm in hexadecimal (RFC 5758 3.2, RFC 4055 5). */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
]);

export class RevocationList {
  /** The Name of its CA, in DER. */
  readonly issuer: Buffer;
  /** From when to when it holds, in milliseconds since 1970; without an end it holds for ever. */
  readonly from: number;
  readonly until: number;
  readonly #serials: ReadonlySet<bigint>;
  readonly #signed: Buffer;
  readonly #hash: string;
  readonly #signature: Buffer;

  /**
   * Throws a TypeError for what is no such list in DER, and for one that says by a critical extension that it is something else, such
   * as a list of changes, of some reasons alone, or of certificates of other CAs (RFC 5280 5.2).
   */
  constructor(der: Buffer) {
    const whole = new DerReader(der);
    const parts = new DerReader(whole.take(DerTag.Sequence));
    this.#signed = parts.whole();
    const algorithm = new DerReader(parts.take(DerTag.Sequence)).take(DerTag.ObjectIdentifier).toString('hex');
    // The first byte says how many bits of the last one are not used: none.
    this.#signature = parts.take(DerTag.BitString).subarray(1);
    const list = new DerReader(new DerReader(this.#signed).take(DerTag.Sequence));
    list.optional(DerTag.Integer);
    list.take(DerTag.Sequence);
    this.issuer = list.whole();
    if (this.issuer[0] !== DerTag.Sequence) throw malformed();
    this.from = readTime(list) ?? Number.NaN;
    this.until = readTime(list) ?? Number.POSITIVE_INFINITY;
    if (Number.isNaN(this.from) || Number.isNaN(this.until)) throw malformed();
    this.#serials = serialsOf(new DerReader(list.optional(DerTag.Sequence) ?? Buffer.alloc(0)));
    const extensions = list.optional(LIST_EXTENSIONS);
    if (whole.failed || parts.failed || list.failed || list.next !== -1 || whole.next !== -1) throw malformed();
    if (extensions !== undefined) refuseCritical(new DerReader(new DerReader(extensions).take(DerTag.Sequence)));
    const hash = HASHES.get(algorithm);
    if (hash === undefined) throw new TypeError('it is signed with an algorithm that is not known');
    this.#hash = hash;
  }

  /** What no other list has: its signature. */
  toString(): string {
    return this.#signature.toString('base64');
  }

  isSignedBy(key: KeyObject): boolean {
    try {
      return verify(this.#hash, this.#signed, key, this.#signature);
    } catch {
      return false;
    }
  }

  /** @param serial in hexadecimal, as node:crypto has it */
  has(serial: string): boolean {
    return this.#serials.has(BigInt(`0x${serial}`));
  }
}

function malformed(): TypeError {
  return new TypeError('it is no list of revoked certificates');
}

function serialsOf(entries: DerReader): Set<bigint> {
  const serials = new Set<bigint>();
  while (entries.next !== -1) {
    const entry = new DerReader(entries.take(DerTag.Sequence));
    const serial = entry.take(DerTag.Integer);
    entry.whole();
    if (entries.failed || entry.failed || serial.length === 0) throw malformed();
    const extensions = entry.optional(DerTag.Sequence);
    if (extensions !== undefined) refuseCritical(new DerReader(extensions));
    serials.add(BigInt(`0x${serial.toString('hex')}`));
  }
  if (entries.failed) throw malformed();
  return serials;
}

/** RFC 5280 5.2, 5.3: a list with what is critical and not known must not be used. */
function refuseCritical(extensions: DerReader): void {
  while (extensions.next !== -1) {
    const extension = new DerReader(extensions.take(DerTag.Sequence));
    const id = extension.take(DerTag.ObjectIdentifier).toString('hex');
    if ((extension.optional(DerTag.Boolean)?.[0] ?? 0) !== 0) {
      throw new TypeError(`it has a critical extension that is not known: ${id}`);
    }
    extension.take(DerTag.OctetString);
    if (extension.failed) throw malformed();
  }
  if (extensions.failed) throw malformed();
}
