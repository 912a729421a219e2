/** How the parser takes its stream: pausing, stopping, limits, errors and what it holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketParser } from '../../src/wire/parser.js';
import { OPENINGS } from '../packets.js';
import { publishOf, Recorder } from './recorder.js';
import { framed, raw, str } from './table/row.js';

const PINGREQ = raw('c0 00');

function publish(payload: string | Buffer): Buffer {
  return framed(0x30, str('t'), Buffer.from(payload));
}

function payloads(recorder: Recorder): string[] {
  return recorder.packets.map((packet) => (packet.cmd === 'publish' ? packet.payload.toString() : packet.cmd));
}

test('pause in a callback holds back the next packet of the same chunk until resume', () => {
  const recorder = Recorder.opened('client', 4);
  const { parser } = recorder;
  recorder.after = () => parser.pause();
  parser.push(Buffer.concat([publish('1'), publish('2'), publish('3')]));
  assert.deepEqual(payloads(recorder), ['1']);
  assert.equal(parser.paused, true);
  assert.equal(parser.buffered, 2 * publish('2').length);
  parser.resume();
  assert.deepEqual(payloads(recorder), ['1', '2']);
  parser.resume();
  assert.deepEqual(payloads(recorder), ['1', '2', '3']);
  assert.equal(parser.buffered, 0);
});

test('a packet that is put back in a callback is handed on again first, whole or from two chunks', () => {
  for (const cut of [0, 3, publish('1').length + 2]) {
    const recorder = Recorder.opened('client', 4);
    const { parser } = recorder;
    const stream = Buffer.concat([publish('1'), publish('2'), publish('3')]);
    let left = 2;
    recorder.after = () => {
      if (payloads(recorder).at(-1) === '2' && left-- > 0) parser.putBack();
    };
    parser.push(stream.subarray(0, cut));
    parser.push(stream.subarray(cut));
    assert.deepEqual(payloads(recorder), ['1', '2']);
    assert.equal(parser.buffered, 2 * publish('2').length);
    parser.resume();
    assert.deepEqual(payloads(recorder), ['1', '2', '2']);
    parser.resume();
    assert.deepEqual(payloads(recorder), ['1', '2', '2', '2', '3']);
    assert.equal(parser.buffered, 0);
  }
});

test('bytes pushed while paused are kept in order, whole and partial packets alike', () => {
  const recorder = Recorder.opened('client', 4);
  const { parser } = recorder;
  const stream = Buffer.concat([publish('1'), publish('2'), publish('3'), publish('4')]);
  parser.push(stream.subarray(0, 3));
  parser.pause();
  for (let at = 3; at < stream.length - 2; at++) parser.push(stream.subarray(at, at + 1));
  assert.deepEqual(recorder.packets, []);
  assert.equal(parser.buffered, stream.length - 2);
  parser.resume();
  assert.deepEqual(payloads(recorder), ['1', '2', '3']);
  parser.push(stream.subarray(stream.length - 2));
  assert.deepEqual(payloads(recorder), ['1', '2', '3', '4']);
});

test('pause and resume in one callback hold back nothing', () => {
  const recorder = Recorder.opened('client', 4);
  const { parser } = recorder;
  recorder.after = () => {
    parser.pause();
    parser.resume();
  };
  parser.push(Buffer.concat([publish('1'), publish('2')]));
  assert.deepEqual(payloads(recorder), ['1', '2']);
});

test('resume without pause does nothing', () => {
  const recorder = Recorder.opened('client', 4);
  recorder.parser.push(publish('1').subarray(0, 4));
  recorder.parser.resume();
  assert.deepEqual(recorder.packets, []);
  recorder.parser.push(publish('1').subarray(4));
  assert.deepEqual(payloads(recorder), ['1']);
});

test('bytes pushed in a callback come after the chunk that is being parsed', () => {
  const recorder = Recorder.opened('client', 4);
  const { parser } = recorder;
  const third = publish('3');
  recorder.after = () => {
    recorder.after = () => {};
    parser.push(third.subarray(-1));
  };
  parser.push(Buffer.concat([publish('1'), publish('2'), third.subarray(0, -1)]));
  assert.deepEqual(payloads(recorder), ['1', '2', '3']);
  assert.deepEqual(recorder.errors, []);
});

test('bytes pushed in a callback of a whole chunk are parsed before push returns', () => {
  const recorder = Recorder.opened('client', 4);
  const { parser } = recorder;
  const late = [publish('3'), publish('4').subarray(0, 3), publish('4').subarray(3)];
  recorder.after = () => {
    const next = late.shift();
    if (next !== undefined) parser.push(next);
  };
  parser.push(Buffer.concat([publish('1'), publish('2')]));
  assert.deepEqual(payloads(recorder), ['1', '2', '3', '4']);
  assert.equal(parser.buffered, 0);
});

test('stop in a callback drops the rest, and nothing is taken after it', () => {
  const recorder = Recorder.opened('client', 4);
  const { parser } = recorder;
  recorder.after = () => parser.stop();
  parser.push(Buffer.concat([publish('1'), publish('2'), raw('00 00')]));
  parser.push(publish('3'));
  parser.pause();
  parser.push(publish('4'));
  parser.resume();
  assert.deepEqual(payloads(recorder), ['1']);
  assert.deepEqual(recorder.errors, []);
  assert.equal(parser.buffered, 0);
});

test('packets before a broken one are handed on; after it there is one error and silence', () => {
  const recorder = Recorder.opened('client', 4);
  recorder.parser.push(Buffer.concat([publish('1'), raw('36 00'), publish('2'), raw('00 00')]));
  recorder.parser.push(publish('3'));
  assert.deepEqual(payloads(recorder), ['1']);
  assert.deepEqual(
    recorder.errors.map((error) => error.reasonCode),
    [0x81],
  );
  assert.equal(recorder.parser.buffered, 0);
});

test('pause does not hold back an error that resume finds', () => {
  const recorder = Recorder.opened('client', 4);
  recorder.parser.pause();
  recorder.parser.push(Buffer.concat([PINGREQ, raw('c1 00')]));
  assert.equal(recorder.errors.length, 0);
  recorder.parser.resume();
  assert.deepEqual(payloads(recorder), ['pingreq']);
  assert.deepEqual(
    recorder.errors.map((error) => error.reasonCode),
    [0x81],
  );
});

test('a packet over the limit is refused as soon as its length is known [MQTT-3.1.2-24]', () => {
  for (const [limit, expected] of [
    [103, []],
    [102, [0x95]],
  ] as const) {
    const recorder = Recorder.opened('client', 4, limit);
    const packet = publish(Buffer.alloc(98));
    assert.equal(packet.length, 103);
    recorder.parser.push(packet.subarray(0, 2));
    assert.deepEqual(
      recorder.errors.map((error) => error.reasonCode),
      expected,
    );
    recorder.parser.push(packet.subarray(2));
    assert.equal(recorder.packets.length, expected.length === 0 ? 1 : 0);
  }
});

test('the limit may change between packets', () => {
  const recorder = Recorder.opened('client', 4);
  recorder.parser.push(publish('long enough'));
  recorder.parser.maximumPacketSize = 10;
  recorder.parser.push(publish('long enough'));
  assert.equal(recorder.packets.length, 1);
  assert.equal(recorder.errors.at(0)?.reasonCode, 0x95);
});

test('memory for a partial packet follows the bytes that arrive, not the length that it claims', () => {
  const recorder = Recorder.opened('client', 4);
  const before = process.memoryUsage().arrayBuffers;
  const parsers: Recorder[] = [];
  for (let i = 0; i < 50; i++) {
    const claimed = Recorder.opened('client', 4);
    claimed.parser.push(raw('30 ff ff ff 7f 00 01 74'));
    assert.equal(claimed.parser.buffered, 8);
    parsers.push(claimed);
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024, `${parsers.length} claims of 256 MiB`);
  assert.deepEqual(recorder.errors, []);
});

test('a packet of 1 MiB arrives in pieces of 1,000 bytes', () => {
  const recorder = Recorder.opened('client', 4);
  const payload = Buffer.alloc(1 << 20, 'abc');
  const stream = Buffer.concat([PINGREQ, publish(payload), PINGREQ]);
  for (let at = 0; at < stream.length; at += 1000) {
    recorder.parser.push(stream.subarray(at, at + 1000));
    assert.ok(recorder.parser.buffered <= at + 1000);
  }
  assert.deepEqual(
    recorder.packets.map((packet) => packet.cmd),
    ['pingreq', 'publish', 'pingreq'],
  );
  const [, packet] = recorder.packets;
  assert.ok(packet.cmd === 'publish' && packet.payload.equals(payload));
});

test('a PUBLISH that lies whole in a chunk is shown in that chunk, also behind the end of a split packet', () => {
  const chunks: Buffer[] = [];
  const seen: Buffer[] = [];
  const recorder = Recorder.opened('client', 4);
  recorder.onPublish = (view) => {
    seen.push(view.buffer);
    recorder.packets.push(publishOf(view, 4));
  };
  const split = publish('split');
  chunks.push(Buffer.concat([publish('1'), split.subarray(0, 4)]), Buffer.concat([split.subarray(4), publish('2')]));
  for (const chunk of chunks) recorder.parser.push(chunk);
  assert.deepEqual(payloads(recorder), ['1', 'split', '2']);
  assert.equal(seen[0], chunks[0]);
  assert.equal(seen[2], chunks[1]);
  assert.notEqual(seen[1], chunks[1]);
});

test('what packets are made of is not the chunk: it may be used again', () => {
  const recorder = new Recorder('client', 5);
  const will = raw('00', str('w'), str('gone'));
  const data = raw('15', str('m'), '16', str('data'));
  const chunk = framed(
    0x10,
    str('MQTT'),
    '05 c6 0000',
    Buffer.from([data.length]),
    data,
    str('c'),
    will,
    str('u'),
    str('pw'),
  );
  recorder.parser.push(chunk);
  chunk.fill(0xff);
  const [packet] = recorder.packets;
  assert.ok(packet.cmd === 'connect');
  assert.equal(packet.will?.payload.toString(), 'gone');
  assert.equal(packet.password?.toString(), 'pw');
  assert.equal(packet.properties?.authenticationData?.toString(), 'data');
});

test('a callback that fails ends its connection with 0x83 and nothing leaves push', () => {
  const recorder = Recorder.opened('client', 4);
  recorder.after = (packet) => {
    if (packet !== null) throw new RangeError('a bug');
  };
  recorder.parser.push(Buffer.concat([publish('1'), publish('2')]));
  assert.deepEqual(payloads(recorder), ['1']);
  assert.deepEqual(
    recorder.errors.map((error) => [error.reasonCode, error.message]),
    [[0x83, 'a bug']],
  );
});

test('not even the callback for errors makes push throw', () => {
  const recorder = Recorder.opened('client', 4);
  recorder.after = () => {
    throw new RangeError('a bug');
  };
  recorder.parser.push(raw('00 00'));
  recorder.parser.push(PINGREQ);
  assert.equal(recorder.errors.length, 1);
});

test('the version is that of CONNECT', () => {
  for (const version of [3, 4, 5] as const) {
    const parser = new PacketParser(new Recorder('client', version), 1000);
    assert.equal(parser.version, 0);
    parser.push(OPENINGS.client[version]);
    assert.equal(parser.version, version);
  }
});

test('after a CONNECT that is refused, the version says in which form it may be answered', () => {
  const versionAfter = (bytes: Buffer) => {
    const recorder = new Recorder('client', 4);
    recorder.parser.push(bytes);
    assert.equal(recorder.errors.length, 1);
    return recorder.parser.version;
  };
  // MQTT 5.0: a level after its own is answered as it has it, with 0x84 [MQTT-3.1.2-2].
  assert.equal(versionAfter(framed(0x10, str('MQTT'), '06 02 0000 00', str('c'))), 5);
  // MQTT 3.1.1: another level that there is not is answered with return code 1 [MQTT-3.1.2-2] ...
  assert.equal(versionAfter(framed(0x10, str('MQTT'), '02 02 0000', str('c'))), 4);
  // ... and a broken CONNECT not at all [MQTT-3.1.4-1]; MQTT 5.0: with its reason code [MQTT-3.1.4-2].
  assert.equal(versionAfter(framed(0x10, str('MQTT'), '04 03 0000', str('c'))), 0);
  assert.equal(versionAfter(framed(0x10, str('MQIsdp'), '03 1e 0000', str('c'))), 0);
  assert.equal(versionAfter(framed(0x10, str('MQTT'), '05 03 0000 00', str('c'))), 5);
  assert.equal(versionAfter(framed(0x10, str('AMQP'), '04 02 0000', str('c'))), 0);
  assert.equal(versionAfter(Buffer.from('GET / HTTP/1.1\r\n\r\n')), 0);
});

test('subscriptions of a bridge are No Local and Retain As Published', () => {
  for (const [level, flag] of [
    ['04', false],
    ['84', true],
  ] as const) {
    const recorder = new Recorder('client', 4);
    recorder.parser.push(framed(0x10, str('MQTT'), level, '02 0000', str('c')));
    recorder.parser.push(framed(0x82, '0001', str('#'), '01'));
    assert.deepEqual(recorder.packets[1], {
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: '#', qos: 1, nl: flag, rap: flag, rh: 0 }],
    });
  }
});
