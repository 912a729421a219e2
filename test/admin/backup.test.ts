/** The backup of a running broker: what is in it, and that no reader holds it, or the broker, for ever. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { after, test } from 'node:test';
import { BackupRoute, LEFT_OUT } from '../../src/admin/backup.js';
import { ControlServer, type Route } from '../../src/admin/control.js';
import { askBroker } from '../../src/admin/control-client.js';
import { Broker } from '../../src/broker.js';
import { BackupReader } from '../../src/store/backup-reader.js';
import { retainedKey } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange, Store } from '../../src/store/store.js';
import { GatedStore } from '../store/gated-store.js';
import { temporaryFolder } from '../support/portico.js';

/** A broker in memory with a control socket. */
class Scene {
  readonly directory = temporaryFolder();
  readonly broker: Broker;
  readonly #control: ControlServer;
  /** Sentences of the log, and who waits for the next. */
  readonly said: string[] = [];
  #said: (() => void)[] = [];
  #asked: (() => void)[] = [];

  private constructor(broker: Broker, patience?: number) {
    this.broker = broker;
    const say = (sentence: string): void => {
      this.said.push(sentence);
      for (const heard of this.#said.splice(0)) heard();
    };
    const log = { info: say, warn: say };
    const route = new BackupRoute({ store: broker.store, commit: broker.commit, portico: '0.1.0' }, log, patience);
    const { method, path } = route;
    const handle: Route['handle'] = (request, response) => {
      const answered = route.handle(request, response);
      for (const asked of this.#asked.splice(0)) asked();
      return answered;
    };
    this.#control = new ControlServer(this.directory, [{ method, path, handle }], log);
  }

  static async start(store: Store, patience?: number): Promise<Scene> {
    const scene = new Scene(await Broker.createBroker({ store }), patience);
    await scene.broker.commit.settled();
    await scene.#control.open();
    scenes.push(scene);
    return scene;
  }

  async ask(): Promise<IncomingMessage> {
    const answer = await askBroker(this.directory, 'GET', '/backup');
    assert.ok(answer !== null);
    return answer;
  }

  /** Resolves when the next backup has been asked for. */
  asked(): Promise<void> {
    return new Promise((resolve) => this.#asked.push(resolve));
  }

  /** Resolves with the first sentence that matches. */
  async hears(words: RegExp): Promise<string> {
    for (;;) {
      const found = this.said.find((sentence) => words.test(sentence));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#said.push(resolve));
    }
  }

  async stop(): Promise<void> {
    await this.#control.close();
    await this.broker.stop();
  }
}

const scenes: Scene[] = [];
after(async () => {
  for (const scene of scenes) await scene.stop();
});

async function keysOf(answer: IncomingMessage): Promise<string[]> {
  const keys: string[] = [];
  const reader = new BackupReader(undefined, (key) => keys.push(key.latin1Slice()));
  for await (const chunk of answer) reader.push(chunk as Buffer);
  reader.end();
  return keys;
}

/** More than sockets and streams take without a reader. */
const MUCH = Buffer.alloc(20_000_000, 'x');

/** A store in memory that knows which snapshots are open. */
class CountingStore extends MemoryStore {
  snapshots = 0;

  override async *entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    this.snapshots++;
    try {
      yield* super.entries(range);
    } finally {
      this.snapshots--;
    }
  }
}

test('what has joined a commit group before the backup is in it, though nobody has been told yet', async () => {
  const store = new GatedStore();
  const scene = await Scene.start(store);
  store.hold();
  const before = store.writes.length;
  scene.broker.publish({ topic: 'first', payload: 'x', retain: true });
  await store.arrived(before + 1);
  scene.broker.publish({ topic: 'second', payload: 'x', retain: true });
  const asked = scene.asked();
  const answer = scene.ask();
  await asked;
  // Both groups have to be let go: the first is being written, the second waits for it.
  store.release();
  await store.arrived(before + 2);
  store.letGo();
  const keys = await keysOf(await answer);
  for (const topic of ['first', 'second']) assert.ok(keys.includes(retainedKey(topic).latin1Slice()), topic);
});

test('a store that cannot be written does not hold up its backup', async () => {
  const store = new GatedStore();
  const scene = await Scene.start(store);
  scene.broker.publish({ topic: 'kept', payload: 'x', retain: true });
  await scene.broker.commit.settled();
  const failed = new Promise((resolve) => {
    scene.broker.commit.onFailure = resolve;
  });
  store.fail(...new Array(1000).fill(new Error('no space left')));
  scene.broker.publish({ topic: 'lost', payload: 'x', retain: true });
  await failed;
  const keys = await keysOf(await scene.ask());
  assert.ok(keys.includes(retainedKey('kept').latin1Slice()));
  assert.ok(!keys.includes(retainedKey('lost').latin1Slice()));
  store.mend();
});

test('how many damaged records are not in a backup stands behind it and in the log', async () => {
  class Damaged extends MemoryStore {
    override snapshot(leftOut?: (key: Buffer) => void): AsyncIterable<[Buffer, Buffer]> {
      for (const topic of ['a', 'b']) leftOut?.(retainedKey(topic));
      return super.snapshot();
    }
  }
  const scene = await Scene.start(new Damaged());
  const answer = await scene.ask();
  await keysOf(answer);
  assert.equal(answer.trailers[LEFT_OUT], '2');
  await scene.hears(/^a backup was taken: \d+ bytes; damaged records that are not in it: 2$/);
});

test('one backup at a time', async () => {
  const scene = await Scene.start(new MemoryStore());
  scene.broker.publish({ topic: 't', payload: MUCH, retain: true });
  await scene.broker.commit.settled();
  const first = await scene.ask();
  await assert.rejects(scene.ask(), /the broker says: another backup is being taken/);
  assert.equal((await keysOf(first)).length, 2);
  await scene.hears(/^a backup was taken: 20\d{6} bytes$/);
  assert.equal((await keysOf(await scene.ask())).length, 2);
});

test('a reader that takes nothing loses its snapshot, and the log says so', async () => {
  const store = new CountingStore();
  const scene = await Scene.start(store, 50);
  scene.broker.publish({ topic: 't', payload: MUCH, retain: true });
  await scene.broker.commit.settled();
  const stalled = await scene.ask();
  assert.equal(store.snapshots, 1);
  stalled.on('error', () => {});
  await scene.hears(/its reader took nothing for 0\.05 s/);
  assert.equal(store.snapshots, 0);
  await assert.rejects(keysOf(stalled), /aborted/);
});

test('a reader that goes away ends its backup', async () => {
  const store = new CountingStore();
  const scene = await Scene.start(store);
  scene.broker.publish({ topic: 't', payload: MUCH, retain: true });
  await scene.broker.commit.settled();
  const answer = await scene.ask();
  await once(answer, 'readable');
  answer.destroy();
  await scene.hears(/its reader went away/);
  assert.equal(store.snapshots, 0);
});

test('the end of the broker breaks a backup off', async () => {
  const store = new CountingStore();
  const scene = await Scene.start(store);
  scene.broker.publish({ topic: 't', payload: MUCH, retain: true });
  await scene.broker.commit.settled();
  const answer = await scene.ask();
  answer.on('error', () => {});
  await scene.stop();
  assert.equal(store.snapshots, 0);
  await assert.rejects(keysOf(answer), /aborted/);
});
