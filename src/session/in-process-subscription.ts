/** One subscription of a client inside the process, and whether it may have it. */
import type { Party } from '../bus/party.js';
import type { Publication } from '../bus/publication.js';
import { isShared, isValidFilter } from '../bus/topics.js';
import type { Receiver, Subscriber } from '../bus/tree.js';
import type { Work } from '../bus/work.js';
import { ReasonCode } from '../wire/reason-codes.js';
import type { Environment } from './environment.js';
import type { Handling, MessageHandler } from './handling.js';
import { exceedsLimits } from './topic-limits.js';

/** What a message for a handler counts for, beyond a delivery. */
const HANDLING = 10;

/** One subscription of an in-process client; each is a receiver of its own. */
export class InProcessSubscription implements Subscriber {
  readonly filter: string;
  /** Told that the client was closed with this subscription. */
  readonly ended: (() => void) | null;
  readonly #handler: MessageHandler;
  readonly #work: Work;
  readonly #handling: Handling;

  constructor(
    filter: string,
    handler: MessageHandler,
    ended: (() => void) | null,
    { router, handling }: Pick<Environment, 'router' | 'handling'>,
  ) {
    this.filter = filter;
    this.ended = ended;
    this.#work = router.work;
    this.#handling = handling;
    this.#handler = handler;
  }

  deliver(publication: Publication, _receiver: Receiver): void {
    this.#work.done += HANDLING;
    // Handlers run after the routing of this message, so that they may publish.
    this.#handling.add(this.#handler, publication.message(), publication.publisher?.party ?? null);
  }
}

/**
 * Why a client may not subscribe to a filter, counted and logged: an MQTT 5.0 reason code, 0 if it may.
 * @param subscriptions those that it has
 */
export function subscribeRefusal(
  environment: Environment,
  party: Party,
  filter: string,
  subscriptions: number,
): number {
  const { options, journal, counters } = environment;
  let refusal: number = ReasonCode.Success;
  if (!isValidFilter(filter) || exceedsLimits(party, filter, environment)) refusal = ReasonCode.TopicFilterInvalid;
  else if (isShared(filter)) refusal = ReasonCode.SharedSubscriptionsNotSupported;
  else if (subscriptions >= options.subscriptionsPerClient) refusal = ReasonCode.QuotaExceeded;
  if (refusal === ReasonCode.QuotaExceeded) {
    counters.refusedSubscriptions++;
    journal.limit(party, 'limits.subscriptions_per_client', 'a subscription is refused');
  }
  if (refusal !== ReasonCode.Success) {
    counters.deniedSubscribe++;
    journal.denied(party, 'subscribe', filter, 'refused');
  }
  return refusal;
}
