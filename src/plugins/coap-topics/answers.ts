/** Responses that say the same to anybody. */
import { Code } from '../../coap/codes.js';
import type { CoapResponse } from '../../coap/response.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { InProcessClient } from '../plugin.js';

/** Seconds after which a device may try again while the broker cannot serve it. */
const RETRY_AFTER = 10;

export const CREATED: CoapResponse = { code: Code.Created };
export const DELETED: CoapResponse = { code: Code.Deleted };
export const CHANGED: CoapResponse = { code: Code.Changed };
export const EMPTY_CONTENT: CoapResponse = { code: Code.Content };
const UNAUTHORIZED: CoapResponse = { code: Code.Unauthorized };
export const FORBIDDEN: CoapResponse = { code: Code.Forbidden };
export const NOT_FOUND: CoapResponse = { code: Code.NotFound };
export const METHOD_NOT_ALLOWED: CoapResponse = { code: Code.MethodNotAllowed };
export const NOT_ACCEPTABLE: CoapResponse = { code: Code.NotAcceptable };
export const PRECONDITION_FAILED: CoapResponse = { code: Code.PreconditionFailed };
export const SERVER_ERROR: CoapResponse = { code: Code.InternalServerError };

/** An error with a diagnostic payload, a sentence for people (RFC 7252 5.5.2). */
export function diagnostic(code: number, sentence: string): CoapResponse {
  return { code, payload: Buffer.from(sentence) };
}

/** What ends an observation of a client that has ended: 5.03 and when to try again, if that is not for what it has done; else 4.01. */
export function endOf({ closedWith }: InProcessClient): CoapResponse {
  switch (closedWith) {
    case ReasonCode.ServerShuttingDown:
    case ReasonCode.UseAnotherServer:
    case ReasonCode.ServerMoved:
      return { code: Code.ServiceUnavailable, maxAge: RETRY_AFTER };
    default:
      return UNAUTHORIZED;
  }
}

export const NO_FORM = diagnostic(Code.NotAcceptable, 'the value cannot be converted');
export const NO_TOPIC = diagnostic(Code.BadRequest, 'the path names no topic');
export const NO_TOPIC_TO_WRITE = diagnostic(Code.BadRequest, 'a topic filter takes nothing but GET');
export const BAD_QUERY = diagnostic(Code.BadOption, 'qos, retain or expiry has a value that it cannot have');
export const UNKNOWN_TOKEN = diagnostic(Code.Unauthorized, 'unknown token, or of another clientid');
export const NO_ANONYMOUS = diagnostic(Code.Unauthorized, 'anonymous devices are not served here');
export const NO_ENVELOPE = diagnostic(Code.NotAcceptable, 'a list is CBOR (60) or JSON (50)');
