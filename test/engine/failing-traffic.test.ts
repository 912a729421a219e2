/**
 * Random traffic over a store whose writes fail at random, before or after they have reached the disk, for a while or for
 * long, with sessions that fail to say what they have to write: what was acknowledged is there after a restart, what was
 * refused is not. Seeded (test/support/seeds.ts).
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { Session } from '../../src/session/session.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange, Operation, Store } from '../../src/store/store.js';
import { mulberry32, type Random, turn } from '../support/disk.js';
import { Engine, type RawClient } from '../support/engine.js';
import { seeds } from '../support/seeds.js';

const KEPT = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 0xffffffff } } as const;
const UNWRITTEN = 64 * 1024;

/** Takes a few turns for each write; a failure may be one of the flush, behind which everything is written. */
class FailingStore implements Store {
  readonly disk: MemoryStore;
  readonly #random: Random;
  /** Writes that fail from now on. */
  failures = 0;
  failed = 0;

  constructor(disk: MemoryStore, random: Random) {
    this.disk = disk;
    this.#random = random;
  }

  async open(): Promise<void> {}

  async write(operations: Operation[], sync: boolean): Promise<void> {
    for (let turns = this.#random(6); turns > 0; turns--) await turn();
    if (this.failures === 0) {
      await this.disk.write(operations, sync);
      return;
    }
    this.failures--;
    this.failed++;
    if (this.#random(2) === 0) await this.disk.write(operations, sync);
    throw new Error('IO error: No space left on device');
  }

  get(key: Buffer): Promise<Buffer | undefined> {
    return this.disk.get(key);
  }

  entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    return this.disk.entries(range);
  }

  keys(range: KeyRange): AsyncIterable<Buffer> {
    return this.disk.keys(range);
  }

  snapshot(): AsyncIterable<[Buffer, Buffer]> {
    return this.disk.snapshot();
  }

  clear(range: KeyRange): Promise<void> {
    return this.disk.clear(range);
  }

  async close(): Promise<void> {}
}

/** A client whose requests are remembered with their answers. */
class Requester {
  readonly id: string;
  readonly version: 4 | 5;
  readonly acknowledged: string[] = [];
  readonly refused: string[] = [];
  /** By packet identifier: what was asked for, and what is to be done when it is granted. */
  readonly asked = new Map<number, { name: string; granted: () => void }>();
  readonly #releasing = new Set<number>();
  #client: RawClient | null = null;
  #lastId = 0;

  constructor(id: string, version: 4 | 5) {
    this.id = id;
    this.version = version;
  }

  get busy(): boolean {
    return this.asked.size > 0 || this.#releasing.size > 0;
  }

  use(client: RawClient): void {
    this.#client = client;
    this.#listen(client).catch(() => {});
  }

  async #listen(client: RawClient): Promise<void> {
    for (;;) this.#take(client, await client.next());
  }

  #take(client: RawClient, packet: Packet): void {
    const messageId = packet.messageId as number;
    if (packet.cmd === 'pubcomp') this.#releasing.delete(messageId);
    else if (packet.cmd === 'puback' || packet.cmd === 'pubrec') {
      const succeeded = this.#settle(messageId, (packet.reasonCode ?? 0) < 0x80);
      if (packet.cmd === 'puback' || !succeeded) return;
      this.#releasing.add(messageId);
      client.send({ cmd: 'pubrel', messageId });
    } else if (packet.cmd === 'suback' || packet.cmd === 'unsuback') {
      this.#settle(messageId, !(Array.isArray(packet.granted) && (packet.granted[0] as number) >= 0x80));
    }
  }

  #settle(messageId: number, succeeded: boolean): boolean {
    const asked = this.asked.get(messageId);
    assert.ok(asked, `${this.id}: an answer to ${messageId}, which was not asked for`);
    this.asked.delete(messageId);
    (succeeded ? this.acknowledged : this.refused).push(asked.name);
    if (succeeded) asked.granted();
    return succeeded;
  }

  ask(name: string, send: (client: RawClient, messageId: number) => void, granted = (): void => {}): void {
    do this.#lastId = (this.#lastId % 200) + 1;
    while (this.asked.has(this.#lastId) || this.#releasing.has(this.#lastId));
    this.asked.set(this.#lastId, { name, granted });
    send(this.#client as RawClient, this.#lastId);
  }
}

/** Sessions of a broker that fail at random behind, or before, what they have to write. */
class FaultySessions {
  /** Times that one fails from now on. */
  faults = 0;
  met = 0;

  constructor(t: TestContext, engine: Engine, random: Random) {
    const { collect } = Session.prototype;
    const faulty = this;
    t.mock.method(Session.prototype, 'collect', function (this: Session, operations: Operation[]) {
      const fails = faulty.faults > 0 && engine.broker.sessions.get(this.id) === this && random(2) === 0;
      if (!fails || random(2) === 0) collect.call(this, operations);
      if (!fails) return;
      faulty.faults--;
      faulty.met++;
      throw new Error('a fault of ours');
    });
  }
}

/** Everything that waits for the kept session `absent`. */
async function waiting(engine: Engine): Promise<string[]> {
  const client = await engine.connect({ clientId: 'absent', ...KEPT });
  const end = await engine.connect({ clientId: 'end', protocolVersion: 5 });
  end.publish('data/end', 'end', { qos: 1, messageId: 1 });
  const found: string[] = [];
  for (;;) {
    const packet = await client.next();
    const messageId = packet.messageId as number;
    if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId });
    if (packet.cmd !== 'publish') continue;
    if (packet.topic === 'data/end') return found;
    found.push(packet.payload.toString().trim());
    client.send({ cmd: packet.qos === 2 ? 'pubrec' : 'puback', messageId });
  }
}

const CULPRITS = ['a store', 'sessions', 'a store with sessions'] as const;

for (const seed of seeds(24)) {
  const dies = seed % 2 === 1;
  const culprit = CULPRITS[seed % 3];
  test(`${culprit} that fail${culprit === 'sessions' ? '' : 's'} at random, the broker ${dies ? 'dies while it does' : 'recovers'} (seed ${seed})`, async (t) => {
    const random = mulberry32(seed);
    const disk = new MemoryStore();
    const store = new FailingStore(disk, random);
    const commit = { sync: 'always', syncInterval: 1000, retryDelay: 1, unwrittenBytes: UNWRITTEN } as const;
    const engine = await Engine.create({ store, commit });
    const sessions = new FaultySessions(t, engine, random);
    const absent = await engine.connect({ clientId: 'absent', ...KEPT });
    await absent.subscribe('data/#', 2);
    await engine.cut(absent);
    await engine.broker.commit.settled();

    const publishers: Requester[] = [];
    for (const [id, version] of [
      ['new1', 5],
      ['new2', 5],
      ['old1', 4],
      ['old2', 4],
    ] as const) {
      const publisher = new Requester(id, version);
      publisher.use(await engine.connect({ clientId: id, protocolVersion: version }));
      publishers.push(publisher);
    }
    const keeper = new Requester('keeper', 5);
    keeper.use(await engine.connect({ clientId: 'keeper', ...KEPT }));
    const filters = new Map<string, boolean | null>();
    /** Last value of each retained topic that was acknowledged, and all that came behind it. */
    const retained = new Map<string, (string | null)[]>();
    const movers: RawClient[] = [];
    let count = 0;
    let peak = 0;

    for (let step = 0; step < 250; step++) {
      const publisher = publishers[random(publishers.length)];
      const qos = (1 + random(2)) as 1 | 2;
      const name = `${publisher.id} ${++count}`;
      switch (random(12)) {
        case 0:
          if (culprit !== 'sessions') store.failures += random(4);
          if (culprit !== 'a store') sessions.faults += random(4);
          break;
        case 1:
          if (random(3) > 0) break;
          if (culprit === 'a store') store.failures += 40;
          else sessions.faults += 10;
          break;
        case 2: {
          const topic = `r/${publisher.id}/${random(3)}`;
          const values = retained.get(topic) ?? [null];
          retained.set(topic, values);
          const value = `retained ${count}`;
          values.push(value);
          publisher.ask(
            value,
            (client, messageId) => client.publish(topic, value, { qos, retain: true, messageId }),
            () => values.splice(0, values.indexOf(value)),
          );
          break;
        }
        case 3: {
          const filter = `f/${random(5)}`;
          if (filters.get(filter) === null) break;
          const adds = random(2) === 0;
          const before = filters.get(filter) ?? false;
          // Unknown while it is not answered; if it is refused, what was before still is.
          filters.set(filter, null);
          const settled = (): void => {
            filters.set(filter, adds);
          };
          const refusals = keeper.refused.length;
          keeper.ask(
            filter,
            (client, messageId) => {
              if (adds) client.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos: 1 }] });
              else client.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] });
            },
            settled,
          );
          while (!keeper.refused.slice(refusals).includes(filter) && filters.get(filter) === null && random(6) > 0) {
            await turn();
          }
          if (keeper.refused.slice(refusals).includes(filter)) filters.set(filter, before);
          break;
        }
        case 4: {
          const client = engine.open(5);
          client.send({ cmd: 'connect', protocolId: 'MQTT', clientId: 'mover', keepalive: 0, ...KEPT } as Packet);
          movers.push(client);
          break;
        }
        case 5:
          publisher.ask(`free ${count}`, (client, messageId) => client.publish('free', 'x', { qos, messageId }));
          break;
        default:
          publisher.ask(name, (client, messageId) =>
            client.publish('data/x', name.padEnd(random(4) * 1000), { qos, messageId }),
          );
      }
      for (let turns = random(5); turns > 0; turns--) await turn();
      peak = Math.max(peak, engine.broker.commit.load.bytes);
    }
    assert.ok(store.failed + sessions.met > 0, 'nothing has failed');
    assert.equal(engine.broker.counters.commitFaults, sessions.met);
    assert.ok(peak < UNWRITTEN + 32 * 1024, `${peak} bytes waited`);
    if (!dies) {
      store.failures = 0;
      sessions.faults = 0;
      while (publishers.some(({ busy }) => busy) || keeper.busy) await turn();
      await engine.broker.commit.settled();
    }

    // What comes to be acknowledged behind this is not on the disk that the next broker finds.
    const told = publishers.map(({ id, acknowledged, refused, asked }) => ({
      id,
      acknowledged: [...acknowledged],
      refused: [...refused],
      asked: asked.size,
    }));
    const valuesTold = [...retained].map(([topic, values]) => [topic, [...values]] as const);
    const filtersTold = [...filters];
    // What stands on the disk now is what a broker finds that starts after the first one has died.
    const copy = new MemoryStore();
    const all = { gte: Buffer.from([0]), lt: Buffer.alloc(8, 0xff) };
    for await (const [key, value] of disk.entries(all)) await copy.write([{ type: 'put', key, value }], false);
    const next = await Engine.create({ store: copy });
    const refusals = new Set<string | null>(told.flatMap(({ refused }) => refused));
    for (const [topic, values] of valuesTold) {
      const value = next.broker.router.retained.get(topic)?.payload.toString() ?? null;
      assert.ok(values.includes(value) && !refusals.has(value), `${topic} has ${value}`);
    }
    const subscriptions = next.broker.sessions.get('keeper')?.subscriptions;
    for (const [filter, there] of filtersTold) {
      if (there !== null) assert.equal(subscriptions?.has(filter) === true, there, filter);
    }
    const found = await waiting(next);
    for (const { id, acknowledged, refused, asked } of told) {
      const mine = found.filter((name) => name.startsWith(id));
      assert.equal(new Set(mine).size, mine.length, `${id}: something came twice`);
      const order = mine.map((name) => Number(name.split(' ')[1]));
      assert.deepEqual(
        order,
        [...order].sort((a, b) => a - b),
        `${id}: the order`,
      );
      const there = new Set(mine);
      for (const name of acknowledged) if (name.startsWith(id)) assert.ok(there.has(name), `${name} is lost`);
      for (const name of refused) assert.ok(!there.has(name), `${name} was refused`);
      if (!dies) assert.equal(asked, 0);
    }
    for (const mover of movers) mover.destroy();
    await next.stop();
    store.failures = 0;
    sessions.faults = 0;
    await engine.stop();
  });
}
