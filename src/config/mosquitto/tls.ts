/** TLS of a listener of mosquitto.conf: what becomes of its certificates and keys. */
import type { Said } from './draft.js';
import type { Listener, Reader } from './reader.js';

/** Versions that Mosquitto knows, by the lowest one that is spoken here. */
const LOWEST: Readonly<Record<string, string>> = {
  tlsv1: 'tlsv1.2',
  'tlsv1.1': 'tlsv1.2',
  'tlsv1.2': 'tlsv1.2',
  'tlsv1.3': 'tlsv1.3',
};

/** Options that become one of ours as they are. */
const PLAIN: readonly (readonly [theirs: string, ours: string])[] = [
  ['certfile', 'cert_file'],
  ['keyfile', 'key_file'],
  ['ciphers', 'ciphers'],
  ['ciphers_tls1.3', 'ciphersuites'],
  ['psk_hint', 'psk_hint'],
];

/** Those of them that have a meaning only where clients are asked for certificates. */
const OF_CLIENTS: typeof PLAIN = [
  ['cafile', 'ca_file'],
  ['capath', 'ca_path'],
  ['crlfile', 'crl_file'],
];

/** Whether a listener speaks TLS: Mosquitto takes a certificate and its key, or a hint, for that. */
export function isSecure({ values }: Listener): boolean {
  return ['certfile', 'keyfile', 'psk_hint'].some((name) => values.has(name));
}

/** The options of TLS of a listener. */
export function tlsOf({ place, values }: Listener, { warnings }: Reader): Record<string, Said> {
  const options: Record<string, Said> = {};
  const take = (names: typeof PLAIN): void => {
    for (const [theirs, ours] of names) {
      const entry = values.get(theirs);
      if (entry !== undefined) options[ours] = entry;
    }
  };
  take(PLAIN);
  const named = ['use_identity_as_username', 'use_subject_as_username'].map((name) => values.get(name));
  const [identity, subject] = named.map((entry) => (entry?.value === true ? entry : undefined));
  options.username_from = identity
    ? { value: 'identity', place: identity.place }
    : { value: subject ? 'subject' : 'connect', place: subject?.place ?? place };
  if (!values.has('psk_hint')) {
    // Mosquitto asks for no certificate unless it is required; with a user name from it, it lets nobody in without.
    const required = values.get('require_certificate');
    const asks = required?.value === true ? required : (identity ?? subject);
    if (asks !== undefined) {
      options.require_certificate = { value: true, place: asks.place };
      take(OF_CLIENTS);
    }
  }
  const version = values.get('tls_version');
  if (version !== undefined) {
    const lowest = LOWEST[String(version.value)] ?? String(version.value);
    if (lowest !== version.value) {
      warnings.push(`${version.place.where}: tls_version ${version.value}: no version below TLS 1.2 is spoken`);
    }
    options.min_tls_version = { value: lowest, place: version.place };
  }
  return options;
}
