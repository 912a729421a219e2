/** Topic names and topic filters as strings: MQTT 4.7. Names on the wire are checked by `wire/utf8`. */

/** Longest topic name or filter in UTF-8 bytes [MQTT-4.7.3-3]. */
export const MAX_TOPIC_BYTES = 65535;

/** Number of levels of a topic name or filter. */
export function levelCount(topic: string): number {
  let count = 1;
  for (let i = topic.indexOf('/'); i >= 0; i = topic.indexOf('/', i + 1)) count++;
  return count;
}

/**
 * Whether `filter` is a well-formed topic filter: at least one character [MQTT-4.7.3-1], no NUL [MQTT-4.7.3-2], `#`
 * only as the last level [MQTT-4.7.1-1], `+` only as a whole level [MQTT-4.7.1-2].
 */
export function isValidFilter(filter: string): boolean {
  if (filter.length === 0 || filter.includes('\0') || Buffer.byteLength(filter) > MAX_TOPIC_BYTES) return false;
  const last = filter.length - 1;
  const hash = filter.indexOf('#');
  if (hash >= 0 && (hash !== last || !beginsLevel(filter, hash))) return false;
  for (let plus = filter.indexOf('+'); plus >= 0; plus = filter.indexOf('+', plus + 1)) {
    if (!beginsLevel(filter, plus) || (plus !== last && filter[plus + 1] !== '/')) return false;
  }
  return true;
}

function beginsLevel(filter: string, at: number): boolean {
  return at === 0 || filter[at - 1] === '/';
}

/** Whether `topic` is a well-formed topic name: a filter's rules and no wildcard [MQTT-3.3.2-2]. */
export function isValidName(topic: string): boolean {
  return (
    topic.length > 0 &&
    !topic.includes('\0') &&
    !topic.includes('+') &&
    !topic.includes('#') &&
    topic.isWellFormed() &&
    Buffer.byteLength(topic) <= MAX_TOPIC_BYTES
  );
}

/** Whether a filter contains a wildcard. */
export function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.includes('#');
}

/** Whether a filter asks for a shared subscription, `$share/{ShareName}/{filter}` [MQTT-4.8.2-1]. */
export function isShared(filter: string): boolean {
  return filter.startsWith('$share/');
}

/** ShareName and topic filter of a shared subscription. */
export function sharedPartsOf(filter: string): [name: string, filter: string] {
  const end = filter.indexOf('/', 7);
  return end < 0 ? [filter.slice(7), ''] : [filter.slice(7, end), filter.slice(end + 1)];
}

/**
 * Whether a filter that begins with `$share/` is well-formed: a ShareName of at least one character
 * [MQTT-4.8.2-1] without wildcards, and a topic filter behind it [MQTT-4.8.2-2].
 */
export function isValidShared(shared: string): boolean {
  const [name, filter] = sharedPartsOf(shared);
  return name.length > 0 && !hasWildcard(name) && isValidFilter(filter) && isValidFilter(shared);
}

/** Whether `topic` matches `filter`, with the `$` rule [MQTT-4.7.2-1]. */
export function matches(filter: string, topic: string): boolean {
  if (topic.charCodeAt(0) === 0x24 && (filter[0] === '+' || filter[0] === '#')) return false;
  const filterLevels = filter.split('/');
  const topicLevels = topic.split('/');
  for (let i = 0; i < filterLevels.length; i++) {
    if (filterLevels[i] === '#') return true;
    if (i >= topicLevels.length) return false;
    if (filterLevels[i] !== '+' && filterLevels[i] !== topicLevels[i]) return false;
  }
  return filterLevels.length === topicLevels.length;
}

/** Whether only the broker itself publishes on a topic. */
export function isReserved(topic: string): boolean {
  return topic.startsWith('$SYS/') || topic === '$SYS';
}
