/** Options of listeners behind proxies: what they lack, and who may connect. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeListeners } from '../../src/config/listeners.js';
import { faultsOf, load } from './configurations.js';

test('a listener behind a proxy is one that other machines reach, and it has to know its proxies', () => {
  const proxied = (fields: string): string => `listeners:\n  - type: mqtt\n    ${fields}\n`;
  const open = /^2: mqtt on loopback:1883 can be reached from other machines, and no credentials are configured/;
  assert.match(faultsOf(proxied('proxy_protocol: v1\n    trusted_proxies: [127.0.0.1]'))[0], open);
  assert.deepEqual(faultsOf(`${proxied('proxy_protocol: v1')}allow_anonymous: true\n`), [
    '3: mqtt on loopback:1883 speaks the PROXY protocol and trusts no proxy: name their addresses in trusted_proxies',
  ]);
  assert.deepEqual(faultsOf(`${proxied('trusted_proxies: [10.0.0.0/8]')}allow_anonymous: true\n`), [
    '3: mqtt on loopback:1883 is told nothing by its proxies without proxy_protocol: write v1, v2 or any there',
  ]);
  const tls = 'proxy_protocol: any\n    proxy_require_tls: true\n    trusted_proxies: ["::1"]';
  assert.match(faultsOf(`${proxied(tls)}allow_anonymous: true\n`)[0], /^4: .* in version 2 of the PROXY header only/);
  for (const wrong of ['10.0.0.0/33', 'proxy', '10.0.0.0/8/8', '::/129', '10.0.0/8', '::1%lo', '10.0.0.0/']) {
    const [fault] = faultsOf(proxied(`proxy_protocol: v1\n    trusted_proxies: ["${wrong}"]`));
    assert.match(fault, /^4: listeners\.0\.trusted_proxies\.0 is ".*"; it must be /, wrong);
  }
  const http = 'listeners: [{ type: http, trusted_proxies: [127.0.0.1] }]\n';
  assert.match(faultsOf(http)[0], /http on loopback:9883 can be reached from other machines/);
});

test('a listener of TLS behind a proxy has to know its proxies; wss is told of them in X-Forwarded-For, too', () => {
  const tls = 'cert_file: /c, key_file: /k';
  for (const type of ['mqtts', 'wss']) {
    const one = (fields: string): string =>
      `allow_anonymous: true\nlisteners: [{ type: ${type}, ${tls}, ${fields} }]\n`;
    assert.match(faultsOf(one('proxy_protocol: v1'))[0], /speaks the PROXY protocol and trusts no proxy/);
    const untold = one('trusted_proxies: [127.0.0.1]');
    if (type === 'wss') load(untold);
    else assert.match(faultsOf(untold)[0], /is told nothing by its proxies without proxy_protocol/);
    const both = `${tls}, proxy_protocol: v1, trusted_proxies: [127.0.0.1]`;
    assert.match(faultsOf(`listeners: [{ type: ${type}, ${both} }]\n`)[0], /can be reached from other machines/);
    load(`allow_anonymous: true\nlisteners: [{ type: ${type}, ${both} }]\n`);
  }
  const forwarded = `listeners: [{ type: wss, ${tls}, trusted_proxies: [127.0.0.1] }]\n`;
  assert.match(faultsOf(forwarded)[0], /can be reached from other machines/);
});

test('certificates that clients show to a proxy: version 2 alone tells of them, and the description says who may connect', () => {
  const behind = (fields: string, version = 'v2'): string =>
    `listeners: [{ type: mqtt, proxy_protocol: ${version}, trusted_proxies: [127.0.0.1], ${fields} }]\n`;
  const [identity, required] = ['proxy_username_from: identity', 'proxy_require_certificate: true'];
  for (const fields of [identity, required]) {
    for (const version of ['v1', 'any']) {
      const [fault] = faultsOf(`allow_anonymous: true\n${behind(fields, version)}`);
      assert.match(fault, /is told about certificates in version 2 of the PROXY header only: write proxy_protocol: v2/);
    }
  }
  load('listeners: [{ type: mqtt, proxy_username_from: connect }]\n');
  assert.match(faultsOf(behind(required))[0], /no credentials are configured/, 'it only opens the door');
  const who = 'clients with a certificate that their proxy finds good';
  const passwords = 'access: { password_file: /p }\n';
  for (const [fields, files, described] of [
    [`${identity}, ${required}`, '', `only ${who} may connect`],
    [`${identity}, ${required}`, passwords, `only ${who} may connect`],
    [identity, '', `only ${who} may connect`],
    [identity, passwords, `only ${who} and users of /p may connect`],
    [required, passwords, 'only users of /p may connect'],
  ]) {
    const [line] = describeListeners(load(files + behind(fields)));
    assert.ok(line.includes(described), line);
    if (fields.includes(identity)) assert.match(line, /listeners\.0\.proxy_username_from/);
  }
});
