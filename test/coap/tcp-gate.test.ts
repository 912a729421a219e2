/** Limits of connections of all listeners, where CoAP comes over TCP and TLS: they hold as for MQTT, together with it. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { CoapTopicsOptions } from '../../src/plugins/coap-topics/options.js';
import { CoapTopics } from '../../src/plugins/coap-topics/plugin.js';
import type { SessionOptions } from '../../src/session/environment.js';
import { FACE_OPTIONS, faceContext } from '../support/coap-face.js';
import { Engine } from '../support/engine.js';
import { limitsOf } from '../support/limits.js';
import { Made } from './dtls/certificates.js';

/** Capabilities and Settings Message; GET /ps/t, and the answer 4.04 to it. */
const CSM = Buffer.from([0x00, 0xe1]);
const ABORT = 0xe5;
const GET = Buffer.from([0x51, 0x01, 0xaa, 0xb2, 0x70, 0x73, 0x01, 0x74]);
const NOT_FOUND = Buffer.from([0x01, 0x84, 0xaa]);

const DAY = 86_400_000;
const SERVER = new Made({ names: ['server'], from: Date.now() - DAY, to: Date.now() + DAY });

const TRANSPORTS = {
  'coap+tcp': { type: 'coap+tcp' },
  'coaps+tcp': {
    type: 'coaps+tcp',
    certificate: {
      cert: Buffer.from(String(new X509Certificate(SERVER.der))),
      key: Buffer.from(SERVER.keys.privateKey.export({ type: 'pkcs8', format: 'pem' })),
    },
  },
} as const;

interface Door {
  readonly engine: Engine;
  readonly plugin: CoapTopics;
  /** Options that limits were logged with. */
  readonly limits: string[];
  /** A device that says nothing of its own accord. */
  device(address?: string): Device;
}

class Device {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
    });
    socket.on('close', () => {
      this.#closed = true;
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Says what it can, and asks. */
  ask(): this {
    this.socket.write(Buffer.concat([CSM, GET]));
    return this;
  }

  /** Whether it has an answer by now. */
  get served(): boolean {
    return this.#bytes.includes(NOT_FOUND);
  }

  async answered(): Promise<this> {
    while (!this.served) {
      assert.ok(!this.#closed, 'the connection ended without an answer');
      await turn();
    }
    return this;
  }

  /** Whether an Abort was the last message. */
  async refused(): Promise<boolean> {
    while (!this.#closed) await turn();
    return this.#bytes.subarray(2).includes(ABORT);
  }

  end(): void {
    this.socket.destroy();
  }
}

async function open(
  context: TestContext,
  type: keyof typeof TRANSPORTS,
  session: Partial<SessionOptions>,
  options: Partial<CoapTopicsOptions> = {},
): Promise<Door> {
  const engine = await Engine.create({ session });
  const limits = limitsOf(engine);
  const plugin = new CoapTopics({ ...FACE_OPTIONS, below: TRANSPORTS[type], ...options });
  await plugin.start(
    faceContext(engine.broker, {
      limit: (party, option, detail) => engine.broker.environment.journal.limit(party, option, detail),
    }),
  );
  const port = Number(plugin.describe()[0].split(/:(?=\d+$)/)[1]);
  const devices: Device[] = [];
  context.after(async () => {
    for (const one of devices) one.end();
    await plugin.stop();
    await engine.stop();
  });
  return {
    engine,
    plugin,
    limits,
    device(address = '127.0.0.1') {
      const to = { host: '127.0.0.1', port, localAddress: address, rejectUnauthorized: false };
      const one = new Device(type === 'coap+tcp' ? connect(to) : connectTls(to));
      devices.push(one);
      return one;
    },
  };
}

/** Connections that the listener holds are seen there. */
async function pending({ engine }: Door, count: number): Promise<void> {
  while (engine.broker.environment.gate.pending !== count) await turn();
}

for (const type of ['coap+tcp', 'coaps+tcp'] as const) {
  test(`${type}: a client beyond limits.connections_per_address is refused with Abort, at its Capabilities and Settings Message`, async (context) => {
    const door = await open(context, type, { connectionsPerAddress: 2 });
    const first = await door.device().ask().answered();
    await door.device().ask().answered();
    assert.equal(await door.device().ask().refused(), true);
    assert.equal(door.engine.broker.counters.refusedAddress, 1);
    assert.deepEqual(door.limits, ['limits.connections_per_address']);
    assert.equal(door.plugin.counters().tcpAbortedConnections, 0, 'it is no fault of the device');
    await door.device('127.0.0.2').ask().answered();
    first.end();
    while (door.plugin.counters().tcpConnectionsClosed < 2) await turn();
    await door.device().ask().answered();
  });

  test(`${type}: connections beyond limits.pending_connections are closed at once; those that have opened make room`, async (context) => {
    const door = await open(context, type, { pendingConnections: 2 });
    const first = door.device();
    const second = door.device();
    await pending(door, 2);
    await door.device().refused();
    assert.deepEqual(door.limits, ['limits.pending_connections']);
    assert.equal(door.engine.broker.counters.refusedPending, 1);
    await first.ask().answered();
    await pending(door, 1);
    const third = door.device();
    await pending(door, 2);
    second.end();
    third.end();
    await pending(door, 0);
    assert.equal(first.closed, false);
  });

  test(`${type}: connections beyond limits.connects_per_second wait, TLS and all, and are served in their order`, async (context) => {
    const door = await open(context, type, { connectsPerSecond: 1 });
    const { counters } = door.engine.broker;
    const devices = [];
    for (let i = 0; i < 3; i++) {
      devices.push(door.device().ask());
      await pending(door, Math.max(1, i));
      while (counters.delayedConnections < i) await turn();
      if (i === 0) {
        await devices[0].answered();
        await pending(door, 0);
      }
    }
    assert.deepEqual(
      devices.map(({ served }) => served),
      [true, false, false],
    );
    assert.deepEqual(door.limits, new Array(2).fill('limits.connects_per_second'));
    door.engine.pass(1);
    await devices[1].answered();
    assert.equal(devices[2].served, false);
    door.engine.pass(1);
    await devices[2].answered();
  });

  test(`${type}: a connection that waits for limits.connects_per_second until coap.tcp_open_time is closed, and counted`, async (context) => {
    const door = await open(context, type, { connectsPerSecond: 1 }, { tcp_open_time: 1 });
    await door.device().ask().answered();
    await door.device().ask().refused();
    assert.equal(door.plugin.counters().tcpOpenTimeouts, 1);
    assert.deepEqual(door.limits, ['limits.connects_per_second', 'coap.tcp_open_time']);
    await pending(door, 0);
  });
}

test('connections of one address that say nothing are closed at once beyond twice limits.connections_per_address', async (context) => {
  const door = await open(context, 'coap+tcp', { connectionsPerAddress: 1 });
  const silent = [door.device(), door.device()];
  await pending(door, 2);
  await door.device().refused();
  assert.deepEqual(door.limits, ['limits.connections_per_address']);
  assert.deepEqual(
    silent.map(({ closed }) => closed),
    [false, false],
  );
  await door.device('127.0.0.2').ask().answered();
});

test('a client of MQTT and a device over TCP at one address count together for limits.connections_per_address', async (context) => {
  const door = await open(context, 'coap+tcp', { connectionsPerAddress: 1 });
  const client = await door.engine.connect({ clientId: 'a' }, '127.0.0.1:1');
  assert.equal(client.connack.returnCode, 0);
  assert.equal(await door.device().ask().refused(), true);
  await door.engine.cut(client);
  await door.device().ask().answered();
  assert.equal((await door.engine.connect({ clientId: 'b' }, '127.0.0.1:2')).connack.returnCode, 3);
});

test('an IPv4 device at a listener of all addresses counts by its IPv4 address', async (context) => {
  const door = await open(context, 'coap+tcp', { connectionsPerAddress: 1 }, { host: '::' });
  await door.device().ask().answered();
  await door.device('127.0.0.2').ask().answered();
  assert.equal(await door.device('127.0.0.2').ask().refused(), true);
});
