/** A broker with its listeners, plugins and monitor, made from a configuration. */
import type { EventEmitter } from 'node:events';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { readAcl } from './access/acl/load.js';
import type { Passwords } from './access/passwords.js';
import { ScramSha256 } from './access/scram.js';
import { readScramFile } from './access/scram-file.js';
import { BackupRoute } from './admin/backup.js';
import { banRoutes } from './admin/bans.js';
import { ControlServer } from './admin/control.js';
import { Broker } from './broker.js';
import type { RetainedLimits } from './bus/retained.js';
import { type CoapListener, CoapSecurity, isCoap } from './coap-security.js';
import { anonymousAllowed, bindAddresses, describeListeners } from './config/listeners.js';
import type { LoadedConfig } from './config/load.js';
import type { Config, ListenerConfig } from './config/schema.js';
import { sourceOf } from './config/source.js';
import { ErrorKinds, PorticoError } from './errors.js';
import { identifier, passwordsOf } from './identification.js';
import { HttpListener } from './listeners/http.js';
import { isNotYet, Latecomers } from './listeners/latecomers.js';
import type { Listener } from './listeners/listener.js';
import { JournalLog } from './monitor/journal-log.js';
import { pagesOf } from './monitor/pages.js';
import { Instruments } from './monitor/reading.js';
import { SysTree } from './monitor/sys-tree.js';
import { MqttListeners, strangerAt, trustedBy } from './mqtt-listeners.js';
import { ObservedResources } from './plugins/coap-devices/observed-resources.js';
import { CoapDevices } from './plugins/coap-devices/plugin.js';
import { RegisteredDevices } from './plugins/coap-devices/registered-devices.js';
import { CoapTopics } from './plugins/coap-topics/plugin.js';
import { Pubsub } from './plugins/coap-topics/pubsub/pubsub.js';
import type { Plugin, PluginContext } from './plugins/plugin.js';
import type { SessionOptions } from './session/environment.js';
import { loginFailed } from './session/failed-login.js';
import { keptAside } from './store/aside.js';
import { LevelStore } from './store/level-store.js';
import { MemoryStore } from './store/memory-store.js';
import { describeVersion } from './store/upgrade.js';
import { TlsSecurity } from './tls-security.js';
import { version } from './version.js';

const NEVER = 0xffffffff;
/** Seconds of one measurement of the event loop while `sys.interval` is 0. */
const LOOP_INTERVAL = 10;
/** Milliseconds for which a stop waits for a store that writes nothing: as long as Docker waits for its container. */
const CLOSE_PATIENCE = 8000;
const UNBOUNDED = Number.POSITIVE_INFINITY;

export class Server {
  readonly #loaded: LoadedConfig;
  readonly #logger: Logger;
  readonly #security: CoapSecurity;
  readonly #tls: TlsSecurity;
  readonly broker: Broker;
  /** Whose `replace` takes another file. */
  readonly passwords: Passwords;
  readonly #listeners: Listener[] = [];
  readonly #plugins: Plugin[] = [];
  #pubsub: Pubsub | null = null;
  #devices: RegisteredDevices | null = null;
  readonly #instruments: Instruments;
  readonly #sys: SysTree;
  readonly #errands: readonly Errand[];
  readonly #control: ControlServer;
  readonly #mqtt: MqttListeners;
  readonly #latecomers: Latecomers;

  private constructor(
    loaded: LoadedConfig,
    logger: Logger,
    security: CoapSecurity,
    tls: TlsSecurity,
    broker: Broker,
    passwords: Passwords,
  ) {
    this.#loaded = loaded;
    this.passwords = passwords;
    this.#security = security;
    this.#tls = tls;
    this.#logger = logger;
    this.broker = broker;
    const { store, commit } = broker;
    this.#mqtt = new MqttListeners(broker, loaded.config, tls);
    this.#latecomers = new Latecomers({
      late: (error) => {
        const words = error instanceof Error ? error.message : String(error);
        logger.warn(`${words}; it is tried again until it can be opened`);
      },
      opened: (what, attempts) => logger.info({ attempts }, `${what} is open now, after ${attempts} attempts`),
    });
    const backup = new BackupRoute({ store, commit, portico: version }, logger);
    this.#control = new ControlServer(
      loaded.config.data_dir,
      [backup, ...banRoutes(broker.environment, logger)],
      logger,
    );
    this.#instruments = new Instruments({
      version,
      counters: broker.counters,
      retained: broker.router.retained,
      sessions: broker.sessions,
      connections: broker.connections,
      store: broker.commit,
      daysLeft: () => tls.daysLeft(Date.now()),
      plugins: () => this.#plugins.map((plugin) => [plugin.name, plugin.counters()] as const),
    });
    this.#errands = errandsOf(loaded, security);
    this.#sys = new SysTree(this.#instruments, (topic, payload) => broker.publish({ topic, payload, retain: true }));
  }

  /** Opens the store, recovers its state and listens. Rejects with a `PorticoError` that says why it cannot. */
  static async start(loaded: LoadedConfig, logger: Logger): Promise<Server> {
    const { config } = loaded;
    const passwords = await passwordsOf(config);
    const security = await CoapSecurity.load(config);
    const tls = await TlsSecurity.load(config);
    const acl = await readAcl(config.access);
    for (const warning of acl?.warnings ?? []) logger.warn({ option: 'access.acl_file' }, warning);
    const scram = config.access.scram_file;
    const authenticationMethods = scram === undefined ? [] : [new ScramSha256(await readScramFile(scram))];
    const broker = new Broker({
      store: config.store.type === 'memory' ? new MemoryStore() : new LevelStore(join(config.data_dir, 'store')),
      commit: {
        sync: config.store.sync,
        syncInterval: config.store.sync_interval,
        unwrittenBytes: config.store.unwritten_bytes,
        closePatience: CLOSE_PATIENCE,
      },
      journal: new JournalLog(logger),
      session: sessionOptions(config),
      retained: retainedLimits(config),
      identify: identifier(passwords),
      acl,
      authenticationMethods,
    });
    // Aedes' declarations leave its `error` event out.
    const events: EventEmitter = broker;
    events.on('error', (error: unknown) => logger.error({ err: error }, 'the broker failed'));
    const server = new Server(loaded, logger, security, tls, broker, passwords);
    // Before the store is opened, which may add one and say so.
    const aside = await keptAside(config.data_dir);
    // A store that does not open leaves nothing to stop.
    await broker.listen();
    for (const sentence of aside) logger.warn({ option: 'store' }, sentence);
    if (broker.prepared !== null) logger.info(describeVersion(broker.prepared));
    try {
      await server.#openControl();
      await server.#listen();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Clients are served without it too. */
  async #openControl(): Promise<void> {
    try {
      await this.#control.open();
    } catch (error) {
      this.#logger.warn(
        `${error instanceof Error ? error.message : String(error)}; portico backup cannot ask this broker`,
      );
    }
  }

  async #listen(): Promise<void> {
    const { config } = this.#loaded;
    for (const [index, listener] of config.listeners.entries()) {
      await this.#openAll(listener);
      const addresses = this.#addresses.get(listener) ?? [];
      const where = addresses.length > 0 ? `listening on ${addresses.join(' and ')}. ` : '';
      this.#logger.info({ addresses }, `${where}${describeListeners(this.#loaded)[index]}`);
    }
    await this.#tls.start(this.#logger, this.broker.counters);
    for (const { plugin, does } of this.#errands) await this.#startPlugin(plugin, does);
    this.#instruments.start(config.sys.interval === 0 ? LOOP_INTERVAL : config.sys.interval);
    await this.#sys.start(config.sys.interval);
  }

  /** Opens the addresses of a listener; those that are not up yet when they are. */
  async #openAll(listener: ListenerConfig): Promise<void> {
    for (const { host, optional } of bindAddresses(listener)) {
      const open = (): Promise<void> => this.#open(listener, host);
      try {
        await open();
      } catch (error) {
        if (optional && isAbsent(error)) {
          this.#logger.debug({ host }, `this machine has no ${host}; ${listener.type} does not listen there`);
        } else if (isNotYet(error)) this.#latecomers.add(`${listener.type} on ${host}`, open, error);
        else throw error;
      }
    }
    const missing = missingInterface(listener);
    if (missing === null) return;
    const open = async (): Promise<void> => {
      const still = missingInterface(listener);
      if (still !== null) throw still;
      await this.#openAll(listener);
    };
    this.#latecomers.add(`${listener.type} on ${'interface' in listener ? listener.interface : ''}`, open, missing);
  }

  async #startPlugin(plugin: Plugin, does: string): Promise<void> {
    // Before it starts, so that whatever it has bound is closed if the rest fails.
    this.#plugins.push(plugin);
    await plugin.start(this.#context(plugin.name));
    for (const what of plugin.describe()) this.#logger.info({ what }, `${does}: ${what}`);
  }

  readonly #addresses = new Map<ListenerConfig, string[]>();

  async #open(config: ListenerConfig, host: string): Promise<void> {
    const anonymous = anonymousAllowed(this.#loaded.config, config);
    let address: string;
    if (isCoap(config)) {
      this.#pubsub ??= await this.#startPubsub();
      this.#devices ??= await this.#startDevices();
      const below = this.#security.below(config);
      const options = { ...this.#loaded.config.coap, below, host, port: config.port, anonymous };
      const plugin = new CoapTopics(options, this.#pubsub, this.#devices);
      await plugin.start(this.#context(plugin.name));
      this.#plugins.push(plugin);
      address = plugin.describe().join(', ');
    } else {
      const listener = this.#listener(config, host, anonymous);
      await listener.listen();
      this.#listeners.push(listener);
      address = listener.address;
    }
    const known = this.#addresses.get(config);
    if (known === undefined) this.#addresses.set(config, [address]);
    else known.push(address);
  }

  /** The directory of devices: one for all addresses of CoAP, if there is a topic for them. */
  async #startDevices(): Promise<RegisteredDevices | null> {
    const { coap } = this.#loaded.config;
    if (coap.devices_topic === '') return null;
    const devices = new RegisteredDevices(coap, Date.now, this.#security.devices);
    await devices.start(this.#context(devices.name));
    this.#plugins.push(devices);
    return devices;
  }

  /** One for all addresses of CoAP. */
  async #startPubsub(): Promise<Pubsub> {
    const pubsub = new Pubsub(this.#loaded.config.coap);
    await pubsub.start(this.#context(pubsub.name));
    this.#plugins.push(pubsub);
    return pubsub;
  }

  #listener(config: Exclude<ListenerConfig, CoapListener>, host: string, anonymous: boolean): Listener {
    if (config.type !== 'http') return this.#mqtt.make(config, host, anonymous);
    const { broker } = this;
    return new HttpListener(host, config.port, {
      pages: pagesOf(this.#instruments),
      trusted: trustedBy(config),
      requested: (remote, path) => {
        broker.counters.httpRequests++;
        this.#logger.debug({ remote, path, transport: 'http' }, `${remote} asks for ${path}`);
      },
      refused: (remote, reason) => {
        broker.counters.httpRefused++;
        broker.environment.journal.refused(strangerAt(remote, 'http'), reason);
      },
      failed: (path, err) => this.#logger.error({ err }, `the page ${path} could not be made`),
    });
  }

  #context(plugin: string): PluginContext {
    const { journal, counters } = this.broker.environment;
    return {
      logger: this.#logger,
      counters,
      storage: this.broker.storageOf(plugin),
      openClient: (identity) => this.broker.openClient(identity),
      enter: (remote, transport) => this.broker.enter(remote, transport),
      connectClient: (identity, credentials) => this.broker.connectClient(identity, credentials),
      addAuthenticationMethod: (method) => this.broker.addAuthenticationMethod(method),
      denied: (party, action, topic, reason) => {
        counters.deniedPublish++;
        journal.denied(party, action, topic, reason);
      },
      loginFailed: (party, method) => {
        loginFailed(this.broker.environment, party, { username: party.username, method });
      },
      limit: (party, option, detail) => journal.limit(party, option, detail),
    };
  }

  /** Takes no more clients, disconnects those there are, writes everything and closes the store. */
  async stop(): Promise<void> {
    this.#tls.stop();
    this.#sys.stop();
    this.#instruments.stop();
    await this.#control.close();
    await this.#latecomers.stop();
    const closing = this.#listeners.map((listener) => listener.close());
    for (const plugin of this.#plugins) await plugin.stop();
    await this.broker.stop();
    await Promise.all(closing);
  }
}

/** A plugin that asks devices of its own accord. */
interface Errand {
  readonly plugin: Plugin;
  /** For the start-up log. */
  readonly does: string;
}

/** Made before anything is opened: what is wrong with a command stops the start. */
function errandsOf(loaded: LoadedConfig, { devices }: CoapSecurity): Errand[] {
  const { coap } = loaded.config;
  const errands: Errand[] = [];
  if (coap.commands.length > 0) {
    const plugin = new CoapDevices(coap, (option) => sourceOf(loaded, option), devices);
    errands.push({ plugin, does: 'commands devices' });
  }
  if (coap.observations.length > 0) {
    errands.push({ plugin: new ObservedResources(coap, devices), does: 'observes devices' });
  }
  return errands;
}

/** Whether binding failed because this machine has no such address. */
function isAbsent(error: unknown): boolean {
  if (!(error instanceof PorticoError) || !(error.cause instanceof Error) || !('code' in error.cause)) return false;
  return error.cause.code === 'EADDRNOTAVAIL' || error.cause.code === 'EAFNOSUPPORT';
}

/** Why nothing of a listener can be bound yet: its interface has no address. */
function missingInterface(listener: ListenerConfig): PorticoError | null {
  if (!('interface' in listener) || listener.interface === undefined || bindAddresses(listener).length > 0) return null;
  const words = `cannot listen for ${listener.type} on ${listener.interface}: it has no address, or there is no such interface`;
  return new PorticoError(ErrorKinds.Listen, words);
}

/** Half of the memory of the machine, or of the container if that has less. */
function defaultMemory(): number {
  const machine = totalmem();
  const container = process.constrainedMemory();
  return Math.floor((container > 0 && container < machine ? container : machine) / 2);
}

function retainedLimits({ limits }: Config): RetainedLimits {
  const { retained_messages: messages, retained_bytes: bytes, retained_payload: payload } = limits;
  return { messages, bytes, ...(payload === undefined ? {} : { payload }) };
}

function sessionOptions({ mqtt, limits, access }: Config): SessionOptions {
  return {
    maxPacketSize: mqtt.max_packet_size,
    keepaliveMax: mqtt.keepalive_max,
    connectTimeout: mqtt.connect_timeout,
    maxClientIdLength: mqtt.max_client_id_length,
    maxTopicLevels: mqtt.max_topic_levels,
    maxTopicLength: mqtt.max_topic_length,
    maxConnectSize: mqtt.max_connect_size,
    sessionExpiryMax: mqtt.session_expiry_max ?? NEVER,
    sessionExpiryDefault: mqtt.session_expiry_default ?? NEVER,
    receiveMaximum: mqtt.receive_maximum,
    maxInflight: mqtt.max_inflight,
    queuedMessages: limits.queued_messages,
    queuedBytes: limits.queued_bytes,
    queueMemory: limits.queue_memory,
    queueAge: limits.queue_age,
    queueFull: limits.queue_full,
    memory: limits.memory ?? defaultMemory(),
    outputBuffer: limits.output_buffer,
    stalledTimeout: limits.stalled_timeout,
    connections: limits.connections,
    connectionsPerAddress: limits.connections_per_address ?? UNBOUNDED,
    connectsPerSecond: limits.connects_per_second ?? UNBOUNDED,
    pendingConnections: limits.pending_connections,
    messagesPerSecond: limits.messages_per_second ?? UNBOUNDED,
    bytesPerSecond: limits.bytes_per_second ?? UNBOUNDED,
    sessions: limits.sessions,
    subscriptionsPerClient: limits.subscriptions_per_client,
    maxQos: mqtt.max_qos as 0 | 1 | 2,
    retainAvailable: mqtt.retain_available,
    wildcardSubscriptions: mqtt.wildcard_subscriptions,
    subscriptionIdentifiers: mqtt.subscription_identifiers,
    sharedSubscriptions: mqtt.shared_subscriptions,
    sharedStrategy: mqtt.shared_strategy,
    topicAliasMaximum: mqtt.topic_alias_maximum,
    topicAliasMaximumOut: mqtt.topic_alias_maximum_out,
    validatePayloadFormat: mqtt.validate_payload_format,
    responseInformation: mqtt.response_information ?? null,
    serverReference: mqtt.server_reference ?? null,
    draining: mqtt.draining,
    lockoutWindow: access.lockout_window,
    lockoutFailures: access.lockout_failures,
    lockoutAddressFailures: access.lockout_address_failures,
    lockoutTime: access.lockout_time,
    lockoutLoopback: access.lockout_loopback,
    lockoutEntries: limits.lockout_entries,
  };
}
