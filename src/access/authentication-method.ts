/**
 * Authentication methods of MQTT 5.0 4.12. A client names one in CONNECT; then it and the broker exchange Authentication
 * Data in AUTH packets until the method has decided. What is in the data is the method's alone to know.
 */

/** The client that wants to authenticate. */
export interface Claimant {
  readonly clientId: string;
  /** The user name of CONNECT; in a re-authentication the one that was authenticated. Null if there is none. */
  readonly username: string | null;
  /** `address:port` of the client, or what stands for it. */
  readonly remote: string;
  /** Whether the client is connected already and authenticates again (MQTT 5.0 4.12.1). */
  readonly reauthentication: boolean;
}

export interface AuthenticationMethod {
  /** The Authentication Method of CONNECT, compared byte by byte. */
  readonly name: string;
  /** Begins an exchange. It is forgotten when the method has decided, or when the connection ends before. */
  begin(client: Claimant): AuthenticationExchange;
}

/** One exchange with one client. */
export interface AuthenticationExchange {
  /**
   * Takes the client's Authentication Data, null if it sent none, and answers. The next step comes only after the answer.
   * An error that is thrown ends the connection with 0x83 (Implementation specific error).
   */
  step(data: Buffer | null): AuthenticationStep | Promise<AuthenticationStep>;
}

/** The broker asks for more: AUTH 0x18. */
export interface AuthenticationContinues {
  readonly outcome: 'continue';
  /** At most 65,535 bytes; null for none. */
  readonly data: Buffer | null;
}

/** The client is who it says. */
export interface AuthenticationSucceeded {
  readonly outcome: 'success';
  readonly username: string;
  /** For CONNACK, or for the last AUTH of a re-authentication; at most 65,535 bytes, null for none. */
  readonly data: Buffer | null;
}

/** The client is refused. */
export interface AuthenticationFailed {
  readonly outcome: 'failure';
  /** For CONNACK or DISCONNECT, 0x80 or above; one that the packet does not have becomes 0x87 (Not authorized). */
  readonly reasonCode: number;
  /** For the log, in words; no secret may be in it. */
  readonly reason: string;
  /** Whom the client claimed to be, if the method knows: a failure with reason code 0x86 or 0x87 counts for that user. */
  readonly username?: string;
}

export type AuthenticationStep = AuthenticationContinues | AuthenticationSucceeded | AuthenticationFailed;
