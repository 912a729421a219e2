/** docs/coap-conformance.md has every line of the checklists, and every proof that it names is a living test. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkout } from '../support/checkout.js';
import { Proofs } from '../support/proofs.js';

const PAGE = 'docs/coap-conformance.md';

/** Lines of ETSI's test descriptions that ask something of a server, by the heading of their table. */
const LINES: Readonly<Record<string, readonly number[]>> = {
  CORE: [...Array.from({ length: 23 }, (_, index) => index + 1), 31],
  LINK: [1, 2, 3, 4, 5, 6, 7, 8, 9],
  BLOCK: [1, 2, 3, 4, 5, 6],
  OBS: [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
  DTLS: [1, 2, 3, 4, 5, 6, 7],
};

interface Row {
  readonly table: string;
  readonly line: string;
  readonly asks: string;
  readonly proofs: readonly string[];
}

function rowsOf(page: string): Row[] {
  const rows: Row[] = [];
  let table = '';
  for (const text of page.split('\n')) {
    if (text.startsWith('## ')) table = text.slice(3);
    if (!text.startsWith('| ') || text.startsWith('| Line |')) continue;
    const cells = text.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, ''));
    assert.equal(cells.length, 3, text);
    const [line, asks, proof] = cells;
    const proofs = proof.split('<br>').map((one) => /^`([^`]+)`$/.exec(one)?.[1] ?? assert.fail(`${line}: ${one}`));
    rows.push({ table, line, asks, proofs });
  }
  return rows;
}

const ROWS = rowsOf(readFileSync(join(checkout, PAGE), 'utf8'));

for (const [group, numbers] of Object.entries(LINES)) {
  test(`the table of TD_COAP_${group} has each line of the description once, in order`, () => {
    const prefix = `TD_COAP_${group}_`;
    const lines = ROWS.filter(({ table }) => table === `ETSI TD_COAP_${group}`).map(({ line }) => line);
    assert.deepEqual(
      lines.filter((line) => line.startsWith(prefix)),
      numbers.map((number) => `${prefix}${String(number).padStart(2, '0')}`),
    );
  });
}

test('no line stands twice, and each says what it asks', () => {
  const lines = ROWS.map(({ table, line }) => `${table}: ${line}`);
  assert.equal(new Set(lines).size, lines.length);
  assert.ok(ROWS.filter(({ table }) => table === 'IoT-Testware').length >= 23);
  for (const { line, asks } of ROWS) assert.match(asks, /\.$/, line);
});

test('each proof is a test that exists and runs', () => {
  const known = new Proofs();
  for (const { line, proofs } of ROWS) for (const proof of proofs) known.check(proof, line);
});
