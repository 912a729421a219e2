/**
 * mqtt-packet as oracle: what it generates we parse alike, and what our writers write it parses alike, for random packets
 * of every type in every version.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { generate, type Packet, parser } from 'mqtt-packet';
import type { Properties } from '../../src/wire/packets.js';
import type { ProtocolVersion } from '../../src/wire/protocol.js';
import { type AnyPacket, OPENINGS } from '../packets.js';
import { any } from './arbitrary.js';
import { Recorder } from './recorder.js';
import { bytesOf } from './write.js';

const RUNS = { seed: 0x9002, numRuns: 300 };

/** User properties by name, as mqtt-packet has them: the order between names is lost. */
function byName(pairs: readonly (readonly [string, string])[]): Record<string, string | string[]> {
  const names: Record<string, string | string[]> = {};
  for (const [name, value] of pairs) {
    const former = names[name];
    names[name] = former === undefined ? value : [former, value].flat();
  }
  return names;
}

function foldProperties(properties: Properties): Record<string, unknown> | undefined {
  const { userProperties, ...rest } = properties;
  const folded = userProperties === undefined ? rest : { ...rest, userProperties: byName(userProperties) };
  return Object.keys(folded).length === 0 ? undefined : folded;
}

/** A packet in mqtt-packet's form. */
function fold(packet: AnyPacket, version: ProtocolVersion): Record<string, unknown> {
  const folded: Record<string, unknown> = { ...packet };
  if ('properties' in packet && packet.properties !== undefined) folded.properties = foldProperties(packet.properties);
  if (packet.cmd === 'connect') {
    if (!packet.bridgeMode) delete folded.bridgeMode;
    if (packet.will?.properties !== undefined) {
      folded.will = { ...packet.will, properties: foldProperties(packet.will.properties) };
    }
  }
  if (packet.cmd === 'publish' && packet.qos === 0) delete folded.messageId;
  if (packet.cmd === 'connack' && version < 5) {
    folded.returnCode = packet.reasonCode;
    delete folded.reasonCode;
  }
  if (packet.cmd === 'subscribe' && version < 5) {
    folded.subscriptions = packet.subscriptions.map(({ topic, qos }) => ({ topic, qos }));
  }
  // Before MQTT 5.0 mqtt-packet has no reason codes here, and in it leaves out those that the bytes leave out.
  if ('reasonCode' in packet && packet.reasonCode === 0 && packet.cmd !== 'connack') delete folded.reasonCode;
  return clean(folded) as Record<string, unknown>;
}

/** Plain objects without undefined, so that only what is said is compared. */
function clean(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.map(([name, field]) => [name, clean(field)]));
}

/** What mqtt-packet makes of bytes, reduced to the fields that a packet of this type has. */
function theirParse(bytes: Buffer, version: ProtocolVersion, like: Record<string, unknown>): Record<string, unknown> {
  const seen: Packet[] = [];
  const reader = parser({ protocolVersion: version });
  reader.on('packet', (packet) => seen.push(packet));
  reader.on('error', (error: Error) => assert.fail(`${error.message}: ${bytes.toString('hex')}`));
  reader.parse(bytes);
  assert.equal(seen.length, 1, bytes.toString('hex'));
  const fields = clean({ ...seen[0] }) as Record<string, unknown>;
  const { length: _length, ...said } = fields;
  // Fields of the fixed header that mqtt-packet shows for every type.
  if (like.cmd !== 'publish') for (const name of ['retain', 'qos', 'dup', 'topic', 'payload']) delete said[name];
  if (said.reasonCode === 0 && like.cmd !== 'connack') delete said.reasonCode;
  if (like.cmd === 'unsuback' && version < 5) said.granted ??= [];
  return said;
}

function ourParse(
  bytes: Buffer,
  version: ProtocolVersion,
  direction: 'client' | 'server',
  packet: AnyPacket,
): AnyPacket {
  const opens = packet.cmd === 'connect' || packet.cmd === 'connack';
  const recorder = opens ? new Recorder(direction, version) : Recorder.opened(direction, version);
  recorder.parser.push(bytes);
  assert.deepEqual(recorder.errors, [], bytes.toString('hex'));
  assert.equal(recorder.packets.length, 1);
  return recorder.packets[0];
}

for (const version of [3, 4, 5] as const) {
  for (const direction of ['client', 'server'] as const) {
    test(`version ${version}, ${direction}: what mqtt-packet generates is parsed alike`, () => {
      fc.assert(
        fc.property(any(direction, version), (packet) => {
          const folded = fold(packet, version);
          const bytes = generate(folded as unknown as Packet, { protocolVersion: version });
          assert.deepEqual(fold(ourParse(bytes, version, direction, packet), version), folded, bytes.toString('hex'));
          assert.deepEqual(theirParse(bytes, version, folded), folded);
        }),
        RUNS,
      );
    });

    test(`version ${version}, ${direction}: what our writers write is parsed alike, and read back as it was`, () => {
      fc.assert(
        fc.property(any(direction, version), (packet) => {
          if (packet.cmd === 'publish') return;
          const bytes = bytesOf(version, packet);
          assert.deepEqual(theirParse(bytes, version, fold(packet, version)), fold(packet, version));
          assert.deepEqual(ourParse(bytes, version, direction, packet), packet);
        }),
        RUNS,
      );
    });

    test(`version ${version}, ${direction}: a stream of packets in chunks of any sizes`, () => {
      fc.assert(
        fc.property(
          fc.array(any(direction, version, false), { minLength: 1, maxLength: 20 }),
          fc.infiniteStream(fc.integer({ min: 1, max: 70 })),
          (packets, sizes) => {
            const parts = packets.map((packet) => {
              return generate(fold(packet, version) as unknown as Packet, { protocolVersion: version });
            });
            const stream = Buffer.concat([OPENINGS[direction][version], ...parts]);
            const recorder = new Recorder(direction, version);
            for (let at = 0; at < stream.length; ) {
              const size = Number(sizes.next().value);
              recorder.parser.push(stream.subarray(at, at + size));
              at += size;
            }
            assert.deepEqual(recorder.errors, []);
            assert.deepEqual(
              recorder.packets.slice(1).map((packet) => fold(packet, version)),
              packets.map((packet) => fold(packet, version)),
            );
          },
        ),
        { ...RUNS, numRuns: 60 },
      );
    });
  }
}
