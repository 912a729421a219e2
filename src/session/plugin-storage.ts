/**
 * What a plugin keeps from one start to the next: small records by text keys, written in the groups of everything else.
 * They are in memory too, for a store that has to be written anew.
 */
import { ErrorKinds, PorticoError } from '../errors.js';
import { pluginKey, pluginParts, pluginRange } from '../store/keys.js';
import type { Operation } from '../store/store.js';
import type { Environment } from './environment.js';
import { UNWRITABLE } from './reasons.js';

export class PluginStorage {
  readonly #environment: Environment;
  readonly #plugin: string;
  readonly #records = new Map<string, Buffer>();
  #read = false;

  constructor(environment: Environment, plugin: string) {
    this.#environment = environment;
    this.#plugin = plugin;
  }

  /** The one of a plugin: the same for each that asks. */
  static of(environment: Environment, plugin: string): PluginStorage {
    const { storages } = environment;
    let storage = storages.get(plugin);
    if (storage === undefined) {
      storage = new PluginStorage(environment, plugin);
      storages.set(plugin, storage);
    }
    return storage;
  }

  /**
   * What was kept, in the order of the keys; to be called once, before anything is put.
   * @param decode makes sense of a value, and of its key; a record for which it throws is set aside like any that cannot be read
   */
  async entries<T>(decode: (value: Buffer, key: string) => T): Promise<[key: string, record: T][]> {
    const { store, sessions } = this.#environment;
    const reader = sessions.reader();
    const found: [string, T][] = [];
    for await (const [key, value] of store.entries(pluginRange(this.#plugin), true)) {
      const [, name] = pluginParts(key);
      const record = reader.read(key, value, () => {
        // Nothing could delete it by its name.
        if (!pluginKey(this.#plugin, name).equals(key)) throw new TypeError('a stored key is not UTF-8');
        return decode(value, name);
      });
      if (record === null) continue;
      this.#records.set(name, value);
      found.push([name, record]);
    }
    await reader.finish();
    this.#read = true;
    return found;
  }

  /**
   * Keeps a record; it joins the open group before this returns. Resolves once it is durable, and never after the broker
   * has stopped. The value must stay as it is.
   * @throws PorticoError `PORTICO_STORE_COMMIT` if the store can take nothing now: nothing has changed then
   */
  put(key: string, value: Buffer): Promise<void> {
    return this.#change({ type: 'put', key: pluginKey(this.#plugin, key), value }, () => this.#records.set(key, value));
  }

  /** Forgets a record, which need not be there; otherwise like `put`. */
  delete(key: string): Promise<void> {
    return this.#change({ type: 'del', key: pluginKey(this.#plugin, key) }, () => this.#records.delete(key));
  }

  #change(operation: Operation, apply: () => void): Promise<void> {
    const { commit, journal } = this.#environment;
    if (commit.load.strained) {
      journal.limit(null, commit.load.cause, `a change of ${this.#plugin} was refused`);
      throw new PorticoError(ErrorKinds.StoreCommit, UNWRITABLE);
    }
    apply();
    commit.add(operation);
    return new Promise((resolve) => commit.whenSettled(resolve));
  }

  /** Whether a record is known not to be kept. */
  forgets(key: string): boolean {
    return this.#read && !this.#records.has(key);
  }

  /** Writes everything again. */
  writeAnew(): void {
    const { commit } = this.#environment;
    for (const [key, value] of this.#records) {
      commit.add({ type: 'put', key: pluginKey(this.#plugin, key), value });
    }
  }
}
