/** A hook that takes its time. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Broker } from '../../src/broker.js';

/** An `authorizePublish` that decides when the test says so, in any order. */
export class SlowHook {
  /** In the order in which they were asked. */
  readonly asked: ((error?: Error | null) => void)[] = [];

  constructor(broker: Broker) {
    broker.authorizePublish = (_client, _packet, answer) => void this.asked.push(answer);
  }

  /** So many have been asked. */
  async has(count: number): Promise<void> {
    while (this.asked.length < count) await turn();
  }
}
