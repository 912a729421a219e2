/**
 * Observations of registered devices that outlive the broker: each is a record in the plugin's storage, beside the
 * registration of its device.
 */
import { isValidName } from '../../bus/topics.js';
import { isSendable } from '../../coap/client/request.js';
import { Method } from '../../coap/codes.js';
import type { PluginStorage } from '../plugin.js';

/** An observation as it is stored. */
export interface KeptObservation {
  /** The `id` of the registration. */
  readonly observes: string;
  readonly path: readonly string[];
  readonly query: readonly string[];
  readonly accept?: number | undefined;
  /** Of the message that asked for it: its states and its end are published with it. */
  readonly qos: 0 | 1 | 2;
  /** Where its end is told, if not below the resource. */
  readonly answer?: string | undefined;
  /** Correlation Data in base64. */
  readonly correlation?: string | undefined;
}

export function isKeptObservation(stored: object): stored is KeptObservation {
  return 'observes' in stored;
}

/**
 * @param key that it is stored by
 * @throws Error if it is none
 */
export function checkedObservation(stored: KeptObservation, key: string): KeptObservation {
  const { observes, path, query, accept = 0, qos, answer = '-', correlation = '' } = stored;
  const texts: readonly unknown[] = [observes, answer, correlation].concat(path, query);
  const areLists = Array.isArray(path) && Array.isArray(query);
  const areTexts = areLists && texts.every((text) => typeof text === 'string');
  const isRequest = areTexts && path.every(isLevel) && isSendable({ method: Method.Get, path, query, accept }, 0);
  if (isRequest && keyOf(stored) === key && isValidName(answer) && [0, 1, 2].includes(qos)) return stored;
  throw new Error('an observation does not parse');
}

/** Whether a segment of a path can be a level of a topic. */
function isLevel(segment: string): boolean {
  return segment === '' || (isValidName(segment) && !segment.includes('/'));
}

export class KeptObservations {
  readonly #storage: () => PluginStorage;
  /** Keys of those that are over, and that the store could not forget yet. */
  readonly #over = new Set<string>();

  constructor(storage: () => PluginStorage) {
    this.#storage = storage;
  }

  /** Resolves once it is durable; null if the store can take nothing now. */
  put(observation: KeptObservation): Promise<void> | null {
    const key = keyOf(observation);
    try {
      const durable = this.#storage().put(key, Buffer.from(JSON.stringify(observation)));
      this.#over.delete(key);
      return durable;
    } catch {
      return null;
    }
  }

  /** Resolves once it is durable; null if that comes later, since the store can take nothing now. */
  delete(observation: Pick<KeptObservation, 'observes' | 'path'>): Promise<void> | null {
    return this.#forget(keyOf(observation));
  }

  /** Tries again what the store could not forget. */
  retry(): void {
    for (const key of [...this.#over]) if (this.#forget(key) === null) return;
  }

  #forget(key: string): Promise<void> | null {
    try {
      const durable = this.#storage().delete(key);
      this.#over.delete(key);
      return durable;
    } catch {
      this.#over.add(key);
      return null;
    }
  }
}

/** Registrations have no `/` in their keys, and topic levels, which segments are, have none either. */
function keyOf({ observes, path }: Pick<KeptObservation, 'observes' | 'path'>): string {
  return `${observes}/${path.join('/')}`;
}
