/** The soak does what it says: a short one end to end, and findings that fail it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Acknowledgements, Link } from '../../bench/soak/acknowledgements.js';
import { Ledger } from '../../bench/soak/ledger.js';
import type { Rest } from '../../bench/soak/rest.js';
import { type Findings, holds, type Row, rowsOf } from '../../bench/soak/verdict.js';
import type { Sample } from '../../bench/soak/watch.js';

const runner = fileURLToPath(new URL('../../bench/soak/run.js', import.meta.url));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function soak(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [runner, ...args], { timeout: 300_000 }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

interface ResultFile {
  readonly clients: readonly string[];
  readonly rows: readonly (Row & { readonly verdict: string })[];
  readonly done: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
}

test('a soak of seconds: clients of every kind come and go, nothing is lost, and nothing is left behind', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portico-soak-'));
  try {
    const json = join(folder, 'result.json');
    // How long an answer takes on a busy machine says nothing.
    const args = [
      '--minutes',
      '0.1',
      '--warmup',
      '0.05',
      '--expiry',
      '2',
      '--settle',
      '0',
      '--patience',
      '120',
      '--json',
      json,
    ];
    const { code, stdout, stderr } = await soak(...args);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    const { clients, rows, done, samples } = JSON.parse(readFileSync(json, 'utf8')) as ResultFile;
    for (const name of ['MQTT.js', 'coap', 'mosquitto_pub', 'mosquitto_sub', 'paho-mqtt', 'mqttload']) {
      assert.ok(clients.includes(name), `${name} took part`);
    }
    for (const name of ['lost', 'out of order', 'twice, QoS 2']) {
      assert.equal(rows.find((row) => row.name === `of them ${name}`)?.verdict, 'PASS');
    }
    assert.equal(
      rows.find(({ name }) => name === 'resident memory, growth')?.verdict,
      '-',
      'too short to judge memory',
    );
    assert.ok(samples.length > 0);
    for (const name of ['connections of MQTT.js', 'CoAP requests, PUT', 'paho-mqtt: acknowledged']) {
      assert.ok((done[name] ?? 0) > 0, name);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('arguments that mean nothing end the soak with exit code 2 and a sentence', async () => {
  const { code, stdout, stderr } = await soak('--minutes', 'many');
  assert.equal(code, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^soak: --minutes takes 0.05 to 1440/);
});

test('the ledger tells lost, late, repeated and doubled messages from each other', () => {
  const ledger = new Ledger();
  ledger.subscriber('s');
  ledger.stream('p/1', 1);
  ledger.stream('p/2', 2);
  for (let i = 0; i < 5; i++) ledger.next('p/1');
  for (let i = 0; i < 3; i++) ledger.next('p/2');
  assert.equal(ledger.owed, 8);
  for (const number of [1, 2, 2, 4, 3]) ledger.arrived('s', 'p/1', number);
  for (const number of [1, 2, 3, 2]) ledger.arrived('s', 'p/2', number);
  assert.deepEqual(ledger.deliveries(), { arrived: 9, lost: 1, disordered: 1, repeated: 1, doubled: 1 });
  assert.deepEqual(ledger.missing(), ['s has not 5 of 5 of p/1']);
});

test('a message that its publisher has given up is owed to nobody, and may arrive', () => {
  const ledger = new Ledger();
  ledger.subscriber('s');
  ledger.stream('p/1', 1);
  for (let i = 0; i < 3; i++) ledger.next('p/1');
  ledger.giveUp('p/1', 1);
  ledger.giveUp('p/1', 3);
  ledger.arrived('s', 'p/1', 2);
  assert.deepEqual([ledger.owed, ledger.missing()], [0, []]);
  ledger.arrived('s', 'p/1', 3);
  assert.deepEqual(ledger.deliveries(), { arrived: 2, lost: 0, disordered: 0, repeated: 0, doubled: 0 });
});

test('a message to a shared subscription is owed until one member has it', () => {
  const ledger = new Ledger();
  ledger.subscriber('s');
  ledger.shared('work', 1);
  ledger.next('work');
  ledger.next('work');
  ledger.arrivedShared('work', 2);
  ledger.arrivedShared('work', 2);
  assert.deepEqual(ledger.deliveries(), { arrived: 2, lost: 1, disordered: 0, repeated: 1, doubled: 0 });
  assert.deepEqual(ledger.missing(), ['no member of work has 1']);
});

test('an acknowledgement is missing when its connection has lived for the patience without it, and only then', () => {
  const reports: string[] = [];
  const acknowledgements = new Acknowledgements(10_000, (sentence) => reports.push(sentence));
  const link = new Link('client');
  const now = performance.now();
  const awaited = acknowledgements.begin('SUBSCRIBE', link);
  acknowledgements.check(now + 60_000);
  assert.equal(acknowledgements.unanswered, 0, 'the client is not connected');
  link.since = now + 60_000;
  acknowledgements.check(now + 69_000);
  assert.equal(acknowledgements.unanswered, 0, 'it has been connected for 9 s');
  acknowledgements.check(now + 71_000);
  acknowledgements.check(now + 72_000);
  assert.equal(acknowledgements.unanswered, 1);
  assert.deepEqual(reports, ['client: SUBSCRIBE unanswered for 10 s']);
  acknowledgements.end(awaited);
  assert.deepEqual([acknowledgements.open, acknowledgements.answered], [0, 1]);
});

function rest(heap: number, sockets: number, objects: Readonly<Record<string, number>>): Rest {
  const metrics = new Map([
    ['portico_connections', 0],
    ['portico_sessions_disconnected', 0],
    ['portico_subscriptions', 3],
    ['portico_queued_messages', 0],
    ['portico_inflight_messages', 0],
    ['portico_output_bytes', 0],
    ['portico_retained_messages', 150],
    ['nodejs_active_resources{type="Timeout"}', 3],
  ]);
  return {
    descriptors: { sockets, files: 4, others: 20 },
    metrics,
    heap: { used: heap, objects, shapes: {} },
    resident: 80,
    stored: 1,
  };
}

function findings(residents: readonly number[], after: Rest): Findings {
  const sample = { sockets: 5, files: 4, stored: 1, heap: 20, sessions: 9, connections: 9, retained: 9, queued: 9 };
  const before = rest(20, 5, { Timeout: 9, Socket: 4, Array: 500 });
  return {
    acknowledgements: { answered: 1, unanswered: 0, slowest: 2 },
    deliveries: { arrived: 1, lost: 0, disordered: 0, repeated: 0, doubled: 0 },
    samples: residents.map((resident, at) => ({ ...sample, at, resident, anonymous: resident, loopP99: 0.01 })),
    troubles: 0,
    idle: before.metrics,
    before,
    after,
    long: true,
  };
}

const failed = (all: Findings): string[] => rowsOf(all).flatMap((row) => (holds(row) ? [] : [row.name]));

test('memory that grows by more than a tenth from the first fifth to the last one fails the soak', () => {
  const good = rest(21, 5, { Timeout: 9, Socket: 4, Array: 600 });
  assert.deepEqual(failed(findings([100, 100, 150, 100, 109], good)), [], 'what is between does not count');
  assert.deepEqual(failed(findings([100, 100, 100, 100, 111], good)), ['resident memory, growth']);
});

test('a socket, a timer, objects, heap that stay behind fail the soak', () => {
  const flat = [100, 100, 100, 100, 100];
  assert.deepEqual(failed(findings(flat, rest(20, 6, {}))), ['at the end: sockets']);
  assert.deepEqual(failed(findings(flat, rest(20, 5, { Timeout: 10 }))), ['at the end: timers']);
  assert.deepEqual(failed(findings(flat, rest(25, 5, { Session: 2000 }))), [
    'at the end: most more objects of one class',
    'at the end: heap',
  ]);
});
