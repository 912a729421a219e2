/** Sees what is published on the topics of a filter. It stands in the tree of subscriptions, so what it does not see costs nothing. */
import type { Party } from '../../bus/party.js';
import type { Publication } from '../../bus/publication.js';
import type { Router } from '../../bus/router.js';
import type { Subscriber } from '../../bus/tree.js';

/** @param publisher null for the broker itself, and for wills */
type Published = (publisher: Party | null, fields: () => object, payload: Buffer) => void;

export class TopicWatch implements Subscriber {
  readonly watches = true;
  readonly #router: Router;
  readonly #filter: string;
  readonly #published: Published;

  /** Watches from now on. */
  constructor(router: Router, filter: string, published: Published) {
    this.#router = router;
    this.#filter = filter;
    this.#published = published;
    router.watch(filter, this);
  }

  remove(): void {
    this.#router.unwatch(this.#filter, this);
  }

  deliver({ route, publisher, publisherId, qos, retain, buffer, payloadStart, payloadEnd }: Publication): void {
    const party = publisher?.party ?? null;
    const fields = (): object => ({
      topic: route?.topic ?? '',
      qos,
      retain,
      bytes: payloadEnd - payloadStart,
      receivers: route?.reaches ?? 0,
      ...(party === null && publisherId !== '' ? { publisher: publisherId } : null),
    });
    this.#published(party, fields, buffer.subarray(payloadStart, payloadEnd));
  }
}
