/**
 * Reads a backup (`backup.ts`, `docs/backup.md`) from chunks of any length, and checks all of it. What it has handed on
 * counts only when `end` has returned.
 */
import { createHash } from 'node:crypto';
import { ErrorKinds, PorticoError } from '../errors.js';
import {
  type BackupHeader,
  COUNT_BYTES,
  DIGEST_BYTES,
  FORMAT_VERSION,
  MAGIC,
  MAX_HEADER_BYTES,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  PREAMBLE_BYTES,
  RECORD_HEAD_BYTES,
} from './backup.js';
import { versionKey } from './keys.js';

const NO_BYTES: Buffer = Buffer.alloc(0);

/** What comes next. */
type Part = 'preamble' | 'header' | 'record head' | 'record' | 'end' | 'nothing';

/** What stands in a header, or null. */
function parseHeader(json: Buffer): BackupHeader | null {
  let value: unknown;
  try {
    value = JSON.parse(json.toString());
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { portico, store, writer, date } = value as Record<string, unknown>;
  if (typeof portico !== 'string' || typeof writer !== 'string' || typeof date !== 'string') return null;
  if (typeof store !== 'number' || !Number.isInteger(store) || store < 0 || store > 255) return null;
  return { portico, store, writer, date };
}

export class BackupReader {
  readonly #onHeader: (header: BackupHeader) => void;
  readonly #onRecord: (key: Buffer, value: Buffer) => void;
  readonly #hash = createHash('sha256');
  #part: Part = 'preamble';
  #needed = PREAMBLE_BYTES;
  /** What has come of a part that is not whole yet. */
  #pieces: Buffer[] = [];
  #held = 0;
  #keyLength = 0;
  #lastKey: Buffer = NO_BYTES;
  #header: BackupHeader | null = null;
  #versioned = false;
  /** Records that have been read. */
  records = 0;
  /** Bytes that have been read. */
  bytes = 0;

  /**
   * @param onHeader may refuse what follows by throwing
   * @param onRecord keys and values in the order of the keys; they stay as they are
   */
  constructor(
    onHeader: (header: BackupHeader) => void = () => {},
    onRecord: (key: Buffer, value: Buffer) => void = () => {},
  ) {
    this.#onHeader = onHeader;
    this.#onRecord = onRecord;
  }

  /** @throws PorticoError `PORTICO_BACKUP` as soon as the bytes cannot be those of a whole backup */
  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    let bytes = chunk;
    if (this.#held > 0) {
      this.#pieces.push(chunk);
      this.#held += chunk.length;
      if (this.#held < this.#needed) return;
      bytes = Buffer.concat(this.#pieces, this.#held);
    }
    let at = 0;
    while (bytes.length - at >= this.#needed) {
      const part = bytes.subarray(at, at + this.#needed);
      at += this.#needed;
      this.#take(part);
    }
    this.#held = bytes.length - at;
    this.#pieces = this.#held > 0 ? [bytes.subarray(at)] : [];
  }

  /**
   * There are no more bytes.
   * @returns the header
   * @throws PorticoError `PORTICO_BACKUP` if it is cut short
   */
  end(): BackupHeader {
    if (this.#part !== 'nothing' || this.#header === null) {
      throw wrong(this.bytes === 0 ? 'it is empty' : `it is cut short after ${this.records} records`);
    }
    return this.#header;
  }

  #take(part: Buffer): void {
    if (this.#part === 'nothing') throw wrong('something follows its end');
    // The digest stands for everything before itself.
    this.#hash.update(this.#part === 'end' ? part.subarray(0, COUNT_BYTES) : part);
    switch (this.#part) {
      case 'preamble':
        this.#takePreamble(part);
        break;
      case 'header':
        this.#takeHeader(part);
        break;
      case 'record head':
        this.#takeRecordHead(part);
        break;
      case 'record':
        this.#takeRecord(part);
        break;
      case 'end':
        this.#takeEnd(part);
        break;
    }
  }

  #expect(part: Part, needed: number): void {
    this.#part = part;
    this.#needed = needed;
  }

  #takePreamble(part: Buffer): void {
    if (!part.subarray(0, MAGIC.length).equals(MAGIC)) throw wrong('it is not a backup of Portico');
    const version = part.readUInt16BE(MAGIC.length);
    if (version !== FORMAT_VERSION) {
      throw wrong(`its format has version ${version}, and this portico knows ${FORMAT_VERSION}`);
    }
    const length = part.readUInt32BE(MAGIC.length + 2);
    if (length === 0 || length > MAX_HEADER_BYTES) throw wrong('its header is damaged');
    this.#expect('header', length);
  }

  #takeHeader(part: Buffer): void {
    this.#header = parseHeader(part);
    if (this.#header === null) throw wrong('its header is damaged');
    this.#onHeader(this.#header);
    this.#expect('record head', RECORD_HEAD_BYTES);
  }

  #takeRecordHead(part: Buffer): void {
    const keyLength = part.readUInt32BE(0);
    const valueLength = part.readUInt32BE(4);
    if (keyLength === 0 && valueLength === 0) {
      this.#expect('end', COUNT_BYTES + DIGEST_BYTES);
      return;
    }
    if (keyLength === 0 || keyLength > MAX_KEY_BYTES || valueLength > MAX_VALUE_BYTES) throw this.#damagedRecord();
    this.#keyLength = keyLength;
    this.#expect('record', keyLength + valueLength);
  }

  #takeRecord(part: Buffer): void {
    const key = part.subarray(0, this.#keyLength);
    const value = part.subarray(this.#keyLength);
    if (this.#lastKey.compare(key) >= 0) throw this.#damagedRecord();
    this.#lastKey = key;
    if (key.equals(versionKey())) {
      if (value[0] !== this.#header?.store) throw wrong('its header and its records disagree');
      this.#versioned = true;
    }
    this.records++;
    this.#onRecord(key, value);
    this.#expect('record head', RECORD_HEAD_BYTES);
  }

  #takeEnd(part: Buffer): void {
    if (part.readBigUInt64BE(0) !== BigInt(this.records))
      throw wrong('it is damaged: the number of records is another');
    if (!this.#hash.digest().equals(part.subarray(COUNT_BYTES))) throw wrong('it is damaged: its SHA-256 is another');
    if (this.records > 0 && !this.#versioned) throw wrong('its store says no version');
    this.#expect('nothing', 1);
  }

  #damagedRecord(): PorticoError {
    return wrong(`it is damaged behind ${this.records} records`);
  }
}

function wrong(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Backup, sentence);
}
