/** What one number of `$SYS` and the metrics is, and how a table of them is written. */
import type { Counters } from '../bus/counters.js';
import type { Reading } from './reading.js';

/** The fields of Counters, without its sums. */
export type CounterField = Exclude<keyof Counters, 'droppedQueueFull' | 'droppedRetained' | 'refusedConnections'>;

/** One number. */
export interface Measure {
  /** Below `$SYS/broker/`; the first is the name, others are former names of it. Empty: a metric only. */
  readonly topics: readonly string[];
  /** What tells it from the other numbers of its metric. */
  readonly labels: Readonly<Record<string, string>>;
  /** The counter that it is, if it is one. */
  readonly counter: CounterField | null;
  /** NaN: there is nothing to tell, and no topic. */
  readonly read: (reading: Reading) => number;
}

/** Numbers of one kind: a metric of Prometheus, with a value for each set of labels. */
export interface Metric {
  /** With the unit, and `_total` for what only grows; null for what is only a topic, as its metric is a sum of others. */
  readonly name: string | null;
  /** A counter only grows, from 0 at the start of the process. */
  readonly kind: 'counter' | 'gauge';
  /** A sentence. */
  readonly help: string;
  readonly measures: readonly Measure[];
}

/** How a topic or a metric without labels names its number: a counter, or something else that is read. */
type Source = CounterField | Measure['read'];

export function measure(topics: string | readonly string[], source: Source, labels: Measure['labels'] = {}): Measure {
  const counter = typeof source === 'string' ? source : null;
  const read = typeof source === 'string' ? ({ counters }: Reading): number => counters[source] : source;
  return { topics: typeof topics === 'string' ? [topics] : topics, labels, counter, read };
}

export const counter = (
  name: string | null,
  help: string,
  topics: string | readonly string[],
  source: Source,
): Metric => ({
  name,
  kind: 'counter',
  help,
  measures: [measure(topics, source)],
});

export const gauge = (
  name: string | null,
  help: string,
  topics: string | readonly string[],
  source: Source,
): Metric => ({
  name,
  kind: 'gauge',
  help,
  measures: [measure(topics, source)],
});

/** A counter with one label: each value of the label with its topic and its number. */
export const counters = (
  name: string,
  help: string,
  label: string,
  values: Readonly<Record<string, readonly [topic: string, source: Source]>>,
): Metric => ({
  name,
  kind: 'counter',
  help,
  measures: Object.entries(values).map(([value, [topic, source]]) => measure(topic, source, { [label]: value })),
});

/** The name of the metric for a counter of that name. */
export function totalOf(prefix: string, name: string): string {
  const words = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  // The unit stands last.
  return `${prefix}_${words.replace(/^bytes_(.*)$/, '$1_bytes')}_total`;
}
