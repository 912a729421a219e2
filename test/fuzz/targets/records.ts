/** Stored values: any bytes give a value that is written as it was read, or a coded error. */
import assert from 'node:assert/strict';
import { Publication } from '../../../src/bus/publication.js';
import { Route } from '../../../src/bus/router.js';
import { PorticoError } from '../../../src/errors.js';
import { appendRecord, areRecords, RecordView } from '../../../src/session/queue-record.js';
import * as aedes from '../../../src/store/aedes-packets.js';
import * as keys from '../../../src/store/keys.js';
import * as records from '../../../src/store/records.js';
import { Output } from '../../../src/wire/output.js';
import { Feed, input, type Target } from '../target.js';

const MESSAGE = {
  topic: 'a/b',
  payload: Buffer.from('payload'),
  qos: 1,
  retain: true,
  properties: Buffer.from('0101', 'hex'),
  expiresAt: 1_700_000_000_000,
  publisherId: 'client',
  receivedAt: 1_600_000_000_000,
} as const;

interface Codec {
  decode(value: Buffer): unknown;
  /** What `decode` has returned, as a value. */
  encode(value: never): Buffer;
  readonly seed: Buffer;
}

function codec<T>(decode: (value: Buffer) => T, encode: (value: T) => Buffer, value: T): Codec {
  return { decode, encode, seed: encode(value) };
}

/** A queue segment: its messages, each of them with what is not in a `Message`. */
function decodeSegment(bytes: Buffer): { readonly bytes: Buffer; readonly count: number } {
  const feed = new Feed(bytes);
  const count = feed.byte();
  const segment = Buffer.from(feed.rest());
  if (!areRecords(segment, 0, count)) throw new PorticoError({ code: 'PORTICO_STORE_VALUE' }, 'no records');
  return { bytes: segment, count };
}

function encodeSegment(segment: { readonly bytes: Buffer; readonly count: number }): Buffer {
  const out = new Output();
  const view = new RecordView();
  let at = 0;
  for (let i = 0; i < segment.count; i++) {
    view.read(segment.bytes, at);
    at = view.payloadEnd;
    const message = view.message();
    const publication = new Publication().of(message, new Route(message.topic, Buffer.from(view.topicBytes)));
    appendRecord(out, publication, view.qos, view.retain, view.identifiers, view.share.utf8Slice(), view.deadline);
  }
  return Buffer.concat([Buffer.from([segment.count]), out.bytes()]);
}

function segmentSeed(): Buffer {
  const out = new Output();
  const publication = new Publication().of(MESSAGE, new Route(MESSAGE.topic, Buffer.from(MESSAGE.topic)));
  appendRecord(out, publication, 2, false, [1, 200], '$share/g/a/b', 12_000);
  appendRecord(out, publication, 1, true, null, '', 0);
  return Buffer.concat([Buffer.from([2]), out.bytes()]);
}

/** What a key of the queue says, and the text behind the head of the others. */
function decodeKey(key: Buffer): unknown {
  if (key.length < 25) throw new PorticoError({ code: 'PORTICO_STORE_VALUE' }, 'no key of a queue');
  return keys.parseQueueKey(key);
}

const FLOW = {
  base: 5,
  sent: 9,
  tail: 12,
  reserved: 100,
  droppedStart: 7,
  droppedEnd: 8,
  assumedGone: 1,
  exceptions: [{ sequence: 7, state: 2 }],
  inbound: [1, 65535],
};
const SESSION = {
  number: 3,
  expiryInterval: 0xffffffff,
  connected: true,
  disconnectedAt: 0,
  version: 5,
  sharing: false,
};
const SUBSCRIPTION = {
  qos: 1,
  noLocal: true,
  retainAsPublished: false,
  retainHandling: 2,
  identifier: 268435455,
} as const;

const CODECS: readonly Codec[] = [
  codec(records.decodeMessage, records.encodeMessage, MESSAGE),
  codec(records.decodeWill, records.encodeWill, { delay: 1, sessionExpiry: 2, message: MESSAGE }),
  codec(records.decodeSession, records.encodeSession, SESSION),
  codec<records.SubscriptionRecord>(records.decodeSubscription, records.encodeSubscription, SUBSCRIPTION),
  codec<records.FlowRecord>(records.decodeFlow, records.encodeFlow, FLOW),
  { decode: decodeSegment, encode: encodeSegment, seed: segmentSeed() },
  {
    decode: decodeKey,
    encode: ({ session, first, count, bytes, expiresAt }: keys.SegmentKey) =>
      keys.queueKey(session, first, count, bytes, expiresAt),
    seed: keys.queueKey(1, 2, 3, 4, 5000),
  },
  codec(keys.aedesParts, (parts) => keys.aedesKey(2, ...parts), ['client', 'a/#']),
  codec(aedes.decodePacket, aedes.encodePacket, { cmd: 'publish', topic: 't', payload: Buffer.from('p'), qos: 1 }),
  codec<aedes.AedesSubscription>((value) => aedes.decodeAedesSubscription('t', value), aedes.encodeAedesSubscription, {
    topic: 't',
    qos: 1,
    rh: 0,
    rap: true,
    nl: false,
  }),
  codec(aedes.decodeNumber, aedes.encodeNumber, 12),
  codec(records.decodeMessage, records.encodeMessage, {
    ...MESSAGE,
    source: { id: MESSAGE.publisherId, username: 'user' },
  }),
];

function run(bytes: Buffer): string {
  const feed = new Feed(bytes);
  const kind = feed.byte() % CODECS.length;
  const { decode, encode } = CODECS[kind];
  const stored = Buffer.from(feed.rest());
  let value: unknown;
  try {
    value = decode(stored);
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_STORE_VALUE', error as Error);
    return `${kind} ${error.message}`;
  }
  const again = encode(value as never);
  const reread = decode(again);
  // A segment is compared by what it is written as: how it stands is its value.
  if (decode === decodeSegment) assert.deepEqual(encode(reread as never), again);
  else assert.deepEqual(reread, value);
  return `${kind} read`;
}

export const storedValues: Target = {
  name: 'stored-values',
  scope: ['/src/store/', '/src/session/queue-record'],
  longest: 1024,
  words: [Buffer.from('0000ffff', 'hex'), Buffer.from('ffffffff', 'hex'), Buffer.from('7ff8000000000000', 'hex')],
  seeds: () => CODECS.map(({ seed }, kind) => input(kind, seed)),
  run,
};
