/** GET: the retained value of a topic, in a form that the client takes. */
import type { Message } from '../../bus/message.js';
import { Code } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { InProcessClient } from '../plugin.js';
import { FORBIDDEN, NO_FORM, NOT_ACCEPTABLE, NOT_FOUND } from './answers.js';
import type { TopicView } from './topic-view.js';

export function read(
  client: InProcessClient,
  request: CoapRequest,
  exchange: CoapExchange,
  topic: string,
  view: TopicView,
): void {
  if (!client.mayReceive(topic)) {
    exchange.respond(FORBIDDEN);
    return;
  }
  const message = client.retained(topic);
  exchange.respond(message === null ? NOT_FOUND : represent(message, request, view, client.now()));
}

/** A message for a request: 2.03 if the client has it already, 4.06 in a form that it does not accept. */
export function represent(message: Message, request: CoapRequest, view: TopicView, now: number): CoapResponse {
  return unlessKnown(acceptable(view.outgoing(message, now), request.accept), request);
}

/** A representation, or 2.03 in its place if the client has it already (RFC 7252 5.10.6.2). */
export function unlessKnown(content: CoapResponse, request: CoapRequest): CoapResponse {
  const { etag } = content;
  if (etag === undefined || !request.etags.some((known) => known.equals(etag))) return content;
  const valid: CoapResponse = { code: Code.Valid, etag };
  return content.maxAge === undefined ? valid : { ...valid, maxAge: content.maxAge };
}

/** A value without a Content-Format is whatever the client takes it for. */
export function acceptable(content: CoapResponse | null, accept: number | undefined): CoapResponse {
  if (content === null) return NO_FORM;
  if (accept === undefined || content.contentFormat === undefined || content.contentFormat === accept) return content;
  return NOT_ACCEPTABLE;
}
