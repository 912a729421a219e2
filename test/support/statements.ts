/** Words in which the tests of the normative statements are written. */
import assert from 'node:assert/strict';
import type { IConnectPacket } from 'mqtt-packet';
import { framed, props, raw, str } from '../wire/table/row.js';
import type { Engine, RawClient } from './engine.js';

export type Version = 4 | 5;

const PINGRESP = 'd000';

export const VERSIONS = [
  [4, 'MQTT 3.1.1'],
  [5, 'MQTT 5.0'],
] as const;

/** Options of a CONNECT whose session outlives its connection. */
export function kept(version: Version, clientId: string): Partial<IConnectPacket> {
  const options = { protocolVersion: version, clientId, clean: false };
  return version === 5 ? { ...options, properties: { sessionExpiryInterval: 100 } } : options;
}

/** Options of a CONNECT whose session ends with its connection. */
export function passing(version: Version, clientId: string): Partial<IConnectPacket> {
  return { protocolVersion: version, clientId };
}

/** A CONNECT in bytes: flags, then what stands behind the keep alive and, in MQTT 5.0, behind its properties. */
export function connectBytes(version: number, flags: string, ...payload: Buffer[]): Buffer {
  return framed(0x10, str('MQTT'), raw(Buffer.from([version]), flags, '0000', version === 5 ? '00' : ''), ...payload);
}

/** A PUBLISH in bytes. `flags` are DUP 8, QoS 2 or 4, RETAIN 1; `properties` are hexadecimal digits. */
export function publishBytes(
  version: Version,
  flags: number,
  topic: string,
  packetId: number,
  payload: string,
  properties = '',
): Buffer {
  const identifier = (flags & 6) === 0 ? '' : Buffer.from([packetId >>> 8, packetId & 0xff]);
  return framed(0x30 | flags, str(topic), identifier, version === 5 ? props(properties) : '', Buffer.from(payload));
}

/** What a client has received since the last call, in hexadecimal digits. */
export function taken(client: RawClient): string {
  return Buffer.concat(client.bytes.splice(0)).toString('hex');
}

/** The packets that a client has received since the last call, each in hexadecimal digits. */
export function takenPackets(client: RawClient): string[] {
  const bytes = Buffer.concat(client.bytes.splice(0));
  const packets: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    let end = at + 1;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[end++];
      length |= (byte & 0x7f) << shift;
      if (byte < 128) break;
    }
    end += length;
    packets.push(bytes.toString('hex', at, end));
    at = end;
  }
  return packets;
}

/**
 * How the broker ends a connection, from what the client has received since the last call: `CONNACK 81`, `DISCONNECT 82`
 * with the code in hexadecimal digits, or nothing for a close without words.
 */
export async function ending(client: RawClient): Promise<string> {
  await client.end();
  const [packet = '', ...more] = takenPackets(client);
  assert.deepEqual(more, [], 'nothing but the ending');
  if (packet === '') return '';
  const [, type, flags, code] = /^(20)..(..)(..)/.exec(packet) ?? /^(e0)..()(..)/.exec(packet) ?? assert.fail(packet);
  if (type === 'e0') return `DISCONNECT ${code}`;
  assert.equal(flags, '00', 'Session Present of a refusal');
  return `CONNACK ${code}`;
}

/** What the broker answers to bytes, durable or not, as packets in hexadecimal digits. */
export async function answers(engine: Engine, client: RawClient, ...bytes: Buffer[]): Promise<string[]> {
  taken(client);
  client.sendBytes(Buffer.concat(bytes));
  await client.drain();
  await engine.broker.commit.settled();
  await client.drain();
  return takenPackets(client).filter((packet) => packet !== PINGRESP);
}

/** A connection that has sent these bytes and nothing before them. */
export function opening(engine: Engine, version: Version, ...bytes: Buffer[]): RawClient {
  const client = engine.open(version);
  client.sendBytes(Buffer.concat(bytes));
  return client;
}
