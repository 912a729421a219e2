/**
 * The server as MQTT 5.0 describes it, for readers: no tree, no queue on disk, no window of its own. Section and statement
 * numbers are MQTT 5.0's; MQTT 3.1.1 says the same of what it has. What Portico chose where the specification leaves a
 * choice is said where it is made.
 */
import { Owed } from './deliveries.js';
import { highest, identifiersOf, isShared, least, matches, ownOf, sharedOf } from './filters.js';
import {
  type Arrival,
  type Claim,
  type ConnectOptions,
  type Message,
  NEVER,
  type Publication,
  type Subscription,
  type Will,
} from './terms.js';

interface Session {
  readonly id: string;
  /** In the order in which they were made; one for a filter. */
  subscriptions: Subscription[];
  readonly owed: Owed;
  /** Packet identifiers of QoS 2 publications that the server has taken and the client has not released. */
  readonly inbound: Set<number>;
  expiry: number;
  /** Milliseconds since the epoch; infinite while it is connected. */
  endsAt: number;
  will: Will | null;
}

interface WaitingWill {
  readonly id: string;
  readonly will: Will;
  dueAt: number;
}

export class Reference {
  readonly #sessions = new Map<string, Session>();
  #retained: Publication[] = [];
  #wills: WaitingWill[] = [];
  /** Messages for groups that no member has got yet. */
  #claims: Claim[] = [];
  /** Number of messages that were published. */
  published = 0;
  /** Milliseconds since the epoch. */
  #now: number;

  constructor(now: number) {
    this.#now = now;
  }

  // --- connections and sessions -------------------------------------------------------------------------------------

  /** CONNECT. Returns Session Present. */
  connect(id: string, options: ConnectOptions): boolean {
    const { version, window } = options;
    // A connection of the same client is closed by the server, which is no DISCONNECT of the client's [MQTT-3.1.4-3].
    if (this.#sessions.get(id)?.owed.connection) this.disconnect(id, true);
    const former = this.#sessions.get(id);
    // [MQTT-3.1.2-4]
    if (former !== undefined && options.cleanStart) this.#end(former);
    const present = this.#sessions.has(id);
    const session = this.#sessions.get(id) ?? this.#create(id);
    // A connection within the delay, to the session that the will belongs to, takes the will back [MQTT-3.1.3-9].
    this.#wills = this.#wills.filter((waiting) => waiting.id !== id);
    Object.assign(session, { expiry: options.expiry, endsAt: Number.POSITIVE_INFINITY, will: options.will });
    session.owed.connection = { version, window, latest: new Map(), releases: [] };
    return present;
  }

  #create(id: string): Session {
    const rest = { inbound: new Set<number>(), expiry: 0, endsAt: Number.POSITIVE_INFINITY, will: null };
    const session: Session = { id, subscriptions: [], owed: new Owed(id), ...rest };
    this.#sessions.set(id, session);
    return session;
  }

  /**
   * The connection ends.
   * @param withWill whether otherwise than by a DISCONNECT that takes the will back [MQTT-3.1.2-8] [MQTT-3.1.2-10]
   * @param expiry Session Expiry Interval of DISCONNECT, which replaces that of CONNECT (3.14.2.2.2)
   * @param unseen whether the client may have missed what the server had sent
   */
  disconnect(
    id: string,
    withWill: boolean,
    { expiry, unseen = false }: { expiry?: number | undefined; unseen?: boolean } = {},
  ): void {
    const session = this.#connected(id);
    const { will } = session;
    session.will = null;
    session.owed.suspend(this.#now, unseen);
    if (expiry !== undefined) session.expiry = expiry;
    session.endsAt = session.expiry === NEVER ? Number.POSITIVE_INFINITY : this.#now + session.expiry * 1000;
    if (withWill && will !== null) this.#wills.push({ id, will, dueAt: this.#now + will.delay * 1000 });
    if (session.expiry === 0) this.#end(session);
    this.#expire();
  }

  /** The session ends, and a will that waits for its delay is due: whichever is first (3.1.3.2.2). */
  #end(session: Session): void {
    this.#sessions.delete(session.id);
    for (const { claim, certain } of session.owed.leftToOthers()) {
      // Who had left the group by UNSUBSCRIBE has its messages passed on only if there was no restart since.
      const member = session.subscriptions.some(({ filter }) => filter === claim.group);
      this.#passOn(claim, certain && member);
    }
    for (const waiting of this.#wills) if (waiting.id === session.id) waiting.dueAt = this.#now;
    this.#fireWills();
  }

  // --- time ---------------------------------------------------------------------------------------------------------

  /** Time passes; call it with a second or so at a time. */
  pass(seconds: number): void {
    this.#now += seconds * 1000;
    this.#expire();
  }

  #expire(): void {
    this.#fireWills();
    for (const session of [...this.#sessions.values()]) {
      // "The session ends when the interval has passed after the connection was closed" (3.1.2.11.2).
      if (session.endsAt <= this.#now) this.#end(session);
    }
    // A retained message that has expired is no longer there (3.3.2.3.3).
    this.#retained = this.#retained.filter(({ expiresAt }) => expiresAt > this.#now);
  }

  #fireWills(): void {
    for (const waiting of [...this.#wills]) {
      if (waiting.dueAt > this.#now) continue;
      this.#wills.splice(this.#wills.indexOf(waiting), 1);
      this.#route(waiting.id, waiting.will, { isWill: true });
    }
  }

  // --- subscriptions ------------------------------------------------------------------------------------------------

  /** SUBSCRIBE, each filter as if it had come in a packet of its own [MQTT-3.8.4-5]. */
  subscribe(id: string, subscriptions: readonly Subscription[]): void {
    const session = this.#connected(id);
    for (const subscription of subscriptions) {
      const { filter, retainHandling } = subscription;
      const at = session.subscriptions.findIndex((each) => each.filter === filter);
      // An identical filter replaces the subscription [MQTT-3.8.4-3].
      if (at >= 0) session.subscriptions[at] = subscription;
      else session.subscriptions.push(subscription);
      // A shared subscription gets no retained messages (4.8.2).
      if (isShared(filter)) continue;
      // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
      if (retainHandling === 2 || (retainHandling === 1 && at >= 0)) continue;
      // What the former subscription asked for and has not been sent comes with this one.
      session.owed.excuse((copy) => copy.retained !== null && copy.filters.includes(filter));
      for (const publication of this.#retained) {
        // Whether No Local speaks of what is retained too is left open [MQTT-3.8.3-3].
        const optional = subscription.noLocal && publication.publisher === id;
        if (matches(filter, publication.topic)) this.#oweRetained(session, subscription, publication, optional);
      }
    }
  }

  /** UNSUBSCRIBE. Returns the reason codes of UNSUBACK: whether there was a subscription [MQTT-3.11.3-2]. */
  unsubscribe(id: string, filters: readonly string[]): number[] {
    const session = this.#connected(id);
    return filters.map((filter) => {
      const rest = session.subscriptions.filter((each) => each.filter !== filter);
      const existed = rest.length < session.subscriptions.length;
      session.subscriptions = rest;
      // What it has started to send it must complete; the rest it may still deliver [MQTT-3.10.4-3].
      session.owed.excuse((copy) => copy.filters.includes(filter));
      return existed ? 0x00 : 0x11;
    });
  }

  #oweRetained(session: Session, subscription: Subscription, publication: Publication, optional: boolean): void {
    session.owed.add({
      publication,
      retained: subscription,
      filters: [subscription.filter],
      qos: least(publication.qos, subscription.qos),
      // Sent because of a new subscription: RETAIN is 1 (3.3.1.3).
      retain: true,
      // Of the subscription that asks for it (a choice: 3.3.4 speaks of all that match).
      identifiers: identifiersOf([subscription]),
      optional,
      claim: null,
    });
  }

  // --- messages -----------------------------------------------------------------------------------------------------

  /**
   * PUBLISH from a client.
   * @param packetId 0 for QoS 0
   * @param again sent before on a connection that ended before it was acknowledged
   */
  publish(id: string, message: Message, packetId: number, again = false): void {
    const session = this.#connected(id);
    // What it has under this packet identifier is the same message, until PUBREL [MQTT-4.3.3-10].
    if (message.qos === 2 && session.inbound.has(packetId)) return;
    if (message.qos === 2) session.inbound.add(packetId);
    if (again) this.#confuse(message);
    // A QoS 1 message that comes again may be delivered again (4.3.2).
    this.#route(id, message, { optional: again && message.qos === 1 });
  }

  /** What comes again looks like what was sent to some member before, unseen. */
  #confuse({ topic, payload }: Message): void {
    for (const claim of this.#claims) {
      const { publication } = claim;
      if (publication.topic === topic && publication.payload === payload) {
        Object.assign(claim, { unsettled: true, optional: true });
      }
    }
  }

  /** PUBREL from a client. */
  release(id: string, packetId: number): void {
    this.#connected(id).inbound.delete(packetId);
  }

  #route(publisher: string, message: Message, { isWill = false, optional = false }): void {
    const { expiry, ...rest } = message;
    const expiresAt = expiry === undefined ? Number.POSITIVE_INFINITY : this.#now + expiry * 1000;
    const publication: Publication = { ...rest, publisher, number: this.published++, expiresAt };
    if (message.retain) this.#retain(publication);
    for (const session of this.#sessions.values()) this.#owe(session, publication, isWill, optional);
    const groups = new Set(
      [...this.#sessions.values()].flatMap(({ subscriptions }) => sharedOf(subscriptions, publication.topic)),
    );
    for (const group of groups)
      this.#offer({ group, publication, takenBy: null, optional, passedOn: false, unsettled: false });
  }

  /** A message for a group: any member may be the one that gets it (4.8.2), until one does. */
  #offer(claim: Claim): void {
    const { publication, group } = claim;
    if (!this.#claims.includes(claim)) this.#claims.push(claim);
    let offered = false;
    for (const { owed, subscriptions } of this.#sessions.values()) {
      const subscription = subscriptions.find(({ filter }) => filter === group);
      if (subscription === undefined) continue;
      // At the QoS of the member's own subscription [MQTT-4.8.2-3].
      const qos = least(publication.qos, subscription.qos);
      if (qos === 0 && owed.connection === null) continue;
      offered = true;
      owed.add({
        publication,
        retained: null,
        filters: [group],
        qos,
        retain: publication.retain && subscription.retainAsPublished,
        identifiers: identifiersOf([subscription]),
        optional: claim.optional,
        claim,
      });
    }
    if (!offered) claim.optional = true;
  }

  /** A member's session has ended: "the server SHOULD send the message to another" (4.8.2), and Portico does. */
  #passOn(claim: Claim, certain: boolean): void {
    const optional = claim.optional || !certain;
    // It was with the one that has ended, and not in another's queue.
    if (claim.takenBy !== null && !claim.unsettled)
      for (const { owed } of this.#sessions.values()) owed.withdraw(claim);
    this.#offer(Object.assign(claim, { takenBy: null, passedOn: true, optional }));
  }

  /** Whether some member may still get it. */
  #isOpen(claim: Claim): boolean {
    return [...this.#sessions.values()].some(({ owed }) => owed.waiting().some((copy) => copy.claim === claim));
  }

  /** [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7] */
  #retain(publication: Publication): void {
    const { topic, payload } = publication;
    this.#retained = this.#retained.filter((each) => each.topic !== topic);
    if (payload !== '') this.#retained.push(publication);
    // A retained message that has not been sent to a new subscription may make room for the one that replaces it.
    for (const session of this.#sessions.values()) {
      const late = session.owed.waiting().filter((copy) => copy.publication.topic === topic && copy.retained !== null);
      session.owed.excuse((copy) => late.includes(copy));
      if (payload === '') continue;
      for (const { retained } of late) {
        if (retained !== null) this.#oweRetained(session, retained, publication, true);
      }
    }
  }

  /** One copy for a session, however many of its subscriptions match: one of the two ways of 3.3.4. */
  #owe(session: Session, publication: Publication, isWill: boolean, optional: boolean): void {
    const all = ownOf(session.subscriptions, publication.topic);
    const own = publication.publisher === session.id;
    // What the client publishes itself is not for its subscriptions with No Local [MQTT-3.8.3-3].
    const matching = own && !isWill ? all.filter(({ noLocal }) => !noLocal) : all;
    if (matching.length === 0) return;
    // [MQTT-3.8.4-8] [MQTT-3.3.4-2]
    const qos = least(publication.qos, highest(matching));
    // QoS 0 is not kept for a client that is not there (a choice: 3.1.2.4 leaves it open).
    if (qos === 0 && session.owed.connection === null) return;
    session.owed.add({
      publication,
      retained: null,
      filters: matching.map(({ filter }) => filter),
      qos,
      // [MQTT-3.3.1-12] [MQTT-3.3.1-13]; if subscriptions differ, one that asks for RETAIN as published wins (a choice).
      retain: publication.retain && matching.some(({ retainAsPublished }) => retainAsPublished),
      // [MQTT-3.3.4-3]
      identifiers: identifiersOf(matching),
      // Whether a will counts as published by its client's connection, which No Local asks about, is left open.
      optional: optional || (own && matching.every(({ noLocal }) => noLocal)),
      claim: null,
    });
  }

  // --- what arrives -------------------------------------------------------------------------------------------------

  /** PUBLISH has arrived. Returns why it must not have been sent, or null. */
  publishArrives(id: string, arrival: Arrival): string | null {
    return this.#connected(id).owed.publish(arrival, this.#now);
  }

  /** PUBREL has arrived. Returns why it must not have been sent, or null. */
  pubrelArrives(id: string, packetId: number): string | null {
    return this.#connected(id).owed.pubrel(packetId);
  }

  acknowledge(id: string, kind: 'puback' | 'pubrec' | 'pubcomp', packetId: number, refused: boolean): void {
    this.#connected(id).owed.acknowledge(kind, packetId, refused);
  }

  /** Nothing is on its way: returns what should have arrived by now, or null. */
  missing(): string | null {
    for (const [id, { owed }] of this.#sessions) {
      const missing = owed.missing(this.#now);
      if (missing !== null) return `${id}: ${missing}`;
    }
    this.#claims = this.#claims.filter(({ takenBy, optional, publication }) => {
      return takenBy === null && !optional && publication.expiresAt > this.#now;
    });
    const nobodys = this.#claims.find((claim) => !this.#isOpen(claim));
    if (nobodys === undefined) return null;
    return `${nobodys.group}: ${nobodys.publication.payload} on ${nobodys.publication.topic}, to any member,`;
  }

  // --- the server's own life ----------------------------------------------------------------------------------------

  /**
   * The server begins to stop. It closes one connection after the other, so clients may see the wills of others, and
   * what sessions that end with their connections leave to others.
   */
  stopping(): void {
    const connected = [...this.#sessions.values()].filter(({ owed }) => owed.connection !== null);
    for (const session of connected) {
      const { id, will } = session;
      if (will === null || (will.delay > 0 && session.expiry > 0)) continue;
      session.will = null;
      this.#route(id, will, { isWill: true });
    }
    for (const session of connected) {
      if (session.expiry > 0) continue;
      for (const { claim } of session.owed.leftToOthers()) {
        claim.unsettled = true;
        this.#passOn(claim, false);
      }
    }
  }

  /**
   * The server is gone, and another one has its store. It "MAY defer publication of Will Messages until a subsequent
   * restart" (3.1.2.5): Portico's delays begin anew at the restart.
   * @param died without time to write down what nobody waited for
   */
  restart(died: boolean): void {
    for (const { id, owed, expiry } of [...this.#sessions.values()]) {
      // What a session that ends with its connection is owed dies with the server, also of shared subscriptions.
      if (died && expiry === 0) for (const { claim } of owed.leftToOthers()) claim.optional = true;
      if (owed.connection !== null) this.disconnect(id, true, { unseen: died });
    }
    for (const waiting of this.#wills) waiting.dueAt = this.#now + waiting.will.delay * 1000;
    for (const { owed } of this.#sessions.values()) {
      owed.restart();
      if (!died) continue;
      owed.forgetAcknowledgements();
      // Portico notes on disk what a connection that ends has not sent of them, but it had no time for that.
      owed.excuse((copy) => copy.retained !== null);
    }
  }

  #connected(id: string): Session {
    const session = this.#sessions.get(id);
    if (!session?.owed.connection) throw new Error(`${id} is not connected`);
    return session;
  }
}
