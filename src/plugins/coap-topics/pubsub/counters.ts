/** What the publish-subscribe face counts, since its start. */
export class PubsubCounters {
  /** Topics refused at `coap.pubsub_topics`. */
  pubsubTopicsRefused = 0;
  /** Configurations larger than a topic may have. */
  pubsubConfigurationsTooLarge = 0;
  /** Publications answered with 4.29 (`coap.pubsub_publications_per_second`). */
  pubsubPublicationsRefused = 0;
  /** Subscriptions beyond the max-subscribers of their topic, or ended because that was lowered. */
  pubsubSubscribersRefused = 0;
  /** Topics whose expiration-date was reached. */
  pubsubTopicsExpired = 0;
}
