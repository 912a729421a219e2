/** HAProxy in front of Portico: its PROXY headers, its TLS and its X-Forwarded-For. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createWebSocketStream, WebSocket } from 'ws';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { startHaproxy } from '../listeners/haproxy.js';
import { Served } from '../listeners/served.js';
import { closed } from '../listeners/sockets.js';
import { run } from './programs.js';
import { connectPacket, RawClient } from './raw.js';

const TRUSTED = { host: '127.0.0.1', port: 0, trusted_proxies: ['127.0.0.1'] };

/** A broker with one listener behind a proxy. */
async function serve(listener: object): Promise<[Served, string]> {
  const served = await Served.start([{ ...TRUSTED, ...listener }], { allow_anonymous: true });
  const [port] = await served.ports(1);
  return [served, `127.0.0.1:${port}`];
}

/** The arguments of a message from 127.0.0.7, whose client is of this name. */
const publish = (host: string, port: number, name: string, ...more: string[]): string[] => {
  const message = ['-A', '127.0.0.7', '-i', name, '-q', '1', '-t', 'a', '-m', 'b'];
  return ['-h', host, '-p', String(port), ...message, ...more];
};

const remoteOf = async (served: Served, clientId: string): Promise<unknown> =>
  (await served.line((line) => line.client === clientId && line.transport !== undefined, clientId)).remote;

describe('haproxy in front', { timeout: 120_000 }, () => {
  let files: CertificateFiles;

  before(async () => {
    files = await CertificateFiles.make();
  });
  after(() => files.remove());

  /** What makes haproxy end TLS itself. @param verify `none`, `optional` or `required` */
  const ends = (verify: string): string => {
    const both = join(files.folder, 'both.pem');
    const [certificate, key] = ['server.pem', 'server.key'].map((file) => readFileSync(files.path(file), 'utf8'));
    writeFileSync(both, certificate + key);
    return `ssl crt ${both} ca-file ${files.path('ca.pem')} verify ${verify}`;
  };
  const known = (): string[] => ['--cafile', files.path('ca.pem')];
  const shown = (): string[] => ['--cert', files.path('device.pem'), '--key', files.path('device.key')];
  const secured = (): object => ({ cert_file: files.path('server.pem'), key_file: files.path('server.key') });

  for (const [sends, version] of [
    ['send-proxy', 'v1'],
    ['send-proxy-v2', 'v2'],
    ['send-proxy-v2 check inter 100ms', 'any'],
  ]) {
    test(`${sends}: mosquitto_pub comes with its own address`, async () => {
      const [served, to] = await serve({ type: 'mqtt', proxy_protocol: version });
      const port = await startHaproxy({ mode: 'tcp', to, sends });
      const { code, stderr } = await run('mosquitto_pub', publish('127.0.0.1', port, 'pub'));
      assert.equal(code, 0, stderr);
      assert.match(String(await remoteOf(served, 'pub')), /^127\.0\.0\.7:\d+$/);
      assert.equal(served.counters.refusedProxyHeaders, 0);
    });
  }

  test('TLS ends at haproxy: send-proxy-v2-ssl-cn says so, and without it proxy_require_tls refuses', async () => {
    const [served, to] = await serve({ type: 'mqtt', proxy_protocol: 'v2', proxy_require_tls: true });
    const port = await startHaproxy({ mode: 'tcp', to, sends: 'send-proxy-v2-ssl-cn', bind: ends('optional') });
    const { code, stderr } = await run('mosquitto_pub', publish('localhost', port, 'tls', ...known(), ...shown()));
    assert.equal(code, 0, stderr);
    assert.match(String(await remoteOf(served, 'tls')), /^127\.0\.0\.7:\d+$/);

    const silent = await startHaproxy({ mode: 'tcp', to, sends: 'send-proxy-v2' });
    await closed(connect({ port: silent, host: '127.0.0.1' }));
    assert.equal(served.counters.refusedProxiesWithoutTls, 1);
  });

  for (const type of ['mqtt', 'mqtts']) {
    test(`TLS ends at haproxy in front of ${type}: with send-proxy-v2-ssl-cn the common name is the user name; without a certificate nobody comes in`, async () => {
      const again = type === 'mqtts' ? `ssl verify required ca-file ${files.path('ca.pem')} verifyhost localhost ` : '';
      const [served, to] = await serve({
        ...{ type, ...(type === 'mqtts' ? secured() : {}) },
        ...{ proxy_protocol: 'v2', proxy_require_certificate: true, proxy_username_from: 'identity' },
      });
      const sends = `${again}send-proxy-v2-ssl-cn proxy-v2-options crc32c,ssl,cert-cn,cert-key,cert-sig,ssl-cipher`;
      const port = await startHaproxy({ mode: 'tcp', to, sends, bind: ends('optional') });
      const named = publish('localhost', port, 'by-certificate', ...known(), ...shown(), '-u', 'ann', '-P', 'any');
      const { code, stderr } = await run('mosquitto_pub', named);
      assert.equal(code, 0, stderr);
      const line = await served.line(
        ({ client, username }) => client === 'by-certificate' && username !== undefined,
        '',
      );
      assert.equal(line.username, 'device');
      assert.match(String(line.remote), /^127\.0\.0\.7:\d+$/);
      assert.notEqual((await run('mosquitto_pub', publish('localhost', port, 'nobody', ...known()))).code, 0);
      assert.ok(served.counters.refusedProxiesWithoutCertificate > 0);
      assert.equal(served.counters.refusedProxyHeaders, 0);
    });
  }

  for (const [sends, version] of [
    ['send-proxy', 'v1'],
    ['send-proxy-v2 proxy-v2-options crc32c', 'v2'],
    ['send-proxy-v2 check inter 100ms', 'any'],
  ]) {
    test(`TLS passes through haproxy, ${sends}: mosquitto_pub comes with its own address and certificate`, async () => {
      const certificate = { ...secured(), ca_file: files.path('ca.pem'), require_certificate: true };
      const [served, to] = await serve({ type: 'mqtts', proxy_protocol: version, ...certificate });
      const port = await startHaproxy({ mode: 'tcp', to, sends });
      const large = 'x'.repeat(100_000);
      const args = publish('localhost', port, 'through', ...known(), ...shown());
      args[args.indexOf('b')] = large;
      const { code, stderr } = await run('mosquitto_pub', args);
      assert.equal(code, 0, stderr);
      const line = await served.line(({ client, username }) => client === 'through' && username !== undefined, '');
      assert.equal(line.username, 'device');
      assert.match(String(line.remote), /^127\.0\.0\.7:\d+$/);
      assert.equal(served.counters.refusedProxyHeaders, 0);
    });
  }

  test('TLS passes through haproxy to a secure WebSocket, which comes with the address of its client', async () => {
    const [served, to] = await serve({ type: 'wss', proxy_protocol: 'v2', ...secured() });
    const port = await startHaproxy({ mode: 'tcp', to, sends: 'send-proxy-v2' });
    const ca = readFileSync(files.path('ca.pem'));
    const socket = new WebSocket(`wss://localhost:${port}/`, 'mqtt', { localAddress: '127.0.0.7', ca });
    await once(socket, 'open');
    const client = new RawClient(createWebSocketStream(socket), 4);
    client.send(connectPacket({ clientId: 'wss' }));
    assert.equal((await client.expect('connack')).returnCode, 0);
    assert.match(String(await remoteOf(served, 'wss')), /^127\.0\.0\.7:[1-9]\d*$/);
    client.cut();
  });

  test('option forwardfor: a WebSocket comes with the address of its client', async () => {
    const [served, to] = await serve({ type: 'websocket' });
    const port = await startHaproxy({ mode: 'http', to, sends: '', lines: ['option forwardfor'] });
    const headers = { 'x-forwarded-for': '6.6.6.6' };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, 'mqtt', { localAddress: '127.0.0.7', headers });
    await once(socket, 'open');
    const client = new RawClient(createWebSocketStream(socket), 4);
    client.send(connectPacket({ clientId: 'ws' }));
    assert.equal((await client.expect('connack')).returnCode, 0);
    assert.equal(await remoteOf(served, 'ws'), '127.0.0.7:0');
    client.cut();
  });

  test('option forwardfor, and TLS anew to a secure WebSocket, which comes with the address of its client', async () => {
    const [served, to] = await serve({ type: 'wss', ...secured() });
    const sends = `ssl verify required ca-file ${files.path('ca.pem')} verifyhost localhost`;
    const port = await startHaproxy({ mode: 'http', to, sends, lines: ['option forwardfor'], bind: ends('none') });
    const headers = { 'x-forwarded-for': '6.6.6.6' };
    const ca = readFileSync(files.path('ca.pem'));
    const socket = new WebSocket(`wss://localhost:${port}/`, 'mqtt', { localAddress: '127.0.0.7', headers, ca });
    await once(socket, 'open');
    const client = new RawClient(createWebSocketStream(socket), 4);
    client.send(connectPacket({ clientId: 'again' }));
    assert.equal((await client.expect('connack')).returnCode, 0);
    assert.equal(await remoteOf(served, 'again'), '127.0.0.7:0');
    client.cut();
  });

  test('a WebSocket through PROXY headers comes with the address of its client', async () => {
    const [served, to] = await serve({ type: 'websocket', proxy_protocol: 'v2' });
    const port = await startHaproxy({ mode: 'http', to, sends: 'send-proxy-v2' });
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, 'mqtt', { localAddress: '127.0.0.7' });
    await once(socket, 'open');
    const client = new RawClient(createWebSocketStream(socket), 4);
    client.send(connectPacket({ clientId: 'ws' }));
    assert.equal((await client.expect('connack')).returnCode, 0);
    assert.match(String(await remoteOf(served, 'ws')), /^127\.0\.0\.7:[1-9]\d*$/);
    client.cut();
  });
});
