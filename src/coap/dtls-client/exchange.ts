/** The client's half of an agreement on a key: what it takes of the server's flight, and what it answers. */
import type { DtlsSession } from '../dtls/association.js';
import type { Refusal } from '../dtls/refusal.js';
import type { Offer, ServerHello } from './hello.js';

export interface ClientExchange {
  readonly offer: Offer;
  /** The messages that may come now, until ServerHelloDone has. */
  readonly due: readonly number[];
  /** How to say that they do not come. */
  readonly silence: string;
  /** What it may mean that the server does not answer Finished; begins with a colon, or is empty. */
  readonly doubt: string;
  /** What holds from Finished on, but for the suite. */
  readonly session: Pick<DtlsSession, 'identity' | 'proof'>;
  /** The server has chosen. */
  agree(hello: ServerHello): void;
  /** Takes a message that is due, of those between ServerHello and ServerHelloDone. */
  receive(type: number, body: Buffer, clientRandom: Buffer, serverRandom: Buffer): Refusal | undefined;
  /** What the client says after ServerHelloDone. */
  answer(): ClientAnswer | Refusal;
}

export interface ClientAnswer {
  /** The body of Certificate, if the server has asked for it. */
  readonly certificate: Buffer | undefined;
  /** The body of ClientKeyExchange. */
  readonly keyExchange: Buffer;
  /** To be zeroed. */
  readonly premaster: Buffer;
  /** Makes the signature of CertificateVerify (RFC 5246 7.4.8); undefined if nothing is to be signed. */
  readonly sign: ((messages: Buffer) => Buffer) | undefined;
}
