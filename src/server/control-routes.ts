/** What the control socket answers. */
import type { Logger } from 'pino';
import { BackupRoute } from '../admin/backup.js';
import { banRoutes } from '../admin/bans.js';
import { clientRoutes } from '../admin/clients.js';
import type { Route } from '../admin/control.js';
import type { Broker } from '../broker.js';
import { version } from '../version.js';

export function controlRoutes(broker: Broker, logger: Logger): Route[] {
  const { store, commit, environment } = broker;
  return [
    new BackupRoute({ store, commit, portico: version }, logger),
    ...banRoutes(environment, logger),
    ...clientRoutes(broker, logger),
  ];
}
