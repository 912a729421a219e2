/** Limits of connections and rates, over the transports that they are for. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { generate, type Packet } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import { Mistreated } from './mistreated.js';
import { JsClient } from './mqttjs.js';
import { CON, coapMessage, codeOf, connectPacket, Datagrams, RawClient } from './raw.js';

/** A TCP connection that comes from this address of the loopback network. */
async function openFrom(localAddress: string, port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Raw clients of one address. */
async function rawFrom(localAddress: string, port: number, version: number): Promise<RawClient> {
  return new RawClient(await openFrom(localAddress, port), version);
}

async function webSocketFrom(localAddress: string, port: number, version: number): Promise<RawClient> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt', { localAddress });
  await once(socket, 'open');
  const stream = createWebSocketStream(socket);
  stream.once('end', () => stream.destroy());
  return new RawClient(stream, version);
}

describe('limits of connections', { timeout: 90_000 }, () => {
  const PER_ADDRESS = 10;
  const PENDING = 60;
  const scene = new Mistreated({
    mqtt: { connect_timeout: 30, max_connect_size: 65_536, max_topic_length: 100 },
    limits: { connections_per_address: PER_ADDRESS, pending_connections: PENDING },
  });

  test('limits.connections_per_address counts TCP and WebSocket together, and no other address', async () => {
    const { mqtt, websocket } = scene.portico.ports;
    const grown = await scene.sys.growth(async () => {
      const clients: RawClient[] = [];
      const join = async (client: RawClient, version: 4 | 5): Promise<number | undefined> => {
        clients.push(client);
        client.send(connectPacket({ clientId: `address-${clients.length}`, protocolVersion: version }));
        const { returnCode, reasonCode } = await client.expect('connack');
        return version === 5 ? reasonCode : returnCode;
      };
      for (let i = 0; i < PER_ADDRESS; i += 2) {
        assert.equal(await join(await rawFrom('127.0.0.2', mqtt, 4), 4), 0);
        assert.equal(await join(await webSocketFrom('127.0.0.2', websocket, 5), 5), 0);
      }
      assert.equal(await join(await rawFrom('127.0.0.2', mqtt, 4), 4), 3);
      assert.equal(await join(await webSocketFrom('127.0.0.2', websocket, 5), 5), 0x97);
      await Promise.all(clients.slice(-2).map(({ closed }) => closed));
      assert.equal(await join(await rawFrom('127.0.0.3', mqtt, 4), 4), 0, 'another address');
      clients[0].send({ cmd: 'disconnect' });
      await clients[0].closed;
      assert.equal(await join(await webSocketFrom('127.0.0.2', websocket, 5), 5), 0, 'in the place of one');
      await scene.bystanders.served();
      for (const client of clients) client.cut();
    });
    assert.equal(grown('connections/refused/address'), 2);
    assert.ok(scene.portico.log.includes('limits.connections_per_address'), 'the log names the limit');
  });

  test('limits.pending_connections counts TCP, WebSocket and upgrades that are not complete; others are served', async () => {
    const { mqtt, websocket } = scene.portico.ports;
    const more = 10;
    const grown = await scene.sys.growth(async () => {
      const sockets: Socket[] = [];
      let closed = 0;
      const enough = new Promise<void>((resolve) => {
        const count = (): void => {
          if (++closed === more) resolve();
        };
        const open = async (i: number): Promise<void> => {
          // Fewer from one address than it may have.
          const socket = await openFrom(`127.0.1.${i % 7}`, i % 2 === 0 ? mqtt : websocket);
          sockets.push(socket);
          socket.once('close', count).resume();
          if (i % 4 === 1) socket.write('GET /mqtt HTTP/1.1\r\nHost: x\r\nUpg');
        };
        void Promise.all(Array.from({ length: PENDING + more }, (_, i) => open(i)));
      });
      await enough;
      await scene.bystanders.served();
      assert.equal(closed, more);
      for (const socket of sockets) socket.destroy();
    });
    assert.equal(grown('connections/refused/pending'), more);
    assert.ok(scene.portico.log.includes('limits.pending_connections'), 'the log names the limit');
    const client = await JsClient.connect(`mqtt://127.0.0.1:${mqtt}`, { clientId: 'after-pending' });
    await client.end();
  });

  test('an upgrade that is refused gives its place back, whether its client closes or not', async () => {
    const { websocket } = scene.portico.ports;
    for (let i = 0; i < 4 * PER_ADDRESS; i++) {
      const socket = connect({ port: websocket, host: '127.0.0.1', localAddress: '127.0.0.4', allowHalfOpen: true });
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
      socket.write('Sec-WebSocket-Protocol: chat\r\n\r\n');
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 400 /);
      socket.resume();
      await once(socket, 'end');
    }
    const client = await webSocketFrom('127.0.0.4', websocket, 4);
    client.cut();
  });

  for (const transport of ['TCP', 'WebSocket'] as const) {
    test(`over ${transport} nothing larger than mqtt.max_connect_size is taken before the client is accepted`, async () => {
      const stranger = await scene.open[transport](4);
      const client = await scene.open[transport](4);
      const grown = await scene.sys.growth(async () => {
        const password = Buffer.alloc(65_535);
        stranger.sendBytes(generate({ ...connectPacket({ clientId: 'large' }), username: 'u', password }));
        await stranger.closed;
        client.send(connectPacket({ clientId: 'accepted' }));
        assert.equal((await client.expect('connack')).returnCode, 0);
        const payload = Buffer.alloc(1_000_000);
        client.send({ cmd: 'publish', topic: 'large', payload, qos: 1, messageId: 1, retain: false, dup: false });
        await client.expect('puback');
        client.cut();
      });
      assert.equal(grown('limits/max_connect_size'), 1);
      assert.ok(scene.portico.log.includes('mqtt.max_connect_size'), 'the log names the limit');
    });
  }

  test('a CoAP request for a topic longer than mqtt.max_topic_length is answered 4.00', async () => {
    const device = await Datagrams.open(scene.portico.ports.coap);
    const put = (messageId: number, length: number): Promise<void> => {
      const topic = 'x'.repeat(length);
      const path = ['ps', topic].map((segment) => [11, segment] as const);
      return device.send(coapMessage(CON, 3, messageId, Uint8Array.of(messageId), path, 'x'));
    };
    const grown = await scene.sys.growth(async () => {
      await put(1, 100);
      assert.equal(codeOf(await device.received.next('an answer')), '2.01');
      await put(2, 101);
      assert.equal(codeOf(await device.received.next('an answer')), '4.00');
    });
    assert.equal(grown('limits/max_topic_length'), 1);
    device.close();
  });
});

describe('limits.connects_per_second', { timeout: 60_000 }, () => {
  const scene = new Mistreated({ limits: { connects_per_second: 30 } });

  test('a storm of clients is served at that rate, and none is lost', async () => {
    const count = 90;
    const { mqtt, websocket } = scene.portico.ports;
    const grown = await scene.sys.growth(async () => {
      const storm = Array.from({ length: count }, async (_, i) => {
        const url = i % 3 === 0 ? `ws://127.0.0.1:${websocket}` : `mqtt://127.0.0.1:${mqtt}`;
        const client = await JsClient.connect(url, { clientId: `storm-${i}`, connectTimeout: 30_000 });
        await client.end();
      });
      await scene.bystanders.during(Promise.all(storm).then(() => {}));
    });
    assert.ok(grown('limits/connects_per_second') >= 20, `${grown('limits/connects_per_second')} had to wait`);
    assert.equal(grown('errors/connect_timeout'), 0);
    assert.ok(scene.portico.log.includes('limits.connects_per_second'), 'the log names the limit');
  });
});

describe('rates of one client', { timeout: 90_000 }, () => {
  const scene = new Mistreated({ limits: { messages_per_second: 400, bytes_per_second: 500_000 } });

  /** Publications on a topic, numbered from 0, and DISCONNECT. */
  function burst(topic: string, count: number, size: number): Buffer {
    const packets = Array.from({ length: count }, (_, i): Packet => {
      const payload = String(i).padEnd(size);
      return { cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false };
    });
    return Buffer.concat([...packets.map((packet) => generate(packet)), generate({ cmd: 'disconnect' })]);
  }

  for (const transport of ['TCP', 'WebSocket'] as const) {
    for (const [option, counter, count, size] of [
      ['limits.messages_per_second', 'limits/messages_per_second', 1200, 5],
      ['limits.bytes_per_second', 'limits/bytes_per_second', 200, 8000],
    ] as const) {
      test(`a client over ${transport} that exceeds ${option} and leaves loses nothing; others are served`, async () => {
        const topic = `rates/${transport}/${size}`;
        const watcher = await JsClient.connect(`mqtt://127.0.0.1:${scene.portico.ports.mqtt}`, { clientId: 'watcher' });
        await watcher.subscribe(topic, 0);
        const client = await scene.open[transport](4);
        client.send(connectPacket({ clientId: `fast-${transport}-${size}` }));
        await client.expect('connack');
        const grown = await scene.sys.growth(async () => {
          client.stream.end(burst(topic, count, size));
          const payloads = await scene.bystanders.during(watcher.payloads(count));
          assert.deepEqual(payloads.map(Number), [...Array(count).keys()]);
        });
        assert.ok(grown(counter) > 0);
        assert.ok(scene.portico.log.includes(option), 'the log names the limit');
        await watcher.end();
      });
    }
  }
});
