/** SIGHUP and MQTT over TLS: keys and certificates are read again, and who is known by them stays. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico, temporaryFolder } from '../support/portico.js';
import { Changing } from './changing.js';
import { listening, logged } from './coap-transports.js';
import { JsClient } from './mqttjs.js';
import { run } from './programs.js';
import { RawClient } from './raw.js';

const HOST = '127.0.0.1';
const [KEY, OTHER] = ['c0ffeec0ffee', 'decaf0decaf0'];

describe('SIGHUP and MQTT over TLS', { timeout: 120_000 }, () => {
  let files: CertificateFiles;
  let scene: Changing;
  let psk: string;
  let passwords: string;
  let ports: number[];

  before(async () => {
    files = await CertificateFiles.make();
    const folder = temporaryFolder();
    [psk, passwords] = [join(folder, 'psk'), join(folder, 'passwords')];
    writeFileSync(psk, `meter-7:${KEY}\nold:${KEY}\nother:${KEY}\n`);
    writeFileSync(passwords, '');
    for (const user of ['tom', 'device']) await run('mosquitto_passwd', ['-b', passwords, user, 'secret']);
    for (const kind of ['pem', 'key']) copyFileSync(files.path(`server.${kind}`), files.path(`own.${kind}`));
    const own = { host: HOST, port: 0, cert_file: files.path('own.pem'), key_file: files.path('own.key') };
    const secure = [
      { type: 'mqtts', ...own, ca_file: files.path('ca.pem') },
      { type: 'mqtts', host: HOST, port: 0, psk_hint: 'portico', max_tls_version: 'tlsv1.2' },
      { type: 'wss', host: HOST, port: 0, psk_hint: 'portico', max_tls_version: 'tlsv1.2', username_from: 'connect' },
    ];
    scene = await Changing.of(
      await Portico.start((ports) => ({
        listeners: [...listenersAt(ports), ...secure],
        access: { psk_file: psk, password_file: passwords },
        allow_anonymous: true,
      })),
    );
    const found = await Promise.all(
      secure.map(({ type }, i) => listening(scene.portico, `${type} on ${HOST}:0`, type === 'wss' ? 0 : i)),
    );
    ports = found.map(({ port }) => port);
  });
  after(async () => {
    await scene?.portico.dispose();
    await files?.remove();
  });

  async function open(listener: number, options: ConnectionOptions): Promise<TLSSocket> {
    const socket = connect({ host: HOST, port: ports[listener], ...options });
    await once(socket, 'secureConnect');
    return socket;
  }

  const keyed = (identity: string, key: string): Promise<TLSSocket> =>
    open(1, {
      pskCallback: () => ({ identity, psk: Buffer.from(key, 'hex') }),
      ciphers: 'PSK',
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.2',
      checkServerIdentity: () => undefined,
    });
  const certified = (name?: string): Promise<TLSSocket> =>
    open(0, {
      ca: readFileSync(files.path('ca.pem')),
      ...(name !== undefined && {
        cert: readFileSync(files.path(`${name}.pem`)),
        key: readFileSync(files.path(`${name}.key`)),
      }),
    });

  test('a key that is new is taken, one that is gone is not, and who came with it or with another one is sent away', async () => {
    const old = await scene.connect('', '', 5, await keyed('old', KEY));
    const other = await scene.connect('', '', 5, await keyed('other', KEY));
    const stays = await scene.connect('', '', 5, await keyed('meter-7', KEY));
    // Of one that has not said CONNECT, and of one that is another user by its password.
    const silent = new RawClient(await keyed('old', KEY), 5);
    const web = await JsClient.connect(`wss://${HOST}:${ports[2]}`, {
      clientId: 'web',
      username: 'tom',
      password: 'secret',
      wsOptions: {
        pskCallback: () => ({ identity: 'old', psk: Buffer.from(KEY, 'hex') }),
        ciphers: 'PSK',
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.2',
        checkServerIdentity: () => undefined,
      } as object,
    });
    const left = new Promise<void>((resolve) => web.raw.once('close', () => resolve()));
    for (const { code } of [old, other, stays]) assert.equal(code, 0);
    writeFileSync(psk, `meter-7:${KEY}\nother:${OTHER}\nnew:${OTHER}\n`);
    const lines = await scene.reload();
    assert.ok(lines.includes(`reload: access.psk_file: what is in ${psk} has changed: at once`), lines.join('\n'));
    assert.ok(lines.includes('reload: clients that may not connect any more, and were sent away: 4'), lines.join('\n'));
    await Promise.all(
      [old, other].map(async (gone) => {
        assert.equal((await gone.expect('disconnect')).reasonCode, 0x87);
        await gone.closed;
      }),
    );
    await Promise.all([silent.closed, left]);
    await assert.rejects(keyed('old', KEY));
    await assert.rejects(keyed('other', KEY));
    assert.equal((await scene.connect('', '', 5, await keyed('new', OTHER))).code, 0);
    stays.send({ cmd: 'pingreq' });
    await stays.expect('pingresp');
  });

  test('a reload of passwords sends nobody away who is known by a certificate or a key; others go, over TLS too', async () => {
    const device = await scene.connect('', '', 5, await certified('device'));
    const meter = await scene.connect('', '', 5, await keyed('meter-7', KEY));
    const tom = await scene.connect('tom', 'secret', 5, await certified());
    assert.deepEqual([device.code, meter.code, tom.code], [0, 0, 0]);
    for (const user of ['tom', 'device']) await run('mosquitto_passwd', ['-b', passwords, user, 'another']);
    const lines = await scene.reload();
    assert.ok(lines.includes('reload: clients that may not connect any more, and were sent away: 1'), lines.join('\n'));
    assert.equal((await tom.expect('disconnect')).reasonCode, 0x87);
    for (const client of [device, meter]) {
      client.send({ cmd: 'pingreq' });
      await client.expect('pingresp');
    }
  });

  test('a client without user name and certificate is sent away when it may not come any more', async () => {
    const nobody = await scene.connect('', '', 5, await certified());
    assert.equal(nobody.code, 0);
    const device = await scene.connect('', '', 5, await certified('device'));
    scene.write({ allow_anonymous: false });
    await scene.reload();
    assert.equal((await nobody.expect('disconnect')).reasonCode, 0x87);
    assert.equal((await scene.connect('', '', 5, await certified())).code, 0x87);
    device.send({ cmd: 'pingreq' });
    await device.expect('pingresp');
    scene.write({ allow_anonymous: true });
    await scene.reload();
    assert.equal((await scene.connect('', '', 5, await certified())).code, 0);
  });

  test('a key that is not that of the certificate is a fault, and the former certificate stays', async () => {
    copyFileSync(files.path('stranger.key'), files.path('own.key'));
    const lines = await scene.reload();
    assert.match(lines[1] ?? '', /listeners\.3\.key_file: .*it is not the key of the certificate/);
    assert.equal(lines.at(-1), 'reload: nothing was changed; what was in force before still is');
    assert.equal((await scene.connect('', '', 5, await certified())).code, 0);
    copyFileSync(files.path('server.key'), files.path('own.key'));
  });

  test('a new certificate is told, and shown to who comes from then on', async () => {
    const mark = scene.portico.logLines.length;
    for (const kind of ['pem', 'key']) copyFileSync(files.path(`stranger.${kind}`), files.path(`own.${kind}`));
    const line = `reload: listeners.3.cert_file: what is in ${files.path('own.pem')} has changed: for what connects from now on`;
    assert.ok((await scene.reload()).includes(line));
    await logged(scene.portico, ({ msg }) => msg.startsWith('listeners.3: new certificates are in force'), mark);
    const socket = await open(0, { rejectUnauthorized: false });
    assert.equal(socket.getPeerCertificate().subject.CN, 'stranger');
    socket.destroy();
  });
});
