/** The broker without clients: what it still holds. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Heap } from './inspector.js';
import type { Descriptors, Target } from './target.js';

export interface Rest {
  readonly descriptors: Descriptors;
  /** `/metrics`, by name with labels. */
  readonly metrics: ReadonlyMap<string, number>;
  readonly heap: Heap;
  /** MiB. */
  readonly resident: number;
  readonly stored: number;
}

/**
 * What has to be as it was before the first client came; the broker has some subscriptions of its own. Of sessions those whose
 * client is away: anonymous devices of CoAP count as connected until nothing is heard of them for EXCHANGE_LIFETIME.
 */
export const LEFT_BEHIND = [
  'portico_connections',
  'portico_sessions_disconnected',
  'portico_subscriptions',
  'portico_queued_messages',
  'portico_inflight_messages',
  'portico_output_bytes',
] as const;

const POLL_MS = 500;
/** Milliseconds between two looks at the heap. */
const LOOK_MS = 5000;

export interface Patience {
  /** Milliseconds that it may take until everything that acts by time has acted. */
  readonly most: number;
  /** Milliseconds to wait in any case: timers that keep nobody waiting run for up to half a minute. */
  readonly least: number;
}

/**
 * Waits until the broker holds no more than it did, or the patience is over.
 * @param idle `/metrics` before the first client came
 * @param before what it held when it was last at rest
 */
export async function atRest(
  target: Target,
  patience: Patience,
  idle: Rest['metrics'],
  before: Rest | null,
): Promise<Rest> {
  const began = performance.now();
  const isLate = (): boolean => performance.now() > began + patience.most;
  let metrics = await target.metrics();
  while (!LEFT_BEHIND.every((name) => metrics.get(name) === idle.get(name)) && !isLate()) {
    await sleep(POLL_MS);
    metrics = await target.metrics();
  }
  await sleep(Math.max(0, began + patience.least - performance.now()));
  for (;;) {
    const rest = await look(target);
    if (before === null || isLate() || !holdsMore(before, rest)) return rest;
    await sleep(LOOK_MS);
  }
}

async function look(target: Target): Promise<Rest> {
  const heap = await target.heap();
  // Behind the look at the heap, as a garbage collection ends what waits for it.
  const metrics = await target.metrics();
  await sleep(POLL_MS);
  const descriptors = target.descriptors();
  return { descriptors, metrics, heap, resident: target.memory().now, stored: target.stored() };
}

function holdsMore(before: Rest, now: Rest): boolean {
  const more = (name: string): boolean => (now.heap.objects[name] ?? 0) > (before.heap.objects[name] ?? 0);
  return now.descriptors.sockets > before.descriptors.sockets || more('Timeout') || more('Socket');
}
