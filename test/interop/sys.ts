/** The broker's counters as `$SYS/broker/...` shows them. */
import assert from 'node:assert/strict';
import { JsClient } from './mqttjs.js';

const ROOT = '$SYS/broker/';
/** Time for a counter to reach its value, in milliseconds. */
const PATIENCE = 15_000;

export class SysWatch {
  readonly #client: JsClient;
  readonly #values = new Map<string, string>();
  readonly #waiting = new Set<() => void>();

  private constructor(client: JsClient) {
    this.#client = client;
    client.raw.on('message', (topic, payload) => {
      this.#values.set(topic.slice(ROOT.length), payload.toString());
      for (const check of this.#waiting) check();
    });
  }

  /** Watches a broker whose `sys.interval` is 1. */
  static async start(mqttPort: number): Promise<SysWatch> {
    const client = await JsClient.connect(`mqtt://127.0.0.1:${mqttPort}`, { clientId: 'sys-watch' });
    const watch = new SysWatch(client);
    await client.subscribe(`${ROOT}#`, 0);
    await watch.#until(() => watch.#values.has('version') && watch.#values.has('errors/protocol'), 'the tree');
    return watch;
  }

  /** The last published value of a counter below `$SYS/broker/`. */
  value(name: string): number {
    const text = this.#values.get(name);
    assert.ok(text !== undefined, `there is no ${ROOT}${name}; there are ${[...this.#values.keys()].join(', ')}`);
    return Number(text);
  }

  /** Names and values of all counters below a prefix. */
  below(prefix: string): Map<string, number> {
    const found = [...this.#values].filter(([name]) => name.startsWith(prefix));
    return new Map(found.map(([name, text]) => [name, Number(text)]));
  }

  /** Waits until a counter satisfies a condition; returns it. */
  async until(name: string, isRight: (value: number) => boolean, what: string): Promise<number> {
    this.value(name);
    await this.#until(
      () => isRight(this.value(name)),
      () => `${name} ${what}, but is ${this.value(name)}`,
    );
    return this.value(name);
  }

  /** Waits until a counter has this value exactly. It must not pass it: a counter never goes down again. */
  async reaches(name: string, value: number): Promise<void> {
    const reached = await this.until(name, (now) => now >= value, `should become ${value}`);
    assert.equal(reached, value, name);
  }

  async #until(isRight: () => boolean, what: string | (() => string)): Promise<void> {
    if (isRight()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        reject(new Error(`$SYS: ${typeof what === 'string' ? what : what()}`));
      }, PATIENCE);
      const check = (): void => {
        if (!isRight()) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
    });
  }

  async end(): Promise<void> {
    await this.#client.end();
  }
}
