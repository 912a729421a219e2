/** `GET /bans` and `POST /bans/lift?address=A&user=U`: who is banned for failed logins, and who is not any more. */
import type { IncomingMessage } from 'node:http';
import { addressFrom, shownAddress } from '../access/address.js';
import type { Ban } from '../access/lockout.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { Environment } from '../session/environment.js';
import { expireBans } from '../session/failed-login.js';
import { answerJson, type ControlLog, parametersOf, type Route } from './control.js';

export const BANS_PATH = '/bans';
export const LIFT_PATH = '/bans/lift';

/** A ban as the control socket tells it. */
export interface ToldBan {
  /** An IPv4 address, or an IPv6 network. */
  readonly address: string;
  /** The transport over which alone it holds; null for all that prove the address of a client. */
  readonly transport: string | null;
  /** Null if it holds for everybody from there. */
  readonly user: string | null;
  /** Failed logins that led to it. */
  readonly failures: number;
  /** ISO 8601. */
  readonly since: string;
  readonly until: string;
}

/** What `GET /bans` answers. */
export interface BanList {
  readonly bans: readonly ToldBan[];
}

/** What `POST /bans/lift` answers. */
export interface Lifted {
  readonly lifted: number;
}

export function banRoutes(environment: Environment, log: ControlLog): Route[] {
  return [
    {
      method: 'GET',
      path: BANS_PATH,
      async handle(_request, response) {
        answerJson(response, 200, { bans: environment.lockout.list().map(told) } satisfies BanList);
      },
    },
    {
      method: 'POST',
      path: LIFT_PATH,
      async handle(request, response) {
        const { address, user } = whoseBans(request);
        const lifted = environment.lockout.lift(address, user);
        expireBans(environment);
        const whose = `${user === null ? 'everybody' : `user ${JSON.stringify(user)}`}${
          address === null ? '' : ` from ${shownAddress(address)}`
        }`;
        log.info(`bans of ${whose} were lifted by an admin: ${lifted}`);
        answerJson(response, 200, { lifted } satisfies Lifted);
      },
    },
  ];
}

function told({ address, transport, username, failures, since, until }: Ban): ToldBan {
  return {
    address: shownAddress(address),
    transport,
    user: username,
    failures,
    since: new Date(since).toISOString(),
    until: new Date(until).toISOString(),
  };
}

function whoseBans(request: IncomingMessage): { address: string | null; user: string | null } {
  const parameters = parametersOf(request);
  const text = parameters.get('address');
  const address = text === null ? null : addressFrom(text);
  if (text !== null && address === null) {
    throw new PorticoError(ErrorKinds.Control, `${text} is no IP address`);
  }
  return { address, user: parameters.get('user') };
}
