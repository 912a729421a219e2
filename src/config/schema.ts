/**
 * Every option: the single home of names, defaults, ranges and documentation. `docs/options.md`, `config/portico.yaml`,
 * the names of the environment variables and the sentences about faults are derived from it. A section has a file of its
 * own in schema/ as soon as it is long.
 */
import { z } from 'zod';
import { access } from './schema/access.js';
import { coap } from './schema/coap.js';
import { documentation, text, whole } from './schema/documentation.js';
import { limits } from './schema/limits.js';
import { listeners } from './schema/listeners.js';
import { mqtt } from './schema/mqtt.js';
import { store } from './schema/store.js';

const sys = z
  .strictObject({
    interval: whole(0, 86_400).default(10).register(documentation, {
      doc: 'Time between two publications of the `$SYS/broker/...` topics. 0 publishes none.',
      unit: 'seconds',
      since: '0.1.0',
    }),
  })
  .prefault({})
  .register(documentation, { doc: 'The `$SYS` topics.', since: '0.1.0' });

const log = z
  .strictObject({
    level: z.enum(['error', 'warn', 'info', 'debug']).default('info').register(documentation, {
      doc: 'The least important messages that are logged. `-v` on the command line means `debug`.',
      since: '0.1.0',
    }),
    format: z.enum(['auto', 'pretty', 'json']).default('auto').register(documentation, {
      doc: '`pretty` lines for people, `json` lines for machines; `auto` is `pretty` on a terminal and `json` elsewhere.',
      since: '0.1.0',
    }),
  })
  .prefault({})
  .register(documentation, { doc: 'The log, on standard output.', since: '0.1.0' });

/** The whole configuration. Unknown keys are faults. */
export const configSchema = z.strictObject({
  listeners,
  allow_anonymous: z
    .boolean()
    .optional()
    .register(documentation, {
      doc:
        'Whether clients without user name may connect. Unset: only to listeners on loopback, and only while ' +
        '`access.password_file`, `access.scram_file` and all of `access.jwt_...` and `access.http_url` are unset. `true` lets a listener on any other address start ' +
        'without credentials.',
      example: true,
      since: '0.1.0',
    }),
  access,
  data_dir: text().default('./data').register(documentation, {
    doc: 'Folder of the store; created if it is missing. A relative path starts at the working directory.',
    since: '0.1.0',
  }),
  user: text()
    .optional()
    .register(documentation, {
      doc:
        'User of this machine, by name, that a broker started as root becomes, with its groups, once it has read its files and ' +
        'bound the ports and Unix sockets that only root may; the store is opened as that user. `root` stays root; for ' +
        '`mosquitto`, where there is no such user, `nobody` is taken, as Mosquitto does. Without effect for any other user than ' +
        'root. Unset: the process stays who it is.',
      example: 'mosquitto',
      since: '0.1.0',
    }),
  store,
  mqtt,
  limits,
  coap,
  sys,
  log,
});

/** A complete, valid configuration. */
export type Config = z.output<typeof configSchema>;
/** One entry of `listeners`. */
export type ListenerConfig = Config['listeners'][number];
export type ListenerType = ListenerConfig['type'];
/** The options that decide who may connect where. */
export type ExposureConfig = Pick<Config, 'listeners' | 'allow_anonymous'> & { access: Partial<Config['access']> };
