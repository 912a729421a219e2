/** SIGHUP and the options of `coap`: requests and connections that come have the new ones, observations go on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico } from '../support/portico.js';
import { Changing } from './changing.js';
import { ask, listening, logged } from './coap-transports.js';
import { request, topicUri } from './libcoap.js';
import { Program, run } from './programs.js';

const HOST = '127.0.0.1';

describe('SIGHUP and the options of coap', { timeout: 120_000 }, () => {
  let files: CertificateFiles;
  let scene: Changing;
  let root: string;
  let tcp: number;
  let tls: number;
  let dtls: number;

  before(async () => {
    files = await CertificateFiles.make();
    const own = { host: HOST, port: 0, cert_file: files.path('server.pem'), key_file: files.path('server.key') };
    scene = await Changing.of(
      await Portico.start((ports) => ({
        listeners: [
          ...listenersAt(ports),
          { type: 'coap+tcp', host: HOST, port: 0 },
          { type: 'coaps+tcp', ...own },
          { type: 'coaps', ...own },
        ],
        allow_anonymous: true,
      })),
    );
    const port = async (type: string): Promise<number> => (await listening(scene.portico, `${type} on ${HOST}:0`)).port;
    [tcp, tls, dtls] = [await port('coap+tcp'), await port('coaps+tcp'), await port('coaps')];
    root = `coap://${HOST}:${scene.portico.ports.coap}`;
  });
  after(async () => {
    await scene?.portico.dispose();
    await files?.remove();
  });

  async function take(coap: Readonly<Record<string, unknown>>): Promise<string[]> {
    scene.write({ coap });
    const lines = await scene.reload();
    assert.equal(lines.at(-1), 'reload: done', lines.join('\n'));
    return lines.slice(1, -1).map((line) => line.replace(/ \([^)]*\)/, ''));
  }

  const code = async (method: string, uri: string, body?: Buffer): Promise<string> =>
    (await request(method, uri, [], body)).code;

  test('mappings and path: requests that come go by the new ones, an observation by the former path goes on', async () => {
    const mappings = [{ path: '/s/{device}', topic: 'devices/{device}' }];
    await ask('coap-client-notls', '-m', 'put', '-e', '1', `${root}/ps/devices/a`);
    const observer = await Program.start('coap-client-notls', ['-s', '60', '-w', `${root}/ps/devices/a`]);
    assert.equal(await observer.lines.next('the state'), '1');
    assert.equal(await code('get', `${root}/s/a`), '4.04');
    assert.deepEqual(await take({ mappings, path: 'topics' }), [
      'reload: coap.path is "topics" instead of "ps": at once',
      'reload: coap.mappings has changed: at once',
    ]);
    assert.equal((await request('get', `${root}/s/a`)).payload.toString(), '1');
    assert.equal(await code('get', `${root}/ps/devices/a`), '4.04');
    await ask('coap-client-notls', '-m', 'put', '-e', '2', `${root}/topics/devices/a`);
    assert.equal(await observer.lines.next('a notification'), '2');
    await observer.end();
    await take({});
    assert.equal(await code('get', `${root}/s/a`), '4.04');
    assert.equal(await code('get', `${root}/ps/devices/a`), '2.05');
  });

  test('max_payload and block_size hold for the next request; a profile needs a restart', async () => {
    const uri = topicUri(scene.portico.ports.coap, 'large');
    assert.equal(await code('put', uri, Buffer.alloc(3000, 'x')), '2.01');
    const usual = await request('get', uri);
    const lines = await take({ max_payload: 2000, block_size: 64, profile: 'lossy' });
    assert.ok(lines.includes('reload: coap.max_payload is 2000 instead of 1048576: at once'), lines.join('\n'));
    assert.ok(lines.includes('reload: coap.profile is "lossy" instead of "default": this needs a restart'));
    assert.equal(await code('put', uri, Buffer.alloc(3000, 'x')), '4.13');
    assert.ok((await request('get', uri)).messages > usual.messages);
    await take({});
    assert.equal(await code('put', uri, Buffer.alloc(3000, 'x')), '2.04');
  });

  test('observers: one that is too many is answered once, and is counted under its option', async () => {
    const uri = topicUri(scene.portico.ports.coap, 'watched');
    await ask('coap-client-notls', '-m', 'put', '-e', 'still', uri);
    await take({ observers: 0 });
    const mark = scene.portico.logLines.length;
    const { options } = await request('get', uri, ['-s', '1']);
    assert.ok(!options.includes('Observe'), options);
    await logged(scene.portico, ({ msg }) => msg.includes('coap.observers') && !msg.startsWith('reload'), mark);
    await take({});
    assert.ok((await request('get', uri, ['-s', '1'])).options.includes('Observe'));
  });

  test('registrations: who is registered stays, one more is refused', async () => {
    const register = (name: string): Promise<string> => code('post', `${root}/rd?ep=${name}`, Buffer.from('</a>'));
    assert.equal(await register('first'), '2.01');
    await take({ registrations: 1 });
    assert.equal(await register('second'), '5.03');
    assert.equal(await register('first'), '2.01');
    await take({});
    assert.equal(await register('second'), '2.01');
  });

  test('tcp_connections holds for connections that come; those over TLS come also after a change of tcp_open_time', async () => {
    const there = connect(tcp, HOST);
    await once(there, 'connect');
    await take({ tcp_connections: 1 });
    const late = connect(tcp, HOST);
    late.on('error', () => {});
    await once(late, 'close');
    assert.equal(there.destroyed, false);
    there.destroy();
    await logged(scene.portico, ({ msg }) => msg.includes('coap.tcp_connections') && !msg.startsWith('reload'));
    await take({ tcp_open_time: 5 });
    await ask('coap-client-notls', '-m', 'put', '-e', 'shut', `${root}/ps/door`);
    const trusting = ['-R', files.path('ca.pem')];
    assert.equal(await ask('coap-client-openssl', ...trusting, `coaps+tcp://${HOST}:${tls}/ps/door`), 'shut');
    await take({});
  });

  test('dtls_handshakes_per_second and dtls_idle_time act on a listener that is open', async () => {
    const uri = `coaps://${HOST}:${dtls}/ps/door`;
    const trusting = ['-R', files.path('ca.pem')];
    const mark = scene.portico.logLines.length;
    const observer = await Program.start('coap-client-openssl', ['-s', '60', '-w', ...trusting, uri]);
    assert.equal(await observer.lines.next('the state'), 'shut');
    await take({ dtls_idle_time: 1, dtls_host_handshakes_per_second: 1 });
    await logged(scene.portico, ({ msg }) => msg.includes('coap.dtls_idle_time') && !msg.startsWith('reload'), mark);
    const isLimited = (): boolean =>
      scene.portico.logLines.some(
        ({ msg }) => msg.includes('coap.dtls_host_handshakes_per_second') && !msg.startsWith('reload'),
      );
    // Three of them may fall into three seconds.
    while (!isLimited()) {
      await Promise.all([1, 2, 3].map(() => run('coap-client-openssl', ['-B', '5', ...trusting, uri])));
    }
    await observer.end();
  });
});
