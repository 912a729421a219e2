import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Message, NO_PROPERTIES } from '../../src/bus/message.js';
import * as aedes from '../../src/store/aedes-packets.js';
import {
  decodeFlow,
  decodeMessage,
  decodeSession,
  decodeSubscription,
  decodeWill,
  encodeFlow,
  encodeMessage,
  encodeSession,
  encodeSubscription,
  encodeWill,
  type FlowRecord,
  type SessionRecord,
  type SubscriptionRecord,
} from '../../src/store/records.js';

const MESSAGE: Message = {
  topic: 'home/Küche/💡',
  payload: Buffer.from([0, 1, 254, 255]),
  qos: 2,
  retain: true,
  properties: Buffer.from([0x01, 0x01]),
  expiresAt: 1_900_000_000_123,
  publisherId: 'lamp-1',
  receivedAt: 1_800_000_000_456,
};

const EMPTY: Message = {
  topic: '',
  payload: Buffer.alloc(0),
  qos: 0,
  retain: false,
  properties: NO_PROPERTIES,
  expiresAt: 0,
  publisherId: '',
  receivedAt: 0,
};

const SESSION: SessionRecord = {
  number: 2 ** 48 - 1,
  expiryInterval: 0xffffffff,
  connected: true,
  disconnectedAt: 1_800_000_000_456,
  sharing: true,
  version: 5,
};

const FLOW: FlowRecord = {
  base: 2 ** 40,
  sent: 2 ** 40 + 65536,
  tail: 7,
  reserved: 2 ** 40 + 70000,
  droppedStart: 2 ** 40 + 3,
  droppedEnd: 2 ** 41,
  assumedGone: 7,
  exceptions: [
    { sequence: 2 ** 40, state: 1 },
    { sequence: 2 ** 40 + 65535, state: 255 },
  ],
  inbound: [1, 65535],
};

const SUBSCRIPTION: SubscriptionRecord = {
  qos: 1,
  noLocal: true,
  retainAsPublished: false,
  retainHandling: 2,
  identifier: 268435455,
};

const damaged = { code: 'PORTICO_STORE_VALUE', name: 'PorticoError' };

describe('round trips', () => {
  test('messages', () => {
    const longest = { ...MESSAGE, topic: 't'.repeat(65535), publisherId: 'c'.repeat(65535) };
    const large = { ...MESSAGE, payload: Buffer.alloc(2 ** 20, 7), properties: Buffer.alloc(70_000, 1) };
    for (const message of [MESSAGE, EMPTY, longest, large]) {
      assert.deepEqual(decodeMessage(encodeMessage(message)), message);
    }
    for (const qos of [0, 1, 2] as const) {
      for (const retain of [true, false]) {
        assert.deepEqual(decodeMessage(encodeMessage({ ...MESSAGE, qos, retain })), { ...MESSAGE, qos, retain });
      }
    }
  });

  test('messages that stand on the rights of their publisher', () => {
    const id = MESSAGE.publisherId;
    for (const username of [null, '', 'ann', 'é'.repeat(30_000)]) {
      const message = { ...MESSAGE, source: { id, username } };
      const value = encodeMessage(message);
      assert.deepEqual(decodeMessage(value), message);
      assert.notEqual(value[0], encodeMessage(MESSAGE)[0]);
      for (let length = 0; length < 40; length++) {
        assert.throws(() => decodeMessage(value.subarray(0, length)), damaged, `${length}`);
      }
    }
    assert.deepEqual(decodeMessage(encodeMessage({ ...MESSAGE, source: null })), MESSAGE);
  });

  test('messages whose publisher came by a listener with rules of its own, and wills of such clients', () => {
    const id = MESSAGE.publisherId;
    for (const username of [null, '', 'ann']) {
      for (const listener of ['1884', '/run/portico/é.sock']) {
        const message = { ...MESSAGE, source: { id, username, listener } };
        const value = encodeMessage(message);
        assert.deepEqual(decodeMessage(value), message);
        for (let length = 0; length < 50; length++) {
          assert.throws(() => decodeMessage(value.subarray(0, length)), damaged, `${length}`);
        }
        const will = { delay: 5, sessionExpiry: 9, message };
        assert.deepEqual(decodeWill(encodeWill(will)), will);
      }
      const source = { id, username };
      const plain = encodeMessage({ ...MESSAGE, source });
      assert.deepEqual(encodeMessage({ ...MESSAGE, source: { ...source, listener: '' } }), plain);
    }
  });

  test('a decoded message does not share memory with what it was read from', () => {
    const value = encodeMessage(MESSAGE);
    const message = decodeMessage(value);
    value.fill(0);
    assert.deepEqual(message, MESSAGE);
  });

  test('sessions', () => {
    const idle: SessionRecord = {
      number: 0,
      expiryInterval: 0,
      connected: false,
      disconnectedAt: 0,
      version: 3,
      sharing: false,
    };
    for (const session of [SESSION, idle]) assert.deepEqual(decodeSession(encodeSession(session)), session);
  });

  test('subscriptions, with every combination of options', () => {
    for (const qos of [0, 1, 2] as const) {
      for (const retainHandling of [0, 1, 2] as const) {
        for (const noLocal of [true, false]) {
          for (const retainAsPublished of [true, false]) {
            for (const identifier of [0, 1, 268435455]) {
              const subscription = { qos, retainHandling, noLocal, retainAsPublished, identifier };
              assert.deepEqual(decodeSubscription(encodeSubscription(subscription)), subscription);
            }
          }
        }
      }
    }
  });

  test('flow states', () => {
    const many = Array.from({ length: 65535 }, (_, i) => i + 1);
    const exceptions = many.map((i) => ({ sequence: i, state: i % 256 }));
    for (const flow of [
      FLOW,
      { ...FLOW, base: 0, sent: 0, exceptions: [], inbound: [] },
      { ...FLOW, base: 0, sent: 65536, reserved: 65536, exceptions, inbound: many },
    ]) {
      assert.deepEqual(decodeFlow(encodeFlow(flow)), flow);
    }
  });

  test('wills', () => {
    for (const message of [MESSAGE, EMPTY]) {
      const will = { delay: 0xffffffff, sessionExpiry: 3600, message };
      assert.deepEqual(decodeWill(encodeWill(will)), will);
      for (const username of ['', 'ünäme', 'x'.repeat(65_535)]) {
        assert.deepEqual(decodeWill(encodeWill({ ...will, username })), { ...will, username });
      }
      const many = Array.from({ length: 20_000 }, (_, i) => `g${i}`);
      for (const grant of [
        { groups: ['', 'plänt', 'x'.repeat(65_535)], superuser: false },
        { groups: [], superuser: true },
        { groups: many, superuser: true },
      ]) {
        for (const lent of [
          { ...will, grant },
          { ...will, grant, username: 'ann' },
        ]) {
          assert.deepEqual(decodeWill(encodeWill(lent)), lent);
        }
      }
      for (const nothing of [null, { groups: [], superuser: false }]) {
        assert.deepEqual(decodeWill(encodeWill({ ...will, grant: nothing })), will);
      }
    }
  });

  test('packets of the Aedes contract, whatever is in them', () => {
    const packet = {
      cmd: 'publish',
      payload: Buffer.from([1, 2]),
      qos: 1,
      properties: { userProperties: { a: ['1', '2'] }, correlationData: Buffer.from('x') },
      nothing: undefined,
      none: null,
      big: 2n ** 64n,
      map: new Map([['a', new Date(0)]]),
    };
    const decoded = aedes.decodePacket(aedes.encodePacket(packet));
    assert.deepEqual(decoded, packet);
    assert.ok(Buffer.isBuffer(decoded.payload));
    assert.ok('nothing' in decoded);
    assert.equal(aedes.decodePacket(aedes.encodePacket({ payload: 'text' })).payload, 'text');
  });

  test('functions of a packet are left out, and a function inside a field is refused', () => {
    const packet = { topic: 't', writeCallback: () => {} };
    assert.deepEqual(aedes.decodePacket(aedes.encodePacket(packet)), { topic: 't' });
    assert.throws(() => aedes.encodePacket({ properties: { f: () => {} } }), damaged);
  });
});

describe('damage is an error with a code', () => {
  const values: [string, Buffer, (value: Buffer) => unknown][] = [
    ['message', encodeMessage({ ...MESSAGE, payload: Buffer.alloc(0) }), decodeMessage],
    ['session', encodeSession(SESSION), decodeSession],
    ['subscription', encodeSubscription(SUBSCRIPTION), decodeSubscription],
    ['flow state', encodeFlow(FLOW), decodeFlow],
    ['will', encodeWill({ delay: 1, sessionExpiry: 2, message: { ...MESSAGE, payload: Buffer.alloc(0) } }), decodeWill],
    [
      'will of a client with groups',
      encodeWill({
        ...{ delay: 1, sessionExpiry: 2, message: { ...MESSAGE, payload: Buffer.alloc(0) } },
        ...{ username: 'ann', grant: { groups: ['plant', 'staff'], superuser: false } },
      }),
      decodeWill,
    ],
    ['packet', aedes.encodePacket({ topic: 't', payload: Buffer.from('abc') }), aedes.decodePacket],
    [
      'Aedes subscription',
      aedes.encodeAedesSubscription({ topic: 't', qos: 1 }),
      (value) => aedes.decodeAedesSubscription('t', value),
    ],
    ['number', aedes.encodeNumber(2 ** 40), aedes.decodeNumber],
  ];
  for (const [what, value, decode] of values) {
    test(`${what}: cut short anywhere`, () => {
      decode(value);
      for (let length = 0; length < value.length; length++) {
        assert.throws(() => decode(value.subarray(0, length)), damaged, `${length} of ${value.length}`);
      }
    });

    test(`${what}: unknown version`, () => {
      for (const version of [0, 2, 255]) {
        const other = Buffer.from(value);
        other[0] = version;
        assert.throws(() => decode(other), { ...damaged, message: /unknown version/ }, `${version}`);
      }
    });
  }

  test('will: a damaged message inside', () => {
    const value = encodeWill({ delay: 1, sessionExpiry: 2, message: MESSAGE });
    value[9] = 2;
    assert.throws(() => decodeWill(value), damaged);
  });

  test('message: QoS 3, and lengths beyond the end', () => {
    const qos3 = encodeMessage(MESSAGE);
    qos3[1] |= 3;
    assert.throws(() => decodeMessage(qos3), damaged);
    for (const at of [18, 20, 22]) {
      const value = encodeMessage(MESSAGE);
      value[at] = 0xff;
      assert.throws(() => decodeMessage(value), damaged, `${at}`);
    }
  });

  test('records of one kind in the place of another', () => {
    assert.throws(() => aedes.decodeAedesSubscription('t', aedes.encodePacket({ topic: 't' })), damaged);
    assert.throws(() => aedes.decodePacket(aedes.encodeNumber(1)), damaged);
    assert.throws(() => aedes.decodeNumber(aedes.encodePacket({ topic: 't' })), damaged);
  });
});
