/** What the CoAP endpoints and the publish-subscribe face count, as measures: one of each counter, under its own name. */
import type { CoapCounters } from '../coap/counters.js';
import type { PubsubCounters } from '../plugins/coap-topics/pubsub/counters.js';
import { counter, gauge, type Metric, totalOf } from './measure.js';

/** A sentence for each counter. */
const HELP: Readonly<Record<keyof CoapCounters | keyof PubsubCounters, string>> = {
  datagramsReceived: 'Datagrams received.',
  datagramsSent: 'Datagrams sent.',
  bytesReceived: 'Bytes received.',
  bytesSent: 'Bytes sent.',
  requests: 'Requests given to the handler.',
  responses: 'Responses sent to requests, without notifications.',
  droppedSourcePort: 'Datagrams with UDP source port 0.',
  droppedRemotes: 'Datagrams that found every remembered device busy.',
  ignoredVersion: 'Datagrams of other versions of CoAP.',
  formatErrors: 'Message format errors.',
  unexpectedMessages: 'Messages whose type and code do not go together.',
  unmatchedReplies: 'Acknowledgements and Resets that answer nothing in flight.',
  pings: 'Empty confirmable messages, answered with a Reset.',
  resetsSent: 'Resets sent.',
  badOptions: 'Requests refused, or ignored, for their options.',
  duplicates: 'Requests recognized as duplicates.',
  replays: 'Duplicates that were answered again.',
  deduplicationEvictions: 'Requests forgotten before their lifetime.',
  remoteEvictions: 'Devices forgotten for newer ones.',
  echoDemanded: 'Requests answered with 4.01 and Echo, as their sender has not shown where it is.',
  echoVerified: 'Devices that have shown where they are, by Echo or by an acknowledgement.',
  echoWithheld: 'Duplicates not answered again, as their sender has not shown where it is.',
  internalErrors: 'Datagrams that met a fault of the endpoint itself.',
  handlerErrors: 'Handlers that failed.',
  handlerTimeouts: 'Handlers that never answered.',
  refusedExchanges: 'Requests refused with 5.03, as too many wait for their answers.',
  refusedExchangesPerRemote: 'Requests refused with 5.03, as too many of their device wait for their answers.',
  separateAcknowledgements: 'Empty Acknowledgements sent ahead of a separate response.',
  droppedSeparateResponses: 'Separate responses dropped, as too many wait for their acknowledgement.',
  droppedSeparateResponsesPerRemote: 'Separate responses dropped, as too many to their device wait for it.',
  unsendableResponses: 'Answers that could not be encoded and became 5.00.',
  retransmissions: 'Retransmissions.',
  transmissionTimeouts: 'Confirmable messages given up after MAX_RETRANSMIT.',
  resetsReceived: 'Confirmable messages answered with a Reset.',
  notifications: 'Notifications sent.',
  notificationsConfirmable: 'Notifications sent as confirmable messages.',
  notificationsReplaced: 'Notifications never sent since a newer state came first.',
  notificationsPaced: 'Notifications sent as confirmable messages, as non-confirmable ones would come too fast.',
  observersRegistered: 'Observations begun.',
  observersRefused: 'Observations refused, as there are too many in all.',
  observersRefusedPerRemote: 'Observations refused, as their device has too many.',
  observersEnded: 'Observations ended.',
  block1Completed: 'Request bodies put together from blocks.',
  block1Incomplete: 'Blocks answered with 4.08.',
  block1TooLarge: 'Request bodies answered with 4.13.',
  block1Evictions: 'Request bodies given up for newer ones, as there are too many.',
  block1EvictionsBytes: 'Request bodies given up for newer ones, as all together are too large.',
  block1Expired: 'Request bodies given up for their age.',
  block2Evictions: 'Response bodies dropped for newer ones, as there are too many.',
  block2EvictionsBytes: 'Response bodies dropped for newer ones, as all together are too large.',
  block2Expired: 'Response bodies dropped for their age.',
  pubsubTopicsRefused: 'Topics refused, as there are too many.',
  pubsubConfigurationsTooLarge: 'Configurations of topics refused for their size.',
  pubsubPublicationsRefused: 'Publications refused with 4.29.',
  pubsubSubscribersRefused: 'Subscribers refused, or sent away, for the max-subscribers of their topic.',
  pubsubTopicsExpired: 'Topics deleted since their expiration-date was reached.',
};

const NAMES = Object.keys(HELP) as (keyof typeof HELP)[];

export const COAP_METRICS: readonly Metric[] = [
  ...NAMES.map((name) =>
    counter(totalOf('portico_coap', name), `CoAP: ${HELP[name]}`, `coap/${name}`, ({ coap }) => coap[name]),
  ),
  gauge(
    'portico_coap_observers',
    'CoAP: Observations now.',
    'coap/observers',
    ({ coap }) => coap.observersRegistered - coap.observersEnded,
  ),
];
