/** Files of Mosquitto as its layout allows them: older ones, of other machines, cut short, damaged. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Source } from '../../src/bus/message.js';
import { importMosquittoDb } from '../../src/cli/import/mosquitto-db.js';
import type { Bytes } from '../../src/cli/import/mosquitto-file.js';
import { StoreBuilder } from '../../src/cli/import/store-builder.js';
import { Tally } from '../../src/cli/import/tally.js';
import { Segment } from '../../src/session/segment.js';
import { Family, filterOf, parseQueueKey, sessionOf, textOf } from '../../src/store/keys.js';
import {
  decodeFlow,
  decodeMessage,
  decodeSession,
  decodeSubscription,
  type FlowRecord,
  type SessionRecord,
} from '../../src/store/records.js';
import {
  client,
  clientMessage,
  configuration,
  head,
  message,
  retained,
  subscription,
} from '../support/mosquitto-db.js';

/** Seconds since the epoch. */
const NOW = 1_700_000_000;

/** What an import has made. */
interface Outcome {
  readonly retained: Map<string, string>;
  readonly sources: [string, Source | null | undefined][];
  readonly sessions: Map<string, SessionRecord>;
  readonly flows: Map<number, FlowRecord>;
  /** Session number and filter, with QoS and options. */
  readonly subscriptions: string[];
  /** Session number, number, topic, payload and QoS of each message. */
  readonly queued: string[];
  readonly lines: string[];
}

function bytesOf(file: Buffer): Bytes {
  return { size: file.length, read: (at, length) => file.subarray(at, at + length) };
}

async function importOf(...parts: Buffer[]): Promise<Outcome> {
  const file = Buffer.concat(parts);
  const outcome: Outcome = {
    retained: new Map(),
    sources: [],
    sessions: new Map(),
    flows: new Map(),
    subscriptions: [],
    queued: [],
    lines: [],
  };
  const tally = new Tally();
  const builder = new StoreBuilder(
    async (batch) => {
      for (const { type, key, ...rest } of batch) {
        if (type === 'put' && 'value' in rest) note(outcome, key, rest.value as Buffer);
      }
    },
    { expiryInterval: 900, disconnectedAt: NOW * 1000 },
  );
  await importMosquittoDb({
    walk: bytesOf(file),
    lookUp: bytesOf(file),
    builder,
    tally,
    now: NOW * 1000,
    writtenAt: NOW * 1000,
    maxExpiry: 1000,
    progress: () => {},
  });
  await builder.finish();
  outcome.lines.push(...tally.lines());
  return outcome;
}

function note(outcome: Outcome, key: Buffer, value: Buffer): void {
  if (key[0] === Family.Retained) {
    const { payload, source } = decodeMessage(value);
    outcome.retained.set(textOf(key), payload.toString());
    outcome.sources.push([textOf(key), source]);
  }
  if (key[0] === Family.Session) outcome.sessions.set(textOf(key), decodeSession(value));
  if (key[0] === Family.Flow) outcome.flows.set(sessionOf(key), decodeFlow(value));
  if (key[0] === Family.Subscription) {
    const { qos, noLocal, retainAsPublished, retainHandling, identifier } = decodeSubscription(value);
    const options = [noLocal ? 'nl' : '', retainAsPublished ? 'rap' : '', `rh${retainHandling}`, `#${identifier}`];
    outcome.subscriptions.push(`${sessionOf(key)} ${filterOf(key)} ${qos} ${options.join(' ').trim()}`);
  }
  if (key[0] === Family.Queue) {
    const segment = Segment.of(key);
    segment.fill(value);
    let sequence = segment.first;
    for (const record of segment.records(segment.first)) {
      const { topic, payload, qos } = record.message();
      outcome.queued.push(`${parseQueueKey(key).session} ${sequence++} ${topic} ${payload} ${qos}`);
    }
  }
}

const A = message({ id: 1, topic: 'a', payload: 'one' });
const B = message({ id: 2, topic: 'b', payload: 'two', qos: 2 });

describe('a mosquitto.db', () => {
  test('of version 5 has clients without user and listener', async () => {
    const outcome = await importOf(
      head(5),
      configuration(),
      A,
      client(5, 'c', 500, NOW + 400),
      clientMessage({ id: 1, client: 'c', packetId: 9, state: 11 }),
      subscription('c', 'a/#', 1, 4 | 8 | 16, 7),
      retained(1),
    );
    assert.deepEqual(outcome.lines, ['taken: 1 session, 1 waiting message, 1 subscription, 1 retained message']);
    assert.deepEqual([...outcome.retained], [['a', 'one']]);
    const session = outcome.sessions.get('c');
    assert.deepEqual([session?.expiryInterval, session?.disconnectedAt], [500, (NOW - 100) * 1000]);
    assert.deepEqual(outcome.queued, ['1 1 a one 1']);
    assert.deepEqual(outcome.subscriptions, ['1 a/# 1 nl rap rh1 #7']);
  });

  test('says who has published what is retained', async () => {
    const outcome = await importOf(
      head(6),
      message({ id: 1, topic: 'a', payload: 'x', publisher: 'c1', user: 'ann' }),
      message({ id: 2, topic: 'b', payload: 'x', publisher: 'c2', port: 1884 }),
      message({ id: 3, topic: 'c', payload: 'x' }),
      ...[1, 2, 3].map(retained),
    );
    assert.deepEqual(outcome.sources, [
      ['a', { id: 'c1', username: 'ann' }],
      ['b', { id: 'c2', username: null, listener: '1884' }],
      ['c', undefined],
    ]);
  });

  test('of version 6 has them', async () => {
    const outcome = await importOf(head(6), client(6, 'c', 0xffff_ffff, 0, 'ann'), subscription('c', 'x', 2));
    assert.deepEqual(outcome.lines, ['taken: 1 session, 1 subscription']);
    assert.equal(outcome.sessions.get('c')?.expiryInterval, 900);
  });

  test('of a machine of 32 bits that pads nothing is read too', async () => {
    const outcome = await importOf(head(6), client(6, 'c', 100, NOW + 1, 'ann', 0), subscription('c', 'x', 2));
    assert.deepEqual(outcome.lines, ['taken: 1 session, 1 subscription']);
    assert.deepEqual([...outcome.sessions.keys()], ['c']);
  });

  test('of a big-endian machine has its times in that order', async () => {
    const outcome = await importOf(
      head(6),
      message({ id: 1, topic: 'a', payload: 'x', expiresAt: NOW + 5, bigEndian: true }),
      message({ id: 2, topic: 'b', payload: 'y', expiresAt: NOW - 5, bigEndian: true }),
      // The numbers of messages are only compared, so they are written as those of the messages were.
      Buffer.concat([retained(0).subarray(0, 8), Buffer.from([0, 0, 0, 0, 0, 0, 0, 1])]),
      Buffer.concat([retained(0).subarray(0, 8), Buffer.from([0, 0, 0, 0, 0, 0, 0, 2])]),
    );
    assert.deepEqual([...outcome.retained.keys()], ['a']);
    assert.match(outcome.lines[1], /^not taken: 1 × retained message that has expired \(offset \d+\)$/);
  });

  test('says what has expired, and leaves out what belongs to it', async () => {
    const outcome = await importOf(
      head(6),
      A,
      client(6, 'gone', 100, NOW - 1),
      clientMessage({ id: 1, client: 'gone', packetId: 1, state: 11 }),
      client(6, 'brief', 0, 0),
      client(6, 'there', 100, 0),
      subscription('gone', 'x', 1),
      subscription('there', 'x', 1),
    );
    assert.deepEqual([...outcome.sessions.keys()], ['there']);
    assert.equal(outcome.sessions.get('there')?.disconnectedAt, NOW * 1000);
    assert.deepEqual(
      outcome.lines.map((line) => line.replace(/ \(.*/, '')),
      [
        'taken: 1 session, 1 subscription',
        'not taken: 1 × session that has expired',
        'not taken: 1 × message of a session that is over',
        'not taken: 1 × session that ends with its connection',
        'not taken: 1 × subscription of a session that is over',
      ],
    );
  });

  test('gives what is in flight numbers of its packet identifiers, also past the last one', async () => {
    const states: readonly [number, number, number][] = [
      [65534, 1, 3],
      [65535, 2, 9],
      [2, 2, 5],
    ];
    const outcome = await importOf(
      head(6),
      A,
      B,
      client(6, 'c'),
      ...states.map(([packetId, qos, state]) => clientMessage({ id: qos, client: 'c', packetId, qos, state })),
      clientMessage({ id: 1, client: 'c', packetId: 3, state: 2 }),
      clientMessage({ id: 1, client: 'c', packetId: 4, state: 11 }),
    );
    assert.deepEqual(outcome.queued, [
      '1 65534 a one 1',
      '1 65535 b two 2',
      '1 65537 b two 2',
      '1 65538 a one 1',
      '1 65539 a one 1',
    ]);
    const flow = outcome.flows.get(1);
    assert.deepEqual([flow?.base, flow?.sent, flow?.tail], [65534, 65538, 65540]);
    assert.deepEqual(flow?.exceptions, [
      { sequence: 65535, state: 4 },
      { sequence: 65536, state: 0 },
    ]);
  });

  test('sends what is in flight also after its expiry, and PUBREL also without the message [MQTT-4.3.3-7]', async () => {
    const outcome = await importOf(
      head(6),
      message({ id: 1, topic: 'a', payload: 'sent', expiresAt: NOW - 1 }),
      client(6, 'c'),
      clientMessage({ id: 1, client: 'c', packetId: 1, state: 3 }),
      clientMessage({ id: 9, client: 'c', packetId: 2, qos: 2, state: 9 }),
      clientMessage({ id: 1, client: 'c', packetId: 3, state: 11 }),
    );
    assert.deepEqual(outcome.queued, ['1 1 a sent 1', '1 2 released  2']);
    assert.deepEqual(outcome.flows.get(1)?.exceptions, [{ sequence: 2, state: 4 }]);
    assert.match(outcome.lines[1], /^not taken: 1 × waiting message that has expired/);
  });

  test('sends a message anew whose packet identifier another one has', async () => {
    const outcome = await importOf(
      head(6),
      A,
      client(6, 'c'),
      clientMessage({ id: 1, client: 'c', packetId: 5, state: 3 }),
      clientMessage({ id: 1, client: 'c', packetId: 4, state: 3 }),
      clientMessage({ id: 1, client: 'c', packetId: 4, state: 3 }),
    );
    assert.deepEqual(
      outcome.queued.map((line) => line.split(' ')[1]),
      ['5', '65539', '65540'],
    );
    assert.match(outcome.lines[0], /2 messages in flight, 1 waiting message/);
  });

  test('publishes what awaited PUBREL to whom it is for: once each, to one of a share', async () => {
    const outcome = await importOf(
      head(6),
      message({ id: 1, topic: 'a/b', payload: 'kept', qos: 2, retain: true }),
      client(6, 'publisher'),
      clientMessage({ id: 1, client: 'publisher', packetId: 77, qos: 2, state: 7, incoming: true }),
      client(6, 'two'),
      client(6, 'shared-1'),
      client(6, 'shared-2'),
      subscription('publisher', 'a/b', 2, 4),
      subscription('two', 'a/#', 1, 0, 3),
      subscription('two', 'a/+', 2, 0, 4),
      subscription('two', 'other', 2),
      subscription('shared-1', '$share/g/a/#', 1),
      subscription('shared-2', '$share/g/a/#', 1),
    );
    assert.deepEqual(outcome.queued, ['2 1 a/b kept 2', '3 1 a/b kept 1']);
    assert.deepEqual(outcome.flows.get(1)?.inbound, [77]);
    assert.deepEqual([...outcome.retained], [['a/b', 'kept']]);
    assert.equal(outcome.sessions.get('shared-1')?.sharing, true);
  });

  test('that is cut short at any byte gives all that stands before', async () => {
    const parts = [A, B, client(6, 'c', 100, 0, 'u'), subscription('c', 'x', 1), retained(1), retained(2)];
    const whole = Buffer.concat([head(6), ...parts]);
    const ends = parts.map((_, i) => Buffer.concat([head(6), ...parts.slice(0, i + 1)]).length);
    for (let length = 23; length < whole.length; length++) {
      const { lines, retained, sessions } = await importOf(whole.subarray(0, length));
      assert.equal(retained.size, ends.slice(4).filter((end) => end <= length).length);
      assert.equal(sessions.size, length >= ends[2] ? 1 : 0);
      if (length === 23 || ends.includes(length)) continue;
      const start = Math.max(23, ...ends.filter((end) => end < length));
      assert.match(
        lines[1],
        new RegExp(`the file is cut short .*offset ${start} to ${length}, ${length - start} bytes`),
      );
    }
  });

  test('that is damaged in the middle is read on where chunks go on', async () => {
    const lost = subscription('c', 'lost', 1);
    for (const damage of [Buffer.alloc(5), Buffer.from('no chunk, and longer than a head'), lost.fill(0xff, 0, 8)]) {
      const before = Buffer.concat([head(6), A]);
      const outcome = await importOf(before, damage, client(6, 'c'), retained(1));
      assert.equal(outcome.retained.size, 1);
      assert.equal(outcome.sessions.size, 1);
      const [from, to] = [before.length, before.length + damage.length];
      assert.match(outcome.lines[1], new RegExp(`damaged bytes .*offset ${from} to ${to}, ${damage.length} bytes`));
    }
  });

  test('whose lengths disagree inside a chunk loses that chunk, also if its content looks like chunks', async () => {
    const inside = Buffer.concat([retained(1), retained(1)]);
    const damaged = message({ id: 3, topic: 't', payload: inside.toString('latin1') });
    damaged.writeUInt16BE(0xffff, 8 + 26);
    const outcome = await importOf(head(6), A, damaged, B, retained(2));
    assert.deepEqual([...outcome.retained.keys()], ['b']);
    assert.match(outcome.lines[1], /^lost: damaged bytes that are no chunks, offset \d+ to \d+, \d+ bytes$/);
  });

  test('with texts and properties that are none says so, and gives the rest', async () => {
    const outcome = await importOf(
      head(6),
      message({ id: 1, topic: Buffer.from([0xff]), payload: 'x' }),
      message({ id: 2, topic: 'with/#', payload: 'x' }),
      message({ id: 3, topic: 'good', payload: 'x', properties: Buffer.from([2, 1, 9]) }),
      message({ id: 4, topic: '$SYS/x', payload: 'x' }),
      client(6, 'c'),
      clientMessage({ id: 9, client: 'c', packetId: 1, state: 11 }),
      clientMessage({ id: 3, client: 'c', packetId: 2, state: 99 }),
      subscription('c', 'a#', 1),
      subscription('c', '$share/g', 1),
      retained(3),
      retained(4),
    );
    assert.deepEqual([...outcome.retained], [['good', 'x']]);
    assert.deepEqual(
      outcome.lines.map((line) => line.replace(/ \(.*/, '')),
      [
        'taken: 1 session, 1 retained message',
        'not taken: 2 × message whose topic is none',
        'not taken: 1 × waiting message whose content is not in the file',
        'not taken: 1 × damaged state of a message',
        'not taken: 2 × subscription whose topic filter is none',
        'not taken: 1 × properties of a message, which are damaged: the property payloadFormatIndicator must be 0 or 1',
        'not taken: 1 × retained message below $SYS, which is the broker’s own',
      ],
    );
  });
});
