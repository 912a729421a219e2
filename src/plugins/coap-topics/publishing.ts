/** PUT, POST and DELETE: publishing over CoAP, with the outcome as a response. */
import { Code, codeClass } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapResponse } from '../../coap/response.js';
import type { InProcessClient, PublishOutcome } from '../plugin.js';
import { diagnostic } from './answers.js';

/** Query parameters of a publication, with the short names of EMQX's gateway. */
export interface PublishQuery {
  readonly qos: 0 | 1 | 2 | undefined;
  readonly retain: boolean | undefined;
  /** Seconds. */
  readonly expiry: number | undefined;
}

const NO_QUERY: PublishQuery = { qos: undefined, retain: undefined, expiry: undefined };

/** Reads the query; null if a parameter that we know has a value that we do not. Others are left to whom they concern. */
export function readPublishQuery(query: readonly string[]): PublishQuery | null {
  if (query.length === 0) return NO_QUERY;
  let { qos, retain, expiry } = NO_QUERY;
  for (const argument of query) {
    const at = argument.indexOf('=');
    const name = at < 0 ? argument : argument.slice(0, at);
    const value = at < 0 ? '' : argument.slice(at + 1);
    switch (name) {
      case 'qos':
      case 'q':
        if (value !== '0' && value !== '1' && value !== '2') return null;
        qos = Number(value) as 0 | 1 | 2;
        break;
      case 'retain':
      case 'r':
        if (!['true', 'false', '1', '0'].includes(value)) return null;
        retain = value === 'true' || value === '1';
        break;
      case 'expiry':
        if (!/^\d{1,10}$/.test(value) || Number(value) > 0xffffffff) return null;
        expiry = Number(value);
        break;
    }
  }
  return { qos, retain, expiry };
}

/** Seconds after which a client may try again while the store cannot be written, or has no room (RFC 7252 5.9.3.4, RFC 8516). */
const RETRY_AFTER = 10;

const TOO_FAST = diagnostic(Code.TooManyRequests, 'too much was published in this time');
const NO_ROOM = diagnostic(Code.TooManyRequests, 'a limit of the broker leaves no room to keep it');

/** The response for an MQTT reason code. */
export function failureOf(reasonCode: number, client: InProcessClient | null = null): CoapResponse {
  switch (reasonCode) {
    case 0x87:
      return { code: Code.Forbidden };
    case 0x90:
      return { code: Code.BadRequest };
    case 0x88:
      return { code: Code.ServiceUnavailable, maxAge: RETRY_AFTER };
    case 0x95:
      return { code: Code.RequestEntityTooLarge };
    case 0x96:
      return { ...TOO_FAST, maxAge: client?.retryAfter ?? 1 };
    case 0x97:
      return { ...NO_ROOM, maxAge: RETRY_AFTER };
    default:
      return { code: Code.ServiceUnavailable };
  }
}

/** What the success of a request is answered with, or what it is refused with, as things are now. */
export type Decide = () => CoapResponse;

/** Answers a request when what it published is durable. */
export class PublishReply implements PublishOutcome {
  readonly #exchange: CoapExchange;
  readonly #client: InProcessClient;
  #success: CoapResponse;
  readonly #again: Decide | null;

  /**
   * @param client whose limits say when to try again, and how much
   * @param again if a hook is asked before the publication: another request may be faster than it (RFC 7252 5.10.8)
   */
  constructor(exchange: CoapExchange, client: InProcessClient, success: CoapResponse, again: Decide | null) {
    this.#exchange = exchange;
    this.#client = client;
    this.#success = success;
    this.#again = again;
  }

  /** Whether the request is not refused by now; if it is, it is answered. */
  proceeds(): boolean {
    if (this.#again === null) return true;
    this.#success = this.#again();
    if (codeClass(this.#success.code) === 2) return true;
    this.#exchange.respond(this.#success);
    return false;
  }

  acknowledge(_type: number, _packetId: number, reasonCode: number): void {
    if (reasonCode < 0x80) this.#exchange.respond(this.#success);
    else this.#exchange.respond(reasonCode === 0x95 ? this.#tooLarge : failureOf(reasonCode, this.#client));
  }

  /** RFC 7959 2.9.3: with the size that could be kept. */
  get #tooLarge(): CoapResponse {
    const most = this.#client.mostRetained;
    const code = Code.RequestEntityTooLarge;
    return most === Number.POSITIVE_INFINITY ? { code } : { code, size1: most };
  }
}
