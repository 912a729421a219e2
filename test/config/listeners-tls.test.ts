/** What listeners of MQTT over TLS have to say of themselves, and who may connect there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anonymousAllowed, describeListeners } from '../../src/config/listeners.js';
import { faultsOf, load } from './configurations.js';

const PSK = 'access: { psk_file: /k }\n';
const OWN = 'cert_file: /c, key_file: /k';

for (const [type, port] of [
  ['mqtts', 8883],
  ['wss', 9443],
] as const) {
  const faults = (options: string, more = ''): string[] =>
    faultsOf(`listeners:\n  - { type: ${type}, ${options} }\n${more}`).map((line) =>
      line.replace(new RegExp(`^2: ${type} on \\S+ `), ''),
    );

  test(`${type}: it needs a certificate with its key, or a hint and a file of keys, and not both`, () => {
    const [listener] = load(`listeners: [{ type: ${type}, ${OWN} }]\n`).config.listeners;
    assert.ok(listener.type === type && listener.port === port);
    assert.deepEqual(faults('port: 1'), [
      'has no certificate: name its file in cert_file',
      'has no key: name its file in key_file',
    ]);
    assert.deepEqual(faults('cert_file: /c'), ['has no key: name its file in key_file']);
    assert.deepEqual(faults('psk_hint: h'), ['knows no pre-shared keys: name their file in access.psk_file']);
    assert.deepEqual(faults(`psk_hint: h, ${OWN}`, PSK), [
      'takes pre-shared keys (psk_hint), so it has no cert_file: give it a listener of its own',
      'takes pre-shared keys (psk_hint), so it has no key_file: give it a listener of its own',
    ]);
    assert.deepEqual(faults('psk_hint: h, require_certificate: true', PSK), [
      'takes pre-shared keys (psk_hint), so it can require no certificate',
    ]);
  });

  test(`${type}: what has no meaning without CAs, and versions that exclude each other, are faults`, () => {
    assert.deepEqual(faults(`${OWN}, require_certificate: true, crl_file: /r`), [
      'knows no CA of the certificates that it requires: name its file in ca_file',
      'asks clients for no certificate that could be revoked: name their CA in ca_file',
    ]);
    assert.equal(
      load(`listeners: [{ type: ${type}, ${OWN}, require_certificate: true, ca_path: /a }]\n`).warnings.length,
      0,
    );
    assert.deepEqual(faults(`${OWN}, min_tls_version: tlsv1.3, max_tls_version: tlsv1.2`), [
      'speaks no version of TLS: min_tls_version is above max_tls_version',
    ]);
    assert.match(faults(`${OWN}, min_tls_version: tlsv1.1`)[0], /must be one of tlsv1\.2, tlsv1\.3/);
    assert.match(faults(`${OWN}, ciphersuites: AES128`)[0], /must be names that begin with TLS_/);
  });

  test(`${type} on a network: certificates and keys are credentials, unless CONNECT says who a client is`, () => {
    const open = `host: 0.0.0.0, ${OWN}`;
    assert.match(faults(open)[0], /no credentials are configured: .*, or the CA of its clients in ca_file,/);
    assert.match(faults(`${open}, ca_file: /a, username_from: connect`)[0], /no credentials are configured/);
    assert.deepEqual(load(`listeners: [{ type: ${type}, ${open}, ca_file: /a }]\n`).warnings, []);
    assert.deepEqual(load(`listeners: [{ type: ${type}, host: 0.0.0.0, psk_hint: h }]\n${PSK}`).warnings, []);
  });

  test(`${type}: the log says who may connect; nobody is anonymous where a certificate or key is the way in`, () => {
    const described = (options: string, more = ''): { line: string; anonymous: boolean } => {
      const loaded = load(`listeners:\n  - { type: ${type}, ${options} }\n${more}`);
      const [listener] = loaded.config.listeners;
      return { line: describeListeners(loaded)[0], anonymous: anonymousAllowed(loaded.config, listener) };
    };
    for (const [options, more, who, anonymous] of [
      [OWN, '', 'anyone on this machine may connect without a password', true],
      [`${OWN}, ca_file: /a`, '', 'only clients with a certificate of /a may connect', false],
      [`${OWN}, ca_path: /p`, '', 'only clients with a certificate of /p may connect', false],
      [
        `${OWN}, ca_file: /a`,
        'access: { password_file: /p }\n',
        'only clients with a certificate of /a and users of /p may connect',
        false,
      ],
      [
        `${OWN}, ca_file: /a, require_certificate: true`,
        'allow_anonymous: true\naccess: { password_file: /p }\n',
        'only clients with a certificate of /a may connect',
        false,
      ],
      ['psk_hint: h', `allow_anonymous: true\n${PSK}`, 'only clients with a key of /k may connect', false],
      [
        `${OWN}, ca_file: /a, require_certificate: true, username_from: connect`,
        'access: { password_file: /p }\n',
        'only users of /p may connect',
        false,
      ],
    ] as const) {
      const { line, anonymous: allowed } = described(options, more);
      assert.ok(line.includes(`: ${who} (`), line);
      assert.equal(allowed, anonymous, options);
    }
    assert.match(described(`${OWN}, ca_file: /a`).line, /listeners\.0\.ca_file: /);
  });
}

test('a file of keys that no listener takes is told', () => {
  assert.match(load(PSK).warnings.join('\n'), /no listener takes its keys: .*none of MQTT over TLS has psk_hint/);
});
