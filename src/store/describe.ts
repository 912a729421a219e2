/** What a record of the store is, in words: for the log, and for who reads what was set aside. */
import { aedesParts, Family, filterOf, parseQueueKey, sessionOf, textOf } from './keys.js';

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
};

/**
 * Names a record by its key, whatever the key is.
 * @param clientOf the client identifier of a session number, if it is known
 */
export function describeKey(key: Buffer, clientOf: (session: number) => string | undefined = () => undefined): string {
  const owner = (): string => {
    const client = clientOf(sessionOf(key));
    return client === undefined ? `session number ${sessionOf(key)}` : `session ${JSON.stringify(client)}`;
  };
  try {
    switch (key[0]) {
      case Family.Version:
        return 'the version of the store';
      case Family.Retained:
        return `the retained message on ${JSON.stringify(textOf(key))}`;
      case Family.Session:
        return `session ${JSON.stringify(textOf(key))}`;
      case Family.Subscription:
        return `the subscription ${JSON.stringify(filterOf(key))} of ${owner()}`;
      case Family.Flow:
        return `the flow state of ${owner()}`;
      case Family.Queue: {
        const { first, count } = parseQueueKey(key);
        return `messages ${first} to ${first + count - 1} in the queue of ${owner()}`;
      }
      case Family.Will:
        return `the will of ${JSON.stringify(textOf(key))}`;
      case Family.Aedes:
        return `a record of the Aedes contract of ${JSON.stringify(aedesParts(key)[0] ?? '')}`;
    }
  } catch {
    // The key is damaged, too.
  }
  return `a record under the unknown key ${key.toString('hex')}`;
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
