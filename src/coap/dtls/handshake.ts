/** One handshake of the server, from the ClientHello with its cookie to Finished (RFC 6347 4.2, RFC 4279 2, RFC 8422 2). */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { DatagramAddress } from '../transport.js';
import { alertName, endingAlert } from './alert.js';
import { type DtlsSession, Keys } from './association.js';
import { certificateRequest } from './certificate-messages.js';
import { CIPHER_SUITES, type CipherSuite } from './cipher.js';
import { type ClientHello, parseClientHello, parseHelloStart } from './client-hello.js';
import { ClientProof } from './client-proof.js';
import { ownCopy } from './fields.js';
import { CHANGE_CIPHER_SPEC, type FlightMessage } from './flight.js';
import { type Fragment, Messages } from './fragments.js';
import type { HandshakeEnd, HandshakeHost } from './handshake-host.js';
import { ecdheExchange, type KeyExchange, pskExchange } from './key-exchange.js';
import { RETRANSMISSIONS } from './limits.js';
import { negotiate } from './negotiation.js';
import { verifyData } from './prf.js';
import { Alert, CertificateType, ContentType, HandshakeType, RANDOM_BYTES, VERSION_1_2 } from './protocol.js';
import { CID_BYTES, RecordReader } from './record.js';
import { Refusal } from './refusal.js';
import { deriveKeys } from './secrets.js';
import { serverHello } from './server-hello.js';
import { TimedHandshake } from './timed-handshake.js';
import { Transcript } from './transcript.js';

/** The message that the handshake waits for. */
const State = {
  ClientHello: HandshakeType.ClientHello,
  Certificate: HandshakeType.Certificate,
  ClientKeyExchange: HandshakeType.ClientKeyExchange,
  CertificateVerify: HandshakeType.CertificateVerify,
  Finished: HandshakeType.Finished,
} as const;
type State = (typeof State)[keyof typeof State];

/** Protected records that came ahead of the messages before Finished and are kept for later, and the bytes of each. */
const EARLY_RECORDS = 2;
const EARLY_RECORD_BYTES = 256;

export class Handshake extends TimedHandshake<HandshakeEnd> {
  readonly source: DatagramAddress;
  readonly clientRandom: Buffer;
  /** Whose association would have been ended meanwhile: `DtlsTransport.endAssociations`. */
  readonly withdrawn: ((session: DtlsSession) => boolean)[] = [];
  readonly #host: HandshakeHost;
  readonly #transcript = new Transcript();
  readonly #serverRandom = randomBytes(RANDOM_BYTES);
  #state: State = State.ClientHello;
  /** message_seq of the next message of the client, and of the next one to it. */
  #expected: number;
  #next: number;
  readonly #messages = new Messages();
  #flight: FlightMessage[] = [];
  #hello: ClientHello | undefined;
  #suite: CipherSuite = CIPHER_SUITES[0];
  #exchange: KeyExchange | undefined;
  /** If the client is asked for a certificate. */
  #proof: ClientProof | undefined;
  #cid: Buffer | undefined;
  #early: Buffer[] = [];
  /** Whether ChangeCipherSpec has come, and the datagram of the last handshake message without protection. */
  #isChanged = false;
  #plainIn = -1;

  /** @param sequence of the record, @param messageSequence of the ClientHello: both go on from there (RFC 6347 4.2.1, 4.2.2) */
  constructor(host: HandshakeHost, source: DatagramAddress, random: Buffer, sequence: number, messageSequence: number) {
    super(host, sequence, (bytes, length) => host.transmit(bytes, length, source));
    this.source = source;
    this.clientRandom = ownCopy(random);
    this.#host = host;
    this.#expected = messageSequence;
    this.#next = messageSequence;
    this.await();
  }

  /** The Connection ID given to the client. */
  get cid(): string | undefined {
    return this.#cid?.toString('latin1');
  }

  /** The PSK identity that the client has named, authentic or not; undefined for one with certificates. */
  get identity(): string | undefined {
    const session = this.keys?.agreement.session;
    return session?.proof === 'psk' ? session.identity : undefined;
  }

  /** An unprotected record of the client. */
  receivePlain(record: RecordReader): void {
    if (record.type === ContentType.Handshake) {
      this.#plainIn = record.datagram;
      this.receiveFragments(record.fragment(), false);
    } else if (record.type === ContentType.Alert) this.#receiveAlert(record.fragment());
    else if (record.type === ContentType.ChangeCipherSpec && record.fragment().equals(CHANGE_CIPHER_SPEC.body)) {
      this.#isChanged = true;
      this.#receiveEarly();
    }
  }

  /** A record of epoch 1. */
  receiveProtected(record: RecordReader): void {
    // Nothing but Finished is due; a late record of an association that is no more must not end this handshake.
    if (record.type !== ContentType.Handshake && record.type !== ContentType.Cid) return;
    const keys = this.keys;
    if (keys === undefined || this.#state !== State.Finished || !this.#isChanged) {
      // Within a datagram nothing is lost or late: who has sent this has left out what belongs before it.
      if (this.#state === State.Finished && record.datagram === this.#plainIn) this.#refuseUnchanged();
      else this.#keep(record.whole());
      return;
    }
    if (!keys.expects(record, ContentType.Cid) || !keys.window.isNew(record.sequence)) return;
    const opened = keys.open(record);
    if (opened === undefined) {
      // The wrong key, as a rule. Whoever could forge this record could have forged the handshake's end otherwise.
      this.#host.counters.badRecords++;
      this.#unauthentic('bad record');
      return;
    }
    keys.window.accept(record.sequence);
    if (opened.type === ContentType.Handshake) this.receiveFragments(opened.content, true);
  }

  /** Finished is never taken without it (RFC 5246 7.4.9). */
  #refuseUnchanged(): void {
    this.#fail(Alert.UnexpectedMessage, 'Finished without ChangeCipherSpec');
  }

  /** For later: what belongs before it may still come. */
  #keep(record: Buffer): void {
    if (this.#early.length < EARLY_RECORDS && record.length <= EARLY_RECORD_BYTES)
      this.#early.push(Buffer.from(record));
  }

  protected late(): void {
    // All has come but ChangeCipherSpec, in all the flights of the client.
    if (this.#state === State.Finished && this.#early.length > 0) this.#refuseUnchanged();
    else this.end('timeout', 'handshakeTime');
  }

  protected ended(reason: HandshakeEnd, detail: string): void {
    this.#host.ended(this, reason, detail);
  }

  #fail(alert: number, detail: string): void {
    this.sayFatal(alert);
    this.end('failed', detail);
  }

  /** A certificate or raw public key that is not good, or a signature that is not its owner's. */
  #refuseCertificate({ alert, words }: Refusal): void {
    const { counters } = this.#host;
    if (this.#proof?.type === CertificateType.RawPublicKey) counters.publicKeysRefused++;
    else counters.certificatesRefused++;
    this.sayFatal(alert);
    this.end('unauthentic', words);
  }

  /** A wrong key or an unknown identity: nobody but the operator learns which identity it was. */
  #unauthentic(detail: string): void {
    const identity = this.keys?.agreement.session.identity ?? '';
    this.sayFatal(Alert.DecryptError);
    this.end('unauthentic', `${detail}, identity ${JSON.stringify(identity)}`);
  }

  #receiveAlert(content: Buffer): void {
    const ending = endingAlert(content);
    if (ending !== undefined) this.end('abandoned', `alert ${alertName(ending.description)}`);
  }

  protected receiveFragment(fragment: Fragment, isProtected: boolean): void {
    if (fragment.messageSequence !== this.#expected) {
      // The ClientHello once more: the client has not received the answer to it.
      if (fragment.type !== HandshakeType.ClientHello || fragment.offset !== 0 || isProtected) return;
      // Nobody else knows its random: the answer is longer than the question.
      const isOurs = parseHelloStart(fragment.body)?.random.equals(this.clientRandom) === true;
      if (isOurs && fragment.messageSequence < this.#expected) this.repeat();
      return;
    }
    // Only Finished is protected, and it always is.
    if (isProtected !== (this.#state === State.Finished)) return;
    const message = this.#messages.add(fragment);
    if (message === 'too long') this.#fail(Alert.DecodeError, 'message too long');
    else if (message !== undefined) this.#receiveMessage(message.type, message.body);
  }

  #receiveMessage(type: number, body: Buffer): void {
    const state = this.#state;
    if (type !== state) {
      this.#fail(Alert.UnexpectedMessage, `unexpected message ${type}`);
      return;
    }
    // What CertificateVerify signs, and the hash that Finished is about, end before them.
    const refusal = state === State.CertificateVerify ? this.#proof!.receiveVerify(body) : undefined;
    if (refusal !== undefined) {
      this.#refuseCertificate(refusal);
      return;
    }
    const before = state === State.Finished ? this.#transcript.hash() : undefined;
    this.#transcript.add(type, this.#expected, body);
    this.#expected++;
    if (before !== undefined) this.#receiveFinished(body, before);
    else if (state === State.ClientHello) this.#receiveClientHello(body);
    else if (state === State.Certificate) this.#receiveCertificate(body);
    else if (state === State.ClientKeyExchange) this.#receiveClientKeyExchange(body);
    else this.#awaitFinished();
  }

  #receiveClientHello(body: Buffer): void {
    const hello = parseClientHello(body);
    if (typeof hello === 'number') {
      this.#fail(hello, 'malformed ClientHello');
      return;
    }
    // Versions of DTLS count down.
    if (hello.version >>> 8 !== VERSION_1_2 >>> 8 || hello.version > VERSION_1_2) {
      this.#fail(Alert.ProtocolVersion, `version ${hello.version.toString(16)}`);
      return;
    }
    // The cookie covers the random; nothing else may be put in its place by a later fragment.
    if (!hello.random.equals(this.clientRandom)) {
      this.#fail(Alert.IllegalParameter, 'another random');
      return;
    }
    const { psk, certificate, clientCertificates, identityHint } = this.#host;
    const serverTypes = certificate?.types ?? [];
    const choice = negotiate(hello, { psk: psk !== undefined, serverTypes, clients: clientCertificates });
    if (choice instanceof Refusal) {
      this.#fail(choice.alert, choice.words);
      return;
    }
    const { suite, group, serverType, clientType } = choice;
    const own = serverType === undefined ? undefined : certificate!;
    this.#hello = hello;
    this.#suite = suite;
    if (hello.connectionId !== undefined) this.#cid = randomBytes(CID_BYTES);
    this.#exchange =
      own === undefined
        ? pskExchange(psk!, identityHint, this.source)
        : ecdheExchange(own, group, hello.random, this.#serverRandom);
    if (clientType !== undefined) this.#proof = new ClientProof(clientCertificates!, clientType, this.#transcript);
    else this.#transcript.forgetSignature();
    this.#say(HandshakeType.ServerHello, serverHello(hello, choice, this.#serverRandom, this.#cid));
    if (serverType !== undefined) this.#say(HandshakeType.Certificate, own!.messages.get(serverType)!);
    if (this.#exchange.message !== undefined) this.#say(HandshakeType.ServerKeyExchange, this.#exchange.message);
    if (clientType !== undefined) {
      // A raw public key has no CA (RFC 7250 4.2).
      const authorities = clientType === CertificateType.X509 ? clientCertificates!.authorities : [];
      this.#say(HandshakeType.CertificateRequest, certificateRequest(authorities));
    }
    this.#say(HandshakeType.ServerHelloDone, Buffer.alloc(0));
    this.#state = clientType === undefined ? State.ClientKeyExchange : State.Certificate;
    this.send(this.#flight);
  }

  /** Adds a message to the flight. */
  #say(type: number, body: Buffer): void {
    const messageSequence = this.#next++;
    this.#transcript.add(type, messageSequence, body);
    this.#flight.push({ type, messageSequence, body });
  }

  #receiveCertificate(body: Buffer): void {
    const refusal = this.#proof!.receiveCertificate(body);
    if (refusal === undefined) this.#state = State.ClientKeyExchange;
    else this.#refuseCertificate(refusal);
  }

  #receiveClientKeyExchange(body: Buffer): void {
    const hello = this.#hello!;
    const agreed = this.#exchange!.receive(body);
    if (agreed instanceof Refusal) {
      this.#fail(agreed.alert, agreed.words);
      return;
    }
    const { premaster, identity } = agreed;
    const sessionHash = hello.extendedMasterSecret ? this.#transcript.hash() : undefined;
    const { master, read, write } = deriveKeys(this.#suite, premaster, hello.random, this.#serverRandom, sessionHash);
    premaster.fill(0);
    this.master = master;
    this.keys = new Keys({
      session: this.#session(identity),
      read,
      write,
      ownCid: this.cid,
      peerCid: ownCopy(hello.connectionId ?? Buffer.alloc(0)),
    });
    if (this.#proof?.identity === undefined) this.#awaitFinished();
    else this.#state = State.CertificateVerify;
  }

  /** Holds from Finished on. @param identity of the pre-shared key */
  #session(identity: string | undefined): DtlsSession {
    const connectionId = this.#cid?.toString('hex');
    const agreed = { cipherSuite: this.#suite.name, ...(connectionId === undefined ? null : { connectionId }) };
    if (identity !== undefined) return { identity, ...agreed, proof: 'psk' };
    return { identity: this.#proof?.identity, ...agreed, proof: this.#proof?.proof ?? 'none' };
  }

  /** Nothing more comes unprotected but ChangeCipherSpec. */
  #awaitFinished(): void {
    this.#state = State.Finished;
    this.#receiveEarly();
  }

  #receiveEarly(): void {
    if (!this.#isExpecting() || !this.#isChanged) return;
    const early = this.#early;
    this.#early = [];
    const record = new RecordReader();
    for (const bytes of early) {
      record.begin(bytes);
      if (this.#isExpecting() && record.next()) this.receiveProtected(record);
    }
  }

  /** Not narrowed by the compiler: what is called in between may change the state. */
  #isExpecting(): boolean {
    return !this.isOver && this.#state === State.Finished;
  }

  #receiveFinished(body: Buffer, hash: Buffer): void {
    const keys = this.keys!;
    const master = this.master!;
    const expected = verifyData(master, 'client', hash);
    if (body.length !== expected.length || !timingSafeEqual(body, expected)) {
      this.#unauthentic('bad Finished');
      return;
    }
    const { session } = keys.agreement;
    if (this.withdrawn.some((which) => which(session)) || !this.#host.isWelcome(session, this.source)) {
      this.#unauthentic('not welcome any more');
      return;
    }
    const verify = verifyData(master, 'server', this.#transcript.hash());
    const flight = [
      CHANGE_CIPHER_SPEC,
      { type: HandshakeType.Finished, messageSequence: this.#next, body: verify },
    ] as const;
    const { counters } = this.#host;
    const { writer } = this;
    this.over();
    writer.send(flight, keys);
    let repetitions = 0;
    this.#host.finished(this, keys, {
      clientMessageSequence: this.#expected - 1,
      repeat: () => {
        if (repetitions++ >= RETRANSMISSIONS) return;
        counters.flightsRepeated++;
        writer.send(flight, keys);
      },
    });
  }
}
