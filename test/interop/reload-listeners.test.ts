/** SIGHUP and the options of listeners: who comes from then on is asked by the new ones, and nobody else is disturbed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico, temporaryFolder } from '../support/portico.js';
import { Changing } from './changing.js';
import { listening, logged } from './coap-transports.js';
import { connectPacket, openRaw, type RawClient } from './raw.js';

const HOST = '127.0.0.1';
/** Places of the listeners. */
const [MQTT, WEB, , TLS] = [0, 1, 2, 3];

describe('SIGHUP and the options of listeners', { timeout: 120_000 }, () => {
  let files: CertificateFiles;
  let scene: Changing;
  let tls: number;
  let psk: string;

  before(async () => {
    files = await CertificateFiles.make();
    psk = join(temporaryFolder(), 'psk');
    writeFileSync(psk, 'meter-7:c0ffee\n');
    const own = { cert_file: files.path('server.pem'), key_file: files.path('server.key') };
    scene = await Changing.of(
      await Portico.start((ports) => ({
        listeners: [...listenersAt(ports), { type: 'mqtts', host: HOST, port: 0, ...own }],
        access: { psk_file: psk },
        allow_anonymous: true,
      })),
    );
    tls = (await listening(scene.portico, `mqtts on ${HOST}:0`)).port;
  });
  after(async () => {
    await scene?.portico.dispose();
    await files?.remove();
  });

  let usual: Record<string, unknown>[] | undefined;
  /** Gives a listener other options than it has by itself, and reloads; the lines of the log. */
  async function take(which: number, options: Readonly<Record<string, unknown>>): Promise<string[]> {
    const read = parse(readFileSync(scene.portico.configFile, 'utf8')) as { listeners: Record<string, unknown>[] };
    usual ??= read.listeners;
    scene.write({ listeners: usual.map((listener, i) => (i === which ? { ...listener, ...options } : listener)) });
    const lines = await scene.reload();
    assert.equal(lines.at(-1), 'reload: done', lines.join('\n'));
    return lines.map((line) => line.replace(/ \([^)]*\)/, ''));
  }

  async function open(
    version: 3 | 4 | 5,
    clientId: string,
    more: object = {},
  ): Promise<{ client: RawClient; code: number }> {
    const client = await openRaw(scene.portico.ports.mqtt, version);
    const protocolId = version === 3 ? 'MQIsdp' : 'MQTT';
    client.send(connectPacket({ clientId, protocolVersion: version, protocolId, ...more }));
    const { returnCode, reasonCode } = await client.expect('connack');
    return { client, code: (version === 5 ? reasonCode : returnCode) ?? 0 };
  }

  async function isThere(client: RawClient): Promise<void> {
    client.send({ cmd: 'pingreq' });
    await client.expect('pingresp');
  }

  test('max_connections, max_qos and protocol_versions hold for who comes; who is there stays as it is', async () => {
    const early = await open(5, 'early');
    const lines = await take(MQTT, { max_connections: 1, max_qos: 0, protocol_versions: [5] });
    assert.deepEqual(lines.slice(1), [
      'reload: listeners.0.max_connections is 1 instead of unset: at once',
      'reload: listeners.0.max_qos is 0 instead of unset: for what connects from now on',
      'reload: listeners.0.protocol_versions has changed: for what connects from now on',
      'reload: done',
    ]);
    assert.equal((await open(4, 'older')).code, 1);
    assert.equal((await open(5, 'late')).code, 0x89);
    early.client.send({ cmd: 'publish', topic: 'a', payload: '1', qos: 2, messageId: 3, retain: false, dup: false });
    assert.equal((await early.client.expect('pubrec')).reasonCode ?? 0, 0x10);
    await take(MQTT, { max_qos: 0, max_connections: 2 });
    const late = await open(5, 'late');
    assert.equal(late.code, 0);
    late.client.send({ cmd: 'publish', topic: 'a', payload: '1', qos: 1, messageId: 3, retain: false, dup: false });
    assert.equal((await late.client.expect('disconnect')).reasonCode, 0x9b);
    await isThere(early.client);
    await take(MQTT, {});
    early.client.cut();
  });

  test('mount_point, use_username_as_clientid and auto_id_prefix hold for connections that come', async () => {
    const outside = await open(5, 'outside');
    await outside.client.subscribe('#', 0);
    await take(MQTT, { mount_point: 'site/', auto_id_prefix: 'site-' });
    const inside = await open(5, '');
    assert.equal(inside.code, 0);
    inside.client.send({ cmd: 'publish', topic: 'a', payload: '1', qos: 0, retain: false, dup: false });
    assert.equal((await outside.client.expect('publish')).topic, 'site/a');
    outside.client.send({ cmd: 'publish', topic: 'b', payload: '1', qos: 0, retain: false, dup: false });
    assert.equal((await outside.client.expect('publish')).topic, 'b');
    assert.ok(scene.portico.logLines.some(({ msg }) => msg.includes('client "site-')));
    await take(MQTT, { use_username_as_clientid: true });
    assert.equal((await open(5, 'nameless')).code, 0x87);
    await take(MQTT, {});
    assert.equal((await open(5, 'nameless')).code, 0);
  });

  test('allow_anonymous of a listener sends away who came to it without user name, and nobody else', async () => {
    const here = await open(5, 'here');
    const socket = new WebSocket(`ws://${HOST}:${scene.portico.ports.websocket}/`, 'mqtt');
    await once(socket, 'open');
    await take(MQTT, { allow_anonymous: false });
    assert.equal((await here.client.expect('disconnect')).reasonCode, 0x87);
    assert.equal((await open(5, 'here')).code, 0x87);
    assert.equal(socket.readyState, WebSocket.OPEN);
    socket.terminate();
    await take(MQTT, {});
    assert.equal((await open(5, 'here')).code, 0);
  });

  test('path, origins and trusted_proxies of WebSockets hold for those that come', async () => {
    const { websocket } = scene.portico.ports;
    const status = (path: string, headers: Record<string, string> = {}): Promise<number> =>
      new Promise((resolve) => {
        const socket = new WebSocket(`ws://${HOST}:${websocket}${path}`, 'mqtt', { headers });
        socket.once('upgrade', () => resolve(101));
        socket.once('unexpected-response', (_, { statusCode }) => resolve(statusCode ?? 0));
        socket.on('error', () => {});
        socket.once('open', () => socket.terminate());
      });
    assert.equal(await status('/elsewhere', { origin: 'https://a.example' }), 101);
    const options = { path: '/mqtt', origins: ['https://b.example'], trusted_proxies: [HOST], allow_anonymous: true };
    const lines = await take(WEB, options);
    assert.ok(lines.includes('reload: listeners.1.path is "/mqtt" instead of unset: for what connects from now on'));
    assert.ok(lines.includes('reload: listeners.1.trusted_proxies has changed: for what connects from now on'));
    assert.equal(await status('/elsewhere'), 404);
    assert.equal(await status('/mqtt', { origin: 'https://a.example' }), 403);
    const mark = scene.portico.logLines.length;
    assert.equal(await status('/other', { 'x-forwarded-for': '192.0.2.7' }), 404);
    await logged(scene.portico, ({ remote }) => String(remote).startsWith('192.0.2.7'), mark);
    assert.equal(await status('/mqtt', { origin: 'https://b.example' }), 101);
    await take(WEB, {});
    assert.equal(await status('/elsewhere', { origin: 'https://a.example' }), 101);
  });

  test('a listener that begins to read PROXY headers, or binds another interface, needs a restart: nothing of it holds before', async () => {
    const proxied = { proxy_protocol: 'v2', trusted_proxies: ['192.0.2.1'], allow_anonymous: true };
    const lines = await take(MQTT, { ...proxied, ipv6_only: true });
    for (const option of ['proxy_protocol', 'trusted_proxies', 'ipv6_only']) {
      const line = lines.find((one) => one.startsWith(`reload: listeners.0.${option} `));
      assert.ok(line?.endsWith(': this needs a restart'), lines.join('\n'));
    }
    assert.equal((await open(5, 'direct')).code, 0);
    await take(MQTT, {});
  });

  test('TLS: another certificate, certificates of clients, versions, and keys in the place of certificates', async () => {
    const shown = async (options: ConnectionOptions = {}): Promise<string> => {
      const socket = connect({ host: HOST, port: tls, rejectUnauthorized: false, ...options });
      await once(socket, 'secureConnect');
      const { subject } = socket.getPeerCertificate();
      const what = `${socket.getProtocol()} ${subject?.CN ?? 'no certificate'}`;
      socket.on('error', () => {});
      socket.destroy();
      return what;
    };
    const early = await scene.connect('', '', 5, connect({ host: HOST, port: tls, rejectUnauthorized: false }));
    assert.equal(early.code, 0);
    assert.equal(await shown(), 'TLSv1.3 server');
    const other = { cert_file: files.path('stranger-server.pem'), key_file: files.path('stranger-server.key') };
    const lines = await take(TLS, {
      ...other,
      max_tls_version: 'tlsv1.2',
      ca_file: files.path('ca.pem'),
      require_certificate: true,
    });
    assert.ok(
      lines.some((line) => /^reload: listeners\.3\.cert_file is .*: for what connects from now on$/.test(line)),
    );
    // Nobody without a certificate could connect any more.
    assert.equal((await early.expect('disconnect')).reasonCode, 0x87);
    const naked = connect({ host: HOST, port: tls, rejectUnauthorized: false });
    naked.on('error', () => {});
    await once(naked, 'close');
    const own = { cert: readFileSync(files.path('device.pem')), key: readFileSync(files.path('device.key')) };
    assert.equal(await shown(own), 'TLSv1.2 stranger-server');
    const socket = connect({ host: HOST, port: tls, rejectUnauthorized: false, ...own });
    const device = await scene.connect('', '', 5, socket);
    assert.equal(device.code, 0);
    const keys = { cert_file: undefined, key_file: undefined, psk_hint: 'portico', max_tls_version: 'tlsv1.2' };
    await take(TLS, keys);
    await assert.rejects(shown());
    const pskCallback = () => ({ identity: 'meter-7', psk: Buffer.from('c0ffee', 'hex') });
    assert.equal(
      await shown({ pskCallback, ciphers: 'PSK', maxVersion: 'TLSv1.2', checkServerIdentity: () => undefined }),
      'TLSv1.2 no certificate',
    );
    await take(TLS, {});
    assert.equal(await shown(), 'TLSv1.3 server');
    await isThere(device);
  });
});
