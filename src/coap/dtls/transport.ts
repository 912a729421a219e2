/** DTLS 1.2 with pre-shared keys, raw public keys and certificates between a datagram transport and the CoAP endpoint (RFC 6347, RFC 7252 9.1.3). */
import { type Clock, SYSTEM_CLOCK, TimerWheel } from '../timers.js';
import type { DatagramAddress, DatagramTransport } from '../transport.js';
import { endingAlert, endOfAssociation } from './alert.js';
import { Association, type DtlsSession, type Keys, type LastFlight } from './association.js';
import { Associations, tupleOf } from './associations.js';
import { COOKIE_PERIOD } from './cookie.js';
import { DtlsCounters } from './counters.js';
import { type DtlsCredentials, materialOf } from './credentials.js';
import { FlightWriter, writeRecord } from './flight.js';
import { readFragment } from './fragments.js';
import { Handshake } from './handshake.js';
import type { HandshakeEnd, HandshakeHost, HandshakeMaterial } from './handshake-host.js';
import { HandshakeRate } from './handshake-rate.js';
import { Handshakes, hostOf } from './handshakes.js';
import { Admission, HelloGate, type VerifiedHello } from './hello-gate.js';
import { IdleTimer } from './idle.js';
import { DEFAULT_DTLS_LIMITS, type DtlsLimits, HANDSHAKE_RECORDS } from './limits.js';
import type { DtlsEvent, DtlsOptions } from './options.js';
import {
  Alert,
  AlertLevel,
  ContentType,
  HANDSHAKE_HEADER,
  HandshakeType,
  LARGEST_PLAINTEXT,
  SEQUENCE_NUMBERS,
} from './protocol.js';
import { LARGEST_RECORD, type OpenedRecord, RecordReader } from './record.js';

/** One alert's worth of records stays in reserve below the limit. */
const RESERVE = 1;

export class DtlsTransport implements DatagramTransport {
  /** The endpoint's. Its `source` has `key` and `session`, a `DtlsSession`. */
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  /** The endpoint's: an association has ended, or is at another address. */
  onGone: ((remote: DatagramAddress, reason: string) => void) | undefined;
  onMoved: ((remote: DatagramAddress) => void) | undefined;
  readonly counters = new DtlsCounters();
  readonly #below: DatagramTransport;
  readonly #limits: { -readonly [Name in keyof DtlsLimits]: number };
  readonly #clock: Clock;
  readonly #onEvent: DtlsOptions['onEvent'];
  readonly #isBanned: NonNullable<DtlsOptions['isBanned']>;
  readonly #wheel: TimerWheel;
  readonly #gate: HelloGate;
  #host: HandshakeHost;
  readonly #associations = new Associations();
  readonly #handshakes = new Handshakes();
  readonly #rate: HandshakeRate;
  readonly #idle: IdleTimer;
  readonly #record = new RecordReader();
  readonly #scratch = Buffer.allocUnsafeSlow(LARGEST_RECORD);
  #id = 0;
  #closing: Promise<void> | undefined;

  /**
   * Takes over the datagrams of `below` from now on. Throws a RangeError for an identity hint that is too long, a TypeError
   * for certificates and keys that cannot serve, and without `psk` and `certificate`.
   */
  constructor(below: DatagramTransport, options: DtlsOptions) {
    this.#below = below;
    const limits = limitsFrom(options.limits);
    this.#limits = limits;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#onEvent = options.onEvent;
    this.#isBanned = options.isBanned ?? (() => false);
    this.#wheel = new TimerWheel(this.#clock);
    const transmit = (bytes: Buffer, length: number, to: DatagramAddress): void => below.send(bytes, 0, length, to);
    this.#gate = new HelloGate(this.#clock, this.counters, transmit);
    this.#rate = new HandshakeRate(limits, this.counters, this.#clock);
    this.#idle = new IdleTimer(this.#associations, limits.idleTime, this.#clock, this.#wheel, (association) => {
      this.counters.associationsExpired++;
      this.#event('limit', association.source, 'idleTime');
      this.#end(association, Alert.CloseNotify, 'its DTLS association was idle for too long');
    });
    this.#host = {
      limits: this.#limits,
      counters: this.counters,
      wheel: this.#wheel,
      ...this.#material(options),
      now: () => this.#clock.now(),
      transmit,
      isWelcome: options.isWelcome ?? (() => true),
      finished: (handshake, keys, lastFlight) => this.#finished(handshake, keys, lastFlight),
      ended: (handshake, end, detail) => this.#ended(handshake, end, detail),
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

  #material(credentials: DtlsCredentials): HandshakeMaterial {
    const onLimit = (): void => this.#event('limit', undefined, 'identityBytes');
    return materialOf(credentials, this.counters, this.#limits.identityBytes, onLimit);
  }

  /**
   * Puts other keys and certificates in the place of those there are, for handshakes that begin from now on. Associations stay:
   * `endAssociations` ends them. Throws as the constructor does, and changes nothing then.
   */
  replace(credentials: DtlsCredentials): void {
    this.#host = { ...this.#host, ...this.#material(credentials) };
  }

  /** Puts other limits in the place of those there are. Associations that are too many stay; handshakes end as they began. */
  replaceLimits(limits: Partial<DtlsLimits>): void {
    const before = this.#limits.idleTime;
    Object.assign(this.#limits, limitsFrom(limits));
    if (this.#limits.idleTime !== before) this.#idle.replace(this.#limits.idleTime);
  }

  /** How full the tables are. */
  get tables(): { readonly associations: number; readonly handshakes: number; readonly timers: number } {
    return {
      associations: this.#associations.size,
      handshakes: this.#handshakes.size,
      timers: this.#wheel.size,
    };
  }

  /** Sends to the association that `remote.key` names, wherever it is now. */
  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    const association = remote.key === undefined ? undefined : this.#associations.byKey(remote.key);
    if (association === undefined || length > LARGEST_PLAINTEXT) {
      this.counters.droppedSends++;
      return;
    }
    if (association.keys.written >= this.#limits.records - RESERVE) {
      this.counters.associationsExhausted++;
      this.#event('limit', association.source, 'records');
      const { source } = association;
      this.#close(association, Alert.CloseNotify);
      // Later: the endpoint is just sending.
      queueMicrotask(() => this.onGone?.(source, 'its DTLS association has sent all its records'));
      return;
    }
    this.counters.recordsSent++;
    this.#write(association, ContentType.ApplicationData, bytes.subarray(offset, offset + length));
  }

  /** Ends the associations that `which` names, as when a key is withdrawn; handshakes when they are done. Returns how many it ends now. */
  endAssociations(which: (session: DtlsSession) => boolean): number {
    for (const { withdrawn } of this.#handshakes.all()) withdrawn.push(which);
    const found = [...this.#associations.all()].filter(({ keys }) => which(keys.agreement.session));
    for (const association of found) this.#end(association, Alert.CloseNotify, 'its DTLS association was ended');
    return found.length;
  }

  /** Says close_notify to every association, forgets all keys, and closes the transport below. */
  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    this.onDatagram = undefined;
    this.onGone = undefined;
    this.onMoved = undefined;
    this.#below.onDatagram = undefined;
    for (const handshake of [...this.#handshakes.all()]) handshake.end('closed', '');
    for (const association of [...this.#associations.all()]) this.#close(association, Alert.CloseNotify);
    this.#wheel.close();
    this.#closing = this.#below.close();
    return this.#closing;
  }

  #receive(datagram: Buffer, source: DatagramAddress): void {
    const { counters } = this;
    counters.datagramsReceived++;
    if (source.port === 0) {
      counters.droppedSourcePort++;
      return;
    }
    const record = this.#record;
    record.begin(datagram);
    const tuple = tupleOf(source);
    this.#gate.begin();
    let found = false;
    while (this.#closing === undefined && record.next()) {
      found = true;
      if (record.epoch === 1) {
        // Nobody honest has more in a datagram with a forgery; and each one costs a decryption.
        if (!this.#receiveProtected(source, tuple)) break;
      } else if (record.epoch === 0) this.#receivePlain(source, tuple);
      else counters.droppedRecords++;
    }
    if (!found) counters.droppedRecords++;
  }

  #receivePlain(source: DatagramAddress, tuple: string): void {
    const handshake = this.#handshakes.get(tuple);
    const admission = this.#gate.admit(this.#record, source, handshake?.clientRandom);
    if (typeof admission === 'object') this.#begin(source, tuple, admission);
    else if (admission === Admission.Taken) return;
    else if (handshake !== undefined) handshake.receivePlain(this.#record);
    else this.counters.droppedRecords++;
  }

  /** From here on there is state. */
  #begin(source: DatagramAddress, tuple: string, { random, messageSequence }: VerifiedHello): void {
    const record = this.#record;
    const { counters } = this;
    const there = this.#associations.byTuple(tuple);
    // A copy of the ClientHello of an association that stands, as long as its cookie is good; after that it is a client that
    // has begun anew, with a bad source of randomness. Or numbers that a handshake would use up.
    const isCopy = there?.clientRandom.equals(random) === true && this.#clock.now() - there.since < 2 * COOKIE_PERIOD;
    if (isCopy || record.sequence > SEQUENCE_NUMBERS - HANDSHAKE_RECORDS || messageSequence > 0xff00) {
      counters.droppedRecords++;
      return;
    }
    if (this.#isBanned(source)) {
      // One alert for each ClientHello, which is longer; without it the client would repeat them for a minute.
      counters.handshakesBanned++;
      const writer = new FlightWriter(this.#limits.handshakeDatagram, record.sequence, (bytes, length) =>
        this.#below.send(bytes, 0, length, source),
      );
      writer.alert(AlertLevel.Fatal, Alert.AccessDenied);
      return;
    }
    const exceeded = this.#rate.take(hostOf(source.address));
    if (exceeded !== undefined) {
      this.#event('limit', source, exceeded);
      return;
    }
    this.#handshakes.get(tuple)?.end('abandoned', 'a new ClientHello');
    if (this.#handshakes.size >= this.#limits.handshakes) {
      const evicted = this.#handshakes.mostDispensable;
      this.#event('limit', evicted?.source, 'handshakes');
      evicted?.end('evicted', 'handshakes');
    }
    counters.handshakesStarted++;
    const handshake = new Handshake(this.#host, source, random, record.sequence, messageSequence);
    this.#handshakes.add(handshake);
    handshake.receivePlain(record);
  }

  /** False if the record is not authentic. */
  #receiveProtected(source: DatagramAddress, tuple: string): boolean {
    const record = this.#record;
    const isCid = record.type === ContentType.Cid;
    const association = isCid ? this.#associations.byCid(record.cid()) : this.#associations.byTuple(tuple);
    // While a new handshake goes on at this address, the association still lives (RFC 6347 4.2.8): it is asked first.
    if (association !== undefined && this.#open(association, source)) return true;
    const handshake = this.#handshakes.get(tuple);
    if (handshake !== undefined && (!isCid || handshake.cid === record.cid())) handshake.receiveProtected(record);
    else if (association === undefined) this.counters.droppedRecords++;
    else return false;
    return true;
  }

  /** True if the record is the association's, be it authentic or a repetition. */
  #open(association: Association, source: DatagramAddress): boolean {
    const record = this.#record;
    const { keys } = association;
    if (!keys.expects(record, ContentType.Cid)) return false;
    const mayBeNew = keys.window.isNew(record.sequence);
    // A handshake at this address numbers its records from 0 too, so a repetition is only known by its tag.
    if (!mayBeNew && this.#handshakes.get(tupleOf(source)) === undefined) {
      this.counters.replayedRecords++;
      return true;
    }
    const opened = keys.open(record);
    if (opened === undefined) {
      this.counters.badRecords++;
      return false;
    }
    if (!mayBeNew) {
      this.counters.replayedRecords++;
      return true;
    }
    const isNewest = keys.window.accept(record.sequence);
    this.#associations.touch(association, this.#clock.now());
    const { address, port } = association.source;
    if (isNewest && (address !== source.address || port !== source.port)) {
      // Only a Connection ID leads here (RFC 9146 6).
      this.counters.addressChanges++;
      this.#associations.move(association, source);
      this.onMoved?.(association.source);
    }
    this.#deliver(association, opened);
    return true;
  }

  #deliver(association: Association, { type, content }: OpenedRecord): void {
    if (type === ContentType.ApplicationData) {
      this.counters.recordsReceived++;
      // The client has our Finished, or it would send nothing.
      association.lastFlight = undefined;
      this.onDatagram?.(content, association.source);
    } else if (type === ContentType.Alert) this.#receiveAlert(association, content);
    else if (type === ContentType.Handshake) this.#receiveHandshake(association, content);
  }

  #receiveAlert(association: Association, content: Buffer): void {
    const ending = endingAlert(content);
    if (ending === undefined) return;
    this.counters.associationsClosed++;
    this.#end(association, ending.isClosing ? Alert.CloseNotify : undefined, endOfAssociation(ending));
  }

  /** Finished once more, since our answer was lost; or the wish to renegotiate, which is refused (RFC 5246 7.2.2). */
  #receiveHandshake(association: Association, content: Buffer): void {
    const fragment = readFragment(content, 0);
    const { lastFlight } = association;
    if (fragment?.type === HandshakeType.Finished) {
      if (fragment.messageSequence === lastFlight?.clientMessageSequence) lastFlight.repeat();
    } else if (fragment?.type === HandshakeType.ClientHello && content.length > HANDSHAKE_HEADER) {
      this.counters.renegotiationsRefused++;
      if (association.keys.written >= this.#limits.records - RESERVE) return;
      const alert = Buffer.from([AlertLevel.Warning, Alert.NoRenegotiation]);
      this.#write(association, ContentType.Alert, alert);
    }
  }

  #write(association: Association, type: number, content: Buffer): void {
    const end = writeRecord(this.#scratch, 0, association.keys, type, content);
    if (end > 0) this.#below.send(this.#scratch, 0, end, association.source);
  }

  #finished(handshake: Handshake, keys: Keys, lastFlight: LastFlight): void {
    const { source, clientRandom } = handshake;
    const { session } = keys.agreement;
    const associations = this.#associations;
    const tuple = tupleOf(source);
    this.#handshakes.remove(handshake);
    const before = associations.byTuple(tuple);
    // RFC 6347 4.2.8; but a device that sleeps with a Connection ID has lost its address to another, not its association.
    const isOther =
      before?.keys.agreement.ownCid !== undefined && before.keys.agreement.session.identity !== session.identity;
    if (before !== undefined && !isOther) {
      this.counters.associationsReplaced++;
      this.#end(before, undefined, 'a new DTLS association at its address took its place');
    }
    this.counters.handshakesCompleted++;
    this.#id++;
    const { address, port, family } = source;
    const at: DatagramAddress = { address, port, family, key: `dtls ${this.#id}`, session };
    const association = new Association(keys, at, clientRandom, this.#clock.now());
    association.lastFlight = lastFlight;
    associations.add(association);
    const { leastWanted } = associations;
    if (associations.size > this.#limits.associations && leastWanted !== undefined) {
      this.counters.associationEvictions++;
      this.#event('limit', leastWanted.source, 'associations');
      this.#end(leastWanted, Alert.CloseNotify, 'its DTLS association made place for another');
      if (leastWanted === association) return;
    }
    this.#idle.update();
    this.#event('established', at, session.identity ?? '');
  }

  #ended(handshake: Handshake, end: HandshakeEnd, detail: string): void {
    this.#handshakes.remove(handshake);
    const { counters } = this;
    if (end === 'timeout') {
      counters.handshakeTimeouts++;
      this.#event('limit', handshake.source, detail);
    } else if (end === 'evicted') counters.handshakeEvictions++;
    else if (end === 'abandoned') counters.handshakesAbandoned++;
    else if (end !== 'closed') {
      counters.handshakesFailed++;
      if (end === 'unauthentic') counters.handshakesUnauthentic++;
      const identity = end === 'unauthentic' ? handshake.identity : undefined;
      this.#event('handshake-failed', handshake.source, detail, identity);
    }
  }

  /** Ends an association, with an alert if there is one to say, and tells the endpoint. */
  #end(association: Association, alert: number | undefined, reason: string): void {
    this.#close(association, alert);
    this.onGone?.(association.source, reason);
  }

  #close(association: Association, alert: number | undefined): void {
    if (alert !== undefined) {
      const level = alert === Alert.CloseNotify ? AlertLevel.Warning : AlertLevel.Fatal;
      this.#write(association, ContentType.Alert, Buffer.from([level, alert]));
    }
    this.#associations.remove(association);
    association.keys.destroy();
    this.#idle.update();
  }

  #event(name: DtlsEvent, remote: DatagramAddress | undefined, detail: string, identity?: string): void {
    try {
      this.#onEvent?.(name, remote, detail, identity);
    } catch {
      this.counters.internalErrors++;
    }
  }
}

function limitsFrom(given: Partial<DtlsLimits> | undefined): DtlsLimits {
  const limits = { ...DEFAULT_DTLS_LIMITS, ...given };
  return { ...limits, records: Math.min(limits.records, SEQUENCE_NUMBERS - 2) };
}
