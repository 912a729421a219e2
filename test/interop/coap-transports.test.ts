/** CoAP over DTLS, TCP and TLS: the broker as a process, libcoap's clients, and MQTT on the other side. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { IDENTITY, KEY } from '../coap/dtls/client.js';
import { UdpDevice } from '../coap/dtls/udp-device.js';
import { ACK, CON, OPT, values, type Wire } from '../coap/harness.js';
import { TcpDevice } from '../coap/tcp-device.js';
import { listenersAt, Portico, temporaryFolder } from '../support/portico.js';
import { across, ask, CLIENTS, listening, logged, METER } from './coap-transports.js';
import { publish, Subscriber } from './mosquitto.js';
import { JsClient } from './mqttjs.js';
import { run } from './programs.js';
import { SysWatch } from './sys.js';

const openssl = promisify(execFile);
const TYPES = ['coaps', 'coap+tcp', 'coaps+tcp'] as const;

/** A certificate of 127.0.0.1 and its key. */
async function certificate(folder: string, name: string): Promise<{ cert: string; key: string }> {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await openssl('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', files.key, '-out', files.cert]);
  return files;
}

describe('CoAP over DTLS, TCP and TLS', { timeout: 180_000 }, () => {
  let portico: Portico;
  let js: JsClient;
  let sys: SysWatch;
  let trust: string[];
  const ports = new Map<string, number>();

  before(async () => {
    const folder = temporaryFolder();
    const { cert, key } = await certificate(folder, 'broker');
    trust = ['-R', cert];
    const keys = join(folder, 'psk');
    const hex = (text: string | Buffer): string => Buffer.from(text).toString('hex');
    writeFileSync(keys, `# devices\nmeter-7:${hex('sesame')}\n${IDENTITY}:${hex(KEY)}\n`);
    const passwords = join(folder, 'passwords');
    writeFileSync(passwords, '');
    assert.equal((await run('mosquitto_passwd', ['-b', passwords, 'tom', 'secret'])).code, 0);
    portico = await Portico.start((ports) => ({
      listeners: [
        ...listenersAt(ports),
        { type: 'coaps', host: '127.0.0.1', port: 0 },
        { type: 'coap+tcp', host: '127.0.0.1', port: 0 },
        { type: 'coaps+tcp', host: '127.0.0.1', port: 0, cert_file: cert, key_file: key },
      ],
      access: { psk_file: keys, psk_hint: 'portico', password_file: passwords },
      allow_anonymous: true,
    }));
    for (const type of TYPES) {
      ports.set(type, (await listening(portico, `${type} on 127.0.0.1:0`)).port);
    }
    js = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId: 'beside' });
    await js.subscribe('door/#', 1);
    sys = await SysWatch.start(portico.ports.mqtt);
  });
  after(() => portico?.dispose());

  const root = (type: (typeof TYPES)[number]): string => `${type}://127.0.0.1:${ports.get(type)}`;
  const uri = (type: (typeof TYPES)[number], path: string): string => `${root(type)}/${path}`;

  for (const client of CLIENTS) {
    test(`${client} over coaps: the identity of the key is the user name; messages go both ways`, async () => {
      const from = portico.logLines.length;
      await across(js, client, METER, root('coaps'));
      const came = await logged(portico, ({ msg }) => msg.includes('connected from'), from);
      assert.deepEqual([came.client, came.username, came.transport], ['coap-meter-7', 'meter-7', 'coaps']);
      await logged(portico, ({ reason }) => reason === 'the device closed its DTLS association', from);
    });

    test(`${client} over coaps: a wrong key and an unknown identity are not served, and are told with their reason`, async () => {
      const growth = await sys.growth(async () => {
        for (const [identity, key, reason] of [
          ['meter-7', 'not sesame', 'identity "meter-7" has another key in access.psk_file'],
          ['nobody', 'sesame', 'identity "nobody" is not in access.psk_file'],
        ]) {
          const from = portico.logLines.length;
          const { stdout } = await run(client, ['-B', '5', '-u', identity, '-k', key, uri('coaps', 'ps/door/x')]);
          assert.match(stdout.toString(), /decrypt error/i);
          const line = await logged(portico, ({ msg }) => msg.includes('handshake'), from);
          assert.match(line.msg, /^the DTLS handshake with 127\.0\.0\.1:\d+ failed: /);
          assert.equal(line.reason, reason);
          // The log has one such line a second.
          await sys.passed(1);
        }
      });
      assert.equal(growth('coap/dtlsHandshakesUnauthentic'), 2);
    });
  }

  for (const client of ['coap-client-notls', ...CLIENTS]) {
    test(`${client} over coap+tcp: messages go both ways`, () => across(js, client, [], root('coap+tcp')));
  }

  for (const client of CLIENTS) {
    test(`${client} over coaps+tcp: messages go both ways`, () => across(js, client, trust, root('coaps+tcp')));
  }

  test('topics of draft-ietf-core-coap-pubsub are made, published on and found over coaps', async () => {
    const file = join(temporaryFolder(), 'topic');
    // {0: "door/pubsub", 2: "core.ps.data", 3: 0}
    const [name, type] = ['door/pubsub', 'core.ps.data'].map((text) => Buffer.from(text).toString('hex'));
    writeFileSync(file, Buffer.from(`a3006b${name}026c${type}0300`, 'hex'));
    const own = (...args: string[]): Promise<string> => ask(CLIENTS[0], ...METER, ...args);
    await own('-m', 'post', '-t', '606', '-f', file, uri('coaps', 'pubsub'));
    assert.match(await own(uri('coaps', '.well-known/core?rt=core.ps.coll')), /^<\/pubsub>;/);
    const [, data] = /^<\/(pubsub\/data\/[^>]+)>/.exec(await own(uri('coaps', 'pubsub?rt=core.ps.data'))) ?? [];
    await own('-m', 'put', '-t', '0', '-e', '21.5', uri('coaps', String(data)));
    assert.equal((await js.next('door/pubsub')).payload.toString(), '21.5');
    assert.equal(await own(uri('coaps', String(data))), '21.5');
  });

  test('a password in a query is taken over DTLS and TLS without coap.insecure_password, not over TCP', async () => {
    const query = 'mqtt/connection?clientid=c&username=tom&password=secret';
    const post = (type: (typeof TYPES)[number], ...args: string[]): Promise<string> =>
      ask(CLIENTS[0], ...args, '-v', '3', '-m', 'post', uri(type, query));
    for (const [type, args] of [
      ['coaps', METER],
      ['coaps+tcp', trust],
    ] as const) {
      const token = await post(type, ...args);
      assert.match(token, /^[\w-]{22}$/);
      await ask(CLIENTS[0], ...args, '-m', 'delete', uri(type, `mqtt/connection?clientid=c&token=${token}`));
    }
    const { stdout, stderr } = await run(CLIENTS[0], ['-m', 'post', uri('coap+tcp', query)]);
    assert.match(stdout.toString() + stderr, /4\.01/);
    const wrong = await run(CLIENTS[0], [...trust, '-m', 'post', uri('coaps+tcp', query.replace('secret', 'guess'))]);
    assert.match(wrong.stdout.toString() + wrong.stderr, /4\.01/);
  });

  test('a device whose port changes goes on with its Connection ID: same client, observation at the new port', async (context) => {
    const from = portico.logLines.length;
    const device = await UdpDevice.connect(ports.get('coaps')!, { cid: Buffer.from('me') });
    context.after(() => device.close());
    const get = { code: '0.01', path: ['ps', 'door', 'cid'] };
    assert.equal((await device.ask({ ...get, mid: 1, token: '01', options: [[OPT.observe, 0]] })).code, '2.05');
    const before = device.port;
    await device.move();
    assert.notEqual(device.port, before);
    assert.equal(
      (await device.ask({ code: '0.02', path: ['ps', 'door', 'moved'], mid: 2, payload: 'x' })).code,
      '2.04',
    );
    await js.next('door/moved');
    await js.publish('door/cid', 'at the new port', 1);
    assert.equal((await device.next('2.05')).payload.toString(), 'at the new port');
    const came = portico.logLines.slice(from).filter(({ msg }) => msg.includes('connected from'));
    assert.equal(came.length, 1, 'one client of the broker all the while');
    device.sayGoodbye();
    await logged(portico, ({ reason }) => reason === 'the device closed its DTLS association', from);
  });

  test('a second association of an identity takes over the client of the first; who leaves is off the list', async (context) => {
    const from = portico.logLines.length;
    const { clients, associations } = await sys.now().then((value) => ({
      clients: value('clients/in_process'),
      associations: value('coap/dtlsAssociations'),
    }));
    const get = { code: '0.01', path: ['ps', 'door', 'taken'], mid: 1 };
    const first = await UdpDevice.connect(ports.get('coaps')!);
    context.after(() => first.close());
    assert.equal((await first.ask({ ...get, token: '01', options: [[OPT.observe, 0]] })).code, '2.05');
    assert.equal((await sys.now())('clients/in_process'), clients + 1);
    const second = await UdpDevice.connect(ports.get('coaps')!);
    context.after(() => second.close());
    assert.equal((await second.ask(get)).code, '4.04');
    await first.next('4.01');
    await logged(portico, ({ reason }) => String(reason).startsWith('another connection took over'), from);
    const counters = await sys.now();
    assert.equal(counters('clients/in_process'), clients + 1);
    assert.equal(counters('coap/dtlsAssociations'), associations + 2);
    for (const device of [first, second]) device.sayGoodbye();
    await sys.until('clients/in_process', (value) => value === clients, 'falls');
    await sys.until('coap/dtlsAssociations', (value) => value === associations, 'falls');
  });

  /** Registers a device, and has it commanded by mosquitto_pub over the way that it came. */
  async function registered(name: string, device: UdpDevice | TcpDevice): Promise<void> {
    const links: Wire['options'] = [
      [OPT.contentFormat, 40],
      [OPT.uriQuery, `ep=${name}`],
    ];
    device.send({ code: '0.02', path: ['rd'], mid: 1, token: '01', options: links, payload: '</lamp>;rt=light' });
    const made = await device.next('2.01');
    if (made.type === CON) device.send({ type: ACK, code: '0.00', mid: made.mid });
    await commanded(name, device);
  }

  async function commanded(name: string, device: UdpDevice | TcpDevice): Promise<void> {
    const { mqtt } = portico.ports;
    const usual = `devices/${name}/lamp/$response`;
    const listener = await Subscriber.start(mqtt, 'mqttv5', ['-q', '1', '-t', usual, '-t', 'answers']);
    for (const [more, topic] of [
      [[], usual],
      [['-D', 'publish', 'response-topic', 'answers'], 'answers'],
    ] as const) {
      await publish(mqtt, 'mqttv5', ['-q', '1', '-t', `devices/${name}/lamp/put`, '-m', 'on', ...more]);
      const asked = await device.next('0.03');
      assert.deepEqual([String(values(asked, OPT.uriPath)), String(asked.payload)], ['lamp', 'on']);
      device.send({ type: ACK, code: '2.04', mid: asked.mid, token: asked.token, payload: 'was off' });
      const told = await listener.next();
      assert.deepEqual([told.topic, told.payload], [topic, 'was off']);
    }
    await listener.end();
  }

  test('a device that registers over DTLS is commanded by mosquitto_pub over its association, also at its next port', async (context) => {
    const from = portico.logLines.length;
    const device = await UdpDevice.connect(ports.get('coaps')!, { cid: Buffer.from('me') });
    context.after(() => device.close());
    await registered('lamp-dtls', device);
    await device.move();
    device.send({ code: '0.01', path: ['ps', 'door', 'moved'], mid: 2, token: '02' });
    await device.next('4.04');
    await commanded('lamp-dtls', device);
    device.sayGoodbye();
    await logged(portico, ({ reason }) => reason === 'the device closed its DTLS association', from);
  });

  test('a device that registers over TCP is commanded by mosquitto_pub over its connection', async (context) => {
    const device = await TcpDevice.connect(ports.get('coap+tcp')!);
    context.after(() => device.close());
    await registered('lamp-tcp', device);
  });
});
