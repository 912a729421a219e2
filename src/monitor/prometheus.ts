/** The measures as text for Prometheus. */
import { Counter, Gauge, Registry, type RegistryContentType } from 'prom-client';
import { METRICS } from './measures.js';
import type { Reading } from './reading.js';

/** A text with its media type. */
export interface Exposition {
  readonly type: string;
  readonly text: string;
}

const OPENMETRICS = 'application/openmetrics-text';

/**
 * Writes a reading. Nothing is kept from one scrape to the next: the numbers live where they are counted.
 * @param accept the Accept field of the request: OpenMetrics for whom it names, else the older text format 0.0.4
 */
export async function expose(reading: Reading, accept: string): Promise<Exposition> {
  const registry: Registry<RegistryContentType> = new Registry();
  if (accept.includes(OPENMETRICS)) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const registers = [registry];
  for (const { name, kind, help, measures } of METRICS) {
    if (name === null) continue;
    const shape = { name, help, labelNames: Object.keys(measures[0].labels), registers };
    if (kind === 'counter') {
      const counter = new Counter(shape);
      for (const { labels, read } of measures) counter.inc({ ...labels }, read(reading));
    } else {
      const gauge = new Gauge(shape);
      for (const { labels, read } of measures) gauge.set({ ...labels }, read(reading));
    }
  }
  const info = new Gauge({ name: 'portico_build_info', help: 'Always 1.', labelNames: ['version'], registers });
  info.set({ version: reading.version }, 1);
  if (reading.plugins.size > 0) exposePlugins(reading, registers);
  return { type: registry.contentType, text: await registry.metrics() };
}

/** What plugins count that the table does not know. Nobody has said which of it only grows. */
function exposePlugins({ plugins }: Reading, registers: Registry<RegistryContentType>[]): void {
  const labelNames = ['plugin', 'name'];
  const gauge = new Gauge({ name: 'portico_plugin_count', help: 'What a plugin counts.', labelNames, registers });
  for (const [plugin, counters] of plugins) {
    for (const [name, value] of Object.entries(counters)) gauge.set({ plugin, name }, value);
  }
}
