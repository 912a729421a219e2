/** `access`. */
import { z } from 'zod';
import { httpLogins, tokens } from './backends.js';
import { documentation, text, whole } from './documentation.js';

export const access = z
  .strictObject({
    password_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Users and password hashes as `portico passwd` or `mosquitto_passwd` writes them. A relative path starts at the ' +
          'working directory. ' +
          'Unset: nobody has a password.',
        example: '/etc/portico/passwords',
        since: '0.1.0',
      }),
    password_cache: whole(0, 3600)
      .default(60)
      .register(documentation, {
        doc:
          'Time for which a password that was right need not be checked again, so that many clients can come back at once. ' +
          'Passwords are not kept, but what only this process can make of them. 0: each is checked.',
        unit: 'seconds',
        since: '0.1.0',
      }),
    lockout_failures: whole(0, 1000)
      .default(20)
      .register(documentation, {
        doc:
          'Failed logins of one user from one IP address within `access.lockout_window`, after which this user is banned ' +
          'there for `access.lockout_time`. A wrong password that is repeated counts once; an IPv6 address stands for its ' +
          '/64. 0: no user is banned.',
        unit: 'failures',
        since: '0.1.0',
      }),
    lockout_address_failures: whole(0, 100_000)
      .default(100)
      .register(documentation, {
        doc:
          'The same for all users of one IP address together: from half of them on refusals come later and later, and then ' +
          'everybody from there is banned: new connections are closed before anything is read. 0: no address is banned.',
        unit: 'failures',
        since: '0.1.0',
      }),
    lockout_window: whole(1, 86_400).default(600).register(documentation, {
      doc: 'Time within which failed logins add up.',
      unit: 'seconds',
      since: '0.1.0',
    }),
    lockout_time: whole(1, 2_592_000).default(600).register(documentation, {
      doc: 'How long a ban holds. `portico bans` lists and lifts them.',
      unit: 'seconds',
      since: '0.1.0',
    }),
    lockout_loopback: z
      .boolean()
      .default(false)
      .register(documentation, {
        doc:
          'Whether failed logins from this machine count too. All clients of a proxy on this machine that does not tell ' +
          'their addresses would be one.',
        since: '0.1.0',
      }),
    scram_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Users and their SCRAM-SHA-256 credentials, a line each as `portico scram NAME` prints it, for MQTT 5.0 clients ' +
          'with that authentication method. A relative path starts at the working directory. Unset: the method is not ' +
          'offered.',
        example: '/etc/portico/scram',
        since: '0.1.0',
      }),
    acl_file: text()
      .optional()
      .register(documentation, {
        doc:
          'What clients may publish and receive, in the form of Mosquitto’s `acl_file`. A relative path starts at the ' +
          'working directory. Unset: everybody may do everything, unless `access.acl` says otherwise.',
        example: '/etc/portico/acl',
        since: '0.1.0',
      }),
    acl: text()
      .optional()
      .register(documentation, {
        doc:
          'A file of what clients may publish, receive and subscribe to, with roles and groups; in the place of ' +
          '`access.acl_file`. A relative path starts at the working directory. Unset: there is none.',
        example: '/etc/portico/acl.yaml',
        since: '0.1.0',
      }),
    check_retain_source: z
      .boolean()
      .default(true)
      .register(documentation, {
        doc:
          'Whether a retained message is only delivered while the client that published it may still publish on its topic, by ' +
          'the user name and client identifier that it had. It is asked by the access control list in force; without one ' +
          'nothing is.',
        since: '0.1.0',
      }),
    psk_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Identities and pre-shared keys of CoAP devices, a line `identity:key` each with the key in hexadecimal digits, as ' +
          'the `psk_file` of Mosquitto. A relative path starts at the working directory. Unset: a listener of type `coaps` ' +
          'serves devices with certificates or raw public keys only.',
        example: '/etc/portico/psk',
        since: '0.1.0',
      }),
    public_key_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Users and the raw public keys (RFC 7250) of their CoAP devices, a line `user:key` each with the SubjectPublicKeyInfo of ' +
          'the curve P-256 in base64, for listeners of type `coaps` with a `key_file`. A relative path starts at the working ' +
          'directory. Unset: devices are not asked for raw public keys.',
        example: '/etc/portico/public-keys',
        since: '0.1.0',
      }),
    psk_hint: text()
      .refine((hint) => Buffer.byteLength(hint) <= 128)
      .optional()
      .register(documentation, {
        doc: 'The identity hint that devices are told before they name their identity (RFC 4279 5.2). Unset: none.',
        type: 'a text of at most 128 bytes',
        example: 'portico',
        since: '0.1.0',
      }),
    ...tokens,
    ...httpLogins,
  })
  .prefault({})
  .register(documentation, { doc: 'Who may connect, and do what.', since: '0.1.0' });
