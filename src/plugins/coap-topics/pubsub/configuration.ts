/**
 * The configuration of a topic (draft-ietf-core-coap-pubsub-21, "Topic Properties"), and which changes of it are right.
 * Its form on the wire is in `cbor.ts`.
 */

/** Keys of the properties in CBOR. */
export const Property = {
  TopicName: 0,
  TopicData: 1,
  ResourceType: 2,
  ContentFormat: 3,
  TopicType: 4,
  ExpirationDate: 5,
  MaxSubscribers: 6,
  ObserverCheck: 7,
  Initialize: 8,
} as const;

/** Properties of a topic, as many as are said. */
export interface Properties {
  /** topic-name: the MQTT topic. */
  name?: string;
  /** topic-data: a reference to the resource of the data. */
  data?: string;
  /** resource-type of the data. */
  resourceType?: string;
  /** topic-content-format, 0 to 65535. */
  contentFormat?: number;
  /** topic-type: what the data is, in the application's words. */
  topicType?: string;
  /** expiration-date, in seconds since the epoch. */
  expirationDate?: number;
  /** max-subscribers, at the same time. */
  maxSubscribers?: number;
  /** observer-check: most seconds between two confirmable notifications to a subscriber. */
  observerCheck?: number;
  /** initialize: the first data. */
  initialize?: Buffer;
}

/** A whole configuration. */
export interface Configuration extends Properties {
  readonly name: string;
  readonly data: string;
  readonly resourceType: string;
  readonly observerCheck: number;
}

/** The one resource type of data. */
export const DATA_RESOURCE_TYPE = 'core.ps.data';
/** Seconds; as RFC 7641 4.5 has it. */
export const DEFAULT_OBSERVER_CHECK = 86_400;

/**
 * What a request to change `current` makes of it, or why it cannot be, in words.
 * @param whole POST: what is left out returns to its default; otherwise iPATCH: it stays
 */
export function changed(current: Configuration, request: Properties, whole: boolean): Configuration | string {
  const { name, data, resourceType } = current;
  if ((request.name ?? name) !== name) return 'topic-name cannot change';
  if ((request.data ?? data) !== data) return 'topic-data cannot change';
  if ((request.resourceType ?? resourceType) !== resourceType) return 'resource-type cannot change';
  const base: Configuration = whole ? { name, data, resourceType, observerCheck: DEFAULT_OBSERVER_CHECK } : current;
  const next: Configuration = { ...base, ...request, name, data, resourceType };
  return incomplete(next) ?? next;
}

/** What a configuration lacks, in words. */
export function incomplete(properties: Properties): string | null {
  if (properties.initialize === undefined) return null;
  // An empty value cannot be kept: for MQTT it is the one that clears.
  if (properties.initialize.length === 0) return 'initialize is empty';
  return properties.contentFormat === undefined ? 'initialize needs topic-content-format' : null;
}

/** Whether a topic has each property of a filter with the value that it says. */
export function matches(configuration: Configuration, filter: Properties): boolean {
  const { initialize, ...others } = filter;
  if (initialize !== undefined && configuration.initialize?.equals(initialize) !== true) return false;
  return Object.entries(others).every(([name, wanted]) => configuration[name as keyof typeof others] === wanted);
}
