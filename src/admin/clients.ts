/** What the control socket says of clients, for `portico clients`: who is there, what one of them has; and it ends one. */
import type { IncomingMessage } from 'node:http';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { Connection } from '../session/connection.js';
import type { Environment } from '../session/environment.js';
import type { InProcessClient } from '../session/in-process-client.js';
import type { Session } from '../session/session.js';
import { ReasonCode } from '../wire/reason-codes.js';
import { answerJson, type ControlLog, parametersOf, type Route } from './control.js';
import { sendLines } from './lines.js';
import {
  detailsOfConnection,
  detailsOfInside,
  detailsOfSession,
  toldConnection,
  toldHeld,
  toldInside,
  toldSession,
  toldSubscription,
} from './told-clients.js';

export const CLIENTS_PATH = '/clients';
/** One client, with what it has subscribed to. */
export const CLIENT_PATH = '/client';
export const DISCONNECT_PATH = '/clients/disconnect';

/** Why a client that an admin ends has left, as the log says it. */
const BY_ADMIN = 'disconnected by an admin';

/** What `POST /clients/disconnect` answers. */
export interface Disconnected {
  /** Clients that had this identifier, over whatever transport. */
  readonly disconnected: number;
}

/** What the routes need of the broker. */
export interface Clients {
  readonly environment: Environment;
  readonly connections: ReadonlySet<Connection>;
}

export function clientRoutes(clients: Clients, log: ControlLog): Route[] {
  const { environment } = clients;
  return [
    {
      method: 'GET',
      path: CLIENTS_PATH,
      handle: (request, response) => sendLines(response, linesOf(clients, parametersOf(request).has('all'))),
    },
    {
      method: 'GET',
      path: CLIENT_PATH,
      handle: (request, response) => sendLines(response, linesOfOne(environment, clientOf(request))),
    },
    {
      method: 'POST',
      path: DISCONNECT_PATH,
      async handle(request, response) {
        const id = clientOf(request);
        const disconnected = disconnect(environment, id);
        log.info(`an admin disconnects client ${JSON.stringify(id)}: ${disconnected} ended`);
        answerJson(response, 200, { disconnected } satisfies Disconnected);
      },
    },
  ];
}

/** The first so many of what comes and goes meanwhile: no more than were there at the beginning. */
function* first<Item>(items: Iterable<Item>, size: number): Iterable<Item> {
  let left = size;
  for (const item of items) {
    if (left-- === 0) return;
    yield item;
  }
}

/** One line for each client; null for what is none. @param all with the sessions of those that are away */
export function* linesOf({ environment, connections }: Clients, all: boolean): Iterable<object | null> {
  const { sessions } = environment;
  for (const connection of first(connections, connections.size)) {
    const { session } = connection;
    // It may not have been accepted yet, and another may have taken its session over.
    yield session?.connection === connection && connection.connected ? toldConnection(connection, session) : null;
  }
  for (const client of first(sessions.inProcess.values(), sessions.inProcess.size)) yield toldInside(client);
  for (const client of first(sessions.strangers, sessions.strangers.size)) yield toldInside(client);
  if (!all) return;
  for (const session of first(sessions.all(), sessions.size)) yield isAway(session) ? toldSession(session) : null;
}

function isAway({ connection, keeper }: Session): boolean {
  return connection === null && keeper === null;
}

/** Every client of an identifier, each with its details and subscriptions behind it. */
export function* linesOfOne({ sessions, wills }: Environment, id: string): Iterable<object | null> {
  const session = sessions.get(id);
  if (session !== undefined) {
    const { connection } = session;
    const will = wills.get(id);
    if (connection !== null) {
      yield { ...toldConnection(connection, session), ...detailsOfConnection(connection, session, will) };
    } else if (isAway(session)) yield { ...toldSession(session), ...detailsOfSession(session, will) };
    if (session.keeper === null) {
      for (const subscription of first(session.subscriptions.values(), session.subscriptions.size)) {
        yield toldSubscription(subscription);
      }
    }
  }
  for (const client of inside(sessions)) {
    if (client.id !== id) {
      yield null;
      continue;
    }
    yield { ...toldInside(client), ...detailsOfInside(client) };
    for (const held of client.held()) yield toldHeld(held);
  }
}

function* inside({ inProcess, strangers }: Environment['sessions']): Iterable<InProcessClient> {
  yield* first(inProcess.values(), inProcess.size);
  yield* first(strangers, strangers.size);
}

/** Ends every client of an identifier. Sessions that are kept stay, for the client that comes back. */
function disconnect({ sessions }: Environment, id: string): number {
  const connection = sessions.get(id)?.connection ?? null;
  connection?.reject(ReasonCode.AdministrativeAction, BY_ADMIN);
  const clients = [...inside(sessions)].filter((client) => client.id === id);
  for (const client of clients) client.close(BY_ADMIN);
  return clients.length + (connection === null ? 0 : 1);
}

function clientOf(request: IncomingMessage): string {
  const id = parametersOf(request).get('client');
  if (id === null) throw new PorticoError(ErrorKinds.Control, 'no client is named');
  return id;
}
