/**
 * A shared subscription whose members come, go and end, on a slow disk, through deaths of the broker: each message
 * reaches somebody, and QoS 2 nobody twice. Seeded; `SEED` repeats one run (test/support/seeds.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharedStrategy } from '../../src/bus/shared.js';
import { Family, familyRange } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import { Disk, mulberry32, type Random, turn } from '../support/disk.js';
import { Engine, type RawClient } from '../support/engine.js';
import { seeds } from '../support/seeds.js';

interface Sent {
  readonly qos: 1 | 2;
  /** The broker has said that it is stored. */
  stored: boolean;
  /** Times that it was delivered, to whomever. */
  arrived: number;
}

class Member {
  readonly id: string;
  readonly #sent: Sent[];
  readonly #random: Random;
  /** Seconds for which its session is kept. */
  readonly #expiry: number;
  readonly #held = new Set<number>();
  #answers: (() => void)[] = [];
  subscribed = false;
  link: RawClient | null = null;

  constructor(id: string, sent: Sent[], random: Random, expiry: number) {
    this.id = id;
    this.#sent = sent;
    this.#random = random;
    this.#expiry = expiry;
  }

  async connect(engine: Engine, clean = false): Promise<void> {
    this.cut();
    const link = engine.open(5);
    this.link = link;
    this.#answers = [];
    const properties = { sessionExpiryInterval: this.#expiry, receiveMaximum: 1 + this.#random(6) };
    link.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: this.id,
      clean,
      keepalive: 0,
      properties,
    });
    try {
      const { sessionPresent } = await link.expect('connack');
      if (!sessionPresent) this.#held.clear();
      link.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$share/g/t', qos: 2 }] });
      for (;;) {
        const packet = await link.next();
        if (this.link !== link) return;
        const messageId = packet.messageId as number;
        if (packet.cmd === 'suback') this.subscribed = true;
        else if (packet.cmd === 'pubrel') {
          this.#held.delete(messageId);
          this.#answers.push(() => link.send({ cmd: 'pubcomp', messageId }));
        } else if (packet.cmd === 'publish') {
          const message = this.#sent[Number(packet.payload.toString())];
          if (packet.qos === 1 || !this.#held.has(messageId)) message.arrived++;
          if (packet.qos === 2) this.#held.add(messageId);
          const cmd = packet.qos === 1 ? 'puback' : 'pubrec';
          this.#answers.push(() => link.send({ cmd, messageId }));
        }
      }
    } catch {
      if (this.link === link) this.link = null;
    }
  }

  answer(count: number): void {
    for (const answer of this.#answers.splice(0, count)) answer();
  }

  cut(): void {
    this.link?.destroy();
    this.link = null;
  }
}

const STRATEGIES: readonly SharedStrategy[] = ['round_robin', 'least_in_flight', 'sticky', 'topic_hash'];

async function life(seed: number, steps: number): Promise<void> {
  const random = mulberry32(seed);
  const memory = new MemoryStore();
  const sharedStrategy = STRATEGIES[random(STRATEGIES.length)];
  const session = { queueMemory: 1 + random(600), queuedMessages: 1e6, sharedStrategy };
  let disk = new Disk(memory, random);
  let engine = await Engine.create({ store: disk, session });
  const { clock } = engine;
  const sent: Sent[] = [];
  // What a client that is not kept was chosen for dies with the broker: such a client and deaths do not go together.
  const crashes = random(2) === 0;
  // The first one stays in the group whatever happens.
  const members = [1e9, 60, 60, crashes ? 60 : 0].map((expiry, i) => new Member(`m${i}`, sent, random, expiry));
  void members[0].connect(engine);
  while (!members[0].subscribed) await turn();
  const publish = (): void => {
    const message: Sent = { qos: random(2) === 0 ? 1 : 2, stored: false, arrived: 0 };
    sent.push(message);
    engine.broker.publish(
      { topic: 't', payload: `${sent.length - 1}`.padEnd(1 + random(60)), qos: message.qos },
      () => {
        message.stored = true;
      },
    );
  };
  for (let step = 0; step < steps; step++) {
    const what = random(100);
    const member = members[random(members.length)];
    if (what < 35) for (let i = random(8); i >= 0; i--) publish();
    else if (what < 65) member.answer(1 + random(6));
    else if (what < 75) engine.pass(random(30));
    else if (what < 85) member.cut();
    else if (what < 96) void member.connect(engine, member !== members[0] && random(4) === 0);
    else if (what < 97 && crashes) {
      disk.dead = true;
      for (const each of members) each.cut();
      void engine.stop();
      disk = new Disk(memory, random);
      engine = await Engine.create({ store: disk, session, clock });
    }
    for (let turns = random(3); turns > 0; turns--) await turn();
  }
  for (const member of members) member.cut();
  for (let patience = 20_000; engine.broker.connections.size > 0; patience--) {
    assert.ok(patience > 0, 'a connection stays although its client is gone');
    await turn();
  }
  engine.pass(61);
  void members[0].connect(engine);
  for (let quiet = 0, patience = 20_000; quiet < 50; patience--) {
    const outbound = engine.broker.sessions.get('m0')?.outbound;
    const left = (outbound?.waiting ?? 1) + (outbound?.inFlight ?? 1);
    quiet = left === 0 && !engine.broker.commit.busy ? quiet + 1 : 0;
    assert.ok(patience > 0, `stuck: ${left}`);
    members[0].answer(100);
    await turn();
  }
  assert.equal(engine.broker.sessions.size, 1);
  for (const [number, { qos, stored, arrived }] of sent.entries()) {
    if (qos === 2) assert.ok(arrived <= 1, `${number} arrived ${arrived} times`);
    else if (stored) assert.ok(arrived > 0, `${number} is lost`);
  }
  await engine.stop();
  for (const family of [Family.Queue, Family.Subscription, Family.Flow]) {
    let keys = 0;
    for await (const _ of memory.keys(familyRange(family))) keys++;
    assert.equal(keys, family === Family.Queue ? 0 : 1, `${family}`);
  }
}

const FOUND = [270_297_495];
const RUNS = 20;
const STEPS = 600;

for (const seed of seeds(RUNS, FOUND)) {
  test(`each message of a shared subscription reaches somebody, QoS 2 nobody twice (seed ${seed})`, () =>
    life(seed, STEPS));
}
