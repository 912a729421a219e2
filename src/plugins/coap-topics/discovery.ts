/** `/.well-known/core` (RFC 6690) and the collection of topics. */
import { Code, ContentFormat, Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import { filterLinks, formatLinks, type Link } from '../../coap/link-format.js';
import type { CoapRequest } from '../../coap/request.js';
import type { InProcessClient } from '../plugin.js';
import { METHOD_NOT_ALLOWED, NOT_ACCEPTABLE } from './answers.js';
import type { Mapping } from './mappings.js';
import type { TopicPaths } from './topic-paths.js';

export const WELL_KNOWN_CORE = '/.well-known/core';
/** Topics listed. */
const MAX_LINKS = 1000;

/** Answers a request for the list of resources. */
export async function discover(
  client: InProcessClient,
  request: CoapRequest,
  exchange: CoapExchange,
  paths: TopicPaths,
  mappings: readonly Mapping[],
  others: Iterable<Link> = [],
): Promise<void> {
  if (request.method !== Method.Get) exchange.respond(METHOD_NOT_ALLOWED);
  else if (request.accept !== undefined && request.accept !== ContentFormat.LinkFormat) {
    exchange.respond(NOT_ACCEPTABLE);
  } else {
    const core = request.pathKey === WELL_KNOWN_CORE;
    const links: Link[] = [];
    if (core) {
      links.push({ href: paths.link, attributes: { rt: 'core.ps', ct: ContentFormat.LinkFormat } });
      links.push(...others);
      for (const { link } of mappings) if (link !== null) links.push(link);
    }
    const found = filterLinks(links, request.query);
    const named = core ? mappings.filter(({ link }) => link === null) : [];
    const most = found.length + MAX_LINKS;
    // Those that the query does not ask for take no places.
    await client.retainedMessages('#', ({ topic }) => {
      const ofTopic: Link[] = [{ href: paths.linkOf(topic), attributes: { rt: 'core.ps.data', obs: true } }];
      for (const mapping of named) {
        const link = mapping.linkOf(topic);
        if (link !== null) ofTopic.push(link);
      }
      found.push(...filterLinks(ofTopic, request.query));
      return found.length < most;
    });
    const payload = Buffer.from(formatLinks(found));
    exchange.respond({ code: Code.Content, contentFormat: ContentFormat.LinkFormat, payload });
  }
}
