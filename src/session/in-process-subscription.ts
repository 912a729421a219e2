/** One subscription of a client inside the process, and whether it may have it. */
import { words } from '../access/acl/rule.js';
import type { Party } from '../bus/party.js';
import type { Publication } from '../bus/publication.js';
import { isShared, isValidFilter } from '../bus/topics.js';
import type { Receiver, Subscriber } from '../bus/tree.js';
import { ReasonCode } from '../wire/reason-codes.js';
import type { Environment } from './environment.js';
import type { MessageHandler } from './handling.js';
import { aclOf, mayReceive, type RightsHolder, rightsOf } from './rights.js';
import { exceedsLimits } from './topic-limits.js';

/** What a message for a handler counts for, beyond a delivery. */
const HANDLING = 10;

/** One subscription of an in-process client; each is a receiver of its own. */
export class InProcessSubscription implements Subscriber {
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Told that the client was closed with this subscription. */
  readonly ended: (() => void) | null;
  readonly #handler: MessageHandler;
  readonly #holder: Party & RightsHolder;
  readonly #environment: Environment;

  constructor(
    holder: Party & RightsHolder,
    environment: Environment,
    filter: string,
    qos: 0 | 1 | 2,
    handler: MessageHandler,
    ended: (() => void) | null,
  ) {
    this.#holder = holder;
    this.#environment = environment;
    this.filter = filter;
    this.qos = qos;
    this.since = environment.clock.now();
    this.ended = ended;
    this.#handler = handler;
  }

  deliver(publication: Publication, _receiver: Receiver): void {
    const { counters, router, handling } = this.#environment;
    const acl = aclOf(this.#holder);
    if (acl !== null && !mayReceive(this.#holder, acl, publication.route, publication.topicBytes)) {
      counters.deniedReceive++;
      this.#environment.tracing.withheld(this.#holder, publication.topicBytes);
      return;
    }
    router.work.done += HANDLING;
    // Handlers run after the routing of this message, so that they may publish.
    handling.add(this.#handler, publication.message(), publication.publisher?.party ?? null);
  }
}

/**
 * Why a client may not subscribe to a filter, counted and logged: an MQTT 5.0 reason code, 0 if it may.
 * @param subscriptions those that it has
 */
export function subscribeRefusal(
  environment: Environment,
  party: Party & RightsHolder,
  filter: string,
  subscriptions: number,
): number {
  const { options, journal, counters } = environment;
  let refusal: number = ReasonCode.Success;
  let why = 'refused';
  if (!isValidFilter(filter) || exceedsLimits(party, filter, environment)) refusal = ReasonCode.TopicFilterInvalid;
  else if (isShared(filter)) refusal = ReasonCode.SharedSubscriptionsNotSupported;
  else if (subscriptions >= options.subscriptionsPerClient) refusal = ReasonCode.QuotaExceeded;
  const acl = aclOf(party);
  if (refusal === ReasonCode.Success && acl !== null) {
    const { share, denying } = rightsOf(party, acl).subscribe(filter);
    why = words(denying);
    if (share === 'none') refusal = ReasonCode.NotAuthorized;
    else if (share === 'partly') journal.denied(party, 'receive', filter, `a part of it is not delivered; ${why}`);
  }
  if (refusal === ReasonCode.QuotaExceeded) {
    counters.refusedSubscriptions++;
    journal.limit(party, 'limits.subscriptions_per_client', 'a subscription is refused');
  }
  if (refusal !== ReasonCode.Success) {
    counters.deniedSubscribe++;
    journal.denied(party, 'subscribe', filter, why);
  }
  return refusal;
}
