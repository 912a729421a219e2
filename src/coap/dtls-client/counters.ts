/** What a DTLS client counts, since its start. */
export class DtlsClientCounters {
  datagramsReceived = 0;
  /** Records of application data, received and sent. */
  recordsReceived = 0;
  recordsSent = 0;
  /** Records that belong to no association and no handshake, or are no records of DTLS 1.2. */
  droppedRecords = 0;
  /** Records that are not authentic. */
  badRecords = 0;
  replayedRecords = 0;
  /** Datagrams that are too long for a record, or came after the end of the transport. */
  droppedSends = 0;
  /** Datagrams lost while they waited for a handshake: by `limits.waitingDatagrams` and by `limits.waitingBytes`. */
  droppedWaiting = 0;
  droppedWaitingBytes = 0;

  handshakesStarted = 0;
  handshakesCompleted = 0;
  /** Handshakes that an alert ended, from either side. */
  handshakesFailed = 0;
  /** Of them, those that ended since the certificate of the server was not good, or not its. */
  certificatesRefused = 0;
  /** Handshakes that took too long (`limits.handshakeTime`). */
  handshakeTimeouts = 0;
  /** Handshakes that did not begin: one too many (`limits.handshakes`), no key, another name of the same address. */
  handshakesRefused = 0;
  handshakesWithoutKey = 0;
  flightsRepeated = 0;

  /** Associations ended: by the server, since it was silent, for another device at its address, and by `limits`. */
  associationsClosed = 0;
  associationsLost = 0;
  associationsReplaced = 0;
  associationEvictions = 0;
  associationsExpired = 0;
  associationsExhausted = 0;

  /** Calls of `credential` that threw; there is no key then. */
  keyErrors = 0;
  internalErrors = 0;
}
