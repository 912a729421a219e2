/** A topic of the collection: its configuration, where its resources are, and who subscribes to its data. */
import type { Configuration } from './configuration.js';
import type { Subscriber } from './subscriber.js';

export class Topic {
  /** The last segment of its path. */
  readonly id: string;
  /** Path key of the resource of its data; null if that is on another server. */
  readonly dataKey: string | null;
  configuration: Configuration;
  /** In the order in which they came. */
  readonly subscribers = new Set<Subscriber>();

  constructor(id: string, dataKey: string | null, configuration: Configuration) {
    this.id = id;
    this.dataKey = dataKey;
    this.configuration = configuration;
  }

  /** Whether one more may subscribe; the one that asks may be among the subscribers already. */
  get isCrowded(): boolean {
    return this.subscribers.size > (this.configuration.maxSubscribers ?? Number.POSITIVE_INFINITY);
  }
}
