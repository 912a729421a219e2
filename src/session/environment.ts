/** What every session and connection of one broker shares. */

import type { AuthenticationMethod } from '../access/authentication-method.js';
import type { Lockout, LockoutOptions } from '../access/lockout.js';
import type { Counters } from '../bus/counters.js';
import type { MemoryBudget } from '../bus/memory-budget.js';
import type { Router } from '../bus/router.js';
import type { SharedStrategy } from '../bus/shared.js';
import type { GroupCommit } from '../store/commit.js';
import type { Store } from '../store/store.js';
import type { AccessControl } from './access-control.js';
import type { AddressRates } from './address-rates.js';
import type { Arriving } from './arriving.js';
import type { Flusher } from './flusher.js';
import type { Gate } from './gate.js';
import type { Handling } from './handling.js';
import type { Hooks } from './hooks.js';
import type { Journal } from './journal.js';
import type { Pacer } from './pacer.js';
import type { PluginStorage } from './plugin-storage.js';
import type { Refusals } from './refusals.js';
import type { SessionRegistry } from './sessions.js';
import type { Shares } from './shares.js';
import type { Throttle } from './throttle.js';
import type { Tracing } from './tracing.js';
import type { Wills } from './will.js';

/** Limits and capabilities; each is an option of the configuration with the same name. */
export interface SessionOptions extends LockoutOptions {
  /** `mqtt.max_qos`. */
  readonly maxQos: 0 | 1 | 2;
  /** `mqtt.retain_available`. */
  readonly retainAvailable: boolean;
  /** `access.check_retain_source`. */
  readonly checkRetainSource: boolean;
  /** `mqtt.wildcard_subscriptions`. */
  readonly wildcardSubscriptions: boolean;
  /** `mqtt.subscription_identifiers`. */
  readonly subscriptionIdentifiers: boolean;
  /** `mqtt.shared_subscriptions`. */
  readonly sharedSubscriptions: boolean;
  /** `mqtt.shared_strategy`. */
  readonly sharedStrategy: SharedStrategy;
  /** `mqtt.topic_alias_maximum`: aliases that a client may set. */
  readonly topicAliasMaximum: number;
  /** `mqtt.topic_alias_maximum_out`: aliases that the broker sets towards one client, if the client takes as many. */
  readonly topicAliasMaximumOut: number;
  /** `mqtt.validate_payload_format`. */
  readonly validatePayloadFormat: boolean;
  /** `mqtt.response_information`, with `%c` for the client identifier and `%u` for the user name; null for none. */
  readonly responseInformation: string | null;
  /** `mqtt.server_reference`; null for none. */
  readonly serverReference: string | null;
  /** `mqtt.draining`. */
  readonly draining: 'no' | 'temporary' | 'permanent';
  /** `mqtt.max_packet_size` in bytes. */
  readonly maxPacketSize: number;
  /** `mqtt.keepalive_max` in seconds; 0 accepts any, also none. */
  readonly keepaliveMax: number;
  /** `mqtt.connect_timeout` in seconds. */
  readonly connectTimeout: number;
  /** `mqtt.max_client_id_length` in UTF-8 bytes. */
  readonly maxClientIdLength: number;
  /** `mqtt.max_topic_levels`. */
  readonly maxTopicLevels: number;
  /** `mqtt.max_topic_length` in UTF-8 bytes. */
  readonly maxTopicLength: number;
  /** `mqtt.max_connect_size` in bytes. */
  readonly maxConnectSize: number;
  /** `mqtt.session_expiry_max` in seconds; 0xFFFFFFFF for never. */
  readonly sessionExpiryMax: number;
  /** `mqtt.session_expiry_default` in seconds; 0xFFFFFFFF for never. */
  readonly sessionExpiryDefault: number;
  /** `mqtt.receive_maximum`: unacknowledged QoS 1 and 2 publications of one client. */
  readonly receiveMaximum: number;
  /** `mqtt.max_inflight`: unacknowledged deliveries to one client. */
  readonly maxInflight: number;
  /** `limits.queued_messages`. */
  readonly queuedMessages: number;
  /** `limits.queued_bytes`. */
  readonly queuedBytes: number;
  /** `limits.queue_memory` in bytes. */
  readonly queueMemory: number;
  /** `limits.queue_age` in seconds; 0 for none. */
  readonly queueAge: number;
  /** `limits.queue_full`. */
  readonly queueFull: 'drop_newest' | 'drop_oldest';
  /** `limits.queue_qos0`. */
  readonly queueQos0: boolean;
  /** `limits.payload` in bytes; infinite if unset. */
  readonly maxPayload: number;
  /** `limits.memory` in bytes. */
  readonly memory: number;
  /** `limits.output_buffer` in bytes. */
  readonly outputBuffer: number;
  /** `limits.stalled_timeout` in seconds; 0 for never. */
  readonly stalledTimeout: number;
  /** `limits.connections`. */
  readonly connections: number;
  /** `limits.connections_per_address`; infinite if unset. */
  readonly connectionsPerAddress: number;
  /** `limits.connects_per_second`; infinite if unset. */
  readonly connectsPerSecond: number;
  /** `limits.pending_connections`. */
  readonly pendingConnections: number;
  /** `limits.messages_per_second` of one client; infinite if unset. */
  readonly messagesPerSecond: number;
  /** `limits.bytes_per_second` of one client; infinite if unset. */
  readonly bytesPerSecond: number;
  /** `limits.sessions`. */
  readonly sessions: number;
  /** `limits.subscriptions_per_client`. */
  readonly subscriptionsPerClient: number;
}

/** Time, so that tests can turn it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface Environment {
  readonly router: Router;
  readonly commit: GroupCommit;
  readonly store: Store;
  readonly counters: Counters;
  readonly budget: MemoryBudget;
  /** What sessions, subscriptions and Topic Aliases take of the JavaScript heap. */
  readonly heap: MemoryBudget;
  /** Those in force; a reload puts others in their place. What a connection was told of them is in its own `options`. */
  options: SessionOptions;
  readonly clock: Clock;
  readonly flusher: Flusher;
  readonly arriving: Arriving;
  readonly pacer: Pacer;
  readonly handling: Handling;
  readonly shares: Shares;
  readonly sessions: SessionRegistry;
  readonly wills: Wills;
  readonly hooks: Hooks;
  /** What decides on clients of listeners without anything of their own, and on everybody else. */
  readonly access: AccessControl;
  /** What decides on those of each listener, by its name in the store; empty if no listener has anything of its own. */
  listenerAccess: ReadonlyMap<string, AccessControl>;
  readonly journal: Journal;
  /** What admins follow. */
  readonly tracing: Tracing;
  readonly gate: Gate;
  /** Who has failed to prove who it is too often. */
  readonly lockout: Lockout;
  readonly refusals: Refusals;
  readonly throttle: Throttle;
  readonly addressRates: AddressRates;
  /** What plugins keep, by their names; those that have asked for it. */
  readonly storages: Map<string, PluginStorage>;
  /** By their names. */
  readonly authenticationMethods: ReadonlyMap<string, AuthenticationMethod>;
}
