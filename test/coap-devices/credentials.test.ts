/** How devices that are asked over DTLS and the broker know each other: the files of the section coap. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parseCoapUri } from '../../src/coap/client/uri.js';
import { CertificateType } from '../../src/coap/dtls/protocol.js';
import { loadConfig } from '../../src/config/load.js';
import type { Config } from '../../src/config/schema.js';
import { DeviceCredentials } from '../../src/plugins/coap-devices/credentials.js';
import { CoapSecurity } from '../../src/server/coap-security.js';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { CA } from '../coap/dtls/certificates.js';

type Files = Partial<
  Record<
    | 'device_psk_file'
    | 'device_ca_file'
    | 'device_crl_file'
    | 'device_cert_file'
    | 'device_key_file'
    | 'device_public_key_file',
    string
  >
>;

function configured(coap: Files): Config {
  const { config } = loadConfig({ env: {} });
  return { ...config, coap: { ...config.coap, ...coap } };
}

function secure(uri: string) {
  const target = parseCoapUri(uri);
  assert.ok(typeof target !== 'string');
  return target;
}

test('a device with a key is asked with it, any other one by its certificate; without CAs a key is needed', async () => {
  const files = await CertificateFiles.make();
  try {
    const keys = files.path('keys');
    await writeFile(keys, 'coaps://boiler.example portico:0102\n');
    const known = secure('coaps://boiler.example/x');
    const other = secure('coaps://192.0.2.1:5700/x');
    const { devices } = await CoapSecurity.load(
      configured({ device_psk_file: keys, device_ca_file: files.path('ca.pem') }),
    );
    assert.deepEqual(devices.of(known), { identity: 'portico', key: Buffer.of(1, 2) });
    const credential = devices.of(other, 'node1');
    assert.ok(credential !== undefined && 'servers' in credential);
    assert.deepEqual(credential.name, { host: '192.0.2.1', kind: 'IPv4', endpoint: 'node1' });
    assert.equal(credential.own, undefined);
    assert.deepEqual([devices.isEmpty, devices.lack(known), devices.lack(other)], [false, null, null]);
    const { devices: keysAlone } = await CoapSecurity.load(configured({ device_psk_file: keys }));
    assert.equal(keysAlone.of(other), undefined);
    assert.equal(
      keysAlone.lack(other),
      'neither coap.device_psk_file nor coap.device_public_key_file has a key for coaps://192.0.2.1:5700, and coap.device_ca_file is not set',
    );
    assert.equal(new DeviceCredentials(new Map()).isEmpty, true);
  } finally {
    await files.remove();
  }
});

test('the certificate of the broker is shown under its common name', async () => {
  const files = await CertificateFiles.make();
  try {
    const [device_ca_file, device_cert_file, device_key_file] = ['ca.pem', 'device.pem', 'device.key'].map((file) =>
      files.path(file),
    );
    const { devices } = await CoapSecurity.load(configured({ device_ca_file, device_cert_file, device_key_file }));
    const credential = devices.of(secure('coaps://boiler.example'));
    assert.ok(credential !== undefined && 'servers' in credential);
    assert.equal(credential.own?.identity, 'device');
  } finally {
    await files.remove();
  }
});

test('a device whose raw public key is known has to show it; a pre-shared key comes first; the broker may have a key alone', async () => {
  const files = await CertificateFiles.make();
  try {
    const [keys, publicKeys] = [files.path('keys'), files.path('public-keys')];
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const info = publicKey.export({ type: 'spki', format: 'der' });
    await writeFile(keys, 'coaps://boiler.example portico:0102\n');
    const lines = ['boiler.example', '192.0.2.1:5700'].map((device, i) => {
      // Each key is one device's.
      const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey;
      const shown = i === 0 ? other.export({ type: 'spki', format: 'der' }) : info;
      return `coaps://${device} ${shown.toString('base64')}\n`;
    });
    await writeFile(publicKeys, `# devices\n${lines.join('')}`);
    const coap = {
      device_psk_file: keys,
      device_public_key_file: publicKeys,
      device_key_file: files.path('device.key'),
    };
    const { devices } = await CoapSecurity.load(configured(coap));
    assert.deepEqual(devices.of(secure('coaps://boiler.example')), { identity: 'portico', key: Buffer.of(1, 2) });
    const credential = devices.of(secure('coaps://192.0.2.1:5700'));
    assert.ok(credential !== undefined && 'name' in credential);
    assert.deepEqual([credential.publicKey, credential.servers], [info, undefined]);
    assert.deepEqual(credential.own?.certificate.types, [CertificateType.RawPublicKey]);
    assert.equal(devices.isEmpty, false);
    assert.equal(devices.lack(secure('coaps://192.0.2.1:5700')), null);
    assert.match(devices.lack(secure('coaps://192.0.2.2')) ?? '', /device_public_key_file has a key for/);
    // The key that is known counts, also where CAs are.
    const { devices: both } = await CoapSecurity.load(configured({ ...coap, device_ca_file: files.path('ca.pem') }));
    const pinned = both.of(secure('coaps://192.0.2.1:5700'));
    assert.ok(pinned !== undefined && 'name' in pinned && pinned.publicKey?.equals(info));
    assert.equal(both.lack(secure('coaps://192.0.2.2')), null);
  } finally {
    await files.remove();
  }
});

test('a line of the file of public keys of devices that is none stops the start, with its number', async () => {
  const files = await CertificateFiles.make();
  try {
    const file = files.path('public-keys');
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const key = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
    for (const [line, words] of [
      [`boiler.example ${key}`, /:1: the device is not written as coaps:\/\/host:port/],
      ['coaps://boiler.example not-base-64!', /:1: the key is not in base64/],
      ['coaps://boiler.example AAAA', /:1: the key is not the SubjectPublicKeyInfo of a public key of the curve P-256/],
    ] as const) {
      await writeFile(file, `${line}\n`);
      await assert.rejects(CoapSecurity.load(configured({ device_public_key_file: file })), words);
    }
  } finally {
    await files.remove();
  }
});

test('files of the section coap that do not go together, or cannot be used, stop the start in words', async () => {
  const files = await CertificateFiles.make();
  try {
    const [cert, key, ca] = ['server.pem', 'server.key', 'ca.pem'].map((file) => files.path(file));
    const delta = files.path('delta.pem');
    const base64 = CA.list([], { critical: '551d1b' })
      .toString('base64')
      .replace(/.{1,64}/g, '$&\n');
    await writeFile(delta, `-----BEGIN X509 CRL-----\n${base64}-----END X509 CRL-----\n`);
    for (const [coap, words] of [
      [{ device_cert_file: cert }, /device_cert_file is of no use without coap\.device_key_file/],
      [{ device_key_file: key, device_ca_file: ca }, /device_key_file is of no use without coap\.device_cert_file/],
      [{ device_cert_file: cert, device_key_file: key }, /name their CA in coap\.device_ca_file/],
      [
        { device_crl_file: ca },
        /device_crl_file is for devices with a certificate: name their CA in coap\.device_ca_file/,
      ],
      [
        { device_ca_file: ca, device_crl_file: ca },
        /coap\.device_crl_file: .*there is no list of revoked certificates/,
      ],
      [{ device_ca_file: ca, device_crl_file: delta }, /list 1 in it cannot be used: it has a critical extension/],
      [{ device_ca_file: cert }, /coap\.device_ca_file: .*certificate 1 in it is not that of a CA/],
      [{ device_ca_file: files.path('none') }, /coap\.device_ca_file: .*none/],
      [
        { device_ca_file: ca, device_cert_file: cert, device_key_file: files.path('node1.key') },
        /is not the key of the certificate/,
      ],
    ] as const) {
      await assert.rejects(CoapSecurity.load(configured(coap)), words);
    }
  } finally {
    await files.remove();
  }
});
