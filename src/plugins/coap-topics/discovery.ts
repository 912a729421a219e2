/** `/.well-known/core` (RFC 6690) and the collection of topics. */
import type { Message } from '../../bus/message.js';
import { Code, ContentFormat, Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import { filterLinks, formatLinks, type Link } from '../../coap/link-format.js';
import type { CoapRequest } from '../../coap/request.js';
import type { InProcessClient, PluginContext } from '../plugin.js';
import { METHOD_NOT_ALLOWED, NOT_ACCEPTABLE } from './answers.js';
import { isOfDevice } from './device-query.js';
import type { Mapping } from './mappings.js';
import type { TopicPaths } from './topic-paths.js';

export const WELL_KNOWN_CORE = '/.well-known/core';
/** What is told of each topic. */
const TOPIC_ATTRIBUTES = { rt: 'core.ps.data', obs: true } as const;

/**
 * Answers a request for the list of resources.
 * @param listed `coap.listed`
 */
export async function discover(
  client: InProcessClient,
  request: CoapRequest,
  exchange: CoapExchange,
  paths: TopicPaths,
  mappings: readonly Mapping[],
  others: Iterable<Link>,
  listed: number,
  context: PluginContext,
): Promise<void> {
  if (request.method !== Method.Get) exchange.respond(METHOD_NOT_ALLOWED);
  else if (request.accept !== undefined && request.accept !== ContentFormat.LinkFormat) {
    exchange.respond(NOT_ACCEPTABLE);
  } else {
    const core = request.pathKey === WELL_KNOWN_CORE;
    const query = request.query.filter((argument) => !isOfDevice(argument));
    const links: Link[] = [];
    if (core) {
      links.push({ href: paths.link, attributes: { rt: 'portico.topics', ct: ContentFormat.LinkFormat } });
      links.push(...others);
      for (const { link } of mappings) if (link !== null) links.push(link);
    }
    const found = filterLinks(links, query);
    const named = core ? mappings.filter(({ link }) => link === null) : [];
    let topics = 0;
    let cut = false;
    const attributes = query.filter((argument) => !argument.startsWith('href='));
    const ofAnyTopic = filterLinks([{ href: '', attributes: TOPIC_ATTRIBUTES }], attributes);
    // Those that the query does not ask for take no places.
    const take = ({ topic }: Message): boolean => {
      const href = paths.linkOf(topic);
      const ofTopic: Link[] = href === null ? [] : [{ href, attributes: TOPIC_ATTRIBUTES }];
      for (const mapping of named) {
        const link = mapping.linkOf(topic);
        if (link !== null) ofTopic.push(link);
      }
      const matching = filterLinks(ofTopic, query);
      cut = matching.length > 0 && topics === listed;
      if (matching.length === 0 || cut) return !cut;
      topics++;
      found.push(...matching);
      return true;
    };
    // Who asks for something else need not wait until all topics have been looked at.
    if (named.length > 0 || ofAnyTopic.length > 0) await client.retainedMessages('#', take);
    if (cut) {
      context.counters.cutCoapLists++;
      context.limit(client, 'coap.listed', 'a list of links is cut');
    }
    const payload = Buffer.from(formatLinks(found));
    exchange.respond({ code: Code.Content, contentFormat: ContentFormat.LinkFormat, payload });
  }
}
