/** Dropped messages leave the store while others are being sent: nothing that is in flight goes with them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Family } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange } from '../../src/store/store.js';
import { Engine, type RawClient } from '../support/engine.js';

/** A memory store that outlives its broker, and whose keys of queues come only when a test lets them. */
class SlowKeys extends MemoryStore {
  #gate: Promise<void> | null = null;
  #open = (): void => {};
  #asked = (): void => {};

  /** Holds back the keys of queues; resolves when somebody has asked for them. */
  hold(): Promise<void> {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
    return new Promise((resolve) => {
      this.#asked = resolve;
    });
  }

  letGo(): void {
    this.#gate = null;
    this.#open();
  }

  override async *keys(range: KeyRange): AsyncIterable<Buffer> {
    const found: Buffer[] = [];
    for await (const key of super.keys(range)) found.push(key);
    if (this.#gate !== null && range.gte[0] === Family.Queue) {
      this.#asked();
      await this.#gate;
    }
    yield* found;
  }

  override async close(): Promise<void> {}
}

const KEPT = { clientId: 's', clean: false } as const;

async function publish(engine: Engine, from: number, to: number, together: number): Promise<void> {
  for (let i = from; i <= to; i++) {
    engine.broker.publish({ topic: 't', payload: String(i), qos: 1 });
    if (i % together === 0) await engine.broker.commit.settled();
  }
  await engine.broker.commit.settled();
}

async function received(client: RawClient): Promise<string[]> {
  return (await client.drain()).flatMap((packet) => (packet.cmd === 'publish' ? [String(packet.payload)] : []));
}

test('drop_oldest: what is in flight stays in the store while messages behind it are dropped and taken out', async () => {
  const store = new SlowKeys();
  const session = { queuedMessages: 10, queueFull: 'drop_oldest', queueMemory: 1, maxInflight: 3 } as const;
  const engine = await Engine.create({ store, session });
  const first = await engine.connect(KEPT);
  await first.subscribe('t', 1);
  await engine.cut(first);
  await publish(engine, 1, 1100, 10);
  const client = await engine.connect(KEPT);
  assert.deepEqual(await received(client), ['1091', '1092', '1093']);

  const asked = store.hold();
  const { outbound } = engine.broker.sessions.get('s') ?? assert.fail('no session');
  const sweep = outbound.sweep(engine.clock.now());
  await asked;
  // These drop what waits behind the three, in the same segment of the store.
  await publish(engine, 1101, 1110, 10);
  store.letGo();
  await sweep;
  await engine.broker.commit.settled();
  await engine.stop();

  const again = await Engine.create({ store, session: { ...session, maxInflight: 100 } });
  const back = await again.connect(KEPT);
  assert.deepEqual((await received(back)).slice(0, 3), ['1091', '1092', '1093']);
  await again.stop();
});
