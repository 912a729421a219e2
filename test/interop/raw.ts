/** Clients that are nothing but a socket, to send what no client library would send. */
import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { generate, type IConnackPacket, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import { Inbox } from './inbox.js';

/** A TCP connection to 127.0.0.1. */
export async function openTcp(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** A connection of which the test sends every packet, or byte, itself. */
export class RawClient {
  readonly stream: Duplex;
  readonly #version: number;
  /** Packets received; ends when the connection does. */
  readonly packets: Inbox<Packet>;
  /** Resolves when the connection is closed, whoever did it. */
  readonly closed: Promise<void>;

  /** @param stream a TCP connection, or the stream of a WebSocket */
  constructor(stream: Duplex, version: number) {
    this.stream = stream;
    this.#version = version;
    const packets = new Inbox<Packet>('raw client');
    this.packets = packets;
    const reader = parser({ protocolVersion: version });
    reader.on('packet', (packet) => packets.put(packet));
    reader.on('error', (error) => packets.end(`the broker sent what mqtt-packet does not read: ${error.message}`));
    stream.on('data', (chunk: Buffer) => reader.parse(chunk));
    // A reset is one of the ways in which the broker may close.
    stream.on('error', () => {});
    this.closed = new Promise((resolve) => {
      stream.once('close', () => {
        packets.end('the connection is closed');
        resolve();
      });
    });
  }

  send(packet: Packet): void {
    this.stream.write(generate(packet, { protocolVersion: this.#version }));
  }

  sendBytes(bytes: Uint8Array): void {
    this.stream.write(bytes);
  }

  next(): Promise<Packet> {
    return this.packets.next('a packet');
  }

  /** The next packet, which must be of this kind. */
  async expect<Kind extends Packet['cmd']>(cmd: Kind): Promise<Extract<Packet, { cmd: Kind }>> {
    const packet = await this.packets.next(cmd);
    assert.equal(packet.cmd, cmd, JSON.stringify(packet));
    return packet as Extract<Packet, { cmd: Kind }>;
  }

  /** Subscribes; the broker must grant the QoS that is asked for. */
  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    this.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos }] });
    assert.deepEqual((await this.expect('suback')).granted, [qos]);
  }

  /** Cuts the connection without DISCONNECT. */
  cut(): void {
    this.stream.destroy();
  }
}

/** A WebSocket that has said nothing yet. */
export async function openWebSocket(port: number, version = 4): Promise<RawClient> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt');
  await once(socket, 'open');
  const stream = createWebSocketStream(socket);
  // It would wait for its writing side to be ended as well.
  stream.once('end', () => stream.destroy());
  return new RawClient(stream, version);
}

/** A connection that has said nothing yet. */
export async function openRaw(port: number, version = 4): Promise<RawClient> {
  return new RawClient(await openTcp(port), version);
}

/** A CONNECT packet with what the test does not care about filled in. */
export function connectPacket(options: Partial<IConnectPacket> & { readonly clientId: string }): IConnectPacket {
  const protocolVersion = options.protocolVersion ?? 4;
  const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT';
  return { cmd: 'connect', protocolId, protocolVersion, clean: true, keepalive: 0, ...options };
}

/** A connected client and its CONNACK. */
export async function connectRaw(
  port: number,
  options: Partial<IConnectPacket> & { readonly clientId: string },
): Promise<RawClient & { readonly connack: IConnackPacket }> {
  const client = await openRaw(port, options.protocolVersion ?? 4);
  client.send(connectPacket(options));
  const connack = await client.expect('connack');
  return Object.assign(client, { connack });
}

/** A UDP socket that is connected to a port of 127.0.0.1. */
export class Datagrams {
  readonly #socket: UdpSocket;
  readonly received: Inbox<Buffer>;

  private constructor(socket: UdpSocket) {
    this.#socket = socket;
    this.received = new Inbox(`datagrams at port ${socket.address().port}`);
    socket.on('message', (datagram) => this.received.put(datagram));
    socket.on('error', () => {});
  }

  static async open(port: number): Promise<Datagrams> {
    const socket = createSocket('udp4').unref();
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Datagrams(socket);
  }

  /** Hands a datagram to the operating system. */
  async send(datagram: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.send(datagram, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): void {
    this.#socket.close();
  }
}

/** Types of CoAP messages (RFC 7252 3). */
export const CON = 0;
export const NON = 1;
export const ACK = 2;
export const RST = 3;

/** `2.05` for a code byte. */
export const codeOf = (datagram: Buffer): string => `${datagram[1] >> 5}.${String(datagram[1] & 31).padStart(2, '0')}`;
export const typeOf = (datagram: Buffer): number => (datagram[0] >> 4) & 3;
export const messageIdOf = (datagram: Buffer): number => datagram.readUInt16BE(2);
export const tokenOf = (datagram: Buffer): string => datagram.subarray(4, 4 + (datagram[0] & 15)).toString('hex');

/** The payload: what follows the marker behind the options (RFC 7252 3). */
export function payloadOf(datagram: Buffer): Buffer {
  // An ETag may have any byte, also the marker's.
  const extended = (nibble: number): number => (nibble === 13 ? 1 : nibble === 14 ? 2 : 0);
  let at = 4 + (datagram[0] & 15);
  while (at < datagram.length && datagram[at] !== 0xff) {
    const [delta, short] = [datagram[at] >> 4, datagram[at] & 15];
    const lengthAt = at + 1 + extended(delta);
    const valueAt = lengthAt + extended(short);
    const more = short === 13 ? 13 + datagram[lengthAt] : short === 14 ? 269 + datagram.readUInt16BE(lengthAt) : short;
    at = valueAt + more;
  }
  return datagram.subarray(at + 1);
}

/** A CoAP message, byte by byte. Options are in ascending order. */
export function coapMessage(
  type: number,
  code: number,
  messageId: number,
  token: Uint8Array = new Uint8Array(),
  options: readonly (readonly [number: number, value: Uint8Array | string])[] = [],
  payload?: Uint8Array | string,
): Buffer {
  const parts: Uint8Array[] = [
    Uint8Array.of(0x40 | (type << 4) | token.length, code, messageId >>> 8, messageId & 0xff),
    token,
  ];
  let last = 0;
  for (const [number, value] of options) {
    const bytes = Buffer.from(value);
    const [delta, deltaExtension] = optionNibble(number - last);
    const [length, lengthExtension] = optionNibble(bytes.length);
    parts.push(Uint8Array.of((delta << 4) | length, ...deltaExtension, ...lengthExtension), bytes);
    last = number;
  }
  if (payload !== undefined) parts.push(Uint8Array.of(0xff), Buffer.from(payload));
  return Buffer.concat(parts);
}

/** Option delta or length with its extended bytes (RFC 7252 3.1). */
function optionNibble(value: number): [number, number[]] {
  if (value < 13) return [value, []];
  if (value < 269) return [13, [value - 13]];
  return [14, [(value - 269) >>> 8, (value - 269) & 0xff]];
}
