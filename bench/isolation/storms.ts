/** Many at once: connections, sessions that come back with queues, subscribers of one topic. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BenchError } from '../processes.js';
import { PacketType, pubackPacket, publishPacket, ScaleClient, subscribePacket } from '../scale/client.js';
import { Flow } from '../scale/flow.js';
import { type Figure, percentile, type ScaleOptions, type ScaleScenario, type Stage } from '../scale/stage.js';

const CONNECTIONS = 5000;
const SESSIONS = 10_000;
const QUEUED_PER_SESSION = 10;
const SUBSCRIBERS = 5000;
const PAYLOAD_BYTES = 64;
/** Messages to all subscribers of one topic, and milliseconds between them. */
const MESSAGES = 50;
const PAUSE_MS = 100;
const WINDOW = 2000;
const LAST_ID = 60_000;

/** Connects all at once; rejects if one is refused. */
function connectAll(port: number, count: number, name: string, clean: boolean): Promise<ScaleClient[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => ScaleClient.connect(port, `${name}-${i}`, clean)));
}

async function burst(stage: Stage, { factor }: ScaleOptions): Promise<Figure[]> {
  const count = Math.round(CONNECTIONS * factor);
  await stage.open({});
  const flow = await Flow.open(stage.port);
  flow.start();
  await sleep(1000);
  await flow.take();
  const begin = performance.now();
  const clients = await connectAll(stage.port, count, 'burst', true);
  const seconds = (performance.now() - begin) / 1000;
  const { p99, worst } = await flow.take();
  await flow.end();
  for (const client of clients) client.end();
  return [
    { name: 'until the last CONNACK', value: seconds, unit: 's' },
    { name: 'p99 of other traffic, meanwhile', value: p99, unit: 'ms' },
    { name: 'longest of other traffic, meanwhile', value: worst, unit: 'ms' },
  ];
}

/** Publishes messages to all sessions in turn at QoS 1. */
async function fill(port: number, sessions: number): Promise<void> {
  const client = await ScaleClient.connect(port, 'filler');
  const payload = Buffer.alloc(PAYLOAD_BYTES, '.');
  const count = sessions * QUEUED_PER_SESSION;
  for (let sent = 0; sent < count; sent++) {
    client.write(publishPacket(`storm/${sent % sessions}`, payload, 1 + (sent % LAST_ID), false));
    if (sent % 100 === 0) await client.until(() => sent - client.received[PacketType.Puback]! < WINDOW);
  }
  await client.until(() => client.received[PacketType.Puback] === count);
  client.end();
}

async function storm(stage: Stage, { factor }: ScaleOptions): Promise<Figure[]> {
  const count = Math.round(SESSIONS * factor);
  await stage.open({});
  for (let from = 0; from < count; from += 200) {
    const many = Math.min(200, count - from);
    await Promise.all(
      Array.from({ length: many }, async (_, i) => {
        const client = await ScaleClient.connect(stage.port, `storm-${from + i}`, false);
        client.write(subscribePacket(1, [`storm/${from + i}`], 1));
        await client.until(() => client.received[PacketType.Suback]! > 0);
        client.end();
      }),
    );
  }
  await fill(stage.port, count);
  await stage.kill();
  const startUp = await stage.start();
  const begin = performance.now();
  const clients = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const client = await ScaleClient.connect(stage.port, `storm-${i}`, false, (first, buffer, start, _, one) => {
        if (first >> 4 !== PacketType.Publish) return;
        one.write(pubackPacket(buffer.readUInt16BE(start + 2 + buffer.readUInt16BE(start))));
      });
      await client.until(() => client.received[PacketType.Publish]! >= QUEUED_PER_SESSION);
      return client;
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  await sleep(500);
  const much = clients.filter((client) => client.received[PacketType.Publish] !== QUEUED_PER_SESSION).length;
  if (much > 0) throw new BenchError(`${much} sessions got a message twice`);
  for (const client of clients) client.end();
  return [
    { name: 'start after kill -9 until CONNACK', value: startUp, unit: 's' },
    { name: 'until all have their ten messages', value: seconds, unit: 's' },
    { name: 'sessions served', value: count / seconds, unit: 'per second' },
  ];
}

async function fanOut(stage: Stage, { factor }: ScaleOptions): Promise<Figure[]> {
  const count = Math.round(SUBSCRIBERS * factor);
  await stage.open({});
  const clients = await connectAll(stage.port, count, 'all', true);
  const figures: Figure[] = [];
  for (const qos of [0, 1]) {
    const took: number[] = [];
    for (const client of clients) {
      client.onPacket = (first, buffer, start) => {
        if (first >> 4 !== PacketType.Publish) return;
        let at = start + 2 + buffer.readUInt16BE(start);
        if ((first & 6) !== 0) {
          client.write(pubackPacket(buffer.readUInt16BE(at)));
          at += 2;
        }
        took.push(performance.now() - buffer.readDoubleBE(at));
      };
      client.write(subscribePacket(1 + qos, [`all/${qos}`], qos));
    }
    for (const client of clients) await client.until(() => client.received[PacketType.Suback]! > qos);
    const publisher = await ScaleClient.connect(stage.port, `publisher-${qos}`);
    for (let sent = 0; sent < MESSAGES; sent++) {
      const payload = Buffer.alloc(PAYLOAD_BYTES);
      payload.writeDoubleBE(performance.now());
      publisher.write(publishPacket(`all/${qos}`, payload, qos === 0 ? 0 : 1 + sent, false));
      await sleep(PAUSE_MS);
    }
    const all = MESSAGES * (1 + qos);
    for (const client of clients) await client.until(() => client.received[PacketType.Publish]! >= all);
    publisher.end();
    figures.push(
      { name: `QoS ${qos}: half of the deliveries within`, value: percentile(took, 0.5), unit: 'ms' },
      { name: `QoS ${qos}: 99 of 100 within`, value: percentile(took, 0.99), unit: 'ms' },
    );
  }
  for (const client of clients) client.end();
  return figures;
}

export const storms: readonly ScaleScenario[] = [
  {
    name: 'connect-burst',
    title: '5,000 connections at once beside 2,000 msg/s of others',
    peers: ['portico', 'mosquitto'],
    run: burst,
  },
  {
    name: 'reconnect-storm',
    title: '10,000 sessions with ten messages each come back at once after kill -9',
    peers: ['portico'],
    run: storm,
  },
  {
    name: 'fan-out-5000',
    title: 'One topic with 5,000 subscribers, ten messages a second',
    peers: ['portico', 'mosquitto'],
    run: fanOut,
  },
];
