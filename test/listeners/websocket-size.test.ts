/** `mqtt.max_connect_size` and `mqtt.max_packet_size` over WebSocket: a frame is no larger either. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { WebSocketListener, type WebSocketOptions } from '../../src/listeners/websocket.js';

/** A listener that lets everybody in, but for what a test says. */
function listenerWith(options: Partial<WebSocketOptions>): WebSocketListener {
  return new WebSocketListener('127.0.0.1', 0, {
    path: null,
    maxConnectSize: 100_000,
    connectTimeout: 10,
    enter: () => ({ address: null, pending: true, admitted: false, gone: false }),
    leave: () => {},
    accept: () => {},
    refused: () => {},
    ...options,
  });
}

for (const [accepted, option, size, cause] of [
  [false, 'mqtt.max_connect_size', 500, 'connect size'],
  [true, 'mqtt.max_packet_size', 1000, 'size'],
] as const) {
  test(`a frame larger than ${option} closes its connection, and the reason names the option`, async () => {
    const refused: [string, string][] = [];
    const sizes: number[] = [];
    const listener = listenerWith({
      maxConnectSize: 500,
      accept: (transport) => {
        if (accepted) transport.accept(1000);
        transport.handler = { onData: ({ length }) => sizes.push(length), onDrain() {}, onClose() {} };
      },
      refused: (why, _remote, reason) => refused.push([why, reason]),
    });
    await listener.listen();
    const client = new WebSocket(`ws://${listener.address}`, 'mqtt');
    await once(client, 'open');
    client.send(Buffer.alloc(size));
    client.send(Buffer.alloc(size + 1));
    const [code] = await once(client, 'close');
    assert.equal(code, 1009);
    assert.deepEqual(sizes, [size]);
    assert.deepEqual(refused, [[cause, `a frame larger than ${option}`]]);
    await listener.close();
  });
}

test('a message of more than 1024 fragments closes its connection, and is counted', async () => {
  const refused: [string, string][] = [];
  const listener = listenerWith({ refused: (why, _remote, reason) => refused.push([why, reason]) });
  await listener.listen();
  const client = new WebSocket(`ws://${listener.address}`, 'mqtt');
  await once(client, 'open');
  for (let i = 0; i <= 1024; i++) client.send('x', { binary: true, fin: false });
  const [code] = await once(client, 'close');
  assert.equal(code, 1008);
  assert.deepEqual(refused, [['protocol', 'Too many message fragments']]);
  await listener.close();
});

test('a connection that asks for a WebSocket, is refused and takes no answer is closed', async () => {
  const left = new Promise<void>((resolve) => {
    const listener = listenerWith({ connectTimeout: 1, leave: () => void listener.close().then(resolve) });
    void listener.listen().then(() => {
      const [host, port] = listener.address.split(':');
      const socket = connect(Number(port), host);
      socket.on('error', () => {});
      const head = 'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: other\r\n\r\n';
      // The answers before it fill what the system takes of a client that does not read.
      socket.pause();
      socket.write(`${'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(60_000)}GET / HTTP/1.1\r\n${head}`);
    });
  });
  await left;
});

test('pings whose answers are not taken close the connection, which is counted', async () => {
  const events = new EventEmitter();
  const told = once(events, 'refused');
  const listener = listenerWith({ refused: (why, _remote, reason) => events.emit('refused', `${why}: ${reason}`) });
  await listener.listen();
  const client = new WebSocket(`ws://${listener.address}`, 'mqtt');
  client.on('error', () => {});
  await once(client, 'open');
  client.ping('answered');
  assert.equal(String((await once(client, 'pong'))[0]), 'answered');
  client.pause();
  const data = Buffer.alloc(125);
  // As many as fill what the system takes of a client that does not read, and more.
  const flood = (): void => {
    for (let i = 0; i < 1000 && client.readyState === WebSocket.OPEN; i++) client.ping(data);
    if (client.readyState === WebSocket.OPEN) setImmediate(flood);
  };
  flood();
  assert.deepEqual(await told, ['protocol: pings whose answers are not taken']);
  client.terminate();
  await listener.close();
});
