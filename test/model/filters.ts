/** Topic filters as MQTT 4.7 and 4.8 describe them, and what the subscriptions that have them ask for. */
import type { Qos, Subscription } from './terms.js';

/** Whether a topic name matches a filter that is not shared. */
export function matches(filter: string, topic: string): boolean {
  // [MQTT-4.7.2-1]
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false;
  const [levels, names] = [filter.split('/'), topic.split('/')];
  // `a/#` matches `a` too (4.7.1.2).
  if (levels.at(-1) === '#') {
    const parents = levels.slice(0, -1);
    return parents.length <= names.length && parents.every((level, at) => level === '+' || level === names[at]);
  }
  return levels.length === names.length && levels.every((level, at) => level === '+' || level === names[at]);
}

export function isShared(filter: string): boolean {
  return filter.startsWith('$share/');
}

/** The topic filter of `$share/{ShareName}/{filter}`. */
function filterOfShared(shared: string): string {
  return shared.split('/').slice(2).join('/');
}

/** Those of a session's subscriptions that match and are its own alone. */
export function ownOf(subscriptions: readonly Subscription[], topic: string): Subscription[] {
  return subscriptions.filter(({ filter }) => !isShared(filter) && matches(filter, topic));
}

/** The filters of those that match and are shared. */
export function sharedOf(subscriptions: readonly Subscription[], topic: string): string[] {
  const filters = subscriptions.map(({ filter }) => filter);
  return filters.filter((filter) => isShared(filter) && matches(filterOfShared(filter), topic));
}

export function least(a: Qos, b: Qos): Qos {
  return Math.min(a, b) as Qos;
}

export function highest(subscriptions: readonly Subscription[]): Qos {
  return Math.max(0, ...subscriptions.map(({ qos }) => qos)) as Qos;
}

export function identifiersOf(subscriptions: readonly { readonly identifier: number }[]): number[] {
  return subscriptions.flatMap(({ identifier }) => (identifier > 0 ? [identifier] : []));
}
