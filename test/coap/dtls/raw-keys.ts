/** Servers and devices with raw public keys (RFC 7250) for the tests. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { DtlsOptions } from '../../../src/coap/dtls/options.js';
import { bench } from './certified.js';
import type { ClientOptions, DtlsBench } from './client.js';

export const X509 = 0;
export const RAW = 2;

/** A key pair, and its public key as node:crypto writes it. */
export class RawKey {
  readonly privateKey: KeyObject;
  readonly info: Buffer;

  constructor(curve = 'prime256v1') {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
    this.privateKey = privateKey;
    this.info = publicKey.export({ type: 'spki', format: 'der' });
  }

  /** What a client shows. */
  get credential(): { chain: Buffer[]; key: KeyObject } {
    return { chain: [this.info], key: this.privateKey };
  }
}

export const SERVER_KEY = new RawKey();
export const DEVICE_KEY = new RawKey();

/** Whose a key is: there is one device. */
export function owner(info: Buffer): string | null {
  return info.equals(DEVICE_KEY.info) ? 'device' : null;
}

/** A server without a certificate that knows the key of one device. */
export function raw(required = true, more: Partial<DtlsOptions> = {}): DtlsBench {
  return bench({
    certificate: { key: SERVER_KEY.privateKey },
    clientCertificates: { publicKeys: owner, required },
    ...more,
  });
}

/** A client that has a raw public key, and takes them. */
export const BOTH = { clientTypes: [RAW], serverTypes: [RAW], credential: DEVICE_KEY.credential } as const;
/** One that has none. */
export const ANONYMOUS: ClientOptions = { serverTypes: [RAW] };
