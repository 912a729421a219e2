/**
 * Random traffic through random cuts of connections and deaths of the broker: nothing acknowledged is missing, QoS 2
 * arrives exactly once, order holds. Seeded; `SEED` repeats one run (test/support/seeds.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPublishPacket, Packet } from 'mqtt-packet';
import { MemoryStore } from '../../src/store/memory-store.js';
import { Disk, mulberry32, type Random, turn } from '../support/disk.js';
import { Engine, type RawClient } from '../support/engine.js';
import { seeds } from '../support/seeds.js';

/** A client that keeps its side of a session as the specification says. */
abstract class Peer {
  readonly id: string;
  protected readonly random: Random;
  protected link: RawClient | null = null;

  constructor(id: string, random: Random) {
    this.id = id;
    this.random = random;
  }

  get connected(): boolean {
    return this.link !== null;
  }

  /** Connects, and takes what comes until the connection ends. */
  async connect(engine: Engine): Promise<void> {
    this.cut();
    const link = engine.open();
    this.link = link;
    link.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: this.id,
      clean: false,
      keepalive: 0,
    });
    try {
      await link.expect('connack');
      this.resume(link);
      for (;;) {
        const packet = await link.next();
        if (this.link !== link) return;
        this.take(link, packet);
      }
    } catch {
      if (this.link === link) this.link = null;
    }
  }

  cut(): void {
    this.link?.destroy();
    this.link = null;
  }

  protected abstract resume(link: RawClient): void;
  protected abstract take(link: RawClient, packet: Packet): void;
}

interface Outgoing {
  readonly payload: number;
  readonly qos: 1 | 2;
  received: boolean;
}

class Publisher extends Peer {
  readonly #unacknowledged = new Map<number, Outgoing>();
  readonly qosOf = new Map<number, 1 | 2>();
  #next = 1;
  #lastId = 0;
  #ready = false;

  get busy(): boolean {
    return this.#unacknowledged.size > 0;
  }

  publish(): void {
    if (!this.#ready || this.link === null || this.#unacknowledged.size > 30) return;
    do this.#lastId = (this.#lastId % 60) + 1;
    while (this.#unacknowledged.has(this.#lastId));
    const outgoing: Outgoing = { payload: this.#next++, qos: this.random(2) === 0 ? 1 : 2, received: false };
    this.qosOf.set(outgoing.payload, outgoing.qos);
    this.#unacknowledged.set(this.#lastId, outgoing);
    this.#send(this.link, this.#lastId, outgoing, false);
  }

  #send(link: RawClient, messageId: number, { payload, qos }: Outgoing, dup: boolean): void {
    link.send({ cmd: 'publish', topic: 't', payload: `${payload}`.padEnd(20), qos, retain: false, dup, messageId });
  }

  override cut(): void {
    this.#ready = false;
    super.cut();
  }

  protected override resume(link: RawClient): void {
    for (const [messageId, outgoing] of this.#unacknowledged) {
      if (outgoing.received) link.send({ cmd: 'pubrel', messageId });
      else this.#send(link, messageId, outgoing, true);
    }
    this.#ready = true;
  }

  protected override take(link: RawClient, packet: Packet): void {
    const messageId = packet.messageId as number;
    const outgoing = this.#unacknowledged.get(messageId);
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') this.#unacknowledged.delete(messageId);
    else if (packet.cmd === 'pubrec') {
      if (outgoing) outgoing.received = true;
      link.send({ cmd: 'pubrel', messageId });
    }
  }
}

class Subscriber extends Peer {
  /** Payloads as they were handed on. */
  readonly delivered: number[] = [];
  readonly #received = new Set<number>();
  #answers: Packet[] = [];
  subscribed = false;

  /** Sends some of the acknowledgements that are due, in order. */
  answer(count: number): void {
    for (const packet of this.#answers.splice(0, count)) this.link?.send(packet);
  }

  override cut(): void {
    this.#answers = [];
    super.cut();
  }

  protected override resume(link: RawClient): void {
    this.#answers = [];
    if (!this.subscribed) link.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 2 }] });
  }

  protected override take(_link: RawClient, packet: Packet): void {
    const messageId = packet.messageId as number;
    if (packet.cmd === 'suback') this.subscribed = true;
    else if (packet.cmd === 'pubrel') {
      this.#received.delete(messageId);
      this.#answers.push({ cmd: 'pubcomp', messageId });
    } else if (packet.cmd === 'publish') this.#publish(packet, messageId);
  }

  #publish(packet: IPublishPacket, messageId: number): void {
    const payload = Number(packet.payload.toString());
    if (packet.qos === 1) {
      this.delivered.push(payload);
      this.#answers.push({ cmd: 'puback', messageId });
      return;
    }
    if (!this.#received.has(messageId)) {
      this.#received.add(messageId);
      this.delivered.push(payload);
    }
    this.#answers.push({ cmd: 'pubrec', messageId });
  }
}

function check(publisher: Publisher, subscriber: Subscriber): void {
  const seen = new Map<number, number>();
  const firsts: Record<1 | 2, number[]> = { 1: [], 2: [] };
  for (const payload of subscriber.delivered) {
    const times = (seen.get(payload) ?? 0) + 1;
    seen.set(payload, times);
    if (times === 1) firsts[publisher.qosOf.get(payload) as 1 | 2].push(payload);
  }
  for (const [payload, qos] of publisher.qosOf) {
    const times = seen.get(payload) ?? 0;
    assert.ok(qos === 1 ? times >= 1 : times === 1, `${payload}, QoS ${qos}, arrived ${times} times`);
  }
  for (const qos of [1, 2] as const) {
    assert.deepEqual(
      firsts[qos],
      [...firsts[qos]].sort((a, b) => a - b),
      `order of QoS ${qos}`,
    );
  }
}

async function life(seed: number, steps: number): Promise<void> {
  const random = mulberry32(seed);
  const memory = new MemoryStore();
  const session = { queueMemory: 1 + random(300), maxInflight: 1 + random(8), queuedMessages: 1e6 };
  let disk = new Disk(memory, random);
  let engine = await Engine.create({ store: disk, session });
  const publisher = new Publisher('p', random);
  const subscriber = new Subscriber('s', random);
  const reconnect = (peer: Peer): void => {
    void peer.connect(engine);
  };
  reconnect(subscriber);
  while (!subscriber.subscribed) await turn();
  reconnect(publisher);
  for (let step = 0; step < steps; step++) {
    const what = random(100);
    if (what < 50) for (let i = random(6); i >= 0; i--) publisher.publish();
    else if (what < 80) subscriber.answer(1 + random(12));
    else if (what < 84) publisher.cut();
    else if (what < 88) subscriber.cut();
    else if (what < 91) reconnect(subscriber);
    else if (what < 92) {
      // The broker dies; the next one finds what the disk has.
      disk.dead = true;
      publisher.cut();
      subscriber.cut();
      // Its timers only: it can reach the disk no more.
      void engine.stop();
      disk = new Disk(memory, random);
      engine = await Engine.create({ store: disk, session });
    }
    if (!publisher.connected && random(4) === 0) reconnect(publisher);
    if (!subscriber.connected && random(10) === 0) reconnect(subscriber);
    for (let turns = random(3); turns > 0; turns--) await turn();
  }
  if (!publisher.connected) reconnect(publisher);
  if (!subscriber.connected) reconnect(subscriber);
  const owed = (): number => {
    const outbound = engine.broker.sessions.get('s')?.outbound;
    return (outbound?.waiting ?? 1) + (outbound?.inFlight ?? 1);
  };
  for (let patience = 20_000; publisher.busy || owed() > 0; patience--) {
    assert.ok(patience > 0, `something is stuck: publisher ${publisher.busy}, ${owed()} owed`);
    subscriber.answer(100);
    await turn();
  }
  check(publisher, subscriber);
  await engine.stop();
}

/** Seeds of runs that found something: a gap of one restart that was forgotten in the next one, before PUBCOMP. */
const FOUND = [263_591_898];
const RUNS = 20;
const STEPS = 600;

for (const seed of seeds(RUNS, FOUND)) {
  test(`nothing acknowledged is lost, QoS 2 comes once, order holds (seed ${seed})`, () => life(seed, STEPS));
}
