/** Clients of a broker whose disk fails: publishers that remember what became of what, and subscribers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { IConnackPacket, IConnectPacket, IPublishPacket, Packet } from 'mqtt-packet';
import { RawClient } from '../support/engine.js';

export const KEPT = { clean: false, properties: { sessionExpiryInterval: 0xffffffff } } as const;

/** Connects over TCP; the answer is in `connack`. */
export async function open(
  port: number,
  options: Partial<IConnectPacket>,
): Promise<RawClient & { connack: IConnackPacket }> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const version = options.protocolVersion ?? 5;
  const client = new RawClient(socket, version);
  client.send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clientId: 'client',
    clean: true,
    keepalive: 0,
    ...options,
  });
  return Object.assign(client, { connack: await client.expect('connack') });
}

/** Resolves as soon as `holds`; it is asked after each event that `tell` is called for. */
export class Watch {
  #asked: { holds: () => boolean; resolve: () => void }[] = [];

  tell(): void {
    const asked = this.#asked;
    this.#asked = asked.filter(({ holds }) => !holds());
    for (const { holds, resolve } of asked) if (holds()) resolve();
  }

  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => this.#asked.push({ holds, resolve }));
  }
}

const PAYLOAD_BYTES = 4000;
export const IN_FLIGHT = 20;

/** Publishes as fast as it is acknowledged, but no more once it is refused; remembers what became of what. */
export class Publisher {
  readonly name: string;
  readonly version: 4 | 5;
  readonly qos: 1 | 2;
  readonly acknowledged: string[] = [];
  readonly refused: string[] = [];
  readonly inFlight = new Map<number, string>();
  readonly #releasing = new Set<number>();
  readonly #watch: Watch;
  #client: RawClient | null = null;
  #count = 0;
  stopped = false;

  constructor(version: 4 | 5, qos: 1 | 2, watch: Watch) {
    this.name = `v${version}q${qos}`;
    this.version = version;
    this.qos = qos;
    this.#watch = watch;
  }

  /** Publications that are not acknowledged to the end: PUBREC of the last ones may have come. */
  get open(): number {
    return this.inFlight.size + this.#releasing.size;
  }

  async start(port: number): Promise<void> {
    this.#client = await open(port, { clientId: this.name, protocolVersion: this.version });
    void this.#listen(this.#client).catch(() => {});
    this.publish(IN_FLIGHT);
  }

  /** Publishes so many more, each of which is followed by another one once it is acknowledged. */
  publish(count: number): void {
    for (let i = 0; i < count; i++) this.#publish();
  }

  async #listen(client: RawClient): Promise<void> {
    for (;;) {
      this.#take(client, await client.next());
      this.#watch.tell();
    }
  }

  #take(client: RawClient, packet: Packet): void {
    const messageId = packet.messageId as number;
    if (packet.cmd === 'pubcomp') {
      assert.ok(this.#releasing.delete(messageId));
    } else {
      assert.ok(packet.cmd === 'puback' || packet.cmd === 'pubrec', packet.cmd);
      const payload = this.inFlight.get(messageId) as string;
      this.inFlight.delete(messageId);
      const { reasonCode = 0 } = packet;
      if (reasonCode === 0) {
        this.acknowledged.push(payload);
        if (packet.cmd === 'pubrec') {
          this.#releasing.add(messageId);
          client.send({ cmd: 'pubrel', messageId });
          return;
        }
      } else {
        assert.equal(reasonCode, 0x97);
        assert.equal(packet.properties?.reasonString, 'the store cannot be written now');
        this.refused.push(payload);
        return;
      }
    }
    if (!this.stopped) this.#publish();
  }

  #publish(): void {
    let messageId = 1;
    while (this.inFlight.has(messageId) || this.#releasing.has(messageId)) messageId++;
    const payload = `${this.name} ${++this.#count}`;
    this.inFlight.set(messageId, payload);
    this.#client?.publish(`data/${this.name}`, payload.padEnd(PAYLOAD_BYTES), { qos: this.qos, messageId });
  }
}

/** Takes everything that waits for a kept session, as it should, up to a last message. */
export async function takeAll(client: RawClient): Promise<IPublishPacket[]> {
  const taken: IPublishPacket[] = [];
  for (;;) {
    const packet = await client.next();
    const messageId = packet.messageId as number;
    if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId });
    if (packet.cmd !== 'publish') continue;
    client.send({ cmd: packet.qos === 2 ? 'pubrec' : 'puback', messageId });
    if (packet.topic === 'data/last') return taken;
    taken.push(packet);
  }
}

/** One message of QoS 0 after the other from one client to another. */
export async function exchange(from: RawClient, to: RawClient, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    from.publish('live', `${i}`);
    assert.equal((await to.expect('publish')).payload.toString(), `${i}`);
  }
}
