/**
 * The lines of one trace on their way to whoever reads them. Who does not keep up loses lines and is told how many; nothing
 * waits for it.
 */
import { isUtf8 } from 'node:buffer';
import type { Writable } from 'node:stream';
import type { Subject } from './subject.js';

/** Lines of one turn of the event loop: what they take must be in nobody's way. */
const MOST_LINES = 250;
/** Bytes that wait for the reader. */
const MOST_WAITING = 1024 * 1024;
/** Characters of a text in a line. */
const MOST_CHARACTERS = 1024;

/** What lines go to. */
export type Sink = Pick<Writable, 'write' | 'writableLength' | 'on'>;

export class Trace {
  readonly subject: Subject;
  /** Bytes of payloads that are shown; 0 for none. */
  readonly payloadBytes: number;
  readonly #sink: Sink;
  readonly #time: () => string;
  #text = '';
  #lines = 0;
  #lost = 0;
  #scheduled = false;
  #closed = false;

  /** @param time of each line, ISO 8601 */
  constructor(subject: Subject, payloadBytes: number, sink: Sink, time: () => string) {
    this.subject = subject;
    this.payloadBytes = payloadBytes;
    this.#sink = sink;
    this.#time = time;
    sink.on('drain', () => this.#schedule());
  }

  /** Whether one more line has room; if not, it counts as lost. Ask before a line is made. */
  hasRoom(): boolean {
    if (this.#lines < MOST_LINES && this.#isRead()) return true;
    this.#lost++;
    this.#schedule();
    return false;
  }

  /** The reader keeps up, or nearly so. */
  #isRead(): boolean {
    return this.#text.length + this.#sink.writableLength < MOST_WAITING;
  }

  /** The reader has gone. */
  close(): void {
    this.#closed = true;
  }

  /** Adds a line that has room. */
  add(line: object, payload?: Buffer): void {
    this.#tellLost();
    const shown = payload === undefined || this.payloadBytes === 0 ? null : payloadOf(payload, this.payloadBytes);
    this.#text += `${JSON.stringify({ time: this.#time(), ...line, ...shown }, cut)}\n`;
    this.#lines++;
    this.#schedule();
  }

  #tellLost(): void {
    if (this.#lost === 0) return;
    this.#text += `${JSON.stringify({ time: this.#time(), event: 'lost', lines: this.#lost })}\n`;
    this.#lost = 0;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    // The rest is told when the reader has taken what waits.
    if (this.#isRead()) this.#tellLost();
    this.#lines = 0;
    if (this.#text === '' || this.#closed) return;
    const text = this.#text;
    this.#text = '';
    this.#sink.write(text);
  }
}

/** Long texts are cut, whatever they are; payloads have been. */
function cut(name: string, value: unknown): unknown {
  if (typeof value !== 'string' || value.length <= MOST_CHARACTERS || name.startsWith('payload')) return value;
  return `${value.slice(0, MOST_CHARACTERS)}…`;
}

/** A payload as text if it is UTF-8, otherwise in hexadecimal. */
function payloadOf(payload: Buffer, most: number): object {
  let shown = payload.subarray(0, most);
  const isCut = payload.length > most;
  // The cut may have gone through a character.
  for (let less = 0; isCut && less < 4 && !isUtf8(shown); less++) shown = shown.subarray(0, -1);
  const more = isCut ? { payload_cut: true } : null;
  if (isUtf8(shown)) return { payload: shown.toString(), ...more };
  return { payload_hex: payload.toString('hex', 0, most), ...more };
}
