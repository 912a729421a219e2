/** The client's part of a key exchange with a pre-shared key (RFC 4279 2). */
import { FieldReader } from '../dtls/fields.js';
import { premasterSecret } from '../dtls/prf.js';

/** Whom the client is for a server, and what shows it. */
export interface PskCredential {
  /** 1 to 65,535 bytes of UTF-8; RFC 4279 5.3 asks servers for 128. */
  readonly identity: string;
  /** 1 to 65,535 bytes; not changed. */
  readonly key: Buffer;
}

/** Whether it can be sent. */
export function isUsable({ identity, key }: PskCredential): boolean {
  const length = Buffer.byteLength(identity);
  return length > 0 && length <= 0xffff && key.length > 0 && key.length <= 0xffff;
}

/** ServerKeyExchange has an identity hint, which is left: the identity is known. False if it is malformed. */
export function isServerKeyExchange(body: Buffer): boolean {
  const reader = new FieldReader(body);
  reader.vector(2);
  return !reader.failed && reader.left === 0;
}

/** The body of ClientKeyExchange, and the premaster secret, to be zeroed. */
export function exchangePsk({ identity, key }: PskCredential): {
  readonly message: Buffer;
  readonly premaster: Buffer;
} {
  const name = Buffer.from(identity);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(name.length);
  return { message: Buffer.concat([length, name]), premaster: premasterSecret(key) };
}
