/** Makes certificates of any kind, good and bad, in memory: a few lines of DER that share no code with the server's. */
import { generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { isIPv4 } from 'node:net';

type KeyPair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

const der = (tag: number, ...parts: Buffer[]): Buffer => {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
};
const sequence = (...parts: Buffer[]): Buffer => der(0x30, ...parts);
const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const id = (text: string): Buffer => der(6, hex(text));
const ECDSA_SHA256 = sequence(id('2a8648ce3d040302'));

/** 2026-01-01 and 2046-01-01: the dates that a certificate has unless it is asked for others. */
export const FROM = Date.UTC(2026, 0, 1);
const TO = Date.UTC(2046, 0, 1);

const date = (time: number): Buffer => {
  const text = new Date(time).toISOString().replace(/[-:T]|\.\d+/g, '');
  return der(0x17, Buffer.from(text.slice(2)));
};

export interface Wish {
  /** Common names; one, as a rule. */
  readonly names?: readonly string[];
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** The first byte of the key usages. */
  readonly keyUsage?: number;
  /** Last arcs below 1.3.6.1.5.5.7.3 of the extended usages: 1 is for servers, 2 for clients. */
  readonly usages?: readonly number[];
  /** subjectAltName: names and IPv4 addresses. */
  readonly hosts?: readonly string[];
  readonly from?: number;
  readonly to?: number;
  /** Object identifier of a critical extension, in hexadecimal. */
  readonly critical?: string;
  readonly curve?: string;
  readonly keys?: KeyPair;
  /** Bytes more, in an extension that says nothing. */
  readonly padding?: number;
}

/** What a list of revoked certificates may have that is not right. */
export interface ListWish {
  readonly from?: number;
  /** Null: it has no end. */
  readonly until?: number | null;
  /** Object identifiers of critical extensions, in hexadecimal: of the list, and of each entry. */
  readonly critical?: string;
  readonly entryCritical?: string;
  readonly keys?: KeyPair;
  /** An AlgorithmIdentifier in DER. */
  readonly algorithm?: Buffer;
}

let serial = 0;

/** A certificate and its key, and those above it. */
export class Made {
  readonly keys: KeyPair;
  readonly der: Buffer;
  readonly #name: Buffer;
  /** The number, in DER. */
  readonly #serial: Buffer;
  readonly #issuer: Made | undefined;

  /** Self-signed without `issuer`. */
  constructor(wish: Wish, issuer?: Made) {
    this.keys = wish.keys ?? generateKeyPairSync('ec', { namedCurve: wish.curve ?? 'prime256v1' });
    this.#issuer = issuer;
    const names = (wish.names ?? ['device']).map((name) =>
      der(0x31, sequence(id('550403'), der(12, Buffer.from(name)))),
    );
    this.#name = sequence(...names);
    const extension = (oid: string, value: Buffer, ...critical: Buffer[]): Buffer =>
      sequence(id(oid), ...critical, der(4, value));
    const yes = der(1, Buffer.from([0xff]));
    const extensions: Buffer[] = [];
    const length = wish.pathLength === undefined ? [] : [der(2, Buffer.from([wish.pathLength]))];
    if (wish.ca === true) extensions.push(extension('551d13', sequence(yes, ...length), yes));
    if (wish.keyUsage !== undefined) extensions.push(extension('551d0f', der(3, Buffer.from([0, wish.keyUsage])), yes));
    if (wish.usages !== undefined) {
      const list = wish.usages.map((arc) => Buffer.concat([hex('06082b060105050703'), Buffer.from([arc])]));
      extensions.push(extension('551d25', sequence(...list)));
    }
    if (wish.hosts !== undefined) {
      const hosts = wish.hosts.map((host) =>
        isIPv4(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host)),
      );
      extensions.push(extension('551d11', sequence(...hosts)));
    }
    if (wish.critical !== undefined) extensions.push(extension(wish.critical, sequence(), yes));
    if (wish.padding !== undefined) extensions.push(extension('2a0304', Buffer.alloc(wish.padding)));
    this.#serial = der(2, Buffer.from([1, ++serial >> 8, serial & 255]));
    const toBeSigned = sequence(
      der(0xa0, der(2, Buffer.from([2]))),
      this.#serial,
      ECDSA_SHA256,
      (issuer ?? this).#name,
      sequence(date(wish.from ?? FROM), date(wish.to ?? TO)),
      this.#name,
      this.keys.publicKey.export({ type: 'spki', format: 'der' }),
      ...(extensions.length === 0 ? [] : [der(0xa3, sequence(...extensions))]),
    );
    const signature = sign('sha256', toBeSigned, (issuer ?? this).keys.privateKey);
    this.der = sequence(toBeSigned, ECDSA_SHA256, der(3, Buffer.from([0]), signature));
  }

  /** From this one up to the one below the CA; what a peer sends. */
  get chain(): Buffer[] {
    return this.#issuer === undefined ? [] : [this.der, ...this.#issuer.chain];
  }

  get x509(): X509Certificate {
    return new X509Certificate(this.der);
  }

  /** The chain and the key, as options. */
  get credential(): { chain: Buffer[]; key: KeyObject } {
    return { chain: this.chain, key: this.keys.privateKey };
  }

  /** A list of those that it has revoked (RFC 5280 5), in DER. */
  list(revoked: readonly Made[], wish: ListWish = {}): Buffer {
    const { from = FROM, until = TO, critical, entryCritical, keys = this.keys } = wish;
    const unknown = (oid: string): Buffer =>
      sequence(sequence(id(oid), der(1, Buffer.from([0xff])), der(4, sequence())));
    const entries = revoked.map((made) =>
      sequence(made.#serial, date(FROM), ...(entryCritical === undefined ? [] : [unknown(entryCritical)])),
    );
    const toBeSigned = sequence(
      der(2, Buffer.from([1])),
      wish.algorithm ?? ECDSA_SHA256,
      this.#name,
      date(from),
      ...(until === null ? [] : [date(until)]),
      ...(entries.length === 0 ? [] : [sequence(...entries)]),
      ...(critical === undefined ? [] : [der(0xa0, unknown(critical))]),
    );
    const signature = sign('sha256', toBeSigned, keys.privateKey);
    return sequence(toBeSigned, wish.algorithm ?? ECDSA_SHA256, der(3, Buffer.from([0]), signature));
  }

  issue(wish: Wish = {}): Made {
    return new Made(wish, this);
  }
}

export const CA = new Made({ names: ['the CA'], ca: true });
export const SERVER = CA.issue({ names: ['server'] });
