/** What the transports below the CoAP endpoints count, as measures: one of each number, under its own name. */
import type { TransportNumbers } from '../plugins/coap-topics/transport-counters.js';
import type { Metric } from './measure.js';

/** A sentence for each number. */
const HELP: Readonly<Record<keyof TransportNumbers, string>> = {
  dtlsAssociations: 'DTLS: Security associations now.',
  dtlsHandshakes: 'DTLS: Handshakes in progress now.',
  dtlsDatagramsReceived: 'DTLS: Datagrams received.',
  dtlsDroppedSourcePort: 'DTLS: Datagrams with UDP source port 0.',
  dtlsRecordsReceived: 'DTLS: Records of application data received.',
  dtlsRecordsSent: 'DTLS: Records of application data sent.',
  dtlsDroppedRecords: 'DTLS: Records that belong to nothing here, or are no records of DTLS 1.2.',
  dtlsBadRecords: 'DTLS: Records that are not authentic.',
  dtlsReplayedRecords: 'DTLS: Records that came again.',
  dtlsDroppedSends: 'DTLS: Datagrams for associations that are no more, or too long for a record.',
  dtlsCookiesSent: 'DTLS: HelloVerifyRequests sent.',
  dtlsHandshakesOverRate: 'DTLS: ClientHellos dropped, as coap.dtls_handshakes_per_second have begun.',
  dtlsHandshakesOverHostRate:
    'DTLS: ClientHellos dropped, as coap.dtls_host_handshakes_per_second of their host have begun.',
  dtlsHandshakesBanned: 'DTLS: ClientHellos refused, as their address is banned (access.lockout_address_failures).',
  dtlsHandshakesStarted: 'DTLS: Handshakes begun, after the cookie.',
  dtlsHandshakesCompleted: 'DTLS: Handshakes that led to an association.',
  dtlsHandshakesFailed: 'DTLS: Handshakes refused with an alert.',
  dtlsHandshakesUnauthentic:
    'DTLS: Handshakes among them with a wrong key, an unknown identity, or what a client has shown.',
  dtlsCertificatesRefused: "DTLS: Client certificates refused among them, and signatures that are not their owner's.",
  dtlsPublicKeysRefused: 'DTLS: The same of raw public keys.',
  dtlsIdentitiesTooLong: 'DTLS: Handshakes among them for an identity longer than coap.dtls_identity.',
  dtlsHandshakesAbandoned: 'DTLS: Handshakes given up by the device.',
  dtlsHandshakeTimeouts: 'DTLS: Handshakes that took longer than coap.dtls_handshake_time.',
  dtlsHandshakeEvictions: 'DTLS: Handshakes that made place for newer ones.',
  dtlsFlightsRepeated: 'DTLS: Flights of handshakes that were repeated.',
  dtlsAssociationsClosed: 'DTLS: Associations closed by their device.',
  dtlsAssociationsReplaced: 'DTLS: Associations that a newer one at the same address took the place of.',
  dtlsAssociationEvictions: 'DTLS: Associations that made place for newer ones.',
  dtlsAssociationsExpired: 'DTLS: Associations that were idle for coap.dtls_idle_time.',
  dtlsAssociationsExhausted: 'DTLS: Associations in which coap.dtls_records were sent.',
  dtlsAddressChanges: 'DTLS: Associations that came from a new address.',
  dtlsRenegotiationsRefused: 'DTLS: ClientHellos within an association, refused.',
  dtlsKeyErrors: 'DTLS: Keys that could not be looked up.',
  dtlsInternalErrors: 'DTLS: Datagrams that met a fault of DTLS itself.',
  tcpConnectionsAccepted: 'TCP: Connections accepted, over TLS after the handshake.',
  tcpConnectionsClosed: 'TCP: Connections closed.',
  tcpRefusedConnections: 'TCP: Connections refused, as there are too many.',
  tcpOpenTimeouts: 'TCP: Connections that did not open within coap.tcp_open_time.',
  tcpIdleTimeouts: 'TCP: Connections that were silent for coap.tcp_idle_time, and gave no answer to a Ping.',
  tcpMessagesTooLarge: 'TCP: Connections ended for a message that is too large.',
  tcpUnfinishedEvictions: 'TCP: Connections ended as unfinished messages of all took more than coap.tcp_unfinished.',
  tcpDroppedMessages: 'TCP: Notifications dropped, as their device does not read.',
  tcpAbortedConnections: 'TCP: Connections ended for another fault of their device.',
  tcpHandshakesFailed: 'TCP: TLS handshakes that failed.',
};

/** Those that are no sums. */
const NOW: readonly string[] = ['dtlsAssociations', 'dtlsHandshakes'];

export const COAP_TRANSPORT_METRICS: readonly Metric[] = [
  ...(Object.keys(HELP) as (keyof TransportNumbers)[]).map((name): Metric => {
    const words = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const now = NOW.includes(name);
    return {
      name: `portico_coap_${words}${now ? '' : '_total'}`,
      kind: now ? 'gauge' : 'counter',
      help: `CoAP over ${HELP[name]}`,
      measures: [{ topics: [`coap/${name}`], labels: {}, counter: null, read: ({ coap }) => coap[name] }],
    };
  }),
  {
    name: 'portico_coap_tcp_connections',
    kind: 'gauge',
    help: 'CoAP over TCP: Connections now.',
    measures: [
      {
        topics: ['coap/tcpConnections'],
        labels: {},
        counter: null,
        read: ({ coap }) => coap.tcpConnectionsAccepted - coap.tcpConnectionsClosed,
      },
    ],
  },
];
