/**
 * Files of SCRAM credentials, one line a user as PostgreSQL writes them:
 * `name:SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, the last three in base64. Names and passwords are prepared
 * with SASLprep.
 */
import { saslprep } from './saslprep.js';
import { KEY_LENGTH, MIN_ITERATIONS, SCRAM_SHA_256, type ScramCredentials } from './scram.js';
import { decodeBase64, readUserFile, type UserFileFormat } from './security-file.js';

/** A device that has to compute more gives up. */
const MAX_ITERATIONS = 10_000_000;

const FORMAT: UserFileFormat<ScramCredentials> = {
  kind: 'SCRAM file',
  line: `name:${SCRAM_SHA_256}$iterations:salt$StoredKey:ServerKey`,
  parse: parseCredentials,
  prepare: saslprep,
};

/**
 * Reads a file of SCRAM credentials; users by their prepared names.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export function readScramFile(file: string): Promise<ReadonlyMap<string, ScramCredentials>> {
  return readUserFile(file, FORMAT);
}

/** The line of a user. */
export function scramLine(name: string, { iterations, salt, storedKey, serverKey }: ScramCredentials): string {
  const [s, stored, server] = [salt, storedKey, serverKey].map((bytes) => bytes.toString('base64'));
  return `${name}:${SCRAM_SHA_256}$${iterations}:${s}$${stored}:${server}`;
}

/** The credentials, or what is wrong with them. */
function parseCredentials(text: string): ScramCredentials | string {
  const [kind, parameters, keys, ...more] = text.split('$');
  if (kind !== SCRAM_SHA_256) return `the credentials are not ${SCRAM_SHA_256}; portico scram NAME makes such a line`;
  const [iterations, saltText, ...moreParameters] = parameters?.split(':') ?? [];
  const [storedText, serverText, ...moreKeys] = keys?.split(':') ?? [];
  if (saltText === undefined || serverText === undefined || more.length + moreParameters.length + moreKeys.length > 0) {
    return `the line is not ${FORMAT.line}`;
  }
  const count = Number(iterations);
  if (!/^[1-9]\d{0,9}$/.test(iterations) || count < MIN_ITERATIONS || count > MAX_ITERATIONS) {
    return `the number of iterations must be a whole number from ${MIN_ITERATIONS} to ${MAX_ITERATIONS}`;
  }
  const salt = decodeBase64(saltText);
  if (salt === null || salt.length === 0) return 'the salt is not base64';
  const storedKey = decodeBase64(storedText);
  if (storedKey?.length !== KEY_LENGTH) return `StoredKey is not ${KEY_LENGTH} bytes in base64`;
  const serverKey = decodeBase64(serverText);
  if (serverKey?.length !== KEY_LENGTH) return `ServerKey is not ${KEY_LENGTH} bytes in base64`;
  return { iterations: count, salt, storedKey, serverKey };
}
