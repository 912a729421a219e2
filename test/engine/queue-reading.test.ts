/** A queue that is longer than its memory, read back from the store while more arrives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Family, familyRange, parseQueueKey, queueKey } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange, Operation } from '../../src/store/store.js';
import { Engine } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';

/** A store that pauses after each entry of a range, and before it writes, until the test lets it go on. */
class SlowStore extends MemoryStore {
  #readers: (() => void)[] = [];
  #writers: (() => void)[] = [];
  #arrived: (() => void) | null = null;
  slowReading = false;
  slowWriting = false;

  override async *entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    for await (const entry of super.entries(range)) {
      yield entry;
      if (this.slowReading) await this.#pause(this.#readers);
    }
  }

  override async write(operations: Operation[], sync: boolean): Promise<void> {
    if (this.slowWriting) await this.#pause(this.#writers);
    await super.write(operations, sync);
  }

  async #pause(list: (() => void)[]): Promise<void> {
    await new Promise<void>((resolve) => {
      list.push(resolve);
      this.#arrived?.();
      this.#arrived = null;
    });
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  /** Resolves when a reader pauses. */
  readerPaused(): Promise<void> {
    return this.#until(() => this.#readers.length > 0);
  }

  /** Resolves when a write waits. */
  writerPaused(): Promise<void> {
    return this.#until(() => this.#writers.length > 0);
  }

  /** Lets the reader go on to its next entry. */
  readOn(): void {
    this.#readers.shift()?.();
  }

  /** Lets everything go on, and pauses nothing more. */
  release(): void {
    this.slowReading = false;
    this.slowWriting = false;
    for (const resume of [...this.#readers.splice(0), ...this.#writers.splice(0)]) resume();
  }
}

test('messages that are queued while the store is being read are neither passed over nor overtaken', async () => {
  const store = new SlowStore();
  const engine = await Engine.create({ store, session: { queueMemory: 1 } });
  const first = await engine.connect({ clientId: 's', clean: false });
  await first.subscribe('t', 1);
  await engine.cut(first);
  const publisher = await engine.connect({ clientId: 'p' });
  // Each is a commit group and so a segment of its own; beyond the memory they are only in the store.
  for (let i = 1; i <= 3; i++) {
    publisher.publish('t', String(i), { qos: 1, messageId: i });
    await publisher.expect('puback');
  }
  store.slowReading = true;
  const back = await engine.connect({ clientId: 's', clean: false });
  await store.readerPaused();
  // The reader stands behind its first entry. A message is queued behind all of them and is not written yet.
  store.slowWriting = true;
  publisher.publish('t', '4', { qos: 1, messageId: 4 });
  await store.writerPaused();
  // Then the reader has handed over its last entry and does not know yet that it was the last.
  for (let i = 2; i <= 3; i++) {
    store.readOn();
    await store.readerPaused();
  }
  // The session looks for what to send next, as after an acknowledgement; another message comes in.
  engine.broker.sessions.get('s')?.outbound.pump();
  publisher.publish('t', '5', { qos: 1, messageId: 5 });
  await publisher.drain();
  store.release();
  for (let expected = 1; expected <= 5; expected++) {
    const packet = await back.expect('publish');
    assert.equal(packet.payload.toString(), String(expected));
    back.send({ cmd: 'puback', messageId: packet.messageId as number });
  }
  assert.deepEqual(await back.drain(), []);
  assert.equal(engine.broker.sessions.get('s')?.outbound.waiting, 0);
  await engine.stop();
});

test('numbers without messages are passed over at once, however many there are', async () => {
  const store = new LastingStore();
  const first = await Engine.create({ store });
  const client = await first.connect({ clientId: 's', clean: false });
  await client.subscribe('t', 1);
  await first.cut(client);
  first.broker.publish({ topic: 't', payload: 'before', qos: 1 });
  await first.broker.commit.settled();
  await first.stop();
  // A key that says that the message is the 2^40th one.
  for await (const [key, value] of store.entries(familyRange(Family.Queue))) {
    const { session, count, bytes, expiresAt } = parseQueueKey(key);
    const far = queueKey(session, 2 ** 40, count, bytes, expiresAt);
    await store.write([{ type: 'put', key: far, value }], true);
    await store.write([{ type: 'del', key }], true);
  }
  const second = await Engine.create({ store });
  const again = await second.connect({ clientId: 's', clean: false });
  assert.equal(String((await again.expect('publish')).payload), 'before');
  second.broker.publish({ topic: 't', payload: 'after', qos: 1 });
  assert.equal(String((await again.expect('publish')).payload), 'after');
  await second.stop();
});
