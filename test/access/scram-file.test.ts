/** Files of SCRAM credentials. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scramCredentials } from '../../src/access/scram.js';
import { readScramFile, scramLine } from '../../src/access/scram-file.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

/** As PostgreSQL writes the password `pencil`, with the salt of RFC 7677 3. */
const PENCIL =
  'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$' +
  'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=';

const folder = temporaryFolder();
let count = 0;

function fileWith(text: string): string {
  const file = join(folder, `scram-${++count}`);
  writeFileSync(file, text);
  return file;
}

/** The lines of the refusal that reading must end in, with the name of the file taken away. */
async function faultsOf(file: string): Promise<string[]> {
  const outcome = await readScramFile(file).catch((error: unknown) => error);
  assert.ok(outcome instanceof PorticoError, 'the file was accepted');
  assert.equal(outcome.kind, ErrorKinds.SecurityFile);
  return outcome.message.split('\n').map((line) => line.replace(file, 'FILE'));
}

test('a line is what PostgreSQL keeps of the same password and salt', async () => {
  const credentials = await scramCredentials('pencil', 4096, Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'));
  assert.equal(scramLine('user', credentials), `user:${PENCIL}`);
});

test('what is written is read again; comments, blank lines and Windows line ends are read', async () => {
  const other = await scramCredentials('other', 10_000);
  for (const end of ['\n', '\r\n']) {
    const text = ['# users', '', `user:${PENCIL}`, '  ', scramLine('b b', other), ''].join(end);
    const users = await readScramFile(fileWith(text));
    assert.deepEqual([...users.keys()], ['user', 'b b']);
    assert.deepEqual(users.get('b b'), other);
  }
});

test('two passwords alike have different lines', async () => {
  assert.notDeepEqual(await scramCredentials('pencil'), await scramCredentials('pencil'));
});

test('names are kept in the form in which they are looked up', async () => {
  const users = await readScramFile(fileWith(`I\u00adX:${PENCIL}\n`));
  assert.deepEqual([...users.keys()], ['IX']);
});

test('every fault is reported with its line, and never with what stood there', async () => {
  const [kind, parameters, keys] = PENCIL.split('$');
  const [stored, server] = keys.split(':');
  const shape = 'the line is not name:SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey';
  const other = 'the credentials are not SCRAM-SHA-256; portico scram NAME makes such a line';
  const iterations = 'the number of iterations must be a whole number from 4096 to 10000000';
  const salt = parameters.slice(5);
  const cases: [line: string, fault: string][] = [
    ['alice', shape],
    [`:${PENCIL}`, shape],
    ['alice:hunter2', other],
    ['alice:', other],
    ['alice:SCRAM-SHA-1$4096:x$y:z', other],
    ['alice:$7$101$x$y', other],
    [`alice:${kind}`, shape],
    [`alice:${kind}$${parameters}`, shape],
    [`alice:${kind}$4096$${keys}`, shape],
    [`alice:${kind}$${parameters}$${stored}`, shape],
    [`alice:${PENCIL}$x`, shape],
    [`alice:${PENCIL}:x`, shape],
    [`alice:${kind}$${parameters}:x$${keys}`, shape],
    [`alice:${kind}$4095:${salt}$${keys}`, iterations],
    [`alice:${kind}$04096:${salt}$${keys}`, iterations],
    [`alice:${kind}$:${salt}$${keys}`, iterations],
    [`alice:${kind}$-1:${salt}$${keys}`, iterations],
    [`alice:${kind}$1e4:${salt}$${keys}`, iterations],
    [`alice:${kind}$10000001:${salt}$${keys}`, iterations],
    [`alice:${kind}$4096:$${keys}`, 'the salt is not base64'],
    [`alice:${kind}$4096:*$${keys}`, 'the salt is not base64'],
    [`alice:${kind}$${parameters}$AAAA:${server}`, 'StoredKey is not 32 bytes in base64'],
    [`alice:${kind}$${parameters}$!${stored}:${server}`, 'StoredKey is not 32 bytes in base64'],
    [`alice:${kind}$${parameters}$${stored}:`, 'ServerKey is not 32 bytes in base64'],
    [`a\u0007:${PENCIL}`, 'the name has a character that no user name may have'],
  ];
  for (const [line, fault] of cases) {
    assert.deepEqual(await faultsOf(fileWith(`# one\n${line}\n`)), [`FILE:2: ${fault}`], line);
  }
  assert.deepEqual(await faultsOf(fileWith(`x\nIX:${PENCIL}\ny:z\nI\u00adX:${PENCIL}\n`)), [
    `FILE:1: ${shape}`,
    `FILE:3: ${other}`,
    'FILE:4: user IX is already on line 2',
  ]);
});

test('a file that cannot be read is named', async () => {
  const missing = join(folder, 'missing');
  assert.deepEqual(await faultsOf(missing), ['FILE: the SCRAM file cannot be read: there is none of that name']);
  assert.deepEqual(await faultsOf(folder), ['FILE: the SCRAM file cannot be read: it is a folder']);
});
