/**
 * What waits for each client: the order and identity of packets in memory, the packets themselves in the store.
 *
 * A waiting packet has a place of its own, a sequence number that is not used twice, so that two packets with the
 * same broker counter cannot overwrite each other.
 */
import {
  type AedesBroker,
  type AedesPacket,
  decodeNumber,
  decodePacket,
  encodeNumber,
  encodePacket,
  noSuchPacket,
  queuedPacket,
} from './aedes-packets.js';
import { AedesKind, aedesKey, aedesParts, aedesRange, numberOfPart, numberPart } from './keys.js';
import type { PendingWrites } from './pending-writes.js';
import { strictReader } from './record-reader.js';
import type { Store } from './store.js';

/** Broker counters are reserved in blocks, so that a broker that starts again goes on above all it had stored. */
const COUNTER_BLOCK = 65536;

/** One waiting packet. */
interface QueueEntry {
  /** Place in the queue; grows by arrival over all clients. */
  readonly sequence: number;
  /** Empty if the packet has none. */
  readonly brokerId: string;
  readonly brokerCounter: number;
  /** Packet Identifier under which it was last sent, undefined before that. */
  messageId: number | undefined;
}

/** Entries by something that is almost always, but not by contract, unique. */
class Lookup<K> {
  readonly #entries = new Map<K, QueueEntry[]>();

  add(key: K, entry: QueueEntry): void {
    const found = this.#entries.get(key);
    if (found === undefined) this.#entries.set(key, [entry]);
    else found.push(entry);
  }

  remove(key: K, entry: QueueEntry): void {
    const left = this.#entries.get(key)?.filter((other) => other !== entry) ?? [];
    if (left.length === 0) this.#entries.delete(key);
    else this.#entries.set(key, left);
  }

  /** The entry that stands first in the queue among those that qualify. */
  first(key: K, qualifies: (entry: QueueEntry) => boolean = () => true): QueueEntry | undefined {
    let first: QueueEntry | undefined;
    for (const entry of this.#entries.get(key) ?? []) {
      if (qualifies(entry) && (first === undefined || entry.sequence < first.sequence)) first = entry;
    }
    return first;
  }
}

/** The identity of a packet across brokers, or null if it has none. */
function identityOf(packet: { brokerId?: string | undefined; brokerCounter?: number | undefined }): string | null {
  return packet.brokerId && packet.brokerCounter !== undefined ? `${packet.brokerCounter}:${packet.brokerId}` : null;
}

/** What waits for one client. */
class ClientQueue {
  /** In order of sequence; entries are added only at the end or in the place of a former one. */
  readonly #entries = new Map<number, QueueEntry>();
  readonly #byIdentity = new Lookup<string>();
  readonly #byMessageId = new Lookup<number>();

  get size(): number {
    return this.#entries.size;
  }

  /** The entries now, in order. */
  entries(): QueueEntry[] {
    return [...this.#entries.values()];
  }

  get(sequence: number): QueueEntry | undefined {
    return this.#entries.get(sequence);
  }

  add(entry: QueueEntry): void {
    this.#entries.set(entry.sequence, entry);
    const identity = identityOf(entry);
    if (identity !== null) this.#byIdentity.add(identity, entry);
    if (entry.messageId !== undefined) this.#byMessageId.add(entry.messageId, entry);
  }

  remove(entry: QueueEntry): void {
    this.#entries.delete(entry.sequence);
    this.#unlink(entry);
  }

  /** Puts another packet in the place of one: PUBREL for the PUBLISH that it follows. */
  replace(entry: QueueEntry, successor: QueueEntry): void {
    this.#unlink(entry);
    this.add(successor);
  }

  setMessageId(entry: QueueEntry, messageId: number | undefined): void {
    if (entry.messageId !== undefined) this.#byMessageId.remove(entry.messageId, entry);
    entry.messageId = messageId;
    if (messageId !== undefined) this.#byMessageId.add(messageId, entry);
  }

  /** The entry of this very packet. */
  same(packet: AedesPacket): QueueEntry | undefined {
    const identity = identityOf(packet);
    return identity === null ? undefined : this.#byIdentity.first(identity);
  }

  /**
   * The entry that was sent under the packet's Packet Identifier. Another packet of the same broker is not it, even
   * if it has that identifier: identifiers come round again.
   */
  predecessor(packet: AedesPacket): QueueEntry | undefined {
    if (packet.messageId === undefined) return undefined;
    const { brokerId } = packet;
    return this.#byMessageId.first(packet.messageId, (entry) => !brokerId || entry.brokerId !== brokerId);
  }

  /** The entry that an acknowledgement with this Packet Identifier is for. */
  acknowledged(messageId: number): QueueEntry | undefined {
    return this.#byMessageId.first(messageId);
  }

  #unlink(entry: QueueEntry): void {
    const identity = identityOf(entry);
    if (identity !== null) this.#byIdentity.remove(identity, entry);
    if (entry.messageId !== undefined) this.#byMessageId.remove(entry.messageId, entry);
  }
}

/** The queues of all clients. Changes are made durable by the group commit; whoever calls waits for it. */
export class AedesQueues {
  readonly #store: Store;
  readonly #writes: PendingWrites;
  readonly #queues = new Map<string, ClientQueue>();
  #brokerId = '';
  #nextSequence = 0;
  #reservedCounter = 0;

  constructor(store: Store, writes: PendingWrites) {
    this.#store = store;
    this.#writes = writes;
  }

  /** Reads the index from the store, and moves the broker's counter above every one of its packets there ever was. */
  async load(broker: AedesBroker): Promise<void> {
    this.#queues.clear();
    this.#nextSequence = 0;
    const brokerIds = new Set<string>();
    const reader = strictReader(this.#store);
    for await (const key of this.#store.keys(aedesRange(AedesKind.Outgoing))) {
      const [clientId, place, counter, brokerId] = aedesParts(key);
      const sequence = numberOfPart(place);
      this.#queueOf(clientId).add({ sequence, brokerId, brokerCounter: Number(counter), messageId: undefined });
      if (sequence >= this.#nextSequence) this.#nextSequence = sequence + 1;
      brokerIds.add(brokerId);
    }
    for await (const [key, value] of this.#store.entries(aedesRange(AedesKind.OutgoingId))) {
      const [clientId, place] = aedesParts(key);
      const queue = this.#queues.get(clientId);
      const entry = queue?.get(numberOfPart(place));
      const messageId = reader.read(key, value, decodeNumber);
      if (entry !== undefined && messageId !== null) queue?.setMessageId(entry, messageId);
    }
    this.#brokerId = broker.id;
    this.#reservedCounter = 0;
    for await (const [key, value] of this.#store.entries(aedesRange(AedesKind.Counter))) {
      const [brokerId] = aedesParts(key);
      if (brokerId === broker.id) this.#reservedCounter = reader.read(key, value, decodeNumber) ?? 0;
      // Brokers with a random id leave one record for each start.
      else if (!brokerIds.has(brokerId)) this.#writes.delete(key);
    }
    await reader.finish();
    broker.counter = Math.max(broker.counter, this.#reservedCounter);
  }

  /** Appends a packet to the queues of these clients. */
  append(clientIds: ReadonlySet<string>, packet: AedesPacket): void {
    const queued = queuedPacket(packet);
    const value = encodePacket(queued);
    for (const clientId of clientIds) {
      const entry = this.#entryFor(this.#nextSequence++, queued);
      this.#writes.put(packetKey(clientId, entry), value);
      this.#queueOf(clientId).add(entry);
    }
  }

  #entryFor(sequence: number, packet: AedesPacket): QueueEntry {
    const { brokerId = '', brokerCounter = 0 } = packet;
    if (brokerId === this.#brokerId && brokerCounter > this.#reservedCounter) {
      this.#reservedCounter = brokerCounter + COUNTER_BLOCK;
      this.#writes.put(aedesKey(AedesKind.Counter, brokerId), encodeNumber(this.#reservedCounter));
    }
    return { sequence, brokerId, brokerCounter, messageId: undefined };
  }

  #queueOf(clientId: string): ClientQueue {
    let queue = this.#queues.get(clientId);
    if (queue === undefined) {
      queue = new ClientQueue();
      this.#queues.set(clientId, queue);
    }
    return queue;
  }

  /**
   * Notes the Packet Identifier of a packet, or puts the packet in the place of its predecessor.
   * @throws PorticoError `PORTICO_NO_SUCH_PACKET` if neither is there
   */
  update(clientId: string, packet: AedesPacket): void {
    const queue = this.#queues.get(clientId);
    const same = queue?.same(packet);
    const former = same ?? queue?.predecessor(packet);
    if (queue === undefined || former === undefined) throw noSuchPacket();
    const entry = same ?? this.#replace(clientId, queue, former, packet);
    const { messageId } = packet;
    if (entry.messageId === messageId) return;
    queue.setMessageId(entry, messageId);
    if (messageId === undefined) this.#writes.delete(messageIdKey(clientId, entry));
    else this.#writes.put(messageIdKey(clientId, entry), encodeNumber(messageId));
  }

  #replace(clientId: string, queue: ClientQueue, former: QueueEntry, packet: AedesPacket): QueueEntry {
    const value = encodePacket(packet);
    const entry = this.#entryFor(former.sequence, packet);
    entry.messageId = former.messageId;
    // First the deletion: the two keys are the same if neither packet has an identity.
    this.#writes.delete(packetKey(clientId, former));
    this.#writes.put(packetKey(clientId, entry), value);
    queue.replace(former, entry);
    return entry;
  }

  /** Removes the very packet, or the one that was sent under its Packet Identifier, and returns it. */
  async clear(clientId: string, packet: AedesPacket): Promise<AedesPacket | undefined> {
    const queue = this.#queues.get(clientId);
    let entry = queue?.same(packet);
    if (entry === undefined && packet.messageId !== undefined) entry = queue?.acknowledged(packet.messageId);
    if (queue === undefined || entry === undefined) return undefined;
    // Out of the index first, so that a second acknowledgement does not find it while the packet is read.
    queue.remove(entry);
    if (queue.size === 0) this.#queues.delete(clientId);
    const key = packetKey(clientId, entry);
    const value = await this.#writes.get(key);
    this.#writes.delete(key);
    if (entry.messageId !== undefined) this.#writes.delete(messageIdKey(clientId, entry));
    return value === undefined ? undefined : withMessageId(value, entry);
  }

  /** What waits for a client now, in order; what is removed before its turn comes is left out. */
  waiting(clientId: string): AsyncGenerator<AedesPacket> {
    return this.#read(clientId, this.#queues.get(clientId)?.entries() ?? []);
  }

  async *#read(clientId: string, entries: readonly QueueEntry[]): AsyncGenerator<AedesPacket> {
    for (const { sequence } of entries) {
      const entry = this.#queues.get(clientId)?.get(sequence);
      if (entry === undefined) continue;
      const value = await this.#writes.get(packetKey(clientId, entry));
      if (value !== undefined) yield withMessageId(value, entry);
    }
  }
}

function packetKey(clientId: string, entry: QueueEntry): Buffer {
  return aedesKey(AedesKind.Outgoing, clientId, numberPart(entry.sequence), `${entry.brokerCounter}`, entry.brokerId);
}

function messageIdKey(clientId: string, entry: QueueEntry): Buffer {
  return aedesKey(AedesKind.OutgoingId, clientId, numberPart(entry.sequence));
}

function withMessageId(value: Buffer, entry: QueueEntry): AedesPacket {
  const packet = decodePacket(value);
  if (entry.messageId !== undefined) packet.messageId = entry.messageId;
  return packet;
}
