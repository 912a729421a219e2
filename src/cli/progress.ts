/** How far a command has come: one line on a terminal that is written anew, and nothing elsewhere. */

/** Milliseconds between two lines. */
const INTERVAL = 200;
/** Goes to the start of the line and clears it. */
const CLEAR = '\r\u001b[K';

export class Progress {
  readonly #terminal = process.stderr.isTTY === true;
  readonly #verb: string;
  #shown = 0;

  /** @param verb what is being done: `saved` */
  constructor(verb: string) {
    this.#verb = verb;
  }

  /** Call as often as there is something new. */
  update(records: number, bytes: number): void {
    if (!this.#terminal) return;
    const now = Date.now();
    if (now - this.#shown < INTERVAL) return;
    this.#shown = now;
    process.stderr.write(`${CLEAR}${this.#verb} ${amount(records, bytes)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown > 0) process.stderr.write(CLEAR);
    this.#shown = 0;
  }
}

/** `1,234 records, 5.6 MiB`. */
export function amount(records: number, bytes: number): string {
  return `${records.toLocaleString('en-US')} ${records === 1 ? 'record' : 'records'}, ${size(bytes)}`;
}

/** Bytes as people say them. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}
