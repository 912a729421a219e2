/** `mqtt.max_connect_size` and `mqtt.max_packet_size` over WebSocket: a frame is no larger either. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { WebSocketListener } from '../../src/listeners/websocket.js';

for (const [accepted, option, size, cause] of [
  [false, 'mqtt.max_connect_size', 500, 'connect size'],
  [true, 'mqtt.max_packet_size', 1000, 'size'],
] as const) {
  test(`a frame larger than ${option} closes its connection, and the reason names the option`, async () => {
    const refused: [string, string][] = [];
    const sizes: number[] = [];
    const listener = new WebSocketListener('127.0.0.1', 0, {
      path: null,
      maxConnectSize: 500,
      connectTimeout: 10,
      enter: () => ({ address: null, pending: true, admitted: false, gone: false }),
      leave: () => {},
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
