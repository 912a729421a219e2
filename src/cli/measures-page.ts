/** `docs/sys.md`: every `$SYS` topic and every metric, from the table of measures. */
import { LOAD_TOPICS } from '../monitor/load.js';
import type { Measure } from '../monitor/measure.js';
import { METRICS } from '../monitor/measures.js';

function metricOf(name: string | null, { labels }: Measure): string {
  if (name === null) return '';
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return `\`${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`}\``;
}

function rows(): string[] {
  const lines: string[] = [];
  for (const { name, kind, help, measures } of METRICS) {
    for (const measure of measures) {
      const [topic, ...others] = measure.topics.map((text) => `\`${text}\``);
      const named = topic === undefined ? '' : topic + (others.length === 0 ? '' : ` (${others.join(', ')})`);
      lines.push(`| ${[named, metricOf(name, measure), kind, help].join(' | ')} |`);
    }
  }
  return lines;
}

export function measuresPage(): string {
  const loads = LOAD_TOPICS.filter((topic) => topic.endsWith('/1min')).map((topic) => `\`${topic.slice(5, -5)}\``);
  const lines = [
    '# `$SYS` topics and metrics',
    '',
    '<!-- Generated from src/monitor/measures.ts by node dist/src/cli/generate.js. -->',
    '',
    'What the broker measures is told in two ways: as topics below `$SYS/broker/`, and as [metrics](metrics.md) for',
    'Prometheus. The topics are published, retained, every `sys.interval` seconds, when the value has changed; clients cannot',
    'publish there. Those that Mosquitto has too bear its names; a name in brackets is an older one of the same value. A',
    'counter begins at 0 when the broker starts. [Limits](limits.md) says which limit counts where.',
    '',
    '| Topic | Metric | Kind | What it is |',
    '|---|---|---|---|',
    '| `version` | `portico_build_info{version="X.Y.Z"}` | gauge | `portico version X.Y.Z`; the metric is 1. |',
    '| `uptime` | see `portico_uptime_seconds` | gauge | `N seconds` since the start. |',
    ...rows(),
    '',
    '## Load averages',
    '',
    `\`load/{name}/1min\`, \`5min\` and \`15min\` are events per minute, exponentially weighted over that time, for ${loads.join(', ')}.`,
    'They are computed at each update. Prometheus computes its own, with `rate()`.',
    '',
    '## Plugins',
    '',
    'What another plugin counts is published below its name, and is `portico_plugin_count{plugin,name}` for Prometheus.',
  ];
  return `${lines.join('\n')}\n`;
}
