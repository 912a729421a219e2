/** The outcome of a publication as a response. */
import { Code } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapResponse } from '../../coap/response.js';
import type { Acknowledger } from '../../store/commit.js';
import { CHANGED, CREATED, DELETED } from './answers.js';

/** Seconds after which a client may try again while the store cannot be written (RFC 7252 5.9.3.4). */
const RETRY_AFTER = 10;

/** The response code for an MQTT reason code. */
function failureOf(reasonCode: number): CoapResponse {
  switch (reasonCode) {
    case 0x87:
      return { code: Code.Forbidden };
    case 0x90:
      return { code: Code.BadRequest };
    case 0x88:
      return { code: Code.ServiceUnavailable, maxAge: RETRY_AFTER };
    case 0x95:
      return { code: Code.RequestEntityTooLarge };
    case 0x97:
      return { code: Code.TooManyRequests };
    default:
      return { code: Code.ServiceUnavailable };
  }
}

/** Answers a request when what it published is durable. */
export class PublishReply implements Acknowledger {
  readonly #exchange: CoapExchange;
  readonly #success: CoapResponse;

  constructor(exchange: CoapExchange, success: 'changed' | 'created' | 'deleted') {
    this.#exchange = exchange;
    this.#success = success === 'changed' ? CHANGED : success === 'created' ? CREATED : DELETED;
  }

  acknowledge(_type: number, _packetId: number, reasonCode: number): void {
    this.#exchange.respond(reasonCode < 0x80 ? this.#success : failureOf(reasonCode));
  }
}
