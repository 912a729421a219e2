/**
 * After a store was mended under a running broker: memory knows sessions, subscriptions, flow states, retained messages
 * and wills, and what plugins keep, better than what was left of the files, so it is written over that, and what memory does
 * not know is deleted.
 * Queued messages are only in the store.
 */
import { Family, familyRange, filterOf, pluginParts, sessionOf, subscriptionKey, textOf } from '../store/keys.js';
import { encodeSubscription } from '../store/records.js';
import type { Environment } from './environment.js';
import type { PluginStorage } from './plugin-storage.js';
import type { Session } from './session.js';

export async function rewrite(environment: Environment): Promise<void> {
  const { router, sessions, wills, commit, store, storages } = environment;
  const byNumber = new Map<number, Session>();
  for (const session of sessions.all()) if (session.durable) byNumber.set(session.number, session);
  for (const session of byNumber.values()) {
    session.changed();
    session.outbound.touchFlow();
    for (const [filter, subscription] of session.subscriptions) {
      const key = subscriptionKey(session.number, filter);
      commit.add({ type: 'put', key, value: encodeSubscription(subscription) });
    }
  }
  router.retained.writeAnew();
  wills.writeAnew();
  for (const storage of storages.values()) storage.writeAnew();
  const known = (key: Buffer): boolean => {
    if (key[0] === Family.Retained) return router.retained.holds(Buffer.from(textOf(key)));
    if (key[0] === Family.Session) return sessions.get(textOf(key))?.durable === true;
    if (key[0] === Family.Will) return wills.get(textOf(key)) !== null;
    if (key[0] === Family.Plugin) return isKept(storages, key);
    const session = byNumber.get(sessionOf(key));
    // A number that came meanwhile, or belongs to a session that is ending, is another's to look after.
    return session === undefined || session.subscriptions.has(filterOf(key));
  };
  for (const family of [Family.Retained, Family.Session, Family.Will, Family.Subscription, Family.Plugin]) {
    for await (const key of store.keys(familyRange(family))) if (!known(key)) commit.add({ type: 'del', key });
  }
}

/** What a plugin keeps that has not started is its own, and nobody here knows better. */
function isKept(storages: ReadonlyMap<string, PluginStorage>, key: Buffer): boolean {
  const [plugin, name] = pluginParts(key);
  return storages.get(plugin)?.forgets(name) !== true;
}
