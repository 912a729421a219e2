/** The stateless cookie exchange in front of every handshake (RFC 6347 4.2.1). */
import type { Clock } from '../timers.js';
import type { DatagramAddress } from '../transport.js';
import { parseHelloStart } from './client-hello.js';
import { Cookies } from './cookie.js';
import type { DtlsCounters } from './counters.js';
import { readFragment, wholeMessage } from './fragments.js';
import { ContentType, HandshakeType, RECORD_HEADER, VERSION_1_0 } from './protocol.js';
import { type RecordReader, writePlainRecord } from './record.js';
import { helloVerifyRequest } from './server-hello.js';

/** A ClientHello whose cookie shows that its sender is where it says. */
export interface VerifiedHello {
  /** A view of the datagram. */
  readonly random: Buffer;
  readonly messageSequence: number;
}

/** What becomes of an unprotected record. */
export const Admission = {
  /** It is for the handshake in progress, if there is one. */
  Passed: 0,
  /** It was answered or dropped here. */
  Taken: 1,
} as const;

export class HelloGate {
  readonly #cookies: Cookies;
  readonly #counters: DtlsCounters;
  readonly #send: (bytes: Buffer, length: number, to: DatagramAddress) => void;
  readonly #answer = Buffer.alloc(RECORD_HEADER + 64);
  #mayLook = false;

  constructor(
    clock: Clock,
    counters: DtlsCounters,
    send: (bytes: Buffer, length: number, to: DatagramAddress) => void,
  ) {
    this.#cookies = new Cookies(clock);
    this.#counters = counters;
    this.#send = send;
  }

  /** A new datagram: it is worth one look at a cookie and one HelloVerifyRequest, whatever is in it. */
  begin(): void {
    this.#mayLook = true;
  }

  /** @param inProgress the client's random of the handshake in progress with `source` */
  admit(record: RecordReader, source: DatagramAddress, inProgress: Buffer | undefined): VerifiedHello | number {
    if (record.type !== ContentType.Handshake) return Admission.Passed;
    const fragment = readFragment(record.fragment(), 0);
    if (fragment?.type !== HandshakeType.ClientHello || fragment.offset !== 0) return Admission.Passed;
    const hello = parseHelloStart(fragment.body);
    if (hello === undefined) {
      this.#counters.droppedRecords++;
      return Admission.Taken;
    }
    const { random, cookie } = hello;
    // Another random is another handshake, of a client that has begun anew (RFC 6347 4.2.8).
    if (inProgress?.equals(random)) return Admission.Passed;
    // No client puts two in a datagram; a full one has room for hundreds.
    if (!this.#mayLook) {
      this.#counters.droppedRecords++;
      return Admission.Taken;
    }
    this.#mayLook = false;
    if (this.#cookies.verify(cookie, source, hello)) {
      return { random, messageSequence: fragment.messageSequence };
    }
    this.#challenge(record.sequence, fragment.messageSequence, source, this.#cookies.make(source, hello));
    return Admission.Taken;
  }

  /**
   * Record and message take the numbers of the ClientHello's, since nothing is remembered. The message's is not always 0: a
   * ClientHello with a cookie that is good no more is the client's second message, and waits for the server's second one.
   */
  #challenge(sequence: number, messageSequence: number, source: DatagramAddress, cookie: Buffer): void {
    const message = wholeMessage(HandshakeType.HelloVerifyRequest, messageSequence, helloVerifyRequest(cookie));
    const end = writePlainRecord(this.#answer, 0, ContentType.Handshake, sequence, message, VERSION_1_0);
    this.#counters.cookiesSent++;
    this.#send(this.#answer, end, source);
  }
}
