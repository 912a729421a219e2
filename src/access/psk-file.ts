/**
 * Files of pre-shared keys as Mosquitto reads them (`psk_file`): one `identity:key` a line, the key in hexadecimal digits.
 * Blank lines and lines that begin with `#` are comments.
 */
import { readUserFile, type UserFileFormat } from './security-file.js';

/** Bytes of the longest key; RFC 4279 5.3 asks for 64 at least. */
const MOST_KEY = 256;

const FORMAT: UserFileFormat<Buffer> = { kind: 'PSK file', line: 'identity:key', parse: parsePskKey };

/**
 * Reads a file of pre-shared keys; keys by identity.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export function readPskFile(file: string): Promise<ReadonlyMap<string, Buffer>> {
  return readUserFile(file, FORMAT);
}

/** The key, or what is wrong with it. */
export function parsePskKey(text: string): Buffer | string {
  if (text === '') return 'the key is missing';
  if (!/^[0-9a-fA-F]+$/.test(text)) return 'the key is not in hexadecimal digits';
  if (text.length % 2 === 1) return 'the key has an odd number of hexadecimal digits';
  if (text.length > 2 * MOST_KEY) return `the key has more than ${MOST_KEY} bytes`;
  return Buffer.from(text, 'hex');
}
