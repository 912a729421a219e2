/**
 * The second CoAP face of the broker: draft-ietf-core-coap-pubsub-21 on a path of its own. One for all addresses that CoAP
 * listens on, each of which hands it the requests for that path.
 */
import { Code } from '../../../coap/codes.js';
import type { CoapExchange } from '../../../coap/exchange.js';
import type { Link } from '../../../coap/link-format.js';
import type { CoapRequest } from '../../../coap/request.js';
import type { CoapResponse } from '../../../coap/response.js';
import type { InProcessClient, Plugin, PluginContext } from '../../plugin.js';
import { NOT_FOUND } from './answers.js';
import { Collection } from './collection.js';
import { CollectionResource } from './collection-resource.js';
import { PubsubCounters } from './counters.js';
import { DataResource } from './data-resource.js';
import { Deletion } from './deletion.js';
import { coreLinks } from './links.js';
import { PublicationRate } from './publication-rate.js';
import type { Notification } from './subscriber.js';
import type { Topic } from './topic.js';
import { TopicResource } from './topic-resource.js';

/** Options of the section `coap`. */
export interface PubsubOptions {
  readonly pubsub_path: string;
  readonly pubsub_content_format: number;
  readonly pubsub_topics: number;
  readonly pubsub_publications_per_second?: number | undefined;
  readonly notification: Notification;
}

/** Milliseconds between looks at what depends on time. */
const TICK = 1000;

export class Pubsub implements Plugin {
  readonly name = 'coap';
  readonly #contentFormat: number;
  readonly #rate: PublicationRate;
  readonly #now: () => number;
  readonly #counters = new PubsubCounters();
  readonly #collection: Collection;
  readonly #collectionResource: CollectionResource;
  readonly #topicResource: TopicResource;
  readonly #dataResource: DataResource;
  #context: PluginContext | null = null;
  /** Deletes what has expired. */
  #keeper: InProcessClient | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Topics whose deletion is under way. */
  readonly #expiring = new Set<Topic>();

  /** @param now milliseconds since the epoch */
  constructor(options: PubsubOptions, now: () => number = Date.now) {
    const contentFormat = options.pubsub_content_format;
    const rate = new PublicationRate(rateOf(options));
    this.#rate = rate;
    this.#contentFormat = contentFormat;
    this.#now = now;
    this.#collection = new Collection(options.pubsub_path, options.pubsub_topics, this.#counters);
    this.#collectionResource = new CollectionResource(this.#collection, contentFormat, this.#counters, now);
    this.#topicResource = new TopicResource(this.#collection, contentFormat, this.#counters);
    this.#dataResource = new DataResource(this.#collection, options.notification, rate, this.#counters, now);
  }

  /** Puts others in the place of those there are, but for its path and its Content-Format. Topics that are too many stay. */
  replaceOptions(options: Omit<PubsubOptions, 'pubsub_path' | 'pubsub_content_format'>): void {
    this.#dataResource.notification = options.notification;
    this.#rate.replace(rateOf(options));
    this.#collection.most = options.pubsub_topics;
  }

  /** Nothing of its own: the addresses are those of CoAP. */
  describe(): string[] {
    return [];
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#counters };
  }

  async start(context: PluginContext): Promise<void> {
    await this.#collection.restore(context);
    this.#context = context;
    this.#keeper = context.openClient({ id: 'coap-pubsub', remote: 'local', transport: 'coap', trusted: true });
    this.#timer = setInterval(() => this.tick(), TICK);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#keeper?.close();
  }

  /**
   * Handles a request for a path of this face; false if it is for another.
   * @param client the client of the broker that stands for the device
   */
  handle(request: CoapRequest, exchange: CoapExchange, client: InProcessClient): boolean {
    const context = this.#context;
    const { pathKey } = request;
    const { key } = this.#collection;
    if (context === null || !pathKey.startsWith(key)) return false;
    if (pathKey.length === key.length) this.#collectionResource.handle(request, exchange, client, context);
    else if (pathKey[key.length] !== '/') return false;
    else {
      const topic = this.#collection.at(pathKey);
      const data = topic === undefined ? this.#collection.withDataAt(pathKey) : undefined;
      if (topic !== undefined) this.#topicResource.handle(topic, request, exchange, client);
      else if (data !== undefined) this.#dataResource.handle(data, request, exchange, client, context);
      else exchange.respond(NOT_FOUND);
    }
    return true;
  }

  /** Links for `/.well-known/core`, as far as a client may know of them. */
  links(client: InProcessClient): Iterable<Link> {
    return coreLinks(client, this.#collection, this.#contentFormat);
  }

  /** Deletes topics whose time is over, and asks subscribers that have confirmed nothing for long. */
  tick(): void {
    const now = this.#now();
    for (const topic of [...this.#collection.topics()]) {
      const { expirationDate = Number.POSITIVE_INFINITY, observerCheck } = topic.configuration;
      if (expirationDate * 1000 <= now) this.#expire(topic, this.#keeper as InProcessClient);
      else for (const subscriber of [...topic.subscribers]) subscriber.check(observerCheck, now);
    }
  }

  /** What cannot be deleted now, as the store can take nothing, is at the next look. */
  #expire(topic: Topic, keeper: InProcessClient): void {
    if (this.#expiring.has(topic)) return;
    this.#expiring.add(topic);
    const done = ({ code }: CoapResponse): void => {
      this.#expiring.delete(topic);
      if (code === Code.Deleted) this.#counters.pubsubTopicsExpired++;
      else if (code === Code.Forbidden && this.#collection.has(topic)) this.#leaveData(topic);
    };
    new Deletion(this.#collection, topic, keeper, done).begin();
  }

  /** A hook keeps the data; the topic has expired all the same. */
  #leaveData(topic: Topic): void {
    try {
      void this.#collection.remove(topic);
      this.#counters.pubsubTopicsExpired++;
    } catch {
      // The store can take nothing now: the next look tries again.
    }
  }
}

function rateOf({
  pubsub_publications_per_second: rate,
}: Pick<PubsubOptions, 'pubsub_publications_per_second'>): number {
  return rate ?? Number.POSITIVE_INFINITY;
}
