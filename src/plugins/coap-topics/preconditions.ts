/** If-Match and If-None-Match on retained values. */
import type { Message } from '../../bus/message.js';
import type { CoapRequest } from '../../coap/request.js';
import type { TopicView } from './topic-view.js';

/** RFC 7252 5.10.8; an empty If-Match is met by any value. */
export function preconditionsHold(request: CoapRequest, former: Message | null, view: TopicView): boolean {
  if (request.ifNoneMatch && former !== null) return false;
  if (request.ifMatch.length === 0) return true;
  if (former === null) return false;
  const etag = view.outgoing(former, 0)?.etag;
  return request.ifMatch.some((wanted) => wanted.length === 0 || (etag !== undefined && wanted.equals(etag)));
}
