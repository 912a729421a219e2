/** The table of measures is complete, and its names are sound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/bus/counters.js';
import { CoapCounters } from '../../src/coap/counters.js';
import { options } from '../../src/config/options.js';
import { LOAD_TOPICS } from '../../src/monitor/load.js';
import { METRICS } from '../../src/monitor/measures.js';

const measures = METRICS.flatMap((metric) => metric.measures.map((measure) => ({ ...measure, metric })));
const topics = measures.flatMap((measure) => measure.topics);

test('every field of Counters is told once', () => {
  const told = measures.flatMap(({ counter }) => counter ?? []);
  assert.deepEqual(told.toSorted(), Object.keys(new Counters()).toSorted());
});

test('every field of CoapCounters is told', () => {
  for (const name of Object.keys(new CoapCounters())) assert.ok(topics.includes(`coap/${name}`), name);
});

test('no topic and no metric stands twice, and nothing has neither', () => {
  assert.equal(new Set(topics).size, topics.length);
  const names = METRICS.flatMap(({ name }) => name ?? []);
  assert.equal(new Set(names).size, names.length);
  for (const { metric, topics } of measures) assert.ok(metric.name !== null || topics.length > 0, metric.help);
});

test('a counter ends in _total, a gauge does not, and every name begins with whose it is', () => {
  for (const { name, kind } of METRICS) {
    if (name === null) continue;
    assert.match(name, /^(portico|process|nodejs)(_[a-z\d]+)+$/);
    assert.equal(name.endsWith('_total'), kind === 'counter', name);
  }
});

test('the measures of one metric have the same labels with different values', () => {
  for (const { name, measures } of METRICS) {
    const labels = Object.keys(measures[0].labels);
    assert.equal(new Set(measures.map((measure) => Object.values(measure.labels).join())).size, measures.length);
    for (const measure of measures) assert.deepEqual(Object.keys(measure.labels), labels, name ?? '');
    assert.ok(labels.length > 0 || measures.length === 1);
  }
});

test('each help is a sentence, and each option that a label names exists', () => {
  const known = new Set(options.map(({ name }) => name));
  for (const { help, measures } of METRICS) {
    assert.match(help, /^[\w`$].*\.$/);
    for (const { labels } of measures)
      assert.ok(labels.option === undefined || known.has(labels.option), labels.option);
  }
});

test('the topics of Mosquitto are there under their names', () => {
  const MOSQUITTO = [
    'clients/total',
    'clients/maximum',
    'clients/connected',
    'clients/active',
    'clients/disconnected',
    'clients/inactive',
    'clients/expired',
    'connections/socket/count',
    'messages/received',
    'messages/sent',
    'bytes/received',
    'bytes/sent',
    'publish/messages/received',
    'publish/messages/sent',
    'publish/messages/dropped',
    'publish/bytes/received',
    'publish/bytes/sent',
    'store/messages/count',
    'messages/stored',
    'store/messages/bytes',
    'retained messages/count',
    'subscriptions/count',
    'shared_subscriptions/count',
    'packet/out/bytes',
    'heap/current',
    'heap/maximum',
  ];
  for (const topic of MOSQUITTO) assert.ok(topics.includes(topic), topic);
  assert.equal(LOAD_TOPICS.length, 27);
  assert.ok(LOAD_TOPICS.includes('load/publish/received/15min'));
});
