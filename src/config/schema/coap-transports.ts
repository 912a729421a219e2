/** Options of `coap` that concern DTLS and TCP below CoAP. */
import { documentation, KIB, text, whole } from './documentation.js';

const DAY = 86_400;

export const transportOptions = {
  device_psk_file: text()
    .optional()
    .register(documentation, {
      doc:
        'Pre-shared keys with which the broker makes itself known to devices that it asks over DTLS, a line ' +
        '`coaps://host:port identity:key` each with the key in hexadecimal digits; port 5684 may be left out. A relative ' +
        'path starts at the working directory. Unset: only devices with a certificate are asked over DTLS, and those that have come by DTLS themselves.',
      example: '/etc/portico/device-psk',
      since: '0.1.0',
    }),
  device_ca_file: text()
    .optional()
    .register(documentation, {
      doc:
        'CAs in PEM of the devices that the broker asks over DTLS and that `device_psk_file` has no key for. A certificate ' +
        'has to name the host of the URI in its subjectAltName; that of a device that has registered may name the device ' +
        'itself. A relative path starts at the working directory. Unset: no certificate of a device is taken.',
      example: '/etc/portico/devices-ca.pem',
      since: '0.1.0',
    }),
  device_crl_file: text()
    .optional()
    .register(documentation, {
      doc:
        'Lists in PEM of the certificates of devices that their CAs have revoked. There has to be one of each CA of ' +
        '`device_ca_file`, and of those in between; one that is past its time lets no certificate of its CA in. A relative path ' +
        'starts at the working directory. Unset: no certificate is taken for revoked.',
      example: '/etc/portico/devices-revoked.pem',
      since: '0.1.0',
    }),
  device_public_key_file: text()
    .optional()
    .register(documentation, {
      doc:
        'Raw public keys (RFC 7250) by which the broker knows devices that it asks over DTLS, a line `coaps://host:port key` each ' +
        'with the SubjectPublicKeyInfo in base64, of the curve P-256. A device with a line has to show that key; a line in ' +
        '`device_psk_file` comes first. A relative path starts at the working directory. Unset: no device is known by such a key.',
      example: '/etc/portico/device-public-keys',
      since: '0.1.0',
    }),
  device_cert_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The certificate in PEM that the broker shows to devices that ask for one, with those between it and its CA behind ' +
        'it. Its key is of the curve P-256. Unset: it shows none.',
      example: '/etc/portico/broker-cert.pem',
      since: '0.1.0',
    }),
  device_key_file: text()
    .optional()
    .register(documentation, {
      doc:
        'The private key of `device_cert_file` in PEM, not encrypted. Without that, devices of `device_public_key_file` are shown its ' +
        'raw public key. Unset: as for `device_cert_file`.',
      example: '/etc/portico/broker-key.pem',
      since: '0.1.0',
    }),
  dtls_associations: whole(1, 16_777_216)
    .default(16_384)
    .register(documentation, {
      doc:
        'Security associations (RFC 6347) of each address that `coaps` listens on, and of each socket that asks devices. For one more one ends: of those that have ' +
        'shown no identity, or else of the identity that has the most, the one that has been idle longest.',
      since: '0.1.0',
    }),
  dtls_handshakes: whole(1, 1_000_000)
    .default(1_024)
    .register(documentation, {
      doc:
        'DTLS handshakes in progress whose cookie was right. For one more the oldest ends of the host (IPv4 address, or IPv6 /64) ' +
        'that has the most. One more with a device that is asked fails.',
      since: '0.1.0',
    }),
  dtls_handshakes_per_second: whole(1, 1_000_000)
    .default(1_000)
    .register(documentation, {
      doc:
        'DTLS handshakes that begin on an address in a second. A further ClientHello is dropped before it costs anything but its ' +
        'cookie; devices repeat it. A handshake takes 0.1 ms of computing time with a key, and up to 0.7 ms with certificates.',
      unit: 'handshakes per second',
      since: '0.1.0',
    }),
  dtls_host_handshakes_per_second: whole(1, 1_000_000)
    .default(250)
    .register(documentation, {
      doc:
        'The same for one host, which is an IPv4 address or an IPv6 /64, so that none of them keeps the others out. Devices ' +
        'behind one translated address are one host.',
      unit: 'handshakes per second',
      since: '0.1.0',
    }),
  dtls_handshake_time: whole(1, 3600).default(30).register(documentation, {
    doc: 'How long a DTLS handshake may take, from the ClientHello with its cookie to its end; with a device that is asked, from the first one.',
    unit: 'seconds',
    since: '0.1.0',
  }),
  dtls_idle_time: whole(1, 365 * DAY)
    .default(DAY)
    .register(documentation, {
      doc:
        'A security association from which nothing has come for so long ends, with its observations; the device makes a new ' +
        'one when it has something to say.',
      unit: 'seconds',
      since: '0.1.0',
    }),
  dtls_records: whole(100, 2 ** 48 - 2)
    .default(2 ** 32)
    .register(documentation, {
      doc: 'Records that the broker sends in one security association before it ends, and the device makes a new one.',
      since: '0.1.0',
    }),
  dtls_identity: whole(1, 1024).default(128).register(documentation, {
    doc: 'Longest PSK identity; RFC 4279 5.3 asks for 128. The handshake of a longer one fails like that of an unknown one.',
    unit: 'bytes',
    since: '0.1.0',
  }),
  dtls_handshake_datagram: whole(256, 16_384).default(1_232).register(documentation, {
    doc: 'Longest datagram of a DTLS handshake; longer messages go in fragments. 1232 is what IPv6 always carries.',
    unit: 'bytes',
    since: '0.1.0',
  }),
  tcp_connections: whole(1, 1_000_000)
    .default(10_000)
    .register(documentation, {
      doc:
        'Connections of each address that `coap+tcp` or `coaps+tcp` listens on, also those whose TLS handshake is not done. ' +
        'A further one is closed at once.',
      unit: 'connections',
      since: '0.1.0',
    }),
  tcp_open_time: whole(1, 3600)
    .default(10)
    .register(documentation, {
      doc:
        'Time that a connection has to be let in (`limits.connects_per_second`), then for its TLS handshake, and then for its ' +
        'Capabilities and Settings Message (RFC 8323 5.3). Without them it is closed.',
      unit: 'seconds',
      since: '0.1.0',
    }),
  tcp_idle_time: whole(1, 604_800)
    .default(600)
    .register(documentation, {
      doc:
        'A connection over TCP or TLS from which nothing has come for so long is asked with a Ping (RFC 8323 5.4). If nothing ' +
        'comes for half as long again, it is closed, and its observations end.',
      unit: 'seconds',
      since: '0.1.0',
    }),
  tcp_message: whole(1152, 16 * KIB * KIB)
    .default(64 * KIB)
    .register(documentation, {
      doc:
        'Largest message over TCP; a larger one ends its connection. Clients may send 1152 bytes without asking, and go on in ' +
        'blocks (RFC 8323 5.3.1).',
      unit: 'bytes',
      since: '0.1.0',
    }),
  tcp_unfinished: whole(64 * KIB, 4 * KIB * KIB * KIB)
    .default(32 * KIB * KIB)
    .register(documentation, {
      doc:
        'What messages that have not come in full may take in all, of each address that `coap+tcp` or `coaps+tcp` listens on. ' +
        'Beyond it the connection with the largest of them ends, and is counted.',
      unit: 'bytes',
      since: '0.1.0',
    }),
  tcp_output: whole(16 * KIB, 1024 * KIB * KIB)
    .default(256 * KIB)
    .register(documentation, {
      doc:
        'What may wait for a client over TCP that does not read. Beyond it, its requests are not read, and non-confirmable ' +
        'notifications to it are dropped.',
      unit: 'bytes',
      since: '0.1.0',
    }),
};
