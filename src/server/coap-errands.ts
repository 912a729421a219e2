/** What the broker asks CoAP devices because its configuration says so. */
import { everyFault } from '../access/every-fault.js';
import type { LoadedConfig } from '../config/load.js';
import { sourceOf } from '../config/source.js';
import { ObservedResources } from '../plugins/coap-devices/observed-resources.js';
import { CoapDevices } from '../plugins/coap-devices/plugin.js';
import type { Plugin } from '../plugins/plugin.js';
import type { CoapSecurity } from './coap-security.js';

/** A plugin that asks devices of its own accord. */
export interface Errand {
  readonly plugin: Plugin;
  /** For the start-up log. */
  readonly does: string;
}

/** Made before anything is opened: what is wrong with a command stops the start. */
export function errandsOf(loaded: LoadedConfig, { devices }: Pick<CoapSecurity, 'devices'>): Errand[] {
  const { coap } = loaded.config;
  const errands: Errand[] = [];
  const faults: unknown[] = [];
  const add = (does: string, make: () => Plugin): void => {
    try {
      errands.push({ plugin: make(), does });
    } catch (error) {
      faults.push(error);
    }
  };
  const placeOf = (option: string): string => sourceOf(loaded, option);
  if (coap.commands.length > 0) add('commands devices', () => new CoapDevices(coap, placeOf, devices));
  if (coap.observations.length > 0) add('observes devices', () => new ObservedResources(coap, devices));
  if (faults.length > 0) throw everyFault(faults);
  return errands;
}
