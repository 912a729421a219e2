/** Writers: every valid row of the packet table that they can write, and the limits of their fields. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Output } from '../../src/wire/output.js';
import { PacketType } from '../../src/wire/protocol.js';
import { connackReturnCode, ReasonCode, reasonText } from '../../src/wire/reason-codes.js';
import { WireError } from '../../src/wire/wire-error.js';
import * as writers from '../../src/wire/writers.js';
import { PACKETS, type PacketRow } from '../packets.js';
import { Recorder } from './recorder.js';
import { raw } from './table/row.js';
import { write } from './write.js';

/** PUBLISH has its own writer, and the return codes of old CONNACKs are made from reason codes. */
function isWritable(row: PacketRow): boolean {
  if (row.packet === undefined || row.packet.cmd === 'publish') return false;
  return !(row.packet.cmd === 'connack' && row.version < 5 && row.packet.reasonCode > 0);
}

describe('packet table', () => {
  for (const row of PACKETS.filter(isWritable)) {
    test(`${row.name} is written`, () => {
      const out = new Output();
      const before = Buffer.from('before');
      out.reserve(before.length);
      out.writeBytes(before, 0, before.length);
      write(out, row.version, row.packet!);
      const written = Buffer.from(out.bytes().subarray(before.length));
      assert.deepEqual(out.bytes().subarray(0, before.length), before);
      if (!row.otherForm) assert.deepEqual(written, row.bytes);
      const recorder = Recorder.for(row);
      recorder.parser.push(written);
      assert.deepEqual(recorder.errors, []);
      assert.deepEqual(recorder.packets, [row.packet]);
    });
  }
});

function bytes(write: (out: Output) => void): Buffer {
  const out = new Output();
  write(out);
  return Buffer.from(out.bytes());
}

test('an acknowledgement of success is four bytes in every version, and before MQTT 5.0 any is', () => {
  for (const version of [3, 4, 5] as const) {
    for (const [type, first] of [
      [PacketType.PUBACK, 0x40],
      [PacketType.PUBREC, 0x50],
      [PacketType.PUBREL, 0x62],
      [PacketType.PUBCOMP, 0x70],
    ]) {
      assert.deepEqual(
        bytes((out) => writers.writeAcknowledgement(out, version, type, 0xabcd, 0)),
        Buffer.from([first, 2, 0xab, 0xcd]),
      );
    }
  }
  assert.deepEqual(
    bytes((out) => writers.writeAcknowledgement(out, 4, PacketType.PUBACK, 1, 0x87, { reasonString: 'no' })),
    raw('40 02 0001'),
  );
});

test('an acknowledgement carries its reason and properties in MQTT 5.0', () => {
  assert.deepEqual(
    bytes((out) => writers.writeAcknowledgement(out, 5, PacketType.PUBACK, 1, 0x87)),
    raw('40 03 0001 87'),
  );
  assert.deepEqual(
    bytes((out) => writers.writeAcknowledgement(out, 5, PacketType.PUBREC, 1, 0x87, { reasonString: 'no' })),
    raw('50 09 0001 87 05 1f 0002 6e6f'),
  );
});

test('CONNACK before MQTT 5.0 has a return code, and never a session present beside a refusal [MQTT-3.2.2-4]', () => {
  assert.deepEqual(
    bytes((out) => writers.writeConnack(out, 4, true, ReasonCode.NotAuthorized)),
    raw('20 02 00 05'),
  );
  assert.deepEqual(
    bytes((out) => writers.writeConnack(out, 3, true, 0)),
    raw('20 02 00 00'),
  );
  assert.deepEqual(
    bytes((out) => writers.writeConnack(out, 5, true, ReasonCode.NotAuthorized)),
    raw('20 03 00 87 00'),
  );
});

test('return codes of CONNACK for reason codes', () => {
  assert.equal(connackReturnCode(ReasonCode.Success), 0);
  assert.equal(connackReturnCode(ReasonCode.UnsupportedProtocolVersion), 1);
  assert.equal(connackReturnCode(ReasonCode.ClientIdentifierNotValid), 2);
  assert.equal(connackReturnCode(ReasonCode.ServerUnavailable), 3);
  assert.equal(connackReturnCode(ReasonCode.ServerBusy), 3);
  assert.equal(connackReturnCode(ReasonCode.BadUserNameOrPassword), 4);
  assert.equal(connackReturnCode(ReasonCode.NotAuthorized), 5);
  for (const code of Object.values(ReasonCode)) {
    const low = connackReturnCode(code);
    assert.ok(code === 0 || code < 0x80 || (low >= 1 && low <= 5), reasonText(code));
  }
});

test('reason codes in words', () => {
  assert.equal(reasonText(0), 'success');
  assert.equal(reasonText(0x01), 'granted QoS 1');
  assert.equal(reasonText(0x9b), 'QoS not supported');
  assert.equal(reasonText(0x8d), 'keep alive timeout');
  assert.equal(reasonText(0xff), 'reason code 0xff');
});

test('a field that is too long is refused before anything is written', () => {
  const long = 'x'.repeat(65536);
  const connect = {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    bridgeMode: false,
    clean: true,
    keepalive: 0,
  } as const;
  const will = { topic: 't', payload: Buffer.alloc(0), qos: 0, retain: false } as const;
  const attempts: ((out: Output) => void)[] = [
    (out) => writers.writeConnect(out, { ...connect, clientId: long }),
    (out) => writers.writeConnect(out, { ...connect, clientId: 'c', username: long }),
    (out) => writers.writeConnect(out, { ...connect, clientId: 'c', password: Buffer.alloc(65536) }),
    (out) => writers.writeConnect(out, { ...connect, clientId: 'c', will: { ...will, topic: long } }),
    (out) => writers.writeConnect(out, { ...connect, clientId: 'c', will: { ...will, payload: Buffer.alloc(65536) } }),
    (out) =>
      writers.writeSubscribe(out, 4, {
        cmd: 'subscribe',
        messageId: 1,
        subscriptions: [{ topic: long, qos: 0, nl: false, rap: false, rh: 0 }],
      }),
    (out) => writers.writeUnsubscribe(out, 4, { cmd: 'unsubscribe', messageId: 1, unsubscriptions: [long] }),
    (out) => writers.writeDisconnect(out, 5, 0x80, { reasonString: long }),
    (out) => writers.writeDisconnect(out, 5, 0x80, { topicAlias: 1 }),
    (out) => writers.writeConnack(out, 5, false, 0, { userProperties: [[long, '']] }),
    (out) => writers.writeSuback(out, 5, 1, [0], { serverKeepAlive: 1 }),
  ];
  for (const attempt of attempts) {
    const out = new Output();
    assert.throws(() => attempt(out), WireError);
    assert.equal(out.length, 0);
  }
});
