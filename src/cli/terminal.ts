/** What commands print that may be long, or never end, and that clients have written a part of. */
import { once } from 'node:events';

/** What would move the cursor, change colours or turn the direction of writing: no client may do that to an admin's terminal. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** A text with what is not to be printed in its place: `\u001b`. The JSON of one line means the same as before. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The name of a field for people. */
export function words(name: string): string {
  return printable(name.replaceAll('_', ' '));
}

/** The fields of a JSON value, for people. */
export function fields(values: object): string {
  return Object.entries(values)
    .map(([name, value]) => (Array.isArray(values) ? text(value) : `${words(name)} ${text(value)}`))
    .join(', ');
}

/** A JSON value, for people. */
export function text(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'object' && value !== null) return `(${fields(value)})`;
  return printable(String(value));
}

/** Standard output: never more in memory than it takes. */
export class StandardLines {
  constructor() {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      // `portico clients | head`: nobody reads on.
      if (error.code === 'EPIPE') process.exit();
      throw error;
    });
  }

  async print(line: string): Promise<void> {
    if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
  }
}

/** Rows that say how wide the columns are. */
const MEASURED = 1000;
/** Characters of a column on a terminal. */
const WIDEST = 48;

/** A table whose columns stand below one another, as wide as its first rows need. */
export class Table {
  readonly #print: (line: string) => Promise<void>;
  #waiting: (readonly string[])[];
  #widths: number[] | null = null;

  constructor(head: readonly string[], print: (line: string) => Promise<void>) {
    this.#print = print;
    this.#waiting = [head];
  }

  async add(cells: readonly string[]): Promise<void> {
    const row = cells.map((cell) => short(printable(cell)));
    if (this.#widths !== null) await this.#line(row, this.#widths);
    else if (this.#waiting.push(row) > MEASURED) await this.end();
  }

  /** Prints what has waited for its neighbours. */
  async end(): Promise<void> {
    if (this.#widths !== null) return;
    const rows = this.#waiting;
    this.#waiting = [];
    const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
    this.#widths = widths;
    for (const row of rows) await this.#line(row, widths);
  }

  #line(row: readonly string[], widths: readonly number[]): Promise<void> {
    return this.#print(
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    );
  }
}

function short(text: string): string {
  if (text.length <= WIDEST) return text;
  const cut = text.slice(0, WIDEST - 1);
  // Not through the middle of a character.
  return `${cut.isWellFormed() ? cut : cut.slice(0, -1)}…`;
}
