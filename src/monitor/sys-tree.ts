/** The `$SYS/broker/` tree with Mosquitto's names, so that dashboards made for it go on working. */
import { Loads } from './load.js';
import { METRICS } from './measures.js';
import type { Instruments, Reading } from './reading.js';

const ROOT = '$SYS/broker/';

export class SysTree {
  readonly #instruments: Instruments;
  readonly #publishMessage: (topic: string, payload: string) => void;
  readonly #loads = new Loads();
  /** Last published values: a topic is published when its value changes. */
  readonly #last = new Map<string, string>();
  #interval = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  /** @param publish publishes a retained message */
  constructor(instruments: Instruments, publish: (topic: string, payload: string) => void) {
    this.#instruments = instruments;
    this.#publishMessage = publish;
  }

  /** @param interval seconds between updates (`sys.interval`); 0 for no tree at all */
  async start(interval: number): Promise<void> {
    this.#interval = interval;
    if (interval === 0) return;
    await this.update();
    // It may have been replaced meanwhile.
    if (this.#stopped || this.#interval !== interval || this.#timer !== null) return;
    this.#timer = setInterval(() => void this.update(), interval * 1000);
    this.#timer.unref();
  }

  /** Puts another interval in the place of the one there is. What was published stays, also with 0. @param interval seconds */
  replace(interval: number): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    return this.start(interval);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** Publishes what has changed. */
  async update(): Promise<void> {
    const reading = await this.#instruments.read();
    if (this.#stopped) return;
    this.#publish('version', `portico version ${reading.version}`);
    this.#publish('uptime', `${Math.floor(reading.uptime)} seconds`);
    for (const [topic, value] of valuesOf(reading)) this.#publish(topic, String(value));
    for (const [topic, text] of this.#loads.update(reading)) this.#publish(topic, text);
  }

  #publish(topic: string, value: string): void {
    if (this.#last.get(topic) === value) return;
    this.#last.set(topic, value);
    this.#publishMessage(ROOT + topic, value);
  }
}

/** Numbers by topic below `$SYS/broker/`. */
export function* valuesOf(reading: Reading): Iterable<readonly [topic: string, value: number]> {
  for (const { measures } of METRICS) {
    for (const { topics, read } of measures) {
      const value = read(reading);
      if (Number.isNaN(value)) continue;
      for (const topic of topics) yield [topic, value];
    }
  }
  for (const [plugin, counters] of reading.plugins) {
    for (const [name, value] of Object.entries(counters)) yield [`${plugin}/${name}`, value];
  }
}
