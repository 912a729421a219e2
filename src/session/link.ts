/** What a session's queue needs of the connection that it sends through, and of the session that owns it. */
import type { Counters } from '../bus/counters.js';
import type { MemoryBudget } from '../bus/memory-budget.js';
import type { Publication } from '../bus/publication.js';
import type { Operation, Store } from '../store/store.js';
import type { PublishSource } from '../wire/publish-writer.js';
import type { SessionOptions } from './environment.js';

/** The connection as the queue sees it. */
export interface Link {
  /** The client does not read: send nothing more until it does. */
  readonly congested: boolean;
  /** Most unacknowledged deliveries: the client's Receive Maximum, or `mqtt.max_inflight` if that is less. */
  readonly window: number;
  /**
   * Sends a PUBLISH.
   * @param expiresAt milliseconds since the epoch, 0 for never
   * @returns false if it exceeds the client's Maximum Packet Size
   */
  sendPublish(
    source: PublishSource,
    qos: number,
    retain: boolean,
    dup: boolean,
    packetId: number,
    expiresAt: number,
    identifiers: readonly number[] | null,
  ): boolean;
  /** Sends a live publication, perhaps from its shared frame; otherwise as `sendPublish`. */
  sendPublication(
    publication: Publication,
    qos: number,
    retain: boolean,
    packetId: number,
    identifiers: readonly number[] | null,
  ): boolean;
  sendPubrel(packetId: number): void;
}

/** What bounds a queue. */
export type QueueOptions = Pick<
  SessionOptions,
  'queuedMessages' | 'queuedBytes' | 'queueMemory' | 'queueAge' | 'queueFull' | 'queueQos0'
>;

/** What Outbound needs of its session. */
export interface OutboundHost {
  /** Null for a session that ends with its connection. */
  readonly store: Store | null;
  readonly number: number;
  readonly options: QueueOptions;
  readonly budget: MemoryBudget;
  readonly counters: Counters;
  /** The session is ending: its queue is for others to take from. */
  readonly leaving: boolean;
  /**
   * Something has to be durable before anything that depends on it leaves.
   * @param bytes that are to be written for it
   */
  enlist(bytes?: number): void;
  /** Something should be written with the next group. */
  enlistLazily(): void;
  /** A queue limit took a message, or so many; `option` is its name. */
  onLimit(option: string, messages?: number): void;
  onStoreFailure(error: unknown): void;
  /** A stored segment cannot be read. @param value its bytes, if there are any */
  onDamage(error: unknown, key: Buffer, value: Buffer | undefined): void;
  /** Joins changes to the open commit group. */
  write(operations: readonly Operation[]): void;
  /** Calls back once everything that has joined until now is durable. */
  whenSettled(callback: () => void): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The queue of one session as its keys tell it. */
export interface QueueExtent {
  /** Sequence number of the first message, and of the one after the last. */
  first: number;
  end: number;
  /** Messages and their bytes. */
  count: number;
  bytes: number;
  /** Messages between them that had not been sent and are not there: they expired. */
  gone: number;
  /** Milliseconds since the epoch before which none expires; 0 if none does. */
  expiresAt: number;
}
