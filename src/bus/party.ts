/** Whom something is about: a client, as the log, and whoever decides on rights, know it. */
export interface Party {
  /** Client identifier, empty before it is known. */
  readonly id: string;
  /** `address:port`, or what stands for it. */
  readonly remote: string;
  readonly username: string | null;
  /** How it came: `mqtt`, `websocket`, `internal`, or the listener type of CoAP: `coap`, `coaps` and so on. */
  readonly transport: string;
  /** MQTT protocol version 3, 4, 5; 0 for others. */
  readonly version: number;
  /** What it does stands in the configuration: access control lists are not asked about it. */
  readonly trusted?: boolean;
  /** What a back-end has said of it; null or absent if none was asked. */
  readonly grant?: Grant | null;
}

/** What a back-end that has let a client in says of it. */
export interface Grant {
  readonly by: 'jwt' | 'http';
  /** The user that the client is; null for the one that it says it is. */
  readonly username: string | null;
  /** Groups of the access control list, besides those that name the user. */
  readonly groups: readonly string[];
  /** Access control lists are not asked about it. */
  readonly superuser: boolean;
  /** Milliseconds since the epoch, from when on it is disconnected; infinite for never. */
  readonly expiresAt: number;
}

/** The rights that it gives. */
export type Lent = Pick<Grant, 'groups' | 'superuser'>;

/** Whether somebody has rights that only a grant gives, and that its name does not tell later. */
export function isLent(grant: Lent | null | undefined): boolean {
  return grant != null && (grant.superuser || grant.groups.length > 0);
}
