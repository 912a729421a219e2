/** A security association: the keys of both directions, its identity, and where it is now. */
import type { DatagramAddress } from '../transport.js';
import type { Protection } from './cipher.js';
import { SEQUENCE_NUMBERS } from './protocol.js';
import type { OpenedRecord, RecordReader } from './record.js';
import { ReplayWindow } from './replay.js';

/** What the CoAP side knows about a remote behind DTLS: the `session` of its address. */
export interface DtlsSession {
  /** The PSK identity, the common name of the client's certificate or the name of its raw public key, authentic; undefined if it has shown none. */
  readonly identity: string | undefined;
  /** What shows the identity; 'none': the client has verified the server, but nobody the client. */
  readonly proof: 'psk' | 'certificate' | 'public-key' | 'none';
  readonly cipherSuite: string;
  /** The Connection ID on records from the client, in hexadecimal; absent if they bear none. */
  readonly connectionId?: string;
}

/** Keys and Connection IDs as a handshake has agreed on them. */
export interface Agreement {
  readonly session: DtlsSession;
  readonly read: Protection;
  readonly write: Protection;
  /** The Connection ID on records from the peer, as it keys the table; undefined if they bear none. */
  readonly ownCid: string | undefined;
  /** The Connection ID on records to the peer; may have no bytes. */
  readonly peerCid: Buffer;
}

/** Reads and writes records of epoch 1; there is no other with keys, since nothing is renegotiated. */
export class Keys {
  readonly agreement: Agreement;
  readonly window = new ReplayWindow();
  /** Of the next record to be written; never used twice. */
  #sequence = 0;

  constructor(agreement: Agreement) {
    this.agreement = agreement;
  }

  /** Whether the record has the form agreed on, with or without a Connection ID (RFC 9146 3). */
  expects(record: RecordReader, cidType: number): boolean {
    return record.epoch === 1 && (record.type === cidType) === (this.agreement.ownCid !== undefined);
  }

  /** Opens a record; undefined if it is not authentic. The caller has asked the window and tells it. */
  open(record: RecordReader): OpenedRecord | undefined {
    return record.open(this.agreement.read);
  }

  /** Records written so far. */
  get written(): number {
    return this.#sequence;
  }

  /** The next sequence number; -1 if there is none left. */
  nextSequence(): number {
    return this.#sequence < SEQUENCE_NUMBERS ? this.#sequence++ : -1;
  }

  destroy(): void {
    this.agreement.read.destroy();
    this.agreement.write.destroy();
  }
}

/** A handshake's last flight, which is sent again when the client's last one comes again. */
export interface LastFlight {
  readonly clientMessageSequence: number;
  repeat(): void;
}

export class Association {
  readonly keys: Keys;
  /** What the endpoint sees: a new object after each change of address. */
  source: DatagramAddress;
  /** From the ClientHello: a copy of it starts nothing new. */
  readonly clientRandom: Buffer;
  lastFlight: LastFlight | undefined;
  /** When its handshake finished. */
  readonly since: number;
  lastUse: number;
  /** Neighbours in the order of last use; kept by `Associations`. */
  older: Association | undefined;
  newer: Association | undefined;

  constructor(keys: Keys, source: DatagramAddress, clientRandom: Buffer, now: number) {
    this.keys = keys;
    this.source = source;
    this.clientRandom = clientRandom;
    this.since = now;
    this.lastUse = now;
  }
}
