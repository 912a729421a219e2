/** A broker that a suite mistreats while bystanders want their service. */
import assert from 'node:assert/strict';
import { after, afterEach, before, type TestContext } from 'node:test';
import { Portico } from '../support/portico.js';
import { Bystanders } from './bystanders.js';
import { chooseSeed, generator } from './random.js';
import { openRaw, openWebSocket } from './raw.js';
import { SysWatch } from './sys.js';

/** Counters by name. */
type Reading = (name: string) => number;

export class Mistreated {
  portico!: Portico;
  sys!: SysWatch;
  bystanders!: Bystanders;
  /** The counters at the end of the last test, if that has read them. */
  #reading: Reading | null = null;
  #read = false;

  /** Connections that have said nothing yet, by the name of their transport. */
  readonly open = {
    TCP: (version: number) => openRaw(this.portico.ports.mqtt, version),
    WebSocket: (version: number) => openWebSocket(this.portico.ports.websocket, version),
  } as const;

  /**
   * Starts the broker before the tests of the suite that this is called in. After each of them it must be the same
   * process and serve the bystanders, and in the end it must have logged no error and stop in order.
   * @param sections top-level keys of the configuration
   */
  constructor(sections: Readonly<Record<string, unknown>> = {}) {
    let pid = 0;
    before(async () => {
      this.portico = await Portico.start({ log: { level: 'info', format: 'json' }, ...sections });
      pid = this.portico.pid;
      this.sys = await SysWatch.start(this.portico.ports.mqtt);
      this.bystanders = await Bystanders.start(this.portico.ports);
    });
    afterEach(async () => {
      // What a test has done that did not look at the counters is in none of its readings.
      if (!this.#read) this.#reading = null;
      this.#read = false;
      const { portico } = this;
      assert.ok(portico.alive && portico.pid === pid, `the broker is gone:\n${portico.log.slice(-4000)}`);
      await this.bystanders.served();
    });
    after(async () => {
      try {
        const errors = this.portico.logLines.filter(({ level }) => level >= 50);
        assert.deepEqual(errors, [], 'nothing that a client does is an error of the broker');
      } finally {
        await this.portico.dispose();
      }
    });
  }

  /**
   * How much counters grow that the bystanders leave alone, while `work` goes on. Each reading takes up to a second, so
   * the last one of a test is the first of the next. For tests that run one after the other.
   */
  async growth(work: () => Promise<void>): Promise<Reading> {
    const before = this.#reading ?? (await this.sys.now());
    await work();
    const after = await this.sys.now();
    this.#reading = after;
    this.#read = true;
    return (name) => after(name) - before(name);
  }
}

/** Does something with each, so many at once. */
export async function atOnce<T>(width: number, list: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const rest = list.values();
  const worker = async (): Promise<void> => {
    for (const one of rest) await work(one);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** Random numbers for a test, whose report names the seed. */
export function seeded(t: TestContext): () => number {
  const seed = chooseSeed();
  t.diagnostic(`SEED=${seed}`);
  return generator(seed);
}
