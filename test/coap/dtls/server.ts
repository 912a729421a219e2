/** A DTLS 1.2 server with a pre-shared key, or a certificate, that shares no code with the client, says what a test wants, and remembers one client. */
import assert from 'node:assert/strict';
import {
  type CipherCCMTypes,
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createPublicKey,
  type KeyObject,
  randomBytes,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import {
  ALERT,
  CCM_8,
  CCS,
  CID,
  DATA,
  ECDSA_CCM_8,
  ECDSA_GCM,
  expand,
  fragmentOf,
  GCM,
  HANDSHAKE,
  IDENTITY,
  int,
  KEY,
  type Message,
  type RecordView,
  records,
  vector,
  whole,
} from './client.js';

export interface ServerOptions {
  readonly identity?: string;
  readonly key?: Buffer;
  readonly suite?: number;
  /** Undefined: no HelloVerifyRequest. */
  readonly cookie?: Buffer | undefined;
  readonly extendedMasterSecret?: boolean;
  /** The Connection ID that the server wants, if the client offers any. */
  readonly cid?: Buffer;
  /** Undefined: no ServerKeyExchange. */
  readonly hint?: string;
  /** In place of the key: for a suite with certificates. */
  readonly certificate?: { readonly chain: readonly Buffer[]; readonly key: KeyObject };
  /** Types of certificates (RFC 7250) that ServerHello says: then `chain` is the one raw public key, and the client's one too. */
  readonly types?: { readonly server?: number; readonly client?: number };
  /** What stands for its public key of the handshake; undefined: the right one. */
  readonly point?: Buffer;
  /** The client is asked for a certificate: the signature schemes that will do. */
  readonly asks?: readonly number[];
  /** Extensions besides those that the other options ask for. */
  readonly extensions?: readonly (readonly [number, Buffer])[];
  /** Puts other messages in the place of the right ones, or none. */
  readonly change?: (type: number, body: Buffer) => Buffer | undefined;
  /** Bytes of handshake fragments; each then has a datagram of its own. */
  readonly fragment?: number;
}

/** RawPublicKey (RFC 7250). */
const RAW = 2;

interface Direction {
  readonly key: Buffer;
  readonly salt: Buffer;
}

export class DtlsServer {
  readonly options: ServerOptions;
  readonly #send: (datagram: Buffer) => void;
  connected = false;
  /** Application data received, as text and as it came. */
  readonly data: string[] = [];
  readonly datagrams: Buffer[] = [];
  /** Alerts received, as [epoch, level, description]. */
  readonly alerts: (readonly [number, number, number])[] = [];
  /** The types of the client's handshake messages, those that came again among them. */
  readonly messages: number[] = [];
  /** Records that are not authentic, and messages that do not fit to those before. */
  strange = 0;
  identity: string | undefined;
  /** Extensions of the last ClientHello, and its cipher suites. */
  extensions = new Map<number, Buffer>();
  suites: number[] = [];
  /** Next sequence numbers of epoch 0 and 1. */
  readonly sequences = [0, 0];
  #clientRandom: Buffer = Buffer.alloc(0);
  readonly #random: Buffer = randomBytes(32);
  readonly #ephemeral = createECDH('prime256v1');
  /** The client's certificates in DER; undefined if it sent no such message. */
  clientChain: Buffer[] | undefined;
  /** The client has shown that it has the key of the first one. */
  verified = false;
  #transcript: Buffer[] = [];
  #expected = 0;
  #next = 0;
  #write: Direction | undefined;
  #read: Direction | undefined;
  #master: Buffer = Buffer.alloc(0);

  constructor(send: (datagram: Buffer) => void, options: ServerOptions = {}) {
    this.#send = send;
    this.options = options;
  }

  get hasKeys(): boolean {
    return this.#write !== undefined;
  }

  receive(datagram: Buffer): void {
    for (const record of records(datagram, this.options.cid)) {
      if (record.epoch === 0) this.#take(0, record.type, record.body);
      else if (this.#read === undefined) this.strange++;
      else {
        const opened = this.#open(record, this.#read);
        if (opened !== undefined) this.#take(1, opened.type, opened.body);
      }
    }
  }

  /** Sends bytes as they are. */
  raw(datagram: Buffer): void {
    this.#send(datagram);
  }

  say(text: string): void {
    this.raw(this.seal(DATA, Buffer.from(text)));
  }

  plain(type: number, body: Buffer, version = 0xfefd): Buffer {
    return Buffer.concat([int(type, 1), int(version, 2), int(0, 2), int(this.sequences[0]++, 6), vector(body, 2)]);
  }

  /** A record of epoch 1: the client has no Connection ID. */
  seal(type: number, body: Buffer, sequence = this.sequences[1]++): Buffer {
    assert.ok(this.#write !== undefined);
    const { key, salt } = this.#write;
    const numbers = Buffer.concat([int(1, 2), int(sequence, 6)]);
    const head = Buffer.concat([int(type, 1), int(0xfefd, 2)]);
    const cipher = createCipheriv(this.#algorithm, key, Buffer.concat([salt, numbers]), { authTagLength: this.#tag });
    cipher.setAAD(Buffer.concat([numbers, head, int(body.length, 2)]), { plaintextLength: body.length });
    const sealed = Buffer.concat([numbers, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
    return Buffer.concat([head, numbers, vector(sealed, 2)]);
  }

  get #algorithm(): CipherCCMTypes {
    return (
      this.options.suite === GCM || this.options.suite === ECDSA_GCM ? 'aes-128-gcm' : 'aes-128-ccm'
    ) as CipherCCMTypes;
  }

  get #tag(): number {
    const { suite = CCM_8 } = this.options;
    return suite === CCM_8 || suite === ECDSA_CCM_8 ? 8 : 16;
  }

  #open({ type, header, body, cid }: RecordView, { key, salt }: Direction): { type: number; body: Buffer } | undefined {
    const length = body.length - 8 - this.#tag;
    const numbers = header.subarray(3, 11);
    const nonce = Buffer.concat([salt, body.subarray(0, 8)]);
    const decipher = createDecipheriv(this.#algorithm, key, nonce, { authTagLength: this.#tag });
    decipher.setAuthTag(body.subarray(body.length - this.#tag));
    const start = header.subarray(0, 3);
    const front =
      type === CID
        ? [Buffer.alloc(8, 0xff), int(CID, 1), int(cid.length, 1), start, numbers, cid, int(length, 2)]
        : [numbers, start, int(length, 2)];
    decipher.setAAD(Buffer.concat(front), { plaintextLength: length });
    try {
      const inner = Buffer.concat([decipher.update(body.subarray(8, 8 + length)), decipher.final()]);
      return type === CID ? { type: inner[inner.length - 1], body: inner.subarray(0, -1) } : { type, body: inner };
    } catch {
      this.strange++;
      return undefined;
    }
  }

  #take(epoch: number, type: number, body: Buffer): void {
    if (type === ALERT) this.alerts.push([epoch, body[0], body[1]]);
    else if (type === DATA) {
      this.data.push(body.toString());
      this.datagrams.push(body);
    } else if (type === HANDSHAKE) this.#message(body[0], body.readUInt16BE(4), body.subarray(12));
    else assert.equal(type, CCS);
  }

  /** The client's messages are short: each is whole. */
  #message(type: number, sequence: number, body: Buffer): void {
    this.messages.push(type);
    if (sequence !== this.#expected) return;
    this.#expected++;
    const { cookie } = this.options;
    if (type === 1 && cookie !== undefined && this.#takeHello(body).length === 0) {
      // In no transcript, with its ClientHello.
      this.flight([{ type: 3, sequence: this.#next++, body: Buffer.concat([int(0xfeff, 2), vector(cookie, 1)]) }]);
      return;
    }
    const before = this.#hash();
    if (type === 15) this.#takeVerify(body);
    this.#transcript.push(whole({ type, sequence, body }));
    if (type === 1) this.#answerHello(body);
    else if (type === 11) this.#takeCertificate(body);
    else if (type === 16) this.#takeExchange(body);
    else if (type === 20) this.#takeFinished(body, before);
  }

  /** The cookie. */
  #takeHello(body: Buffer): Buffer {
    this.#clientRandom = body.subarray(2, 34);
    assert.equal(body[34], 0);
    const cookie = body.subarray(36, 36 + body[35]);
    let at = 36 + cookie.length;
    const suites = body.subarray(at + 2, at + 2 + body.readUInt16BE(at));
    this.suites = Array.from({ length: suites.length / 2 }, (_, index) => suites.readUInt16BE(2 * index));
    at += 2 + suites.length + 2 + 2;
    this.extensions.clear();
    for (; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
      this.extensions.set(body.readUInt16BE(at), body.subarray(at + 4, at + 4 + body.readUInt16BE(at + 2)));
    }
    return cookie;
  }

  #answerHello(body: Buffer): void {
    const cookie = this.#takeHello(body);
    const { suite = CCM_8, extendedMasterSecret, cid, hint, extensions, types } = this.options;
    if (!cookie.equals(this.options.cookie ?? Buffer.alloc(0))) {
      this.strange++;
      return;
    }
    const list = [...(extensions ?? [])];
    if (types?.client !== undefined) list.push([19, Buffer.from([types.client])]);
    if (types?.server !== undefined) list.push([20, Buffer.from([types.server])]);
    if (extendedMasterSecret !== false) list.push([23, Buffer.alloc(0)]);
    if (cid !== undefined && this.extensions.has(54)) list.push([54, vector(cid, 1)]);
    const flight: Message[] = [];
    this.#add(
      flight,
      2,
      Buffer.concat([
        int(0xfefd, 2),
        this.#random,
        int(0, 1),
        int(suite, 2),
        int(0, 1),
        vector(Buffer.concat(list.flatMap(([type, data]) => [int(type, 2), vector(data, 2)])), 2),
      ]),
    );
    if (this.options.certificate !== undefined) this.#addCertificate(flight, this.options.certificate);
    else if (hint !== undefined) this.#add(flight, 12, vector(Buffer.from(hint), 2));
    this.#add(flight, 14, Buffer.alloc(0));
    this.flight(flight);
  }

  #addCertificate(flight: Message[], { chain, key }: NonNullable<ServerOptions['certificate']>): void {
    const isRaw = this.options.types?.server === RAW;
    this.#add(flight, 11, vector(isRaw ? chain[0] : Buffer.concat(chain.map((der) => vector(der, 3))), 3));
    const parameters = Buffer.concat([
      int(3, 1),
      int(23, 2),
      vector(this.options.point ?? this.#ephemeral.generateKeys(), 1),
    ]);
    const signature = sign('sha256', Buffer.concat([this.#clientRandom, this.#random, parameters]), key);
    this.#add(flight, 12, Buffer.concat([parameters, int(0x0403, 2), vector(signature, 2)]));
    const { asks } = this.options;
    if (asks === undefined) return;
    const schemes = Buffer.concat(asks.map((scheme) => int(scheme, 2)));
    this.#add(flight, 13, Buffer.concat([vector(int(64, 1), 1), vector(schemes, 2), int(0, 2)]));
  }

  #takeCertificate(body: Buffer): void {
    this.clientChain = this.#isRawClient && body.length > 3 ? [body.subarray(3)] : [];
    if (this.#isRawClient) return;
    for (let at = 3; at < body.length; ) {
      const length = body.readUIntBE(at, 3);
      this.clientChain.push(body.subarray(at + 3, at + 3 + length));
      at += 3 + length;
    }
  }

  get #isRawClient(): boolean {
    return this.options.types?.client === RAW;
  }

  #takeVerify(body: Buffer): void {
    assert.equal(body.readUInt16BE(0), 0x0403);
    const [shown = Buffer.alloc(0)] = this.clientChain ?? [];
    const publicKey = this.#isRawClient
      ? createPublicKey({ key: shown, format: 'der', type: 'spki' })
      : new X509Certificate(shown).publicKey;
    this.verified = verify('sha256', Buffer.concat(this.#transcript), publicKey, body.subarray(4));
    if (!this.verified) this.strange++;
  }

  #premaster(body: Buffer): Buffer {
    if (this.options.certificate !== undefined) return this.#ephemeral.computeSecret(body.subarray(1));
    this.identity = body.toString('utf8', 2);
    const { identity = IDENTITY, key: right = KEY } = this.options;
    const key = this.identity === identity ? right : randomBytes(16);
    return Buffer.concat([vector(Buffer.alloc(key.length), 2), vector(key, 2)]);
  }

  #add(flight: Message[], type: number, right: Buffer): void {
    const { change } = this.options;
    const body = change === undefined ? right : change(type, right);
    if (body === undefined) return;
    const message = { type, sequence: this.#next++, body };
    this.#transcript.push(whole(message));
    flight.push(message);
  }

  #takeExchange(body: Buffer): void {
    const premaster = this.#premaster(body);
    this.#master =
      this.options.extendedMasterSecret === false
        ? expand(premaster, 'master secret', Buffer.concat([this.#clientRandom, this.#random]), 48)
        : expand(premaster, 'extended master secret', this.#hash(), 48);
    const block = expand(this.#master, 'key expansion', Buffer.concat([this.#random, this.#clientRandom]), 40);
    this.#read = { key: block.subarray(0, 16), salt: block.subarray(32, 36) };
    this.#write = { key: block.subarray(16, 32), salt: block.subarray(36, 40) };
  }

  #takeFinished(body: Buffer, before: Buffer): void {
    if (!body.equals(expand(this.#master, 'client finished', before, 12))) {
      this.strange++;
      return;
    }
    this.connected = true;
    const flight: Message[] = [];
    this.#add(flight, 20, expand(this.#master, 'server finished', this.#hash(), 12));
    this.flight(flight);
  }

  #hash(): Buffer {
    return createHash('sha256').update(Buffer.concat(this.#transcript)).digest();
  }

  /** Sends messages in one datagram, or in one for each fragment. Finished is protected. */
  flight(messages: readonly Message[]): void {
    const pieces: Buffer[] = [];
    for (const message of messages) {
      const { length } = message.body;
      const size = this.options.fragment ?? Math.max(1, length);
      const isProtected = message.type === 20 && this.#write !== undefined;
      if (isProtected) pieces.push(this.plain(CCS, Buffer.from([1])));
      let at = 0;
      do {
        const fragment = fragmentOf(message, at, Math.min(size, length - at));
        pieces.push(isProtected ? this.seal(HANDSHAKE, fragment) : this.plain(HANDSHAKE, fragment));
        at += size;
      } while (at < length);
    }
    if (this.options.fragment === undefined) this.raw(Buffer.concat(pieces));
    else for (const piece of pieces) this.raw(piece);
  }
}
