/** The terms in which the reference, the clients and the commands speak of MQTT. */
export type Qos = 0 | 1 | 2;

/** A message that was published, by a client or as its will. */
export interface Publication {
  /** Counts all publications of a run in the order in which the server took them. */
  readonly number: number;
  /** Client identifier of the publisher. */
  readonly publisher: string;
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain: boolean;
  /** Milliseconds since the epoch; infinite for a message without Message Expiry Interval. */
  readonly expiresAt: number;
}

/** A PUBLISH that a client has received. */
export interface Arrival {
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 for none. */
  readonly packetId: number;
  readonly identifiers: readonly number[];
  /** Message Expiry Interval in seconds. */
  readonly expiry: number | undefined;
}

/** A message for a shared subscription: one member gets it, and the server says which. */
export interface Claim {
  /** `$share/{ShareName}/{filter}` */
  readonly group: string;
  readonly publication: Publication;
  /** Client identifier of the member that has been sent it. */
  takenBy: string | null;
  /** Whether the server may as well leave it out. */
  optional: boolean;
  /** Its member's session has ended: it goes to another one, behind what that one has got meanwhile. */
  passedOn: boolean;
  /** Nobody can say who has got it: members end in any order while the server stops, or it has come twice. */
  unsettled: boolean;
}

/** One copy of a publication for one session. */
export interface Copy {
  readonly publication: Publication;
  /** The new subscription that a retained message is sent because of; null for one that was published meanwhile. */
  readonly retained: Subscription | null;
  /** Filters of the subscriptions that ask for it. */
  readonly filters: readonly string[];
  readonly qos: Qos;
  readonly retain: boolean;
  /** Subscription Identifiers; how often each of them comes does not matter. */
  readonly identifiers: readonly number[];
  /** Whether the server may as well leave it out. */
  readonly optional: boolean;
  /** Which members of a shared subscription it is one of the possible copies for. */
  readonly claim: Claim | null;
}

/** Session Expiry Interval of a session that does not end. */
export const NEVER = 0xffffffff;

export interface Subscription {
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** 0 for none. */
  readonly identifier: number;
}

/** What a client publishes, or has as its will. */
export interface Message {
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain: boolean;
  /** Message Expiry Interval in seconds. */
  readonly expiry?: number | undefined;
}

export interface Will extends Message {
  /** Will Delay Interval in seconds. */
  readonly delay: number;
}

export interface ConnectOptions {
  readonly version: 4 | 5;
  readonly cleanStart: boolean;
  /** Session Expiry Interval in seconds. */
  readonly expiry: number;
  readonly window: number;
  readonly will: Will | null;
}
