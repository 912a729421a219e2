/** How a premaster secret is agreed on: ServerKeyExchange, and what ClientKeyExchange makes of it. */
import type { DatagramAddress } from '../transport.js';
import { NAMED_CURVE } from './certificate-messages.js';
import { FieldReader } from './fields.js';
import { ephemeralKey, type Group } from './groups.js';
import { premasterSecret } from './prf.js';
import { Alert, SignatureScheme } from './protocol.js';
import type { PskLookup } from './psk.js';
import { Refusal } from './refusal.js';
import type { ServerCertificate } from './server-certificate.js';
import { serverKeyExchange } from './server-hello.js';

export interface KeyExchange {
  /** The body of ServerKeyExchange; undefined if there is nothing to say. */
  readonly message: Buffer | undefined;
  /** Takes ClientKeyExchange. The premaster secret is the caller's, to be zeroed. */
  receive(body: Buffer): Agreed | Refusal;
}

export interface Agreed {
  readonly premaster: Buffer;
  /** Of a pre-shared key; undefined if the exchange says nothing about who the client is. */
  readonly identity: string | undefined;
}

const MALFORMED = new Refusal(Alert.DecodeError, 'malformed ClientKeyExchange');

/** RFC 4279 2. */
export function pskExchange(psk: PskLookup, hint: Buffer | undefined, remote: DatagramAddress): KeyExchange {
  return {
    message: hint === undefined ? undefined : serverKeyExchange(hint),
    receive: (body) => {
      const reader = new FieldReader(body);
      const bytes = reader.vector(2);
      if (reader.failed || reader.left > 0) return MALFORMED;
      const { identity, key } = psk.find(bytes, remote);
      const premaster = premasterSecret(key);
      key.fill(0);
      return { premaster, identity };
    },
  };
}

/** RFC 8422 5.4, 5.7: parameters signed together with both randoms. */
export function ecdheExchange(
  certificate: ServerCertificate,
  group: Group,
  clientRandom: Buffer,
  serverRandom: Buffer,
): KeyExchange {
  const key = ephemeralKey(group);
  const { point } = key;
  const parameters = Buffer.concat([Buffer.from([NAMED_CURVE, group >> 8, group & 0xff, point.length]), point]);
  const signature = certificate.sign(Buffer.concat([clientRandom, serverRandom, parameters]));
  const head = Buffer.alloc(4);
  head.writeUInt16BE(SignatureScheme.EcdsaSha256, 0);
  head.writeUInt16BE(signature.length, 2);
  return {
    message: Buffer.concat([parameters, head, signature]),
    receive: (body) => {
      const reader = new FieldReader(body);
      const theirs = reader.vector(1);
      if (reader.failed || reader.left > 0) return MALFORMED;
      const premaster = key.agree(theirs);
      if (premaster === undefined) return new Refusal(Alert.IllegalParameter, 'a public key that is not of the group');
      return { premaster, identity: undefined };
    },
  };
}
