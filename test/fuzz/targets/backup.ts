/** The file of a backup: any bytes are read as a whole backup or refused in words, however they are cut. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { PorticoError } from '../../../src/errors.js';
import { backupOf, DIGEST_BYTES } from '../../../src/store/backup.js';
import { BackupReader } from '../../../src/store/backup-reader.js';
import { sessionKey, versionKey } from '../../../src/store/keys.js';
import { Random } from '../../support/random.js';
import { Feed, input, type Target } from '../target.js';

/** What reading it says. */
interface Outcome {
  readonly records: readonly string[];
  readonly refusal: string;
}

function read(bytes: Buffer, next: () => number): Outcome {
  const records: string[] = [];
  const reader = new BackupReader(
    () => {},
    (key, value) => records.push(`${key.toString('hex')} ${value.toString('hex')}`),
  );
  let refusal = '';
  try {
    for (let at = 0; at < bytes.length; ) {
      const chunk = Buffer.from(bytes.subarray(at, at + next()));
      at += chunk.length;
      reader.push(chunk);
    }
    reader.end();
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_BACKUP', error as Error);
    refusal = error.message;
  }
  return { records, refusal };
}

function run(bytes: Buffer): string {
  const feed = new Feed(bytes);
  const flags = feed.byte();
  const random = new Random(feed.byte());
  let file = Buffer.from(feed.rest());
  if ((flags & 1) === 1 && file.length > DIGEST_BYTES) {
    // The right digest, so that what stands before it is believed.
    const body = file.subarray(0, file.length - DIGEST_BYTES);
    file = Buffer.concat([body, createHash('sha256').update(body).digest()]);
  }
  const whole = read(file, () => file.length);
  const chunked = read(file, () => 1 + random.below(file.length));
  assert.deepEqual(chunked, whole, 'the same in chunks as in one');
  assert.deepEqual(
    read(file, () => 1),
    whole,
    'the same byte by byte as in one',
  );
  return whole.refusal.replaceAll(/\d+/g, '0');
}

async function* entries(): AsyncGenerator<[Buffer, Buffer]> {
  yield [versionKey(), Buffer.from([1])];
  yield [sessionKey('c'), Buffer.from('value')];
}

async function* nothing(): AsyncGenerator<[Buffer, Buffer]> {}

async function file(list: AsyncIterable<[Buffer, Buffer]>, store: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of backupOf({ portico: 'x', store, writer: 'x', date: 'x' }, list)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const FILES: readonly Buffer[] = [await file(entries(), 1), await file(nothing(), 0)];

export const backupFile: Target = {
  name: 'backup-file',
  scope: ['/src/store/backup'],
  longest: 600,
  words: ['PORTICOB', '{"portico":"x"', '"store":1', 'null', Buffer.alloc(8), Buffer.from('ffffffff', 'hex')],
  seeds: () => FILES.flatMap((bytes) => [input(0, 1, bytes), input(1, 2, bytes), input(0, 3, bytes, 'more')]),
  run,
};
