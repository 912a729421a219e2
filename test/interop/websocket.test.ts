import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { generate, type Packet, parser } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { Portico } from '../support/portico.js';
import { Inbox } from './inbox.js';
import { connectPacket } from './raw.js';

describe('MQTT over WebSocket', { timeout: 60_000 }, () => {
  let portico: Portico;
  const url = (path = '/'): string => `ws://127.0.0.1:${portico.ports.websocket}${path}`;

  before(async () => {
    portico = await Portico.start();
  });
  after(() => portico.dispose());

  /** An open WebSocket and the MQTT packets that arrive over it. */
  async function open(path?: string, protocols: string | string[] = 'mqtt'): Promise<[WebSocket, Inbox<Packet>]> {
    const socket = new WebSocket(url(path), protocols);
    const packets = new Inbox<Packet>('packets over WebSocket');
    const reader = parser({ protocolVersion: 4 });
    reader.on('packet', (packet) => packets.put(packet));
    socket.on('message', (data, isBinary) => {
      assert.ok(isBinary, 'the broker sends binary frames only [MQTT-6.0.0-1]');
      reader.parse(data as Buffer);
    });
    socket.on('close', (code) => packets.end(`closed with ${code}`));
    await once(socket, 'open');
    return [socket, packets];
  }

  for (const [offered, chosen] of [
    [['mqtt'], 'mqtt'],
    [['mqttv3.1'], 'mqttv3.1'],
    [['chat', 'mqtt'], 'mqtt'],
  ] as const) {
    test(`a client that offers ${offered.join(' and ')} gets ${chosen} [MQTT-6.0.0-4]`, async () => {
      const [socket, packets] = await open('/', [...offered]);
      assert.equal(socket.protocol, chosen);
      socket.send(generate(connectPacket({ clientId: 'ws-protocol' })));
      assert.equal((await packets.next()).cmd, 'connack');
      socket.terminate();
    });
  }

  test('a client that offers no sub-protocol of MQTT is refused', async () => {
    const socket = new WebSocket(url(), 'chat');
    socket.on('error', () => {});
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    assert.equal(response.statusCode, 400);
    socket.terminate();
  });

  for (const path of ['/', '/mqtt', '/ws', '/any/path%20at?all=1']) {
    test(`the path ${path} is served`, async () => {
      const [socket, packets] = await open(path);
      socket.send(generate(connectPacket({ clientId: 'ws-path' })));
      assert.equal((await packets.next()).cmd, 'connack');
      socket.terminate();
    });
  }

  test('a text frame closes the connection with 1003 [MQTT-6.0.0-1]', async () => {
    const [socket, packets] = await open();
    socket.send(generate(connectPacket({ clientId: 'ws-text' })));
    assert.equal((await packets.next()).cmd, 'connack');
    const closed = once(socket, 'close');
    socket.send('text');
    assert.equal((await closed)[0], 1003);
  });

  test('a text frame before CONNECT closes the connection with 1003', async () => {
    const [socket] = await open();
    const closed = once(socket, 'close');
    socket.send(generate(connectPacket({ clientId: 'ws-text-first' })).toString('latin1'));
    assert.equal((await closed)[0], 1003);
  });

  test('nothing that follows a text frame is taken', async () => {
    const [watcher, seen] = await open();
    watcher.send(generate(connectPacket({ clientId: 'ws-text-watcher' })));
    assert.equal((await seen.next()).cmd, 'connack');
    watcher.send(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'ws/text', qos: 0 }] }));
    assert.equal((await seen.next()).cmd, 'suback');
    const [socket, packets] = await open();
    socket.send(generate(connectPacket({ clientId: 'ws-text-then' })));
    assert.equal((await packets.next()).cmd, 'connack');
    const closed = once(socket, 'close');
    socket.send('text');
    socket.send(generate({ cmd: 'publish', topic: 'ws/text', payload: 'late', qos: 0, retain: false, dup: false }));
    await closed;
    watcher.send(generate({ cmd: 'pingreq' }));
    assert.equal((await seen.next()).cmd, 'pingresp');
    watcher.terminate();
  });

  test('packets are split over frames, share a frame, and lie across message fragments [MQTT-6.0.0-2]', async () => {
    const [socket, packets] = await open();
    const connect = generate(connectPacket({ clientId: 'ws-split' }));
    for (const byte of connect) socket.send(Uint8Array.of(byte));
    assert.equal((await packets.next()).cmd, 'connack');

    const subscribe = generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'ws/split', qos: 1 }] });
    const publish = (payload: string, messageId: number): Buffer =>
      generate({ cmd: 'publish', topic: 'ws/split', payload, qos: 1, messageId, retain: false, dup: false });
    // One frame with a SUBSCRIBE, a PUBLISH and the first half of another PUBLISH.
    const second = publish('second', 3);
    socket.send(Buffer.concat([subscribe, publish('first', 2), second.subarray(0, 7)]));
    socket.send(second.subarray(7));
    // One WebSocket message in three fragments with one and a half packets in each.
    const tail = Buffer.concat([publish('third', 4), publish('fourth', 5)]);
    socket.send(tail.subarray(0, 10), { fin: false });
    socket.send(tail.subarray(10, 30), { fin: false });
    socket.send(tail.subarray(30), { fin: true });

    const payloads: string[] = [];
    const acknowledged: number[] = [];
    assert.equal((await packets.take(({ cmd }) => cmd === 'suback', 'SUBACK')).cmd, 'suback');
    while (payloads.length < 4 || acknowledged.length < 4) {
      const packet = await packets.next();
      if (packet.cmd === 'publish') payloads.push(packet.payload.toString());
      else if (packet.cmd === 'puback') acknowledged.push(packet.messageId ?? 0);
    }
    assert.deepEqual(payloads, ['first', 'second', 'third', 'fourth']);
    assert.deepEqual(acknowledged, [2, 3, 4, 5]);
    socket.terminate();
  });

  test('a WebSocket ping is answered', async () => {
    const [socket] = await open();
    const pong = once(socket, 'pong');
    socket.ping('are you there');
    assert.equal(String((await pong)[0]), 'are you there');
    socket.terminate();
  });

  test('DISCONNECT closes the WebSocket in order', async () => {
    const [socket, packets] = await open();
    socket.send(generate(connectPacket({ clientId: 'ws-bye' })));
    assert.equal((await packets.next()).cmd, 'connack');
    const closed = once(socket, 'close');
    socket.send(generate({ cmd: 'disconnect' }));
    assert.equal((await closed)[0], 1000);
  });

  test('a frame beyond mqtt.max_packet_size closes the connection with 1009', async () => {
    const [socket, packets] = await open();
    socket.send(generate(connectPacket({ clientId: 'ws-huge' })));
    assert.equal((await packets.next()).cmd, 'connack');
    const closed = once(socket, 'close');
    socket.on('error', () => {});
    socket.send(Buffer.alloc(2_100_000, 0xc0));
    assert.equal((await closed)[0], 1009);
  });

  test('a plain HTTP request is told to upgrade', async () => {
    const request = httpRequest({ host: '127.0.0.1', port: portico.ports.websocket, path: '/mqtt' }).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 426);
    assert.equal(response.headers.upgrade, 'websocket');
    response.resume();
    await once(response, 'end');
  });
});
