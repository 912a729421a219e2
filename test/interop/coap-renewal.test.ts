/** New certificates of CoAP while the broker runs: who is there stays, and what is broken does not go into force. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { endAll, libcoapWith } from '../coap/dtls/foreign-servers.js';
import { listenersAt, Portico } from '../support/portico.js';
import { Changing } from './changing.js';
import { ask, listening, logged } from './coap-transports.js';
import { JsClient } from './mqttjs.js';
import { Program, run } from './programs.js';
import { SysWatch } from './sys.js';

const HOST = '127.0.0.1';
const CLIENT = 'coap-client-openssl';
const RENEWED = /^listeners\.\d: new certificates are in force; the certificate is good until \d{4}-/;

describe('renewal of certificates of CoAP', { timeout: 120_000 }, () => {
  let files: CertificateFiles;
  let scene: Changing;
  let sys: SysWatch;
  let door: string;
  let uris: string[];
  let observers: Program[];
  let clients = 0;

  const at = (name: string): string => files.path(name);
  const take = (name: string): void => {
    for (const kind of ['key', 'pem']) copyFileSync(at(`${name}.${kind}`), at(`own.${kind}`));
  };
  const trusting = (ca: string, uri: string): string[] => ['-R', at(`${ca}.pem`), uri];
  /** A client of its own for each, so that none takes over another's. */
  const as = (name: string, uri: string): string[] => [...shown(name), `${uri}?clientid=${name}-${++clients}`];
  const shown = (name: string): string[] => ['-c', at(`${name}.pem`), '-j', at(`${name}.key`), '-C', at('ca.pem')];
  const answer = async (...args: string[]): Promise<string> =>
    (await run(CLIENT, ['-B', '3', ...args])).stdout.toString().trim();

  /** Waits until the log says of both listeners what a change has come to. */
  async function told(change: () => void, words: RegExp): Promise<void> {
    const mark = scene.portico.logLines.length;
    change();
    for (const number of [3, 4]) {
      const isIt = (msg: string): boolean => msg.startsWith(`listeners.${number}`) && words.test(msg);
      await logged(scene.portico, ({ msg }) => isIt(msg), mark);
    }
  }

  /** Those who were there at first still are, and are told what is new. */
  async function stillThere(state: string): Promise<void> {
    await ask('coap-client-notls', '-m', 'put', '-e', state, door);
    for (const observer of observers) assert.equal(await observer.lines.next('the next state'), state);
  }

  before(async () => {
    files = await CertificateFiles.make();
    take('server');
    copyFileSync(at('ca.pem'), at('devices-ca.pem'));
    // Our own CA is not yet among those of the devices that are asked.
    copyFileSync(at('other-ca.pem'), at('asked-ca.pem'));
    const server = ['-c', at('server.pem'), '-j', at('server.key'), '-C', at('ca.pem')];
    const boiler = await libcoapWith(CLIENT.replace('client', 'server'), server);
    const own = {
      host: HOST,
      port: 0,
      cert_file: at('own.pem'),
      key_file: at('own.key'),
      ca_file: at('devices-ca.pem'),
    };
    scene = await Changing.of(
      await Portico.start((ports) => ({
        listeners: [...listenersAt(ports), { type: 'coaps', ...own }, { type: 'coaps+tcp', ...own }],
        coap: {
          device_ca_file: at('asked-ca.pem'),
          device_cert_file: at('device.pem'),
          device_key_file: at('device.key'),
          commands: [
            {
              filter: 'boiler/get',
              uri: `coaps://${HOST}:${boiler}/time?ticks`,
              method: 'GET',
              response: 'json',
              response_topic: 'boiler/told',
            },
          ],
        },
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
    observers = await Promise.all(uris.map((uri) => Program.start(CLIENT, ['-s', '100', '-w', ...as('device', uri)])));
    for (const observer of observers) assert.equal(await observer.lines.next('the state'), 'shut');
  });
  after(async () => {
    for (const observer of observers ?? []) await observer.end();
    await scene?.portico.dispose();
    await endAll();
    await files?.remove();
  });

  test('a new certificate and key are shown to who comes from then on, over DTLS and TLS, and nobody is dropped', async () => {
    const growth = await sys.growth(() => told(() => take('stranger-server'), RENEWED));
    assert.equal(growth('certificates/renewed'), 2);
    for (const uri of uris) {
      assert.equal(await answer(...trusting('other-ca', uri)), 'shut');
      assert.notEqual(await answer(...trusting('ca', uri)), 'shut');
    }
    await stillThere('open');
  });

  test('a certificate without its key, and one that is damaged, leave the former in force: told and counted', async () => {
    const growth = await sys.growth(async () => {
      const mismatch = /_file: .*: it is not the key of the certificate in .*; the former certificates stay in force$/;
      await told(() => copyFileSync(at('server.pem'), at('own.pem')), mismatch);
      await told(() => writeFileSync(at('own.pem'), 'cut off'), /cert_file: .*: there is no certificate in it/);
    });
    assert.ok(growth('certificates/refused') >= 4);
    assert.equal(growth('certificates/renewed'), 0);
    for (const uri of uris) assert.equal(await answer(...trusting('other-ca', uri)), 'open');
    await told(() => take('server'), RENEWED);
    for (const uri of uris) assert.equal(await answer(...trusting('ca', uri)), 'open');
    await stillThere('ajar');
  });

  test('other CAs of devices hold for who comes; who is there stays until a reload, which sends it away', async () => {
    for (const uri of uris) assert.equal(await answer(...as('device', uri)), 'ajar');
    await told(() => copyFileSync(at('other-ca.pem'), at('devices-ca.pem')), RENEWED);
    for (const uri of uris) {
      assert.notEqual(await answer(...as('device', uri)), 'ajar');
      assert.equal(await answer(...as('stranger', uri)), 'ajar');
    }
    await stillThere('open');
    const mark = scene.portico.logLines.length;
    const lines = await scene.reload();
    assert.ok(
      lines.some((line) => /listeners\.3\.ca_file: what is in .* has changed/.test(line)),
      lines.join('\n'),
    );
    const ended = (words: string) =>
      logged(scene.portico, ({ msg }) => msg.includes('user "device"') && msg.includes(words), mark);
    await ended('its DTLS association was ended');
    await ended('its TCP connection was closed');
  });

  test('the CAs of devices that are asked are taken as soon as their file changes', async () => {
    const app = await JsClient.connect(`mqtt://${HOST}:${scene.portico.ports.mqtt}`, { clientId: 'app' });
    await app.subscribe('boiler/told', 1);
    const get = async (): Promise<Record<string, string>> => {
      await app.publish('boiler/get', '', 1);
      return JSON.parse((await app.next()).payload.toString());
    };
    assert.equal((await get()).detail, 'unknown CA "CN=ca"');
    const mark = scene.portico.logLines.length;
    copyFileSync(at('ca.pem'), at('asked-ca.pem'));
    await logged(
      scene.portico,
      ({ msg }) => msg.startsWith('coap.device_cert_file: new certificates are in force'),
      mark,
    );
    const good = await get();
    assert.equal(good.code, '2.05', JSON.stringify(good));
    writeFileSync(at('asked-ca.pem'), 'cut off');
    await logged(
      scene.portico,
      ({ msg }) => /^coap\.device_ca_file: .*; the former certificates stay in force$/.test(msg),
      mark,
    );
    assert.equal((await get()).code, '2.05');
    await app.end();
  });

  test('days left are in $SYS, and the log warns of certificates that have few', async () => {
    await sys.until('certificates/days_left', (days) => days === 29, 'is that of the certificates');
    await sys.until('certificates/ca_days_left', (days) => days === 29, 'is that of the CAs');
    const { portico } = scene;
    for (const option of ['listeners.3.cert_file', 'listeners.4.ca_file', 'coap.device_cert_file']) {
      const { msg } = await logged(portico, ({ msg }) => msg.startsWith(`${option}: `));
      assert.match(msg, /expires in 29 days, at \d{4}-/);
    }
    const mark = portico.logLines.length;
    for (const kind of ['key', 'pem']) copyFileSync(at(`expired-server.${kind}`), at(`own.${kind}`));
    await logged(portico, ({ msg }) => /^listeners\.3\.cert_file: .* has expired, at/.test(msg), mark);
    await sys.until('certificates/days_left', (days) => days < 0, 'is past');
  });
});
