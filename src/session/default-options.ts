/**
 * The options of a broker that is created without a configuration, in a test or a program of its own: the defaults of the schema, which
 * such a program does not load, but for what code written for Aedes does not expect to be bounded.
 */
import type { RetainedLimits } from '../bus/retained.js';
import type { SessionOptions } from './environment.js';

export const DEFAULT_OPTIONS: SessionOptions = {
  maxPacketSize: 268435460,
  keepaliveMax: 0,
  connectTimeout: 10,
  maxClientIdLength: 65535,
  maxTopicLevels: 100,
  maxTopicLength: 65535,
  maxConnectSize: 128 * 1024,
  sessionExpiryMax: 0xffffffff,
  sessionExpiryDefault: 0xffffffff,
  receiveMaximum: 1024,
  maxInflight: 512,
  queuedMessages: 100_000,
  queuedBytes: 256 * 1024 * 1024,
  queueMemory: 256 * 1024,
  queueAge: 0,
  queueFull: 'drop_newest',
  queueQos0: false,
  maxPayload: Number.POSITIVE_INFINITY,
  memory: 1024 * 1024 * 1024,
  outputBuffer: 1024 * 1024,
  stalledTimeout: 120,
  connections: 100_000,
  connectionsPerAddress: Number.POSITIVE_INFINITY,
  connectsPerSecond: Number.POSITIVE_INFINITY,
  pendingConnections: 10_000,
  messagesPerSecond: Number.POSITIVE_INFINITY,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  sessions: 1_000_000,
  subscriptionsPerClient: 100_000,
  maxQos: 2,
  retainAvailable: true,
  checkRetainSource: true,
  wildcardSubscriptions: true,
  subscriptionIdentifiers: true,
  sharedSubscriptions: true,
  sharedStrategy: 'round_robin',
  topicAliasMaximum: 128,
  topicAliasMaximumOut: 128,
  validatePayloadFormat: false,
  responseInformation: null,
  serverReference: null,
  draining: 'no',
  lockoutWindow: 600,
  lockoutFailures: 0,
  lockoutAddressFailures: 0,
  lockoutTime: 600,
  lockoutLoopback: false,
  lockoutEntries: 10_000,
};

export const DEFAULT_RETAINED: RetainedLimits = { messages: 1_000_000, bytes: 2 ** 30 };
