/** The parsers of both sides of an MQTT connection. */
import assert from 'node:assert/strict';
import type { ProtocolVersion } from '../../../src/wire/protocol.js';
import { WireError } from '../../../src/wire/wire-error.js';
import { type AnyPacket, OPENINGS, PACKETS, type PacketRow } from '../../packets.js';
import { Random } from '../../support/random.js';
import { Recorder } from '../../wire/recorder.js';
import { bytesOf } from '../../wire/write.js';
import { Feed, input, type Target } from '../target.js';

type Direction = PacketRow['direction'];

/** How a connection stands when the bytes come: version, whether it is opened, and the largest packet. */
const SETUPS: readonly { readonly version: ProtocolVersion; readonly opened: boolean; readonly most?: number }[] = [
  { version: 5, opened: true },
  { version: 4, opened: true },
  { version: 3, opened: true },
  { version: 5, opened: false },
  { version: 4, opened: false },
  { version: 3, opened: false },
  { version: 5, opened: true, most: 40 },
  { version: 5, opened: false, most: 40 },
];

interface Outcome {
  readonly packets: readonly AnyPacket[];
  readonly reason: number;
  readonly buffered: number;
}

/** Feeds a parser the stream in chunks, and looks after each. */
function parse(recorder: Recorder, stream: Buffer, next: () => number, pauses: () => boolean): Outcome {
  const { parser, errors } = recorder;
  recorder.after = () => {
    if (pauses()) parser.pause();
  };
  for (let at = 0; at < stream.length; ) {
    const chunk = Buffer.from(stream.subarray(at, at + next()));
    at += chunk.length;
    parser.push(chunk);
    assert.ok(parser.buffered <= at, `${parser.buffered} bytes held of ${at}`);
    while (parser.paused) parser.resume();
  }
  assert.ok(errors.length <= 1);
  const [error] = errors;
  if (error !== undefined) {
    assert.ok(error instanceof WireError);
    // 0x83 would be a failure inside the parser that it took for one of a callback.
    if (error.reasonCode < 0x81 || error.reasonCode === 0x83) throw error;
    const { length } = recorder.packets;
    parser.push(OPENINGS.client[4]);
    assert.deepEqual([recorder.packets.length, parser.buffered], [length, 0], 'nothing comes behind an error');
  }
  return { packets: recorder.packets, reason: error?.reasonCode ?? 0, buffered: parser.buffered };
}

/** Any packet is written as bytes that say the same. */
function checkWriting(direction: Direction, version: ProtocolVersion, packet: AnyPacket): void {
  if (packet.cmd === 'publish') return;
  // Before MQTT 5.0 what is written is a return code, and what is read is one too.
  if ('reasonCode' in packet && packet.reasonCode !== 0 && version < 5) return;
  const spoken = packet.cmd === 'connect' ? (packet.protocolVersion as ProtocolVersion) : version;
  const bytes = bytesOf(spoken, packet);
  const opens = packet.cmd === 'connect' || packet.cmd === 'connack';
  const again = opens ? new Recorder(direction, spoken) : Recorder.opened(direction, spoken);
  again.parser.push(bytes);
  assert.deepEqual(again.errors, [], `${packet.cmd} as written: ${bytes.toString('hex')}`);
  assert.deepEqual(again.packets, [packet]);
}

function run(direction: Direction, bytes: Buffer): string {
  const feed = new Feed(bytes);
  const { version, opened, most } = SETUPS[feed.byte() % SETUPS.length];
  const random = new Random(feed.byte());
  const stream = feed.rest();
  const fresh = (): Recorder =>
    opened ? Recorder.opened(direction, version, most && 64) : new Recorder(direction, version, most);
  const whole = parse(
    fresh(),
    stream,
    () => stream.length,
    () => false,
  );
  const chunked = parse(
    fresh(),
    stream,
    () => (random.oneIn(3) ? 1 : 1 + random.below(stream.length)),
    () => random.oneIn(4),
  );
  assert.deepEqual(chunked, whole, 'the same in chunks as in one');
  const single = parse(
    fresh(),
    stream,
    () => 1,
    () => false,
  );
  assert.deepEqual(single, whole, 'the same byte by byte as in one');
  let spoken = version;
  for (const packet of whole.packets) {
    if (packet.cmd === 'connect') spoken = packet.protocolVersion as ProtocolVersion;
    // A bridge's subscriptions have options that SUBSCRIBE of its version has no room for.
    const bridged = packet.cmd === 'subscribe' && spoken < 5;
    if (!bridged) checkWriting(direction, spoken, packet);
  }
  return `${version}${opened} ${whole.packets.map(({ cmd }) => cmd).join()} ${whole.reason}`;
}

function seeds(direction: Direction): Buffer[] {
  return PACKETS.filter((row) => row.direction === direction && row.bytes.length <= 300).map((row) => {
    const setup = SETUPS.findIndex(({ version, opened }) => version === row.version && opened !== row.opens);
    return input(setup, 1, row.bytes);
  });
}

const WORDS = [
  '\0\x04MQTT',
  '\0\x06MQIsdp',
  '\x05\x02',
  Buffer.from('ffffff7f', 'hex'),
  Buffer.from('80808000', 'hex'),
];
const SCOPE = ['/src/wire/'];

export const mqttServer: Target = {
  name: 'mqtt-server',
  scope: SCOPE,
  longest: 2048,
  words: WORDS,
  seeds: () => seeds('client'),
  run: (bytes) => run('client', bytes),
};

export const mqttClient: Target = {
  name: 'mqtt-client',
  scope: SCOPE,
  longest: 2048,
  words: WORDS,
  seeds: () => seeds('server'),
  run: (bytes) => run('server', bytes),
};
