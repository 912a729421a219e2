import { DatagramCounters } from '../counters.js';

/** What a CoAP client counts, since its start. */
export class ClientCounters extends DatagramCounters {
  /** Requests taken, and how they ended. Each ends once, as a response or under one of the failures. */
  requests = 0;
  responses = 0;
  /** No outcome within the request's `timeout`. */
  timeouts = 0;
  /** MAX_RETRANSMIT was reached without an acknowledgement. */
  unacknowledged = 0;
  /** The peer answered with a Reset. */
  resets = 0;
  /** Responses with a critical option not understood, or with blocks that do not fit. */
  badResponses = 0;
  /** Bodies that changed while they were fetched, more than once. */
  bodiesChanged = 0;
  /** Bodies above `limits.bodyBytes`. */
  bodiesTooLarge = 0;
  /** Requests that no message can say: an option's bounds, a body without a Method for it. */
  unsendable = 0;
  /** No association with the peer came about. */
  handshakeFailures = 0;
  /** Withdrawn by the caller, or by the end of the client. */
  cancelled = 0;

  /** Refused by `limits.requests`, `limits.requestsPerPeer`, `limits.bodiesBytes` and `limits.peers`. */
  refusedRequests = 0;
  refusedRequestsPerPeer = 0;
  refusedBodies = 0;
  refusedPeers = 0;
  /** Refused by `limits.observations` and `limits.observationsPerPeer`. */
  refusedObservations = 0;
  refusedObservationsPerPeer = 0;

  retransmissions = 0;
  /** Responses that came on their own after an empty Acknowledgement, or as a message of their own. */
  separateResponses = 0;
  /** Confirmable responses that came again and were acknowledged again. */
  duplicates = 0;
  /** Responses, Acknowledgements and Resets that answer nothing known. */
  unmatched = 0;
  resetsSent = 0;
  /** Datagrams that are no messages, and messages that no client takes: requests, reserved codes. */
  formatErrors = 0;
  unexpectedMessages = 0;
  /** Requests repeated with the Echo that the server asked for (RFC 9175). */
  echoes = 0;
  /** Blockwise transfers begun anew (RFC 7959 2.4, 2.9). */
  restarts = 0;

  observationsBegun = 0;
  observationsEnded = 0;
  notifications = 0;
  /** Notifications older than one seen before (RFC 7641 3.4). */
  staleNotifications = 0;
  reregistrations = 0;

  /** Callbacks that threw, and datagrams that met a fault of the client itself. */
  callbackErrors = 0;
  internalErrors = 0;
}
