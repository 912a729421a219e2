/** An acknowledgement says that the retained state is durable, whoever has changed it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { Operation } from '../../src/store/store.js';
import { Engine } from '../support/engine.js';

/** A store whose writes wait until they are let go. */
class HeldStore extends MemoryStore {
  #let: (() => void) | null = null;
  #held: Promise<void> = Promise.resolve();

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#let = resolve;
    });
  }

  letGo(): void {
    this.#let?.();
  }

  override async write(operations: Operation[], sync: boolean): Promise<void> {
    await this.#held;
    await super.write(operations, sync);
  }
}

test('who clears a retained message that another client is just clearing is told after the store has it', async () => {
  const store = new HeldStore();
  const engine = await Engine.create({ store });
  const one = await engine.connect({ clientId: 'one' });
  const two = await engine.connect({ clientId: 'two' });
  one.publish('t', 'value', { qos: 1, retain: true, messageId: 1 });
  await one.expect('puback');
  store.hold();
  one.publish('t', '', { qos: 1, retain: true, messageId: 2 });
  assert.deepEqual(await one.drain(), []);
  two.publish('t', '', { qos: 1, retain: true, messageId: 1 });
  assert.deepEqual(await two.drain(), []);
  store.letGo();
  await one.expect('puback');
  await two.expect('puback');
  await engine.stop();
});
