/** What is told of MQTT over TLS. */
import type { Expiring } from '../access/tls-files.js';
import { counter, counters, type Metric, measure } from './measure.js';

const daysLeft = (topic: string, file: Expiring) => measure(topic, (r) => r.daysLeft[file] ?? Number.NaN, { file });

export const TLS_METRICS: readonly Metric[] = [
  counters('portico_tls_handshakes_total', 'Handshakes of TLS for MQTT and WebSocket, by their end.', 'outcome', {
    done: ['tls/handshakes/done', 'tlsHandshakes'],
    failed: ['tls/handshakes/failed', 'tlsHandshakesFailed'],
  }),
  counter(
    'portico_certificates_renewed_total',
    'Times that new certificates of a listener, or new secrets and keys of back-ends, went into force.',
    'certificates/renewed',
    'certificatesRenewed',
  ),
  counter(
    'portico_certificates_refused_total',
    'Times that new certificates of a listener, or new secrets and keys of back-ends, could not go into force; the former ones stayed.',
    'certificates/refused',
    'certificatesRefused',
  ),
  {
    name: 'portico_certificate_days_left',
    kind: 'gauge',
    help: 'Days until the first one of all certificates of listeners, of CAs of clients and devices, of lists of revoked ones, or of CAs of the servers that back-ends ask is past its time; NaN, and no topic, if there is none.',
    measures: [
      daysLeft('certificates/days_left', 'cert_file'),
      daysLeft('certificates/ca_days_left', 'ca_file'),
      daysLeft('certificates/crl_days_left', 'crl_file'),
      daysLeft('certificates/http_ca_days_left', 'http_ca_file'),
      daysLeft('certificates/jwks_ca_days_left', 'jwt_jwks_ca_file'),
    ],
  },
];
