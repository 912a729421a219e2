/** The topics of a collection, in memory and in the store. */
import type { PluginContext, PluginStorage } from '../../plugin.js';
import { decodeProperties, encodeProperties, Malformed } from './cbor.js';
import { type Configuration, DATA_RESOURCE_TYPE, DEFAULT_OBSERVER_CHECK, type Properties } from './configuration.js';
import type { PubsubCounters } from './counters.js';
import { Topic } from './topic.js';
import { identifierOf, isElsewhere, isIdentifier, isTopicName, keyOf, referenceOf, segmentsOf } from './topic-names.js';

/** Version of the records in the store. */
const VERSION = 1;
/** The segment below which data is. */
const DATA = 'data';
/** Bytes of a configuration; 1,000 of them are in memory. */
export const MAX_CONFIGURATION_BYTES = 4096;

export class Collection {
  /** Segments of its own path. */
  readonly segments: readonly string[];
  /** Its own path key. */
  readonly key: string;
  /** Topics that there may be (`coap.pubsub_topics`). */
  most: number;
  readonly #counters: PubsubCounters;
  readonly #byName = new Map<string, Topic>();
  readonly #byKey = new Map<string, Topic>();
  readonly #byDataKey = new Map<string, Topic>();
  #storage: PluginStorage | null = null;

  /** @param limit `coap.pubsub_topics` */
  constructor(path: string, limit: number, counters: PubsubCounters) {
    this.segments = path.split('/');
    this.key = keyOf(this.segments);
    this.most = limit;
    this.#counters = counters;
  }

  /** Takes back what the store holds. Data whose path is not below that of the collection any more moves there. */
  async restore({ storage }: PluginContext): Promise<void> {
    this.#storage = storage;
    await storage.entries((value, id) => this.#enter(this.#restored(id, decodeRecord(value))));
  }

  /** @throws Malformed if there can be no such topic beside those that are there */
  #restored(id: string, configuration: Configuration): Topic {
    const { name } = configuration;
    if (!isIdentifier(id) || !isTopicName(name) || this.#byName.has(name)) throw new Malformed('no topic can be so');
    let { data } = configuration;
    if (!isElsewhere(data) && !this.#isBelow(segmentsOf(data))) data = this.#defaultData(id);
    const dataKey = this.#dataKeyOf(data);
    if (dataKey !== null && this.#byDataKey.has(dataKey)) throw new Malformed('topic-data is in use');
    return new Topic(id, dataKey, { ...configuration, data });
  }

  get size(): number {
    return this.#byName.size;
  }

  get isFull(): boolean {
    return this.size >= this.most;
  }

  topics(): Iterable<Topic> {
    return this.#byName.values();
  }

  named(name: string): Topic | undefined {
    return this.#byName.get(name);
  }

  /** The topic whose own resource has this path key. */
  at(key: string): Topic | undefined {
    return this.#byKey.get(key);
  }

  /** The topic whose data has this path key. */
  withDataAt(key: string): Topic | undefined {
    return this.#byDataKey.get(key);
  }

  /** Whether the topic is still one of the collection. */
  has(topic: Topic): boolean {
    return this.#byName.get(topic.configuration.name) === topic;
  }

  /** Segments of a topic's path. */
  pathOf(topic: Topic): string[] {
    return [...this.segments, topic.id];
  }

  /**
   * A topic with these properties, which is not in the collection yet.
   * @throws Malformed if there can be none
   */
  prepare(properties: Properties, now: number): Topic {
    const { name, resourceType, expirationDate } = properties;
    if (name === undefined || resourceType === undefined) throw new Malformed('topic-name or resource-type is missing');
    if (!isTopicName(name)) throw new Malformed('topic-name is not a topic of MQTT');
    if (resourceType !== DATA_RESOURCE_TYPE) throw new Malformed(`resource-type is not ${DATA_RESOURCE_TYPE}`);
    if (expirationDate !== undefined && expirationDate * 1000 <= now) throw new Malformed('expiration-date is over');
    if (this.#byName.has(name)) throw new Malformed('topic-name is in use');
    const id = identifierOf(name, (one) => this.#isTaken(one));
    const data = properties.data ?? this.#defaultData(id);
    const dataKey = this.#dataKeyOf(data);
    if (dataKey !== null && this.#byDataKey.has(dataKey)) throw new Malformed('topic-data is in use');
    if (dataKey === null && properties.initialize !== undefined) {
      throw new Malformed('initialize is for topic-data of this server');
    }
    const { observerCheck = DEFAULT_OBSERVER_CHECK } = properties;
    return new Topic(id, dataKey, { ...properties, name, data, resourceType, observerCheck });
  }

  #isTaken(id: string): boolean {
    return this.#byKey.has(this.#keyOf(id)) || this.#byDataKey.has(keyOf([...this.segments, DATA, id]));
  }

  #keyOf(id: string): string {
    return keyOf([...this.segments, id]);
  }

  /**
   * The path key of data.
   * @returns null for a resource of another server
   * @throws Malformed for any other that is not below the collection's data
   */
  #dataKeyOf(reference: string): string | null {
    if (isElsewhere(reference)) return null;
    const segments = segmentsOf(reference);
    if (this.#isBelow(segments)) return keyOf(segments);
    throw new Malformed(`topic-data is neither below ${referenceOf([...this.segments, DATA])} nor on another server`);
  }

  #isBelow(segments: readonly string[] | null): segments is readonly string[] {
    const above = [...this.segments, DATA];
    return segments !== null && segments.length > above.length && above.every((one, i) => segments[i] === one);
  }

  #defaultData(id: string): string {
    return referenceOf([...this.segments, DATA, id]);
  }

  /** Puts a topic into the collection. Resolves once it is durable. @throws PorticoError as `PluginStorage.put` */
  add(topic: Topic): Promise<void> {
    const stored = this.#store(topic.id, topic.configuration);
    this.#enter(topic);
    return stored;
  }

  #enter(topic: Topic): void {
    this.#byName.set(topic.configuration.name, topic);
    this.#byKey.set(this.#keyOf(topic.id), topic);
    if (topic.dataKey !== null) this.#byDataKey.set(topic.dataKey, topic);
  }

  /** Gives a topic another configuration; subscribers beyond max-subscribers are ended. Resolves once it is durable. */
  change(topic: Topic, configuration: Configuration): Promise<void> {
    const stored = this.#store(topic.id, configuration);
    topic.configuration = configuration;
    // The newest ones go.
    for (const subscriber of [...topic.subscribers].reverse()) {
      if (!topic.isCrowded) break;
      this.#counters.pubsubSubscribersRefused++;
      subscriber.end();
    }
    return stored;
  }

  #store(id: string, configuration: Configuration): Promise<void> {
    const value = Buffer.concat([Buffer.from([VERSION]), encodeProperties(configuration)]);
    return (this.#storage as PluginStorage).put(id, value);
  }

  /**
   * Takes a topic out of the collection, and tells its subscribers; data stays. Resolves once it is durable.
   * @throws PorticoError as `PluginStorage.delete`
   */
  remove(topic: Topic): Promise<void> {
    const stored = (this.#storage as PluginStorage).delete(topic.id);
    this.#byName.delete(topic.configuration.name);
    this.#byKey.delete(this.#keyOf(topic.id));
    if (topic.dataKey !== null) this.#byDataKey.delete(topic.dataKey);
    for (const subscriber of [...topic.subscribers]) subscriber.end();
    return stored;
  }
}

function decodeRecord(value: Buffer): Configuration {
  if (value[0] !== VERSION) throw new Malformed(`a topic of unknown version ${value[0]}`);
  const { name, data, resourceType, observerCheck, ...rest } = decodeProperties(value.subarray(1));
  if (name === undefined || data === undefined || resourceType === undefined || observerCheck === undefined) {
    throw new Malformed('a topic without its properties');
  }
  return { ...rest, name, data, resourceType, observerCheck };
}
