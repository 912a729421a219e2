/** A DTLS 1.2 client, with a key or certificates, that shares no code with the server, and a bench that it meets the server on: no sockets, no real time. */
import assert from 'node:assert/strict';
import {
  type CipherCCMTypes,
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import type { DtlsOptions } from '../../../src/coap/dtls/options.js';
import { DtlsTransport } from '../../../src/coap/dtls/transport.js';
import type { DatagramAddress } from '../../../src/coap/transport.js';
import { FakeClock, MemoryTransport } from '../harness.js';

export const CCM_8 = 0xc0a8;
export const CCM = 0xc0a4;
export const GCM = 0x00a8;
export const ECDSA_CCM_8 = 0xc0ae;
export const ECDSA_CCM = 0xc0ac;
export const ECDSA_GCM = 0xc02b;
const ECDSA: readonly number[] = [ECDSA_CCM_8, ECDSA_CCM, ECDSA_GCM];
export const P256 = 23;
export const X25519 = 29;
export const CCS = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const DATA = 23;
export const CID = 25;
/** Where a ClientHello's cookie of 16 bytes ends. */
const COOKIE_END = 52;
export const IDENTITY = 'device';
export const KEY = Buffer.from('a key of sixteen');

export const int = (value: number, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};
export const vector = (bytes: Buffer, size: number): Buffer => Buffer.concat([int(bytes.length, size), bytes]);

function hmac(key: Buffer, ...data: Buffer[]): Buffer {
  return createHmac('sha256', key).update(Buffer.concat(data)).digest();
}

/** RFC 5246 5, as A(i) and its blocks. */
export function expand(secret: Buffer, label: string, seed: Buffer, length: number): Buffer {
  const all = Buffer.concat([Buffer.from(label), seed]);
  const blocks: Buffer[] = [];
  for (let a = hmac(secret, all); blocks.length * 32 < length; a = hmac(secret, a)) blocks.push(hmac(secret, a, all));
  return Buffer.concat(blocks).subarray(0, length);
}

export interface RecordView {
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  readonly sequence: number;
  readonly cid: Buffer;
  readonly body: Buffer;
  readonly header: Buffer;
}

/** The records of a datagram, up to one for another Connection ID. @param cid of the receiver */
export function records(datagram: Buffer, cid: Buffer = Buffer.alloc(0)): RecordView[] {
  const list: RecordView[] = [];
  for (let at = 0; at < datagram.length; ) {
    const type = datagram.readUInt8(at);
    const cidBytes = type === CID ? cid.length : 0;
    if (type === CID && (cidBytes === 0 || !datagram.subarray(at + 11, at + 11 + cidBytes).equals(cid))) break;
    const start = at + 13 + cidBytes;
    const end = start + datagram.readUInt16BE(start - 2);
    assert.ok(end <= datagram.length, 'the record ends inside the datagram');
    list.push({
      type,
      version: datagram.readUInt16BE(at + 1),
      epoch: datagram.readUInt16BE(at + 3),
      sequence: datagram.readUIntBE(at + 5, 6),
      cid: datagram.subarray(at + 11, at + 11 + cidBytes),
      body: datagram.subarray(start, end),
      header: datagram.subarray(at, start),
    });
    at = end;
  }
  return list;
}

export interface ClientOptions {
  readonly identity?: string | Buffer;
  readonly key?: Buffer;
  readonly suites?: readonly number[];
  readonly extendedMasterSecret?: boolean;
  /** The Connection ID that the client wants; may be empty. Undefined: not offered. */
  readonly cid?: Buffer;
  readonly random?: Buffer;
  /** Named groups; P-256 if the suites want one. */
  readonly groups?: readonly number[];
  /** Signature algorithms; ecdsa_secp256r1_sha256 if the suites want one. */
  readonly schemes?: readonly number[];
  /** What is sent when the server asks for a certificate. */
  readonly credential?: { readonly chain: readonly Buffer[]; readonly key: KeyObject };
  /** Types of certificates (RFC 7250) that the client can show, and that it takes. Undefined: it does not say. */
  readonly clientTypes?: readonly number[];
  readonly serverTypes?: readonly number[];
  /** The one raw public key of a server that is taken. */
  readonly pinned?: Buffer;
  /** Puts other messages in the place of the right ones, or none. */
  readonly change?: (type: number, body: Buffer) => Buffer | undefined;
  readonly version?: number;
  readonly compressions?: Buffer;
  /** Leaves the signal of RFC 5746 out of the cipher suites. */
  readonly noSignal?: boolean;
  /** Extensions besides those that the other options ask for. */
  readonly extensions?: readonly (readonly [number, Buffer])[];
  /** Bytes of handshake fragments; each then has a datagram of its own. */
  readonly fragment?: number;
  /** Puts another Finished in the place of the right one. */
  readonly finished?: (verifyData: Buffer) => Buffer;
  /** ChangeCipherSpec is left out. */
  readonly unchanged?: boolean;
  /** Finished is not protected. */
  readonly plainFinished?: boolean;
}

export interface Message {
  readonly type: number;
  readonly sequence: number;
  readonly body: Buffer;
}

interface Direction {
  readonly key: Buffer;
  readonly salt: Buffer;
}

interface Assembly {
  readonly type: number;
  readonly body: Buffer;
  readonly have: Set<number>;
}

/** What carries the datagrams of clients. */
export interface DtlsNetwork {
  fromClient(client: DtlsClient, bytes: Buffer): void;
  /** Carries datagrams until none is on its way, where that can be known. */
  deliver(): void;
}

export class DtlsClient {
  readonly bench: DtlsNetwork;
  port: number;
  address: string;
  readonly random: Buffer;
  readonly options: ClientOptions;
  connected = false;
  /** Application data received, as text and as it came. */
  readonly data: string[] = [];
  readonly datagrams: Buffer[] = [];
  /** Alerts received, as [epoch, level, description]. */
  readonly alerts: (readonly [number, number, number])[] = [];
  /** The types of the server's handshake messages, in the order in which they were taken. */
  readonly messages: number[] = [];
  /** Records that were not for these keys, as those of an association that this one takes the place of. */
  strange = 0;
  hint: string | undefined;
  /** The server's key was not the right one. */
  refused = false;
  /** The certificates of the server, or its raw public key, and what CertificateRequest had. */
  chain: Buffer[] = [];
  request: Buffer | undefined;
  suite = 0;
  serverExtensions = new Map<number, Buffer>();
  /** Next sequence numbers of epoch 0 and 1. */
  readonly sequences = [0, 0];
  cookie: Buffer = Buffer.alloc(0);
  #serverRandom: Buffer = Buffer.alloc(0);
  /** The group and the point of ServerKeyExchange. */
  #share: [number, Buffer] | undefined;
  #serverCid: Buffer | undefined;
  #transcript: Buffer[] = [];
  #expected = 0;
  #next = 0;
  #partial: Assembly | undefined;
  #flight: Message[] = [];
  #write: Direction | undefined;
  #read: Direction | undefined;
  #master: Buffer = Buffer.alloc(0);

  constructor(bench: DtlsNetwork, port: number, options: ClientOptions = {}, address = '192.0.2.1') {
    this.bench = bench;
    this.port = port;
    this.address = address;
    this.options = options;
    this.random = options.random ?? randomBytes(32);
  }

  /** Whether it can protect records. */
  get hasKeys(): boolean {
    return this.#write !== undefined;
  }

  get serverCid(): Buffer | undefined {
    return this.#serverCid;
  }

  /** Sends the first ClientHello. */
  start(): void {
    this.#sayHello();
  }

  /** The whole handshake on a network that loses nothing. */
  connect(): this {
    this.start();
    this.bench.deliver();
    assert.ok(this.connected, `connected, not ${JSON.stringify(this.alerts)}`);
    return this;
  }

  /** Sends the present flight once more. */
  repeat(): void {
    this.#send(this.#flight);
  }

  /** Bytes of a datagram to the server. */
  raw(datagram: Buffer): void {
    this.bench.fromClient(this, datagram);
  }

  sendData(text: string): Buffer {
    const record = this.seal(DATA, Buffer.from(text));
    this.raw(record);
    return record;
  }

  helloBody(): Buffer {
    const { suites, extendedMasterSecret, cid, extensions, version, compressions } = this.options;
    const list = [...(extensions ?? [])];
    if (extendedMasterSecret !== false) list.push([23, Buffer.alloc(0)]);
    if (cid !== undefined) list.push([54, vector(cid, 1)]);
    const numbers = (codes: readonly number[]): Buffer => vector(Buffer.concat(codes.map((code) => int(code, 2))), 2);
    const { clientTypes, serverTypes } = this.options;
    if (clientTypes !== undefined) list.push([19, vector(Buffer.from(clientTypes), 1)]);
    if (serverTypes !== undefined) list.push([20, vector(Buffer.from(serverTypes), 1)]);
    const isEcdsa = suites?.some((code) => ECDSA.includes(code)) === true;
    if (isEcdsa && extensions === undefined) {
      list.push([10, numbers(this.options.groups ?? [P256])], [11, Buffer.from([1, 0])]);
      list.push([13, numbers(this.options.schemes ?? [0x0403])]);
    }
    return Buffer.concat([
      int(version ?? 0xfefd, 2),
      this.random,
      Buffer.from([0]),
      vector(this.cookie, 1),
      numbers([...(suites ?? [CCM_8, CCM, GCM]), ...(this.options.noSignal === true ? [] : [0x00ff])]),
      vector(compressions ?? Buffer.from([0]), 1),
      vector(Buffer.concat(list.flatMap(([type, data]) => [int(type, 2), vector(data, 2)])), 2),
    ]);
  }

  #sayHello(): void {
    this.#transcript = [];
    this.#flight = [this.message(1, this.helloBody())];
    this.#send(this.#flight);
  }

  /** A handshake message with the next number. */
  message(type: number, body: Buffer): Message {
    const message = { type, sequence: this.#next++, body };
    this.#transcript.push(whole(message));
    return message;
  }

  plain(type: number, body: Buffer): Buffer {
    return Buffer.concat([int(type, 1), int(0xfefd, 2), int(0, 2), int(this.sequences[0]++, 6), vector(body, 2)]);
  }

  /** A record of epoch 1. */
  seal(type: number, body: Buffer, sequence = this.sequences[1]++, padding = 0): Buffer {
    const cid = this.#serverCid ?? Buffer.alloc(0);
    const numbers = Buffer.concat([int(1, 2), int(sequence, 6)]);
    const inner = this.#serverCid === undefined ? body : Buffer.concat([body, int(type, 1), Buffer.alloc(padding)]);
    const outer = this.#serverCid === undefined ? type : CID;
    const start = Buffer.concat([int(outer, 1), int(0xfefd, 2)]);
    const aad = this.#aad(start, numbers, this.#serverCid, inner.length);
    const { key, salt } = this.#write!;
    const tag = this.suite === CCM_8 || this.suite === ECDSA_CCM_8 ? 8 : 16;
    const nonce = Buffer.concat([salt, numbers]);
    const cipher = createCipheriv(this.#algorithm, key, nonce, { authTagLength: tag });
    cipher.setAAD(aad, { plaintextLength: inner.length });
    const sealed = Buffer.concat([numbers, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
    return Buffer.concat([start, numbers, cid, vector(sealed, 2)]);
  }

  get #algorithm(): CipherCCMTypes {
    return (this.suite === GCM || this.suite === ECDSA_GCM ? 'aes-128-gcm' : 'aes-128-ccm') as CipherCCMTypes;
  }

  #aad(start: Buffer, numbers: Buffer, cid: Buffer | undefined, length: number): Buffer {
    if (cid === undefined) return Buffer.concat([numbers, start, int(length, 2)]);
    const head = Buffer.concat([Buffer.alloc(8, 0xff), int(CID, 1), int(cid.length, 1)]);
    return Buffer.concat([head, start, numbers, cid, int(length, 2)]);
  }

  #open(record: RecordView): { type: number; body: Buffer } | undefined {
    const { key, salt } = this.#read!;
    const tag = this.suite === CCM_8 || this.suite === ECDSA_CCM_8 ? 8 : 16;
    const { body } = record;
    const length = body.length - 8 - tag;
    if (length < 0) {
      this.strange++;
      return undefined;
    }
    const numbers = record.header.subarray(3, 11);
    assert.deepEqual(body.subarray(0, 8), numbers, 'the explicit nonce is the sequence number');
    const nonce = Buffer.concat([salt, body.subarray(0, 8)]);
    const decipher = createDecipheriv(this.#algorithm, key, nonce, { authTagLength: tag });
    decipher.setAuthTag(body.subarray(body.length - tag));
    const cid = record.type === CID ? record.cid : undefined;
    decipher.setAAD(this.#aad(record.header.subarray(0, 3), numbers, cid, length), { plaintextLength: length });
    let inner: Buffer;
    try {
      inner = Buffer.concat([decipher.update(body.subarray(8, body.length - tag)), decipher.final()]);
    } catch {
      this.strange++;
      return undefined;
    }
    if (cid === undefined) return { type: record.type, body: inner };
    return { type: inner[inner.length - 1], body: inner.subarray(0, -1) };
  }

  receive(datagram: Buffer): void {
    for (const record of records(datagram, this.options.cid)) {
      if (record.epoch === 0) this.#take(0, record.type, record.body);
      else if (this.#read !== undefined) {
        const opened = this.#open(record);
        if (opened !== undefined) this.#take(1, opened.type, opened.body);
      }
    }
  }

  #take(epoch: number, type: number, body: Buffer): void {
    if (type === ALERT) this.alerts.push([epoch, body[0], body[1]]);
    else if (type === DATA) {
      this.data.push(body.toString());
      this.datagrams.push(body);
    } else if (type === HANDSHAKE) {
      for (let at = 0; at < body.length; at += 12 + body.readUIntBE(at + 9, 3)) this.#fragment(body.subarray(at));
    } else assert.equal(type, CCS);
  }

  #fragment(bytes: Buffer): void {
    const sequence = bytes.readUInt16BE(4);
    if (sequence !== this.#expected) {
      // The server has not received our last flight.
      if (sequence < this.#expected && bytes[0] === 14 && !this.connected) this.repeat();
      return;
    }
    const length = bytes.readUIntBE(1, 3);
    const offset = bytes.readUIntBE(6, 3);
    const size = bytes.readUIntBE(9, 3);
    this.#partial ??= { type: bytes[0], body: Buffer.alloc(length), have: new Set() };
    const { type, body, have } = this.#partial;
    bytes.copy(body, offset, 12, 12 + size);
    for (let at = offset; at < offset + size; at++) have.add(at);
    if (have.size < length) return;
    this.#partial = undefined;
    this.#expected++;
    this.#message(type, sequence, body);
  }

  #message(type: number, sequence: number, body: Buffer): void {
    if (this.refused) return;
    this.messages.push(type);
    const before = createHash('sha256').update(Buffer.concat(this.#transcript)).digest();
    if (type === 3) {
      assert.equal(body.readUInt16BE(0), 0xfeff);
      this.cookie = Buffer.from(body.subarray(3, 3 + body[2]));
      this.#sayHello();
      return;
    }
    this.#transcript.push(whole({ type, sequence, body }));
    if (type === 2) this.#serverHello(body);
    else if (type === 11) this.#takeChain(body);
    else if (type === 12 && this.chain.length > 0) this.#takeShare(body);
    else if (type === 13) this.request = body;
    else if (type === 12) this.hint = body.toString('utf8', 2, 2 + body.readUInt16BE(0));
    else if (type === 14 && (this.chain.length === 0 || this.#share !== undefined)) this.#keyExchange();
    else if (type === 14) return;
    else {
      assert.equal(type, 20);
      assert.deepEqual(body, expand(this.#master, 'server finished', before, 12));
      this.connected = true;
    }
  }

  #serverHello(body: Buffer): void {
    assert.equal(body.readUInt16BE(0), 0xfefd);
    this.#serverRandom = body.subarray(2, 34);
    assert.equal(body[34], 0);
    this.suite = body.readUInt16BE(35);
    for (let at = 40; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
      this.serverExtensions.set(body.readUInt16BE(at), body.subarray(at + 4, at + 4 + body.readUInt16BE(at + 2)));
    }
    this.#serverCid = this.serverExtensions.get(54)?.subarray(1);
  }

  /** Whether the server has agreed to raw public keys: its own (extension 20), or the client's (19). */
  #isRaw(extension: 19 | 20): boolean {
    return this.serverExtensions.get(extension)?.[0] === 2;
  }

  #takeChain(body: Buffer): void {
    assert.equal(body.readUIntBE(0, 3), body.length - 3);
    if (this.#isRaw(20)) {
      this.chain = [body.subarray(3)];
      const { pinned } = this.options;
      this.refused = pinned !== undefined && !pinned.equals(this.chain[0]);
      if (this.refused) this.raw(this.plain(ALERT, Buffer.from([2, 42])));
      return;
    }
    for (let at = 3; at < body.length; at += 3 + body.readUIntBE(at, 3)) {
      this.chain.push(body.subarray(at + 3, at + 3 + body.readUIntBE(at, 3)));
    }
  }

  /** RFC 8422 5.4: the server's point, signed with its certificate's key. */
  #takeShare(body: Buffer): void {
    assert.equal(body[0], 3);
    const end = 4 + body[3];
    assert.equal(body.readUInt16BE(end), 0x0403);
    assert.equal(body.readUInt16BE(end + 2), body.length - end - 4);
    const signed = Buffer.concat([this.random, this.#serverRandom, body.subarray(0, end)]);
    const [own] = this.chain;
    const publicKey = this.#isRaw(20)
      ? createPublicKey({ key: own, format: 'der', type: 'spki' })
      : new X509Certificate(own).publicKey;
    if (!verify('sha256', signed, publicKey, body.subarray(end + 4))) {
      // Of the handshake of another client at this address, as when one takes the place of another.
      this.strange++;
      return;
    }
    this.#share = [body.readUInt16BE(1), body.subarray(4, end)];
  }

  /** The body of ClientKeyExchange, and the premaster secret. */
  #agree(): [Buffer, Buffer] {
    const { identity = IDENTITY, key = KEY } = this.options;
    if (this.#share === undefined) {
      const premaster = Buffer.concat([vector(Buffer.alloc(key.length), 2), vector(key, 2)]);
      return [vector(Buffer.from(identity), 2), premaster];
    }
    const [group, theirs] = this.#share;
    if (group === P256) {
      const ecdh = createECDH('prime256v1');
      return [vector(ecdh.generateKeys(), 1), ecdh.computeSecret(theirs)];
    }
    assert.equal(group, X25519);
    const { privateKey, publicKey } = generateKeyPairSync('x25519');
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const other = Buffer.concat([spki.subarray(0, -32), theirs]);
    const peer = createPublicKey({ key: other, type: 'spki', format: 'der' });
    return [vector(spki.subarray(-32), 1), diffieHellman({ privateKey, publicKey: peer })];
  }

  #keyExchange(): void {
    const flight: Message[] = [];
    const { credential, change } = this.options;
    const say = (type: number, right: Buffer): void => {
      const body = change === undefined ? right : change(type, right);
      if (body !== undefined) flight.push(this.message(type, body));
    };
    if (this.request !== undefined) {
      const chain = credential?.chain ?? [];
      say(11, vector(this.#isRaw(19) ? Buffer.concat(chain) : Buffer.concat(chain.map((der) => vector(der, 3))), 3));
    }
    const [exchange, premaster] = this.#agree();
    say(16, exchange);
    const hash = (): Buffer => createHash('sha256').update(Buffer.concat(this.#transcript)).digest();
    this.#master = this.serverExtensions.has(23)
      ? expand(premaster, 'extended master secret', hash(), 48)
      : expand(premaster, 'master secret', Buffer.concat([this.random, this.#serverRandom]), 48);
    const block = expand(this.#master, 'key expansion', Buffer.concat([this.#serverRandom, this.random]), 40);
    this.#write = { key: block.subarray(0, 16), salt: block.subarray(32, 36) };
    this.#read = { key: block.subarray(16, 32), salt: block.subarray(36, 40) };
    if (this.request !== undefined && credential !== undefined) {
      const signature = sign('sha256', Buffer.concat(this.#transcript), credential.key);
      say(15, Buffer.concat([int(0x0403, 2), vector(signature, 2)]));
    }
    const verifyData = expand(this.#master, 'client finished', hash(), 12);
    const finished = this.message(20, this.options.finished?.(verifyData) ?? verifyData);
    this.#flight = [...flight, finished];
    this.#send(this.#flight);
  }

  /** The datagrams of a flight: one, or one for each fragment. */
  #send(flight: readonly Message[]): void {
    const pieces: Buffer[] = [];
    for (const message of flight) {
      const { length } = message.body;
      const usual = this.options.fragment ?? length;
      let size = 0;
      for (let at = 0; at < length; at += size) {
        // The cookie and what stands in front of it go in one piece, or no server could do without state.
        size = Math.min(message.type === 1 && at === 0 ? Math.max(usual, COOKIE_END) : usual, length - at);
        const fragment = fragmentOf(message, at, size);
        if (message.type === 20 && at === 0 && this.options.unchanged !== true)
          pieces.push(this.plain(CCS, Buffer.from([1])));
        const isProtected = message.type === 20 && this.options.plainFinished !== true;
        pieces.push(isProtected ? this.seal(HANDSHAKE, fragment) : this.plain(HANDSHAKE, fragment));
      }
    }
    if (this.options.fragment === undefined) this.raw(Buffer.concat(pieces));
    else for (const piece of pieces) this.raw(piece);
  }
}

export function fragmentOf({ type, sequence, body }: Message, offset: number, size: number): Buffer {
  const head = [int(type, 1), int(body.length, 3), int(sequence, 2), int(offset, 3), int(size, 3)];
  return Buffer.concat([...head, body.subarray(offset, offset + size)]);
}

export const whole = (message: Message): Buffer => fragmentOf(message, 0, message.body.length);

/** A datagram on its way. */
interface Flying {
  readonly toServer: boolean;
  readonly port: number;
  readonly address: string;
  readonly bytes: Buffer;
}

/** A server, its clients, and the network between them. */
export class DtlsBench {
  readonly clock = new FakeClock();
  readonly below = new MemoryTransport();
  readonly dtls: DtlsTransport;
  /** What reached the endpoint. */
  readonly received: { readonly text: string; readonly source: DatagramAddress }[] = [];
  readonly events: string[] = [];
  /** Datagrams since the start, both ways, and those of the server. */
  flown = 0;
  readonly fromServer: Buffer[] = [];
  /** What becomes of the datagram with this number: how many copies arrive. */
  copies: (flown: number) => number = () => 1;
  /** Takes the next datagram to arrive out of those on their way. */
  pick: (waiting: number) => number = () => 0;
  #flying: Flying[] = [];
  readonly #clients = new Map<string, DtlsClient>();

  constructor(options: Partial<DtlsOptions> = {}) {
    this.dtls = new DtlsTransport(this.below, {
      psk: (identity) => (identity === IDENTITY ? KEY : null),
      clock: this.clock,
      onEvent: (name, remote, detail) => this.events.push(`${name} ${remote?.port} ${detail.split('\n')[0]}`),
      ...options,
    });
    this.dtls.onDatagram = (bytes, source) => this.received.push({ text: bytes.toString(), source });
  }

  client(port: number, options: ClientOptions = {}): DtlsClient {
    const client = new DtlsClient(this, port, options);
    this.#clients.set(`${client.address} ${port}`, client);
    return client;
  }

  /** The client goes on at another port. */
  move(client: DtlsClient, port: number): void {
    this.#clients.delete(`${client.address} ${client.port}`);
    client.port = port;
    this.#clients.set(`${client.address} ${port}`, client);
  }

  fromClient({ port, address }: DtlsClient, bytes: Buffer): void {
    this.#fly({ toServer: true, port, address, bytes: Buffer.from(bytes) });
  }

  #fly(datagram: Flying): void {
    if (!datagram.toServer) this.fromServer.push(datagram.bytes);
    for (let copies = this.copies(this.flown++); copies > 0; copies--) this.#flying.push(datagram);
  }

  /** Carries datagrams until none is on its way. */
  deliver(): void {
    for (;;) {
      this.#collect();
      if (this.#flying.length === 0) return;
      const [{ toServer, port, address, bytes }] = this.#flying.splice(this.pick(this.#flying.length), 1);
      if (toServer) this.below.receive(Buffer.from(bytes), port, address);
      else this.#clients.get(`${address} ${port}`)?.receive(bytes);
    }
  }

  #collect(): void {
    for (const { bytes, port, address } of this.below.sent.splice(0)) {
      this.#fly({ toServer: false, port, address, bytes });
    }
  }

  /** Sends text to the client of the last datagram that the endpoint received. */
  answer(text: string): void {
    const bytes = Buffer.from(`__${text}__`);
    this.dtls.send(bytes, 2, bytes.length - 4, this.received.at(-1)!.source);
    this.deliver();
  }

  /** Both directions carry data. */
  check(client: DtlsClient): void {
    const text = `ping ${this.flown}`;
    client.sendData(text);
    this.deliver();
    assert.equal(this.received.at(-1)?.text, text);
    this.answer(`pong to ${text}`);
    assert.equal(client.data.at(-1), `pong to ${text}`);
    assert.equal(client.strange, 0);
  }
}
