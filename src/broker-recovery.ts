/** What the broker makes of its store: the state that it starts with, and damage that is met. */
import type { Environment } from './session/environment.js';
import { rewrite } from './session/rewrite.js';
import { type Damage, partsOf, wordsOf } from './store/damage.js';
import { Family, familyRange, textOf } from './store/keys.js';
import { decodeMessage, decodeWill } from './store/records.js';

/** Retained messages and sessions, before any client can come. */
export async function recoverState({ sessions, store, router }: Environment): Promise<void> {
  const reader = sessions.reader();
  for await (const [key, value] of store.entries(familyRange(Family.Retained), true)) {
    const message = reader.read(key, value, decodeMessage);
    if (message !== null && textOf(key) === message.topic) router.retained.restore(message);
  }
  await reader.finish();
  await sessions.recover();
}

/** Wills of clients that were connected: they are published in their time, by a broker that is open. */
export async function recoverWills({ sessions, store, wills }: Environment): Promise<void> {
  const reader = sessions.reader();
  for await (const [key, value] of store.entries(familyRange(Family.Will), true)) {
    const will = reader.read(key, value, decodeWill);
    if (will !== null) wills.restore(textOf(key), will);
  }
  await reader.finish();
}

/**
 * The store has met something that is not as it was written.
 * @param recovered whether memory holds all that the store holds, queues aside: then it is written anew
 */
export function takeDamage(environment: Environment, damage: Damage, recovered: boolean): void {
  const { journal, counters, sessions } = environment;
  const words = wordsOf(damage, (number) => sessions.clientOf(number));
  if (damage.kind === 'torn') {
    journal.storeTorn(words);
    return;
  }
  counters.damaged += partsOf(damage);
  sessions.damagedBy(damage);
  journal.storeDamaged(words);
  if (damage.kind !== 'files' || !recovered) return;
  rewrite(environment).catch((error: unknown) => journal.storeFailed(error));
}
