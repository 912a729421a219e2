/** What fuzzing has found, each with the shortest input that shows it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import { loadConfig } from '../../src/config/load.js';
import { PorticoError } from '../../src/errors.js';
import { readProxyHeader } from '../../src/listeners/proxy-protocol.js';
import { TrustedProxies } from '../../src/listeners/trusted-proxies.js';
import { WebSocketListener } from '../../src/listeners/websocket.js';
import { addressText } from '../../src/session/remote.js';
import { decodePacket } from '../../src/store/aedes-packets.js';
import { Family, MAX_NUMBER, queueRangeFrom, sessionKey, sessionRange, versionKey } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import { decodeMessage, encodeMessage, encodeSession } from '../../src/store/records.js';
import { Engine } from '../support/engine.js';
import { Recorder } from '../wire/recorder.js';
import { scratchFile } from './scratch.js';

test('what is wrong with a packet does not depend on how its bytes are cut', () => {
  // Not CONNECT, and a Remaining Length of five bytes.
  const stream = Buffer.from('b7b7b7b7b7b7', 'hex');
  const reasons = [1, 2, 3, 6].map((size) => {
    const recorder = new Recorder('client', 5);
    for (let at = 0; at < stream.length; at += size) recorder.parser.push(stream.subarray(at, at + size));
    return recorder.errors.map(({ reasonCode }) => reasonCode);
  });
  assert.deepEqual(reasons, [[0x82], [0x82], [0x82], [0x82]]);
});

test('a WebSocket that sends text and then what is no frame is one broken connection, not two', async () => {
  const refusals: string[] = [];
  const listener = new WebSocketListener('127.0.0.1', 0, {
    path: null,
    maxConnectSize: 1000,
    connectTimeout: 60,
    enter: () => ({ address: null, pending: true, admitted: false, gone: false }),
    leave: () => {},
    accept: (transport) => {
      transport.handler = { onData() {}, onDrain() {}, onClose() {} };
    },
    refused: (_cause, _remote, reason) => refusals.push(reason),
  });
  await listener.listen();
  const socket = connect(Number(listener.address.split(':').at(-1)), '127.0.0.1').resume();
  socket.on('error', () => {});
  const upgrade = [
    'GET / HTTP/1.1',
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: mqtt',
    `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`,
  ];
  socket.write([...upgrade, '', ''].join('\r\n'));
  await once(socket, 'data');
  const closed = once(socket, 'close');
  // A masked text frame, and one with a reserved bit.
  socket.write(Buffer.from('818100000000' + '78' + 'c28200000000c000', 'hex'));
  await closed;
  await listener.close();
  assert.deepEqual(refusals, ['a text frame']);
});

/** The faults of a configuration. */
function faultsOf(text: string): string[] {
  const file = scratchFile('portico.yaml');
  writeFileSync(file, text);
  try {
    loadConfig({ file, env: {} });
    return [];
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_CONFIGURATION', error as Error);
    return error.message.split('\n').map((line) => line.replace(file, 'FILE'));
  }
}

test('an alias that stands inside of what it stands for is a fault of the configuration', () => {
  const sentence = '*a stands inside of what it stands for';
  assert.deepEqual(faultsOf('listeners: &a [*a]\n'), [`FILE:1: ${sentence}`]);
  assert.deepEqual(faultsOf('mqtt: &a\n  b:\n    - *a\n'), [`FILE:3: ${sentence}`]);
});

test('a key that is no word is a fault of the configuration, and no warning of the process', async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => {
    warnings.push(warning);
  };
  process.on('warning', warned);
  assert.deepEqual(faultsOf('? [a, b]\n: c\n'), ['FILE:1: a key must be a word']);
  assert.deepEqual(faultsOf('mqtt: &a {}\n*a : c\n'), ['FILE:2: a key must be a word']);
  // Warnings are told a turn later.
  await new Promise<void>((resolve) => setImmediate(resolve));
  process.off('warning', warned);
  assert.deepEqual(warnings, []);
});

test('a stored packet of Aedes that is a date or a list is refused', () => {
  for (const value of [new Date(0), [1], new Map()]) {
    const stored = Buffer.concat([Buffer.from([1]), serialize(value)]);
    assert.throws(() => decodePacket(stored), { code: 'PORTICO_STORE_VALUE' });
  }
});

/** Starts a broker on a store, has a session opened that is kept, and returns the codes of what was told. */
async function toldOf(store: MemoryStore): Promise<unknown[]> {
  await store.write([{ type: 'put', key: versionKey(), value: Buffer.from([1]) }], true);
  const told: unknown[] = [];
  const engine = await Engine.create({
    store,
    journal: {
      connected() {},
      disconnected() {},
      refused() {},
      loginFailed() {},
      denied() {},
      subscribed() {},
      unsubscribed() {},
      limit() {},
      storeFailed: (error) => told.push(error instanceof PorticoError ? error.code : error),
      internalFault: (error) => told.push(error),
      storeSilent() {},
      storeRecovered() {},
      syncFailed() {},
      syncRecovered() {},
      storeDamaged() {},
      storeTorn() {},
    },
  });
  const client = await engine.connect({ clean: false });
  await client.subscribe('a', 1);
  await engine.stop();
  return told;
}

test('a key of the store that is cut short is told of, and the broker starts', async () => {
  const store = new MemoryStore();
  const families = [Family.Subscription, Family.Flow, Family.Queue];
  const value = Buffer.from([1]);
  const keys = families.map((family) => Buffer.from([family, 0, 0]));
  await store.write(
    keys.map((key) => ({ type: 'put', key, value })),
    true,
  );
  assert.deepEqual(
    await toldOf(store),
    keys.map(() => 'PORTICO_STORE_VALUE'),
  );
});

test('a stored session number that leaves no room for others is told of, and new sessions open', async () => {
  const store = new MemoryStore();
  const value = encodeSession({
    number: MAX_NUMBER,
    expiryInterval: 100,
    connected: false,
    disconnectedAt: 1_700_000_000_000,
    version: 5,
    sharing: false,
  });
  await store.write([{ type: 'put', key: sessionKey('other'), value }], true);
  assert.deepEqual(await toldOf(store), ['PORTICO_STORE_VALUE']);
});

test('the range of the largest session number ends with its family', () => {
  const { gte, lt } = sessionRange(Family.Queue, MAX_NUMBER);
  assert.deepEqual([gte, lt], [Buffer.from([Family.Queue, ...Buffer.alloc(6, 0xff)]), Buffer.from([Family.Queue + 1])]);
  assert.deepEqual(queueRangeFrom(MAX_NUMBER, 1).lt, lt);
});

test('an IPv6 address that only begins like an IPv4 address mapped to it is not cut', () => {
  assert.equal(addressText('::ffff:203.0.113.9', 1), '203.0.113.9:1');
  for (const address of ['::ffff:1f:102:304', '::ffff:0:cb00:7109', '::ffff:1:2:3:4']) {
    assert.equal(addressText(address, 1), `[${address}]:1`);
  }
  const header = readProxyHeader(Buffer.from('PROXY TCP6 ::ffff:0:203.0.113.9 ::1 1 2\r\n'), 'v1');
  assert.match(header?.source ?? '', /^\[::ffff:0:.*\]:1$/);
  const request = { headers: { 'x-forwarded-for': '::ffff:1f:1.2.3.4' } } as unknown as IncomingMessage;
  assert.equal(new TrustedProxies([]).clientOf(request), '[::ffff:1f:102:304]:0');
});

test('a stored message that names no listener, in the form of those that do, is read as what is written again', () => {
  const stored = Buffer.from(`81006c00000000006eb6ed2bb7df9c${'00'.repeat(23)}`, 'hex');
  const message = decodeMessage(stored);
  assert.deepEqual(message.source, { id: '', username: null });
  assert.deepEqual(decodeMessage(encodeMessage(message)), message);
});
