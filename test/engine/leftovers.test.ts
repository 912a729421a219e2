/** What ended sessions leave in the store. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Family, familyRange } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange } from '../../src/store/store.js';
import { Engine } from '../support/engine.js';

/** Counts how many ranges are being cleared. */
class CountingStore extends MemoryStore {
  #clearing = 0;
  mostClearing = 0;
  cleared = 0;

  override async clear(range: KeyRange): Promise<void> {
    this.mostClearing = Math.max(this.mostClearing, ++this.#clearing);
    await new Promise((resolve) => setImmediate(resolve));
    await super.clear(range);
    this.#clearing--;
    this.cleared++;
  }
}

async function segments(store: MemoryStore): Promise<number> {
  let count = 0;
  for await (const _ of store.keys(familyRange(Family.Queue))) count++;
  return count;
}

test('the queues of sessions that end at once leave the store one after the other', async () => {
  const store = new CountingStore();
  const engine = await Engine.create({ store });
  for (let i = 0; i < 20; i++) {
    const client = await engine.connect({ clientId: `c${i}`, clean: false });
    await client.subscribe('t', 1);
    await engine.cut(client);
  }
  engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
  await engine.broker.commit.settled();
  assert.equal(await segments(store), 20);
  for (const session of [...engine.broker.sessions.all()]) engine.broker.sessions.end(session);
  while (store.cleared < 20) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await segments(store), 0);
  assert.equal(store.mostClearing, 1);
  await engine.stop();
});
