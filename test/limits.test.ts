/** docs/limits.md is complete, and everything that it names exists. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { bare, options } from '../src/config/options.js';
import { METRICS } from '../src/monitor/measures.js';
import { checkout } from './support/checkout.js';
import { Proofs } from './support/proofs.js';

const PAGE = 'docs/limits.md';
const NONE = '-';

interface Row {
  readonly limit: string;
  readonly value: string;
  readonly outcome: string;
  readonly topic: string;
  readonly metric: string;
  readonly proofs: readonly string[];
}

const unquoted = (cell: string): string => cell.replaceAll('`', '');

function rowsOf(page: string): Row[] {
  const rows: Row[] = [];
  for (const line of page.split('\n')) {
    if (!line.startsWith('| ') || /^\| (?:Option|Limit) \|/.test(line)) continue;
    const cells = line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, ''));
    assert.equal(cells.length, 6, line);
    const [limit, value, outcome, topic, metric, proof] = cells;
    const proofs = proof.split('<br>').map((one) => /^`([^`]+)`$/.exec(one)?.[1] ?? assert.fail(`${limit}: ${one}`));
    rows.push({ limit, value, outcome, topic: unquoted(topic), metric: unquoted(metric), proofs });
  }
  return rows;
}

const ROWS = rowsOf(readFileSync(join(checkout, PAGE), 'utf8'));
/** Those of an option; the others are fixed. */
const OPTIONS = ROWS.filter(({ limit }) => limit.startsWith('`'));

/** Each topic below `$SYS/broker/`, with the metric that is the same number. */
const MEASURED = new Map(
  METRICS.flatMap(({ name, measures }) =>
    measures.flatMap(({ topics, labels }) => {
      const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      const metric = name === null ? NONE : name + (pairs.length === 0 ? '' : `{${pairs.join(',')}}`);
      return topics.map((topic): [string, string] => [topic, metric]);
    }),
  ),
);

test('every option of the section limits has its row', () => {
  const told = new Set(OPTIONS.map(({ limit }) => unquoted(limit)));
  const wanted = options.filter(({ name }) => name.startsWith('limits.'));
  assert.deepEqual(
    wanted.filter(({ name }) => !told.has(name)).map(({ name }) => name),
    [],
  );
});

/** Numbers that are no bound of anything that a client does. */
const NO_LIMITS = [
  'mqtt.max_qos',
  'mqtt.session_expiry_default',
  'coap.ack_timeout',
  'coap.ack_random_factor',
  'coap.session_expiry',
  'coap.max_latency',
  'coap.acknowledge_after',
  'coap.pubsub_content_format',
];

test('every number of the sections mqtt and coap has its row, but for those that bound nothing', () => {
  const told = new Set([...OPTIONS.map(({ limit }) => unquoted(limit)), ...NO_LIMITS]);
  const numbers = options.filter(
    ({ name, schema }) => /^(?:mqtt|coap)\./.test(name) && bare(schema) instanceof z.ZodNumber,
  );
  assert.ok(numbers.length > 10);
  assert.deepEqual(
    numbers.filter(({ name }) => !told.has(name)).map(({ name }) => name),
    [],
  );
});

test('no limit stands twice', () => {
  assert.deepEqual(
    ROWS.map(({ limit }) => limit).filter((limit, i, all) => all.indexOf(limit) !== i),
    [],
  );
});

for (const { limit, value, outcome, topic, metric, proofs } of ROWS) {
  test(`${PAGE}: what it says of ${unquoted(limit)} exists`, () => {
    if (limit.startsWith('`')) {
      const option = options.find(({ name }) => name === unquoted(limit)) ?? assert.fail(`there is no option ${limit}`);
      assert.equal(value, option.defaultValue === undefined ? 'unset' : `\`${String(option.defaultValue)}\``);
    }
    assert.match(outcome, /^[A-Z].*\.$/);
    if (topic === NONE) {
      assert.equal(metric, NONE);
      assert.match(outcome, /^Nothing is lost: /, 'a limit without a counter says that it needs none');
    } else {
      assert.ok(MEASURED.has(topic), `there is no topic ${topic}`);
      assert.equal(metric, MEASURED.get(topic), `the metric of ${topic}`);
    }
    const known = new Proofs();
    for (const proof of proofs) known.check(proof, limit);
  });
}

test('no two limits of options count in one place', () => {
  const topics = OPTIONS.map(({ topic }) => topic).filter((topic) => topic !== NONE);
  assert.deepEqual(
    topics.filter((topic, i) => topics.indexOf(topic) !== i),
    [],
  );
});

test('every limit that acts on MQTT is named where it acts, as its log line names it', () => {
  const src = join(checkout, 'src');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !name.startsWith('config') && !name.endsWith('measures.ts'),
  );
  const code = files.map((name) => readFileSync(join(src, name), 'utf8')).join('\n');
  const wanted = OPTIONS.map(({ limit, topic }) => ({ name: unquoted(limit), topic })).filter(
    // Those of CoAP have names of their own below the plugin, which a table translates.
    ({ name, topic }) => topic !== NONE && !name.startsWith('coap.'),
  );
  assert.ok(wanted.length > 20);
  assert.deepEqual(
    wanted.filter(({ name }) => !new RegExp(`['"\`]${name.replace('.', '\\.')}\\b`).test(code)).map(({ name }) => name),
    [],
  );
});
