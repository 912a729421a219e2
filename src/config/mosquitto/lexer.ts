/**
 * The lines of a mosquitto.conf, as Mosquitto reads them: a name, and what stands behind it. There is no quoting: a value is
 * a word or the rest of the line, and only a space separates.
 */

/** A line that is neither empty nor a comment. */
export interface ConfLine {
  /** From 1. */
  readonly number: number;
  readonly name: string;
  /** What stands behind the name and one space, as written. */
  readonly rest: string;
}

/** Lines that end with LF or CR LF. `#` begins a comment only as the first character of a line. */
export function* linesOf(text: string): Generator<ConfLine> {
  let number = 0;
  for (const raw of text.split('\n')) {
    number++;
    if (raw.startsWith('#') || raw.startsWith('\r')) continue;
    const line = withoutEnd(raw);
    const begin = firstOther(line, 0);
    if (begin === line.length) continue;
    const end = line.indexOf(' ', begin);
    if (end === -1) yield { number, name: line.slice(begin), rest: '' };
    else yield { number, name: line.slice(begin, end), rest: line.slice(end + 1) };
  }
}

/** A line up to a NUL, where a text ends for Mosquitto, without the CRs at its end. */
function withoutEnd(raw: string): string {
  const nul = raw.indexOf('\0');
  let end = nul === -1 ? raw.length : nul;
  while (end > 0 && raw.charCodeAt(end - 1) === 13) end--;
  return raw.slice(0, end);
}

/** Where the first character that is no space is, or the length. */
function firstOther(text: string, from: number): number {
  let at = from;
  while (at < text.length && text.charCodeAt(at) === 32) at++;
  return at;
}

/** The words of what stands behind a name. */
export function wordsOf(rest: string): string[] {
  return rest.split(' ').filter((word) => word !== '');
}

/** The rest of a line as a value: it may hold spaces, but neither begins nor ends with white space. */
export function textOf(rest: string): string {
  let begin = 0;
  let end = rest.length;
  while (begin < end && isBlank(rest.charCodeAt(begin))) begin++;
  while (end > begin && isBlank(rest.charCodeAt(end - 1))) end--;
  return rest.slice(begin, end);
}

/** Space, tab, LF, VT, FF and CR. */
function isBlank(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}
