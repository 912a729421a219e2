/** Who looks on while a broker is flooded: at its `$SYS` topics, its health and the delay of its event loop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PacketType, ScaleClient, subscribePacket } from '../scale/client.js';
import { Flow } from '../scale/flow.js';
import { type Figure, percentile, type Stage } from '../scale/stage.js';

/** Seconds between two publications of the `$SYS` topics; the delay of the event loop is measured for as long. */
const INTERVAL = 2;
const HEALTH_MS = 100;
const METRICS_MS = 1000;
const ANSWER_MS = 30_000;
const MOST_DELAY_MS = 50;
const MOST_HEALTH_MS = 1000;
/** The `$SYS` topics may come so many times later than they are due. */
const MOST_LATENESS = 1.5;
const DELAY = /^nodejs_eventloop_lag_p99_seconds (\S+)$/m;

export class Witness {
  readonly #stage: Stage;
  readonly #flow: Flow;
  readonly #sys: ScaleClient;
  readonly #delays: number[] = [];
  #lastSys = 0;
  #longestSys = 0;
  #longestHealth = 0;
  #watching = false;
  #looks: Promise<void>[] = [];

  private constructor(stage: Stage, flow: Flow, sys: ScaleClient) {
    this.#stage = stage;
    this.#flow = flow;
    this.#sys = sys;
  }

  /** Starts the broker and the steady flow beside which it is flooded. */
  static async open(stage: Stage): Promise<Witness> {
    await stage.open({}, INTERVAL);
    const flow = await Flow.open(stage.port);
    const sys = await ScaleClient.connect(stage.port, 'sys');
    const witness = new Witness(stage, flow, sys);
    sys.onPacket = (first) => witness.#arrived(first);
    sys.write(subscribePacket(1, ['$SYS/broker/uptime'], 0));
    // The retained message and the first one that is published.
    await sys.until(() => sys.received[PacketType.Publish]! > 1);
    flow.start();
    return witness;
  }

  /** From now on it looks. */
  async begin(): Promise<void> {
    await this.#flow.take();
    this.#lastSys = performance.now();
    this.#watching = true;
    if (this.#stage.httpPort !== 0 && this.#stage.peer.name === 'portico') {
      this.#looks = [this.#watchHealth(), this.#watchDelay()];
    }
  }

  async end(): Promise<Figure[]> {
    this.#watching = false;
    this.#longestSys = Math.max(this.#longestSys, performance.now() - this.#lastSys);
    const { p50, p99, worst } = await this.#flow.take();
    await Promise.all(this.#looks);
    await this.#flow.end();
    this.#sys.end();
    const delays = this.#delays;
    const own: Figure[] =
      delays.length === 0
        ? []
        : [
            { name: 'delay of the event loop, p99, median', value: percentile(delays, 0.5), unit: 'ms' },
            {
              name: 'delay of the event loop, p99, at most',
              value: Math.max(...delays),
              unit: 'ms',
              limit: { most: MOST_DELAY_MS },
            },
            {
              name: '/health answers within',
              value: this.#longestHealth,
              unit: 'ms',
              limit: { most: MOST_HEALTH_MS },
            },
          ];
    return [
      ...own,
      {
        name: `between two of $SYS, every ${INTERVAL} s`,
        value: this.#longestSys,
        unit: 'ms',
        limit: { most: INTERVAL * 1000 * MOST_LATENESS },
      },
      { name: 'p50 of other traffic', value: p50, unit: 'ms' },
      { name: 'p99 of other traffic', value: p99, unit: 'ms' },
      { name: 'longest of other traffic', value: worst, unit: 'ms' },
    ];
  }

  #arrived(first: number): void {
    if (first >> 4 !== PacketType.Publish) return;
    const now = performance.now();
    if (this.#watching) this.#longestSys = Math.max(this.#longestSys, now - this.#lastSys);
    this.#lastSys = now;
  }

  async #page(path: string): Promise<string> {
    const url = `http://127.0.0.1:${this.#stage.httpPort}${path}`;
    return (await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) })).text();
  }

  async #watchHealth(): Promise<void> {
    while (this.#watching) {
      const begun = performance.now();
      await this.#page('/health');
      this.#longestHealth = Math.max(this.#longestHealth, performance.now() - begun);
      await sleep(HEALTH_MS);
    }
  }

  /** Only what was measured wholly during the flood counts. */
  async #watchDelay(): Promise<void> {
    await sleep(INTERVAL * 1000);
    for (;;) {
      await sleep(METRICS_MS);
      const delay = DELAY.exec(await this.#page('/metrics'))?.[1];
      this.#delays.push(Number(delay) * 1000);
      if (!this.#watching) return;
    }
  }
}
