/** docs/coap-pubsub.md: each line of the draft has a test, and that test is there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkout } from '../support/checkout.js';
import { Proofs } from '../support/proofs.js';

const PAGE = 'docs/coap-pubsub.md';
const page = readFileSync(join(checkout, PAGE), 'utf8');
const rows = page
  .slice(page.indexOf('## The draft, line by line'))
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| What'));

function fileOf(name: string): string {
  return name === 'interop' ? 'test/interop/pubsub.test.ts' : `test/coap/${name}.test.ts`;
}

test(`${PAGE}: every test that it names exists`, () => {
  const proofs = new Proofs();
  assert.ok(rows.length > 40);
  for (const row of rows) {
    const [, said, file, title] = /^\| (.+?) \| ([\w-]+): `(.+)` \|$/.exec(row) ?? assert.fail(row);
    proofs.check(`${fileOf(file)}: ${title}`, said);
  }
});
