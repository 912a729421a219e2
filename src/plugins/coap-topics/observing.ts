/** GET with Observe: a subscription whose messages are the states of a resource (RFC 7641). */
import type { Message } from '../../bus/message.js';
import { codeClass } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { InProcessClient } from '../plugin.js';
import { EMPTY_CONTENT, endOf, FORBIDDEN, NOT_FOUND } from './answers.js';
import type { CoapTopicsOptions } from './options.js';
import { acceptable, represent } from './reading.js';
import type { TopicView } from './topic-view.js';

/** @param qos of the subscription */
export function observe(
  client: InProcessClient,
  request: CoapRequest,
  exchange: CoapExchange,
  topic: string,
  view: TopicView,
  qos: 0 | 1 | 2,
  notification: CoapTopicsOptions['notification'],
): void {
  if (!client.mayReceive(topic)) {
    exchange.respond(FORBIDDEN);
    return;
  }
  const message = client.retained(topic);
  const first = message === null ? EMPTY_CONTENT : represent(message, request, view, client.now());
  const { accept } = request;
  if (codeClass(first.code) !== 2) {
    exchange.respond(first);
    return;
  }
  // Without a value the first answer is empty, and says nothing of the form of those to come.
  let form = message === null ? null : first;
  // A client that observes too much already is answered without Observe (RFC 7641 4.1).
  const observation = exchange.observe(() => {
    if (typeof subscription === 'object') subscription.cancel();
  });
  const subscription =
    observation === undefined
      ? undefined
      : client.subscribe(
          topic,
          qos,
          (state) => {
            if (state.payload.length === 0 && state.retain) {
              observation.end(NOT_FOUND);
              return;
            }
            const content = view.outgoing(state, client.now());
            // A value that has no form for the device is no reason to end the observation.
            if (content === null) return;
            const taken = acceptable(content, accept);
            form ??= codeClass(taken.code) === 2 ? taken : null;
            const told = form === null ? taken : inFormat(taken, form);
            observation.notify(told, isConfirmable(state, qos, notification));
          },
          () => observation.end(endOf(client)),
        );
  if (typeof subscription === 'number') observation?.end();
  const observes = typeof subscription === 'object';
  exchange.respond(message === null && !observes ? NOT_FOUND : first);
}

/** @param qos of the subscription */
export function isConfirmable(message: Message, qos: number, notification: CoapTopicsOptions['notification']): boolean {
  return notification === 'auto' ? Math.min(message.qos, qos) > 0 : notification === 'con';
}

/**
 * Notifications have the Content-Format of the first one with a value (RFC 7641 4.2). MQTT clients often say none: that is no other
 * format, and what is said where the first answer had none is left out. Two that differ end the observation.
 */
export function inFormat(response: CoapResponse, first: CoapResponse): CoapResponse {
  if (response.contentFormat === first.contentFormat || codeClass(response.code) !== 2) return response;
  if (first.contentFormat !== undefined && response.contentFormat !== undefined) return response;
  const { contentFormat: _own, ...unsaid } = response;
  return first.contentFormat === undefined ? unsaid : { ...unsaid, contentFormat: first.contentFormat };
}
