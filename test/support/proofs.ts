/** Tests that a page names as its proof, `file: title` each. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from './checkout.js';

/** A test's title as it stands between its quotes. */
const TEST = /^[ \t]*test\(\s*(['"`])(.*?)\1,/gm;
const LEFT_OUT = /\b(?:test|describe|t|context)\.(?:skip|todo|only)\(|\b(?:skip|todo): /;

export class Proofs {
  readonly #titles: Map<string, ReadonlySet<string>>;

  /** @param tables titles of files that are no test files */
  constructor(tables: Iterable<readonly [file: string, titles: ReadonlySet<string>]> = []) {
    this.#titles = new Map(tables);
  }

  /**
   * Fails unless a proof is a test that exists and runs.
   * @param whose what it proves, for the sentence
   */
  check(proof: string, whose: string): void {
    const [, file, title] = /^(\S+): (.+)$/.exec(proof) ?? assert.fail(`${whose}: ${proof}`);
    const known = this.#titles.get(file) ?? this.#read(file, whose);
    assert.ok(known.has(title), `${whose}: ${file} has no test with the title\n${title}`);
  }

  #read(file: string, whose: string): ReadonlySet<string> {
    const path = join(checkout, file);
    assert.ok(file.endsWith('.test.ts') && existsSync(path), `${whose}: there is no ${file}`);
    const text = readFileSync(path, 'utf8');
    assert.ok(!LEFT_OUT.test(text), `${file} leaves out a test`);
    const titles = new Set([...text.matchAll(TEST)].map(([, , title]) => title));
    this.#titles.set(file, titles);
    return titles;
  }
}
