/**
 * The hooks and events of Aedes as the session sees them. A hook that is still Aedes' own default is null here, and an
 * event that nobody listens to is not wanted, so that both cost nothing on the hot path.
 */
import type { Verdict } from '../access/passwords.js';
import type { Party } from '../bus/party.js';
import type { ConnectPacket } from '../wire/packets.js';
import type { AedesPacket, AedesSubscription } from './aedes-packets.js';
import type { Connection } from './connection.js';
import type { InProcessClient } from './in-process-client.js';

export type HookCallback<T> = (error?: Error | null, result?: T) => void;

/** What Aedes' `authenticate` may put on its error: a CONNACK return code 2 to 5. */
export interface AuthenticateError extends Error {
  readonly returnCode?: number;
}

export interface Hooks {
  readonly preConnect: ((client: Connection, packet: ConnectPacket, done: HookCallback<boolean>) => void) | null;
  readonly authenticate:
    | ((
        client: Connection | InProcessClient,
        username: string | undefined,
        password: Buffer | undefined,
        done: HookCallback<boolean | null>,
      ) => void)
    | null;
  readonly authorizePublish:
    | ((client: Connection | null, packet: AedesPacket, done: HookCallback<void>) => void)
    | null;
  readonly authorizeSubscribe:
    | ((client: Connection, subscription: AedesSubscription, done: HookCallback<AedesSubscription | null>) => void)
    | null;
  readonly authorizeForward: ((client: Connection, packet: AedesPacket) => AedesPacket | null | undefined) | null;
  readonly published: ((packet: AedesPacket, client: Connection | null, done: HookCallback<void>) => void) | null;

  /**
   * Portico's own decision on user name and password, before the hook.
   * @param wanted whether whoever asks still wants to know
   * @param client who asks
   */
  identify(
    username: string | undefined,
    password: Buffer | undefined,
    anonymous: boolean,
    wanted: () => boolean,
    client: Party,
  ): Verdict | Promise<Verdict>;
  /** Whether anybody listens. */
  wants(event: string): boolean;
  emit(event: string, ...values: unknown[]): boolean;
  /** A connection has been accepted under its client identifier. */
  register(client: Connection): void;
  unregister(client: Connection): void;
  /** Number of the next packet of this broker, for `brokerCounter`. */
  nextCounter(): number;
  readonly brokerId: string;
  readonly closed: boolean;
  /** Whether clients are sent away to another broker, and whether for good. */
  readonly draining: 'no' | 'temporary' | 'permanent';
}
