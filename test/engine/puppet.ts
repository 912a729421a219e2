/** Clients that authenticate with a method which does as they say, packet by packet. */
import assert from 'node:assert/strict';
import { generate, type IAuthPacket, type IConnectPacket, type Packet } from 'mqtt-packet';
import type { AuthenticationMethod, AuthenticationStep, Claimant } from '../../src/access/authentication-method.js';
import type { BrokerOptions } from '../../src/broker.js';
import { Engine, type RawClient } from '../support/engine.js';

/**
 * A method whose client says what becomes of it. `ask:TEXT` is answered with TEXT, `user:NAME` is that user,
 * `no:CODE` is refused with that code, `throw` and `reject` fail; no data asks for some.
 */
export class Puppet implements AuthenticationMethod {
  readonly name = 'puppet';
  readonly claimants: Claimant[] = [];

  begin(client: Claimant) {
    this.claimants.push(client);
    return { step: (data: Buffer | null) => this.#step(String(data ?? 'ask:')) };
  }

  #step(text: string): AuthenticationStep | Promise<AuthenticationStep> {
    const [word, value = ''] = text.split(':');
    switch (word) {
      case 'ask':
        return { outcome: 'continue', data: value === '' ? null : Buffer.from(value) };
      case 'user':
        return Promise.resolve({ outcome: 'success', username: value, data: Buffer.from(`welcome ${value}`) });
      case 'no':
        return { outcome: 'failure', reasonCode: Number(value), reason: 'because' };
      case 'throw':
        throw new Error('the method is broken');
      default:
        return Promise.reject(new Error('the method is broken'));
    }
  }
}

/** A broker with the puppet, in a test that stops it whatever happens. */
export async function withEngine(run: (engine: Engine, method: Puppet) => Promise<void>, options: BrokerOptions = {}) {
  const method = new Puppet();
  const engine = await Engine.create({ authenticationMethods: [method], ...options });
  try {
    await run(engine, method);
  } finally {
    await engine.stop();
  }
}

export function connectPacket(
  data: string | null,
  options: Partial<IConnectPacket> = {},
  name = 'puppet',
): IConnectPacket {
  const authenticationData = data === null ? {} : { authenticationData: Buffer.from(data) };
  const { properties, ...others } = options;
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    clientId: 'client',
    clean: true,
    keepalive: 0,
    properties: { authenticationMethod: name, ...authenticationData, ...properties },
    ...others,
  };
}

export function authPacket(reasonCode: number, data: string | Buffer | null, name = 'puppet'): IAuthPacket {
  const authenticationData = data === null ? {} : { authenticationData: Buffer.from(data) };
  return { cmd: 'auth', reasonCode, properties: { authenticationMethod: name, ...authenticationData } };
}

/** A client that has sent CONNECT with the puppet. */
export function begin(engine: Engine, data: string | null, options: Partial<IConnectPacket> = {}): RawClient {
  const client = engine.open(5);
  client.send(connectPacket(data, options));
  return client;
}

/** A client in the middle of its exchange: the broker has asked. */
export async function asked(engine: Engine, options: Partial<IConnectPacket> = {}): Promise<RawClient> {
  const client = begin(engine, 'ask:who', options);
  expectAuth(await client.expect('auth'), 0x18, 'who');
  return client;
}

/** A client that the puppet has let in as `alice`. */
export async function connected(engine: Engine, options: Partial<IConnectPacket> = {}): Promise<RawClient> {
  const client = begin(engine, 'user:alice', options);
  assert.equal((await client.expect('connack')).reasonCode, 0);
  return client;
}

export function expectAuth(packet: IAuthPacket, reasonCode: number, data: string | null): void {
  assert.equal(packet.reasonCode, reasonCode);
  const authenticationData = data === null ? {} : { authenticationData: Buffer.from(data) };
  assert.deepEqual({ ...packet.properties }, { authenticationMethod: 'puppet', ...authenticationData });
}

/** CONNACK with this reason code, and the end of the connection. */
export async function refused(client: RawClient, reasonCode: number, message = ''): Promise<void> {
  assert.equal((await client.expect('connack')).reasonCode, reasonCode, message);
  await client.end();
}

/** DISCONNECT with this reason code, and the end of the connection. */
export async function disconnected(client: RawClient, reasonCode: number, message = ''): Promise<void> {
  assert.equal((await client.expect('disconnect')).reasonCode, reasonCode, message);
  await client.end();
}

export function together(client: RawClient, ...packets: Packet[]): void {
  client.sendBytes(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: 5 }))));
}

/** AUTH with these properties; by default the method alone. */
export function authBytes(code: number, properties = Buffer.from('\x15\0\x06puppet'), first = 0xf0): Buffer {
  return Buffer.from([first, properties.length + 2, code, properties.length, ...properties]);
}
