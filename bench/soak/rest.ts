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

/** What has to be as it was before the first client came; the broker has some subscriptions of its own. */
export const LEFT_BEHIND = [
  'portico_connections',
  'portico_sessions',
  'portico_subscriptions',
  'portico_queued_messages',
  'portico_inflight_messages',
  'portico_output_bytes',
] as const;

const POLL_MS = 500;

/**
 * Waits until everything that acts by time has acted, or `patience` milliseconds have passed.
 * @param idle `/metrics` before the first client came
 * @param before what it held when it was last at rest
 */
export async function atRest(
  target: Target,
  patience: number,
  idle: Rest['metrics'],
  before: Rest | null,
): Promise<Rest> {
  const deadline = performance.now() + patience;
  let metrics = await target.metrics();
  for (;;) {
    const empty = LEFT_BEHIND.every((name) => metrics.get(name) === idle.get(name));
    const closed = before === null || target.descriptors().sockets <= before.descriptors.sockets;
    if ((empty && closed) || performance.now() > deadline) break;
    await sleep(POLL_MS);
    metrics = await target.metrics();
  }
  const heap = await target.heap();
  // Behind the look at the heap, as that ends what waits for a garbage collection.
  metrics = await target.metrics();
  await sleep(POLL_MS);
  const descriptors = target.descriptors();
  return { descriptors, metrics, heap, resident: target.resident(), stored: target.stored() };
}
