import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { generate } from 'mqtt-packet';
import { Mistreated } from './mistreated.js';
import { JsClient } from './mqttjs.js';
import {
  CON,
  coapMessage,
  codeOf,
  connectPacket,
  connectRaw,
  Datagrams,
  messageIdOf,
  openTcp,
  payloadOf,
  type RawClient,
  typeOf,
} from './raw.js';

const MIB = 1024 * 1024;

/** Resident memory of a process in bytes (proc(5)). */
function residentMemory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Resolves when the other side has closed, which it must soon. */
async function closing(socket: Socket): Promise<void> {
  socket.on('error', () => {});
  socket.resume();
  try {
    await once(socket, 'close', { signal: AbortSignal.timeout(8_000) });
  } catch {
    socket.destroy();
    throw new Error('the broker did not close the connection within 8 s');
  }
}

describe('half-open connections', { timeout: 60_000 }, () => {
  const scene = new Mistreated({ mqtt: { connect_timeout: 1 } });
  const connect = generate(connectPacket({ clientId: 'never-finished' }));

  /** Opens connections that say this and no more; they must be closed, counted, and nobody else may notice. */
  async function abandon(port: number, count: number, bytes: Uint8Array | string, counter: string): Promise<void> {
    const grown = await scene.sys.growth(async () => {
      const sockets = await Promise.all(Array.from({ length: count }, () => openTcp(port)));
      const closed = Promise.all(sockets.map(closing));
      if (bytes.length > 0) for (const socket of sockets) socket.write(bytes);
      await scene.bystanders.during(closed.then(() => {}));
    });
    assert.equal(grown(counter), count);
  }

  test('connections that say nothing are closed after mqtt.connect_timeout, and counted', async () => {
    await abandon(scene.portico.ports.mqtt, 200, '', 'errors/connect_timeout');
  });

  test('connections that begin a CONNECT and stop are closed after mqtt.connect_timeout, and counted', async () => {
    await abandon(scene.portico.ports.mqtt, 100, connect.subarray(0, 1), 'errors/connect_timeout');
    await abandon(scene.portico.ports.mqtt, 100, connect.subarray(0, connect.length - 1), 'errors/connect_timeout');
  });

  test('connections to the WebSocket port that say nothing are closed after mqtt.connect_timeout, and counted', async () => {
    await abandon(scene.portico.ports.websocket, 50, '', 'errors/connect_timeout');
  });

  test('connections that begin a WebSocket upgrade and stop are closed after mqtt.connect_timeout, and counted', async () => {
    await abandon(scene.portico.ports.websocket, 50, 'GET /mqtt HTTP/1.1\r\nHost: x\r\nUpg', 'errors/connect_timeout');
  });

  test('WebSockets without CONNECT are closed after mqtt.connect_timeout, and counted', async () => {
    const count = 50;
    const grown = await scene.sys.growth(async () => {
      const clients = await Promise.all(Array.from({ length: count }, () => scene.open.WebSocket(4)));
      await scene.bystanders.during(Promise.all(clients.map(({ closed }) => closed)).then(() => {}));
    });
    assert.equal(grown('errors/connect_timeout'), count);
  });

  test('a client that ends its side of the connection is gone, and its will is published', async () => {
    const watcher = await JsClient.connect(`mqtt://127.0.0.1:${scene.portico.ports.mqtt}`, { clientId: 'fin-watcher' });
    await watcher.subscribe('abuse/fin', 1);
    const will = { topic: 'abuse/fin', payload: Buffer.from('gone'), qos: 1 as const, retain: false };
    const client = await connectRaw(scene.portico.ports.mqtt, { clientId: 'fin', will });
    client.stream.end();
    await client.closed;
    assert.equal((await watcher.next()).payload.toString(), 'gone');
    await watcher.end();
  });
});

describe('clients that do not read', { timeout: 90_000 }, () => {
  const scene = new Mistreated({
    limits: { output_buffer: 256 * 1024, queued_messages: 1000 },
    coap: { ack_timeout: 0.1, max_retransmit: 2 },
  });

  const publisher = (clientId: string): Promise<JsClient> =>
    JsClient.connect(`mqtt://127.0.0.1:${scene.portico.ports.mqtt}`, { clientId });

  /** A subscriber that does not read anything after its SUBACK. */
  async function deaf(transport: 'TCP' | 'WebSocket', filter: string, qos: 0 | 1): Promise<RawClient> {
    const client = await scene.open[transport](4);
    client.send(connectPacket({ clientId: `deaf-${transport}-${qos}` }));
    await client.expect('connack');
    await client.subscribe(filter, qos);
    client.stream.pause();
    return client;
  }

  for (const transport of ['TCP', 'WebSocket'] as const) {
    test(`a QoS 0 subscriber over ${transport} loses messages, which are counted; another one gets all`, async () => {
      const topic = `abuse/qos0/${transport}`;
      const client = await deaf(transport, topic, 0);
      const listening = await publisher(`listening-${transport}`);
      await listening.subscribe(topic, 0);
      const sender = await publisher(`sender-${transport}`);
      const payload = Buffer.alloc(64 * 1024, 'x');
      const count = 500;
      const before = residentMemory(scene.portico.pid);
      const flood = async (): Promise<void> => {
        // The window of one message keeps the listening client below its own limit.
        for (let i = 0; i < count; i++) {
          await sender.publish(topic, payload, 0);
          assert.equal((await listening.next()).payload.length, payload.length);
        }
      };
      const grown = await scene.sys.growth(() => scene.bystanders.during(flood()));
      const dropped = grown('publish/dropped/output_buffer');
      assert.ok(dropped > 0 && dropped < count, `${dropped} of ${count} messages dropped`);
      assert.equal(grown('publish/messages/dropped'), dropped);
      const growth = residentMemory(scene.portico.pid) - before;
      assert.ok(growth < 64 * MIB, `the broker grew by ${Math.round(growth / MIB)} MiB for one deaf client`);
      assert.ok(scene.portico.log.includes('limits.output_buffer'), 'the log names the limit');
      client.cut();
      await sender.end();
      await listening.end();
    });
  }

  test('a QoS 1 subscriber fills its queue and no more; what does not fit is counted', async () => {
    const topic = 'abuse/qos1';
    const client = await deaf('TCP', topic, 1);
    const sender = await publisher('sender-qos1');
    const count = 3000;
    const payload = Buffer.alloc(1024, 'x');
    const flood = async (): Promise<void> => {
      for (let i = 0; i < count; i += 100) {
        await Promise.all(Array.from({ length: 100 }, () => sender.publish(topic, payload, 1)));
      }
    };
    const grown = await scene.sys.growth(() => scene.bystanders.during(flood()));
    const dropped = grown('publish/dropped/queue_full');
    // What is in flight may or may not be part of the queue.
    assert.ok(dropped >= count - 1000 - 512 && dropped <= count - 1000, `${dropped} of ${count} dropped`);
    assert.ok(scene.portico.log.includes('limits.queued_messages'), 'the log names the limit');
    client.cut();
    await sender.end();
  });

  test('a client that sends without reading its answers holds up itself alone, and loses nothing', async () => {
    const client = await connectRaw(scene.portico.ports.mqtt, { clientId: 'ping-flood' });
    client.stream.pause();
    const pings = 8 * MIB;
    const chunk = Buffer.alloc(128 * 1024, generate({ cmd: 'pingreq' }));
    const before = residentMemory(scene.portico.pid);
    for (let sent = 0; sent < pings * 2; sent += chunk.length) client.sendBytes(chunk);
    // The broker takes what fits into its limit and the kernel's buffers, then waits for the client to read.
    for (let i = 0; i < 50; i++) await scene.bystanders.served();
    assert.ok(client.stream.writableLength > 0, 'not everything was taken');
    const growth = residentMemory(scene.portico.pid) - before;
    assert.ok(growth < 64 * MIB, `the broker grew by ${Math.round(growth / MIB)} MiB`);
    // Count bytes: 16 MiB of packets as objects would be slow.
    client.stream.removeAllListeners('data');
    let answered = 0;
    const all = new Promise<void>((resolve) => {
      client.stream.on('data', (data: Buffer) => {
        answered += data.length;
        if (answered >= pings * 2) resolve();
      });
    });
    client.stream.resume();
    await scene.bystanders.during(Promise.race([all, client.closed]));
    assert.equal(answered, pings * 2, 'each PINGREQ got its PINGRESP');
    client.cut();
  });

  test('an observer that acknowledges nothing is given up, and counted; another one is notified', async () => {
    const path = ['ps', 'abuse', 'observed'].map((segment) => [11, segment] as const);
    const sender = await publisher('sender-observed');
    await sender.publish('abuse/observed', 'first', 1, true);
    const silent = await Datagrams.open(scene.portico.ports.coap);
    const polite = await Datagrams.open(scene.portico.ports.coap);
    const grown = await scene.sys.growth(async () => {
      for (const [i, observer] of [silent, polite].entries()) {
        await observer.send(coapMessage(CON, 1, 1, Uint8Array.of(i), [[6, ''], ...path]));
        assert.equal(codeOf(await observer.received.next('the answer')), '2.05');
      }
      await sender.publish('abuse/observed', 'second', 1, true);
      const notification = await polite.received.next('a notification');
      assert.deepEqual([typeOf(notification), payloadOf(notification).toString()], [CON, 'second']);
      await polite.send(coapMessage(2, 0, messageIdOf(notification)));
      // The first transmission and max_retransmit more, all alike.
      const copies: Buffer[] = [];
      while (copies.length < 3) copies.push(await silent.received.next('a retransmission'));
      assert.ok(copies.every((copy) => copy.equals(copies[0])));
      await scene.sys.until('coap/transmissionTimeouts', (now) => now > 0, 'should grow');
      await sender.publish('abuse/observed', 'third', 1, true);
      const next = await polite.received.next('a notification');
      assert.equal(payloadOf(next).toString(), 'third');
      await polite.send(coapMessage(2, 0, messageIdOf(next)));
    });
    assert.equal(grown('coap/transmissionTimeouts'), 1);
    assert.equal(grown('coap/observersEnded'), 1);
    assert.deepEqual(silent.received.drain(), [], 'nothing more for the observer that was given up');
    silent.close();
    polite.close();
    await sender.end();
  });
});
