/** `listeners`. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { bindOptions, clientOptions, pageOptions } from './client-options.js';
import { documentation, text, whole } from './documentation.js';
import { keyedAccess, ownAccess } from './listener-access.js';
import { proxyProtocol, trustedProxies } from './proxies.js';
import { tlsOptions } from './tls.js';
import { unixSocket } from './unix.js';

/** An address, a host name, or the word `loopback`. What only looks like an IPv4 address is none. */
function isHost(host: string): boolean {
  return isIP(host) !== 0 || (/^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(host) && !/^[\d.]+$/.test(host));
}

const host = z
  .string()
  .refine(isHost)
  .or(z.array(z.string().refine(isHost)).min(1))
  .default('loopback')
  .register(documentation, {
    doc:
      'Address or host name, or a list of them. `loopback` is 127.0.0.1 and, where the machine has it, ::1; ' +
      '`0.0.0.0` and `::` are every address of the machine.',
    type: 'an address, a host name, `loopback`, or a list of these',
    since: '0.1.0',
  });

const port = (usual: number) =>
  whole(0, 65535)
    .default(usual)
    .register(documentation, { doc: 'Port; 0 takes a free one, which the log names.', since: '0.1.0' });

const mqttListener = z.strictObject({
  type: z.literal('mqtt').register(documentation, { doc: 'MQTT over TCP.', since: '0.1.0' }),
  host,
  port: port(1883),
  ...bindOptions,
  ...clientOptions,
  ...ownAccess,
  ...proxyProtocol,
  ...trustedProxies,
});

const websocketListener = z.strictObject({
  type: z.literal('websocket').register(documentation, { doc: 'MQTT over WebSocket.', since: '0.1.0' }),
  host,
  port: port(9001),
  path: z.string().startsWith('/').optional().register(documentation, {
    doc: 'The only path of the URL that is answered. Unset: any path.',
    type: 'a path that begins with /',
    example: '/mqtt',
    since: '0.1.0',
  }),
  ...pageOptions,
  ...bindOptions,
  ...clientOptions,
  ...ownAccess,
  ...proxyProtocol,
  ...trustedProxies,
});

const mqttsListener = z.strictObject({
  type: z.literal('mqtts').register(documentation, {
    doc: 'MQTT over TLS. It needs a certificate, or `psk_hint`.',
    since: '0.1.0',
  }),
  host,
  port: port(8883),
  ...tlsOptions,
  ...bindOptions,
  ...clientOptions,
  ...keyedAccess,
  ...proxyProtocol,
  ...trustedProxies,
});

const wssListener = z.strictObject({
  type: z.literal('wss').register(documentation, {
    doc: 'MQTT over WebSocket over TLS. It needs a certificate, or `psk_hint`.',
    since: '0.1.0',
  }),
  host,
  port: port(9443),
  path: websocketListener.shape.path,
  ...tlsOptions,
  ...pageOptions,
  ...bindOptions,
  ...clientOptions,
  ...keyedAccess,
  ...proxyProtocol,
  ...trustedProxies,
});

const unixListener = z.strictObject({ ...unixSocket, ...clientOptions, ...ownAccess, ...proxyProtocol });

const coapListener = z.strictObject({
  type: z.literal('coap').register(documentation, { doc: 'CoAP over UDP.', since: '0.1.0' }),
  host,
  port: port(5683),
});

/** A certificate and its key, and whether devices are asked for theirs. */
const certificates = {
  cert_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The certificate of the listener in PEM, with those between it and its root behind it. A relative path starts at the ' +
        'working directory. Over DTLS its key is of the curve P-256. Unset: a listener of type `coaps+tcp` does not start, and ' +
        'one of type `coaps` serves the devices of `access.psk_file`, and with a `key_file` those that take its raw public key.',
      example: '/etc/portico/cert.pem',
      since: '0.1.0',
    }),
  key_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The private key of the certificate in PEM, not encrypted. Over DTLS its public key is shown to devices that prefer raw ' +
        'public keys (RFC 7250), and no certificate is needed for that. Unset: a listener of type `coaps+tcp` does not start, and ' +
        'one of type `coaps` serves the devices of `access.psk_file` only.',
      example: '/etc/portico/key.pem',
      since: '0.1.0',
    }),
  ca_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The CAs of devices, certificates in PEM. A device that shows a certificate of one of them is the user of its common ' +
        'name. A relative path starts at the working directory. Unset: devices are not asked for certificates.',
      example: '/etc/portico/devices-ca.pem',
      since: '0.1.0',
    }),
  crl_file: text()
    .optional()
    .register(documentation, {
      doc:
        'Certificates of devices that are revoked: a list of each CA of `ca_file`, and of those in between, in PEM. Where one is ' +
        'past its time, nobody with a certificate of its CA comes in. A relative path starts at the working directory. Unset: no ' +
        'certificate is taken for revoked.',
      example: '/etc/portico/devices-revoked.pem',
      since: '0.1.0',
    }),
  require_certificate: z
    .boolean()
    .default(false)
    .register(documentation, {
      doc:
        'Whether a device without a certificate of `ca_file` is refused, unless it has a key of `access.psk_file` or, over DTLS, of ' +
        '`access.public_key_file`. Otherwise it is anonymous: it is served where anonymous clients are, or with a password.',
      since: '0.1.0',
    }),
};

const coapsListener = z.strictObject({
  type: z.literal('coaps').register(documentation, {
    doc:
      'CoAP over DTLS 1.2, with the pre-shared keys of `access.psk_file`, with a certificate or a raw public key (RFC 7250), or ' +
      'with all of them.',
    since: '0.1.0',
  }),
  host,
  port: port(5684),
  ...certificates,
});

const coapTcpListener = z.strictObject({
  type: z.literal('coap+tcp').register(documentation, { doc: 'CoAP over TCP (RFC 8323).', since: '0.1.0' }),
  host,
  port: port(5683),
});

const coapsTcpListener = z.strictObject({
  type: z.literal('coaps+tcp').register(documentation, {
    doc: 'CoAP over TLS (RFC 8323). It needs a certificate.',
    since: '0.1.0',
  }),
  host,
  port: port(5684),
  ...certificates,
});

const httpListener = z.strictObject({
  type: z.literal('http').register(documentation, {
    doc: 'HTTP for programs that look after the broker: `/metrics` for Prometheus, and `/health`.',
    since: '0.1.0',
  }),
  host,
  port: port(9883),
  allow_anonymous: z
    .boolean()
    .default(false)
    .register(documentation, {
      doc:
        'Whether anyone who reaches an http listener may read what it serves. It asks for no credentials yet, so on any ' +
        'address but loopback it needs `true` here, or the `allow_anonymous` of the top level.',
      since: '0.1.0',
    }),
  ...trustedProxies,
});

export const listeners = z
  .array(
    z.discriminatedUnion('type', [
      mqttListener,
      mqttsListener,
      websocketListener,
      wssListener,
      unixListener,
      coapListener,
      coapsListener,
      coapTcpListener,
      coapsTcpListener,
      httpListener,
    ]),
  )
  .prefault([{ type: 'mqtt' }, { type: 'websocket' }, { type: 'coap' }, { type: 'http' }])
  .register(documentation, {
    doc: 'Where the broker listens. A list in the file replaces the default list as a whole.',
    type: 'a list of listeners',
    since: '0.1.0',
  });
