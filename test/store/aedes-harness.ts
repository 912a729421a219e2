/** Persistences for tests, on directories that are removed when the tests of the file have ended. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { after } from 'node:test';
import { Counters } from '../../src/bus/counters.js';
import type { AedesPacket } from '../../src/store/aedes-packets.js';
import { AedesPersistence } from '../../src/store/aedes-persistence.js';
import { GroupCommit } from '../../src/store/commit.js';
import { LevelStore } from '../../src/store/level-store.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { Store } from '../../src/store/store.js';

let root: Promise<string> | null = null;
let directories = 0;

after(async () => {
  if (root !== null) await rm(await root, { recursive: true, force: true });
});

export async function newDirectory(): Promise<string> {
  root ??= mkdtemp(join(tmpdir(), 'portico-aedes-'));
  const directory = join(await root, `${directories++}`);
  await mkdir(directory);
  return directory;
}

/** A persistence that owns its store, as the suite knows nothing but `destroy`. */
export class OwningPersistence extends AedesPersistence {
  readonly #ownStore: Store;
  readonly #ownCommit: GroupCommit;

  constructor(store: Store, commit: GroupCommit) {
    super(store, commit);
    this.#ownStore = store;
    this.#ownCommit = commit;
  }

  override async destroy(): Promise<void> {
    await super.destroy();
    await this.#ownCommit.close();
    await this.#ownStore.close();
  }
}

export async function open(store: Store): Promise<OwningPersistence> {
  await store.open();
  return new OwningPersistence(store, new GroupCommit(store, { sync: 'never', syncInterval: 1000 }, new Counters()));
}

/** A persistence on a directory, set up for a broker. */
export async function reopen(directory: string, broker = { id: 'fixed', counter: 0 }): Promise<OwningPersistence> {
  const persistence = await open(new LevelStore(directory));
  await persistence.setup(broker);
  return persistence;
}

export async function inMemory(): Promise<OwningPersistence> {
  const persistence = await open(new MemoryStore());
  await persistence.setup({ id: 'fixed', counter: 0 });
  return persistence;
}

export async function all(stream: Readable): Promise<AedesPacket[]> {
  return await stream.toArray();
}

export function publication(topic: string, payload: string | Buffer, more: AedesPacket = {}): AedesPacket {
  return { cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false, ...more };
}

export const noSuchPacket = { code: 'PORTICO_NO_SUCH_PACKET' };
