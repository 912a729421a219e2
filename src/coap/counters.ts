/** Datagrams and their bytes, both ways. */
export class DatagramCounters {
  datagramsReceived = 0;
  datagramsSent = 0;
  bytesReceived = 0;
  bytesSent = 0;
}

/** What a CoAP endpoint counts, since its start. Plain numbers, written on the hot path. */
export class CoapCounters extends DatagramCounters {
  /** Requests given to the handler, and responses sent to requests, notifications not included. */
  requests = 0;
  responses = 0;

  /** Datagrams with UDP source port 0: nobody could be answered there. */
  droppedSourcePort = 0;
  /** Datagrams that found every remembered remote busy (`limits.remotes`). */
  droppedRemotes = 0;
  /** Other versions of CoAP, silently ignored (RFC 7252 3). */
  ignoredVersion = 0;
  /** Message format errors (RFC 7252 4.2, 4.3). */
  formatErrors = 0;
  /** Messages whose type and code do not go together, or whose code class is reserved. */
  unexpectedMessages = 0;
  /** Acknowledgements and Resets that answer nothing in flight. */
  unmatchedReplies = 0;
  /** Empty Confirmable messages, answered with a Reset ("CoAP ping", RFC 7252 4.3). */
  pings = 0;
  /** Resets sent. */
  resetsSent = 0;
  /** Requests refused for their options before any handler (4.00, 4.02, 5.05), or ignored for them if Non-confirmable. */
  badOptions = 0;

  /** Requests recognized as duplicates; those among them that were answered again. */
  duplicates = 0;
  replays = 0;
  /** Requests forgotten before their lifetime (`limits.deduplicationBytes`, `limits.remotes`). */
  deduplicationEvictions = 0;
  remoteEvictions = 0;

  /** Requests answered 4.01 with Echo; remotes that have shown where they are; duplicates not answered till they have. */
  echoDemanded = 0;
  echoVerified = 0;
  echoWithheld = 0;

  /** Datagrams that met a fault of the endpoint itself. */
  internalErrors = 0;
  /** Handlers and callbacks that threw, and handlers that never answered (`transmission.handlerTimeout`). */
  handlerErrors = 0;
  handlerTimeouts = 0;
  /** Requests refused with 5.03, by `limits.pendingExchanges` and by `limits.pendingExchangesPerRemote`. */
  refusedExchanges = 0;
  refusedExchangesPerRemote = 0;
  /** Empty Acknowledgements sent ahead of a separate response. */
  separateAcknowledgements = 0;
  /** Separate responses dropped, by `limits.separateResponses` and by `limits.separateResponsesPerRemote`. */
  droppedSeparateResponses = 0;
  droppedSeparateResponsesPerRemote = 0;
  /** Answers that could not be encoded and became 5.00. */
  unsendableResponses = 0;
  retransmissions = 0;
  /** Confirmable messages given up after MAX_RETRANSMIT. */
  transmissionTimeouts = 0;
  /** Confirmable messages answered with a Reset. */
  resetsReceived = 0;

  /** Notifications sent, in all and as Confirmable. */
  notifications = 0;
  notificationsConfirmable = 0;
  /** Notifications never sent since a newer state came first (RFC 7641 4.5.2). */
  notificationsReplaced = 0;
  /** Notifications sent as Confirmable since Non-confirmable ones would come too fast, or to nobody known (RFC 7641 4.5.1). */
  notificationsPaced = 0;
  observersRegistered = 0;
  /** Registrations refused, by `limits.observers` and by `limits.observersPerRemote`. */
  observersRefused = 0;
  observersRefusedPerRemote = 0;
  observersEnded = 0;

  /** Bodies assembled; 4.08 answers; 4.13 answers; bodies given up for newer ones, by number or by bytes, or for their age. */
  block1Completed = 0;
  block1Incomplete = 0;
  block1TooLarge = 0;
  block1Evictions = 0;
  block1EvictionsBytes = 0;
  block1Expired = 0;
  /** Response bodies dropped for newer ones, by number or by bytes, or for their age. */
  block2Evictions = 0;
  block2EvictionsBytes = 0;
  block2Expired = 0;
}
