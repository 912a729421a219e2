/** What a DTLS transport counts, since its start. */
export class DtlsCounters {
  datagramsReceived = 0;
  /** Datagrams with UDP source port 0. */
  droppedSourcePort = 0;
  /** Records of application data, received and sent. */
  recordsReceived = 0;
  recordsSent = 0;
  /** Records that belong to no association and no handshake, or are no records of DTLS 1.2. */
  droppedRecords = 0;
  /** Records that are not authentic, and authentic or forged ones outside the replay window. */
  badRecords = 0;
  replayedRecords = 0;
  /** Datagrams to an association that is no more, or that are too long for a record. */
  droppedSends = 0;

  /** HelloVerifyRequests sent: no state is behind them. */
  cookiesSent = 0;
  /** ClientHellos with a good cookie that were dropped: `limits.handshakesPerSecond`, `limits.hostHandshakesPerSecond`. */
  handshakesOverRate = 0;
  handshakesOverHostRate = 0;
  /** ClientHellos with a good cookie from a banned address, refused: `DtlsOptions.isBanned`. */
  handshakesBanned = 0;
  handshakesStarted = 0;
  handshakesCompleted = 0;
  /** Handshakes that ended with an alert from here; those among them for a wrong key, an unknown identity or a client certificate. */
  handshakesFailed = 0;
  handshakesUnauthentic = 0;
  /** Handshakes among them for an identity that is too long (`limits.identityBytes`). */
  identitiesTooLong = 0;
  /** Client certificates refused, and signatures that are not their owner's: among the unauthentic. */
  certificatesRefused = 0;
  /** The same of raw public keys. */
  publicKeysRefused = 0;
  /** Handshakes given up by the client, by a new ClientHello or an alert. */
  handshakesAbandoned = 0;
  /** Handshakes that took too long (`limits.handshakeTime`) or made place for newer ones (`limits.handshakes`). */
  handshakeTimeouts = 0;
  handshakeEvictions = 0;
  flightsRepeated = 0;

  /** Associations ended: by an alert of the client, for a newer one at the same address, and by `limits`. */
  associationsClosed = 0;
  associationsReplaced = 0;
  associationEvictions = 0;
  associationsExpired = 0;
  associationsExhausted = 0;
  /** Associations that came from a new address (RFC 9146 6). */
  addressChanges = 0;
  /** ClientHellos within an association, refused. */
  renegotiationsRefused = 0;

  /** Calls of `psk` that threw; the identity counts as unknown. */
  keyErrors = 0;
  internalErrors = 0;
}
