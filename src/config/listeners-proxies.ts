/** What the options of a listener behind a proxy lack, and what its proxies say of its clients. */
import type { ListenerConfig } from './schema.js';

/** Whether the clients of a listener are those of a proxy: wherever it stands, they come from everywhere. */
export function isProxied(listener: ListenerConfig): boolean {
  return (
    ('proxy_protocol' in listener && listener.proxy_protocol !== undefined) ||
    ('trusted_proxies' in listener && listener.trusted_proxies !== undefined)
  );
}

/** Whether a proxy says which user a client is, by the certificate that it has shown there. */
export function isNamedByProxy(listener: ListenerConfig): boolean {
  return 'proxy_username_from' in listener && listener.proxy_username_from === 'identity';
}

/** Whether only clients are let in that have shown their proxy a certificate. */
export function isCertifiedByProxy(listener: ListenerConfig): boolean {
  return 'proxy_require_certificate' in listener && listener.proxy_require_certificate === true;
}

/** Networks of everybody. */
const EVERYBODY = /\/0$/;

/** Whether whoever connects can say that it is any user. */
export function isNamedByAnybody(listener: ListenerConfig): boolean {
  const networks = 'trusted_proxies' in listener ? (listener.trusted_proxies ?? []) : [];
  return isNamedByProxy(listener) && networks.some((network) => EVERYBODY.test(network));
}

/** What version 2 of the header alone can say. */
const OF_VERSION_2 = [
  ['proxy_require_tls', true, 'TLS'],
  ['proxy_require_certificate', true, 'certificates'],
  ['proxy_username_from', 'identity', 'certificates'],
] as const;

/** Listeners of MQTT; those of HTTP have `trusted_proxies` alone. */
type ProxiedListener = Extract<ListenerConfig, { proxy_protocol?: unknown }>;

function isMqtt(listener: ListenerConfig): listener is ProxiedListener {
  return ['mqtt', 'mqtts', 'websocket', 'wss', 'unix'].includes(listener.type);
}

/** What a listener behind a proxy lacks, by the option that should say it. */
export function proxyFaults(listener: ListenerConfig): [option: string, sentence: string][] {
  if (!isMqtt(listener)) return [];
  const { proxy_protocol: protocol } = listener;
  const trusted = listener.type === 'unix' ? undefined : listener.trusted_proxies;
  const faults: [string, string][] = [];
  if (protocol !== undefined && listener.type !== 'unix' && trusted === undefined) {
    faults.push([
      'proxy_protocol',
      'speaks the PROXY protocol and trusts no proxy: name their addresses in trusted_proxies',
    ]);
  }
  for (const [option, value, what] of OF_VERSION_2) {
    if (listener[option] !== value || protocol === 'v2') continue;
    faults.push([option, `is told about ${what} in version 2 of the PROXY header only: write proxy_protocol: v2`]);
  }
  // Only requests for a WebSocket have X-Forwarded-For.
  const forwarded = listener.type === 'websocket' || listener.type === 'wss';
  if (protocol === undefined && !forwarded && trusted !== undefined) {
    faults.push([
      'trusted_proxies',
      'is told nothing by its proxies without proxy_protocol: write v1, v2 or any there',
    ]);
  }
  return faults;
}
