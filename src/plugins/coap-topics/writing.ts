/** PUT, POST and DELETE: publishing over CoAP. */

import { Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { InProcessClient } from '../plugin.js';
import { BAD_QUERY, CHANGED, CREATED, DELETED, PRECONDITION_FAILED } from './answers.js';
import { propertiesOf } from './content-format.js';
import { preconditionsHold } from './preconditions.js';
import { type Decide, PublishReply, readPublishQuery } from './publishing.js';
import type { TopicView } from './topic-view.js';

const NO_PAYLOAD = Buffer.alloc(0);

/** PUT publishes and keeps the value; POST publishes, and keeps it if asked. */
export function publish(
  client: InProcessClient,
  request: CoapRequest,
  exchange: CoapExchange,
  topic: string,
  view: TopicView,
): void {
  const put = request.method === Method.Put;
  const query = readPublishQuery(request.query);
  if (query === null) {
    exchange.respond(BAD_QUERY);
    return;
  }
  const retain = query.retain ?? view.retain ?? put;
  // An empty value clears: it creates nothing.
  const creates = put && retain && request.payload.length > 0;
  const decided = decideOnWriting(request, client, topic, view, creates);
  if (decided === PRECONDITION_FAILED) {
    exchange.respond(decided);
    return;
  }
  const incoming = view.incoming(request);
  if ('code' in incoming) {
    exchange.respond(incoming);
    return;
  }
  const { payload, contentFormat } = incoming;
  const options = {
    qos: query.qos ?? view.qos ?? (request.confirmable ? 1 : 0),
    retain,
    properties: propertiesOf(contentFormat),
    expiry: query.expiry,
  } as const;
  const again = client.isAsked ? writingAgain(request, client, topic, view, creates) : null;
  client.publish(topic, payload, options, new PublishReply(exchange, client, decided, again));
}

function decideOnWriting(
  request: CoapRequest,
  client: InProcessClient,
  topic: string,
  view: TopicView,
  creates: boolean,
): CoapResponse {
  if (!preconditionsHold(request, client, topic, view)) return PRECONDITION_FAILED;
  return creates && !client.hasRetained(topic) ? CREATED : CHANGED;
}

// By itself: a closure in `publish` would cost every publication its context.
function writingAgain(...writing: Parameters<typeof decideOnWriting>): Decide {
  return () => decideOnWriting(...writing);
}

/** Clears the retained value, which subscribers of MQTT see as an empty retained message. */
export function clear(
  client: InProcessClient,
  request: CoapRequest,
  exchange: CoapExchange,
  topic: string,
  view: TopicView,
): void {
  if (!preconditionsHold(request, client, topic, view)) {
    exchange.respond(PRECONDITION_FAILED);
    return;
  }
  const again = (): CoapResponse => (preconditionsHold(request, client, topic, view) ? DELETED : PRECONDITION_FAILED);
  const options = { qos: request.confirmable ? 1 : 0, retain: true } as const;
  client.publish(topic, NO_PAYLOAD, options, new PublishReply(exchange, client, DELETED, again));
}
