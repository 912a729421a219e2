/** A store with anything in it: the broker starts, or says in a coded error why not; and whoever connects is served. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { Publication } from '../../../src/bus/publication.js';
import { Route } from '../../../src/bus/router.js';
import { PorticoError } from '../../../src/errors.js';
import { appendRecord } from '../../../src/session/queue-record.js';
import { DamagedSegment } from '../../../src/session/segment.js';
import * as keys from '../../../src/store/keys.js';
import { MemoryStore } from '../../../src/store/memory-store.js';
import * as records from '../../../src/store/records.js';
import type { Operation } from '../../../src/store/store.js';
import { Output } from '../../../src/wire/output.js';
import { Engine, FakeClock } from '../../support/engine.js';
import { Feed, input, type Target } from '../target.js';

/** Largest sequence number: a gap between messages is walked through one by one, however it came about. */
const FARTHEST = 2 ** 18;

function isNear(key: Buffer, value: Buffer): boolean {
  try {
    if (key[0] === keys.Family.Queue) {
      const { first, count } = keys.parseQueueKey(key);
      return first + count < FARTHEST;
    }
    if (key[0] !== keys.Family.Flow) return true;
    const { base, sent, tail, reserved, droppedStart, droppedEnd } = records.decodeFlow(value);
    return Math.max(base, sent, tail, reserved, droppedStart, droppedEnd) < FARTHEST;
  } catch {
    return true;
  }
}

async function filled(bytes: Buffer): Promise<MemoryStore> {
  const store = new MemoryStore();
  const feed = new Feed(bytes);
  // A store that says no version is refused as a whole; the input may say another one.
  const operations: Operation[] = [{ type: 'put', key: keys.versionKey(), value: Buffer.from([1]) }];
  while (!feed.empty) {
    const key = Buffer.from(feed.take(feed.byte()));
    const value = Buffer.from(feed.take(feed.short() & 0x1ff));
    if (key.length > 0 && isNear(key, value)) operations.push({ type: 'put', key, value });
  }
  await store.write(operations, true);
  return store;
}

async function run(bytes: Buffer): Promise<string> {
  const store = await filled(bytes);
  const clock = new FakeClock();
  const failed: unknown[] = [];
  const journal = {
    connected() {},
    disconnected() {},
    refused() {},
    loginFailed() {},
    denied() {},
    subscribed() {},
    unsubscribed() {},
    limit() {},
    storeFailed: (error: unknown) => failed.push(error),
    internalFault: (error: unknown) => failed.push(error),
    storeSilent() {},
    storeRecovered() {},
    syncFailed() {},
    syncRecovered() {},
    storeDamaged() {},
    storeTorn() {},
  };
  let engine: Engine;
  try {
    engine = await Engine.create({ id: 'broker', store, clock, journal });
  } catch (error) {
    assert.ok(error instanceof PorticoError, error as Error);
    return error.message;
  }
  // Properties are sent on as they stand in the store, so a client that takes none.
  const client = await engine.connect({ clientId: 'c', clean: false });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] });
  // Messages may come before it.
  let got = '';
  while (got !== 'suback') got = (await client.next()).cmd;
  engine.pass(10);
  await turn();
  await engine.stop();
  for (const error of failed) {
    assert.ok(error instanceof PorticoError || error instanceof DamagedSegment, error as Error);
  }
  return `${client.connack.sessionPresent} ${failed.length > 0}`;
}

const MESSAGE = {
  topic: 'a/b',
  payload: Buffer.from('payload'),
  qos: 1,
  retain: true,
  properties: Buffer.alloc(0),
  expiresAt: 0,
  publisherId: 'client',
  receivedAt: 1,
} as const;

function entry(key: Buffer, value: Buffer): Buffer {
  return input(key.length, key, value.length >> 8, value.length & 0xff, value);
}

function segment(): Buffer {
  const out = new Output();
  appendRecord(out, new Publication().of(MESSAGE, new Route('a/b', Buffer.from('a/b'))), 1, false, null, '', 0);
  return Buffer.concat([Buffer.from([1]), out.bytes()]);
}

const session = (number: number, connected = false, sharing = false): Buffer =>
  records.encodeSession({
    number,
    expiryInterval: 100,
    connected,
    disconnectedAt: 1_700_000_000_000,
    version: 5,
    sharing,
  });
const subscription = records.encodeSubscription({
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  identifier: 0,
});
const flow = records.encodeFlow({
  base: 1,
  sent: 2,
  tail: 3,
  reserved: 9,
  droppedStart: 2,
  droppedEnd: 3,
  assumedGone: 1,
  exceptions: [{ sequence: 1, state: 1 }],
  inbound: [7],
});
const queue = segment();

const ENTRIES: readonly Buffer[] = [
  entry(keys.sessionKey('c'), session(1)),
  entry(keys.sessionKey('d'), session(2, true, true)),
  entry(keys.subscriptionKey(1, 'a/#'), subscription),
  entry(keys.subscriptionKey(2, '$share/g/a/#'), subscription),
  entry(keys.flowKey(1), flow),
  entry(keys.queueKey(1, 1, 1, queue.length - 1, 0), queue),
  entry(keys.queueKey(2, 5, 1, queue.length - 1, 4000), queue),
  entry(keys.retainedKey('a/b'), records.encodeMessage(MESSAGE)),
  entry(keys.willKey('d'), records.encodeWill({ delay: 1, sessionExpiry: 5, message: MESSAGE })),
  entry(keys.versionKey(), Buffer.from([1])),
  entry(keys.flowKey(9), flow),
  entry(keys.queueKey(9, 1, 1, queue.length - 1, 0), queue),
];

export const storeRecovery: Target = {
  name: 'store-recovery',
  scope: ['/src/store/', '/src/session/', '/src/broker', '/src/bus/retained'],
  longest: 1500,
  words: [...ENTRIES, Buffer.from('ffffffffffff', 'hex'), Buffer.from('000000000001', 'hex')],
  seeds: () => [...ENTRIES, Buffer.concat(ENTRIES), Buffer.concat([ENTRIES[0], ENTRIES[2], ENTRIES[4], ENTRIES[5]])],
  run,
};
