/** What the options of a listener that speaks MQTT over TLS lack, and which of them exclude each other. */
import { accessOf } from './listener-access.js';
import type { ExposureConfig, ListenerConfig } from './schema.js';

export type TlsListener = Extract<ListenerConfig, { type: 'mqtts' | 'wss' }>;

/** Whether a listener speaks MQTT over TLS. */
export function isTls(listener: ListenerConfig): listener is TlsListener {
  return listener.type === 'mqtts' || listener.type === 'wss';
}

/** Whether a certificate or key says who a client is; otherwise it only lets it in. */
export function namesUsers(listener: ListenerConfig): boolean {
  return !isTls(listener) || listener.username_from !== 'connect';
}

/** The file or the folder of the CAs of clients. */
export function authoritiesOf({ ca_file: file, ca_path: folder }: TlsListener): string | undefined {
  return file ?? folder;
}

/** What is wrong, by the option that should say it. */
export function tlsFaults(
  config: Pick<ExposureConfig, 'access'>,
  listener: TlsListener,
): [keyof TlsListener, string][] {
  const { cert_file: cert, key_file: key, crl_file: crl, psk_hint: hint } = listener;
  const ca = authoritiesOf(listener);
  const faults: [keyof TlsListener, string][] = [];
  if (hint !== undefined) {
    if (accessOf(config, listener).psk_file === undefined) {
      faults.push(['psk_hint', 'knows no pre-shared keys: name their file in access.psk_file']);
    }
    for (const option of ['cert_file', 'key_file', 'ca_file', 'ca_path', 'crl_file'] as const) {
      if (listener[option] === undefined) continue;
      faults.push([option, `takes pre-shared keys (psk_hint), so it has no ${option}: give it a listener of its own`]);
    }
    if (listener.require_certificate) {
      faults.push(['require_certificate', 'takes pre-shared keys (psk_hint), so it can require no certificate']);
    }
  } else {
    if (cert === undefined) faults.push(['cert_file', 'has no certificate: name its file in cert_file']);
    if (key === undefined) faults.push(['key_file', 'has no key: name its file in key_file']);
    if (ca === undefined && listener.require_certificate) {
      const sentence = 'knows no CA of the certificates that it requires: name its file in ca_file';
      faults.push(['require_certificate', sentence]);
    }
    if (ca === undefined && crl !== undefined) {
      faults.push(['crl_file', 'asks clients for no certificate that could be revoked: name their CA in ca_file']);
    }
  }
  if (listener.min_tls_version > listener.max_tls_version) {
    faults.push(['min_tls_version', 'speaks no version of TLS: min_tls_version is above max_tls_version']);
  }
  return faults;
}
