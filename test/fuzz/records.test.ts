/** Stored values that are damaged at random: decoding gives a value or `PORTICO_STORE_VALUE`, never anything else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '../../src/bus/message.js';
import { PorticoError } from '../../src/errors.js';
import * as aedes from '../../src/store/aedes-packets.js';
import { aedesKey, aedesParts } from '../../src/store/keys.js';
import * as records from '../../src/store/records.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

const ROUNDS = 8000;

function message(random: Random): Message {
  return {
    topic: random.text(),
    payload: random.bytes(random.below(20)),
    qos: random.pick([0, 1, 2] as const),
    retain: random.below(2) === 1,
    properties: random.bytes(random.below(8)),
    expiresAt: random.below(2 ** 31),
    publisherId: random.text(),
    receivedAt: random.below(2 ** 31),
  };
}

/** One kind of value: a random one encoded, and what reads it. */
interface Codec {
  readonly name: string;
  encode(random: Random): Buffer;
  decode(value: Buffer): unknown;
}

const CODECS: Codec[] = [
  { name: 'message', encode: (random) => records.encodeMessage(message(random)), decode: records.decodeMessage },
  {
    name: 'message with its source',
    encode: (random) => {
      const plain = message(random);
      const username = random.below(2) === 0 ? null : random.text();
      return records.encodeMessage({ ...plain, source: { id: plain.publisherId, username } });
    },
    decode: records.decodeMessage,
  },
  {
    name: 'will',
    encode: (random) => records.encodeWill({ delay: random.below(9), sessionExpiry: 1, message: message(random) }),
    decode: records.decodeWill,
  },
  {
    name: 'will of a client with groups',
    encode: (random) =>
      records.encodeWill({
        ...{ delay: random.below(9), sessionExpiry: 1, message: message(random) },
        username: random.below(2) === 0 ? null : random.text(),
        grant: { groups: [random.text(), random.text()], superuser: random.below(2) === 0 },
      }),
    decode: records.decodeWill,
  },
  {
    name: 'session',
    encode: (random) =>
      records.encodeSession({
        number: random.below(2 ** 31),
        expiryInterval: random.below(2 ** 31),
        connected: random.below(2) === 1,
        disconnectedAt: random.below(2 ** 31),
        version: random.pick([3, 4, 5]),
        sharing: random.below(2) === 0,
      }),
    decode: records.decodeSession,
  },
  {
    name: 'subscription',
    encode: (random) =>
      records.encodeSubscription({
        qos: random.pick([0, 1, 2] as const),
        noLocal: random.below(2) === 1,
        retainAsPublished: random.below(2) === 1,
        retainHandling: random.pick([0, 1, 2] as const),
        identifier: random.below(268435456),
      }),
    decode: records.decodeSubscription,
  },
  {
    name: 'flow state',
    encode: (random) => {
      const base = random.below(2 ** 31);
      const exceptions = Array.from({ length: random.below(5) }, () => {
        return { sequence: base + random.below(65536), state: random.below(256) };
      });
      const inbound = Array.from({ length: random.below(5) }, () => random.below(65536));
      const dropped = {
        droppedStart: random.below(2 ** 31),
        droppedEnd: random.below(2 ** 31),
        assumedGone: random.below(100),
      };
      return records.encodeFlow({ base, sent: base + 1, tail: 7, reserved: base + 2, ...dropped, exceptions, inbound });
    },
    decode: records.decodeFlow,
  },
  {
    name: 'Aedes packet',
    encode: (random) => {
      const payload = random.pick([random.text(), random.bytes(random.below(12))]);
      const properties = { userProperties: { [random.text()]: random.text() }, list: [1, undefined, 2n] };
      return aedes.encodePacket({ topic: random.text(), payload, qos: random.below(3), properties });
    },
    decode: aedes.decodePacket,
  },
  {
    name: 'Aedes subscription',
    encode: (random) => aedes.encodeAedesSubscription({ topic: 't', qos: random.below(3), rap: true }),
    decode: (value) => aedes.decodeAedesSubscription('t', value),
  },
  { name: 'number', encode: (random) => aedes.encodeNumber(random.below(2 ** 31) * 3), decode: aedes.decodeNumber },
  {
    name: 'Aedes key',
    encode: (random) => aedesKey(random.below(8), random.text(), random.text()),
    decode: aedesParts,
  },
];

/** Cut, lengthened, with bits turned, with bytes replaced, or nothing but noise behind the version. */
function damage(value: Buffer, random: Random): Buffer {
  const copy = Buffer.from(value);
  const flips = 1 + random.below(4);
  switch (random.below(5)) {
    case 0:
      return copy.subarray(0, random.below(copy.length));
    case 1:
      return Buffer.concat([copy, random.bytes(1 + random.below(9))]);
    case 2:
      for (let i = 0; i < flips; i++) copy[random.below(copy.length)] ^= 1 << random.below(8);
      return copy;
    case 3:
      for (let i = 0; i < flips; i++) copy[random.below(copy.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
      return copy;
    default:
      return Buffer.concat([copy.subarray(0, 1), random.bytes(random.below(40))]);
  }
}

const [seed] = seeds(1);

for (const codec of CODECS) {
  test(`${codec.name}: damage gives a value or PORTICO_STORE_VALUE`, (t) => {
    t.diagnostic(`SEED=${seed}`);
    const random = new Random(seed);
    let refused = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const whole = codec.encode(random);
      const value = damage(whole, random);
      const where = `SEED=${seed} round ${round} ${value.toString('hex')}`;
      assert.doesNotThrow(() => codec.decode(whole), where);
      try {
        codec.decode(value);
      } catch (error) {
        assert.ok(error instanceof PorticoError && error.code === 'PORTICO_STORE_VALUE', `${error} ${where}`);
        refused++;
      }
    }
    assert.ok(refused > 0 && refused < ROUNDS, `${refused} refused: the damage must reach both outcomes`);
  });
}
