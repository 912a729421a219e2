/**
 * The client's part of ECDHE-ECDSA: it verifies the server's certificate or raw public key, and shows one of its own if it is asked
 * (RFC 8422 2, 5; RFC 7250).
 */
import { type KeyObject, verify } from 'node:crypto';
import type { DtlsSession } from '../dtls/association.js';
import {
  certificateMessage,
  parseCertificateMessage,
  parseCertificateRequest,
  parseRawPublicKeyMessage,
  parseServerKeyExchange,
} from '../dtls/certificate-messages.js';
import { ephemeralKey, Group } from '../dtls/groups.js';
import { Alert, CertificateType, HandshakeType, SignatureScheme } from '../dtls/protocol.js';
import { parseRawPublicKey } from '../dtls/raw-public-key.js';
import { quoted, Refusal } from '../dtls/refusal.js';
import type { ServerCertificate } from '../dtls/server-certificate.js';
import type { ClientAnswer, ClientExchange } from './exchange.js';
import { certificateOffer, type Offer, type ServerHello } from './hello.js';
import type { ServerCertificates, ServerName } from './server-certificates.js';

/** How the client knows a server by its certificate or its public key, and what it shows itself. */
export interface CertificateCredential {
  /** Verifies its certificate, if its public key is not known. */
  readonly servers?: ServerCertificates | undefined;
  /** SubjectPublicKeyInfo of the server, of the curve P-256: it has to show that, and no certificate. */
  readonly publicKey?: Buffer | undefined;
  readonly name: ServerName;
  /** For servers that ask for one. */
  readonly own?: { readonly certificate: ServerCertificate; readonly identity: string | undefined } | undefined;
}

const NO_CERTIFICATE = certificateMessage([]);

export class CertificateExchange implements ClientExchange {
  readonly offer: Offer;
  readonly #credential: CertificateCredential;
  #due: readonly number[] = [HandshakeType.Certificate];
  #last = 'ServerHello';
  #serverType: CertificateType = CertificateType.X509;
  #clientType: CertificateType = CertificateType.X509;
  #serverKey: KeyObject | undefined;
  /** The server's public key of this handshake. */
  #point: Buffer | undefined;
  /** The server wants a certificate; `shows`: and takes one such as the client has. */
  #isAsked = false;
  #shows = false;

  constructor(credential: CertificateCredential) {
    const { name, publicKey, own } = credential;
    this.#credential = credential;
    const types = publicKey && {
      server: [CertificateType.RawPublicKey],
      // Whoever takes keys of servers has keys of clients, too.
      client: own === undefined ? [] : [...own.certificate.types].reverse(),
    };
    this.offer = certificateOffer(name.kind === 'name' ? name.host : undefined, types);
  }

  agree({ serverType, clientType }: ServerHello): void {
    this.#serverType = serverType;
    this.#clientType = clientType;
  }

  get due(): readonly number[] {
    return this.#due;
  }

  get silence(): string {
    return `nothing after ${this.#last}`;
  }

  get doubt(): string {
    if (!this.#isAsked) return '';
    const what = this.#clientType === CertificateType.X509 ? 'certificate' : 'raw public key';
    if (this.#shows) return `: it may not take the ${what} of the broker`;
    return `: it asks for a ${what}, and the broker has none for it`;
  }

  get session(): Pick<DtlsSession, 'identity' | 'proof'> {
    const { own } = this.#credential;
    if (!this.#shows) return { identity: undefined, proof: 'none' };
    if (this.#clientType === CertificateType.RawPublicKey) return { identity: undefined, proof: 'public-key' };
    return { identity: own?.identity, proof: 'certificate' };
  }

  receive(type: number, body: Buffer, clientRandom: Buffer, serverRandom: Buffer): Refusal | undefined {
    if (type === HandshakeType.Certificate) return this.#receiveCertificate(body);
    if (type === HandshakeType.CertificateRequest) return this.#receiveRequest(body);
    return this.#receiveKeyExchange(body, clientRandom, serverRandom);
  }

  #receiveCertificate(body: Buffer): Refusal | undefined {
    this.#next('Certificate', [HandshakeType.ServerKeyExchange]);
    const key = this.#serverType === CertificateType.X509 ? this.#verifyChain(body) : this.#verifyPublicKey(body);
    if (key instanceof Refusal) return key;
    this.#serverKey = key;
    return undefined;
  }

  #verifyPublicKey(body: Buffer): KeyObject | Refusal {
    const info = parseRawPublicKeyMessage(body);
    if (info === undefined) return new Refusal(Alert.DecodeError, 'malformed Certificate');
    if (info.length === 0) return new Refusal(Alert.HandshakeFailure, 'no raw public key of the server');
    const key = parseRawPublicKey(info);
    if (key instanceof Refusal || this.#credential.publicKey?.equals(info)) return key;
    return new Refusal(Alert.CertificateUnknown, `another raw public key: ${quoted(info.toString('base64'))}`);
  }

  #verifyChain(body: Buffer): KeyObject | Refusal {
    const chain = parseCertificateMessage(body);
    if (chain === undefined) return new Refusal(Alert.DecodeError, 'malformed Certificate');
    if (chain.length === 0) return new Refusal(Alert.HandshakeFailure, 'no certificate of the server');
    const { servers, name } = this.#credential;
    return servers?.verify(chain, name) ?? new Refusal(Alert.UnsupportedCertificate, 'a certificate of the server');
  }

  /** Parameters signed together with both randoms (RFC 8422 5.4). */
  #receiveKeyExchange(body: Buffer, clientRandom: Buffer, serverRandom: Buffer): Refusal | undefined {
    this.#next('ServerKeyExchange', [HandshakeType.CertificateRequest, HandshakeType.ServerHelloDone]);
    const exchange = parseServerKeyExchange(body);
    if (exchange === undefined) return new Refusal(Alert.DecodeError, 'malformed ServerKeyExchange');
    const { group, point, parameters, scheme, signature } = exchange;
    if (group !== Group.Secp256r1) return new Refusal(Alert.IllegalParameter, 'a group that was not offered');
    if (scheme !== SignatureScheme.EcdsaSha256) {
      return new Refusal(Alert.IllegalParameter, `signature scheme 0x${scheme.toString(16)}`);
    }
    const signed = Buffer.concat([clientRandom, serverRandom, parameters]);
    if (this.#serverKey === undefined || !isSigned(signed, this.#serverKey, signature)) {
      const whose = this.#serverType === CertificateType.X509 ? 'the key of its certificate' : 'that key';
      return new Refusal(Alert.DecryptError, `the server does not have ${whose}`);
    }
    this.#point = Buffer.from(point);
    return undefined;
  }

  #receiveRequest(body: Buffer): Refusal | undefined {
    this.#next('CertificateRequest', [HandshakeType.ServerHelloDone]);
    const request = parseCertificateRequest(body);
    if (request === undefined) return new Refusal(Alert.DecodeError, 'malformed CertificateRequest');
    this.#isAsked = true;
    const shown = this.#credential.own?.certificate.messages.get(this.#clientType);
    this.#shows = shown !== undefined && request.takesEcdsa;
    return undefined;
  }

  #next(last: string, due: readonly number[]): void {
    this.#last = last;
    this.#due = due;
  }

  answer(): ClientAnswer | Refusal {
    const key = ephemeralKey(Group.Secp256r1);
    const premaster = key.agree(this.#point ?? Buffer.alloc(0));
    if (premaster === undefined) return new Refusal(Alert.IllegalParameter, 'a public key that is not of the group');
    const own = this.#shows ? this.#credential.own?.certificate : undefined;
    return {
      certificate: this.#isAsked ? (own?.messages.get(this.#clientType) ?? NO_CERTIFICATE) : undefined,
      keyExchange: Buffer.concat([Buffer.from([key.point.length]), key.point]),
      premaster,
      sign: own === undefined ? undefined : (messages) => own.sign(messages),
    };
  }
}

function isSigned(bytes: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify('sha256', bytes, key, signature);
  } catch {
    return false;
  }
}
