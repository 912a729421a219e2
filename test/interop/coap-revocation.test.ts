/** Lists of revoked certificates of devices: libcoap's client over DTLS and TLS, openssl's lists, and what changes while the broker runs. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico } from '../support/portico.js';
import { Changing } from './changing.js';
import { ask, listening, logged } from './coap-transports.js';
import { Program, run } from './programs.js';
import { SysWatch } from './sys.js';

const HOST = '127.0.0.1';
const CLIENT = 'coap-client-openssl';

describe('revoked certificates of devices', { timeout: 120_000 }, () => {
  let files: CertificateFiles;
  let scene: Changing;
  let sys: SysWatch;
  let uris: string[];
  let door: string;
  let clients = 0;

  const at = (name: string): string => files.path(name);
  /** A client of its own for each, so that none takes over another's. */
  const as = (name: string, uri: string): string[] => [
    ...['-c', at(`${name}.pem`), '-j', at(`${name}.key`), '-C', at('ca.pem')],
    `${uri}?clientid=${name}-${++clients}`,
  ];
  const answer = async (name: string, uri: string): Promise<string> =>
    (await run(CLIENT, ['-B', '3', ...as(name, uri)])).stdout.toString().trim();

  before(async () => {
    files = await CertificateFiles.make();
    await files.revoke('node1');
    copyFileSync(at('crl.pem'), at('revoked.pem'));
    const own = {
      ...{ host: HOST, port: 0, cert_file: at('server.pem'), key_file: at('server.key') },
      ...{ ca_file: at('ca.pem'), crl_file: at('revoked.pem') },
    };
    scene = await Changing.of(
      await Portico.start((ports) => ({
        listeners: [...listenersAt(ports), { type: 'coaps', ...own }, { type: 'coaps+tcp', ...own }],
        allow_anonymous: true,
      })),
    );
    const { portico } = scene;
    door = `coap://${HOST}:${portico.ports.coap}/ps/door`;
    uris = [];
    for (const type of ['coaps', 'coaps+tcp']) {
      uris.push(`${type}://${HOST}:${(await listening(portico, `${type} on ${HOST}:0`)).port}/ps/door`);
    }
    sys = await SysWatch.start(portico.ports.mqtt);
    await ask('coap-client-notls', '-m', 'put', '-e', 'shut', door);
  });
  after(async () => {
    await scene?.portico.dispose();
    await files?.remove();
  });

  test('over DTLS and TLS a certificate on the list is refused in words and counted, and another one is taken', async () => {
    for (const [i, words] of ['certificate revoked "CN=node1"', 'cert revoked, "CN=node1"'].entries()) {
      assert.equal(await answer('device', uris[i]), 'shut');
      const from = scene.portico.logLines.length;
      const counter = i === 0 ? 'coap/dtlsCertificatesRefused' : 'coap/tcpHandshakesFailed';
      const growth = await sys.growth(async () => assert.notEqual(await answer('node1', uris[i]), 'shut'));
      assert.equal(growth(counter), 1);
      const { reason } = await logged(scene.portico, ({ msg }) => msg.includes('handshake with'), from);
      assert.ok(String(reason).includes(words), String(reason));
    }
  });

  test('a new list holds for who comes; who is there stays until a reload, which sends it away', async () => {
    const observers = await Promise.all(
      uris.map((uri) => Program.start(CLIENT, ['-s', '100', '-w', ...as('device', uri)])),
    );
    for (const observer of observers) assert.equal(await observer.lines.next('the state'), 'shut');
    await files.revoke('node1', 'device');
    let mark = scene.portico.logLines.length;
    copyFileSync(at('crl.pem'), at('revoked.pem'));
    for (const number of [3, 4]) {
      const line = `listeners.${number}: new certificates are in force`;
      await logged(scene.portico, ({ msg }) => msg.startsWith(line), mark);
    }
    for (const uri of uris) assert.notEqual(await answer('device', uri), 'shut');
    await ask('coap-client-notls', '-m', 'put', '-e', 'open', door);
    for (const observer of observers) assert.equal(await observer.lines.next('the next state'), 'open');
    mark = scene.portico.logLines.length;
    await scene.reload();
    for (const words of ['its DTLS association was ended', 'its TCP connection was closed']) {
      await logged(scene.portico, ({ msg }) => msg.includes('user "device"') && msg.includes(words), mark);
    }
    for (const observer of observers) await observer.end();
  });
});
