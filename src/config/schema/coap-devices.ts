/** Options of the section `coap` for devices that register themselves. */
import { z } from 'zod';
import { documentation, KIB, whole } from './documentation.js';

/** Lifetimes of RFC 9176 5 have 32 bits of seconds. */
const MOST_LIFETIME = 0xff_ff_ff_ff;

export const registeredDevices = {
  devices_topic: z
    .string()
    .regex(/^(?:[^$+#/][^+#/]*(?:\/[^+#/]+)*)?$/)
    .default('devices')
    .register(documentation, {
      doc:
        'Topic above those of the devices that register themselves (RFC 9176): `devices` makes `/temp` of the device `node1` ' +
        '`devices/node1/temp`. Empty: devices cannot register.',
      type: 'a topic without wildcards, or nothing',
      since: '0.1.0',
    }),
  registrations: whole(0, 1_000_000).default(1_000).register(documentation, {
    doc: 'Devices that are registered at once. A further one is refused with 5.03.',
    since: '0.1.0',
  }),
  registrations_per_device: whole(1, 1_000_000)
    .default(100)
    .register(documentation, {
      doc:
        'Names that one user name, or without one an IP address, may register at once: a gateway registers many. A further ' +
        'one is refused with 5.03.',
      since: '0.1.0',
    }),
  registration_bytes: whole(64, 1024 * KIB)
    .default(8 * KIB)
    .register(documentation, {
      doc: 'Longest list of links of one registration. A longer one is refused with 4.13.',
      unit: 'bytes',
      since: '0.1.0',
    }),
  registration_links: whole(1, 100_000).default(100).register(documentation, {
    doc: 'Links of one registration. More are refused with 4.13.',
    since: '0.1.0',
  }),
  registration_lifetime_min: whole(1, MOST_LIFETIME).default(10).register(documentation, {
    doc: 'Shortest lifetime that a device may register for; less is refused with 4.00.',
    unit: 'seconds',
    since: '0.1.0',
  }),
  registration_lifetime_max: whole(1, MOST_LIFETIME)
    .default(2_592_000)
    .register(documentation, {
      doc:
        'Longest lifetime that a device may register for; more is refused with 4.00. A device that asks for none gets 90000, ' +
        'or this if it is less.',
      unit: 'seconds',
      since: '0.1.0',
    }),
  device_timeout: z
    .number()
    .min(0.1)
    .max(3600)
    .default(5)
    .register(documentation, {
      doc:
        'From the message that is a request to a registered device to the failure `timeout`, which is published in place of ' +
        'its response.',
      unit: 'seconds',
      since: '0.1.0',
    }),
  device_observations: whole(0, 1_000_000)
    .default(1_000)
    .register(documentation, {
      doc:
        'Resources of registered devices that are observed at once, for each address that CoAP listens on. For a further ' +
        'one the failure `limit` is published.',
      since: '0.1.0',
    }),
  device_observations_per_device: whole(0, 1_000_000).default(16).register(documentation, {
    doc: 'The same for one device.',
    since: '0.1.0',
  }),
  lookup_observers: whole(0, 100_000)
    .default(100)
    .register(documentation, {
      doc:
        'Lookups in the directory that are observed at once; each is made anew when the directory changes. A further one is ' +
        'answered without Observe.',
      since: '0.1.0',
    }),
};
