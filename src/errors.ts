/**
 * Coded errors. A code is stable, is never reused and is what callers match; the sentence is for people.
 * What an error becomes on a wire (an MQTT reason code, a CoAP response code, an exit code) stands beside it.
 */
import { closest, distance } from 'fastest-levenshtein';

/** One kind of failure. */
export interface ErrorKind {
  /** Stable identifier, `PORTICO_*`. */
  readonly code: string;
  /** MQTT 5.0 reason code sent to a client, if this failure reaches one. */
  readonly reasonCode?: number;
  /** Process exit code, if this failure ends the process. */
  readonly exitCode?: number;
}

export const ErrorKinds = {
  /** The configuration cannot be used; the message carries file, line and the nearest right word. */
  Configuration: { code: 'PORTICO_CONFIGURATION', exitCode: 3 },
  /** A security file (passwords, ACL, keys) is missing, unreadable or malformed. */
  SecurityFile: { code: 'PORTICO_SECURITY_FILE', exitCode: 3 },
  /** A listener cannot bind its address. */
  Listen: { code: 'PORTICO_LISTEN', exitCode: 1 },
  /** The store cannot be opened. */
  StoreOpen: { code: 'PORTICO_STORE_OPEN', exitCode: 1 },
  /** A backup cannot be taken, or a file is none that can be restored. */
  Backup: { code: 'PORTICO_BACKUP', exitCode: 1 },
  /** The running broker cannot be asked, or refuses. */
  Control: { code: 'PORTICO_CONTROL', exitCode: 1 },
  /** The store refused or failed a commit. */
  StoreCommit: { code: 'PORTICO_STORE_COMMIT', reasonCode: 0x97, exitCode: 1 },
  /** A stored value has an unknown version or does not parse. */
  StoreValue: { code: 'PORTICO_STORE_VALUE' },
  /** A topic name or topic filter breaks a rule of MQTT 4.7. */
  Topic: { code: 'PORTICO_TOPIC', reasonCode: 0x90 },
  /** The identity may not do this. */
  NotAuthorized: { code: 'PORTICO_NOT_AUTHORIZED', reasonCode: 0x87 },
  /** A limit was reached; the message names the option. */
  Limit: { code: 'PORTICO_LIMIT', reasonCode: 0x97 },
  /** The broker is closed or closing. */
  Closed: { code: 'PORTICO_CLOSED', reasonCode: 0x8b },
} as const satisfies Record<string, ErrorKind>;

/** An error with a stable code. */
export class PorticoError extends Error {
  readonly code: string;
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PorticoError';
    this.kind = kind;
    this.code = kind.code;
  }
}

// --- who may not, for sentences about files and addresses

let who = 'this user';

/** The process has become another user: what it may not do from then on is that one's. */
export function becameUser(name: string): void {
  who = `the user ${name}, which Portico became at its start,`;
}

/** `this user may not`, or who it is. */
export function mayNot(): string {
  return `${who} may not`;
}

// --- the right word in the place of one that nobody knows, for sentences about faults

/** Characters of the longest word that the right one is looked up for. */
const LONGEST_WORD = 64;

/** The nearest of some words, if it is near enough to be meant. */
export function near(word: string, words: readonly string[]): string | undefined {
  if (words.length === 0 || word.length > LONGEST_WORD) return undefined;
  const nearest = closest(word, words);
  // Of a short word, something has to be right.
  const most = Math.min(word.length - 1, Math.max(2, Math.floor(word.length * 0.4)));
  return distance(word, nearest) <= most ? nearest : undefined;
}

/** ` (did you mean WORD?)`, or nothing. */
export function meant(word: string, words: readonly string[]): string {
  const nearest = near(word, words);
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
}

/** What is said of a word that is none of those that may stand there. */
export function noneOf(word: string, words: readonly string[]): string {
  return `${JSON.stringify(word)} is none of ${words.join(', ')}${meant(word, words)}`;
}
