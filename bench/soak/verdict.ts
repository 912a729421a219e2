/** What the soak found, row by row: a value, what it may be, and whether that holds. */
import type { Acknowledgements } from './acknowledgements.js';
import type { Deliveries } from './ledger.js';
import { LEFT_BEHIND, type Rest } from './rest.js';
import type { Sample } from './watch.js';

export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The value may be at most this; a row without is for information. */
  readonly most?: number;
}

export interface Findings {
  readonly acknowledgements: Pick<Acknowledgements, 'answered' | 'unanswered' | 'slowest'>;
  readonly deliveries: Deliveries;
  readonly samples: readonly Sample[];
  readonly troubles: number;
  /** `/metrics` before the first client came. */
  readonly idle: Rest['metrics'];
  /** At rest after the warm-up, and at the end. */
  readonly before: Rest;
  readonly after: Rest;
  /** Whether the load has lasted long enough to say that memory is flat. */
  readonly long: boolean;
}

/** Growth that is none: of resident memory, of the heap at rest (a factor and MiB), of the data folder. */
const MOST_GROWTH = 1.1;
const HEAP_SLACK_MIB = 2;
const STORED_GROWTH = 1.5;
const STORED_SLACK_MIB = 32;
/** LevelDB keeps one descriptor for each table; how many tables there are depends on its compactions. */
const FILES_SLACK = 10;
/** Objects of one class that may be more at the end: caches, pools, and devices of the last eight minutes. */
const OBJECTS_SLACK = 1000;
/** The same of a short run: what is bounded, such as routes, is not full after its warm-up. */
const SHORT_OBJECTS_SLACK = 3000;
const FIFTHS = 5;

export function holds({ value, most }: Row): boolean {
  return most === undefined || value <= most;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** The median of the first and of the last fifth. */
function fifths(samples: readonly Sample[], of: (sample: Sample) => number): [first: number, last: number] {
  const many = Math.max(1, Math.floor(samples.length / FIFTHS));
  return [median(samples.slice(0, many).map(of)), median(samples.slice(-many).map(of))];
}

/** Classes, or shapes of plain objects, with more objects than before, most of them first. */
export function grown(
  before: Rest,
  after: Rest,
  of: 'objects' | 'shapes' = 'objects',
): { readonly name: string; readonly more: number }[] {
  return Object.entries(after.heap[of])
    .map(([name, count]) => ({ name, more: count - (before.heap[of][name] ?? 0) }))
    .filter(({ more }) => more > 0)
    .toSorted((a, b) => b.more - a.more);
}

export function rowsOf(findings: Findings): Row[] {
  return [...traffic(findings), ...load(findings), ...leftBehind(findings)];
}

function traffic({ acknowledgements, deliveries, troubles }: Findings): Row[] {
  const { answered, unanswered, slowest } = acknowledgements;
  return [
    { name: 'answered', value: answered, unit: '' },
    { name: 'unanswered', value: unanswered, unit: '', most: 0 },
    { name: 'slowest answer', value: slowest, unit: 'ms' },
    { name: 'deliveries to followed subscribers', value: deliveries.arrived, unit: '' },
    { name: 'of them lost', value: deliveries.lost, unit: '', most: 0 },
    { name: 'of them out of order', value: deliveries.disordered, unit: '', most: 0 },
    { name: 'of them twice, QoS 2', value: deliveries.doubled, unit: '', most: 0 },
    { name: 'of them again, QoS 1', value: deliveries.repeated, unit: '' },
    { name: 'troubles', value: troubles, unit: '', most: 0 },
  ];
}

function load({ samples, long }: Findings): Row[] {
  const [first, last] = fifths(samples, (sample) => sample.resident);
  const [ownFirst, ownLast] = fifths(samples, (sample) => sample.anonymous);
  const [storedFirst, storedLast] = fifths(samples, (sample) => sample.stored);
  const most = (of: (sample: Sample) => number): number => samples.reduce((a, sample) => Math.max(a, of(sample)), 0);
  const loops = samples.map(({ loopP99 }) => loopP99 * 1000);
  return [
    { name: 'resident memory, first fifth', value: first, unit: 'MiB' },
    { name: 'resident memory, last fifth', value: last, unit: 'MiB' },
    { name: 'resident memory, growth', value: last / first, unit: '', ...(long ? { most: MOST_GROWTH } : {}) },
    { name: 'of it not of files, first fifth', value: ownFirst, unit: 'MiB' },
    { name: 'of it not of files, last fifth', value: ownLast, unit: 'MiB' },
    { name: 'resident memory, most', value: most((sample) => sample.resident), unit: 'MiB' },
    { name: 'sessions, most', value: most((sample) => sample.sessions), unit: '' },
    { name: 'connections, most', value: most((sample) => sample.connections), unit: '' },
    { name: 'retained messages, most', value: most((sample) => sample.retained), unit: '' },
    { name: 'queued messages, most', value: most((sample) => sample.queued), unit: '' },
    { name: 'data folder, first fifth', value: storedFirst, unit: 'MiB' },
    {
      name: 'data folder, last fifth',
      value: storedLast,
      unit: 'MiB',
      ...(long ? { most: storedFirst * STORED_GROWTH + STORED_SLACK_MIB } : {}),
    },
    { name: 'delay of the event loop, p99, half of the time', value: median(loops), unit: 'ms' },
    { name: 'delay of the event loop, p99, at most', value: Math.max(0, ...loops), unit: 'ms' },
  ];
}

/** What the broker holds once all clients have left, beside what it held when they had left before. */
function leftBehind({ idle, before, after, long }: Findings): Row[] {
  const metrics = LEFT_BEHIND.map((name) => ({
    name: `at the end: ${name.replace('portico_', '').replaceAll('_', ' ')}`,
    value: after.metrics.get(name) ?? Number.NaN,
    unit: '',
    most: idle.get(name) ?? 0,
  }));
  const resources = [...after.metrics]
    .filter(([name]) => name.startsWith('nodejs_active_resources{'))
    .map(([name, value]) => ({
      name: `at the end: ${name.replace(/.*"(.*)".*/, '$1')}`,
      value,
      unit: '',
      most: before.metrics.get(name) ?? 0,
    }));
  const row = (name: string, of: (rest: Rest) => number, slack = 0): Row => ({
    name: `at the end: ${name}`,
    value: of(after),
    unit: '',
    most: of(before) + slack,
  });
  return [
    ...metrics,
    row('retained messages', (rest) => rest.metrics.get('portico_retained_messages') ?? 0),
    row('sockets', (rest) => rest.descriptors.sockets),
    row('files of the store', (rest) => rest.descriptors.files, FILES_SLACK),
    row('other descriptors', (rest) => rest.descriptors.others),
    ...resources,
    row('timers', (rest) => rest.heap.objects.Timeout ?? 0),
    row('objects Socket', (rest) => rest.heap.objects.Socket ?? 0),
    {
      name: 'at the end: most more objects of one class',
      value: grown(before, after)[0]?.more ?? 0,
      unit: '',
      most: long ? OBJECTS_SLACK : SHORT_OBJECTS_SLACK,
    },
    {
      name: 'at the end: heap',
      value: after.heap.used,
      unit: 'MiB',
      most: before.heap.used * MOST_GROWTH + HEAP_SLACK_MIB,
    },
    { name: 'at the end: resident memory', value: after.resident, unit: 'MiB' },
    { name: 'at the end: data folder', value: after.stored, unit: 'MiB' },
  ];
}
