/** What a SCRAM client sends, read strictly: RFC 5802 7. */
import { decodeBase64 } from './security-file.js';

/** client-first-message. */
export interface ClientFirst {
  /** With both commas: what the channel binding of the last message has to repeat. */
  readonly gs2Header: string;
  /** The identity to act as; null for the user's own. */
  readonly authorizationIdentity: string | null;
  readonly username: string;
  readonly nonce: string;
  /** client-first-message-bare, as it came. */
  readonly bare: string;
}

/** client-final-message. */
export interface ClientFinal {
  /** Of the channel binding, decoded. */
  readonly binding: Buffer;
  readonly nonce: string;
  readonly proof: Buffer;
  /** client-final-message-without-proof, as it came. */
  readonly withoutProof: string;
}

/** Bytes of the longest message that is read; nothing in one need be longer than a few hundred. */
const LONGEST = 4096;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** cbind-flag, authzid; what follows is client-first-message-bare. */
const GS2_HEADER = /^(?:n|y|p=[A-Za-z0-9.-]+),(?:a=([^,]*))?,/;
/** saslname: no NUL, no comma, and `=` only as `=2C` (a comma) or `=3D`. */
const SASL_NAME = /^(?:[^\0,=]|=2C|=3D)+$/u;
/** printable, but for the comma. */
const NONCE = /^[\x21-\x2b\x2d-\x7e]+$/;
/** An attribute that the client adds; those that we do not know are ignored. */
const EXTENSION = /^[A-Za-z]=[^\0,]+$/u;

/** The first message, or what is wrong with it. */
export function parseClientFirst(data: Buffer): ClientFirst | string {
  const text = decode(data);
  if (text === null) return 'the first message is not UTF-8 or is too long';
  const header = GS2_HEADER.exec(text);
  if (header === null) return 'the first message does not begin with a GS2 header';
  if (text.startsWith('p')) return 'the client asks for channel binding, which was not offered';
  const [gs2Header, authzid] = header;
  const bare = text.slice(gs2Header.length);
  const [name, nonce, ...extensions] = bare.split(',');
  if (name.startsWith('m=')) return 'the client asks for an extension that must be understood (m=)';
  const username = name.startsWith('n=') ? unescapeName(name.slice(2)) : null;
  if (username === null) return 'the user name of the first message is missing or malformed';
  const authorizationIdentity = authzid === undefined ? undefined : unescapeName(authzid);
  if (authorizationIdentity === null) return 'the authorization identity is malformed';
  if (nonce === undefined || !nonce.startsWith('r=') || !NONCE.test(nonce.slice(2))) {
    return 'the nonce of the first message is missing or malformed';
  }
  if (!extensions.every((one) => EXTENSION.test(one))) return 'an extension of the first message is malformed';
  return { gs2Header, authorizationIdentity: authorizationIdentity ?? null, username, nonce: nonce.slice(2), bare };
}

/** The last message, or what is wrong with it. */
export function parseClientFinal(data: Buffer): ClientFinal | string {
  const text = decode(data);
  if (text === null) return 'the last message is not UTF-8 or is too long';
  const [channelBinding, nonce, ...rest] = text.split(',');
  const last = rest.pop();
  const binding = channelBinding.startsWith('c=') ? decodeBase64(channelBinding.slice(2)) : null;
  if (binding === null) return 'the channel binding of the last message is missing or malformed';
  if (nonce === undefined || !nonce.startsWith('r=') || !NONCE.test(nonce.slice(2))) {
    return 'the nonce of the last message is missing or malformed';
  }
  const proof = last?.startsWith('p=') ? decodeBase64(last.slice(2)) : null;
  if (last === undefined || proof === null) return 'the proof of the last message is missing or malformed';
  if (!rest.every((one) => EXTENSION.test(one))) return 'an extension of the last message is malformed';
  return { binding, nonce: nonce.slice(2), proof, withoutProof: text.slice(0, -last.length - 1) };
}

function decode(data: Buffer): string | null {
  if (data.length > LONGEST) return null;
  try {
    return utf8.decode(data);
  } catch {
    return null;
  }
}

function unescapeName(name: string): string | null {
  return SASL_NAME.test(name) ? name.replaceAll('=2C', ',').replaceAll('=3D', '=') : null;
}
