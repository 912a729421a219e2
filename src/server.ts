/** A broker with its listeners, plugins and monitor, made from a configuration. */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ScramSha256 } from './access/scram.js';
import { type AccessFiles, readAccessFiles, Users } from './access-files.js';
import { BackupRoute } from './admin/backup.js';
import { ControlServer } from './admin/control.js';
import { Broker } from './broker.js';
import { retainedLimits, sessionOptions } from './broker-options.js';
import { type Errand, errandsOf } from './coap-errands.js';
import { type CoapListener, CoapSecurity, isCoap } from './coap-security.js';
import { anonymousAllowed, bindAddresses, describeListeners } from './config/listeners.js';
import type { LoadedConfig } from './config/load.js';
import { counterparts, inForce } from './config/reloading.js';
import type { ListenerConfig } from './config/schema.js';
import { PorticoError } from './errors.js';
import { HttpListener } from './listeners/http.js';
import type { Listener } from './listeners/listener.js';
import { TcpListener } from './listeners/tcp.js';
import { type Refusal, WebSocketListener } from './listeners/websocket.js';
import { JournalLog } from './monitor/journal-log.js';
import { pagesOf } from './monitor/pages.js';
import { Instruments } from './monitor/reading.js';
import { SysTree } from './monitor/sys-tree.js';
import { RegisteredDevices } from './plugins/coap-devices/registered-devices.js';
import { CoapTopics } from './plugins/coap-topics/plugin.js';
import { Pubsub } from './plugins/coap-topics/pubsub/pubsub.js';
import type { Plugin, PluginContext } from './plugins/plugin.js';
import type { Entry } from './session/gate.js';
import type { Party } from './session/journal.js';
import { StreamTransport, type Transport } from './session/transport.js';
import { keptAside } from './store/aside.js';
import { LevelStore } from './store/level-store.js';
import { MemoryStore } from './store/memory-store.js';
import { describeVersion } from './store/upgrade.js';
import { version } from './version.js';

/** Seconds of one measurement of the event loop while `sys.interval` is 0. */
const LOOP_INTERVAL = 10;
/** Milliseconds for which a stop waits for a store that writes nothing: as long as Docker waits for its container. */
const CLOSE_PATIENCE = 8000;

export class Server {
  #loaded: LoadedConfig;
  readonly #logger: Logger;
  readonly #security: CoapSecurity;
  readonly #users: Users;
  #scram: ScramSha256 | null;
  readonly broker: Broker;
  readonly #listeners: Listener[] = [];
  readonly #plugins: Plugin[] = [];
  #pubsub: Pubsub | null = null;
  #devices: RegisteredDevices | null = null;
  readonly #instruments: Instruments;
  readonly #sys: SysTree;
  readonly #errands: readonly Errand[];
  readonly #control: ControlServer;

  private constructor(loaded: LoadedConfig, logger: Logger, { security, users, scram }: Known, broker: Broker) {
    this.#loaded = loaded;
    this.#security = security;
    this.#users = users;
    this.#scram = scram;
    this.#logger = logger;
    this.broker = broker;
    const { store, commit } = broker;
    const backup = new BackupRoute({ store, commit, portico: version }, logger);
    this.#control = new ControlServer(loaded.config.data_dir, [backup], logger);
    this.#instruments = new Instruments({
      version,
      counters: broker.counters,
      retained: broker.router.retained,
      sessions: broker.sessions,
      connections: broker.connections,
      store: broker.commit,
      plugins: () => this.#plugins.map((plugin) => [plugin.name, plugin.counters()] as const),
    });
    this.#errands = errandsOf(loaded, security);
    this.#sys = new SysTree(this.#instruments, (topic, payload) => broker.publish({ topic, payload, retain: true }));
  }

  /** Opens the store, recovers its state and listens. Rejects with a `PorticoError` that says why it cannot. */
  static async start(loaded: LoadedConfig, logger: Logger): Promise<Server> {
    const { config } = loaded;
    const files = await readAccessFiles(config);
    const users = new Users(files);
    const security = await CoapSecurity.load(config);
    const { acl } = files;
    for (const warning of acl?.warnings ?? []) logger.warn({ option: 'access.acl_file' }, warning);
    const scram = files.scram === null ? null : new ScramSha256(files.scram);
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
      identify: users.identify,
      acl,
      authenticationMethods: scram === null ? [] : [scram],
    });
    // Aedes' declarations leave its `error` event out.
    const events: EventEmitter = broker;
    events.on('error', (error: unknown) => logger.error({ err: error }, 'the broker failed'));
    const server = new Server(loaded, logger, { security, users, scram }, broker);
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
      for (const { host, optional } of bindAddresses(listener)) {
        try {
          await this.#open(listener, host, index);
        } catch (error) {
          if (!optional || !isAbsent(error)) throw error;
          this.#logger.debug({ host }, `this machine has no ${host}; ${listener.type} does not listen there`);
        }
      }
      const addresses = this.#addresses.get(listener) ?? [];
      const where = addresses.length > 0 ? `listening on ${addresses.join(' and ')}. ` : '';
      this.#logger.info({ addresses }, `${where}${describeListeners(this.#loaded)[index]}`);
    }
    for (const { plugin, does } of this.#errands) await this.#startPlugin(plugin, does);
    this.#instruments.start(config.sys.interval === 0 ? LOOP_INTERVAL : config.sys.interval);
    await this.#sys.start(config.sys.interval);
  }

  async #startPlugin(plugin: Plugin, does: string): Promise<void> {
    // Before it starts, so that whatever it has bound is closed if the rest fails.
    this.#plugins.push(plugin);
    await plugin.start(this.#context(plugin.name));
    for (const what of plugin.describe()) this.#logger.info({ what }, `${does}: ${what}`);
  }

  readonly #addresses = new Map<ListenerConfig, string[]>();
  /** Addresses of CoAP, each with the place of its listener in the configuration. */
  readonly #faces: (readonly [CoapTopics, number])[] = [];
  /** Where each connection came in. */
  readonly #cameTo = new WeakMap<object, number>();

  async #open(config: ListenerConfig, host: string, index: number): Promise<void> {
    let address: string;
    if (isCoap(config)) {
      this.#pubsub ??= await this.#startPubsub();
      this.#devices ??= await this.#startDevices();
      const below = this.#security.below(config);
      const isOpen = (): boolean => this.#takesStrangers(index);
      const options = {
        ...this.#loaded.config.coap,
        below,
        host,
        port: config.port,
        get anonymous() {
          return isOpen();
        },
      };
      const plugin = new CoapTopics(options, this.#pubsub, this.#devices);
      await plugin.start(this.#context(plugin.name));
      this.#plugins.push(plugin);
      this.#faces.push([plugin, index]);
      address = plugin.describe().join(', ');
    } else {
      const listener = this.#listener(config, host, index);
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
    const devices = new RegisteredDevices(coap, Date.now, this.#security.deviceKeys);
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

  /** Whether clients without user name may connect to a listener, by the configuration that is in force. */
  #takesStrangers(index: number): boolean {
    const { config } = this.#loaded;
    return anonymousAllowed(config, config.listeners[index]);
  }

  /** Takes a connection that has come to a listener. */
  #accept(index: number, transport: Transport, request?: IncomingMessage, entry?: Entry | null): void {
    const connection = this.broker.accept(transport, request, this.#takesStrangers(index), entry);
    this.#cameTo.set(connection, index);
  }

  #listener(config: Exclude<ListenerConfig, CoapListener>, host: string, index: number): Listener {
    const { broker } = this;
    switch (config.type) {
      case 'mqtt':
        return new TcpListener(host, config.port, (socket: Socket) => {
          this.#accept(index, new StreamTransport(socket));
        });
      case 'websocket':
        return new WebSocketListener(host, config.port, {
          path: config.path ?? null,
          get maxConnectSize() {
            return broker.environment.options.maxConnectSize;
          },
          get connectTimeout() {
            return broker.environment.options.connectTimeout;
          },
          enter: (remote) => broker.environment.gate.enter(strangerAt(remote, 'websocket')),
          leave: (entry) => broker.environment.gate.leave(entry),
          accept: (transport, request, entry) => this.#accept(index, transport, request, entry),
          refused: (cause, remote, reason) => this.#refused(cause, remote, reason),
        });
      case 'http':
        return new HttpListener(host, config.port, {
          pages: pagesOf(this.#instruments),
          requested: () => broker.counters.httpRequests++,
          refused: (remote, reason) => {
            broker.counters.httpRefused++;
            broker.environment.journal.refused(strangerAt(remote, 'http'), reason);
          },
          failed: (path, err) => this.#logger.error({ err }, `the page ${path} could not be made`),
        });
    }
  }

  /** A connection that never became one of MQTT. */
  #refused(cause: Refusal, remote: string, reason: string): void {
    const { counters, environment } = this.broker;
    const party = strangerAt(remote, 'websocket');
    if (cause === 'timeout') counters.connectTimeouts++;
    else counters.protocolErrors++;
    if (cause === 'size') counters.oversizedPackets++;
    if (cause === 'connect size') {
      counters.connectsTooLarge++;
      environment.journal.limit(party, 'mqtt.max_connect_size', reason);
    }
    environment.journal.refused(party, reason);
  }

  /** The configuration in force: that of the start, with what was replaced since. */
  get loaded(): LoadedConfig {
    return this.#loaded;
  }

  /**
   * Reads what another configuration names, and changes nothing yet.
   * @returns puts it in the place of what there is. Of the listeners there are it replaces keys and certificates
   * @throws PorticoError as `start`
   */
  async prepare(next: LoadedConfig): Promise<() => Replaced> {
    const files = await readAccessFiles(next.config);
    const security = await CoapSecurity.load(next.config);
    // They find the faults of commands and observations.
    errandsOf(next, security);
    return () => this.#replace(next, files, security);
  }

  #replace(next: LoadedConfig, files: AccessFiles, security: CoapSecurity): Replaced {
    const { broker } = this;
    const before = this.#loaded.config;
    const found = counterparts(before, next.config);
    this.#loaded = { ...next, config: inForce(before, next.config) };
    const { config } = this.#loaded;
    const isOther = this.#users.replace(files);
    this.#replaceScram(files.scram);
    broker.replaceAcl(files.acl);
    broker.replaceOptions(sessionOptions(config), retainedLimits(config));
    this.#security.replaceDeviceKeys(security);
    for (const [face, index] of this.#faces) {
      const other = found[index];
      if (other !== undefined && isCoap(other)) face.replaceCredentials(security.below(other));
    }
    if (config.sys.interval !== before.sys.interval) this.#replaceInterval(config.sys.interval);
    this.#logger.level = config.log.level;
    for (const connection of broker.connections) {
      const index = this.#cameTo.get(connection);
      // It has not said CONNECT yet.
      if (index !== undefined && !connection.connected) connection.anonymousAllowed = this.#takesStrangers(index);
    }
    const sentAway = broker.endClients((client) => {
      const index = this.#cameTo.get(client);
      if (client.username !== null && files.passwords !== null) return isOther(client.username);
      // Nobody is asked for a password: whoever may come without a name may come with one.
      return index !== undefined && !this.#takesStrangers(index);
    }, 'it could not connect any more by the configuration that was read again');
    return { warnings: files.acl?.warnings ?? [], sentAway };
  }

  #replaceScram(users: AccessFiles['scram']): void {
    const { broker } = this;
    if (users === null) {
      if (this.#scram !== null) broker.removeAuthenticationMethod(this.#scram.name);
      this.#scram = null;
    } else if (this.#scram === null) {
      this.#scram = new ScramSha256(users);
      broker.addAuthenticationMethod(this.#scram);
    } else this.#scram.replace(users);
  }

  #replaceInterval(interval: number): void {
    this.#instruments.stop();
    this.#instruments.start(interval === 0 ? LOOP_INTERVAL : interval);
    void this.#sys.replace(interval);
  }

  #context(plugin: string): PluginContext {
    const { journal, counters } = this.broker.environment;
    return {
      logger: this.#logger,
      counters,
      storage: this.broker.storageOf(plugin),
      openClient: (identity) => this.broker.openClient(identity),
      connectClient: (identity, credentials) => this.broker.connectClient(identity, credentials),
      addAuthenticationMethod: (method) => this.broker.addAuthenticationMethod(method),
      denied: (party, action, topic, reason) => {
        counters.deniedPublish++;
        journal.denied(party, action, topic, reason);
      },
      limit: (party, option, detail) => journal.limit(party, option, detail),
    };
  }

  /** Takes no more clients, disconnects those there are, writes everything and closes the store. */
  async stop(): Promise<void> {
    this.#sys.stop();
    this.#instruments.stop();
    await this.#control.close();
    const closing = this.#listeners.map((listener) => listener.close());
    for (const plugin of this.#plugins) await plugin.stop();
    await this.broker.stop();
    await Promise.all(closing);
  }
}

/** What a reload has done besides. */
export interface Replaced {
  /** Of the access control list. */
  readonly warnings: readonly string[];
  /** Clients that could not connect any more. */
  readonly sentAway: number;
}

/** Who is who, as the files of the configuration say. */
interface Known {
  readonly security: CoapSecurity;
  readonly users: Users;
  readonly scram: ScramSha256 | null;
}

/** Whoever has not said who it is. */
function strangerAt(remote: string, transport: string): Party {
  return { id: '', remote, username: null, transport, version: 0 };
}

/** Whether binding failed because this machine has no such address. */
function isAbsent(error: unknown): boolean {
  if (!(error instanceof PorticoError) || !(error.cause instanceof Error) || !('code' in error.cause)) return false;
  return error.cause.code === 'EADDRNOTAVAIL' || error.cause.code === 'EAFNOSUPPORT';
}
