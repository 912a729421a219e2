/** Options of listeners that speak MQTT over TLS: `mqtts` and `wss`. */
import { z } from 'zod';
import { documentation, text } from './documentation.js';

/** Versions of TLS by Mosquitto's names, and by those of Node.js. */
export const TLS_VERSIONS = { 'tlsv1.2': 'TLSv1.2', 'tlsv1.3': 'TLSv1.3' } as const;

const versions = Object.keys(TLS_VERSIONS) as (keyof typeof TLS_VERSIONS)[];

export const tlsOptions = {
  cert_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The certificate of the listener in PEM, with those between it and its root behind it. A new file takes its place ' +
        'while the broker runs. A relative path starts at the working directory. Unset: the listener has no certificate, and ' +
        'needs `psk_hint`.',
      example: '/etc/portico/cert.pem',
      since: '0.1.0',
    }),
  key_file: text().optional().register(documentation, {
    doc: 'The private key of the certificate in PEM, not encrypted, and not readable by everybody. Unset: as for `cert_file`.',
    example: '/etc/portico/key.pem',
    since: '0.1.0',
  }),
  ca_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The CAs of clients, certificates in PEM up to those that have signed themselves. A relative path starts at the working ' +
        'directory. Unset: clients are not asked for certificates.',
      example: '/etc/portico/clients-ca.pem',
      since: '0.1.0',
    }),
  ca_path: text()
    .optional()
    .register(documentation, {
      doc:
        'A folder of CAs of clients, a file each that is named by its hash, as `openssl rehash` makes them; in the place of ' +
        '`ca_file`, or besides. A relative path starts at the working directory. Unset: there is none.',
      since: '0.1.0',
    }),
  crl_file: text()
    .optional()
    .register(documentation, {
      doc:
        'Certificates of clients that are revoked: a list of each CA of `ca_file`, in PEM. A list that is past its time lets ' +
        'nobody in. A relative path starts at the working directory. Unset: no certificate is taken for revoked.',
      example: '/etc/portico/revoked.pem',
      since: '0.1.0',
    }),
  require_certificate: z
    .boolean()
    .default(false)
    .register(documentation, {
      doc:
        'Whether a client without a certificate of `ca_file` is refused. Otherwise it is served where anonymous clients are, or ' +
        'with a password. A certificate that is shown has to be good in any case.',
      since: '0.1.0',
    }),
  username_from: z
    .enum(['identity', 'subject', 'connect'])
    .default('identity')
    .register(documentation, {
      doc:
        'Who a client is that has shown a certificate or a key. `identity`: the common name, or the identity of the key, is its ' +
        'user name, whatever CONNECT says, and it needs no password. `subject`: the same with the whole subject, as ' +
        '`CN=meter-7,O=Example` (RFC 2253). `connect`: the user name and password of CONNECT are asked for as without TLS.',
      since: '0.1.0',
    }),
  psk_hint: text()
    .refine((hint) => Buffer.byteLength(hint) <= 128)
    .optional()
    .register(documentation, {
      doc:
        'Takes the pre-shared keys of `access.psk_file` in the place of certificates, and is the hint that clients are told ' +
        'before they name their identity (RFC 4279 5.2). Unset: the listener has a certificate.',
      type: 'a text of at most 128 bytes',
      since: '0.1.0',
    }),
  min_tls_version: z.enum(versions).default('tlsv1.2').register(documentation, {
    doc: 'The lowest version of TLS that is spoken. Older ones are not safe any more (RFC 8996).',
    since: '0.1.0',
  }),
  max_tls_version: z.enum(versions).default('tlsv1.3').register(documentation, {
    doc: 'The highest version of TLS that is spoken.',
    since: '0.1.0',
  }),
  ciphers: text()
    .optional()
    .register(documentation, {
      doc:
        'Cipher suites of TLS 1.2, a list by OpenSSL’s names and rules; the first one that a client knows is taken. Unset: those ' +
        'of Node.js; for pre-shared keys those with forward secrecy, then those of AES.',
      example: 'ECDHE+AESGCM:ECDHE+CHACHA20',
      since: '0.1.0',
    }),
  ciphersuites: text()
    .regex(/^TLS_[A-Z\d_]+(:TLS_[A-Z\d_]+)*$/)
    .optional()
    .register(documentation, {
      doc:
        'Cipher suites of TLS 1.3, names with colons between them. Unset: those of Node.js; for pre-shared keys those with SHA-256, ' +
        'as keys have no other hash.',
      type: 'names that begin with TLS_, with colons between them',
      example: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
      since: '0.1.0',
    }),
};
