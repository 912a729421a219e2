/**
 * The broker: composition only. `Broker extends Aedes`: options, hooks, events and the client registry are Aedes'; what
 * stands behind `handle`, `mq` and `persistence` is Portico's.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Aedes, type AedesOptions } from 'aedes';
import type { Acl } from './access/acl/acl.js';
import type { AuthenticationMethod } from './access/authentication-method.js';
import { Lockout } from './access/lockout.js';
import { BrokerHooks, type Identify } from './broker-hooks.js';
import { recoverState, recoverWills, takeDamage } from './broker-recovery.js';
import { Counters } from './bus/counters.js';
import { BusEmitter } from './bus/emitter.js';
import { MemoryBudget } from './bus/memory-budget.js';
import { type RetainedLimits, RetainedMessages } from './bus/retained.js';
import { Router } from './bus/router.js';
import { ErrorKinds, PorticoError } from './errors.js';
import { type AccessControl, usualAccess } from './session/access-control.js';
import { AddressRates } from './session/address-rates.js';
import { admit, type Credentials } from './session/admission.js';
import { type AedesPacket, messageOf, type PublishRequest, packetOf } from './session/aedes-packets.js';
import { type Arrival, Arrivals } from './session/arrivals.js';
import { Arriving } from './session/arriving.js';
import type { Refusal } from './session/authentication.js';
import { BrokerPersistence } from './session/broker-persistence.js';
import { publishAsBroker, publishMessage, publishWill } from './session/broker-publications.js';
import { Connection } from './session/connection.js';
import { DEFAULT_OPTIONS, DEFAULT_RETAINED } from './session/default-options.js';
import { endClients, sendAway } from './session/ending.js';
import { Entrance } from './session/entrance.js';
import type { Clock, Environment, SessionOptions } from './session/environment.js';
import { expireBans, longestRefusal } from './session/failed-login.js';
import { Flusher } from './session/flusher.js';
import { type Entry, Gate } from './session/gate.js';
import { Handling } from './session/handling.js';
import type { Hooks } from './session/hooks.js';
import { type ClientIdentity, InProcessClient } from './session/in-process-client.js';
import { type Journal, type Party, SILENT } from './session/journal.js';
import { MountedConnection } from './session/mounted-connection.js';
import { Pacer } from './session/pacer.js';
import { PluginStorage } from './session/plugin-storage.js';
import { RateTimer } from './session/rate-timer.js';
import { Refusals } from './session/refusals.js';
import { heapLimitOf, replaceAccess, replaceOptions } from './session/replace-options.js';
import { guardRetained } from './session/retained-rights.js';
import { SessionRegistry } from './session/sessions.js';
import { Shares } from './session/shares.js';
import type { Shown } from './session/shown.js';
import { Throttle } from './session/throttle.js';
import { checkTimeouts, endExpiredGrants } from './session/timeouts.js';
import { Tracing } from './session/tracing.js';
import { StreamTransport, type Transport } from './session/transport.js';
import { Wills } from './session/will.js';
import { type CommitOptions, GroupCommit } from './store/commit.js';
import { MemoryStore } from './store/memory-store.js';
import { StoredRetained } from './store/retained-journal.js';
import type { Store } from './store/store.js';
import { openStore, type PreparedStore } from './store/upgrade.js';
import { version } from './version.js';
import { ReasonCode } from './wire/reason-codes.js';

export type {
  AuthenticationExchange,
  AuthenticationMethod,
  AuthenticationStep,
  Claimant,
} from './access/authentication-method.js';
export type { Identify } from './broker-hooks.js';

/** Options besides Aedes' own. */
export interface BrokerOptions extends AedesOptions {
  /** Where durable state lives; the default forgets it with the process. */
  store?: Store;
  commit?: CommitOptions;
  session?: Partial<SessionOptions>;
  /** `limits.retained_messages`, `limits.retained_bytes` and `limits.retained_payload`. */
  retained?: RetainedLimits;
  journal?: Journal;
  tracing?: Tracing;
  clock?: Clock;
  identify?: Identify;
  /** What clients may do; absent for everything. The hooks are asked besides. */
  acl?: Acl | null;
  /** Methods of MQTT 5.0 4.12 that a client may name in CONNECT. */
  authenticationMethods?: readonly AuthenticationMethod[];
}

/** Milliseconds between looks at keep alive, expiry and delays. */
const TICK = 1000;

type Done = (error?: Error) => void;

export class Broker extends Aedes {
  readonly counters: Counters;
  readonly router: Router;
  readonly commit: GroupCommit;
  readonly store: Store;
  readonly sessions = new SessionRegistry();
  readonly wills: Wills;
  readonly environment: Environment;
  readonly #connections = new Set<Connection>();
  readonly #hooks: BrokerHooks;
  readonly #authenticationMethods = new Map<string, AuthenticationMethod>();
  /** Whether clients are sent away to another broker (`mqtt.draining`, `drain`). */
  draining: Hooks['draining'];
  /** What the start found in the store; null before `listen`. */
  prepared: PreparedStore | null = null;
  readonly #clock: Clock;
  readonly #rateTimer: RateTimer;
  readonly #arrivals: Arrivals<Arrival & Party>;
  #timer: NodeJS.Timeout | null = null;
  #stopping: Promise<void> | null = null;
  /** Memory holds all that the store holds, queues aside. */
  #recovered = false;

  // Aedes keeps these; its type declarations leave them out.
  declare readonly clients: Record<string, Connection>;
  declare connectedClients: number;
  declare closed: boolean;
  declare counter: number;
  declare mq: BusEmitter<AedesPacket>;
  declare persistence: BrokerPersistence;

  constructor(options: BrokerOptions = {}) {
    const session: SessionOptions = { ...DEFAULT_OPTIONS, ...options.session };
    const counters = new Counters();
    const budget = new MemoryBudget(session.memory);
    const { clock = { now: Date.now }, retained: retainedLimits = DEFAULT_RETAINED } = options;
    const retained = new RetainedMessages({ ...retainedLimits, budget }, counters, () => clock.now());
    const router = new Router(retained, counters, session, session.sharedStrategy);
    const emitter = new BusEmitter<AedesPacket>(router);
    const store = options.store ?? new MemoryStore();
    const commit = new GroupCommit(store, options.commit ?? { sync: 'always', syncInterval: 1000 }, counters);
    const persistence = new BrokerPersistence(store, commit);
    super({ ...options, mq: emitter, persistence });
    this.draining = session.draining;
    this.counters = counters;
    this.router = router;
    this.store = store;
    this.commit = commit;
    this.#clock = clock;
    const { journal = SILENT, tracing = new Tracing() } = options;
    this.wills = new Wills(commit, budget, this.#clock, (...sent) => publishWill(this.environment, ...sent));
    this.#hooks = new BrokerHooks(this, options.identify ?? (() => true), this.#connections);
    this.#rateTimer = new RateTimer(() => clock.now());
    this.#arrivals = new Arrivals(session.connectsPerSecond, this.#rateTimer, (arrival) => {
      counters.delayedConnections++;
      journal.limit(arrival, 'limits.connects_per_second', 'a connection has to wait');
    });
    const lockout = new Lockout(session, longestRefusal(session), () => clock.now());
    const environment: Environment = {
      router,
      commit,
      store,
      counters,
      budget,
      heap: new MemoryBudget(heapLimitOf(session)),
      options: session,
      clock: this.#clock,
      flusher: new Flusher(),
      arriving: new Arriving(session.memory),
      pacer: new Pacer(),
      handling: new Handling(),
      shares: new Shares(router.work),
      sessions: this.sessions,
      wills: this.wills,
      hooks: this.#hooks,
      access: usualAccess(options.acl ?? null),
      listenerAccess: new Map(),
      journal,
      tracing,
      gate: new Gate(session, counters, journal, lockout),
      lockout,
      refusals: new Refusals(this.#rateTimer),
      throttle: new Throttle(this.#rateTimer),
      addressRates: new AddressRates(session, counters, journal),
      storages: new Map(),
      authenticationMethods: this.#authenticationMethods,
    };
    this.environment = environment;
    for (const method of options.authenticationMethods ?? []) this.addAuthenticationMethod(method);
    this.sessions.bind(environment);
    persistence.bind(environment);
    retained.journal = new StoredRetained(commit, (topic) => retained.kept(topic, this.router.known(topic)));
    retained.onLimit = (option, topic) => journal.limit(null, option, `the message on ${topic} is not retained`);
    guardRetained(environment);
    commit.onFailure = (error) => journal.storeFailed(error);
    commit.onFault = (error, held) => journal.internalFault(error, held);
    commit.onOverdue = (seconds) => journal.storeSilent(seconds);
    commit.onRecovery = (outage) => journal.storeRecovered(outage);
    if (commit.timedSync !== null) {
      commit.timedSync.onFailure = (error) => journal.syncFailed(error);
      commit.timedSync.onRecovery = (milliseconds) => journal.syncRecovered(milliseconds);
    }
    if ('onDamage' in store) store.onDamage = (damage) => takeDamage(environment, damage, this.#recovered);
    emitter.adapter = {
      toPacket: (message) => packetOf(message, this.id, this.counter),
      publish: (packet) => publishMessage(environment, messageOf(packet, '', clock.now())),
    };
    // Aedes hands this function to net.createServer as it is, so it has to know its broker.
    const handle = (stream: Duplex, request?: IncomingMessage): Connection =>
      this.accept(new StreamTransport(stream), request);
    // Connection has what code written for Aedes uses of its Client, but not the private parts of that class.
    this.handle = handle as unknown as Aedes['handle'];
  }

  /** A broker that listens to no network yet, with its state recovered from the store. */
  static override async createBroker(options?: BrokerOptions): Promise<Broker> {
    const broker = new Broker(options);
    await broker.listen();
    return broker;
  }

  /** Recovers the state and opens the broker for clients. Takes no network address: see listeners/. */
  override async listen(): Promise<void> {
    this.#hooks.watch();
    this.prepared = await openStore(this.store, version);
    // In the first group, so that no store has records without a version.
    if (this.prepared.operation !== null) this.commit.add(this.prepared.operation);
    await recoverState(this.environment);
    await super.listen();
    this.#timer = setInterval(() => this.tick(), TICK);
    this.#timer.unref();
    await recoverWills(this.environment);
    this.#recovered = true;
  }

  /**
   * Takes a connection over any transport.
   * @param anonymous whether a client without user name may connect this way
   * @param entry its place at the gate, if it has one already
   * @param shown what it has shown of itself over TLS, for which it has had its turn unless that was elsewhere; null for
   *   other transports
   */
  accept(
    transport: Transport,
    request?: IncomingMessage,
    anonymous = true,
    entry: Entry | null = null,
    shown: Shown | null = null,
  ): Connection {
    const mount = transport.terms?.options.mount ?? null;
    const connection =
      mount === null
        ? new Connection(this.environment, transport, request, anonymous)
        : new MountedConnection(this.environment, transport, request, anonymous, mount);
    connection.entry = entry ?? this.environment.gate.enter(connection);
    connection.proved = shown?.username ?? null;
    connection.psk = shown?.psk ?? null;
    if (this.closed) connection.drop('the broker is closed');
    else if (connection.entry === null) connection.discard('no room at the gate');
    else {
      this.#connections.add(connection);
      if (shown === null || shown.elsewhere) this.#arrivals.take(connection);
    }
    return connection;
  }

  /** Holds a connection until its turn comes, before anything is done for it (`limits.connects_per_second`). */
  arrive(arrival: Arrival & Party): void {
    this.#arrivals.take(arrival);
  }

  /** Gives a connection that does not speak MQTT its place among all connections; null if it has to be closed at once. */
  enter(remote: string, transport: string): Entrance | null {
    const entrance = Entrance.at(this.environment.gate, remote, transport);
    if (entrance !== null) this.#arrivals.take(entrance);
    return entrance;
  }

  /**
   * Offers a method of enhanced authentication to clients that connect from now on.
   * @throws PorticoError `PORTICO_CONFIGURATION` if there is one of that name
   */
  addAuthenticationMethod(method: AuthenticationMethod): void {
    if (this.#authenticationMethods.has(method.name)) {
      throw new PorticoError(ErrorKinds.Configuration, `there are two authentication methods ${method.name}`);
    }
    this.#authenticationMethods.set(method.name, method);
  }

  /** Offers a method no more; who has authenticated by it stays. */
  removeAuthenticationMethod(name: string): void {
    this.#authenticationMethods.delete(name);
  }

  /** Puts other options in the place of those there are. */
  replaceOptions(options: SessionOptions, retained: RetainedLimits): void {
    const { connectsPerSecond, draining, checkRetainSource } = this.environment.options;
    replaceOptions(this.environment, options);
    if (options.checkRetainSource !== checkRetainSource) guardRetained(this.environment);
    this.router.retained.replaceLimits(retained);
    if (options.connectsPerSecond !== connectsPerSecond) this.#arrivals.replace(options.connectsPerSecond);
    // What a signal has begun goes on unless the configuration says another thing than before.
    if (options.draining === draining) return;
    if (options.draining === 'no') this.draining = 'no';
    else this.drain(options.draining);
  }

  /** Puts another access control list in the place of the one there is. @param listeners see `Environment.listenerAccess` */
  replaceAcl(acl: Acl | null, listeners: ReadonlyMap<string, AccessControl> = new Map()): void {
    replaceAccess(this.environment, acl, listeners);
  }

  /**
   * Ends the clients that would not be let in any more. Returns how many.
   * @param isOut told of each client that came with a user name and password, or with neither
   */
  endClients(isOut: (client: Connection | InProcessClient) => boolean, reason: string): number {
    return endClients(this.#connections, this.sessions.inProcess.values(), isOut, reason);
  }

  /** Opens a client inside the process; the door for plugins. */
  openClient(identity: ClientIdentity): InProcessClient {
    return new InProcessClient(this.environment, identity);
  }

  /** Opens a client inside the process that is asked who it is, and listed as connected until it is closed. */
  connectClient(identity: ClientIdentity, credentials: Credentials): Promise<InProcessClient | Refusal> {
    return admit(this.environment, identity, credentials);
  }

  /** What a plugin of this name keeps; one and the same for each that asks. */
  storageOf(plugin: string): PluginStorage {
    return PluginStorage.of(this.environment, plugin);
  }

  // Overloads as Aedes has them: the client may be left out.
  override publish(packet: PublishRequest, client: Connection | null | Done, done?: Done): void;
  override publish(packet: PublishRequest, done?: Done): void;
  override publish(packet: PublishRequest, client?: Connection | null | Done, done?: Done): void {
    const callback = typeof client === 'function' ? client : done;
    const publisher = typeof client === 'function' ? '' : (client?.id ?? '');
    publishAsBroker(this.environment, packet, publisher, callback);
  }

  /** Looks after what depends on time: keep alive, connect timeout, session expiry, will delay. */
  tick(): void {
    const now = this.#clock.now();
    this.commit.tick();
    for (const connection of this.#connections) checkTimeouts(connection, now);
    endExpiredGrants(this.environment, now);
    this.#rateTimer.run();
    expireBans(this.environment);
    this.router.retained.dropExpired(now);
    // A will must not be handed to a session whose time is over, of its client or another.
    this.sessions.tick(now);
    this.wills.tick(now);
  }

  /**
   * Sends all clients away, and refuses new ones, with a Server Reference if `mqtt.server_reference` names one.
   * @param kind whether they may come back
   */
  drain(kind: 'temporary' | 'permanent' = 'temporary'): void {
    this.draining = kind;
    const reasonCode = kind === 'permanent' ? ReasonCode.ServerMoved : ReasonCode.UseAnotherServer;
    sendAway(this.#connections, this.sessions.inProcess.values(), reasonCode, 'the broker is being drained');
  }

  /** Connections, also those that have not sent CONNECT. */
  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /**
   * Disconnects all clients, writes everything and closes the store. Rejects with `PORTICO_STORE_COMMIT` if the store
   * cannot be written.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#rateTimer.stop();
    for (const connection of [...this.#connections]) {
      connection.terminate(ReasonCode.ServerShuttingDown, 'the broker is shutting down');
    }
    await new Promise<void>((resolve) => super.close(() => resolve()));
    try {
      await this.commit.close();
    } catch (error) {
      // Closing could wait for a write that never ends; the process is about to.
      this.store.close().catch(() => {});
      throw error;
    }
    await this.store.close();
  }

  override close(done?: () => void): void {
    this.stop().then(
      () => done?.(),
      (error: unknown) => this.emit('error', error),
    );
  }
}
