/** DTLS 1.2 between a CoAP client and a datagram transport: the end that begins (RFC 6347, RFC 7252 9.1.3.1, 9.1.3.3). */
import { peerKey } from '../client/peers.js';
import { CLOSE_NOTIFY, endingAlert, endOfAssociation } from '../dtls/alert.js';
import { Association, type Keys } from '../dtls/association.js';
import { Associations, tupleOf } from '../dtls/associations.js';
import { writeRecord } from '../dtls/flight.js';
import { IdleTimer } from '../dtls/idle.js';
import { ContentType, LARGEST_PLAINTEXT, SEQUENCE_NUMBERS } from '../dtls/protocol.js';
import { LARGEST_RECORD, type OpenedRecord, RecordReader } from '../dtls/record.js';
import { type Clock, SYSTEM_CLOCK, TimerWheel } from '../timers.js';
import type { DatagramAddress, DatagramTransport } from '../transport.js';
import { type CertificateCredential, CertificateExchange } from './certificate-exchange.js';
import { DtlsClientCounters } from './counters.js';
import type { ClientExchange } from './exchange.js';
import { ClientHandshake, type ClientHandshakeEnd, type ClientHandshakeHost } from './handshake.js';
import { DEFAULT_DTLS_CLIENT_LIMITS, type DtlsClientLimits, SILENCE } from './limits.js';
import { isUsable, type PskCredential, PskExchange } from './psk-exchange.js';
import { WaitingDatagrams } from './waiting.js';

/**
 * What an operator may want to see: a limit that was reached (the detail is its name), an association that began, a
 * handshake that failed (the detail says why), a fault of the transport itself.
 */
export type DtlsClientEvent = 'limit' | 'established' | 'handshake-failed' | 'internal-error';

/** How this end and a server show each other who they are. */
export type Credential = PskCredential | CertificateCredential;

export interface DtlsClientOptions {
  /** Whom this end is for a server; and how it knows it; undefined: it has nothing for it. The answer for one `remote.key` is always the same. */
  readonly credential: (remote: DatagramAddress) => Credential | undefined;
  readonly limits?: Partial<DtlsClientLimits>;
  readonly clock?: Clock;
  readonly onEvent?: (name: DtlsClientEvent, remote: DatagramAddress | undefined, detail: string) => void;
}

/** One alert's worth of records stays in reserve below the limit. */
const RESERVE = 1;

/**
 * A datagram to a server with which there is no association begins a handshake and waits for its end. Two servers are
 * the same if their `key` is, or without one their address and port; of those at one address only one has an association.
 * A server that has not heard the end of an association may answer no ClientHello from the same port (RFC 6347 4.2.8 asks it
 * to), so after silence the next handshake leaves from another one, if the transport below has any.
 */
export class DtlsClientTransport implements DatagramTransport {
  /** The client's. Its `source` has a `key`, and as `session` a `DtlsSession`. */
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  onGone: ((remote: DatagramAddress, reason: string) => void) | undefined;
  onUnreachable: ((remote: DatagramAddress, reason: string) => void) | undefined;
  readonly counters = new DtlsClientCounters();
  readonly #below: DatagramTransport;
  readonly #options: DtlsClientOptions;
  readonly #limits: DtlsClientLimits;
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #host: ClientHandshakeHost;
  readonly #associations = new Associations();
  /** Handshakes in progress by address. */
  readonly #handshakes = new Map<string, ClientHandshake>();
  readonly #waiting: WaitingDatagrams;
  /** Associations in which something was sent since the server has last said anything, and when. */
  readonly #unanswered = new Map<Association, number>();
  readonly #idle: IdleTimer;
  readonly #record = new RecordReader();
  readonly #scratch = Buffer.allocUnsafeSlow(LARGEST_RECORD);
  #closing: Promise<void> | undefined;

  /** Takes over the datagrams of `below` from now on. */
  constructor(below: DatagramTransport, options: DtlsClientOptions) {
    this.#below = below;
    this.#options = options;
    const limits = { ...DEFAULT_DTLS_CLIENT_LIMITS, ...options.limits };
    this.#limits = { ...limits, records: Math.min(limits.records, SEQUENCE_NUMBERS - 2) };
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#wheel = new TimerWheel(this.#clock);
    this.#waiting = new WaitingDatagrams(this.#limits);
    this.#idle = new IdleTimer(this.#associations, limits.idleTime, this.#clock, this.#wheel, (association) => {
      this.counters.associationsExpired++;
      this.#event('limit', association.source, 'idleTime');
      this.#end(association, 'its DTLS association was idle for too long');
    });
    this.#host = {
      limits: this.#limits,
      counters: this.counters,
      wheel: this.#wheel,
      now: () => this.#clock.now(),
      transmit: (bytes, length, to) => below.send(bytes, 0, length, to),
      finished: (handshake, keys) => this.#finished(handshake, keys),
      ended: (handshake, end, words) => this.#ended(handshake, end, words),
    };
    below.onDatagram = (bytes, source) => {
      try {
        this.#receive(bytes, source);
      } catch (error) {
        // Not reached by any datagram known; but one that finds a fault costs itself, not the process.
        this.counters.internalErrors++;
        this.#event('internal-error', source, error instanceof Error ? (error.stack ?? error.message) : String(error));
      }
    };
  }

  /** How full the tables are. */
  get tables(): {
    readonly associations: number;
    readonly handshakes: number;
    readonly waitingBytes: number;
    readonly timers: number;
  } {
    return {
      associations: this.#associations.size,
      handshakes: this.#handshakes.size,
      waitingBytes: this.#waiting.bytes,
      timers: this.#wheel.size,
    };
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    if (this.#closing !== undefined || length > LARGEST_PLAINTEXT) {
      this.counters.droppedSends++;
      return;
    }
    const datagram = bytes.subarray(offset, offset + length);
    const association = this.#associations.byKey(peerKey(remote));
    if (association === undefined) this.#wait(datagram, remote);
    else if (association.keys.written >= this.#limits.records - RESERVE) {
      this.counters.associationsExhausted++;
      this.#event('limit', association.source, 'records');
      this.#endLater(association, 'its DTLS association has sent all its records');
    } else this.#say(association, datagram);
  }

  /**
   * A request to `remote` has had no answer. An association in which nothing came any more is given up: the next request
   * makes another. Returns what a handshake waits for, in words; what waits for it is dropped, since it is too late.
   */
  unanswered(remote: DatagramAddress): string | undefined {
    const key = peerKey(remote);
    const association = this.#associations.byKey(key);
    if (association !== undefined) {
      const since = this.#unanswered.get(association);
      if (since === undefined || this.#clock.now() - since < SILENCE) return undefined;
      this.counters.associationsLost++;
      this.#endLater(association, 'nothing comes in its DTLS association any more');
      this.#below.renew?.(remote);
      return undefined;
    }
    const tuple = tupleOf(remote);
    const handshake = this.#handshakes.get(tuple);
    if (handshake?.key !== key) return undefined;
    this.#waiting.take(tuple);
    return handshake.silence;
  }

  /** Says close_notify to every server, forgets all keys, and closes the transport below. */
  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    this.onDatagram = undefined;
    this.onGone = undefined;
    this.onUnreachable = undefined;
    this.#below.onDatagram = undefined;
    for (const handshake of [...this.#handshakes.values()]) handshake.end('closed', '');
    for (const association of [...this.#associations.all()]) this.#close(association);
    this.#wheel.close();
    this.#closing = this.#below.close();
    return this.#closing;
  }

  /** Keeps a datagram for the end of a handshake, which begins if there is none. */
  #wait(datagram: Buffer, remote: DatagramAddress): void {
    const tuple = tupleOf(remote);
    const key = peerKey(remote);
    const { counters } = this;
    const known = this.#handshakes.get(tuple);
    const handshake = known ?? this.#prepare(tuple, key, remote);
    if (typeof handshake === 'string') {
      this.#refuse(remote, handshake);
      return;
    }
    if (handshake.key !== key) {
      counters.handshakesRefused++;
      this.#refuse(remote, 'a DTLS handshake with another name of its address is under way');
      return;
    }
    const waited = this.#waiting.add(tuple, datagram);
    if (waited === 'waitingDatagrams') counters.droppedWaiting++;
    else if (waited === 'waitingBytes') counters.droppedWaitingBytes++;
    if (waited === 'waitingDatagrams' || waited === 'waitingBytes') this.#event('limit', remote, waited);
    // Only now: a transport in memory may bring the answer before it returns.
    if (known === undefined) handshake.begin();
  }

  /** The handshake, not begun yet; or why there is none. */
  #prepare(tuple: string, key: string, remote: DatagramAddress): ClientHandshake | string {
    const { counters } = this;
    const exchange = this.#exchangeWith(remote);
    if (exchange === undefined) {
      counters.handshakesWithoutKey++;
      return 'there is no key for it';
    }
    if (this.#handshakes.size >= this.#limits.handshakes) {
      counters.handshakesRefused++;
      this.#event('limit', remote, 'handshakes');
      return 'too many DTLS handshakes are under way';
    }
    const there = this.#associations.byTuple(tuple);
    if (there !== undefined) {
      counters.associationsReplaced++;
      this.#endLater(there, 'another name of its address took the place of its DTLS association');
    }
    counters.handshakesStarted++;
    const handshake = new ClientHandshake(this.#host, remote, key, exchange);
    this.#handshakes.set(tuple, handshake);
    return handshake;
  }

  #exchangeWith(remote: DatagramAddress): ClientExchange | undefined {
    try {
      const credential = this.#options.credential(remote);
      if (credential === undefined) return undefined;
      if ('name' in credential) return new CertificateExchange(credential);
      return isUsable(credential) ? new PskExchange(credential) : undefined;
    } catch {
      this.counters.keyErrors++;
      return undefined;
    }
  }

  /** Later: the client is just sending. */
  #refuse(remote: DatagramAddress, words: string): void {
    queueMicrotask(() => this.onUnreachable?.(remote, words));
  }

  #receive(datagram: Buffer, source: DatagramAddress): void {
    this.counters.datagramsReceived++;
    const record = this.#record;
    record.begin(datagram);
    const tuple = tupleOf(source);
    let found = false;
    while (this.#closing === undefined && record.next()) {
      found = true;
      const association = record.epoch === 1 ? this.#associations.byTuple(tuple) : undefined;
      const handshake = this.#handshakes.get(tuple);
      const before = this.counters.badRecords;
      if (association !== undefined) this.#open(association);
      else if (handshake === undefined || record.epoch > 1) this.counters.droppedRecords++;
      else if (record.epoch === 1) handshake.receiveProtected(record);
      else handshake.receivePlain(record);
      // Nobody honest has more in a datagram with a forgery; and each one costs a decryption.
      if (this.counters.badRecords > before) break;
    }
    if (!found) this.counters.droppedRecords++;
  }

  #open(association: Association): void {
    const record = this.#record;
    const { keys } = association;
    const { counters } = this;
    if (!keys.expects(record, ContentType.Cid)) {
      counters.droppedRecords++;
      return;
    }
    if (!keys.window.isNew(record.sequence)) {
      counters.replayedRecords++;
      return;
    }
    const opened = keys.open(record);
    if (opened === undefined) {
      counters.badRecords++;
      return;
    }
    keys.window.accept(record.sequence);
    this.#associations.touch(association, this.#clock.now());
    this.#unanswered.delete(association);
    this.#deliver(association, opened);
  }

  /** HelloRequest, the wish to renegotiate, may be ignored (RFC 5246 7.4.1.1), as a Finished that comes again. */
  #deliver(association: Association, { type, content }: OpenedRecord): void {
    if (type === ContentType.ApplicationData) {
      this.counters.recordsReceived++;
      this.onDatagram?.(content, association.source);
    } else if (type === ContentType.Alert) {
      const ending = endingAlert(content);
      if (ending === undefined) return;
      this.counters.associationsClosed++;
      this.#end(association, endOfAssociation(ending), ending.isClosing);
    }
  }

  #say(association: Association, datagram: Buffer): void {
    this.counters.recordsSent++;
    if (!this.#unanswered.has(association)) this.#unanswered.set(association, this.#clock.now());
    this.#write(association, ContentType.ApplicationData, datagram);
  }

  #write(association: Association, type: number, content: Buffer): void {
    const end = writeRecord(this.#scratch, 0, association.keys, type, content);
    if (end > 0) this.#below.send(this.#scratch, 0, end, association.source);
  }

  #finished(handshake: ClientHandshake, keys: Keys): void {
    const { remote, key, random } = handshake;
    const associations = this.#associations;
    const tuple = tupleOf(remote);
    this.#handshakes.delete(tuple);
    this.counters.handshakesCompleted++;
    const { address, port, family } = remote;
    const source: DatagramAddress = { address, port, family, key, session: keys.agreement.session };
    const association = new Association(keys, source, random, this.#clock.now());
    associations.add(association);
    const { oldest } = associations;
    if (associations.size > this.#limits.associations && oldest !== undefined) {
      this.counters.associationEvictions++;
      this.#event('limit', oldest.source, 'associations');
      this.#end(oldest, 'its DTLS association made place for another');
    }
    this.#idle.update();
    this.#event('established', source, keys.agreement.session.cipherSuite);
    for (const datagram of this.#waiting.take(tuple)) this.#say(association, datagram);
  }

  #ended(handshake: ClientHandshake, end: ClientHandshakeEnd, words: string): void {
    const { remote } = handshake;
    const tuple = tupleOf(remote);
    this.#handshakes.delete(tuple);
    this.#waiting.take(tuple);
    if (end === 'closed') return;
    if (end === 'failed') this.counters.handshakesFailed++;
    else {
      this.counters.handshakeTimeouts++;
      this.#below.renew?.(remote);
      this.#event('limit', remote, 'handshakeTime');
    }
    this.#event('handshake-failed', remote, words);
    this.onUnreachable?.(remote, words);
  }

  /** Ends an association and tells the client. @param isSaid to the server, too */
  #end(association: Association, reason: string, isSaid = true): void {
    this.#close(association, isSaid);
    this.onGone?.(association.source, reason);
  }

  /** Ends an association now, and tells the client when it has done what it is about. */
  #endLater(association: Association, reason: string): void {
    this.#close(association);
    queueMicrotask(() => this.onGone?.(association.source, reason));
  }

  #close(association: Association, isSaid = true): void {
    if (isSaid) this.#write(association, ContentType.Alert, CLOSE_NOTIFY);
    this.#associations.remove(association);
    this.#unanswered.delete(association);
    association.keys.destroy();
    this.#idle.update();
  }

  #event(name: DtlsClientEvent, remote: DatagramAddress | undefined, detail: string): void {
    try {
      this.#options.onEvent?.(name, remote, detail);
    } catch {
      this.counters.internalErrors++;
    }
  }
}
