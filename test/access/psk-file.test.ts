/** Files of pre-shared keys. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPskFile } from '../../src/access/psk-file.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();
const file = join(folder, 'psk');

async function read(text: string): Promise<ReadonlyMap<string, Buffer>> {
  writeFileSync(file, text);
  return readPskFile(file);
}

test('identities and keys as Mosquitto has them; comments, blank lines and Windows line ends are read', async () => {
  for (const end of ['\n', '\r\n']) {
    const keys = await read(['# devices', '', 'sensor 1:00aAFF', 'other:01', ''].join(end));
    assert.deepEqual(
      [...keys],
      [
        ['sensor 1', Buffer.from([0, 0xaa, 0xff])],
        ['other', Buffer.from([1])],
      ],
    );
  }
});

test('every fault is reported with its line, and never with what stood there', async () => {
  const text = [
    'good:00',
    'no colon',
    ':00',
    'empty:',
    'words:secret',
    'odd:123',
    'good:11',
    `long:${'00'.repeat(257)}`,
  ];
  const outcome = await read(text.join('\n')).catch((error: unknown) => error);
  assert.ok(outcome instanceof PorticoError, 'the file was accepted');
  assert.equal(outcome.kind, ErrorKinds.SecurityFile);
  assert.deepEqual(outcome.message.split('\n'), [
    `${file}:2: the line is not identity:key`,
    `${file}:3: the line is not identity:key`,
    `${file}:4: the key is missing`,
    `${file}:5: the key is not in hexadecimal digits`,
    `${file}:6: the key has an odd number of hexadecimal digits`,
    `${file}:7: user good is already on line 1`,
    `${file}:8: the key has more than 256 bytes`,
  ]);
});

test('a file that is not there stops with a sentence', async () => {
  const missing = join(folder, 'missing');
  await assert.rejects(readPskFile(missing), {
    kind: ErrorKinds.SecurityFile,
    message: `${missing}: the PSK file cannot be read: there is none of that name`,
  });
});
