/**
 * The plugin for devices that register themselves: the directory of RFC 9176 on every address of CoAP, kept in the store,
 * and the topics of each device that is registered.
 */
import { CoapClient } from '../../coap/client/client.js';
import type { ClientLimits } from '../../coap/client/limits.js';
import { type CoapUri, parseCoapUri } from '../../coap/client/uri.js';
import type { SharedLine } from '../../coap/shared-line.js';
import type { FaceOwner } from '../coap-topics/face.js';
import type { TransportOptions } from '../coap-topics/transports.js';
import type { Plugin, PluginContext } from '../plugin.js';
import { DeviceCounters, sumOf } from './counters.js';
import { type DeviceCredentials, NO_CREDENTIALS } from './credentials.js';
import { type DeviceHost, DeviceTopics } from './device-topics.js';
import { type Change, Directory, type DirectoryLimits, type Registrant } from './directory.js';
import { DIRECTORY_PATH, DirectoryFace, type DirectoryHost } from './directory-face.js';
import { type ErrandLimits, Errands } from './errands.js';
import { checkedObservation, isKeptObservation, type KeptObservation, KeptObservations } from './kept-observations.js';
import { LookupObservers } from './lookup-observers.js';
import {
  baseOf,
  decodeRegistration,
  encodeRegistration,
  hostOf,
  levelOf,
  type Registration,
  type StoredRegistration,
} from './registration.js';
import type { Route } from './route.js';
import { DeviceSockets } from './sockets.js';
import { requestTransmission, type SharedOptions } from './transmission.js';

/** Options of the section `coap`. */
export interface RegisteredDevicesOptions extends DirectoryLimits, ErrandLimits, SharedOptions, TransportOptions {
  /** Topic above those of the devices. */
  readonly devices_topic: string;
  /** Seconds. */
  readonly device_timeout: number;
  readonly device_observations: number;
  readonly device_observations_per_device: number;
  readonly lookup_observers: number;
  /** Bytes. */
  readonly max_payload: number;
}

/** Milliseconds between looks at whose lifetime is over. */
const TICK = 1000;
/** Observations that are taken up at once after a restart; the others follow with the next ticks. */
const RESUMED_AT_ONCE = 100;

const REFUSED = {
  registrations: 'refusedRegistrations',
  registrations_per_device: 'refusedRegistrationsPerDevice',
  registration_bytes: 'refusedRegistrationBytes',
  registration_links: 'refusedRegistrationLinks',
  registration_lifetime_min: 'refusedLifetimesMin',
  registration_lifetime_max: 'refusedLifetimesMax',
} as const satisfies Record<keyof DirectoryLimits, keyof DeviceCounters>;

const CHANGED = {
  registered: 'registrations',
  updated: 'registrationUpdates',
  removed: 'registrationsRemoved',
  expired: 'registrationsExpired',
} as const satisfies Record<Change, keyof DeviceCounters>;

export class RegisteredDevices implements Plugin, FaceOwner, DirectoryHost {
  readonly name = 'coap-devices';
  readonly directory: Directory;
  readonly tally = new DeviceCounters();
  readonly lookups: LookupObservers;
  readonly #options: RegisteredDevicesOptions;
  readonly #limits: DirectoryLimits;
  readonly #now: () => number;
  readonly #faces = new Map<string, DirectoryFace>();
  readonly #clients: CoapClient[] = [];
  /** For devices that have not come by DTLS, and whose base is `coaps`. */
  readonly #sockets: DeviceSockets;
  readonly #credentials: DeviceCredentials;
  readonly #topics = new Map<string, DeviceTopics>();
  /** Devices with observations of before the restart that are still to be taken up. */
  readonly #resuming = new Set<DeviceTopics>();
  readonly #kept = new KeptObservations(() => this.#storage);
  #host: DeviceHost | null = null;
  #context: PluginContext | null = null;
  #timer: NodeJS.Timeout | null = null;

  /** @param now milliseconds since the epoch, which lifetimes are counted by over restarts */
  constructor(
    options: RegisteredDevicesOptions,
    now: () => number = Date.now,
    credentials: DeviceCredentials = NO_CREDENTIALS,
  ) {
    this.#options = options;
    this.#limits = directoryLimits(options);
    this.#now = now;
    this.#credentials = credentials;
    this.#sockets = new DeviceSockets(this.#clientLimits, options, credentials);
    this.directory = new Directory({
      limits: this.#limits,
      path: `/${DIRECTORY_PATH}`,
      now,
      put: (registration) => this.#storage.put(registration.id, encodeRegistration(registration)),
      delete: ({ id }) => this.#storage.delete(id),
      changed: (registration, what, by) => this.#changed(registration, what, by),
      refused: (limit, registrant) => this.#refused(limit, registrant),
    });
    this.lookups = new LookupObservers(this.directory, options.lookup_observers, () => {
      this.tally.refusedLookupObservers++;
      this.context.limit(null, 'coap.lookup_observers', 'a lookup is answered without being observed');
    });
  }

  /** Puts other limits of the directory in the place of those there are; who is registered stays. */
  replaceLimits(limits: DirectoryLimits): void {
    Object.assign(this.#limits, directoryLimits(limits));
  }

  /** Nothing of its own: the addresses are those of CoAP. */
  describe(): string[] {
    return [];
  }

  counters(): Readonly<Record<string, number>> {
    const sum = sumOf(this.tally, [...this.#clients, ...this.#sockets.clients]);
    sum.registered = this.directory.size;
    return { ...sum, ...this.#sockets.numbers };
  }

  async start(context: PluginContext): Promise<void> {
    const { devices_topic: root, device_timeout: timeout } = this.#options;
    this.#context = context;
    if (!this.#credentials.isEmpty) await this.#sockets.open([{ secure: true, kind: 'name' }], context);
    this.#host = {
      context,
      root,
      errands: new Errands(this.#options, this.tally, context),
      kept: this.#kept,
      now: this.#now,
      transmission: requestTransmission(this.#options, timeout),
      routeOf: (registration) => this.#routeOf(registration),
    };
    await this.#restore(this.#host);
    // Those whose lifetime ended while the broker did not run.
    this.tick();
    for (const topics of this.#topics.values()) topics.restored();
    this.#timer = setInterval(() => this.tick(), TICK);
    this.#timer.unref();
  }

  async #restore(host: DeviceHost): Promise<void> {
    const observations: KeptObservation[] = [];
    await host.context.storage.entries((value, key) => {
      const stored = JSON.parse(value.toString()) as StoredRegistration | KeptObservation;
      if (isKeptObservation(stored)) {
        observations.push(checkedObservation(stored, key));
        return;
      }
      const registration = decodeRegistration(stored);
      if (registration.id !== key) throw new Error('a registration is stored as another');
      this.directory.restore(registration);
      this.#topics.set(key, new DeviceTopics(host, registration));
    });
    for (const observation of observations) {
      const topics = this.#topics.get(observation.observes);
      if (topics === undefined) this.#kept.delete(observation);
      else {
        topics.restoreObservation(observation);
        this.#resuming.add(topics);
      }
    }
  }

  /** Takes up what was observed before the restart, some at a time, where the broker listens already. */
  #resume(): void {
    let left = RESUMED_AT_ONCE;
    for (const topics of this.#resuming) {
      const { begun, isDone } = topics.resume(left);
      if (isDone) this.#resuming.delete(topics);
      left -= begun;
      if (left <= 0) return;
    }
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    // What is under way fails as `closed`, and that is published.
    await Promise.all([...this.#clients.map((client) => client.close()), this.#sockets.close()]);
    for (const topics of this.#topics.values()) topics.close();
  }

  get #clientLimits(): Partial<ClientLimits> {
    const {
      commands_in_flight: requests,
      commands_per_device: requestsPerPeer,
      max_payload: bodyBytes,
      device_observations: observations,
      device_observations_per_device: observationsPerPeer,
    } = this.#options;
    return { requests, requestsPerPeer, bodyBytes, observations, observationsPerPeer };
  }

  open(line: SharedLine, via: string, plain: boolean): DirectoryFace {
    const client = new CoapClient(line, { limits: this.#clientLimits });
    const face = new DirectoryFace(this, client, via, plain);
    line.onGone = (remote) => {
      face.gone(remote.key);
      client.gone(remote);
    };
    this.#clients.push(client);
    this.#faces.set(via, face);
    this.#resume();
    return face;
  }

  get context(): PluginContext {
    if (this.#context === null) throw new Error('the plugin has not started');
    return this.#context;
  }

  get host(): DeviceHost {
    if (this.#host === null) throw new Error('the plugin has not started');
    return this.#host;
  }

  get #storage(): PluginContext['storage'] {
    return this.context.storage;
  }

  /** Forgets whoever has not renewed its registration, and what the store could not forget before, and tells those who observe lookups. */
  tick(): void {
    this.directory.dropExpired();
    this.#kept.retry();
    this.#resume();
    this.lookups.tell();
  }

  #changed(registration: Registration, what: Change, by: Registrant | null): void {
    const { id } = registration;
    this.tally[CHANGED[what]]++;
    this.lookups.changed();
    let topics = this.#topics.get(id);
    // Wherever it was before.
    for (const face of this.#faces.values()) face.forget(id);
    if (what === 'removed' || what === 'expired') {
      this.#topics.delete(id);
      topics?.gone(what);
      if (topics !== undefined) this.#resuming.delete(topics);
      this.context.logger.info({ device: levelOf(registration) }, `coap: ${levelOf(registration)} ${what}`);
      return;
    }
    if (by !== null) this.#faces.get(by.origin.via)?.reached(id, by.address);
    if (topics === undefined) {
      topics = new DeviceTopics(this.host, registration);
      this.#topics.set(id, topics);
      this.context.logger.info(
        { device: levelOf(registration), remote: registration.origin.address },
        `coap: ${levelOf(registration)} registered`,
      );
    }
    topics.here(registration, what);
  }

  #refused(limit: keyof DirectoryLimits, { owner, origin }: Registrant): void {
    this.tally[REFUSED[limit]]++;
    const who = owner === null ? `${origin.address}:${origin.port}` : `${owner} at ${origin.address}:${origin.port}`;
    this.context.limit(null, `coap.${limit}`, `a registration of ${who} was refused`);
  }

  #routeOf(registration: Registration): Route | string {
    const { origin, base, implicit } = registration;
    const face = this.#faces.get(origin.via);
    if (face === undefined) return `the broker does not listen at ${origin.via} any more: the device has to come back`;
    // A tool may register devices that are elsewhere.
    if (origin.bound && (implicit || hostOf(base) === hostOf(baseOf(origin)))) {
      const address = face.addressOf(registration.id);
      return address === undefined
        ? 'its association or connection is gone: the device has to come back'
        : { client: face.client, address };
    }
    if (implicit) return { client: face.client, address: origin };
    const target = parseCoapUri(base);
    if (typeof target === 'string') return `its base ${base} cannot be reached: ${target}`;
    const { host: address, port, kind: family } = target;
    if (family === 'name') return `its base ${base} is a name, which is not looked up`;
    if (target.secure) return this.#secureRoute(target, registration.ep);
    // Another family needs another socket.
    const way = family === origin.family ? face : [...this.#faces.values()].find((other) => other.serves(family));
    return way === undefined
      ? `the broker does not listen for ${family}`
      : { client: way.client, address: { address, port, family } };
  }

  /** To an IP address, which needs no look-up. */
  #secureRoute(target: CoapUri, endpoint: string): Route | string {
    const lack = this.#credentials.lack(target);
    if (lack !== null) return lack;
    let found: Route | null = null;
    this.#sockets.find(
      target,
      (route) => {
        found = route;
      },
      endpoint,
    );
    return found ?? `the broker has no socket for ${target.kind}`;
  }
}

function directoryLimits(options: DirectoryLimits): DirectoryLimits {
  return {
    registrations: options.registrations,
    registrations_per_device: options.registrations_per_device,
    registration_bytes: options.registration_bytes,
    registration_links: options.registration_links,
    registration_lifetime_min: options.registration_lifetime_min,
    registration_lifetime_max: options.registration_lifetime_max,
  };
}
