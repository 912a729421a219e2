/** The broker's counters as `$SYS/broker/...` shows them. */
import assert from 'node:assert/strict';
import { JsClient } from './mqttjs.js';

const ROOT = '$SYS/broker/';
/** Time for a counter to reach its value, in milliseconds. */
const PATIENCE = 15_000;

/** Of its user, if the broker asks for one. */
interface Credentials {
  readonly username?: string;
  readonly password?: string;
}

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
  static async start(mqttPort: number, credentials: Credentials = {}): Promise<SysWatch> {
    const options = { ...credentials, clientId: 'sys-watch' };
    const client = await JsClient.connect(`mqtt://127.0.0.1:${mqttPort}`, options);
    const watch = new SysWatch(client);
    await client.subscribe(`${ROOT}#`, 0);
    await watch.#until(() => watch.#values.has('version') && watch.#values.has('errors/protocol'), 'the tree');
    return watch;
  }

  #value(name: string): number {
    const text = this.#values.get(name);
    assert.ok(text !== undefined, `there is no ${ROOT}${name}; there are ${[...this.#values.keys()].join(', ')}`);
    return Number(text);
  }

  /**
   * The counters, each as a function of its name below `$SYS/broker/`. What a client has seen happen before is counted
   * in them: they are published after the call.
   */
  async now(): Promise<(name: string) => number> {
    // An acknowledgement comes behind whatever was on its way to this client.
    await this.#client.publish('sys-watch/marker', '', 1);
    this.#values.delete('uptime');
    await this.#until(() => this.#values.has('uptime'), 'uptime');
    await this.#client.publish('sys-watch/marker', '', 1);
    const values = new Map(this.#values);
    return (name) => {
      this.#value(name);
      return Number(values.get(name));
    };
  }

  /** How much each counter grows while `work` goes on. */
  async growth(work: () => Promise<void>): Promise<(name: string) => number> {
    const before = await this.now();
    await work();
    const after = await this.now();
    return (name) => after(name) - before(name);
  }

  /** Waits until more than `seconds` have passed, by the broker's own clock. */
  async passed(seconds: number): Promise<void> {
    const uptime = (): number => Number.parseInt(this.#values.get('uptime') ?? '', 10);
    await this.#until(() => this.#values.has('uptime'), 'uptime');
    const start = uptime();
    await this.#until(() => uptime() > start + seconds, `${seconds} seconds`);
  }

  /** Waits until a counter satisfies a condition, for what no client sees happen. */
  async until(name: string, isRight: (value: number) => boolean, what: string): Promise<void> {
    await this.#until(
      () => isRight(this.#value(name)),
      () => `${name} ${what}, but is ${this.#value(name)}`,
    );
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
