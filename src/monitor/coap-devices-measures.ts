/** What the commands to CoAP devices and their directory count, as measures: one of each counter, under its own name. */
import type { DeviceCounters } from '../plugins/coap-devices/counters.js';
import type { PortNumbers } from '../plugins/coap-devices/ports.js';
import type { SecureLineNumbers } from '../plugins/coap-devices/secure-line.js';
import { counter, gauge, type Measure, type Metric, totalOf } from './measure.js';

/** A sentence for each counter. */
const HELP: Readonly<Record<keyof (DeviceCounters & SecureLineNumbers & PortNumbers), string>> = {
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
  handshakeFailures: 'Requests whose DTLS handshake with the device failed.',
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
  responseTemplateFailures: 'Responses that have not what the template of their command takes.',
  droppedReplies: 'Outcomes that could not be published.',
  registered: 'Devices registered now.',
  registrations: 'Registrations taken.',
  registrationUpdates: 'Registrations renewed.',
  registrationsRemoved: 'Registrations removed by their devices.',
  registrationsExpired: 'Registrations whose lifetime ended.',
  refusedRegistrations: 'Registrations refused by coap.registrations.',
  refusedRegistrationsPerDevice: 'Registrations refused by coap.registrations_per_device.',
  refusedRegistrationBytes: 'Registrations refused by coap.registration_bytes.',
  refusedRegistrationLinks: 'Registrations refused by coap.registration_links.',
  refusedLifetimesMin: 'Registrations and updates refused by coap.registration_lifetime_min.',
  refusedLifetimesMax: 'Registrations and updates refused by coap.registration_lifetime_max.',
  refusedLookupObservers: 'Lookups answered without being observed, by coap.lookup_observers.',
  badRegistrations: 'Registrations and updates that are not as RFC 9176 says.',
  deniedRegistrations: 'Registrations, updates and removals by someone who may not.',
  dtlsAssociations: 'DTLS: Security associations now.',
  dtlsHandshakes: 'DTLS: Handshakes in progress now.',
  dtlsDatagramsReceived: 'DTLS: Datagrams received.',
  dtlsRecordsReceived: 'DTLS: Records of application data received.',
  dtlsRecordsSent: 'DTLS: Records of application data sent.',
  dtlsDroppedRecords: 'DTLS: Records that belong to nothing here, or are no records of DTLS 1.2.',
  dtlsBadRecords: 'DTLS: Records that are not authentic.',
  dtlsReplayedRecords: 'DTLS: Records that came again.',
  dtlsDroppedSends: 'DTLS: Datagrams too long for a record.',
  dtlsDroppedWaiting: 'DTLS: Datagrams lost while 16 others waited for the same handshake.',
  dtlsDroppedWaitingBytes: 'DTLS: Datagrams lost while 1 MiB of others waited for handshakes.',
  dtlsHandshakesStarted: 'DTLS: Handshakes begun.',
  dtlsHandshakesCompleted: 'DTLS: Handshakes that led to an association.',
  dtlsHandshakesFailed: 'DTLS: Handshakes that an alert ended.',
  dtlsCertificatesRefused:
    'DTLS: Of them, those that ended since the certificate of the device was not good, or of another name.',
  dtlsHandshakeTimeouts: 'DTLS: Handshakes that took longer than coap.dtls_handshake_time.',
  dtlsHandshakesRefused:
    'DTLS: Handshakes not begun, by coap.dtls_handshakes or since another at the address was under way.',
  dtlsHandshakesWithoutKey: 'DTLS: Handshakes not begun for want of a key.',
  dtlsFlightsRepeated: 'DTLS: Flights sent again.',
  dtlsAssociationsClosed: 'DTLS: Associations ended by an alert of the device.',
  dtlsAssociationsLost: 'DTLS: Associations given up since nothing came in them any more.',
  dtlsAssociationsReplaced: 'DTLS: Associations ended for another name of the same address.',
  dtlsAssociationEvictions: 'DTLS: Associations that made place for others, by coap.dtls_associations.',
  dtlsAssociationsExpired: 'DTLS: Associations that were idle for coap.dtls_idle_time.',
  dtlsAssociationsExhausted: 'DTLS: Associations in which coap.dtls_records were sent.',
  dtlsKeyErrors: 'DTLS: Faults of the look-up of keys.',
  dtlsInternalErrors: 'DTLS: Datagrams that met a fault of the client.',
  portEvictions: 'DTLS: Devices sent to from the common port again, as 1,024 others have a port of their own.',
  portDroppedWaiting: 'DTLS: Datagrams lost while 4 others waited for a port of their own.',
  failedSimpleRegistrations: 'Simple registrations whose device did not tell its links.',
};

const NAMES = Object.keys(HELP) as (keyof typeof HELP)[];

/** Numbers that go down, too. */
const GAUGES: Readonly<Record<string, string>> = {
  inFlight: 'portico_coap_devices_in_flight',
  registered: 'portico_coap_devices_registered',
  dtlsAssociations: 'portico_coap_devices_dtls_associations',
  dtlsHandshakes: 'portico_coap_devices_dtls_handshakes',
};

export const COAP_DEVICES_METRICS: readonly Metric[] = NAMES.map((name) => {
  const help = `Requests to CoAP devices: ${HELP[name]}`;
  const read: Measure['read'] = ({ coapDevices }) => coapDevices[name];
  if (name in GAUGES) return gauge(GAUGES[name], help, `coap-devices/${name}`, read);
  return counter(totalOf('portico_coap_devices', name), help, `coap-devices/${name}`, read);
});
