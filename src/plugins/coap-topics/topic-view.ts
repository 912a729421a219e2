/** How a resource shows its topic: what becomes of payloads on their way from and to a device. */
import type { Message } from '../../bus/message.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import { contentOf } from './representation.js';

/** A payload for a topic. */
export interface Incoming {
  readonly payload: Buffer;
  readonly contentFormat: number | undefined;
}

export interface TopicView {
  /** For publications that say none. */
  readonly qos: 0 | 1 | 2 | undefined;
  readonly retain: boolean | undefined;
  /** What a request brings, or the response that refuses it. */
  incoming(request: CoapRequest): Incoming | CoapResponse;
  /** 2.05 with a message; null if it has no form for a device, which has been logged and counted then. */
  outgoing(message: Message, now: number): CoapResponse | null;
}

/** A topic as it is. */
export const PLAIN: TopicView = {
  qos: undefined,
  retain: undefined,
  incoming: (request) => request,
  outgoing: contentOf,
};
