/** What the control socket answers. */
import type { Logger } from 'pino';
import { BackupRoute } from '../admin/backup.js';
import { banRoutes } from '../admin/bans.js';
import { clientRoutes } from '../admin/clients.js';
import type { Route } from '../admin/control.js';
import { traceRoute } from '../admin/traces.js';
import { Traces } from '../admin/tracing/traces.js';
import type { Broker } from '../broker.js';
import { version } from '../version.js';

/** @param mostTraces `limits.traces` */
export function controlRoutes(broker: Broker, mostTraces: () => number, logger: Logger): Route[] {
  const { store, commit, environment } = broker;
  return [
    new BackupRoute({ store, commit, portico: version }, logger),
    ...banRoutes(environment, logger),
    ...clientRoutes(broker, logger),
    traceRoute(new Traces(broker, mostTraces), logger),
  ];
}
