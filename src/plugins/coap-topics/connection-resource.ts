/**
 * `mqtt/connection`, as EMQX's gateway has it: POST makes a connection and answers its token, PUT is a heartbeat, DELETE
 * ends it.
 */
import { Code, ContentFormat, Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapRequest } from '../../coap/request.js';
import { CHANGED, DELETED, diagnostic, METHOD_NOT_ALLOWED, UNKNOWN_TOKEN } from './answers.js';
import type { Connections } from './connections.js';
import { type DeviceQuery, readDeviceQuery } from './device-query.js';
import { addressOf, identityOf, isSecured, securityOf } from './devices.js';

export const CONNECTION_PATH = '/mqtt/connection';

/** Why a password in a query is not taken; null if it may be. */
function passwordFault(request: CoapRequest, { password }: DeviceQuery, insecure: boolean): string | null {
  if (password === undefined || insecure || isSecured(request.remote)) return null;
  return 'a password without DTLS or TLS is not taken (coap.insecure_password)';
}

export class ConnectionResource {
  readonly #connections: Connections;
  readonly #insecure: boolean;

  /** @param insecure `coap.insecure_password` */
  constructor(connections: Connections, insecure: boolean) {
    this.#connections = connections;
    this.#insecure = insecure;
  }

  /** Rejects if whoever checks credentials fails. */
  async handle(request: CoapRequest, exchange: CoapExchange): Promise<void> {
    const query = readDeviceQuery(request.query);
    switch (request.method) {
      case Method.Post:
        await this.#open(request, query, exchange);
        break;
      case Method.Put:
      case Method.Delete: {
        const connection = query.token === undefined ? undefined : this.#connections.hear(query.token);
        if (connection === undefined || (query.clientId ?? connection.client.id) !== connection.client.id) {
          exchange.respond(UNKNOWN_TOKEN);
        } else if (request.method === Method.Put) exchange.respond(CHANGED);
        else {
          // The answer first: what the device observes ends with a message of its own.
          exchange.respond(DELETED);
          connection.client.close('the device ended its connection');
        }
        break;
      }
      default:
        exchange.respond(METHOD_NOT_ALLOWED);
    }
  }

  async #open(request: CoapRequest, query: DeviceQuery, exchange: CoapExchange): Promise<void> {
    const { clientId, username, password } = query;
    if (clientId === undefined) {
      exchange.respond(diagnostic(Code.BadRequest, 'clientid is missing'));
      return;
    }
    const fault = passwordFault(request, query, this.#insecure);
    if (fault !== null) {
      exchange.respond(diagnostic(Code.Unauthorized, fault));
      return;
    }
    const { remote } = request;
    const identity = identityOf(remote);
    const verified = identity !== undefined && password === undefined && (username ?? identity) === identity;
    const made = await this.#connections.open({
      clientId,
      username: username ?? identity,
      password,
      remote: addressOf(remote),
      verified,
      observes: false,
      details: () => securityOf(remote),
    });
    if ('code' in made) exchange.respond(made);
    else {
      const payload = Buffer.from(made.token);
      exchange.respond({ code: Code.Created, contentFormat: ContentFormat.Text, payload });
    }
  }
}
