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

const remoteOf = async (served: Served, clientId: string): Promise<unknown> =>
  (await served.line((line) => line.client === clientId && line.transport !== undefined, clientId)).remote;

describe('haproxy in front', { timeout: 120_000 }, () => {
  let files: CertificateFiles;

  before(async () => {
    files = await CertificateFiles.make();
  });
  after(() => files.remove());

  for (const [sends, version] of [
    ['send-proxy', 'v1'],
    ['send-proxy-v2', 'v2'],
    ['send-proxy-v2 check inter 100ms', 'any'],
  ]) {
    test(`${sends}: mosquitto_pub comes with its own address`, async () => {
      const [served, to] = await serve({ type: 'mqtt', proxy_protocol: version });
      const port = await startHaproxy({ mode: 'tcp', to, sends });
      const args = [
        '-h',
        '127.0.0.1',
        '-p',
        String(port),
        '-A',
        '127.0.0.7',
        '-i',
        'pub',
        '-q',
        '1',
        '-t',
        'a',
        '-m',
        'b',
      ];
      const { code, stderr } = await run('mosquitto_pub', args);
      assert.equal(code, 0, stderr);
      assert.match(String(await remoteOf(served, 'pub')), /^127\.0\.0\.7:\d+$/);
      assert.equal(served.counters.refusedProxyHeaders, 0);
    });
  }

  test('TLS ends at haproxy: send-proxy-v2-ssl-cn says so, and without it proxy_require_tls refuses', async () => {
    const [served, to] = await serve({ type: 'mqtt', proxy_protocol: 'v2', proxy_require_tls: true });
    const both = join(files.folder, 'both.pem');
    writeFileSync(
      both,
      readFileSync(files.path('server.pem'), 'utf8') + readFileSync(files.path('server.key'), 'utf8'),
    );
    const bind = `ssl crt ${both} ca-file ${files.path('ca.pem')} verify optional`;
    const port = await startHaproxy({ mode: 'tcp', to, sends: 'send-proxy-v2-ssl-cn', bind });
    const tls = [
      '--cafile',
      files.path('ca.pem'),
      '--cert',
      files.path('device.pem'),
      '--key',
      files.path('device.key'),
    ];
    const args = [
      '-h',
      'localhost',
      '-p',
      String(port),
      ...tls,
      '-A',
      '127.0.0.7',
      '-i',
      'tls',
      '-t',
      'a',
      '-m',
      'b',
      '-q',
      '1',
    ];
    const { code, stderr } = await run('mosquitto_pub', args);
    assert.equal(code, 0, stderr);
    assert.match(String(await remoteOf(served, 'tls')), /^127\.0\.0\.7:\d+$/);

    const silent = await startHaproxy({ mode: 'tcp', to, sends: 'send-proxy-v2' });
    await closed(connect({ port: silent, host: '127.0.0.1' }));
    assert.equal(served.counters.refusedProxiesWithoutTls, 1);
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
