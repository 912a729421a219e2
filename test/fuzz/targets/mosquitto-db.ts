/** The files of Mosquitto: any bytes are taken or refused in words, and every byte is taken or said to be lost. */
import assert from 'node:assert/strict';
import { importMosquittoDb } from '../../../src/cli/import/mosquitto-db.js';
import { type Bytes, MosquittoFile, UnusableFile } from '../../../src/cli/import/mosquitto-file.js';
import { StoreBuilder } from '../../../src/cli/import/store-builder.js';
import { Tally } from '../../../src/cli/import/tally.js';
import { areSegmentRecords } from '../../../src/session/segment.js';
import { Family, parseQueueKey } from '../../../src/store/keys.js';
import { decodeFlow, decodeMessage, decodeSession, decodeSubscription } from '../../../src/store/records.js';
import type { Operation } from '../../../src/store/store.js';
import {
  client,
  clientMessage,
  configuration,
  head,
  message,
  retained,
  subscription,
} from '../../support/mosquitto-db.js';
import type { Target } from '../target.js';

const NOW = 1_700_000_000_000;

function bytesOf(file: Buffer): Bytes {
  return { size: file.length, read: (at, length) => file.subarray(at, at + length) };
}

/** Every record can be read by the broker. */
function check(operation: Operation): void {
  if (operation.type === 'del') return;
  const { key, value } = operation;
  switch (key[0]) {
    case Family.Retained:
      decodeMessage(value);
      break;
    case Family.Session:
      decodeSession(value);
      break;
    case Family.Subscription:
      decodeSubscription(value);
      break;
    case Family.Flow: {
      const { base, sent, tail } = decodeFlow(value);
      assert.ok(base <= sent && sent <= tail, `${base} ${sent} ${tail}`);
      break;
    }
    case Family.Queue: {
      const { first, count, bytes } = parseQueueKey(key);
      assert.ok(first > 0 && count > 0);
      assert.equal(bytes, value.length - 1);
      assert.ok(areSegmentRecords(value, count), 'whole records');
      break;
    }
    default:
      assert.equal(key[0], Family.Version);
  }
}

async function run(file: Buffer): Promise<string> {
  const tally = new Tally();
  const builder = new StoreBuilder(
    async (batch) => {
      for (const operation of batch) check(operation);
    },
    { expiryInterval: 100, disconnectedAt: NOW },
  );
  try {
    let at = 23;
    const chunks = new MosquittoFile(bytesOf(file), (from, to) => {
      assert.equal(from, at, 'nothing is passed over in silence');
      assert.ok(to > from && to <= file.length);
      at = to;
    }).chunks();
    for (const chunk of chunks) {
      assert.equal(chunk.at, at, 'nothing is passed over in silence');
      at = chunk.start + chunk.length;
    }
    assert.equal(at, file.length, 'up to the end');
    await importMosquittoDb({
      walk: bytesOf(file),
      lookUp: bytesOf(file),
      builder,
      tally,
      now: NOW,
      writtenAt: NOW,
      maxExpiry: 1000,
      progress: () => {},
    });
    await builder.finish();
  } catch (error) {
    if (!(error instanceof UnusableFile)) throw error;
    return error.message.replaceAll(/\d+/g, '0');
  }
  return tally.lines().join('\n').replaceAll(/\d+/g, '0');
}

const BODY: readonly Buffer[] = [
  configuration(),
  message({ id: 1, topic: 'a', payload: 'p', qos: 1, publisher: 'x' }),
  message({ id: 2, topic: 'b', payload: 'q', qos: 2, properties: Buffer.from([2, 1, 1]) }),
];
const QUEUE: readonly Buffer[] = [
  clientMessage({ id: 1, client: 'c', packetId: 3, qos: 1, state: 3 }),
  clientMessage({ id: 2, client: 'c', packetId: 5, qos: 2, state: 9 }),
  clientMessage({ id: 2, client: 'c', packetId: 6, qos: 2, state: 11, properties: Buffer.from([2, 11, 7]) }),
  clientMessage({ id: 2, client: 'c', packetId: 6, qos: 2, state: 7, incoming: true }),
];
const END: readonly Buffer[] = [
  subscription('c', 'a/#', 1, 12, 7),
  subscription('c', 'b', 2),
  retained(1),
  retained(2),
];

export const mosquittoDb: Target = {
  name: 'mosquitto-db',
  scope: ['/src/cli/import/'],
  longest: 700,
  words: [configuration(), retained(1), Buffer.alloc(4), Buffer.from([0, 0, 0, 3]), Buffer.from('ffffffff', 'hex')],
  seeds: () => [
    Buffer.concat([head(6), ...BODY, client(6, 'c', 50, 1_700_000_040, 'u'), ...QUEUE, ...END]),
    Buffer.concat([head(5), ...BODY, client(5, 'c'), ...QUEUE, ...END]),
    Buffer.concat([head(6), ...BODY, Buffer.from('damage'), ...END]),
  ],
  run,
};
