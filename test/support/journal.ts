/** A journal for tests that listen to some of its entries. */
import type { Journal } from '../../src/session/journal.js';

/** @param heard what the test hears; everything else is passed over */
export function journalOf(heard: Partial<Journal>): Journal {
  const ignored = (): void => {};
  return new Proxy(heard, { get: (target, name) => Reflect.get(target, name) ?? ignored }) as Journal;
}
