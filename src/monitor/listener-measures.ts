/** What is told of listeners: whom they refuse for what they ask of connections. Part of the table of measures. */
import { counters, type Metric } from './measure.js';

export const LISTENER_METRICS: readonly Metric[] = [
  counters(
    'portico_listener_refused_total',
    'Connections refused for what their listener asks of them, by cause.',
    'cause',
    {
      untrusted_proxy: ['listeners/refused/untrusted_proxy', 'refusedUntrustedProxies'],
      proxy_header: ['listeners/refused/proxy_header', 'refusedProxyHeaders'],
      proxy_tls: ['listeners/refused/proxy_tls', 'refusedProxiesWithoutTls'],
      proxy_certificate: ['listeners/refused/proxy_certificate', 'refusedProxiesWithoutCertificate'],
      max_connections: ['listeners/refused/max_connections', 'refusedAtListener'],
      protocol_version: ['listeners/refused/protocol_version', 'refusedVersions'],
      username: ['listeners/refused/username', 'refusedNameless'],
      empty_client_id: ['listeners/refused/empty_client_id', 'refusedEmptyIds'],
      client_id_prefix: ['listeners/refused/client_id_prefix', 'refusedIdPrefixes'],
      origin: ['listeners/refused/origin', 'refusedOrigins'],
    },
  ),
];
