/** What back-ends of authentication have in common: they are asked, one after the other, about users that no password file knows. */
import type { Grant } from '../../bus/party.js';

/** What a client says to be let in, and where it stands. */
export interface Candidate {
  /** Undefined if it has not said any; then it has a password. */
  readonly username: string | undefined;
  readonly password: Buffer | undefined;
  readonly clientId: string;
  /** `address:port`. */
  readonly remote: string;
  /** The type of its listener. */
  readonly transport: string;
  /** MQTT protocol version 3, 4, 5; 0 for CoAP. */
  readonly version: number;
}

/** The next back-end is asked. */
export interface Ignored {
  readonly outcome: 'ignore';
}

/** The client is refused, whatever others would say. */
export interface Denied {
  readonly outcome: 'deny';
  readonly by: Grant['by'];
  /** For the log, in words; no secret may be in it. */
  readonly reason: string;
}

export interface Allowed {
  readonly outcome: 'allow';
  readonly grant: Grant;
}

/** Nobody can tell: the client is refused, and that is no failed login. */
export interface Unavailable {
  readonly outcome: 'unavailable';
  /** Whether it is for want of room, and no failure. */
  readonly busy: boolean;
  /** The option that names the limit, or what has failed. */
  readonly option: string;
  /** For the log, in words. */
  readonly reason: string;
}

export type Answer = Ignored | Denied | Allowed | Unavailable;

export const IGNORED: Ignored = { outcome: 'ignore' };

export interface Backend {
  readonly by: Grant['by'];
  /**
   * Never rejects.
   * @param wanted whether whoever asks still wants to know
   */
  ask(candidate: Candidate, wanted: () => boolean): Promise<Answer>;
  /** Ends its connections once what is asked has been answered. */
  close(): void;
}

/** What back-ends count; the counters of the broker, once there is one. */
export interface BackendCounts {
  jwksFetches: number;
  jwksFailures: number;
  httpLogins: number;
  httpLoginsRemembered: number;
  httpLoginFailures: number;
}

export function noCounts(): BackendCounts {
  return { jwksFetches: 0, jwksFailures: 0, httpLogins: 0, httpLoginsRemembered: 0, httpLoginFailures: 0 };
}

/** A server gave no answer that could be used; its message is for the log. */
export class WebFailure extends Error {}

/** One claim, or groups, as both back-ends take them: texts, the others left out. */
export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}
