/**
 * Messages with and without expiry for a client that comes and goes, on a slow disk, through deaths of the broker: what
 * does not expire arrives, QoS 2 once, in order; what has expired does not arrive; and nothing stays, neither in the
 * store nor in the queue's counts. Seeded; `SEED` repeats one run (test/support/seeds.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { Family, familyRange } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import { Disk, mulberry32, type Random, turn } from '../support/disk.js';
import { Engine, type RawClient } from '../support/engine.js';
import { seeds } from '../support/seeds.js';

interface Sent {
  readonly qos: 1 | 2;
  /** Milliseconds since the epoch, 0 for never. */
  readonly expiresAt: number;
  /** The broker has said that it is stored. */
  stored: boolean;
  /** Times that it was delivered. */
  arrived: number;
}

class Subscriber {
  readonly #sent: Sent[];
  readonly #random: Random;
  readonly #held = new Set<number>();
  readonly order: { 1: number[]; 2: number[] } = { 1: [], 2: [] };
  /** Numbers of messages that were sent for the first time after their time. */
  readonly late: number[] = [];
  #answers: (() => void)[] = [];
  subscribed = false;
  link: RawClient | null = null;

  constructor(sent: Sent[], random: Random) {
    this.#sent = sent;
    this.#random = random;
  }

  async connect(engine: Engine): Promise<void> {
    this.cut();
    const link = engine.open(5);
    this.link = link;
    this.#answers = [];
    const properties = { sessionExpiryInterval: 1_000_000, receiveMaximum: 1 + this.#random(6) };
    link.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: 's',
      clean: false,
      keepalive: 0,
      properties,
    });
    try {
      const { sessionPresent } = await link.expect('connack');
      if (!sessionPresent) link.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 2 }] });
      for (;;) {
        const packet = await link.next();
        if (this.link !== link) return;
        const messageId = packet.messageId as number;
        if (packet.cmd === 'suback') this.subscribed = true;
        else if (packet.cmd === 'pubrel') {
          this.#held.delete(messageId);
          this.#answers.push(() => link.send({ cmd: 'pubcomp', messageId }));
        } else if (packet.cmd === 'publish') {
          this.#take(packet, messageId);
          const cmd = packet.qos === 1 ? 'puback' : 'pubrec';
          this.#answers.push(() => link.send({ cmd, messageId }));
        }
      }
    } catch {
      if (this.link === link) this.link = null;
    }
  }

  #take({ payload, dup, properties }: IPublishPacket, messageId: number): void {
    const number = Number(payload.toString());
    const sent = this.#sent[number];
    const { qos } = sent;
    if (qos === 2 && this.#held.has(messageId)) return;
    if (qos === 2) this.#held.add(messageId);
    if (sent.arrived++ > 0) return;
    if (properties?.messageExpiryInterval !== 0) this.order[qos].push(number);
    // After a crash, what may have been sent is sent late and out of order rather than not at all.
    else if (!dup) this.late.push(number);
  }

  answer(count: number): void {
    for (const answer of this.#answers.splice(0, count)) answer();
  }

  cut(): void {
    this.link?.destroy();
    this.link = null;
  }
}

async function life(seed: number, steps: number): Promise<void> {
  const random = mulberry32(seed);
  const memory = new MemoryStore();
  const session = { queueMemory: 1 + random(600), queuedMessages: 1e6 };
  let disk = new Disk(memory, random);
  let engine = await Engine.create({ store: disk, session });
  const { clock } = engine;
  const sent: Sent[] = [];
  const subscriber = new Subscriber(sent, random);
  void subscriber.connect(engine);
  while (!subscriber.subscribed) await turn();
  const publish = (): void => {
    const expiry = random(2) === 0 ? 0 : 1 + random(60);
    const message: Sent = {
      qos: random(2) === 0 ? 1 : 2,
      expiresAt: expiry === 0 ? 0 : clock.now() + expiry * 1000,
      stored: false,
      arrived: 0,
    };
    sent.push(message);
    const properties = expiry === 0 ? {} : { messageExpiryInterval: expiry };
    const payload = `${sent.length - 1}`.padEnd(1 + random(60));
    engine.broker.publish({ topic: 't', payload, qos: message.qos, properties }, (error) => {
      message.stored = !error;
    });
  };
  for (let step = 0; step < steps; step++) {
    const what = random(100);
    if (what < 40) for (let i = random(8); i >= 0; i--) publish();
    else if (what < 60) subscriber.answer(1 + random(6));
    else if (what < 80) engine.pass(random(12));
    else if (what < 86) subscriber.cut();
    else if (what < 90) void subscriber.connect(engine);
    else if (what < 91) {
      disk.dead = true;
      subscriber.cut();
      void engine.stop();
      disk = new Disk(memory, random);
      engine = await Engine.create({ store: disk, session, clock });
    }
    const { waiting, waitingBytes } = engine.broker.sessions.get('s')?.outbound ?? { waiting: 0, waitingBytes: 0 };
    assert.ok(waiting >= 0 && waitingBytes >= 0, `${waiting} waiting, ${waitingBytes} bytes`);
    for (let turns = random(3); turns > 0; turns--) await turn();
  }
  const outbound = engine.broker.sessions.get('s')?.outbound;
  for (let patience = 20_000; ; patience--) {
    if (outbound?.waiting === 0 && outbound.inFlight === 0 && !engine.broker.commit.busy) break;
    assert.ok(patience > 0, `stuck: ${outbound?.waiting} waiting, ${outbound?.inFlight} in flight`);
    // Its last connection may have been about to end.
    if (subscriber.link === null) void subscriber.connect(engine);
    subscriber.answer(100);
    await turn();
  }
  assert.equal(outbound.waitingBytes, 0);
  assert.deepEqual(subscriber.late, []);
  for (const [number, { qos, expiresAt, stored, arrived }] of sent.entries()) {
    if (stored && expiresAt === 0) assert.ok(arrived > 0, `${number} is lost`);
    if (qos === 2) assert.ok(arrived <= 1, `${number} arrived ${arrived} times`);
  }
  for (const order of [subscriber.order[1], subscriber.order[2]]) {
    const sorted = [...order].sort((a, b) => a - b);
    assert.deepEqual(order, sorted);
  }
  await engine.stop();
  for await (const key of memory.keys(familyRange(Family.Queue))) assert.fail(`left behind: ${key.toString('hex')}`);
}

const FOUND = [269_559_130];
const RUNS = 20;
const STEPS = 600;

for (const seed of seeds(RUNS, FOUND)) {
  test(`what expires goes, what does not arrives, the counts hold (seed ${seed})`, () => life(seed, STEPS));
}
