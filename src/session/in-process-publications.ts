/** What a client inside the process publishes: the rules, limits and counters that a PUBLISH of the network meets. */
import { words } from '../access/acl/rule.js';
import { type Message, NO_PROPERTIES } from '../bus/message.js';
import { Publication } from '../bus/publication.js';
import type { Route } from '../bus/router.js';
import { isReserved, isValidName } from '../bus/topics.js';
import { ReasonCode, reasonText } from '../wire/reason-codes.js';
import { packetOf } from './aedes-packets.js';
import { announce } from './broker-publications.js';
import type { Environment } from './environment.js';
import type { InProcessClient } from './in-process-client.js';
import type { Party } from './journal.js';
import type { PublishOptions, PublishOutcome } from './publish-outcome.js';
import { PublishRates } from './publish-rates.js';
import { askToPublish } from './publish-rights.js';
import { aclOf, rightsOf } from './rights.js';
import { exceedsLimits } from './topic-limits.js';

export class InProcessPublications {
  readonly #environment: Environment;
  readonly #client: InProcessClient;
  readonly #rates: PublishRates | null;
  /** One for all of them. */
  readonly #publication = new Publication();

  constructor(environment: Environment, client: InProcessClient) {
    this.#environment = environment;
    this.#client = client;
    this.#rates = PublishRates.of(environment, client);
    this.#publication.publisher = client;
  }

  /** See `InProcessClient.lastTopic`. */
  get lastTopic(): string | null {
    return this.#publication.route?.topic ?? null;
  }

  /** See `InProcessClient.retryAfter`. */
  get retryAfter(): number {
    return this.#rates?.retryAfter ?? 1;
  }

  /** See `InProcessClient.publish`. */
  publish(topic: string, payload: Buffer, options: PublishOptions, outcome: PublishOutcome | null): void {
    const { router, counters, hooks, commit, clock } = this.#environment;
    counters.publishReceived++;
    counters.publishBytesReceived += payload.length;
    const known = router.known(topic);
    const refusal = this.#refusal(topic, known);
    if (refusal !== ReasonCode.Success) {
      this.#denyPublish(topic, reasonText(refusal));
      outcome?.acknowledge(0, 0, refusal, 0);
      return;
    }
    if (payload.length > this.#environment.options.maxPayload) {
      counters.largePayloads++;
      this.#environment.journal.limit(this.#client, 'limits.payload', 'a publication is refused');
      outcome?.acknowledge(0, 0, ReasonCode.PacketTooLarge, 0);
      return;
    }
    if (this.#rates?.take(payload.length) === false) {
      outcome?.acknowledge(0, 0, ReasonCode.MessageRateTooHigh, 0);
      return;
    }
    const route = known ?? router.routeOf(topic);
    if (this.#isDenied(route)) {
      outcome?.acknowledge(0, 0, ReasonCode.NotAuthorized, 0);
      return;
    }
    const publication = this.#publication;
    publication.route = route;
    publication.buffer = payload;
    publication.payloadStart = 0;
    publication.payloadEnd = payload.length;
    publication.properties = options.properties ?? NO_PROPERTIES;
    publication.qos = options.qos ?? 0;
    publication.retain = options.retain ?? false;
    publication.expiresAt = options.expiry === undefined ? 0 : clock.now() + options.expiry * 1000;
    publication.publisherId = this.#client.id;
    publication.renew();
    if (hooks.authorizePublish !== null) {
      this.#askHook(publication.message(), outcome);
      return;
    }
    if (commit.load.strained && this.#isUnwritable(route, publication, outcome)) return;
    const before = commit.revision;
    const reasonCode = this.#route(publication);
    if (hooks.published !== null || hooks.wants('publish')) {
      announce(this.#environment, packetOf(publication.message(), hooks.brokerId, hooks.nextCounter()));
    }
    if (outcome === null) return;
    if (commit.revision === before) outcome.acknowledge(0, 0, reasonCode, 0);
    else commit.acknowledge(outcome, 0, 0, reasonCode);
  }

  /** Whether the access control list keeps the client from publishing on a topic, counted and logged. */
  #isDenied(route: Route): boolean {
    const acl = aclOf(this.#client);
    if (acl === null) return false;
    const { allowed, rule } = rightsOf(this.#client, acl).publish(route);
    if (!allowed) this.#denyPublish(route.topic, words(rule));
    return !allowed;
  }

  /** Delivers a publication; returns the reason code that says that it was not retained although it should be. */
  #route(publication: Publication): number {
    const { router, counters } = this.#environment;
    const { droppedRetained, droppedRetainedPayload } = counters;
    router.publish(publication);
    if (counters.droppedRetained === droppedRetained) return ReasonCode.Success;
    const tooLarge = counters.droppedRetainedPayload > droppedRetainedPayload;
    return tooLarge ? ReasonCode.PacketTooLarge : ReasonCode.QuotaExceeded;
  }

  /**
   * Refuses a publication that would have to be written before its outcome is known, and cannot be now. What has no
   * outcome is delivered, and retained if there is room.
   */
  #isUnwritable(
    route: Route,
    { qos, retain }: { readonly qos: number; readonly retain: boolean },
    outcome: PublishOutcome | null,
  ): boolean {
    if (outcome === null && qos === 0) return false;
    const { router, counters, journal, commit } = this.#environment;
    if (!router.needsStore(route, qos, retain, null)) return false;
    counters.refusedPublish++;
    journal.limit(null, commit.load.cause, `a publication of ${this.#client.id} was refused`);
    outcome?.acknowledge(0, 0, ReasonCode.ServerUnavailable, 0);
    return true;
  }

  /** 0, or the reason code why this client may not publish on a topic. A route that is known has a valid name. */
  #refusal(topic: string, route: Route | undefined): number {
    if (this.#client.closed) return ReasonCode.UnspecifiedError;
    if (route !== undefined) return route.reserved ? ReasonCode.NotAuthorized : ReasonCode.Success;
    if (!isValidName(topic) || exceedsLimits(this.#client, topic, this.#environment))
      return ReasonCode.TopicNameInvalid;
    return isReserved(topic) ? ReasonCode.NotAuthorized : ReasonCode.Success;
  }

  #denyPublish(topic: string, reason: string, party: Party = this.#client): void {
    this.#environment.counters.deniedPublish++;
    this.#environment.journal.denied(party, 'publish', topic, reason);
  }

  #askHook(message: Message, outcome: PublishOutcome | null): void {
    const { hooks, router, commit } = this.#environment;
    const packet = packetOf(message, hooks.brokerId, hooks.nextCounter());
    hooks.authorizePublish?.(null, packet, (error) => {
      if (error) {
        this.#denyPublish(message.topic, error.message);
        outcome?.acknowledge(0, 0, ReasonCode.NotAuthorized, 0);
        return;
      }
      if (outcome?.proceeds?.() === false) return;
      const changed: Message = {
        ...message,
        topic: packet.topic,
        payload: packet.payload,
        qos: packet.qos,
        retain: packet.retain,
      };
      const route = router.routeOf(changed.topic);
      if (commit.load.strained && this.#isUnwritable(route, changed, outcome)) return;
      const allowed = new Publication().of(changed, route);
      allowed.publisher = this.#client;
      const reasonCode = this.#route(allowed);
      announce(this.#environment, packet);
      if (outcome) commit.whenSettled(() => outcome.acknowledge(0, 0, reasonCode, 0));
    });
  }

  /** See `InProcessClient.mayPublish`. */
  ask(topic: string, answer: (reasonCode: number, topic: string) => void, party: Party | null): void {
    const decided = (reasonCode: number, reason: string, allowed = topic): void => {
      if (reasonCode !== ReasonCode.Success) this.#denyPublish(topic, reason, party ?? this.#client);
      answer(reasonCode, allowed);
    };
    const refusal = this.#refusal(topic, this.#environment.router.known(topic));
    if (refusal === ReasonCode.Success) askToPublish(this.#environment, topic, party, decided);
    else decided(refusal, reasonText(refusal));
  }
}
