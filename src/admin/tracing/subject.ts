/** What a trace is about: a client, a user, an address, or topics. */
import { isIP, SocketAddress } from 'node:net';
import { isShared, isValidFilter } from '../../bus/topics.js';
import { ErrorKinds, PorticoError } from '../../errors.js';

export type SubjectKind = 'client' | 'user' | 'address' | 'topic';
const KINDS: readonly SubjectKind[] = ['client', 'user', 'address', 'topic'];

/** What tells one client from others; of CONNECT, what it says of itself. */
export interface Named {
  readonly id: string;
  readonly username: string | null;
  readonly remote: string;
}

export interface Subject {
  readonly kind: SubjectKind;
  readonly value: string;
}

/**
 * Reads what a request is to trace.
 * @throws PorticoError `PORTICO_CONTROL` if that is not one thing, or not one that there can be
 */
export function subjectFrom(parameters: URLSearchParams): Subject {
  const named = KINDS.filter((kind) => parameters.has(kind));
  const [kind] = named;
  if (kind === undefined || named.length > 1) throw wrong('a trace is of one client, user, address or topic filter');
  const value = parameters.get(kind) ?? '';
  if (kind === 'topic' && (!isValidFilter(value) || isShared(value)))
    throw wrong(`${value} is no topic filter to trace`);
  return { kind, value: kind === 'address' ? addressFrom(value) : value };
}

function wrong(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Control, sentence);
}

/** An IP address, or `address:port`, as the broker writes them; `local` for Unix sockets. */
function addressFrom(text: string): string {
  const [, inBrackets, address = inBrackets ?? text, port] =
    /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text) ?? [];
  if (text === 'local') return text;
  const family = isIP(address);
  if (family === 0) throw wrong(`${text} is no IP address`);
  const plain = family === 4 ? address : shortestFormOf(address);
  if (port === undefined) return plain;
  return family === 4 ? `${plain}:${port}` : `[${plain}]:${port}`;
}

/** An IPv6 address in the form in which the system gives it, with its zone. */
function shortestFormOf(text: string): string {
  const [address, ...zone] = text.split(/(?=%)/);
  return [new SocketAddress({ address, family: 'ipv6' }).address, ...zone].join('');
}

/** Whether a trace is about a client. */
export function isAbout({ kind, value }: Subject, { id, username, remote }: Named): boolean {
  switch (kind) {
    case 'client':
      return id === value;
    case 'user':
      return username === value;
    case 'address':
      return remote === value || (remote.length > value.length && hostOf(remote) === value);
    case 'topic':
      return false;
  }
}

/** The IP address of `address:port`. */
function hostOf(remote: string): string {
  const end = remote.lastIndexOf(':');
  return remote.startsWith('[') ? remote.slice(1, end - 1) : remote.slice(0, end);
}
