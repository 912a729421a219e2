/** The timer wheel: everything fires once, in time, and one timer of the runtime drives it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOLUTION, Timer, TimerWheel } from '../../src/coap/timers.js';
import { FakeClock } from './harness.js';

class Probe extends Timer {
  readonly #action: () => void;

  constructor(action: () => void) {
    super();
    this.#action = action;
  }

  expire(): void {
    this.#action();
  }
}

test('timers fire no earlier than asked, at most two ticks late, and once', () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  const fired = new Map<number, number>();
  const delays = [0, 1, 9, 10, 11, 50, 255, 2_550, 2_560, 2_570, 5_000, 93_000, 247_000, 86_400_000];
  clock.advance(3);
  const start = clock.now();
  for (const delay of delays) {
    wheel.arm(
      new Probe(() => {
        assert.ok(!fired.has(delay));
        fired.set(delay, clock.now() - start);
      }),
      delay,
    );
  }
  assert.equal(clock.pending, 1);
  clock.advance(86_500_000);
  for (const delay of delays) {
    const at = fired.get(delay);
    assert.ok(at !== undefined && at >= delay && at <= delay + 2 * RESOLUTION, `${delay} fired after ${at}`);
  }
  assert.equal(wheel.size, 0);
  assert.equal(clock.pending, 0);
});

test('a timer armed while the wheel is at rest counts from now', () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  clock.advance(1_000_000);
  let at = 0;
  wheel.arm(
    new Probe(() => {
      at = clock.now();
    }),
    100,
  );
  const start = clock.now();
  clock.advance(1_000);
  assert.ok(at >= start + 100 && at <= start + 120);
});

test('a timer may be disarmed and armed anew by another that falls due at the same time', () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  const log: string[] = [];
  const late = new Probe(() => log.push('late'));
  const never = new Probe(() => log.push('never'));
  const first = new Probe(() => {
    log.push('first');
    wheel.disarm(never);
    wheel.arm(late, 500);
    wheel.arm(first, 1_000);
  });
  wheel.arm(first, 50);
  wheel.arm(never, 50);
  wheel.arm(late, 50);
  clock.advance(400);
  assert.deepEqual(log, ['first']);
  clock.advance(300);
  assert.deepEqual(log, ['first', 'late']);
  clock.advance(500);
  assert.deepEqual(log, ['first', 'late', 'first']);
});

test('after a pause longer than a turn everything due fires', () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  let fired = 0;
  for (let delay = 10; delay <= 10_000; delay += 10) wheel.arm(new Probe(() => fired++), delay);
  // The runtime was held up: one call, long after.
  clock.time += 20_000;
  clock.advance(0);
  assert.equal(fired, 1_000);
});

test('a closed wheel arms nothing', () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  wheel.arm(new Probe(() => assert.fail('fired')), 10);
  wheel.close();
  wheel.arm(new Probe(() => assert.fail('fired')), 10);
  assert.equal(wheel.size, 0);
  assert.equal(clock.pending, 0);
  clock.advance(1_000);
});

test('a timer that arms itself anew while it fires holds up no other', () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  const start = clock.now();
  const fired: number[] = [];
  const again: Probe = new Probe(() => {
    fired.push(clock.now() - start);
    if (fired.length === 1) wheel.arm(again, 4_000);
  });
  wheel.arm(again, 2_000);
  wheel.arm(new Probe(() => fired.push(clock.now() - start)), 5_000);
  clock.advance(10_000);
  assert.deepEqual(fired, [2_000, 5_000, 6_000]);
});
