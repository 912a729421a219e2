/** Files of the keys with which the broker makes itself known to devices. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type DeviceKeys, readDevicePskFile } from '../../src/access/device-psk-file.js';
import { type CoapUri, parseCoapUri } from '../../src/coap/client/uri.js';
import { configSchema } from '../../src/config/schema.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { CoapSecurity } from '../../src/server/coap-security.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();
const file = join(folder, 'device-psk');

async function read(text: string): Promise<DeviceKeys> {
  writeFileSync(file, text);
  return readDevicePskFile(file);
}

test('devices by host and port, however they are written; an identity may hold colons and spaces', async () => {
  const lines = [
    '# devices',
    '',
    'coaps://192.0.2.1 portico:00aAFF',
    'coaps://Boiler.Example:1234/ urn:our broker:01',
    'coaps://[2001:DB8:0::1]:5684   portico:02',
  ];
  assert.deepEqual(
    [...(await read(lines.join('\r\n')))],
    [
      ['192.0.2.1:5684', { identity: 'portico', key: Buffer.from([0, 0xaa, 0xff]) }],
      ['boiler.example:1234', { identity: 'urn:our broker', key: Buffer.from([1]) }],
      ['[2001:db8::1]:5684', { identity: 'portico', key: Buffer.from([2]) }],
    ],
  );
});

test('every fault is reported with its line, and never with what stood there', async () => {
  const text = [
    'coaps://a me:00',
    'coaps://b',
    'coaps://b me',
    'coaps://b :00',
    'coaps://b me:',
    'coaps://b me:secret',
    `coaps://b ${'i'.repeat(129)}:00`,
    'coap://b me:00',
    'coaps://b/path me:00',
    'b me:00',
    'coaps://a:5684 you:11',
  ];
  const outcome = await read(text.join('\n')).catch((error: unknown) => error);
  assert.ok(outcome instanceof PorticoError, 'the file was accepted');
  assert.equal(outcome.kind, ErrorKinds.SecurityFile);
  assert.deepEqual(outcome.message.split('\n'), [
    `${file}:2: the line is not coaps://host:port identity:key`,
    `${file}:3: the line is not coaps://host:port identity:key`,
    `${file}:4: the line is not coaps://host:port identity:key`,
    `${file}:5: the key is missing`,
    `${file}:6: the key is not in hexadecimal digits`,
    `${file}:7: the identity has more than 128 bytes`,
    `${file}:8: the device is not written as coaps://host:port`,
    `${file}:9: the device is not written as coaps://host:port`,
    `${file}:10: the device is not written as coaps://host:port`,
    `${file}:11: device a:5684 is already on line 1`,
  ]);
});

test('whoever has the keys sees those that were read again', async () => {
  const load = (text: string): Promise<CoapSecurity> => {
    writeFileSync(file, text);
    return CoapSecurity.load(configSchema.parse({ coap: { device_psk_file: file } }));
  };
  const running = await load('coaps://192.0.2.1 me:00\ncoaps://192.0.2.2 me:00\n');
  const { devices } = running;
  const lacks = (uri: string): boolean => devices.lack(parseCoapUri(uri) as CoapUri) !== null;
  assert.deepEqual(['coaps://192.0.2.1', 'coaps://192.0.2.3'].map(lacks), [false, true]);
  devices.replace((await load('coaps://192.0.2.3 other:01\n')).devices);
  assert.deepEqual(['coaps://192.0.2.1', 'coaps://192.0.2.3'].map(lacks), [true, false]);
});
