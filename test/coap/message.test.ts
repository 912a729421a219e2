/** The message format of RFC 7252 3 and 4, and the message-layer purposes of the Eclipse IoT-Testware for CoAP servers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError, Message, MessageWriter, parseMessage, readUint } from '../../src/coap/message.js';
import { ACK, Bench, CON, decode, encode, NON, OPT, RST } from './harness.js';

function bench(): Bench {
  return new Bench((_request, exchange) => exchange.respond({ code: 0x45, payload: Buffer.from('ok') }));
}

const PATH = [0xb1, 0x78]; // Uri-Path "x"

/** Name, bytes after the first two, result of the parser. The type bits of the first byte are set by each test. */
const MALFORMED: readonly (readonly [string, number, readonly number[], number])[] = [
  ['token length 9', 0x49, [0x01, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9], FormatError.TokenLength],
  ['token length 14', 0x4e, [0x01, 0, 1, ...new Array<number>(40).fill(0x41)], FormatError.TokenLength],
  ['token length 15', 0x4f, [0x01, 0, 1, ...new Array<number>(40).fill(0x41)], FormatError.TokenLength],
  ['token longer than the datagram', 0x44, [0x01, 0, 1, 1, 2, 3], FormatError.TokenLength],
  ['marker without a payload', 0x40, [0x01, 0, 1, ...PATH, 0xff], FormatError.EmptyPayload],
  ['option value past the end', 0x40, [0x01, 0, 1, 0xb4, 0x78], FormatError.OptionTruncated],
  ['extended delta past the end', 0x40, [0x01, 0, 1, 0xd0], FormatError.OptionTruncated],
  ['two-byte delta cut in half', 0x40, [0x01, 0, 1, 0xe0, 1], FormatError.OptionTruncated],
  ['extended length past the end', 0x40, [0x01, 0, 1, 0xbd], FormatError.OptionTruncated],
  ['two-byte length cut in half', 0x40, [0x01, 0, 1, 0xbe, 0], FormatError.OptionTruncated],
  ['delta nibble 15', 0x40, [0x01, 0, 1, 0xf1, 0], FormatError.ReservedNibble],
  ['length nibble 15', 0x40, [0x01, 0, 1, 0xbf, 0], FormatError.ReservedNibble],
  ['option number above 65535', 0x40, [0x01, 0, 1, 0xe0, 0xff, 0xff], FormatError.OptionNumber],
  ['empty message with a token', 0x41, [0x00, 0, 1, 7], FormatError.EmptyMessage],
  ['empty message with bytes after it', 0x40, [0x00, 0, 1, 7], FormatError.EmptyMessage],
  ['empty message that claims a token', 0x41, [0x00, 0, 1], FormatError.EmptyMessage],
];

for (const [name, first, rest, error] of MALFORMED) {
  test(`RFC 7252 4.2, 4.3: ${name} is a format error: CON is reset, anything else is silent`, () => {
    assert.equal(parseMessage(Buffer.from([first, ...rest]), new Message()), error);
    const local = bench();
    const client = local.client();
    client.raw(Buffer.from([first, ...rest]));
    assert.deepEqual([...client.one().bytes], [0x70, 0, 0, 1]);
    for (const type of [NON, ACK, RST]) {
      client.raw(Buffer.from([first | (type << 4), ...rest]));
      client.none();
    }
    assert.equal(local.endpoint.counters.formatErrors, 4);
    assert.equal(local.endpoint.counters.requests, 0);
  });
}

test('IoT-Testware: versions other than 1 are silently ignored', () => {
  const local = bench();
  const client = local.client();
  for (const version of [0, 2, 3]) {
    const bytes = encode({ code: '0.01', path: ['test'] });
    bytes[0] = (bytes[0] & 0x3f) | (version << 6);
    client.raw(bytes);
    client.none();
  }
  assert.equal(local.endpoint.counters.ignoredVersion, 3);
});

test('datagrams shorter than a header are dropped', () => {
  const local = bench();
  const client = local.client();
  for (let length = 0; length < 4; length++) client.raw(Buffer.from([0x40, 1, 2, 3].slice(0, length)));
  client.none();
  assert.equal(local.endpoint.counters.formatErrors, 4);
});

test('IoT-Testware: a CON that carries a response or a reserved class is reset; NON, ACK and RST of them are ignored', () => {
  const local = bench();
  const client = local.client();
  for (const code of ['1.01', '2.05', '4.04', '5.00', '3.01', '6.01', '7.31']) {
    const mid = client.send({ code, token: '01' });
    assert.deepEqual([...client.one().bytes], [0x70, 0, mid >> 8, mid & 255]);
    for (const type of [NON, ACK, RST]) {
      client.send({ type, code, token: '01' });
      client.none();
    }
  }
  assert.equal(local.endpoint.counters.unexpectedMessages, 28);
  assert.equal(local.endpoint.counters.requests, 0);
});

test('IoT-Testware: a request in an ACK or RST, and an empty NON, never reach the handler', () => {
  const local = bench();
  const client = local.client();
  for (const type of [ACK, RST]) client.send({ type, code: '0.01', path: ['x'] });
  client.send({ type: NON, code: '0.00' });
  for (const type of [ACK, RST]) client.send({ type, code: '0.00' });
  client.none();
  assert.equal(local.endpoint.counters.requests, 0);
  assert.equal(local.endpoint.counters.unexpectedMessages, 3);
  assert.equal(local.endpoint.counters.unmatchedReplies, 2);
});

test('TD_COAP_CORE_31: an empty CON is answered with a four-byte Reset of the same message id', () => {
  const local = bench();
  const client = local.client();
  client.raw(Buffer.from([0x40, 0, 0xab, 0xcd]));
  assert.deepEqual([...client.one().bytes], [0x70, 0, 0xab, 0xcd]);
  assert.equal(local.endpoint.counters.pings, 1);
  assert.equal(local.endpoint.tables.remotes, 0);
});

test('a datagram from UDP source port 0 is dropped before anything else', () => {
  const local = bench();
  local.transport.receive(encode({ code: '0.01', path: ['x'] }), 0);
  local.transport.receive(Buffer.from([0x40, 0, 0, 1]), 0);
  local.transport.receive(Buffer.from([0x49, 1, 0, 1]), 0);
  assert.equal(local.transport.sent.length, 0);
  assert.equal(local.endpoint.counters.droppedSourcePort, 3);
});

test('the datagram that ended an npm coap 1.5.0 server (token of 1140 bytes, empty Block1) is a format error', () => {
  const local = bench();
  const client = local.client();
  const crafted = Buffer.concat([
    Buffer.from([0x4e, 0x03, 0x07, 0x07, 0x03, 0x67]),
    Buffer.alloc(1140, 0x41),
    Buffer.from([0xb1, 0x78, 0xd0, 0x03]),
  ]);
  client.raw(crafted);
  assert.deepEqual([...client.one().bytes], [0x70, 0, 0x07, 0x07]);
  assert.equal(client.ask({ code: '0.01', path: ['x'] }).code, '2.05');
});

test('what the writer writes reads back, at every boundary of option delta and length', () => {
  const writer = new MessageWriter(4096);
  const numbers = [1, 13, 14, 27, 300, 569, 837, 1106, 65_535];
  const lengths = [0, 12, 13, 268, 269, 270, 1, 12, 13];
  writer.begin(CON, 1, 0xbeef, 5, 0x01020304, 0x05000000);
  for (const [index, option] of numbers.entries()) writer.opaque(option, Buffer.alloc(lengths[index], index));
  writer.payload(Buffer.from('payload'), 0, 7);
  const bytes = Buffer.from(writer.buffer.subarray(0, writer.length));
  const message = new Message();
  assert.equal(parseMessage(bytes, message), FormatError.None);
  assert.deepEqual(message.optionNumbers.slice(0, message.optionCount), numbers);
  assert.deepEqual(message.optionLengths.slice(0, message.optionCount), lengths);
  const decoded = decode(bytes);
  assert.equal(decoded.token, '0102030405');
  assert.deepEqual(
    decoded.options.map(([option, value]) => [option, value.length]),
    numbers.map((option, index) => [option, lengths[index]]),
  );
  assert.equal(decoded.payload.toString(), 'payload');
});

test('RFC 7252 3.2: uint options take the fewest bytes', () => {
  const writer = new MessageWriter(64);
  for (const [value, length] of [
    [0, 0],
    [255, 1],
    [256, 2],
    [65_536, 3],
    [0x1000000, 4],
    [0xffffffff, 4],
  ]) {
    writer.begin(CON, 1, 1, 0, 0, 0);
    writer.uint(OPT.size1, value);
    const decoded = decode(Buffer.from(writer.buffer.subarray(0, writer.length)));
    assert.equal(decoded.options[0][1].length, length);
    assert.equal(readUint(decoded.options[0][1], 0, length), value);
  }
});

test('a message cut anywhere either parses or is a format error, and never reads past its end', () => {
  const whole = encode({
    code: '0.02',
    token: '0102030405060708',
    path: ['a', 'b'.repeat(20), 'c'.repeat(255)],
    options: [
      [OPT.uriQuery, 'q=1'],
      [OPT.size1, 70_000],
      [OPT.requestTag, Buffer.from('tag')],
    ],
    payload: 'payload',
  });
  for (let length = 0; length <= whole.length; length++) {
    const message = new Message();
    const error = parseMessage(Buffer.from(whole.subarray(0, length)), message);
    if (error !== FormatError.None) continue;
    for (let index = 0; index < message.optionCount; index++) {
      assert.ok(message.optionStarts[index] + message.optionLengths[index] <= length);
    }
  }
});
