/**
 * The plugin that maps CoAP resources to topics: PUT and POST publish, GET reads the retained value, GET with Observe
 * subscribes, DELETE clears. A device reaches the bus through a client of its own, like any MQTT client.
 */
import { CoapEndpoint } from '../../coap/endpoint.js';
import type { Plugin, PluginContext } from '../plugin.js';
import { Connections } from './connections.js';
import { DeviceTap } from './device-tap.js';
import { addressOf, Devices } from './devices.js';
import { endpointOptions, optionOf } from './endpoint-options.js';
import type { FaceOwner } from './face.js';
import type { CoapTopicsOptions, Place } from './options.js';
import type { Pubsub } from './pubsub/pubsub.js';
import { Resources } from './resources.js';
import { type Below, type Bound, bind } from './transports.js';

const PLACE: readonly string[] = ['below', 'host', 'port', 'anonymous'] satisfies Place[];

export class CoapTopics implements Plugin {
  readonly name = 'coap';
  readonly #options: CoapTopicsOptions;
  readonly #pubsub: Pubsub | null;
  readonly #directory: FaceOwner | null;
  #bound: Bound | null = null;
  #endpoint: CoapEndpoint | null = null;
  #resources: Resources | null = null;
  #connections: Connections | null = null;
  #devices: Devices | null = null;

  /**
   * @param pubsub the face of draft-ietf-core-coap-pubsub, which has started; null for none
   * @param directory the resource directory, which has started; null for none
   */
  constructor(options: CoapTopicsOptions, pubsub: Pubsub | null = null, directory: FaceOwner | null = null) {
    this.#options = options;
    this.#pubsub = pubsub;
    this.#directory = directory;
  }

  describe(): string[] {
    if (this.#bound === null) return [];
    const { address, port } = this.#bound;
    return [address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`];
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#endpoint?.counters, ...this.#bound?.counters() };
  }

  async start(context: PluginContext): Promise<void> {
    const options = this.#options;
    const connections = new Connections(context, options);
    this.#connections = connections;
    const devices = new Devices(context, connections, options);
    this.#devices = devices;
    const resources = new Resources(options, devices, connections, context, this.#pubsub);
    this.#resources = resources;
    const place = { address: options.host, port: options.port };
    this.#bound = await bind(options.below ?? { type: 'coap' }, place, options, context);
    this.#endpoint = new CoapEndpoint(this.#bound.transport, {
      handler: (request, exchange) => resources.handle(request, exchange),
      ...endpointOptions(options),
      taps: new DeviceTap(context, devices),
      onGone: ({ key, session }, reason) => devices.gone(key, session, reason),
      onEvent: (name, remote, detail) => {
        const where = remote === undefined ? undefined : addressOf(remote);
        if (name === 'limit') context.limit(null, optionOf(detail), `reached by ${where ?? 'all devices'}`);
        else context.logger.debug({ event: name, remote: where, detail }, `coap: ${name} ${detail}`);
      },
    });
    const scheme = options.below?.type ?? 'coap';
    const via = `${scheme}://${this.describe().join()}`;
    devices.endpoint = via;
    if (this.#directory !== null) {
      resources.add(this.#directory.open(this.#endpoint.line, via, scheme === 'coap'));
    }
  }

  /** Puts other keys and certificates in the place of those below; the type of the transport stays. */
  replaceCredentials(below: Below): void {
    this.#bound?.replace(below);
  }

  /** Puts another section in the place of the one there is, as far as that can be done while devices are served. */
  replaceOptions(section: Omit<CoapTopicsOptions, Place>): void {
    const options = this.#options;
    for (const name of Object.keys(options)) {
      // What is unset now has no value.
      if (!PLACE.includes(name) && !Object.hasOwn(section, name)) Reflect.deleteProperty(options, name);
    }
    Object.assign(options, section);
    this.#resources?.replaceOptions();
    this.#endpoint?.replace(endpointOptions(options));
    this.#bound?.replaceLimits(options);
  }

  /** Ends what rests on a key or CAs that are not there any more. */
  endOutdated(): void {
    this.#bound?.endOutdated();
  }

  async stop(): Promise<void> {
    this.#connections?.close();
    this.#devices?.strangers.close();
    await this.#endpoint?.close();
  }
}
