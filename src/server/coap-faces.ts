/** The addresses that CoAP comes by, made from the options of their listeners, and what is there once for all of them. */

import type { Config, ListenerConfig } from '../config/schema.js';
import { RegisteredDevices } from '../plugins/coap-devices/registered-devices.js';
import { CoapTopics } from '../plugins/coap-topics/plugin.js';
import { Pubsub } from '../plugins/coap-topics/pubsub/pubsub.js';
import type { Plugin, PluginContext } from '../plugins/plugin.js';
import type { CoapListener, CoapSecurity } from './coap-security.js';

/** What the addresses get from the broker. */
export interface Surroundings {
  readonly contextOf: (plugin: string) => PluginContext;
  /** Whether a device without user name may come to a listener, asked for each request. */
  readonly isOpen: (listener: CoapListener) => boolean;
}

export class CoapFaces {
  #coap: Config['coap'];
  readonly #security: CoapSecurity;
  readonly #surroundings: Surroundings;
  readonly #faces: (readonly [CoapTopics, CoapListener])[] = [];
  #pubsub: Pubsub | null = null;
  #devices: RegisteredDevices | null = null;
  readonly #plugins: Plugin[] = [];

  constructor(coap: Config['coap'], security: CoapSecurity, surroundings: Surroundings) {
    this.#coap = coap;
    this.#security = security;
    this.#surroundings = surroundings;
  }

  /** All that have started, in that order. */
  get plugins(): readonly Plugin[] {
    return this.#plugins;
  }

  /**
   * Opens one address of a listener.
   * @returns the address
   */
  async open(listener: CoapListener, host: string): Promise<string> {
    this.#pubsub ??= await this.#start(new Pubsub(this.#coap));
    this.#devices ??= await this.#startDevices();
    const { isOpen } = this.#surroundings;
    const options = {
      ...this.#coap,
      below: this.#security.below(listener),
      host,
      port: listener.port,
      get anonymous() {
        return isOpen(listener);
      },
    };
    const face = await this.#start(new CoapTopics(options, this.#pubsub, this.#devices));
    this.#faces.push([face, listener]);
    this.#security.onRenewal(listener, () => this.#renew(listener));
    return face.describe().join(', ');
  }

  /** The directory of devices, if there is a topic for them. */
  async #startDevices(): Promise<RegisteredDevices | null> {
    if (this.#coap.devices_topic === '') return null;
    return this.#start(new RegisteredDevices(this.#coap, Date.now, this.#security.devices));
  }

  async #start<Started extends Plugin>(plugin: Started): Promise<Started> {
    await plugin.start(this.#surroundings.contextOf(plugin.name));
    this.#plugins.push(plugin);
    return plugin;
  }

  /** New keys and certificates below the addresses of a listener, for who comes from now on. */
  #renew(listener: CoapListener): void {
    for (const [face, other] of this.#faces) {
      if (other === listener) face.replaceCredentials(this.#security.below(listener));
    }
  }

  /**
   * Puts what another configuration says in the place of what there is.
   * @param coap its section, as far as it takes effect
   * @param counterpartOf its listener that is at the place of one of the start
   */
  replace(
    coap: Config['coap'],
    security: CoapSecurity,
    counterpartOf: (listener: ListenerConfig) => ListenerConfig | undefined,
  ): void {
    this.#coap = coap;
    this.#security.replace(security, counterpartOf);
    this.#pubsub?.replaceOptions(coap);
    this.#devices?.replaceLimits(coap);
    for (const [face, listener] of this.#faces) {
      face.replaceOptions(coap);
      // Where nothing is said of it any more, it goes on with what it has.
      if (counterpartOf(listener) === undefined) continue;
      face.replaceCredentials(this.#security.below(listener));
      face.endOutdated();
    }
  }
}
