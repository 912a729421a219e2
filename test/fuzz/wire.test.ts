/** Damaged and random bytes: the parser says at most once that they are broken, never throws and holds no more than it got. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WireError } from '../../src/wire/wire-error.js';
import { OPENINGS, PACKETS, type PacketRow } from '../packets.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';
import { Recorder } from '../wire/recorder.js';

const ROUNDS = 40_000;

function randomFrom(seed: number): (limit: number) => number {
  const random = new Random(seed);
  return (limit) => random.below(limit);
}

type Below = ReturnType<typeof randomFrom>;

/** Bytes at which parsers go wrong. */
const EDGES = [0x00, 0x01, 0x02, 0x0b, 0x23, 0x26, 0x7f, 0x80, 0x81, 0xff];

/** Some bytes turned, replaced, cut out or put in, or the length set right again over a shorter body. */
function damage(source: Buffer, random: Below): Buffer {
  let bytes: Buffer = Buffer.from(source);
  for (let i = 1 + random(4); i > 0 && bytes.length > 0; i--) {
    const at = random(bytes.length);
    switch (random(6)) {
      case 0:
        bytes[at] ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = EDGES[random(EDGES.length)];
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([random(256)]), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(4))]);
        break;
      default:
        // One length byte, so that the damage behind it is reached.
        if (bytes.length > 2 && bytes.length < 130) bytes[1] = bytes.length - 2;
    }
  }
  return bytes;
}

/** Pushes a stream in random chunks, with pauses, and checks what must hold after each. */
function drive(recorder: Recorder, stream: Buffer, random: Below): void {
  const { parser } = recorder;
  recorder.after = () => {
    if (random(10) === 0) parser.pause();
  };
  let pushed = 0;
  while (pushed < stream.length) {
    const size = random(3) === 0 ? 1 : 1 + random(stream.length);
    const chunk = stream.subarray(pushed, pushed + size);
    pushed += chunk.length;
    parser.push(chunk);
    assert.ok(parser.buffered <= pushed, `${parser.buffered} bytes held of ${pushed}`);
    assert.ok(recorder.errors.length <= 1);
    if (parser.paused && random(2) === 0) parser.resume();
  }
  while (parser.paused) parser.resume();
  const [error] = recorder.errors;
  if (error !== undefined) {
    assert.ok(error instanceof WireError);
    // 0x83 would be a failure inside the parser that it took for one of a callback.
    assert.ok(error.reasonCode >= 0x81 && error.reasonCode !== 0x83, `${error.reasonCode.toString(16)} ${error.stack}`);
    const packets = recorder.packets.length;
    parser.push(OPENINGS.client[4]);
    assert.equal(recorder.packets.length, packets);
    assert.equal(parser.buffered, 0);
  }
}

const [seed] = seeds(1);

test('damaged packets of the table', (t) => {
  t.diagnostic(`SEED=${seed}`);
  const random = randomFrom(seed);
  let broken = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const row = PACKETS[random(PACKETS.length)];
    const parts = [damage(row.bytes, random)];
    for (let i = random(3); i > 0; i--) parts.push(PACKETS[random(PACKETS.length)].bytes);
    const stream = Buffer.concat(parts);
    const recorder = Recorder.for(row);
    try {
      drive(recorder, stream, random);
    } catch (error) {
      assert.fail(`SEED=${seed} round ${round} ${row.name} ${stream.toString('hex')}: ${error}`);
    }
    broken += recorder.errors.length;
  }
  assert.ok(broken > ROUNDS / 10 && broken < ROUNDS, `${broken} broken: the damage must reach both outcomes`);
});

test('random bytes behind the opening of a connection, and without one', (t) => {
  t.diagnostic(`SEED=${seed}`);
  const random = randomFrom(seed + 1);
  const sides: readonly PacketRow['direction'][] = ['client', 'server'];
  for (let round = 0; round < ROUNDS / 2; round++) {
    const direction = sides[random(2)];
    const version = ([3, 4, 5] as const)[random(3)];
    const stream = Buffer.from(Array.from({ length: 1 + random(60) }, () => random(256)));
    const recorder = random(8) === 0 ? new Recorder(direction, version) : Recorder.opened(direction, version);
    try {
      drive(recorder, stream, random);
    } catch (error) {
      assert.fail(`SEED=${seed} round ${round} ${direction} ${version} ${stream.toString('hex')}: ${error}`);
    }
  }
});

test('a valid packet that is cut at any byte is incomplete, not broken, and complete with the rest', () => {
  for (const row of PACKETS) {
    if (row.packet === undefined) continue;
    for (let at = 0; at < row.bytes.length; at++) {
      const recorder = Recorder.for(row);
      recorder.parser.push(row.bytes.subarray(0, at));
      assert.deepEqual(
        [recorder.errors.length, recorder.packets.length, recorder.parser.buffered],
        [0, 0, at],
        row.name,
      );
    }
  }
});
