/** PUT, POST and DELETE: publishing over CoAP. */

import { Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapRequest } from '../../coap/request.js';
import type { InProcessClient } from '../plugin.js';
import { BAD_OPTION, CHANGED, CREATED, DELETED, PRECONDITION_FAILED } from './answers.js';
import { propertiesOf } from './content-format.js';
import { preconditionsHold } from './preconditions.js';
import { PublishReply, readPublishQuery } from './publishing.js';
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
    exchange.respond(BAD_OPTION);
    return;
  }
  const retain = query.retain ?? view.retain ?? put;
  // An empty value clears: it creates nothing.
  const creates = put && retain && request.payload.length > 0;
  const reply = new PublishReply(exchange, client, () => {
    if (!preconditionsHold(request, client, topic, view)) return PRECONDITION_FAILED;
    return creates && !client.hasRetained(topic) ? CREATED : CHANGED;
  });
  if (!reply.proceeds()) return;
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
    ...(query.expiry === undefined ? null : { expiry: query.expiry }),
  } as const;
  client.publish(topic, payload, options, reply);
}

/** Clears the retained value, which subscribers of MQTT see as an empty retained message. */
export function clear(
  client: InProcessClient,
  request: CoapRequest,
  exchange: CoapExchange,
  topic: string,
  view: TopicView,
): void {
  const reply = new PublishReply(exchange, client, () =>
    preconditionsHold(request, client, topic, view) ? DELETED : PRECONDITION_FAILED,
  );
  if (!reply.proceeds()) return;
  const options = { qos: request.confirmable ? 1 : 0, retain: true } as const;
  client.publish(topic, NO_PAYLOAD, options, reply);
}
