/** Decisions beside a model that looks at every rule in turn, and at every topic that a filter matches. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rights } from '../../../src/access/acl/acl.js';
import { parseMosquittoAcl } from '../../../src/access/acl/mosquitto-file.js';
import type { Share } from '../../../src/access/acl/rule.js';
import { isValidFilter, matches } from '../../../src/bus/topics.js';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';

interface Line {
  readonly pattern: boolean;
  readonly kind: 'read' | 'write' | 'readwrite' | 'deny';
  readonly filter: string;
}

/** `z` is in no rule, and stands for all names that are not. */
const NAMES = ['a', 'b', '', '$x', 'ann', 'z'];
const TOPICS = [1, 2, 3, 4].flatMap((levels) => topicsOf(levels));

function topicsOf(levels: number): string[] {
  if (levels === 1) return NAMES.filter((name) => name !== '');
  return topicsOf(levels - 1)
    .concat('')
    .flatMap((topic) => NAMES.map((name) => `${topic}/${name}`));
}

function filterOf(random: Random, names: readonly string[]): string {
  const levels = Array.from({ length: 1 + random.below(3) }, () => (random.oneIn(3) ? '+' : random.pick(names)));
  if (random.oneIn(3)) levels[levels.length - 1] = '#';
  const filter = levels.join('/');
  return isValidFilter(filter) ? filter : 'a';
}

function lineOf(random: Random): Line {
  const pattern = random.oneIn(2);
  const names = pattern ? ['a', 'b', '', '$x', '%u', '%u'] : ['a', 'b', '', '$x', 'ann'];
  return {
    pattern,
    kind: random.pick(['read', 'read', 'write', 'readwrite', 'deny']),
    filter: filterOf(random, names),
  };
}

/** Whether user `ann` may do `kind` on a topic. */
function allowed(lines: readonly Line[], kind: 'read' | 'write', topic: string): boolean {
  for (const pattern of [false, true]) {
    const about = lines.filter(
      (line) => line.pattern === pattern && matches(line.filter.replaceAll('%u', 'ann'), topic),
    );
    if (about.some((line) => line.kind === 'deny')) return false;
    if (about.some((line) => line.kind === kind || line.kind === 'readwrite')) return true;
  }
  return false;
}

test('a decision is that of a model which looks at every rule, for topics and for filters', () => {
  const shares = new Set<Share>();
  for (const seed of seeds(60, [41])) {
    const random = new Random(seed);
    const lines = Array.from({ length: 1 + random.below(7) }, () => lineOf(random));
    const text = lines
      .map(({ pattern, kind, filter }) => `${pattern ? 'pattern' : 'topic'} ${kind} ${filter}\n`)
      .join('');
    const acl = parseMosquittoAcl(Buffer.from(`user ann\n${text}`), 'FILE');
    const rights = new Rights(acl, { username: 'ann', clientId: 'c' });
    const readable = new Set(TOPICS.filter((topic) => allowed(lines, 'read', topic)));
    for (const topic of TOPICS) {
      assert.equal(
        rights.decide('receive', topic).allowed,
        readable.has(topic),
        `seed ${seed}: receive ${topic}\n${text}`,
      );
      const write = allowed(lines, 'write', topic);
      assert.equal(rights.decide('publish', topic).allowed, write, `seed ${seed}: publish ${topic}\n${text}`);
    }
    for (let i = 0; i < 20; i++) {
      const filter = filterOf(random, NAMES);
      const matched = TOPICS.filter((topic) => matches(filter, topic));
      const some = matched.some((topic) => readable.has(topic));
      const every = matched.every((topic) => readable.has(topic));
      const expected = some ? (every ? 'all' : 'partly') : 'none';
      const { share } = rights.decideFilter(filter);
      shares.add(share);
      assert.equal(share, expected, `seed ${seed}: ${filter}\n${text}`);
    }
  }
  assert.equal(shares.size, 3);
});

test('a filter that would take too long to look through is granted in part, and asked about at delivery', () => {
  // Each level of `+` and names doubles what has to be told apart.
  const lines = Array.from(
    { length: 30 },
    (_, i) => `topic deny ${'+/'.repeat(i)}a/#\ntopic deny ${'+/'.repeat(i)}b\n`,
  );
  const acl = parseMosquittoAcl(Buffer.from(lines.join('')), 'FILE');
  assert.equal(new Rights(acl, { username: null, clientId: 'c' }).decideFilter('+/#').share, 'partly');
});

test('among 100,000 rules a decision looks at those on its way alone', () => {
  const lines = Array.from({ length: 100_000 }, (_, i) => `topic read site/${i % 300}/device/${i}\n`);
  const acl = parseMosquittoAcl(Buffer.from(lines.join('')), 'FILE');
  const rights = new Rights(acl, { username: null, clientId: 'c' });
  const decision = rights.decide('receive', `site/${99_999 % 300}/device/99999`);
  assert.equal(decision.rule?.place, 'FILE:100000');
  assert.equal(rights.decideFilter('site/+/device/+').share, 'partly');
});
