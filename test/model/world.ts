/** A broker on a disk that outlives it, its clients, and the reference that says what each of them must see. */
import assert from 'node:assert/strict';
import { MemoryStore } from '../../src/store/memory-store.js';
import { Disk, mulberry32, type Random, turn } from '../support/disk.js';
import { Engine, FakeClock } from '../support/engine.js';
import { Client } from './clients.js';
import { Reference } from './reference.js';
import { NEVER } from './terms.js';

export const CLIENTS = ['a', 'b', 'c', 'd', 'e'] as const;
export type ClientName = (typeof CLIENTS)[number];

/** What does not change during a run. */
export interface Setting {
  /** Seeds the delays of the disk. */
  readonly delays: number;
  /** `mqtt.max_inflight`. */
  readonly maxInflight: number;
  /** `limits.queue_memory` in bytes. */
  readonly queueMemory: number;
}

/** A tick of the broker: a bit more than a second, so that no interval ends at the moment of a tick. */
const TICK = 1.001;

export class World {
  readonly setting: Setting;
  readonly reference: Reference;
  readonly clients: Record<ClientName, Client>;
  readonly #clock = new FakeClock();
  readonly #random: Random;
  readonly #memory = new MemoryStore();
  #disk: Disk;
  #engine!: Engine;
  #payloads = 0;
  /** Everything that was done, sent and received. */
  readonly #story: string[] = [];
  #faulty = false;

  private constructor(setting: Setting) {
    this.setting = setting;
    this.#random = mulberry32(setting.delays);
    this.#disk = new Disk(this.#memory, this.#random);
    this.reference = new Reference(this.#clock.now());
    const client = (id: ClientName): Client => new Client(id, this.reference, (line, fault) => this.note(line, fault));
    this.clients = { a: client('a'), b: client('b'), c: client('c'), d: client('d'), e: client('e') };
  }

  static async create(setting: Setting): Promise<World> {
    const world = new World(setting);
    await world.#start();
    return world;
  }

  async #start(): Promise<void> {
    const { maxInflight, queueMemory } = this.setting;
    const session = { maxInflight, queueMemory };
    this.#engine = await Engine.create({ store: this.#disk, session, clock: this.#clock });
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** A payload that no message had before. */
  payload(): string {
    return `m${++this.#payloads}`;
  }

  /** Adds a line to the story; a fault ends it. */
  note(line: string, fault = false): void {
    this.#story.push(fault ? `  FAULT: ${line}` : line);
    this.#faulty ||= fault;
  }

  #check(): void {
    assert.ok(!this.#faulty, `\n${this.#story.join('\n')}\n`);
  }

  /** Waits until nothing is on its way, and checks that nothing is missing. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; ) {
      const before = this.#story.length;
      await Promise.all(Object.values(this.clients).map((client) => client.ping()));
      await this.#engine.broker.commit.settled();
      do await turn();
      while (this.#disk.busy > 0 || this.#engine.broker.commit.busy);
      quiet = this.#story.length === before ? quiet + 1 : 0;
    }
    const missing = this.reference.missing();
    if (missing !== null) this.note(`${missing} has not arrived`, true);
    for (const client of Object.values(this.clients)) {
      const unanswered = client.unanswered();
      if (unanswered !== null) this.note(`${client.id}: ${unanswered} has not been answered`, true);
    }
    this.#check();
  }

  async pass(seconds: number): Promise<void> {
    for (let passed = 0; passed < seconds; passed++) {
      const { published } = this.reference;
      this.reference.pass(TICK);
      this.#engine.pass(TICK);
      // What a will says arrives when it is published, not when all the time has passed.
      if (this.reference.published !== published) await this.settle();
    }
  }

  /** Stops the broker in order, and starts another one on its disk. */
  async restart(): Promise<void> {
    this.reference.stopping();
    await this.#engine.stop();
    await Promise.all(Object.values(this.clients).map((client) => client.closed()));
    this.reference.restart(false);
    await this.#next();
  }

  /** The broker dies; the next one finds what the disk has. */
  async crash(): Promise<void> {
    this.#disk.dead = true;
    for (const client of Object.values(this.clients)) client.forget();
    // Its timers only: it can reach the disk and the clients no more.
    void this.#engine.stop();
    this.reference.restart(true);
    await this.#next();
  }

  async #next(): Promise<void> {
    this.#disk = new Disk(this.#memory, this.#random);
    await this.#start();
  }

  /** Every client comes back and takes all that it is owed. */
  async finish(): Promise<void> {
    for (const client of Object.values(this.clients)) {
      this.note(`${client.id} comes back`);
      const version = client.options?.version ?? 5;
      const window = this.setting.maxInflight;
      await client.connect(this.#engine, { version, cleanStart: false, expiry: NEVER, window, will: null });
      await this.settle();
    }
    for (;;) {
      await this.settle();
      const due = Object.values(this.clients).filter((client) => client.due > 0);
      if (due.length === 0) break;
      for (const client of due) client.acknowledge(client.due);
    }
  }

  async close(): Promise<void> {
    for (const client of Object.values(this.clients)) client.forget();
    await this.#engine.stop();
  }
}
