/** The limits of DTLS and TCP below CoAP that are options: each acts, counts by itself, and is told by the option's name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { HandshakeLog } from '../../src/plugins/coap-topics/handshake-log.js';
import type { CoapTopicsOptions } from '../../src/plugins/coap-topics/options.js';
import { CoapTopics } from '../../src/plugins/coap-topics/plugin.js';
import type { InProcessClient, PluginContext } from '../../src/plugins/plugin.js';
import { Tracing } from '../../src/session/tracing.js';
import { FACE_OPTIONS, faceContext } from '../support/coap-face.js';
import { Engine } from '../support/engine.js';
import { temporaryFolder } from '../support/portico.js';
import { CA, SERVER } from './dtls/certificates.js';
import { DEVICE, NOON } from './dtls/certified.js';
import { ECDSA_CCM_8, IDENTITY, KEY } from './dtls/client.js';
import { UdpDevice } from './dtls/udp-device.js';
import { OPT } from './harness.js';

const PSK = { type: 'coaps', psk: { keys: new Map([[IDENTITY, KEY]]) } } as const;
const GET = { code: '0.01', path: ['ps', 't'] } as const;

interface Door {
  readonly engine: Engine;
  readonly plugin: CoapTopics;
  readonly port: number;
  /** Clients of devices that have not shown who they are. */
  readonly strangers: InProcessClient[];
  /** Lines of the log that are no limits. */
  readonly lines: string[];
  /** The limit has acted: its counter says how often, and the log has named its option. */
  reached(option: string, counter: string, times?: number): Promise<void>;
}

async function open(
  context: TestContext,
  options: Partial<CoapTopicsOptions>,
  told: Partial<PluginContext> = {},
): Promise<Door> {
  const engine = await Engine.create();
  const limits: string[] = [];
  const lines: string[] = [];
  const strangers: InProcessClient[] = [];
  const line = (_fields: object, text: string): void => void lines.push(text);
  const plugin = new CoapTopics({ ...FACE_OPTIONS, ...options });
  await plugin.start(
    faceContext(engine.broker, {
      limit: (_party, option) => limits.push(option),
      openClient: (identity) => {
        const client = engine.broker.openClient(identity);
        strangers.push(client);
        return client;
      },
      logger: { info: line, warn: line, error: line, debug: () => {} },
      ...told,
    }),
  );
  context.after(async () => {
    await plugin.stop();
    await engine.stop();
  });
  return {
    engine,
    plugin,
    strangers,
    lines,
    port: Number(plugin.describe()[0].split(':')[1]),
    async reached(option, counter, times = 1) {
      while (plugin.counters()[counter] < times) await turn();
      assert.equal(plugin.counters()[counter], times);
      assert.deepEqual(limits.splice(0), new Array(times).fill(option));
    },
  };
}

const dtls = (
  context: TestContext,
  options: Partial<CoapTopicsOptions> = {},
  told: Partial<PluginContext> = {},
): Promise<Door> => open(context, { below: PSK, anonymous: false, ...options }, told);

async function device(context: TestContext, door: Door, options = {}): Promise<UdpDevice> {
  const made = await UdpDevice.connect(door.port, options);
  context.after(() => made.close());
  return made;
}

function clients({ engine }: Door): string[] {
  return [...engine.broker.sessions.inProcess.values()].map(({ id, username }) => `${id} ${username}`);
}

test('coap.dtls_associations: the association that has been idle longest ends, and its client with it', async (context) => {
  const door = await dtls(context, { dtls_associations: 1 });
  const first = await device(context, door);
  assert.equal((await first.ask({ ...GET, mid: 1 })).code, '4.04');
  assert.deepEqual(clients(door), ['coap-device device']);
  const second = await device(context, door);
  await first.alert(0);
  await door.reached('coap.dtls_associations', 'dtlsAssociationEvictions');
  assert.deepEqual(clients(door), []);
  assert.equal((await second.ask({ ...GET, mid: 1 })).code, '4.04');
});

test('coap.dtls_handshakes: the oldest handshake makes place for one more', async (context) => {
  const door = await dtls(context, { dtls_handshakes: 1 });
  const silent = new UdpDevice(door.port);
  context.after(() => silent.close());
  await silent.startOnly();
  await device(context, door);
  await door.reached('coap.dtls_handshakes', 'dtlsHandshakeEvictions');
});

/** Devices begin one after another until two have in one second: the option is 1. */
async function beginTooMany(context: TestContext, option: string, counter: string): Promise<void> {
  const door = await dtls(context, { [option]: 1 });
  const numbers = (): Readonly<Record<string, number>> => door.plugin.counters();
  for (let begun = 1; numbers()[counter] < 1; begun++) {
    const one = new UdpDevice(door.port);
    context.after(() => one.close());
    await one.start();
    while (numbers().dtlsHandshakesStarted + numbers()[counter] < begun) await turn();
  }
  await door.reached(`coap.${option}`, counter);
}

test('coap.dtls_handshakes_per_second: a handshake too many in a second does not begin', (context) =>
  beginTooMany(context, 'dtls_handshakes_per_second', 'dtlsHandshakesOverRate'));

test('coap.dtls_host_handshakes_per_second: nor does one too many of its host', (context) =>
  beginTooMany(context, 'dtls_host_handshakes_per_second', 'dtlsHandshakesOverHostRate'));

test('coap.dtls_handshake_time: a handshake that takes longer is forgotten', async (context) => {
  const door = await dtls(context, { dtls_handshake_time: 1 });
  const silent = new UdpDevice(door.port);
  context.after(() => silent.close());
  await silent.startOnly();
  await door.reached('coap.dtls_handshake_time', 'dtlsHandshakeTimeouts');
});

test('coap.dtls_idle_time: an idle association ends with close_notify, and its observations and client at once', async (context) => {
  const door = await dtls(context, { dtls_idle_time: 2 });
  const idle = await device(context, door);
  assert.equal((await idle.ask({ ...GET, mid: 1, token: '01', options: [[OPT.observe, 0]] })).code, '2.05');
  const { observersRegistered } = door.plugin.counters();
  assert.equal(observersRegistered, 1);
  await idle.alert(0);
  await door.reached('coap.dtls_idle_time', 'dtlsAssociationsExpired');
  assert.equal(door.plugin.counters().observersEnded, 1);
  assert.deepEqual(clients(door), []);
});

test('coap.dtls_records: an association ends when so many records were sent; the device makes a new one', async (context) => {
  const door = await dtls(context, { dtls_records: 100 });
  const busy = await device(context, door);
  for (let mid = 1; mid <= 98; mid++) assert.equal((await busy.ask({ ...GET, mid })).code, '4.04');
  busy.send({ ...GET, mid: 99 });
  await busy.alert(0);
  await door.reached('coap.dtls_records', 'dtlsAssociationsExhausted');
  assert.deepEqual(clients(door), []);
  assert.equal((await (await device(context, door)).ask({ ...GET, mid: 1 })).code, '4.04');
});

test('coap.dtls_identity: the handshake of a longer identity fails like that of an unknown one', async (context) => {
  const door = await dtls(context, { dtls_identity: 5 });
  const long = new UdpDevice(door.port);
  context.after(() => long.close());
  await long.start();
  await long.alert(51);
  await door.reached('coap.dtls_identity', 'dtlsIdentitiesTooLong');
});

test('coap.dtls_handshake_datagram: longer flights go in fragments, and the handshake is the same', async (context) => {
  const hint = 'h'.repeat(128);
  const door = await dtls(context, {
    below: { type: 'coaps', psk: { ...PSK.psk, hint } },
    dtls_handshake_datagram: 256,
  });
  const told = await device(context, door);
  assert.equal(told.client.hint, hint);
  assert.equal((await told.ask({ ...GET, mid: 1 })).code, '4.04');
});

test('a handshake that fails is logged with address and reason, and counted', async (context) => {
  for (const [identity, key, reason] of [
    [IDENTITY, Buffer.from('another'), 'identity "device" has another key in access.psk_file'],
    ['nobody', KEY, 'identity "nobody" is not in access.psk_file'],
  ] as const) {
    const door = await dtls(context);
    const stranger = new UdpDevice(door.port, { identity, key });
    context.after(() => stranger.close());
    await stranger.start();
    await stranger.alert(51);
    const where = `127.0.0.1:${stranger.port}`;
    assert.deepEqual(door.lines, [`the DTLS handshake with ${where} failed: ${reason}`]);
    assert.equal(door.plugin.counters().dtlsHandshakesUnauthentic, 1);
  }
});

test('a user that is banned whence it comes fails its handshake, and nothing tells whether its key is right', async (context) => {
  const asked: (string | undefined)[] = [];
  const failed: (string | null)[] = [];
  const told: Partial<PluginContext> = {
    isBanned: (_remote, _transport, username) => {
      asked.push(username);
      return username === IDENTITY;
    },
    loginFailed: ({ username }) => void failed.push(username),
  };
  const door = await dtls(
    context,
    {
      below: {
        type: 'coaps',
        psk: {
          keys: new Map([
            [IDENTITY, KEY],
            ['other', KEY],
          ]),
        },
      },
    },
    told,
  );
  for (const key of [KEY, Buffer.from('another')]) {
    const banned = new UdpDevice(door.port, { identity: IDENTITY, key });
    context.after(() => banned.close());
    await banned.start();
    await banned.alert(51);
  }
  assert.equal(door.plugin.counters().dtlsHandshakesUnauthentic, 2);
  assert.match(door.lines[0], /failed: identity "device" is banned from there for failed logins$/);
  // It is no guess: it would have failed with any key.
  assert.deepEqual(failed, []);
  const other = await device(context, door, { identity: 'other', key: KEY });
  assert.equal((await other.ask({ ...GET, mid: 1 })).code, '4.04');
  // The address first, at each ClientHello with a good cookie; then the user, and once more when its handshake is done.
  assert.deepEqual(asked, [undefined, IDENTITY, undefined, IDENTITY, undefined, 'other', 'other']);
});

test('a user that is banned while its handshake goes on fails it with the right key, and that counts as no guess', async (context) => {
  let asked = 0;
  const failed: (string | null)[] = [];
  const told: Partial<PluginContext> = {
    // Others fail between its key exchange and its Finished.
    isBanned: (_remote, _transport, username) => username === IDENTITY && asked++ > 0,
    loginFailed: ({ username }) => void failed.push(username),
  };
  const door = await dtls(context, {}, told);
  const late = new UdpDevice(door.port, { identity: IDENTITY, key: KEY });
  context.after(() => late.close());
  await late.start();
  await late.alert(51);
  assert.equal(asked, 2);
  assert.equal(door.plugin.counters().dtlsHandshakesUnauthentic, 1);
  assert.match(door.lines[0], /failed: identity "device" is banned from there for failed logins$/);
  assert.deepEqual(failed, []);
});

const CERTIFIED = {
  type: 'coaps',
  certificate: SERVER.credential,
  clients: { ca: [CA.x509], required: false, now: () => NOON },
} as const;
const BY_CERTIFICATE = { suites: [ECDSA_CCM_8], credential: DEVICE.credential };

test('a certificate that is refused is logged as one, also where there are keys', async (context) => {
  for (const [type, alert, reason] of [
    // CertificateVerify, Finished.
    [15, 51, 'bad signature, certificate of "device"'],
    [20, 51, 'bad Finished, identity "device"'],
  ]) {
    const door = await dtls(context, { below: { ...PSK, ...CERTIFIED } });
    const spoil = (body: Buffer): Buffer => Buffer.concat([body.subarray(0, -1), Buffer.from([body.at(-1)! ^ 1])]);
    const thief = new UdpDevice(door.port, {
      ...BY_CERTIFICATE,
      ...(type === 20 ? { finished: spoil } : { change: (one, body) => (one === type ? spoil(body) : body) }),
    });
    context.after(() => thief.close());
    await thief.start();
    await thief.alert(Number(alert));
    assert.deepEqual(door.lines, [`the DTLS handshake with 127.0.0.1:${thief.port} failed: ${reason}`]);
  }
});

test('a device with a certificate is the user of its common name; one without is served where anonymous devices are', async (context) => {
  for (const anonymous of [true, false]) {
    const door = await dtls(context, { below: { ...PSK, ...CERTIFIED }, anonymous });
    const known = await device(context, door, BY_CERTIFICATE);
    assert.equal((await known.ask({ ...GET, mid: 1 })).code, '4.04');
    assert.deepEqual(clients(door), ['coap-device device']);
    const stranger = await device(context, door, { suites: [ECDSA_CCM_8] });
    assert.equal((await stranger.ask({ ...GET, mid: 1 })).code, anonymous ? '4.04' : '4.01');
    const keyed = await device(context, door, { identity: IDENTITY, key: KEY });
    assert.equal((await keyed.ask({ ...GET, mid: 1 })).code, '4.04');
  }
});

test('the client of an anonymous device over DTLS ends with its association', async (context) => {
  const door = await dtls(context, { below: CERTIFIED, anonymous: true });
  const stranger = await device(context, door, { suites: [ECDSA_CCM_8] });
  assert.equal((await stranger.ask({ ...GET, mid: 1 })).code, '4.04');
  assert.deepEqual(
    door.strangers.map(({ username, closed }) => [username, closed]),
    [[null, false]],
  );
  stranger.sayGoodbye();
  while (door.plugin.counters().dtlsAssociationsClosed < 1) await turn();
  assert.ok(door.strangers[0]?.closed);
});

test('at most one line a second is about handshakes; it says how many others have failed since the last one', () => {
  const lines: string[] = [];
  let now = 0;
  const logger = { info() {}, error() {}, debug() {}, warn: (_: object, text: string) => void lines.push(text) };
  const log = new HandshakeLog({ logger, tracing: new Tracing() }, () => now);
  for (const at of [0, 1, 999, 1000, 2500]) {
    now = at;
    log.failed('TLS', `192.0.2.1:${at}`, 'no reason');
  }
  assert.deepEqual(lines, [
    'the TLS handshake with 192.0.2.1:0 failed: no reason',
    'the TLS handshake with 192.0.2.1:1000 failed: no reason (and 2 others since the last line)',
    'the TLS handshake with 192.0.2.1:2500 failed: no reason',
  ]);
});

test('close_notify, and a new association at the same address, end observations and the client of the broker at once', async (context) => {
  const door = await dtls(context);
  const leaving = await device(context, door);
  assert.equal((await leaving.ask({ ...GET, mid: 1, token: '01', options: [[OPT.observe, 0]] })).code, '2.05');
  assert.deepEqual(clients(door), ['coap-device device']);
  leaving.sayGoodbye();
  while (door.plugin.counters().observersEnded < 1) await turn();
  assert.deepEqual(clients(door), []);
  assert.equal(door.plugin.counters().dtlsAssociationsClosed, 1);
});

// --- TCP --------------------------------------------------------------------------------------------------------------

const CSM = Buffer.from([0x00, 0xe1]);

const tcp = (context: TestContext, options: Partial<CoapTopicsOptions>): Promise<Door> =>
  open(context, { below: { type: 'coap+tcp' }, ...options });

async function connection(context: TestContext, { port }: Door): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  context.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

test('coap.tcp_connections: one connection too many is closed at once', async (context) => {
  const door = await tcp(context, { tcp_connections: 1 });
  const first = await connection(context, door);
  await once(first, 'data');
  const second = await connection(context, door);
  await once(second.resume(), 'close');
  await door.reached('coap.tcp_connections', 'tcpRefusedConnections');
});

test('coap.tcp_open_time: a connection without Capabilities and Settings Message is closed', async (context) => {
  const door = await tcp(context, { tcp_open_time: 1 });
  const silent = await connection(context, door);
  await once(silent.resume(), 'close');
  await door.reached('coap.tcp_open_time', 'tcpOpenTimeouts');
});

test('coap.tcp_idle_time: a silent connection is asked with a Ping, and closed', async (context) => {
  const door = await tcp(context, { tcp_idle_time: 1 });
  const silent = await connection(context, door);
  silent.write(CSM);
  const came: Buffer[] = [];
  silent.on('data', (chunk) => came.push(chunk));
  await once(silent, 'close');
  assert.ok(Buffer.concat(came).includes(Buffer.from([0x00, 0xe2])), 'Ping');
  await door.reached('coap.tcp_idle_time', 'tcpIdleTimeouts');
});

test('coap.tcp_message: a larger message ends its connection', async (context) => {
  const door = await tcp(context, { tcp_message: 2000 });
  const large = await connection(context, door);
  // PUT with a length of 269 + 2000.
  large.write(Buffer.concat([CSM, Buffer.from([0xe0, 2000 >> 8, 2000 & 255, 0x03])]));
  await once(large.resume(), 'close');
  await door.reached('coap.tcp_message', 'tcpMessagesTooLarge');
});

test('coap.tcp_unfinished: when unfinished messages of all take more, the connection with the largest ends', async (context) => {
  const door = await tcp(context, { tcp_unfinished: 64 * 1024 });
  /** A PUT of 60,000 bytes, and as much of it. */
  const part = (bytes: number): Buffer =>
    Buffer.concat([
      CSM,
      Buffer.from([0xe0, (60_000 - 269) >> 8, (60_000 - 269) & 255, 0x03]),
      Buffer.alloc(bytes, 0xff),
    ]);
  const small = await connection(context, door);
  small.write(part(15_000));
  const large = await connection(context, door);
  large.write(part(59_000));
  await once(large.resume(), 'close');
  await door.reached('coap.tcp_unfinished', 'tcpUnfinishedEvictions');
  // The other one is read on, and answered.
  small.write(Buffer.alloc(45_000, 0xff));
  const codes: number[] = [];
  for await (const chunk of small as AsyncIterable<Buffer>) {
    codes.push(...[...chunk].filter((byte) => byte >> 5 === 4));
    if (codes.length > 0) break;
  }
});

test('coap.tcp_output: NON notifications to a client that does not read are dropped', async (context) => {
  const door = await tcp(context, { tcp_output: 16_384, notification: 'non', notification_interval: 0 });
  const deaf = await connection(context, door);
  // GET /ps/t with Observe 0 and a token.
  deaf.write(Buffer.concat([CSM, Buffer.from([0x61, 0x01, 0xaa, 0x60, 0x52, 0x70, 0x73, 0x01, 0x74])]));
  while (door.plugin.counters().observersRegistered < 1) await turn();
  deaf.pause();
  const publisher = door.engine.broker.openClient({ id: 'p', remote: '', transport: 'internal' });
  const payload = Buffer.alloc(1000, 'x');
  while (door.plugin.counters().tcpDroppedMessages < 1) {
    publisher.publish('t', payload, { qos: 0 }, null);
    await turn();
  }
  await door.reached('coap.tcp_output', 'tcpDroppedMessages');
});

async function tls(context: TestContext, options: Partial<CoapTopicsOptions>): Promise<Door> {
  const folder = temporaryFolder();
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=x'];
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const certificate = { cert: readFileSync(cert), key: readFileSync(key) };
  return open(context, { below: { type: 'coaps+tcp', certificate }, ...options });
}

test('coap.tcp_open_time: a TLS handshake that takes longer ends, too', async (context) => {
  const door = await tls(context, { tcp_open_time: 1 });
  const silent = await connection(context, door);
  await once(silent.resume(), 'close');
  await door.reached('coap.tcp_open_time', 'tcpOpenTimeouts');
  assert.equal(door.plugin.counters().tcpHandshakesFailed, 0);
});

test('a TLS handshake that fails is logged with address and reason, and counted; so is one that is broken off', async (context) => {
  for (const [end, reason] of [
    [(socket: Socket) => socket.write('no handshake'), 'wrong version number'],
    [(socket: Socket) => socket.end(), 'the client closed the connection'],
  ] as const) {
    const door = await tls(context, {});
    const client = await connection(context, door);
    const { localPort } = client;
    end(client);
    while (door.plugin.counters().tcpHandshakesFailed < 1) await turn();
    assert.deepEqual(door.lines, [`the TLS handshake with 127.0.0.1:${localPort} failed: ${reason}`]);
    assert.equal(door.plugin.counters().tcpHandshakesFailed, 1);
  }
});
