/** What the process takes of the machine, for `$SYS` and the metrics. */
import { counter, gauge, type Metric, measure } from './measure.js';
import { RESOURCE_TYPES, type ResourceType } from './resources.js';

const LOOP_DELAY = 'How late the event loop was in the last `sys.interval` (10 s if that is 0)';

/** Names as every Node.js process has them, so that dashboards made for any of them work. */
export const PROCESS_METRICS: readonly Metric[] = [
  gauge('portico_uptime_seconds', 'Time since the start.', [], (r) => r.uptime),
  counter('process_cpu_seconds_total', 'Processor time, in user and in system mode.', [], (r) => r.cpu),
  gauge('process_open_fds', 'Open file descriptors.', [], (r) => r.resources.openFiles()),
  gauge('process_resident_memory_bytes', 'Resident memory.', 'memory/resident', (r) => r.memory.rss),
  gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.', 'heap/current', (r) => r.memory.heapUsed),
  gauge(null, 'Most of it so far.', 'heap/maximum', (r) => r.memory.mostHeap),
  gauge('nodejs_heap_size_total_bytes', 'JavaScript heap.', [], (r) => r.memory.heapTotal),
  gauge(
    'nodejs_external_memory_bytes',
    'Memory outside of the JavaScript heap: buffers.',
    'memory/external',
    (r) => r.memory.external,
  ),
  gauge('nodejs_eventloop_lag_p50_seconds', `${LOOP_DELAY}: the median.`, 'loop/delay/p50', (r) => r.loop.p50),
  gauge(
    'nodejs_eventloop_lag_p99_seconds',
    `${LOOP_DELAY}: 99 of 100 times at most this.`,
    'loop/delay/p99',
    (r) => r.loop.p99,
  ),
  gauge('nodejs_eventloop_lag_max_seconds', `${LOOP_DELAY}: at most.`, 'loop/delay/max', (r) => r.loop.max),
  {
    name: 'nodejs_active_resources',
    kind: 'gauge',
    help: 'What keeps the event loop alive, by type: connections, listeners, timers.',
    measures: ([...RESOURCE_TYPES, 'other'] satisfies ResourceType[]).map((type) =>
      measure([], (r) => r.resources.active(type), { type }),
    ),
  },
];
