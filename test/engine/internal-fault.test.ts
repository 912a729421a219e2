/**
 * A fault of the broker itself, in who says what a commit group has to write: nothing is acknowledged that is not durable,
 * nothing is lost, and what was held up is written once the fault is over.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session } from '../../src/session/session.js';
import type { Outage } from '../../src/store/commit.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';
import { journalOf } from '../support/journal.js';

const KEPT = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 0xffffffff } } as const;
const FAULT = new Error('a fault of ours');

class Scene {
  readonly store = new GatedStore();
  readonly faults: unknown[] = [];
  readonly failures: unknown[] = [];
  readonly limits = new Set<string>();
  readonly outages: Outage[] = [];
  engine!: Engine;

  /** A broker with a kept session `absent`, which is subscribed to `data` and not connected. */
  static async create(): Promise<Scene> {
    const scene = new Scene();
    scene.engine = await Engine.create({
      store: scene.store,
      commit: { sync: 'always', syncInterval: 1000, retryDelay: 1 },
      journal: journalOf({
        internalFault: (error) => scene.faults.push(error),
        storeFailed: (error) => scene.failures.push(error),
        limit: (_, option) => scene.limits.add(option),
        storeRecovered: (outage) => scene.outages.push(outage),
      }),
    });
    const absent = await scene.engine.connect({ clientId: 'absent', ...KEPT });
    await absent.subscribe('data', 2);
    await scene.engine.cut(absent);
    await scene.engine.broker.commit.settled();
    return scene;
  }

  get absent(): Session {
    return this.engine.broker.sessions.get('absent') as Session;
  }

  /** Resolves when the broker has met so many faults. */
  async met(count: number): Promise<void> {
    while (this.faults.length < count) await new Promise((resolve) => setImmediate(resolve));
  }

  /** A group has been tried once more, with all that has joined until now. */
  async triedAgain(): Promise<void> {
    await this.met(this.faults.length + 2);
  }

  /**
   * What a broker has that starts now on the same disk: its retained value of `data`, and what waits for `absent`, once the
   * publisher has sent again what it has no PUBCOMP for.
   */
  async found(): Promise<{ retained: string | undefined; queued: string[] }> {
    const next = await Engine.create({ store: this.store.afterCrash() });
    const publisher = await next.connect({ clientId: 'publisher', clean: false });
    for (const messageId of [1, 2]) {
      publisher.send({ cmd: 'publish', topic: 'data', payload: 'again', qos: 2, retain: true, messageId, dup: true });
      assert.equal((await publisher.expect('pubrec')).messageId, messageId);
    }
    const retained = next.broker.router.retained.get('data')?.payload.toString();
    const left = next.broker.sessions.get('absent')?.outbound.waiting ?? 0;
    const absent = await next.connect({ clientId: 'absent', ...KEPT });
    const queued = [];
    for (let count = 0; count < left; count++) queued.push((await absent.expect('publish')).payload.toString());
    assert.deepEqual(await absent.drain(), []);
    await next.stop();
    return { retained, queued };
  }
}

for (const [who, breaks] of [
  [
    'a session that fails behind what it has to write',
    ({ absent }: Scene): (() => void) => {
      const { collect } = absent;
      absent.collect = (operations) => {
        collect.call(absent, operations);
        throw FAULT;
      };
      return () => {
        absent.collect = collect;
      };
    },
  ],
  [
    'the retained messages',
    ({ engine }: Scene): (() => void) => {
      const { retained } = engine.broker.router;
      const { kept } = retained;
      retained.kept = () => {
        throw FAULT;
      };
      return () => {
        retained.kept = kept;
      };
    },
  ],
] as const) {
  test(`a fault of ${who}: nothing is acknowledged, nothing is lost, and it is not told as one of the store`, async () => {
    const scene = await Scene.create();
    const { engine, store } = scene;
    // The oldest protocols cannot be told, so they wait.
    const publisher = await engine.connect({ clientId: 'publisher', clean: false });
    const told = await engine.connect({ clientId: 'told', protocolVersion: 5 });
    const free = await engine.connect({ clientId: 'free' });
    await free.subscribe('free', 1);
    await engine.broker.commit.settled();
    const writes = store.writes.length;
    const mend = breaks(scene);
    publisher.publish('data', 'first', { qos: 2, retain: true, messageId: 1 });
    await scene.met(1);
    publisher.publish('data', 'second', { qos: 2, retain: true, messageId: 2 });
    assert.deepEqual(await publisher.drain(), []);
    await scene.triedAgain();
    assert.equal(store.writes.length, writes, 'no part of it is written: not that the publisher has sent it, either');
    told.publish('data', 'refused', { qos: 1, messageId: 1 });
    assert.equal((await told.expect('puback')).reasonCode, 0x97);
    told.publish('free', 'goes on', { qos: 1, messageId: 2 });
    assert.equal((await free.expect('publish')).payload.toString(), 'goes on');
    assert.deepEqual([await publisher.drain(), [...scene.limits]], [[], ['internal fault']]);
    mend();
    assert.equal((await publisher.expect('pubrec')).messageId, 1);
    assert.equal((await publisher.expect('pubrec')).messageId, 2);
    assert.deepEqual(await scene.found(), { retained: 'second', queued: ['first', 'second'] });
    assert.ok(scene.faults.every((fault) => fault === FAULT));
    assert.equal(engine.broker.counters.commitFaults, scene.faults.length);
    assert.deepEqual([scene.failures, engine.broker.counters.commitFailures], [[], 0]);
    assert.deepEqual(
      scene.outages.map(({ faulty, refused }) => [faulty, refused]),
      [[true, 1]],
    );
    await engine.stop();
  });
}
