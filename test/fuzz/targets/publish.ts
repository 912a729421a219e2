/** What becomes of a PUBLISH on its way through the broker: every form in which it is sent on says the same. */
import assert from 'node:assert/strict';
import type { Message } from '../../../src/bus/message.js';
import { Publication } from '../../../src/bus/publication.js';
import { Route } from '../../../src/bus/router.js';
import { frameKind, frameOf } from '../../../src/session/frame.js';
import { appendRecord, areRecords, RecordView } from '../../../src/session/queue-record.js';
import { decodeMessage, encodeMessage } from '../../../src/store/records.js';
import { Output } from '../../../src/wire/output.js';
import type { Properties } from '../../../src/wire/packets.js';
import { decodeForwardedProperties, forwardableProperties, type PublishView } from '../../../src/wire/publish-view.js';
import {
  MOST_ALIAS_BYTES,
  type PublishSource,
  publishSize,
  writeLive,
  writePublish,
} from '../../../src/wire/publish-writer.js';
import { checkTopicName } from '../../../src/wire/utf8.js';
import { type AnyPacket, PACKETS, type PublishPacket } from '../../packets.js';
import { Recorder } from '../../wire/recorder.js';
import { framed, str } from '../../wire/table/row.js';
import { Feed, input, type Target } from '../target.js';

const NOW = 1_700_000_000_000;

/** What is chosen about one delivery. */
interface Delivery {
  readonly version: 4 | 5;
  readonly qos: number;
  readonly retain: boolean;
  /** Seconds that are left, if the message expires. */
  readonly expiry: number;
  readonly identifiers: readonly number[] | null;
  readonly alias: number;
}

function deliveryOf(feed: Feed): Delivery {
  const flags = feed.byte();
  const version = (flags & 1) === 0 ? 5 : 4;
  return {
    version,
    qos: ((flags >> 1) & 3) % 3,
    retain: (flags & 8) !== 0,
    expiry: (flags & 16) !== 0 ? feed.short() : 0,
    identifiers: version === 5 && (flags & 32) !== 0 ? [1 + feed.byte(), 128 + feed.short()] : null,
    alias: version === 5 && (flags & 64) !== 0 ? 1 + feed.byte() : 0,
  };
}

/** What a client that has got these bytes reads. */
function received(bytes: Buffer, version: 4 | 5): PublishPacket {
  const recorder = Recorder.opened('server', version);
  recorder.parser.push(bytes);
  assert.deepEqual(recorder.errors, [], bytes.toString('hex'));
  const packets = recorder.packets as AnyPacket[];
  assert.deepEqual([packets.map(({ cmd }) => cmd), recorder.parser.buffered], [['publish'], 0]);
  return packets[0] as PublishPacket;
}

/** The publication of a view, as the handler of PUBLISH makes it. */
function publicationOf(view: PublishView, version: 4 | 5): Publication {
  const topic = Buffer.from(view.buffer.subarray(view.topicStart, view.topicEnd));
  const publication = new Publication();
  publication.route = new Route(topic.utf8Slice(), topic);
  publication.buffer = view.buffer;
  publication.payloadStart = view.payloadStart;
  publication.payloadEnd = view.payloadEnd;
  publication.qos = view.qos;
  publication.retain = view.retain;
  publication.bodyStart = view.topicStart - 2;
  publication.bodyHasPacketId = view.qos > 0;
  publication.bodyHasProperties = version === 5;
  publication.propertiesStart = version === 5 ? view.propertiesStart : -1;
  if (view.propertiesEnd > view.propertiesStart) {
    publication.properties = null;
    publication.expiresAt = view.messageExpiryInterval < 0 ? 0 : NOW + view.messageExpiryInterval * 1000;
    if (view.topicAlias > 0) {
      publication.properties = forwardableProperties(view.buffer, view.propertiesStart, view.propertiesEnd);
      publication.propertiesStart = -1;
      publication.bodyStart = -1;
    }
  }
  publication.renew();
  return publication;
}

function checkWritten(source: PublishSource, sent: PublishPacket, kept: Properties, delivery: Delivery): void {
  const { version, qos, retain, identifiers, alias } = delivery;
  const expiry = sent.properties?.messageExpiryInterval === undefined ? -1 : delivery.expiry;
  const out = new Output();
  const flags = (qos << 1) | (retain ? 1 : 0);
  writePublish(out, source, version === 5, flags, 7, expiry, identifiers, alias);
  const size = publishSize(source, version === 5, qos, expiry, identifiers);
  if (alias === 0) assert.equal(out.length, size);
  else assert.ok(out.length > size && out.length <= size + MOST_ALIAS_BYTES, `${out.length} bytes of ${size}`);
  const got = received(Buffer.from(out.bytes()), version);
  const { topic, payload } = sent;
  const expected = { cmd: 'publish', topic, payload, qos, retain, dup: false, messageId: qos > 0 ? 7 : 0 };
  if (version === 4) {
    assert.deepEqual(got, expected);
    return;
  }
  assert.deepEqual(got, {
    ...expected,
    properties: {
      ...kept,
      ...(expiry < 0 ? {} : { messageExpiryInterval: expiry }),
      ...(alias === 0 ? {} : { topicAlias: alias }),
      ...(identifiers === null ? {} : { subscriptionIdentifier: identifiers }),
    },
  });
}

/** A message that is sent on at once keeps its Message Expiry Interval as it came. */
function checkLive(publication: Publication, sent: PublishPacket, delivery: Delivery): void {
  if (publication.propertiesStart < 0 || sent.properties?.topicAlias !== undefined) return;
  const { qos, retain, identifiers } = delivery;
  const out = new Output();
  writeLive(out, publication, (qos << 1) | (retain ? 1 : 0), 7, identifiers);
  const got = received(Buffer.from(out.bytes()), 5);
  assert.deepEqual([got.topic, got.payload, got.qos, got.retain], [sent.topic, sent.payload, qos, retain]);
  const added = identifiers === null ? {} : { subscriptionIdentifier: identifiers };
  assert.deepEqual(got.properties, { ...sent.properties, ...added });
}

function checkFrame(publication: Publication, sent: PublishPacket, { version, qos, retain }: Delivery): void {
  if (version === 5 && publication.propertiesStart < 0 && publication.expiresAt > 0) return;
  const frame = frameOf(publication, frameKind(version === 5, qos, retain));
  const bytes = Buffer.from(frame.bytes);
  if (frame.packetIdAt > 0) bytes.writeUInt16BE(9, frame.packetIdAt);
  const got = received(bytes, version);
  assert.deepEqual([got.topic, got.payload, got.messageId], [sent.topic, sent.payload, qos > 0 ? 9 : 0]);
}

/** The queue and the store give back what they were given. */
function checkKept(publication: Publication, { qos, retain, identifiers, alias }: Delivery): void {
  const message: Message = { ...publication.message(), publisherId: 'publisher' };
  const again = decodeMessage(encodeMessage(message));
  assert.deepEqual({ ...again, properties: Buffer.from(again.properties) }, message);
  const out = new Output();
  const share = alias > 100 ? '$share/g/t' : '';
  appendRecord(out, publication, qos, retain, identifiers, share, alias * 1000);
  const record = Buffer.from(out.bytes());
  assert.ok(areRecords(record, 0, 1));
  const view = new RecordView();
  view.read(record, 0);
  const { topic, payload, properties, expiresAt } = message;
  const read = view.message();
  assert.deepEqual([read.topic, read.payload, read.expiresAt], [topic, payload, expiresAt]);
  assert.deepEqual([read.properties, read.retain], [Buffer.from(properties), retain]);
  assert.deepEqual(view.identifiers, identifiers);
  assert.equal(view.share.utf8Slice(), share);
}

function run(bytes: Buffer): string {
  const feed = new Feed(bytes);
  const delivery = deliveryOf(feed);
  const head = feed.byte();
  const version = (head & 16) === 0 ? 5 : 4;
  const recorder = Recorder.opened('client', version);
  const { onPublish } = recorder;
  const stream = framed(0x30 | (head & 15), feed.rest());
  let outcome = 'refused';
  recorder.onPublish = (view) => {
    onPublish(view);
    const sent = recorder.packets[0] as PublishPacket;
    outcome = 'aliased';
    // The router has refused what is no topic.
    if (checkTopicName(view.buffer, view.topicStart, view.topicEnd) !== 0) return;
    try {
      const publication = publicationOf(view, version);
      const { messageExpiryInterval: _, topicAlias: __, ...kept } = sent.properties ?? {};
      assert.deepEqual(decodeForwardedProperties(publication.properties), kept, 'forwarded properties');
      checkKept(publication, delivery);
      checkWritten(publication, sent, kept, delivery);
      checkLive(publication, sent, delivery);
      checkFrame(publication, sent, delivery);
      outcome = `${version} ${delivery.version} ${Object.keys(kept)}`;
    } catch (error) {
      // The parser would take it for a failure of its callback.
      failure = error;
    }
  };
  let failure: unknown;
  recorder.parser.push(stream);
  if (failure !== undefined) throw failure;
  return outcome;
}

export const mqttPublish: Target = {
  name: 'mqtt-publish',
  scope: [
    '/src/wire/',
    '/src/session/frame',
    '/src/session/queue-record',
    '/src/bus/publication',
    '/src/store/records',
  ],
  longest: 1024,
  words: [
    '\x01\x01',
    '\x02\0\0\0\x0a',
    '\x03\0\x01c',
    '\x08\0\x01r',
    '\x09\0\x01d',
    '\x23\0\x05',
    '\x26\0\x01k\0\x01v',
  ],
  seeds: () =>
    PACKETS.filter(({ direction, bytes }) => direction === 'client' && bytes[0] >> 4 === 3 && bytes[1] < 128)
      .flatMap((row) =>
        [0x00, 0x01, 0x3a, 0x52, 0x2c].map((flags) => {
          const options = input(flags, ...(flags & 16 ? [0, 9] : []), ...(flags & 32 ? [1, 2, 3] : []));
          return input(
            options,
            ...(flags & 64 ? [4] : []),
            (row.bytes[0] & 15) | (row.version === 5 ? 0 : 16),
            row.bytes.subarray(2),
          );
        }),
      )
      .concat(input(0, 0, str('topic'), 0, 'payload')),
  run,
};
