/** Load averages as Mosquitto has them: events per minute, with older minutes counting less and less. */
import type { Reading } from './reading.js';

/** What is averaged, by its name below `$SYS/broker/load/`. */
const LOADS: Readonly<Record<string, (reading: Reading) => number>> = {
  'messages/received': ({ counters }) => counters.packetsReceived,
  'messages/sent': ({ counters }) => counters.packetsSent,
  'publish/received': ({ counters }) => counters.publishReceived,
  'publish/sent': ({ counters }) => counters.publishSent,
  'publish/dropped': ({ counters }) => counters.publishDropped,
  'bytes/received': ({ counters }) => counters.bytesReceived,
  'bytes/sent': ({ counters }) => counters.bytesSent,
  sockets: ({ counters }) => counters.connections,
  connections: ({ counters }) => counters.connects,
};

/** Seconds over which is averaged, by the last level of the topic. */
const SPANS: Readonly<Record<string, number>> = { '1min': 60, '5min': 300, '15min': 900 };

/** The topics below `$SYS/broker/`. */
export const LOAD_TOPICS: readonly string[] = Object.keys(LOADS).flatMap((name) =>
  Object.keys(SPANS).map((span) => `load/${name}/${span}`),
);

export class Loads {
  /** What each had counted at the last update, and the averages by topic. */
  readonly #counts = new Map<string, number>();
  readonly #averages = new Map<string, number>();
  #updatedAt = 0;

  /**
   * Counts what has happened since the last call in.
   * @returns the averages by topic below `$SYS/broker/`, with two decimals; 0 at first
   */
  update(reading: Reading): Map<string, string> {
    const elapsed = reading.uptime - this.#updatedAt;
    this.#updatedAt = reading.uptime;
    const texts = new Map<string, string>();
    for (const [name, read] of Object.entries(LOADS)) {
      const count = read(reading);
      const since = count - (this.#counts.get(name) ?? count);
      this.#counts.set(name, count);
      const perMinute = elapsed > 0 ? (since * 60) / elapsed : 0;
      for (const [span, seconds] of Object.entries(SPANS)) {
        const topic = `load/${name}/${span}`;
        const former = this.#averages.get(topic) ?? 0;
        const average = perMinute + Math.exp(-elapsed / seconds) * (former - perMinute);
        this.#averages.set(topic, average);
        texts.set(topic, average.toFixed(2));
      }
    }
    return texts;
  }
}
