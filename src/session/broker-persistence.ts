/**
 * Aedes' persistence seam over the state of a running broker: what an extension reads or writes here is what sessions
 * have. Deliveries that are under way (`outgoing...`, `incoming...`) are the sessions' own; records of that kind which an
 * extension keeps for clients without a session stay in the store as the contract says.
 */
import { Readable } from 'node:stream';
import { AedesPersistence } from '../store/aedes-persistence.js';
import { type AedesPacket, type AedesSubscription, messageOf, packetOf, subscriptionOf } from './aedes-packets.js';
import { deliverAlone } from './broker-publications.js';
import type { Environment } from './environment.js';
import { NEVER, Session } from './session.js';

interface ClientLike {
  readonly id: string;
}

/** A will as the contract shows it. */
interface WillPacket {
  topic: string;
  payload: Buffer | string;
  qos: 0 | 1 | 2;
  retain: boolean;
  clientId?: string;
  brokerId?: string;
}

export class BrokerPersistence extends AedesPersistence {
  #environment!: Environment;

  /** Binds the seam to its broker; before any other call. */
  bind(environment: Environment): void {
    this.#environment = environment;
  }

  override async storeRetained(packet: AedesPacket): Promise<void> {
    const { router, commit, clock } = this.#environment;
    if (packet.payload.length === 0) router.retained.delete(packet.topic);
    else router.retained.set({ ...messageOf(packet, packet.clientId ?? '', clock.now()), retain: true });
    await commit.settled();
  }

  override createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  override createRetainedStreamCombi(patterns: string[]): Readable {
    const { router, hooks } = this.#environment;
    const found = patterns.flatMap((pattern) => router.retained.match(pattern));
    return Readable.from(found.map((message) => packetOf(message, hooks.brokerId, 0)));
  }

  override async addSubscriptions(client: ClientLike, subscriptions: AedesSubscription[]): Promise<void> {
    const { sessions, commit } = this.#environment;
    const session = sessions.get(client.id) ?? sessions.open(client.id, false, NEVER).session;
    for (const { topic, qos, nl = false, rap = false, rh = 0 } of subscriptions) {
      session.subscribe({
        subscriber: session,
        filter: topic,
        qos,
        noLocal: nl,
        retainAsPublished: rap,
        retainHandling: rh,
        identifier: 0,
      });
    }
    session.changed();
    await commit.settled();
  }

  override async removeSubscriptions(client: ClientLike, filters: string[]): Promise<void> {
    const session = this.#environment.sessions.get(client.id);
    for (const filter of filters) session?.unsubscribe(filter);
    await this.#environment.commit.settled();
  }

  override async cleanSubscriptions(client: ClientLike): Promise<void> {
    const session = this.#environment.sessions.get(client.id);
    await this.removeSubscriptions(client, [...(session?.subscriptions.keys() ?? [])]);
  }

  override async subscriptionsByClient(client: ClientLike): Promise<AedesSubscription[]> {
    const session = this.#environment.sessions.get(client.id);
    return [...(session?.subscriptions.values() ?? [])].map(subscriptionOf);
  }

  override async subscriptionsByTopic(topic: string): Promise<(AedesSubscription & { clientId: string })[]> {
    const found: (AedesSubscription & { clientId: string })[] = [];
    for (const subscription of this.#environment.router.tree.match(topic)) {
      const { subscriber, qos } = subscription;
      if (subscriber instanceof Session && subscriber.durable && qos > 0) {
        found.push({ clientId: subscriber.id, ...subscriptionOf(subscription) });
      }
    }
    return found;
  }

  override async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    let subsCount = 0;
    let clientsCount = 0;
    for (const session of this.#environment.sessions.all()) {
      if (!session.durable) continue;
      clientsCount++;
      for (const { qos } of session.subscriptions.values()) if (qos > 0) subsCount++;
    }
    return { subsCount, clientsCount };
  }

  override getClientList(filter: string): Readable {
    const ids: string[] = [];
    for (const session of this.#environment.sessions.all()) if (session.subscriptions.has(filter)) ids.push(session.id);
    return Readable.from(ids);
  }

  override async outgoingEnqueue(subscription: { clientId: string }, packet: AedesPacket): Promise<void> {
    const session = this.#environment.sessions.get(subscription.clientId);
    if (session === undefined) return await super.outgoingEnqueue(subscription, packet);
    const { commit, clock } = this.#environment;
    deliverAlone(this.#environment, session, messageOf(packet, packet.clientId ?? '', clock.now()));
    await commit.settled();
  }

  override async outgoingEnqueueCombi(subscriptions: { clientId: string }[], packet: AedesPacket): Promise<void> {
    for (const subscription of subscriptions) await this.outgoingEnqueue(subscription, packet);
  }

  override async putWill(client: ClientLike, packet: WillPacket): Promise<void> {
    const message = messageOf(packet, client.id, this.#environment.clock.now());
    this.#environment.wills.arm(client.id, { delay: 0, sessionExpiry: NEVER, message });
    await this.#environment.commit.settled();
  }

  override async getWill(client: ClientLike): Promise<WillPacket | undefined> {
    const will = this.#environment.wills.get(client.id);
    return will === null ? undefined : this.#willPacket(client.id, will.message);
  }

  override async delWill(client: ClientLike): Promise<WillPacket | undefined> {
    const will = await this.getWill(client);
    this.#environment.wills.disarm(client.id);
    await this.#environment.commit.settled();
    return will;
  }

  /** Wills of brokers that are gone: this store has none, for those of its own it publishes at start-up. */
  override streamWill(brokers?: Record<string, unknown>): Readable {
    if (brokers !== undefined) return Readable.from([]);
    const wills = this.#environment.wills.entries();
    return Readable.from(wills.map(([id, { message }]) => this.#willPacket(id, message)));
  }

  #willPacket(
    clientId: string,
    message: { topic: string; payload: Buffer; qos: 0 | 1 | 2; retain: boolean },
  ): WillPacket {
    const { topic, payload, qos, retain } = message;
    return { topic, payload, qos, retain, clientId, brokerId: this.#environment.hooks.brokerId };
  }
}
