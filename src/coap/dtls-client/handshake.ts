/** One handshake of the client, from the first ClientHello to the server's Finished (RFC 6347 4.2, RFC 4279 2, RFC 8422 2). */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { alertName, CLOSE_NOTIFY, endingAlert } from '../dtls/alert.js';
import { Keys } from '../dtls/association.js';
import { certificateVerify } from '../dtls/certificate-messages.js';
import { CHANGE_CIPHER_SPEC, type FlightMessage, writeRecord } from '../dtls/flight.js';
import { type Fragment, Messages } from '../dtls/fragments.js';
import { verifyData } from '../dtls/prf.js';
import { Alert, ContentType, HandshakeType, RANDOM_BYTES } from '../dtls/protocol.js';
import type { RecordReader } from '../dtls/record.js';
import { Refusal } from '../dtls/refusal.js';
import { deriveKeys } from '../dtls/secrets.js';
import { TimedHandshake } from '../dtls/timed-handshake.js';
import type { TimerWheel } from '../timers.js';
import type { DatagramAddress } from '../transport.js';
import type { DtlsClientCounters } from './counters.js';
import type { ClientExchange } from './exchange.js';
import { clientHello, parseHelloVerifyRequest, parseServerHello, type ServerHello } from './hello.js';
import { COOKIES, type DtlsClientLimits } from './limits.js';
import { ClientTranscript } from './transcript.js';

/** Why a handshake ended without an association. */
export type ClientHandshakeEnd = 'failed' | 'timeout' | 'closed';

/** What a handshake needs of the transport. */
export interface ClientHandshakeHost {
  readonly limits: DtlsClientLimits;
  readonly counters: DtlsClientCounters;
  readonly wheel: TimerWheel;
  now(): number;
  transmit(bytes: Buffer, length: number, to: DatagramAddress): void;
  finished(handshake: ClientHandshake, keys: Keys): void;
  /** @param words for whoever wanted to send something */
  ended(handshake: ClientHandshake, end: ClientHandshakeEnd, words: string): void;
}

const goodbye = Buffer.alloc(512);

/** What the handshake waits for. */
const State = { Hello: 0, KeyExchange: 1, Finished: 2 } as const;
type State = (typeof State)[keyof typeof State];

const FIRST: readonly number[] = [HandshakeType.HelloVerifyRequest, HandshakeType.ServerHello];
const LAST: readonly number[] = [HandshakeType.Finished];

export class ClientHandshake extends TimedHandshake<ClientHandshakeEnd> {
  /** The server, and by what name it was asked for. */
  readonly remote: DatagramAddress;
  readonly key: string;
  readonly random = randomBytes(RANDOM_BYTES);
  readonly #exchange: ClientExchange;
  readonly #host: ClientHandshakeHost;
  readonly #messages = new Messages();
  #transcript = new ClientTranscript();
  #state: State = State.Hello;
  /** message_seq of the next message of the server, and of the next one to it. */
  #expected = 0;
  #next = 0;
  #cookies = 0;
  #hello: ServerHello | undefined;

  constructor(host: ClientHandshakeHost, remote: DatagramAddress, key: string, exchange: ClientExchange) {
    super(host, 0, (bytes, length) => host.transmit(bytes, length, remote));
    this.remote = remote;
    this.key = key;
    this.#exchange = exchange;
    this.#host = host;
  }

  /** What it waits for, in words. */
  get silence(): string {
    if (this.#state === State.Hello) return 'no answer to ClientHello';
    return this.#state === State.KeyExchange ? this.#exchange.silence : `no answer to Finished${this.#exchange.doubt}`;
  }

  begin(): void {
    this.#sayHello(Buffer.alloc(0));
  }

  /** An unprotected record of the server. */
  receivePlain(record: RecordReader): void {
    if (record.type === ContentType.Handshake) this.receiveFragments(record.fragment(), false);
    else if (record.type === ContentType.Alert) this.#receiveAlert(record.fragment());
    // ChangeCipherSpec says nothing that the epoch of the next record does not say.
  }

  /** A record of epoch 1. What is not authentic may be of an association that is no more: it ends nothing. */
  receiveProtected(record: RecordReader): void {
    const keys = this.keys;
    const { counters } = this.#host;
    if (keys === undefined || !keys.expects(record, ContentType.Cid) || !keys.window.isNew(record.sequence)) {
      counters.droppedRecords++;
      return;
    }
    const opened = keys.open(record);
    if (opened === undefined) {
      counters.badRecords++;
      return;
    }
    keys.window.accept(record.sequence);
    if (opened.type === ContentType.Handshake) this.receiveFragments(opened.content, true);
    else if (opened.type === ContentType.Alert) this.#receiveAlert(opened.content);
  }

  protected late(): void {
    this.#sayGoodbye();
    this.end('timeout', `${this.silence} within ${this.#host.limits.handshakeTime} ms`);
  }

  protected ended(reason: ClientHandshakeEnd, words: string): void {
    this.#host.ended(this, reason, words);
  }

  /** For a server that has all it needs, and whose Finished is lost: it would keep an association at this address. */
  #sayGoodbye(): void {
    if (this.keys === undefined) return;
    const end = writeRecord(goodbye, 0, this.keys, ContentType.Alert, CLOSE_NOTIFY);
    this.#host.transmit(goodbye, end, this.remote);
  }

  #fail(alert: number, words: string): void {
    this.sayFatal(alert);
    this.end('failed', words);
  }

  /** What the server says does not fit, or its certificate is not good. */
  #refuse({ alert, words }: Refusal, isCertificate: boolean): void {
    if (isCertificate) this.#host.counters.certificatesRefused++;
    this.#fail(alert, words);
  }

  /** Nothing protects most alerts of a handshake: whoever can send one in the server's name could also keep it from coming about. */
  #receiveAlert(content: Buffer): void {
    const ending = endingAlert(content);
    if (ending === undefined) return;
    const doubt = this.#state === State.Finished ? this.#exchange.doubt : '';
    this.end('failed', `alert ${alertName(ending.description)} of the server${doubt}`);
  }

  protected receiveFragment(fragment: Fragment, isProtected: boolean): void {
    const { type, messageSequence } = fragment;
    if (messageSequence !== this.#expected) {
      // The end of its flight once more: the server has not received ours (RFC 6347 4.2.4).
      const isRepeated = messageSequence < this.#expected && this.#state === State.Finished;
      if (isRepeated && type === HandshakeType.ServerHelloDone && !isProtected) this.repeat();
      return;
    }
    // Only Finished is protected, and it always is.
    if (isProtected !== (this.#state === State.Finished)) return;
    const message = this.#messages.add(fragment);
    if (message === 'too long') this.#fail(Alert.DecodeError, 'a message that is too long');
    else if (message !== undefined) this.#receiveMessage(message.type, message.body);
  }

  #receiveMessage(type: number, body: Buffer): void {
    const state = this.#state;
    const due = state === State.Hello ? FIRST : state === State.KeyExchange ? this.#exchange.due : LAST;
    if (!due.includes(type)) {
      this.#fail(Alert.UnexpectedMessage, `unexpected handshake message ${type}`);
      return;
    }
    const messageSequence = this.#expected++;
    if (type === HandshakeType.HelloVerifyRequest) {
      this.#receiveHelloVerifyRequest(body);
      return;
    }
    // The hash that Finished is about ends before it.
    const before = type === HandshakeType.Finished ? this.#transcript.hash() : undefined;
    this.#transcript.add(type, messageSequence, body);
    if (before !== undefined) this.#receiveFinished(body, before);
    else if (type === HandshakeType.ServerHello) this.#receiveServerHello(body);
    else if (type === HandshakeType.ServerHelloDone) this.#receiveServerHelloDone(body);
    else this.#receiveKeyExchange(type, body);
  }

  #receiveHelloVerifyRequest(body: Buffer): void {
    const cookie = parseHelloVerifyRequest(body);
    if (cookie === undefined) this.#fail(Alert.DecodeError, 'malformed HelloVerifyRequest');
    else if (++this.#cookies > COOKIES) this.#fail(Alert.HandshakeFailure, 'one cookie after the other');
    else this.#sayHello(Buffer.from(cookie));
  }

  #receiveServerHello(body: Buffer): void {
    const hello = parseServerHello(this.#exchange.offer, body);
    if (typeof hello === 'number') {
      this.#fail(hello, `ServerHello deserves ${alertName(hello)}`);
      return;
    }
    this.#hello = hello;
    this.#exchange.agree(hello);
    this.#state = State.KeyExchange;
  }

  #receiveKeyExchange(type: number, body: Buffer): void {
    const refusal = this.#exchange.receive(type, body, this.random, this.#hello!.random);
    if (refusal === undefined) return;
    // A signature that is wrong is another's certificate.
    this.#refuse(refusal, type === HandshakeType.Certificate || refusal.alert === Alert.DecryptError);
  }

  #receiveServerHelloDone(body: Buffer): void {
    if (body.length > 0) {
      this.#fail(Alert.DecodeError, 'malformed ServerHelloDone');
      return;
    }
    const { suite, random: serverRandom, extendedMasterSecret, connectionId } = this.#hello!;
    const answer = this.#exchange.answer();
    if (answer instanceof Refusal) {
      this.#refuse(answer, false);
      return;
    }
    const { certificate, keyExchange, premaster, sign } = answer;
    const flight: FlightMessage[] = [];
    if (certificate !== undefined) flight.push(this.#say(HandshakeType.Certificate, certificate));
    flight.push(this.#say(HandshakeType.ClientKeyExchange, keyExchange));
    const sessionHash = extendedMasterSecret ? this.#transcript.hash() : undefined;
    const { master, read, write } = deriveKeys(suite, premaster, this.random, serverRandom, sessionHash);
    premaster.fill(0);
    this.master = master;
    this.keys = new Keys({
      session: { ...this.#exchange.session, cipherSuite: suite.name },
      // What the server reads is written here.
      read: write,
      write: read,
      ownCid: undefined,
      peerCid: Buffer.from(connectionId ?? []),
    });
    const messages = this.#transcript.takeMessages();
    if (sign !== undefined) flight.push(this.#say(HandshakeType.CertificateVerify, certificateVerify(sign(messages))));
    const finished = this.#say(HandshakeType.Finished, verifyData(master, 'client', this.#transcript.hash()));
    this.#state = State.Finished;
    this.send([...flight, CHANGE_CIPHER_SPEC, finished]);
  }

  #receiveFinished(body: Buffer, hash: Buffer): void {
    const expected = verifyData(this.master!, 'server', hash);
    if (body.length !== expected.length || !timingSafeEqual(body, expected)) {
      this.#fail(Alert.DecryptError, 'Finished of the server is wrong');
      return;
    }
    this.over();
    this.#host.finished(this, this.keys!);
  }

  /** Begins anew with each cookie: hello messages without one are in no hash (RFC 6347 4.2.1). */
  #sayHello(cookie: Buffer): void {
    this.#transcript = new ClientTranscript();
    this.send([this.#say(HandshakeType.ClientHello, clientHello(this.#exchange.offer, this.random, cookie))]);
  }

  #say(type: number, body: Buffer): FlightMessage {
    const messageSequence = this.#next++;
    this.#transcript.add(type, messageSequence, body);
    return { type, messageSequence, body };
  }
}
