/** A store as a broker leaves it when it is killed, copies of it to damage, and what a broker serves of each. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { Level } from 'level';
import type { BrokerOptions } from '../../src/broker.js';
import { RecordView } from '../../src/session/queue-record.js';
import type { Damage } from '../../src/store/damage.js';
import { Family, familyRange, parseQueueKey, queueRangeFrom } from '../../src/store/keys.js';
import { LevelStore } from '../../src/store/level-store.js';
import type { Operation } from '../../src/store/store.js';
import { Engine } from '../support/engine.js';
import { bringFormer, bringKinds, inherited, isOfAKind } from './damage-kinds.js';

const TOPICS = 300;
const SESSIONS = 6;
const MESSAGES = 60;
/** Lives of the broker before the one that is killed: each leaves its log to be made a table by the next. */
const LIVES = 6;

const root = mkdtempSync(join(tmpdir(), 'portico-damage-'));
after(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;

/** A new data directory; the store is in `store` below it. */
export function newDirectory(): string {
  return join(mkdtempSync(join(root, `${directories++}-`)));
}

/** Everything that a broker serves. */
export interface Served {
  /** By topic. */
  readonly retained: Record<string, string>;
  /** Payloads by client identifier, in order. */
  readonly queues: Record<string, string[]>;
  /** `client filter`, sorted. */
  readonly subscriptions: string[];
}

export interface Scene {
  /** Data directory of the killed broker. */
  readonly directory: string;
  /** Every payload that was ever published retained on a topic. */
  readonly published: ReadonlyMap<string, ReadonlySet<string>>;
  /** Subscriptions that were ended, as `Served` has them. */
  readonly ended: ReadonlySet<string>;
}

/** Compressible and not, so that blocks of both kinds are there. */
function body(name: string, i: number): string {
  const noise = Buffer.from(`${name}${i}`).toString('base64');
  return `${name} ${i % 2 === 0 ? 'abcdefgh'.repeat(i % 30) : noise.repeat(i % 7)}`;
}

export async function killedStore(): Promise<Scene> {
  const live = newDirectory();
  const directory = newDirectory();
  const published = new Map<string, Set<string>>();
  const retain = (engine: Engine, topic: string, payload: string): void => {
    engine.broker.publish({ topic, payload, qos: 1, retain: true });
    const known = published.get(topic);
    if (known === undefined) published.set(topic, new Set([payload]));
    else known.add(payload);
  };
  for (let life = 0; ; life++) {
    const engine = await Engine.create({ store: new LevelStore(join(live, 'store')) });
    if (life === 0) {
      await subscribe(engine);
      await bringFormer(engine);
    }
    for (let i = 0; i < TOPICS; i++) {
      if (i % LIVES !== life % LIVES && i % 7 !== 0) continue;
      retain(engine, `r/${i}`, body(`r/${i} in life ${life}`, i));
    }
    if (life === 3) await unsubscribe(engine);
    if (life === 2)
      for (let i = 0; i < TOPICS; i += 10) engine.broker.publish({ topic: `r/${i}`, payload: '', retain: true });
    for (let i = 0; i < MESSAGES; i++) {
      for (let n = 0; n < SESSIONS; n++) {
        engine.broker.publish({
          topic: `q/${n}`,
          payload: body(`q/${n} message ${life}.${i}`, i),
          qos: n % 2 === 0 ? 1 : 2,
        });
      }
      engine.broker.publish({ topic: 'shared/x', payload: body(`shared ${life}.${i}`, i), qos: 1 });
      // A few commit groups instead of one.
      if (i % 10 === 0) await engine.broker.commit.settled();
    }
    if (life < LIVES) {
      await engine.stop();
      continue;
    }
    for (let n = 0; n < 5; n++) {
      const will = { topic: `w/${n}`, payload: Buffer.from(body(`will ${n}`, n)), qos: 1, retain: true } as const;
      published.set(will.topic, new Set([String(will.payload)]));
      await engine.connect({ clientId: `willing ${n}`, will });
    }
    await bringKinds(engine, () => cpSync(join(live, 'store'), join(directory, 'store'), { recursive: true }));
    await engine.stop();
    const ended = new Set(Array.from({ length: SESSIONS }, (_, n) => `s${n} old/${n}`));
    return { directory, published, ended };
  }
}

/** A killed store with one of each kind: what they replace is in a table, they are in the log. */
export async function killedKinds(): Promise<string> {
  const live = join(newDirectory(), 'store');
  const directory = newDirectory();
  const first = await Engine.create({ store: new LevelStore(live) });
  await bringFormer(first);
  await first.stop();
  const engine = await Engine.create({ store: new LevelStore(live) });
  await bringKinds(engine, () => cpSync(live, join(directory, 'store'), { recursive: true }));
  await engine.stop();
  return directory;
}

async function subscribe(engine: Engine): Promise<void> {
  for (let n = 0; n < SESSIONS; n++) {
    const client = await engine.connect({ clientId: `s${n}`, clean: false });
    await client.subscribe(`q/${n}`, n % 2 === 0 ? 1 : 2);
    await client.subscribe('$share/g/shared/+', 1, 2);
    await client.subscribe(`old/${n}`, 1, 3);
    await engine.cut(client);
  }
}

async function unsubscribe(engine: Engine): Promise<void> {
  for (let n = 0; n < SESSIONS; n++) {
    const client = await engine.connect({ clientId: `s${n}`, clean: false });
    client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: [`old/${n}`] });
    while ((await client.next()).cmd !== 'unsuback');
    await engine.cut(client);
  }
}

export function copyOf(scene: Pick<Scene, 'directory'>): string {
  const directory = newDirectory();
  cpSync(scene.directory, directory, { recursive: true });
  return directory;
}

/** Names of the files of a copy's store that make it up. */
export function filesOf(directory: string): string[] {
  return readdirSync(join(directory, 'store'))
    .filter((name) => /^(\d+\.(log|ldb)|CURRENT|MANIFEST-\d+)$/.test(name))
    .sort();
}

export function foldersOf(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^damaged-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?$/.test(name))
    .sort();
}

export interface Start {
  readonly directory: string;
  readonly engine: Engine;
  readonly store: LevelStore;
  readonly damages: Damage[];
  /** What the log says of damage. */
  readonly lines: string[];
}

export async function start(directory: string): Promise<Start> {
  const store = new LevelStore(join(directory, 'store'));
  const lines: string[] = [];
  const journal = {
    connected() {},
    disconnected() {},
    refused() {},
    loginFailed() {},
    denied() {},
    subscribed() {},
    unsubscribed() {},
    limit() {},
    storeFailed: (error) => lines.push(`failed: ${error}`),
    internalFault: (error) => lines.push(`fault: ${error}`),
    storeSilent() {},
    storeRecovered() {},
    syncFailed() {},
    syncRecovered() {},
    storeDamaged: (sentence) => lines.push(sentence),
    storeTorn: (sentence) => lines.push(`torn: ${sentence}`),
  } satisfies BrokerOptions['journal'];
  const damages: Damage[] = [];
  let tell: ((damage: Damage) => void) | null = null;
  Object.defineProperty(store, 'onDamage', {
    get: () => (damage: Damage) => {
      damages.push(damage);
      tell?.(damage);
    },
    set: (told: (damage: Damage) => void) => {
      tell = told;
    },
  });
  return { directory, engine: await Engine.create({ store, journal }), store, damages, lines };
}

/** What a started broker has, read from its memory and its store. */
export async function served({ engine, store }: Start): Promise<Served> {
  const { broker } = engine;
  await inherited(engine);
  // Wills of the clients that the kill disconnected.
  engine.pass(1);
  const retained: Record<string, string> = {};
  for (const { topic, payload } of broker.router.retained.match('#')) retained[topic] = String(payload);
  const queues: Record<string, string[]> = {};
  const subscriptions: string[] = [];
  const view = new RecordView();
  for (const session of broker.sessions.all()) {
    for (const filter of session.subscriptions.keys()) subscriptions.push(`${session.id} ${filter}`);
    const payloads: string[] = [];
    let last = -1;
    for await (const [key, value] of store.entries(queueRangeFrom(session.number, 0))) {
      const { first, count } = parseQueueKey(key);
      assert.ok(first > last, 'segments overlap');
      last = first + count - 1;
      for (let at = 1; at < value.length; at = view.payloadEnd) {
        view.read(value, at);
        payloads.push(String(value.subarray(view.payloadStart, view.payloadEnd)));
      }
    }
    queues[session.id] = payloads;
  }
  return { retained, queues, subscriptions: subscriptions.sort() };
}

/**
 * What is served of a damaged store was published, in that order and to that client; it was subscribed to, perhaps once.
 * That of the kinds is judged by `foundIn`.
 */
export function assertGenuine(scene: Scene, found: Served, whole: Served): void {
  for (const [topic, payload] of Object.entries(found.retained)) {
    if (isOfAKind(topic)) continue;
    assert.ok(scene.published.get(topic)?.has(payload), `${topic} has a payload that was never published`);
  }
  for (const [client, payloads] of Object.entries(found.queues)) {
    if (isOfAKind(client)) continue;
    const rest = whole.queues[client].values();
    for (const payload of payloads) {
      let next = rest.next();
      while (!next.done && next.value !== payload) next = rest.next();
      assert.ok(!next.done, `${client} has ${payload.slice(0, 40)}, which was not queued for it there`);
    }
  }
  for (const subscription of found.subscriptions) {
    if (isOfAKind(subscription)) continue;
    assert.ok(whole.subscriptions.includes(subscription) || scene.ended.has(subscription), subscription);
  }
}

/** The folder that a start has made holds the files as they were. */
export function assertSetAside(directory: string, originals: ReadonlyMap<string, Buffer>): void {
  const [folder, ...others] = foldersOf(directory);
  assert.ok(folder !== undefined && others.length === 0, 'one folder');
  for (const [name, bytes] of originals) {
    assert.ok(readFileSync(join(directory, folder, 'store', name)).equals(bytes), `${name} is not what it was`);
  }
}

export function originalsOf(directory: string): Map<string, Buffer> {
  return new Map(filesOf(directory).map((name) => [name, readFileSync(join(directory, 'store', name))]));
}

/** Number of segments in the store. */
export async function segmentsIn(store: LevelStore): Promise<number> {
  let count = 0;
  for await (const _ of store.keys(familyRange(Family.Queue))) count++;
  return count;
}

/** What decodes to nothing, whatever it stands for. */
export const NONSENSE: Buffer = Buffer.from([0xee, 1, 2, 3]);

/** Writes with right checksums, as the store would. */
export async function put(directory: string, ...operations: Operation[]): Promise<void> {
  const store = new LevelStore(join(directory, 'store'));
  await store.open();
  await store.write(operations, true);
  await store.close();
}

/** Changes a stored value behind the store's back. */
export async function scratch(directory: string, key: Buffer): Promise<void> {
  const db = new Level<Buffer, Buffer>(join(directory, 'store'), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await db.open();
  const value = await db.get(key);
  assert.ok(value !== undefined);
  const scratched = Buffer.from(value);
  scratched[scratched.length >> 1] ^= 4;
  await db.put(key, scratched);
  await db.close();
}

/** What stands in the file of values of the only folder. */
export function valuesAside(directory: string): { what: string; why: string; key: string; value: string }[] {
  const [folder, ...more] = foldersOf(directory);
  assert.ok(folder !== undefined && more.length === 0);
  const lines = readFileSync(join(directory, folder, 'values.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => JSON.parse(line));
}

/** Changes a bit of a file. */
export function flip(path: string, at: number, bit: number): void {
  const bytes = readFileSync(path);
  bytes[at] ^= 1 << bit;
  writeFileSync(path, bytes);
}
