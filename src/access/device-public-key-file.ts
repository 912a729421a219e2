/**
 * Files of the raw public keys (RFC 7250) by which the broker knows CoAP devices that it asks: one `coaps://host:port key` a line,
 * the key as its SubjectPublicKeyInfo, of the curve P-256, in base64. Blank lines and lines that begin with `#` are comments.
 */
import { deviceOf } from './device-psk-file.js';
import { parsePublicKey } from './public-key-file.js';
import { readUserFile } from './security-file.js';

/**
 * Reads such a file: the SubjectPublicKeyInfo of each device, by `host:port`.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export function readDevicePublicKeyFile(file: string): Promise<ReadonlyMap<string, Buffer>> {
  return readUserFile<Buffer>(file, {
    kind: 'file of public keys of devices',
    line: 'coaps://host:port key',
    separator: ' ',
    who: 'device',
    badName: 'the device is not written as coaps://host:port',
    prepare: deviceOf,
    parse: (text) => parsePublicKey(text.trim()),
  });
}
