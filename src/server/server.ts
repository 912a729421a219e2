/** A broker with its listeners, plugins and monitor, made from a configuration. */
import type { EventEmitter } from 'node:events';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { Passwords } from '../access/passwords.js';
import { ScramSha256 } from '../access/scram.js';
import { ControlServer } from '../admin/control.js';
import { TracedJournal } from '../admin/tracing/traced-journal.js';
import { Broker } from '../broker.js';
import { anonymousAllowed, bindAddresses, describeListeners } from '../config/listeners.js';
import type { LoadedConfig } from '../config/load.js';
import { counterparts, inForce } from '../config/reloading.js';
import type { ListenerConfig } from '../config/schema.js';
import { HttpListener } from '../listeners/http.js';
import { isNotYet, Latecomers } from '../listeners/latecomers.js';
import type { Listener } from '../listeners/listener.js';
import { JournalLog } from '../monitor/journal-log.js';
import { pagesOf } from '../monitor/pages.js';
import { Instruments } from '../monitor/reading.js';
import { SysTree } from '../monitor/sys-tree.js';
import type { Plugin, PluginContext } from '../plugins/plugin.js';
import { Tracing } from '../session/tracing.js';
import { keptAside } from '../store/aside.js';
import { LevelStore } from '../store/level-store.js';
import { MemoryStore } from '../store/memory-store.js';
import { describeVersion } from '../store/upgrade.js';
import { version } from '../version.js';
import { isAbsent, missingInterface } from './absent-addresses.js';
import type { AccessFiles } from './access-files.js';
import { type BackendFiles, backendRenewal } from './backend-files.js';
import { Backends } from './backends.js';
import { retainedLimits, sessionOptions } from './broker-options.js';
import { type Errand, errandsOf } from './coap-errands.js';
import { CoapFaces } from './coap-faces.js';
import { type CoapListener, type CoapSecurity, isCoap } from './coap-security.js';
import { controlRoutes } from './control-routes.js';
import { identifier, passwordOptions } from './identification.js';
import { ListenerAccess } from './listener-access.js';
import { MqttListeners, strangerAt, trustedBy } from './mqtt-listeners.js';
import { becomeUser } from './own-user.js';
import { contextOf } from './plugin-context.js';
import { type Renewal, Renewals } from './renewal.js';
import { readSecurityFiles, type SecurityFiles } from './security-files.js';
import { type Reloaded, sendOut } from './sent-away.js';
import type { TlsSecurity } from './tls-security.js';

/** Seconds of one measurement of the event loop while `sys.interval` is 0. */
const LOOP_INTERVAL = 10;
/** Milliseconds for which a stop waits for a store that writes nothing: as long as Docker waits for its container. */
const CLOSE_PATIENCE = 8000;

export class Server {
  #loaded: LoadedConfig;
  /** What `#takesStrangers` has found in `#loaded`: each request over CoAP asks. */
  readonly #strangersTaken = new Map<ListenerConfig, boolean>();
  readonly #access: ListenerAccess;
  #scram: ScramSha256 | null;
  readonly #logger: Logger;
  readonly #tls: TlsSecurity;
  readonly #renewals: Renewals;
  readonly broker: Broker;
  /** Whose `replace` takes another file. */
  readonly passwords: Passwords;
  readonly #backends: Backends;
  readonly #backendRenewal: Renewal<BackendFiles>;
  readonly #listeners: Listener[] = [];
  /** Those that ask devices, as far as they were started. */
  readonly #asking: Plugin[] = [];
  readonly #instruments: Instruments;
  readonly #sys: SysTree;
  readonly #errands: readonly Errand[];
  readonly #control: ControlServer;
  readonly #mqtt: MqttListeners;
  readonly #coap: CoapFaces;
  readonly #latecomers: Latecomers;
  readonly #addresses = new Map<ListenerConfig, string[]>();
  /** The listeners of the start, in the order of those of the configuration that is in force. */
  readonly #opened: readonly ListenerConfig[];

  private constructor(
    loaded: LoadedConfig,
    logger: Logger,
    { security, tls, access, passwords, backends, backendFiles, scram }: Known,
    broker: Broker,
  ) {
    this.#loaded = loaded;
    this.passwords = passwords;
    this.#backends = backends;
    this.#access = access;
    this.#opened = loaded.config.listeners;
    this.#scram = scram;
    this.#tls = tls;
    this.#backendRenewal = backendRenewal(loaded.config, backendFiles, ({ make }) => backends.replace(make));
    this.#renewals = new Renewals([...tls.renewals, ...security.renewals, this.#backendRenewal]);
    this.#logger = logger;
    this.broker = broker;
    const isOpen = (listener: ListenerConfig): boolean => this.#takesStrangers(listener);
    this.#mqtt = new MqttListeners(broker, loaded.config, tls, isOpen, (listener) => access.of(listener));
    broker.replaceAcl(access.filesOf(undefined).acl, access.controls);
    this.#coap = new CoapFaces(loaded.config.coap, security, { contextOf: (plugin) => this.#context(plugin), isOpen });
    this.#latecomers = new Latecomers({
      late: (error) => {
        const words = error instanceof Error ? error.message : String(error);
        logger.warn(`${words}; it is tried again until it can be opened`);
      },
      opened: (what, attempts) => logger.info({ attempts }, `${what} is open now, after ${attempts} attempts`),
    });
    this.#control = new ControlServer(
      loaded.config.data_dir,
      controlRoutes(broker, () => this.#loaded.config.limits.traces, logger),
      logger,
    );
    this.#instruments = new Instruments({
      version,
      counters: broker.counters,
      retained: broker.router.retained,
      sessions: broker.sessions,
      connections: broker.connections,
      store: broker.commit,
      daysLeft: () => this.#renewals.daysLeft(Date.now()),
      plugins: () => this.#plugins.map((plugin) => [plugin.name, plugin.counters()] as const),
    });
    this.#errands = errandsOf(loaded, security);
    this.#sys = new SysTree(this.#instruments, (topic, payload) => broker.publish({ topic, payload, retain: true }));
  }

  /** Opens the store, recovers its state and listens. Rejects with a `PorticoError` that says why it cannot. */
  static async start(loaded: LoadedConfig, logger: Logger): Promise<Server> {
    const { config } = loaded;
    const { files, security, tls, backends: backendFiles } = await readSecurityFiles(loaded);
    await becomeUser(loaded, logger);
    const passwords = new Passwords(files.usual.passwords, passwordOptions(config));
    const access = new ListenerAccess(config.listeners, passwords, files);
    const backends = Backends.of(backendFiles.make);
    for (const warning of access.warnings) logger.warn({ option: 'access.acl_file' }, warning);
    const scram = files.usual.scram === null ? null : new ScramSha256(files.usual.scram);
    const tracing = new Tracing();
    const broker = new Broker({
      store: config.store.type === 'memory' ? new MemoryStore() : new LevelStore(join(config.data_dir, 'store')),
      commit: {
        sync: config.store.sync,
        syncInterval: config.store.sync_interval,
        unwrittenBytes: config.store.unwritten_bytes,
        closePatience: CLOSE_PATIENCE,
      },
      journal: new TracedJournal(new JournalLog(logger), tracing),
      tracing,
      session: sessionOptions(config),
      retained: retainedLimits(config),
      identify: identifier(passwords, backends),
      acl: files.usual.acl,
      authenticationMethods: scram === null ? [] : [scram],
    });
    backends.counts = broker.counters;
    // Aedes' declarations leave its `error` event out.
    (broker as EventEmitter).on('error', (error: unknown) => logger.error({ err: error }, 'the broker failed'));
    const known = { security, tls, access, passwords, backends, backendFiles, scram };
    const server = new Server(loaded, logger, known, broker);
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
      const where = `listening on ${addresses.join(' and ')} (${listener.type})`;
      const lines =
        addresses.length > 0 ? describeListeners(this.#loaded, () => where) : describeListeners(this.#loaded);
      this.#logger.info({ addresses }, lines[index]);
    }
    await this.#renewals.start(this.#logger, this.broker.counters);
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

  get #plugins(): readonly Plugin[] {
    return [...this.#coap.plugins, ...this.#asking];
  }

  async #startPlugin(plugin: Plugin, does: string): Promise<void> {
    // Before it starts, so that whatever it has bound is closed if the rest fails.
    this.#asking.push(plugin);
    await plugin.start(this.#context(plugin.name));
    for (const what of plugin.describe()) this.#logger.info({ what }, `${does}: ${what}`);
  }

  async #open(config: ListenerConfig, host: string): Promise<void> {
    let address: string;
    if (isCoap(config)) address = await this.#coap.open(config, host);
    else {
      const listener = this.#listener(config, host);
      await listener.listen();
      this.#listeners.push(listener);
      address = listener.address;
    }
    const known = this.#addresses.get(config);
    if (known === undefined) this.#addresses.set(config, [address]);
    else known.push(address);
  }

  /** What the configuration that is in force says of a listener of the start. */
  #inForce(listener: ListenerConfig): ListenerConfig {
    return this.#loaded.config.listeners[this.#opened.indexOf(listener)];
  }

  /** Whether clients without user name may connect to a listener of the start, by the configuration that is in force. */
  #takesStrangers(listener: ListenerConfig): boolean {
    let takes = this.#strangersTaken.get(listener);
    if (takes === undefined) {
      takes = anonymousAllowed(this.#loaded.config, this.#inForce(listener));
      this.#strangersTaken.set(listener, takes);
    }
    return takes;
  }

  #listener(config: Exclude<ListenerConfig, CoapListener>, host: string): Listener {
    if (config.type !== 'http') return this.#mqtt.make(config, host);
    const { broker } = this;
    const current = (): ListenerConfig => this.#inForce(config);
    return new HttpListener(host, config.port, {
      pages: pagesOf(this.#instruments),
      get trusted() {
        return trustedBy(current());
      },
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

  /** The configuration in force: that of the start, with what was replaced since. */
  get loaded(): LoadedConfig {
    return this.#loaded;
  }

  /** Of the access control lists in force. */
  get warnings(): readonly string[] {
    return this.#access.warnings;
  }

  /**
   * Reads what another configuration names, and changes nothing yet.
   * @returns puts it in the place of what there is. Of the listeners there are it replaces keys and certificates
   * @throws PorticoError as `start`
   */
  async prepare(next: LoadedConfig): Promise<() => Replaced> {
    const read = await readSecurityFiles(next);
    return () => this.#replace(next, read);
  }

  #replace(next: LoadedConfig, { files, security, tls, backends }: SecurityFiles): Replaced {
    const { broker } = this;
    const before = this.#loaded.config;
    const found = counterparts(before, next.config);
    this.#loaded = { ...next, config: inForce(before, next.config) };
    this.#strangersTaken.clear();
    const { config } = this.#loaded;
    this.#backendRenewal.replace(backendRenewal(next.config, backends, () => {}));
    this.#replaceScram(files.usual.scram);
    broker.replaceOptions(sessionOptions(config), retainedLimits(config));
    const counterpartOf = (listener: ListenerConfig): ListenerConfig | undefined =>
      found[this.#opened.indexOf(listener)];
    const filesBefore = this.#access.replace(files, passwordOptions(config), counterpartOf);
    broker.replaceAcl(files.usual.acl, this.#access.controls);
    this.#tls.replace(tls, counterpartOf);
    this.#mqtt.replace(config.listeners);
    this.#coap.replace(config.coap, security, counterpartOf);
    if (config.sys.interval !== before.sys.interval) this.#replaceInterval(config.sys.interval);
    this.#logger.level = config.log.level;
    for (const connection of broker.connections) {
      const listener = this.#mqtt.listenerOf(connection);
      // It has not said CONNECT yet.
      if (listener !== undefined && !connection.connected) connection.anonymousAllowed = this.#takesStrangers(listener);
    }
    const reloaded: Reloaded = {
      listenerOf: (client) => this.#mqtt.listenerOf(client),
      filesBefore,
      access: this.#access,
      takesStrangers: (listener) => this.#takesStrangers(listener),
      backends: this.#backends,
      passwords: this.passwords,
      tls: this.#tls,
    };
    return { warnings: this.warnings, sentAway: sendOut(broker, reloaded) };
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
    return contextOf(plugin, this.broker, this.#logger);
  }

  /** Takes no more clients, disconnects those there are, writes everything and closes the store. */
  async stop(): Promise<void> {
    this.#renewals.stop();
    this.#sys.stop();
    this.#instruments.stop();
    await this.#control.close();
    await this.#latecomers.stop();
    const closing = this.#listeners.map((listener) => listener.close());
    for (const plugin of this.#plugins) await plugin.stop();
    await this.broker.stop();
    this.#backends.close();
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
  readonly tls: TlsSecurity;
  readonly access: ListenerAccess;
  readonly passwords: Passwords;
  readonly backends: Backends;
  readonly backendFiles: BackendFiles;
  readonly scram: ScramSha256 | null;
}
