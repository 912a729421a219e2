/** What the commands to CoAP devices count, as measures: one of each counter, under its own name. */
import type { DeviceCounters } from '../plugins/coap-devices/counters.js';
import type { Metric } from './measures.js';

/** A sentence for each counter. */
const HELP: Readonly<Record<keyof DeviceCounters, string>> = {
  datagramsReceived: 'Datagrams received.',
  datagramsSent: 'Datagrams sent.',
  bytesReceived: 'Bytes received.',
  bytesSent: 'Bytes sent.',
  requests: 'Requests begun.',
  responses: 'Requests that ended with a response, of any code.',
  timeouts: 'Requests without an outcome within their timeout.',
  unacknowledged: 'Requests given up after their retransmissions.',
  resets: 'Requests answered with a Reset.',
  badResponses: 'Requests whose response breaks the protocol.',
  bodiesChanged: 'Requests whose response changed while it was fetched.',
  bodiesTooLarge: 'Requests whose response is too large.',
  unsendable: 'Requests that no message can say.',
  cancelled: 'Requests withdrawn.',
  refusedRequests: 'Requests refused by a client for their number.',
  refusedRequestsPerPeer: 'Requests refused by a client for their number to one device.',
  refusedBodies: 'Requests refused or ended for the bytes of all bodies.',
  refusedPeers: 'Requests refused for the number of devices.',
  refusedObservations: 'Observations refused.',
  refusedObservationsPerPeer: 'Observations of one device refused.',
  retransmissions: 'Retransmissions.',
  separateResponses: 'Confirmable responses that came on their own.',
  duplicates: 'Confirmable responses that came again.',
  unmatched: 'Responses, acknowledgements and Resets that answer nothing.',
  resetsSent: 'Resets sent.',
  formatErrors: 'Datagrams that are no messages.',
  unexpectedMessages: 'Messages that no client takes.',
  echoes: 'Requests repeated with an Echo option.',
  restarts: 'Blockwise transfers begun anew.',
  observationsBegun: 'Observations begun.',
  observationsEnded: 'Observations ended.',
  notifications: 'Notifications received.',
  staleNotifications: 'Notifications older than one before.',
  reregistrations: 'Registrations anew.',
  callbackErrors: 'Outcomes whose handling failed.',
  internalErrors: 'Datagrams that met a fault of the client.',
  inFlight: 'Commands under way now.',
  refusedInFlight: 'Messages not sent, by coap.commands_in_flight.',
  refusedPerDevice: 'Messages not sent, by coap.commands_per_device.',
  unresolved: 'Messages not sent: their device has no address that can be reached.',
  templateFailures: 'Messages not sent: they have not what the templates of the command take.',
  droppedReplies: 'Outcomes that could not be published.',
};

const NAMES = Object.keys(HELP) as (keyof DeviceCounters)[];

function metricName(name: string): string {
  if (name === 'inFlight') return 'portico_coap_devices_in_flight';
  const words = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  // The unit stands last.
  return `portico_coap_devices_${words.replace(/^bytes_(.*)$/, '$1_bytes')}_total`;
}

export const COAP_DEVICES_METRICS: readonly Metric[] = NAMES.map(
  (name): Metric => ({
    name: metricName(name),
    kind: name === 'inFlight' ? 'gauge' : 'counter',
    help: `Commands to CoAP devices: ${HELP[name]}`,
    measures: [
      { topics: [`coap-devices/${name}`], labels: {}, counter: null, read: ({ coapDevices }) => coapDevices[name] },
    ],
  }),
);
