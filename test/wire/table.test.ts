/** Every row of the packet table through the parser: whole, byte by byte, and cut in two at each place. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OPENINGS, PACKETS, type PacketRow } from '../packets.js';
import { Recorder } from './recorder.js';

function check(row: PacketRow, recorder: Recorder, how: string): void {
  if (row.packet !== undefined) {
    assert.deepEqual(recorder.errors, [], how);
    assert.deepEqual(recorder.packets, [row.packet], how);
    assert.equal(recorder.parser.buffered, 0, how);
    return;
  }
  assert.deepEqual(recorder.packets, [], how);
  assert.deepEqual(
    recorder.errors.map((error) => error.reasonCode),
    [row.reasonCode],
    `${how}: ${recorder.errors.map((error) => error.message)}`,
  );
}

function parse(row: PacketRow, chunks: readonly Buffer[], how: string): void {
  const recorder = Recorder.for(row);
  for (const chunk of chunks) recorder.parser.push(chunk);
  check(row, recorder, how);
}

test('names are unique, and a row has either a packet or a reason code', () => {
  assert.equal(new Set(PACKETS.map((row) => row.name)).size, PACKETS.length);
  for (const row of PACKETS) assert.notEqual(row.packet === undefined, row.reasonCode === undefined, row.name);
});

test('the table has every packet type that each version has', () => {
  for (const version of [3, 4, 5] as const) {
    const types = new Set<string>();
    for (const row of PACKETS) if (row.version === version && row.packet !== undefined) types.add(row.packet.cmd);
    assert.equal(types.size, version === 5 ? 15 : 14, `version ${version}: ${[...types]}`);
  }
});

describe('packet table', () => {
  for (const row of PACKETS) {
    const { bytes } = row;
    test(`${row.name} [${row.tag}]`, () => {
      parse(row, [bytes], 'whole');
      parse(
        row,
        Array.from(bytes, (byte) => Buffer.from([byte])),
        'byte by byte',
      );
      for (let at = 1; at < bytes.length; at++) {
        parse(row, [bytes.subarray(0, at), bytes.subarray(at)], `cut at ${at}`);
      }
    });
  }
});

for (const direction of ['client', 'server'] as const) {
  for (const version of [3, 4, 5] as const) {
    test(`all valid packets of version ${version} from the ${direction} in one stream, in chunks of every small size`, () => {
      const rows = PACKETS.filter(
        (row) => row.direction === direction && row.version === version && !row.opens && row.packet !== undefined,
      );
      const stream = Buffer.concat([OPENINGS[direction][version], ...rows.map((row) => row.bytes)]);
      for (const size of [1, 2, 3, 5, 7, 11, 13, 64, 300, stream.length]) {
        const recorder = new Recorder(direction, version);
        for (let at = 0; at < stream.length; at += size) recorder.parser.push(stream.subarray(at, at + size));
        assert.deepEqual(recorder.errors, []);
        assert.deepEqual(
          recorder.packets.slice(1),
          rows.map((row) => row.packet),
        );
      }
    });
  }
}
