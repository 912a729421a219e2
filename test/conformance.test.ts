/** docs/conformance.md is complete, and every proof that it names is a living test. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKETS } from './packets.js';
import { checkout } from './support/checkout.js';
import { Proofs } from './support/proofs.js';

/** Normative statements of MQTT 3.1.1 (OASIS standard, appendix B) and of MQTT 5.0 (OASIS standard, appendix B). */
const STATEMENTS: Readonly<Record<string, number>> = { 'MQTT 3.1.1': 141, 'MQTT 5.0': 251 };

const PACKET_TABLE = 'test/packets.ts';
interface Row {
  readonly id: string;
  readonly duty: string;
  readonly asks: string;
  /** `file: title`, each. */
  readonly proofs: readonly string[];
  readonly cell: string;
}

/** The rows of each table of the page, by the heading above it. */
function tables(): Map<string, Row[]> {
  const found = new Map<string, Row[]>();
  let rows: Row[] = [];
  for (const line of readFileSync(join(checkout, 'docs', 'conformance.md'), 'utf8').split('\n')) {
    if (line.startsWith('## ')) {
      rows = [];
      found.set(line.slice(3), rows);
    }
    if (!line.startsWith('| MQTT-')) continue;
    const cells = line.split('|').map((cell) => cell.trim());
    assert.equal(cells.length, 6, line);
    const [, id, duty, asks, cell] = cells;
    const proofs = [...cell.matchAll(/`([^`]+)`/g)].map(([, proof]) => proof);
    found.get([...found.keys()].at(-1) as string)?.push({ id, duty, asks, proofs, cell });
  }
  return found;
}

function sources(folder: string): string[] {
  return readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(folder, file));
}

const read = (file: string): string => readFileSync(join(checkout, file), 'utf8');
const TABLES = tables();
const ROWS = [...TABLES.values()].flat();

for (const [version, count] of Object.entries(STATEMENTS)) {
  test(`the table of ${version} has each of its statements once`, () => {
    const rows = TABLES.get(version) ?? [];
    const ids = new Set<string>();
    for (const { id } of rows) {
      assert.match(id, /^MQTT-\d+\.\d+\.\d+-\d+$/);
      assert.ok(!ids.has(id), `${id} stands twice`);
      ids.add(id);
    }
    assert.equal(ids.size, count);
  });
}

test('each row says whose duty it is and what it asks', () => {
  for (const { id, duty, asks } of ROWS) {
    assert.match(duty, /^(?:server|client|both)$/, id);
    assert.ok(asks.length > 5, id);
  }
});

test('each duty of the server has a proof', () => {
  for (const { id, duty, proofs, cell } of ROWS) {
    const whole = proofs.length === 0 ? '-' : proofs.map((proof) => `\`${proof}\``).join('<br>');
    assert.equal(cell, whole, id);
    assert.ok(proofs.length > 0 || duty === 'client', `${id} has no proof`);
  }
});

test('each proof is a test that exists and runs', () => {
  const known = new Proofs([[PACKET_TABLE, new Set(PACKETS.map(({ name }) => name))]]);
  for (const { id, proofs } of ROWS) for (const proof of proofs) known.check(proof, id);
});

test('each tag in the sources is a statement of either version', () => {
  const known = new Set(ROWS.map(({ id }) => id));
  const wrong: string[] = [];
  for (const file of [...sources('src'), ...sources('test')]) {
    for (const [tag] of read(file).matchAll(/MQTT-\d[\d.]*(?:-\d+)?/g))
      if (!known.has(tag)) wrong.push(`${file}: ${tag}`);
  }
  assert.deepEqual(wrong, []);
});

test('a connection to another server is opened by nobody: the broker is a client of none [MQTT-7.0.0-1]', () => {
  const OPENS = /import \{[^}]*\b(?:connect|createConnection)\b[^}]*\} from 'node:(?:net|tls|http2)'|new WebSocket\(/;
  // The control socket and a Unix socket ask whether another broker has their path; the health check asks this broker's own listener.
  const opening = sources('src').filter((file) => OPENS.test(read(file)));
  assert.deepEqual(opening.sort(), [
    join('src', 'admin', 'control.ts'),
    join('src', 'cli', 'health.ts'),
    join('src', 'listeners', 'unix.ts'),
  ]);
});
