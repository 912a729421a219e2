/** What is measured of reloads of the configuration. */
import { counters, gauge, type Metric } from './measure.js';

export const RELOAD_METRICS: readonly Metric[] = [
  counters('portico_reloads_total', 'Times that the configuration was read again (SIGHUP), by result.', 'result', {
    success: ['reload/succeeded', 'reloads'],
    failure: ['reload/failed', 'reloadFailures'],
  }),
  gauge(
    'portico_reload_last_timestamp_seconds',
    'When the configuration was last read again, since the epoch; 0 if never.',
    'reload/last/time',
    'reloadedAt',
  ),
  gauge(
    'portico_reload_last_failed',
    '1 if it had a fault then, and what was before is in force; else 0.',
    'reload/last/failed',
    'reloadFailed',
  ),
];
