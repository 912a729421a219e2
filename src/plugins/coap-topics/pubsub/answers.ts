/** Answers that the resources of the publish-subscribe face have in common, and what they ask of requests. */
import { Code } from '../../../coap/codes.js';
import type { CoapExchange } from '../../../coap/exchange.js';
import type { CoapRequest } from '../../../coap/request.js';
import type { CoapResponse } from '../../../coap/response.js';
import { failureOf } from '../publishing.js';
import { Malformed } from './cbor.js';
import { MAX_CONFIGURATION_BYTES } from './collection.js';
import type { PubsubCounters } from './counters.js';

export const NOT_FOUND: CoapResponse = { code: Code.NotFound };
export const DELETED: CoapResponse = { code: Code.Deleted };
export const METHOD_NOT_ALLOWED: CoapResponse = { code: Code.MethodNotAllowed };
export const NOT_ACCEPTABLE: CoapResponse = { code: Code.NotAcceptable };
export const UNSUPPORTED_FORMAT: CoapResponse = { code: Code.UnsupportedContentFormat };
export const PRECONDITION_FAILED: CoapResponse = { code: Code.PreconditionFailed };

/** MQTT 5.0 Server unavailable. */
export const UNAVAILABLE = 0x88;

/** 4.00 with a diagnostic payload (RFC 7252 5.5.2). */
export function badRequest(why: string): CoapResponse {
  return { code: Code.BadRequest, payload: Buffer.from(why) };
}

/** Whether the client takes a representation of this Content-Format. */
export function accepts(request: CoapRequest, contentFormat: number): boolean {
  return request.accept === undefined || request.accept === contentFormat;
}

/** Why the payload of a request cannot be a configuration or a part of one; null if it can. */
export function unfit(request: CoapRequest, contentFormat: number, counters: PubsubCounters): CoapResponse | null {
  if (request.contentFormat !== contentFormat) return UNSUPPORTED_FORMAT;
  if (request.payload.length <= MAX_CONFIGURATION_BYTES) return null;
  counters.pubsubConfigurationsTooLarge++;
  return { code: Code.RequestEntityTooLarge, size1: MAX_CONFIGURATION_BYTES };
}

/** What `read` makes of a payload; if that is malformed, the request is answered and the result is null. */
export function readOr400<T>(exchange: CoapExchange, read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    exchange.respond(badRequest(error.message));
    return null;
  }
}

/** Answers once a change is durable; with 5.03 if the store cannot take it now. */
export function respondWhen(exchange: CoapExchange, change: () => Promise<void>, success: () => CoapResponse): void {
  let durable: Promise<void>;
  try {
    durable = change();
  } catch {
    exchange.respond(failureOf(UNAVAILABLE));
    return;
  }
  void durable.then(() => exchange.respond(success()));
}
