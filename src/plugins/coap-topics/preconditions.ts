/** If-Match and If-None-Match on retained values. */
import type { CoapRequest } from '../../coap/request.js';
import type { InProcessClient } from '../plugin.js';
import type { TopicView } from './topic-view.js';

/** RFC 7252 5.10.8; an empty If-Match is met by any value. */
export function preconditionsHold(
  request: CoapRequest,
  client: InProcessClient,
  topic: string,
  view: TopicView,
): boolean {
  if (request.ifNoneMatch && client.hasRetained(topic)) return false;
  if (request.ifMatch.length === 0) return true;
  const former = client.retained(topic);
  if (former === null) return false;
  const etag = view.outgoing(former, 0)?.etag;
  return request.ifMatch.some((wanted) => wanted.length === 0 || (etag !== undefined && wanted.equals(etag)));
}
