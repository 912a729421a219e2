/**
 * The plugin API. A plugin adds a front door or a service to the broker. It reaches the bus only through clients that it
 * opens, so the rules, limits and counters of any client hold for what it does.
 */
import type { AuthenticationMethod } from '../access/authentication-method.js';
import type { Counters } from '../bus/counters.js';
import type { Credentials } from '../session/admission.js';
import type { Refusal } from '../session/authentication.js';
import type { Entrance } from '../session/entrance.js';
import type { ClientIdentity, InProcessClient } from '../session/in-process-client.js';
import type { Party } from '../session/journal.js';
import type { PluginStorage } from '../session/plugin-storage.js';
import type { Tracing } from '../session/tracing.js';

export type {
  AuthenticationExchange,
  AuthenticationMethod,
  AuthenticationStep,
  Claimant,
} from '../access/authentication-method.js';
export type { Credentials } from '../session/admission.js';
export type { Refusal } from '../session/authentication.js';
export type { Entrance } from '../session/entrance.js';
export type { MessageHandler } from '../session/handling.js';
export type {
  ClientIdentity,
  InProcessClient,
  SubscriptionHandle,
} from '../session/in-process-client.js';
export type { Party } from '../session/journal.js';
export type { Keeper, KeptSubscription } from '../session/kept-subscription.js';
export type { PluginStorage } from '../session/plugin-storage.js';
export type { PublishOptions, PublishOutcome } from '../session/publish-outcome.js';

/** A logger with levels, as pino has. */
export interface PluginLogger {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  debug(fields: object, text: string): void;
}

/** What the broker gives to a plugin. */
export interface PluginContext {
  readonly logger: PluginLogger;
  /** What the broker counts. A plugin counts its own limits there, and nothing else. */
  readonly counters: Counters;
  /** What the plugin keeps from one start to the next; plugins of one name share it. */
  readonly storage: PluginStorage;
  /** What admins follow: whatever a plugin tells there of a client is shown to those who trace it. */
  readonly tracing: Tracing;
  /** Opens a client of the broker. Close it when whoever stands behind it is gone. */
  openClient(identity: ClientIdentity): InProcessClient;
  /**
   * Gives a connection of a listener its place among those of all listeners, before anything of it is read
   * (`limits.pending_connections`, `limits.connections_per_address`, `limits.connects_per_second`). Null if it has to be
   * closed at once; that is counted and logged then.
   * @param remote `address:port`
   * @param transport the type of the listener
   */
  enter(remote: string, transport: string): Entrance | null;
  /**
   * Whether everybody from an address is banned (`access.lockout_address_failures`): for what begins without a connection. It is
   * to be turned away then, which is counted and logged. Ask it of an address that cannot be forged.
   * @param remote `address:port`
   * @param username of a user, who may be banned there alone (`access.lockout_failures`)
   */
  isBanned(remote: string, transport: string, username?: string): boolean;
  /**
   * Opens a client whose credentials are checked as those of MQTT clients are. It is on the list of those connected, and
   * in the log, until it is closed. A client of the same transport and identifier is taken over.
   */
  connectClient(identity: ClientIdentity, credentials: Credentials): Promise<InProcessClient | Refusal>;
  /**
   * Offers a method of MQTT 5.0 enhanced authentication.
   * @throws PorticoError `PORTICO_CONFIGURATION` if there is one of that name
   */
  addAuthenticationMethod(method: AuthenticationMethod): void;
  /** Logs that a client of this plugin was refused something, and counts it. */
  denied(party: Party, action: string, topic: string, reason: string): void;
  /**
   * Counts and logs that somebody has not proved who it is, to whom this plugin has not spoken as a client.
   * @param party with the user name that was claimed
   * @param method `psk`, or another word for the log
   */
  loginFailed(party: Party, method: string): void;
  /** Logs that a limit was reached; `option` is its name in the configuration. */
  limit(party: Party | null, option: string, detail: string): void;
}

/** A plugin. `start` and `stop` are called once each; a start that rejects stops the broker's start. */
export interface Plugin {
  readonly name: string;
  /** What it serves and where, one line each, for the start-up log. */
  describe(): string[];
  /** Counters to be published below `$SYS/broker/{name}/`; names are topic levels. */
  counters(): Readonly<Record<string, number>>;
  start(context: PluginContext): Promise<void>;
  stop(): Promise<void>;
}
