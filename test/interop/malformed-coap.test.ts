import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { Mistreated, seeded } from './mistreated.js';
import { mutate, randomBuffer } from './random.js';
import { ACK, CON, coapMessage, codeOf, Datagrams, messageIdOf, NON, RST, typeOf } from './raw.js';
import { SysWatch } from './sys.js';

const URI_PATH = 11;

/** What is sent, which counter takes it, and whether the sender is told by a Reset. Message identifiers are unique. */
const MALFORMED: readonly (readonly [name: string, hex: string, counter: string, reset: boolean])[] = [
  ['nothing at all', '', 'formatErrors', false],
  ['three bytes', '40 01 00', 'formatErrors', false],
  ['version 0', '00 01 0101', 'ignoredVersion', false],
  ['version 2', '80 01 0101', 'ignoredVersion', false],
  ['version 3', 'c0 01 0101', 'ignoredVersion', false],
  ['a token length of 9', '49 01 0101 010203040506070809', 'formatErrors', true],
  ['a token length of 15', '4f 01 0102 0102030405060708090a0b0c0d0e0f', 'formatErrors', true],
  ['a token that is cut off', '48 01 0103 01020304', 'formatErrors', true],
  ['a payload marker without payload', '40 01 0104 b2 7073 ff', 'formatErrors', true],
  ['an option that runs past the end', '40 01 0105 b9 7073', 'formatErrors', true],
  ['option delta 15 that is no payload marker', '40 01 0106 f1 00', 'formatErrors', true],
  ['option length 15', '40 01 0107 bf 00', 'formatErrors', true],
  ['an extended option delta that is cut off', '40 01 0108 d0', 'formatErrors', true],
  ['an empty message with a token', '41 00 0109 01', 'formatErrors', true],
  ['an empty message with more bytes', '40 00 010a 01', 'formatErrors', true],
  ['a reserved code class', '40 20 010b', 'unexpectedMessages', true],
  ['code class 7', '40 e1 010c', 'unexpectedMessages', true],
  ['a confirmable response', '40 45 010d', 'unexpectedMessages', true],
  ['a non-confirmable response', '50 45 010e', 'unexpectedMessages', false],
  ['a request as acknowledgement', '60 01 010f', 'unexpectedMessages', false],
  ['an acknowledgement of nothing', '60 00 0110', 'unmatchedReplies', false],
  ['a Reset of nothing', '70 00 0111', 'unmatchedReplies', false],
  ['an unknown critical option', '40 01 0112 e1 0100 00', 'badOptions', false],
];

describe('malformed CoAP', { timeout: 120_000 }, () => {
  const scene = new Mistreated();
  let datagrams: Datagrams;

  before(async () => {
    datagrams = await Datagrams.open(scene.portico.ports.coap);
  });
  after(() => datagrams.close());

  /** Sends an Empty Confirmable message and waits for its Reset; returns what arrived before. */
  async function arrived(): Promise<Buffer[]> {
    const id = 0xfffe;
    await datagrams.send(coapMessage(CON, 0, id));
    await datagrams.received.take((message) => typeOf(message) === RST && messageIdOf(message) === id, 'Reset');
    return datagrams.received.drain();
  }

  describe('one by one', () => {
    let counted: (name: string) => number;

    before(async () => {
      counted = await scene.sys.now();
    });

    for (const [name, hex, , reset] of MALFORMED) {
      test(`${name} is answered with ${reset ? 'a Reset' : 'no Reset'}`, async () => {
        const datagram = Buffer.from(hex.replaceAll(' ', ''), 'hex');
        await datagrams.send(datagram);
        const replies = await arrived();
        const resets = replies.filter((reply) => typeOf(reply) === RST).map(messageIdOf);
        assert.deepEqual(resets, reset ? [datagram.readUInt16BE(2)] : []);
        const codes = replies.filter((reply) => typeOf(reply) !== RST).map(codeOf);
        assert.deepEqual(codes, name === 'an unknown critical option' ? ['4.02'] : []);
      });
    }

    test('each one was counted under its cause', async () => {
      const now = await scene.sys.now();
      for (const counter of new Set(MALFORMED.map(([, , name]) => name))) {
        const expected = MALFORMED.filter(([, , name]) => name === counter).length;
        assert.equal(now(`coap/${counter}`) - counted(`coap/${counter}`), expected, counter);
      }
    });
  });

  test('random and half-right datagrams are counted, and do no harm', async (t) => {
    const random = seeded(t);
    const path = ['ps', 'random', 'x'].map((segment) => [URI_PATH, segment] as const);
    const right = [
      coapMessage(CON, 1, 1, Uint8Array.of(1, 2), [...path, [17, Uint8Array.of(50)]]),
      coapMessage(NON, 3, 2, Uint8Array.of(1), [...path, [12, ''], [15, 'qos=1']], 'payload'),
      coapMessage(CON, 3, 3, Uint8Array.of(3), [...path, [27, Uint8Array.of(0x0e)]], Buffer.alloc(1024, 'b')),
      coapMessage(CON, 1, 4, Uint8Array.of(4), [[6, ''], ...path, [23, Uint8Array.of(0x16)]]),
      coapMessage(CON, 1, 5, Uint8Array.of(5), [
        [URI_PATH, '.well-known'],
        [URI_PATH, 'core'],
        [15, 'rt=*'],
      ]),
      coapMessage(ACK, 0, 6),
    ];
    const attempts = 4000;
    const attack = async (): Promise<void> => {
      for (let sent = 1; sent <= attempts; sent++) {
        const any = random() < 0.5;
        await datagrams.send(
          any ? randomBuffer(random, 0, 200) : mutate(random, right[Math.floor(random() * right.length)]),
        );
        // So that no datagram is lost on its way in, which would be the kernel's to count.
        if (sent % 50 === 0) await arrived();
      }
    };
    const grown = await scene.sys.growth(() => scene.bystanders.during(attack()));
    // The bystanders and `arrived` send datagrams as well.
    assert.ok(grown('coap/datagramsReceived') >= attempts, `${grown('coap/datagramsReceived')}`);
    const refused = ['formatErrors', 'ignoredVersion', 'unexpectedMessages', 'badOptions'].map((name) =>
      grown(`coap/${name}`),
    );
    // Half of the datagrams are random, and three of four of those have a version that there is not.
    assert.ok(refused.reduce((sum, count) => sum + count) > attempts / 4, refused.join(', '));
  });

  for (const path of [['a/b'], ['a', '/'], ['a', 'b/'], ['/']]) {
    test(`a "/" within a Uri-Path segment, as in ${JSON.stringify(path)}, is refused with 4.00`, async () => {
      const options = ['ps', ...path].map((segment) => [URI_PATH, segment] as const);
      // A socket of its own: the other one may be an observer by chance.
      const device = await Datagrams.open(scene.portico.ports.coap);
      for (const [method, payload] of [[1], [2, 'x'], [3, 'x'], [4]] as const) {
        await device.send(coapMessage(CON, method, method, Uint8Array.of(method), options, payload));
        assert.equal(codeOf(await device.received.next('the answer')), '4.00', `method ${method}`);
      }
      device.close();
    });
  }
});

test('a CoAP listener on several addresses has one set of counters', { timeout: 30_000 }, async () => {
  // `loopback` is 127.0.0.1 and, where the machine has it, ::1.
  const portico = await Portico.start((ports) => ({
    listeners: Object.entries(ports).map(([type, port]) => ({ type, host: 'loopback', port })),
  }));
  try {
    const sys = await SysWatch.start(portico.ports.mqtt);
    const device = await Datagrams.open(portico.ports.coap);
    const grown = await sys.growth(async () => {
      await device.send(coapMessage(CON, 0, 1));
      assert.equal(typeOf(await device.received.next('Reset')), RST);
    });
    assert.equal(grown('coap/pings'), 1);
    device.close();
  } finally {
    await portico.dispose();
  }
});
