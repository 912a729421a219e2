/** Properties as objects, and the raw properties that a PUBLISH forwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Output } from '../../src/wire/output.js';
import type { Properties } from '../../src/wire/packets.js';
import { decodeProperties, encodeProperties, encodePropertyList, propertiesSize } from '../../src/wire/properties.js';
import { decodeForwardedProperties, forwardableProperties, type PublishView } from '../../src/wire/publish-view.js';
import { WireError } from '../../src/wire/wire-error.js';
import { Recorder } from './recorder.js';
import { framed, props, raw, str } from './table/row.js';

function encode(properties: Properties, ...context: [Parameters<typeof encodeProperties>[2]]): Buffer {
  const out = new Output();
  encodeProperties(out, properties, ...context);
  return Buffer.from(out.bytes());
}

/** Parses a PUBLISH and hands its view to `look` while it is valid. */
function view<T>(direction: 'client' | 'server', properties: Buffer, look: (view: PublishView) => T): T {
  const recorder = Recorder.opened(direction, 5);
  const seen: T[] = [];
  recorder.onPublish = (shown) => seen.push(look(shown));
  recorder.parser.push(framed(0x30, str('t'), props(properties), 'aa'));
  assert.deepEqual(recorder.errors, []);
  return seen[0];
}

test('user properties keep their order and duplicates [MQTT-3.3.2-18]', () => {
  const userProperties: [string, string][] = [
    ['b', '1'],
    ['a', '2'],
    ['b', '1'],
    ['__proto__', 'x'],
  ];
  const bytes = encode({ userProperties }, 'publish');
  assert.deepEqual(decodeProperties(bytes, 1, bytes.length, 'publish'), { userProperties });
});

test('one Subscription Identifier is a number, several are a list', () => {
  for (const subscriptionIdentifier of [1, 268435455, [1, 2], [5, 5, 128]]) {
    const bytes = encode({ subscriptionIdentifier }, 'publish');
    assert.deepEqual(decodeProperties(bytes, 1, bytes.length, 'publish'), { subscriptionIdentifier });
  }
});

test('as many properties as a packet can hold are decoded in linear time', () => {
  const one = raw('26 0000 0000');
  const many = Buffer.concat(Array.from({ length: 200_000 }, () => one));
  const started = process.cpuUsage();
  assert.equal(decodeProperties(many, 0, many.length, 'publish').userProperties?.length, 200_000);
  const { user, system } = process.cpuUsage(started);
  // Quadratic growth would take minutes here.
  assert.ok(user + system < 5_000_000, `${(user + system) / 1000} ms of processor time`);
});

test('no properties are one byte', () => {
  assert.deepEqual(encode({}, 'connack'), raw('00'));
  assert.equal(propertiesSize(undefined, 'connack'), 0);
});

test('false and 0 are written, undefined is not', () => {
  const properties = { retainAvailable: false, maximumQoS: 0, topicAliasMaximum: 0 };
  const bytes = encode(properties, 'connack');
  assert.deepEqual(decodeProperties(bytes, 1, bytes.length, 'connack'), properties);
});

test('what a packet or a field cannot carry is refused before anything is written', () => {
  const refused: [Properties, Parameters<typeof encodeProperties>[2], number][] = [
    [{ topicAlias: 1 }, 'connect', 0x82],
    [{ reasonString: 'x', willDelayInterval: 1 }, 'connack', 0x82],
    [{ reasonString: 'x'.repeat(65536) }, 'connack', 0x81],
    [{ reasonString: 'nul \0' }, 'connack', 0x81],
    [{ userProperties: [['k', 'ö'.repeat(32768)]] }, 'publish', 0x81],
    [{ correlationData: Buffer.alloc(65536) }, 'publish', 0x81],
    [{ receiveMaximum: 0 }, 'connect', 0x81],
    [{ receiveMaximum: 65536 }, 'connect', 0x81],
    [{ messageExpiryInterval: -1 }, 'publish', 0x81],
    [{ messageExpiryInterval: 2 ** 32 }, 'publish', 0x81],
    [{ messageExpiryInterval: 1.5 }, 'publish', 0x81],
    [{ messageExpiryInterval: Number.NaN }, 'publish', 0x81],
    [{ subscriptionIdentifier: 0 }, 'subscribe', 0x81],
    [{ subscriptionIdentifier: 268435456 }, 'subscribe', 0x81],
    [{ maximumQoS: 2 }, 'connack', 0x81],
    [JSON.parse('{"userProperties":{"k":"v"}}'), 'publish', 0x81],
  ];
  for (const [properties, context, reasonCode] of refused) {
    const out = new Output();
    const isExpected = (error: unknown) => error instanceof WireError && error.reasonCode === reasonCode;
    const name = JSON.stringify(properties).slice(0, 80);
    assert.throws(() => encodeProperties(out, properties, context), isExpected, name);
    assert.throws(() => encodePropertyList(out, properties, context), isExpected, name);
    assert.equal(out.length, 0, name);
  }
});

test('a string of 65,535 bytes is carried', () => {
  const reasonString = 'x'.repeat(65535);
  const bytes = encode({ reasonString }, 'connack');
  assert.deepEqual(decodeProperties(bytes, 3, bytes.length, 'connack'), { reasonString });
});

test('a decoder stays within its bounds', () => {
  const bytes = raw('1f 0001 78', 'ffffff');
  assert.deepEqual(decodeProperties(bytes, 0, 4, 'suback'), { reasonString: 'x' });
  assert.throws(() => decodeProperties(bytes, 0, 3, 'suback'), WireError);
});

function forwardable(shown: PublishView): Buffer {
  return forwardableProperties(shown.buffer, shown.propertiesStart, shown.propertiesEnd);
}

const TEXT = raw('03', str('text/plain'));
const PAIR = raw('26', str('k'), str('v'));

test('properties that are all forwarded are the bytes of the packet itself', () => {
  view('client', raw(TEXT, PAIR), (shown) => {
    const forwarded = forwardable(shown);
    assert.deepEqual(forwarded, raw(TEXT, PAIR));
    assert.equal(forwarded.buffer, shown.buffer.buffer);
    assert.equal(forwarded.byteOffset, shown.buffer.byteOffset + shown.propertiesStart);
  });
});

test('Topic Alias and Message Expiry Interval are cut out wherever they stand [MQTT-3.3.2-7]', () => {
  const alias = raw('23 0005');
  const expiry = raw('02 0000003c');
  for (const bytes of [
    raw(alias, expiry, TEXT, PAIR),
    raw(TEXT, alias, PAIR, expiry),
    raw(TEXT, PAIR, expiry, alias),
    raw(expiry, TEXT, PAIR),
    raw(TEXT, alias, PAIR),
  ]) {
    const forwarded = view('client', bytes, (shown) => {
      const kept = forwardable(shown);
      shown.buffer.fill(0);
      return kept;
    });
    assert.deepEqual(forwarded, raw(TEXT, PAIR), bytes.toString('hex'));
    assert.deepEqual(decodeForwardedProperties(forwarded), { contentType: 'text/plain', userProperties: [['k', 'v']] });
  }
  assert.equal(view('client', raw(alias, expiry), forwardable).length, 0);
});

test('a Subscription Identifier from a server belongs to its connection and is not forwarded', () => {
  const forwarded = view('server', raw('0b 01', PAIR, '0b ffffff7f'), forwardable);
  assert.deepEqual(forwarded, PAIR);
});

test('without properties nothing is forwarded', () => {
  assert.equal(view('client', Buffer.alloc(0), forwardable).length, 0);
  assert.deepEqual(decodeForwardedProperties(Buffer.alloc(0)), {});
});
