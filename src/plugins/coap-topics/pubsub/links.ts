/** Links to the collection, its topics and their data, for discovery (RFC 6690). */
import { filterLinks, type Link } from '../../../coap/link-format.js';
import type { InProcessClient } from '../../plugin.js';
import type { Collection } from './collection.js';
import type { Topic } from './topic.js';
import { referenceOf } from './topic-names.js';

export function topicLink(collection: Collection, topic: Topic, contentFormat: number): Link {
  return { href: referenceOf(collection.pathOf(topic)), attributes: { rt: 'core.ps.conf', ct: contentFormat } };
}

function dataLink({ configuration }: Topic): Link {
  const { data, resourceType, contentFormat } = configuration;
  const attributes = { rt: resourceType, obs: true } as const;
  return { href: data, attributes: contentFormat === undefined ? attributes : { ...attributes, ct: contentFormat } };
}

/** The topics that a client may know of. */
export function* topicsFor(client: InProcessClient, collection: Collection): Iterable<Topic> {
  for (const topic of collection.topics()) if (client.mayKnow(topic.configuration.name)) yield topic;
}

/**
 * The links of the collection that match a query: its topics, and where the query asks for a resource type, their data
 * too, as with `rt=core.ps.data`.
 */
export function collectionLinks(
  client: InProcessClient,
  collection: Collection,
  contentFormat: number,
  query: readonly string[],
): Link[] {
  const withData = query.some((argument) => argument.startsWith('rt='));
  return filterLinks(linksOf(client, collection, contentFormat, withData), query);
}

function linksOf(client: InProcessClient, collection: Collection, contentFormat: number, withData: boolean): Link[] {
  const topics = [...topicsFor(client, collection)];
  const links = topics.map((topic) => topicLink(collection, topic, contentFormat));
  return withData ? [...links, ...topics.map(dataLink)] : links;
}

/** The links in `/.well-known/core`: to the broker, which is its collection, and to the topics. */
export function* coreLinks(client: InProcessClient, collection: Collection, contentFormat: number): Iterable<Link> {
  yield { href: referenceOf(collection.segments), attributes: { rt: 'core.ps core.ps.coll', ct: 40 } };
  yield* linksOf(client, collection, contentFormat, true);
}
