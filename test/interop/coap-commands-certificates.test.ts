/** Requests to devices with certificates, of a broker as a process: MQTT.js and mosquitto_pub ask, libcoap's servers answer. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { endAll, libcoapWith } from '../coap/dtls/foreign-servers.js';
import { Portico } from '../support/portico.js';
import { request } from './libcoap.js';
import { publish, Subscriber } from './mosquitto.js';
import { JsClient } from './mqttjs.js';

describe('commands to devices with certificates', { timeout: 60_000 }, () => {
  let files: CertificateFiles;
  let portico: Portico;
  /** A device that is known by its end point name alone. */
  let node1: number;

  before(async () => {
    files = await CertificateFiles.make();
    const serve = (server: string, name: string, ca = 'ca'): Promise<number> => {
      const own = ['-c', files.path(`${name}.pem`), '-j', files.path(`${name}.key`)];
      return libcoapWith(server, [...own, '-C', files.path(`${ca}.pem`)]);
    };
    const boiler = await serve('coap-server-openssl', 'server');
    node1 = await serve('coap-server-gnutls', 'node1');
    const expired = await serve('coap-server-gnutls', 'expired-server');
    const stranger = await serve('coap-server-openssl', 'stranger-server', 'other-ca');
    await files.revoke('large');
    const revoked = await serve('coap-server-openssl', 'large');
    const ask = (what: string, port: number) => ({
      filter: `${what}/get`,
      uri: `coaps://127.0.0.1:${port}/time?ticks`,
      method: 'GET',
      response: 'json',
      response_topic: `${what}/told`,
    });
    portico = await Portico.start({
      coap: {
        device_ca_file: files.path('ca.pem'),
        device_crl_file: files.path('crl.pem'),
        device_cert_file: files.path('device.pem'),
        device_key_file: files.path('device.key'),
        commands: [
          ask('boiler', boiler),
          ask('name', node1),
          ask('expired', expired),
          ask('stranger', stranger),
          ask('revoked', revoked),
        ],
        observations: [{ uri: `coaps://localhost:${boiler}/time?ticks`, topic: 'boiler/time' }],
      },
    });
  });

  after(async () => {
    await portico?.dispose();
    await endAll();
    await files?.remove();
  });

  async function told(what: string): Promise<Record<string, string>> {
    const client = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId: 'app' });
    await client.subscribe(`${what}/told`, 1);
    await client.publish(`${what}/get`, '', 1, false);
    const { payload } = await client.next();
    await client.end();
    return JSON.parse(payload.toString());
  }

  test('a device whose certificate is for its address, and that asks for ours, is read, and observed by its name', async () => {
    const { code, payload } = await told('boiler');
    assert.equal(code, '2.05');
    assert.ok(Number(payload) > 0);
    const states = await Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-q', '1', '-t', 'boiler/time']);
    const seen = new Set<string>();
    while (seen.size < 2) seen.add((await states.next()).payload);
    await states.end();
  });

  test('another name, an expired certificate, another CA and a certificate on OpenSSL’s list of revoked ones are refused: told in words, counted, and in the log', async () => {
    const name = await told('name');
    assert.deepEqual(name, {
      failure: 'handshake',
      detail: 'certificate of another name than 127.0.0.1: "CN=node1"',
    });
    assert.equal((await told('expired')).detail, 'certificate expired "CN=expired-server"');
    assert.equal((await told('stranger')).detail, 'unknown CA "CN=other-ca"');
    assert.equal((await told('revoked')).detail, 'certificate revoked "CN=large"');
    const topic = '$SYS/broker/coap-devices/dtlsCertificatesRefused';
    const counted = await Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-t', topic]);
    while ((await counted.next()).payload !== '4');
    await counted.end();
    const line = portico.logLines.find(({ msg }) => msg.includes('"CN=node1"'));
    assert.match(
      line?.msg ?? '',
      /^the DTLS handshake with 127\.0\.0\.1:\d+ failed: certificate of another name than /,
    );
  });

  test('a device that has registered is known by its end point name, too', async () => {
    const { mqtt, coap } = portico.ports;
    const uri = `coap://127.0.0.1:${coap}/rd?ep=node1&base=coaps://127.0.0.1:${node1}`;
    assert.equal((await request('post', uri, ['-t', '40'], Buffer.from('</time>'))).code, '2.01');
    const answers = await Subscriber.start(mqtt, 'mqttv5', ['-q', '1', '-t', 'devices/node1/time/$response']);
    await publish(mqtt, 'mqttv5', ['-q', '1', '-t', 'devices/node1/time/get', '-n']);
    assert.match((await answers.next()).payload, /^\w{3} \d\d \d\d:\d\d:\d\d$/);
    await answers.end();
  });
});
