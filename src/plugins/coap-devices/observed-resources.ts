/** The plugin that observes CoAP resources which are configured, and publishes their states. */
import { everyFault } from '../../access/every-fault.js';
import type { Outcome } from '../../coap/client/outcome.js';
import { codeName } from '../../coap/codes.js';
import type { TransportOptions } from '../coap-topics/transports.js';
import type { InProcessClient, Plugin, PluginContext } from '../plugin.js';
import { DeviceCounters, sumOf } from './counters.js';
import { type DeviceCredentials, NO_CREDENTIALS } from './credentials.js';
import { type ObservationOptions, ObservedResource } from './observed-resource.js';
import { DeviceSockets } from './sockets.js';
import type { SharedOptions } from './transmission.js';

/** Options of the section `coap`. */
export interface ObservedResourcesOptions extends SharedOptions, TransportOptions {
  readonly observations: readonly ObservationOptions[];
  /** Bytes. */
  readonly max_payload: number;
}

export class ObservedResources implements Plugin {
  readonly name = 'coap-devices';
  readonly #resources: readonly ObservedResource[];
  readonly #sockets: DeviceSockets;
  #bus: InProcessClient | null = null;

  /** @throws PorticoError `PORTICO_CONFIGURATION` for a resource that cannot be observed */
  constructor(options: ObservedResourcesOptions, credentials: DeviceCredentials = NO_CREDENTIALS) {
    const resources: ObservedResource[] = [];
    const faults: unknown[] = [];
    for (const observation of options.observations) {
      try {
        resources.push(new ObservedResource(observation, options, credentials));
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw everyFault(faults);
    this.#resources = resources;
    // As many as are configured, and as many again that are just being given up.
    const most = 2 * options.observations.length;
    const limits = { observations: most, observationsPerPeer: most, requestsPerPeer: most, requests: most };
    this.#sockets = new DeviceSockets({ ...limits, bodyBytes: options.max_payload }, options, credentials);
  }

  describe(): string[] {
    return this.#resources.map(({ options: { uri, topic } }) => `${uri} on ${topic}`);
  }

  counters(): Readonly<Record<string, number>> {
    return { ...sumOf(new DeviceCounters(), this.#sockets.clients), ...this.#sockets.numbers };
  }

  async start(context: PluginContext): Promise<void> {
    await this.#sockets.open(
      this.#resources.map(({ target }) => target),
      context,
    );
    const bus = context.openClient({
      id: 'coap-observations',
      remote: 'internal',
      transport: 'internal',
      trusted: true,
    });
    this.#bus = bus;
    for (const resource of this.#resources) {
      resource.start({
        bus,
        find: (target, handler) => this.#sockets.find(target, handler),
        failed: (uri, outcome, again) => told(uri, outcome, again, context),
      });
    }
  }

  async stop(): Promise<void> {
    for (const resource of this.#resources) resource.stop();
    await this.#sockets.close();
    this.#bus?.close();
  }
}

/** The log warns of a failure once, until there is a state again. */
function told(uri: string, { response, failure }: Outcome, again: boolean, { logger }: PluginContext): void {
  const reason = response === null ? `${failure.reason} ${failure.detail}`.trim() : codeName(response.code);
  const text = `coap: ${uri} is not observed: ${reason}`;
  if (again) logger.debug({ uri, reason }, text);
  else logger.warn({ uri, reason }, text);
}
