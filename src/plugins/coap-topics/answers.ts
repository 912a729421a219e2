/** Responses without a body, which go to anybody. */
import { Code } from '../../coap/codes.js';
import type { CoapResponse } from '../../coap/response.js';

export const CREATED: CoapResponse = { code: Code.Created };
export const DELETED: CoapResponse = { code: Code.Deleted };
export const CHANGED: CoapResponse = { code: Code.Changed };
export const EMPTY_CONTENT: CoapResponse = { code: Code.Content };
export const BAD_REQUEST: CoapResponse = { code: Code.BadRequest };
export const UNAUTHORIZED: CoapResponse = { code: Code.Unauthorized };
export const FORBIDDEN: CoapResponse = { code: Code.Forbidden };
export const BAD_OPTION: CoapResponse = { code: Code.BadOption };
export const NOT_FOUND: CoapResponse = { code: Code.NotFound };
export const METHOD_NOT_ALLOWED: CoapResponse = { code: Code.MethodNotAllowed };
export const NOT_ACCEPTABLE: CoapResponse = { code: Code.NotAcceptable };
export const PRECONDITION_FAILED: CoapResponse = { code: Code.PreconditionFailed };
export const SERVER_ERROR: CoapResponse = { code: Code.InternalServerError };

/** An error with a diagnostic payload, a sentence for people (RFC 7252 5.5.2). */
export function diagnostic(code: number, sentence: string): CoapResponse {
  return { code, payload: Buffer.from(sentence) };
}
