/** What a record of the store is, in words: for the log, and for who reads what was set aside. */
import { aedesParts, Family, filterOf, parseQueueKey, pluginParts, queueKey, sessionOf, textOf } from './keys.js';

/** Kinds of records, by family, in the plural. */
export const KINDS: Readonly<Record<number, string>> = {
  [Family.Version]: 'store versions',
  [Family.Retained]: 'retained messages',
  [Family.Session]: 'sessions',
  [Family.Subscription]: 'subscriptions',
  [Family.Flow]: 'flow states',
  [Family.Queue]: 'queue segments',
  [Family.Will]: 'wills',
  [Family.Aedes]: 'records of the Aedes contract',
  [Family.Plugin]: 'records of plugins',
};

/** The client identifier of a session number, if it is known. */
export type ClientOf = (session: number) => string | undefined;

const NOBODY: ClientOf = () => undefined;

/** Names a record by its key, whatever the key is. */
export function describeKey(key: Buffer, clientOf: ClientOf = NOBODY): string {
  try {
    switch (key[0]) {
      case Family.Version:
        return 'the version of the store';
      case Family.Retained:
        return `the retained message on ${JSON.stringify(textOf(key))}`;
      case Family.Session:
        return `session ${JSON.stringify(textOf(key))}`;
      case Family.Subscription:
        return `the subscription ${JSON.stringify(filterOf(key))} of ${owner(sessionOf(key), clientOf)}`;
      case Family.Flow:
        return `the flow state of ${owner(sessionOf(key), clientOf)}`;
      case Family.Queue: {
        const { session, first, count } = parseQueueKey(key);
        return queued(first, first + count - 1, session, clientOf);
      }
      case Family.Will:
        return `the will of ${JSON.stringify(textOf(key))}`;
      case Family.Aedes:
        return `a record of the Aedes contract of ${JSON.stringify(aedesParts(key)[0] ?? '')}`;
      case Family.Plugin: {
        const [plugin, name] = pluginParts(key);
        return `the record ${JSON.stringify(name)} of the plugin ${plugin}`;
      }
    }
  } catch {
    // The key is damaged, too.
  }
  return `a record under the unknown key ${key.toString('hex')}`;
}

function owner(session: number, clientOf: ClientOf): string {
  const client = clientOf(session);
  return `session ${session}${client === undefined ? '' : ` (client ${JSON.stringify(client)})`}`;
}

function queued(first: number, last: number, session: number, clientOf: ClientOf): string {
  const numbers = first === last ? `queued message ${first}` : `queued messages ${first} to ${last}`;
  return `${numbers} of ${owner(session, clientOf)}`;
}

/** Keys of which some are lost: behind `after`, up to and with `upTo`. */
export interface Gap {
  readonly after: Buffer | null;
  readonly upTo: Buffer;
}

/**
 * Names what may have stood between two keys. They come from the index of a table, where LevelDB cuts off what is not
 * needed to tell its blocks apart.
 */
export function describeGap({ after, upTo }: Gap, clientOf: ClientOf = NOBODY): string {
  const [from, to] = [after === null ? null : placeIn(after), placeIn(upTo)];
  if (from !== null && to !== null && from.session === to.session) {
    return queued(Math.min(from.next, to.last), to.last, to.session, clientOf);
  }
  const end = describeBound(upTo, clientOf);
  return after === null ? `up to ${end}` : `behind ${describeBound(after, clientOf)} up to ${end}`;
}

/** What a key of a queue, which may be cut, says of the messages up to it, and behind it. */
function placeIn(key: Buffer): { session: number; last: number; next: number } | null {
  if (key[0] !== Family.Queue || key.length <= NUMBER_END) return null;
  const { session, first, count } = parseQueueKey(padded(key, QUEUE_KEY_BYTES));
  if (key.length === QUEUE_KEY_BYTES) return { session, last: first + count - 1, next: first + count };
  // The last byte that is left is one more than it was, so here it tells the message behind, if it is one of its number.
  return key.length <= NUMBER_END + NUMBER_BYTES
    ? { session, last: Math.max(1, first - 1), next: first }
    : { session, last: first, next: first + 1 };
}

function describeBound(key: Buffer, clientOf: ClientOf): string {
  const place = placeIn(key);
  if (place !== null) return queued(place.last, place.last, place.session, clientOf);
  // Behind the last record of a family stands the next byte.
  if (key.length === 1 && key[0] > Family.Retained) {
    return `the last of the ${KINDS[Math.max(...Object.values(Family).filter((family) => family < key[0]))]}`;
  }
  if (key[0] === Family.Subscription || key[0] === Family.Queue) {
    if (key.length <= NUMBER_END) return `the ${KINDS[key[0]]} of ${owner(Math.max(1, numberIn(key) - 1), clientOf)}`;
  }
  return describeKey(key, clientOf);
}

function padded(key: Buffer, length: number): Buffer {
  return Buffer.concat([key, Buffer.alloc(length)], length);
}

function numberIn(key: Buffer): number {
  return sessionOf(padded(key, NUMBER_END));
}

const NUMBER_BYTES = 6;
/** Where the number of a session ends in a key. */
const NUMBER_END: number = 1 + NUMBER_BYTES;
const QUEUE_KEY_BYTES = queueKey(0, 0, 0, 0, 0).length;

/** Numbers of the sessions that `describeKey` and `describeGap` may name. */
export function sessionsIn({ gaps, values }: { readonly gaps: readonly Gap[]; readonly values: readonly Buffer[] }) {
  const numbers = new Set<number>();
  const add = (key: Buffer | null): void => {
    if (key === null || key[0] < Family.Subscription || key[0] > Family.Queue) return;
    // A key that is cut may stand for the session before.
    numbers.add(numberIn(key)).add(numberIn(key) - 1);
  };
  for (const key of values) add(key);
  for (const { after, upTo } of gaps) {
    add(after);
    add(upTo);
  }
  return numbers;
}

/** How many messages a record stands for. */
export function messagesOf(key: Buffer): number {
  if (key[0] !== Family.Queue) return 1;
  try {
    return parseQueueKey(key).count;
  } catch {
    return 1;
  }
}
