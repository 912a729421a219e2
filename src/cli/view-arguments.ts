/** The words of the commands that show what the running broker does: `clients` and `trace`. */
import { ErrorKinds, PorticoError } from '../errors.js';
import type { ClientsRequest } from './clients.js';
import type { TraceRequest } from './trace.js';

export interface ViewOptions {
  readonly all?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly payload?: boolean | undefined;
  readonly user?: string | undefined;
  readonly address?: string | undefined;
  readonly topic?: string | undefined;
}

function wrong(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Configuration, `${sentence} (see portico --help)`);
}

/** @param words behind `clients` */
export function clientsRequest(words: readonly string[], { all = false, json = false }: ViewOptions): ClientsRequest {
  const [word, client, ...rest] = words;
  if (word === 'disconnect') {
    if (client === undefined || rest.length > 0) throw wrong('clients disconnect takes one word, the client');
    if (all || json) throw wrong('--all and --json do not belong to clients disconnect');
    return { disconnect: client, all, json };
  }
  if (client !== undefined) throw wrong('clients takes one word at most, a client, or disconnect and a client');
  if (word !== undefined && all) throw wrong('--all belongs to the list of all clients');
  return word === undefined ? { all, json } : { client: word, all, json };
}

/** @param words behind `trace` */
export function traceRequest(words: readonly string[], options: ViewOptions): TraceRequest {
  const { user, address, topic, json = false, payload = false, all } = options;
  const [client, ...rest] = words;
  const subject = Object.entries({ client, user, address, topic }).filter(([, value]) => value !== undefined);
  if (rest.length > 0 || subject.length !== 1) {
    throw wrong('trace takes one client, or --user, --address or --topic, and one of them only');
  }
  if (all !== undefined) throw wrong('--all belongs to clients');
  return { subject: new URLSearchParams(subject as [string, string][]), payload, json };
}
