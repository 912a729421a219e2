/** Clients as the specification has them keep their side of a session, in terms of the packets that reach them. */
import type { Packet } from 'mqtt-packet';
import type { RawClient } from '../interop/raw.js';

/** A subscriber: what it has handed on, and which QoS 2 messages it holds the identifiers of. */
export class Device {
  /** How often each message, known by the number that its payload begins with, was handed on. */
  readonly counts: Map<number, number>;
  /** Topic and payload of what has no number. */
  readonly others: string[];
  readonly #held: Set<number>;

  constructor(from?: Device) {
    this.counts = new Map(from?.counts);
    this.others = [...(from?.others ?? [])];
    this.#held = new Set(from === undefined ? [] : from.#held);
  }

  /** Takes a packet; returns the answer that is due. */
  take(packet: Packet): Packet | null {
    const messageId = packet.messageId as number;
    if (packet.cmd === 'pubrel') {
      this.#held.delete(messageId);
      return { cmd: 'pubcomp', messageId };
    }
    if (packet.cmd !== 'publish') return null;
    if (packet.qos === 2) {
      if (!this.#held.has(messageId)) this.#hand(packet.topic, packet.payload.toString());
      this.#held.add(messageId);
      return { cmd: 'pubrec', messageId };
    }
    this.#hand(packet.topic, packet.payload.toString());
    return packet.qos === 1 ? { cmd: 'puback', messageId } : null;
  }

  #hand(topic: string, payload: string): void {
    const number = Number.parseInt(payload, 10);
    if (Number.isNaN(number)) this.others.push(`${topic} ${payload}`);
    else this.counts.set(number, (this.counts.get(number) ?? 0) + 1);
  }

  /** Answers what comes until a message on this topic has come; the answers to what came before have been sent. */
  async until(client: RawClient, topic: string): Promise<void> {
    for (;;) {
      const packet = await client.next();
      const answer = this.take(packet);
      if (answer !== null) client.send(answer);
      if (packet.cmd === 'publish' && packet.topic === topic) return;
    }
  }

  /** Answers what comes until the connection ends. */
  async serve(client: RawClient): Promise<void> {
    await this.until(client, '').catch(() => {});
  }
}

/** A publication that a client has tried. */
export interface Publication {
  readonly packetId: number;
  readonly topic: string;
  readonly payload: string;
  readonly qos: 1 | 2;
  readonly retain: boolean;
}

/** How far the publications of a client have come, by packet identifier. */
export class Progress {
  readonly #received: Set<number>;
  readonly #completed: Set<number>;

  constructor(from?: Progress) {
    this.#received = new Set(from === undefined ? [] : from.#received);
    this.#completed = new Set(from === undefined ? [] : from.#completed);
  }

  /** Takes an acknowledgement; returns the answer that is due. */
  take(packet: Packet): Packet | null {
    const messageId = packet.messageId as number;
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') this.#completed.add(messageId);
    if (packet.cmd !== 'pubrec') return null;
    this.#received.add(messageId);
    return { cmd: 'pubrel', messageId };
  }

  get count(): number {
    return this.#completed.size;
  }

  /** Whether the broker has taken responsibility for it. */
  acknowledged({ packetId }: Publication): boolean {
    return this.#received.has(packetId) || this.#completed.has(packetId);
  }

  completed({ packetId }: Publication): boolean {
    return this.#completed.has(packetId);
  }

  /** Publishes these, or goes on with them after a break, a window of them at a time, until all are completed. */
  async publish(client: RawClient, publications: readonly Publication[], window: number): Promise<void> {
    const waiting = publications.filter((publication) => !this.completed(publication));
    let outstanding = 0;
    let next = 0;
    const more = (): void => {
      for (; outstanding < window && next < waiting.length; next++, outstanding++) {
        const { packetId, ...publication } = waiting[next];
        if (this.#received.has(packetId)) client.send({ cmd: 'pubrel', messageId: packetId });
        else client.send({ cmd: 'publish', ...publication, messageId: packetId, dup: false });
      }
    };
    more();
    while (outstanding > 0) {
      const packet = await client.next();
      const before = this.#completed.size;
      const answer = this.take(packet);
      if (answer !== null) client.send(answer);
      if (this.#completed.size === before) continue;
      outstanding--;
      more();
    }
  }
}
