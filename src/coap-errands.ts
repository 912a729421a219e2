/** What the broker asks CoAP devices because its configuration says so. */
import type { CoapSecurity } from './coap-security.js';
import type { LoadedConfig } from './config/load.js';
import { sourceOf } from './config/source.js';
import { ObservedResources } from './plugins/coap-devices/observed-resources.js';
import { CoapDevices } from './plugins/coap-devices/plugin.js';
import type { Plugin } from './plugins/plugin.js';

/** A plugin that asks devices of its own accord. */
export interface Errand {
  readonly plugin: Plugin;
  /** For the start-up log. */
  readonly does: string;
}

/** Made before anything is opened: what is wrong with a command stops the start. */
export function errandsOf(loaded: LoadedConfig, { devices }: CoapSecurity): Errand[] {
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
