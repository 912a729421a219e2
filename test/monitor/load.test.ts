/** Load averages as Mosquitto computes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/bus/counters.js';
import { Loads } from '../../src/monitor/load.js';
import type { Reading } from '../../src/monitor/reading.js';

const counters = new Counters();
const at = (uptime: number): Reading => ({ counters, uptime }) as Reading;

test('load averages are 0 at first, approach the rate, and fall when it stops', () => {
  const loads = new Loads();
  assert.equal(loads.update(at(1)).get('load/publish/received/1min'), '0.00');
  // 600 messages in 10 seconds are 3,600 a minute.
  counters.publishReceived += 600;
  const first = loads.update(at(11));
  const expected = (span: number): string => (3600 - Math.exp(-10 / span) * 3600).toFixed(2);
  assert.equal(first.get('load/publish/received/1min'), expected(60));
  assert.equal(first.get('load/publish/received/5min'), expected(300));
  assert.equal(first.get('load/publish/received/15min'), expected(900));
  assert.equal(first.get('load/publish/sent/1min'), '0.00');
  for (let time = 21; time < 2000; time += 10) {
    counters.publishReceived += 600;
    loads.update(at(time));
  }
  counters.publishReceived += 600;
  assert.equal(loads.update(at(2001)).get('load/publish/received/1min'), '3600.00');
  assert.equal(Number(loads.update(at(2061)).get('load/publish/received/1min')), Number((3600 / Math.E).toFixed(2)));
});
