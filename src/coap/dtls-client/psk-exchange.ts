/** The client's part of a key exchange with a pre-shared key (RFC 4279 2). */
import type { DtlsSession } from '../dtls/association.js';
import { FieldReader } from '../dtls/fields.js';
import { premasterSecret } from '../dtls/prf.js';
import { Alert, HandshakeType } from '../dtls/protocol.js';
import { Refusal } from '../dtls/refusal.js';
import type { ClientAnswer, ClientExchange } from './exchange.js';
import { PSK_OFFER } from './hello.js';

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

export class PskExchange implements ClientExchange {
  readonly offer = PSK_OFFER;
  readonly doubt = ': identity or key may be wrong';
  readonly #credential: PskCredential;
  #hinted = false;

  constructor(credential: PskCredential) {
    this.#credential = credential;
  }

  get due(): readonly number[] {
    return this.#hinted
      ? [HandshakeType.ServerHelloDone]
      : [HandshakeType.ServerKeyExchange, HandshakeType.ServerHelloDone];
  }

  get silence(): string {
    return `nothing after ${this.#hinted ? 'ServerKeyExchange' : 'ServerHello'}`;
  }

  get session(): Pick<DtlsSession, 'identity' | 'proof'> {
    return { identity: this.#credential.identity, proof: 'psk' };
  }

  /** There is nothing but the suite to agree on. */
  agree(): void {}

  /** ServerKeyExchange has an identity hint, which is left: the identity is known. */
  receive(_type: number, body: Buffer): Refusal | undefined {
    this.#hinted = true;
    const reader = new FieldReader(body);
    reader.vector(2);
    return reader.failed || reader.left > 0 ? new Refusal(Alert.DecodeError, 'malformed ServerKeyExchange') : undefined;
  }

  answer(): ClientAnswer {
    const { identity, key } = this.#credential;
    const name = Buffer.from(identity);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(name.length);
    const keyExchange = Buffer.concat([length, name]);
    return { certificate: undefined, keyExchange, premaster: premasterSecret(key), sign: undefined };
  }
}
