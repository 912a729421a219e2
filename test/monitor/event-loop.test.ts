/** The delay of the event loop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { EventLoop } from '../../src/monitor/event-loop.js';

/** Keeps the event loop busy for so many milliseconds. */
function block(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

test('what holds up the event loop shows as the greatest delay of its interval, and is gone from a later one', async () => {
  const loop = new EventLoop();
  assert.deepEqual(loop.delay, { p50: 0, p99: 0, max: 0 });
  loop.start(0.2);
  // The first look begins the measurement.
  const begun = performance.now();
  while (performance.now() - begun < 100) await nextTurn();
  block(500);
  while (loop.delay.max === 0) await nextTurn();
  assert.ok(loop.delay.max > 0.4, `${loop.delay.max} s`);
  assert.ok(loop.delay.p50 <= loop.delay.p99 && loop.delay.p99 <= loop.delay.max);
  const { max } = loop.delay;
  while (loop.delay.max >= max) await nextTurn();
  loop.stop();
});
