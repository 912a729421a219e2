/** `mqtt.max_packet_size` over WebSocket: a frame is no larger either. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { WebSocketListener } from '../../src/listeners/websocket.js';

test('a frame larger than mqtt.max_packet_size closes its connection, and the reason names the option', async () => {
  const refused: [string, string][] = [];
  const listener = new WebSocketListener('127.0.0.1', 0, {
    path: null,
    maxPayload: 1000,
    connectTimeout: 10,
    accept: (transport) => {
      transport.handler = { onData: () => assert.fail('it is not handed on'), onDrain() {}, onClose() {} };
    },
    refused: (cause, _remote, reason) => refused.push([cause, reason]),
  });
  await listener.listen();
  const client = new WebSocket(`ws://${listener.address}`, 'mqtt');
  await once(client, 'open');
  client.send(Buffer.alloc(1001));
  const [code] = await once(client, 'close');
  assert.equal(code, 1009);
  assert.deepEqual(refused, [['size', 'a frame larger than mqtt.max_packet_size']]);
  await listener.close();
});
