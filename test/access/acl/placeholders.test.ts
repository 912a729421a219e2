/** Whatever a client calls itself, a placeholder stands for exactly that, as one level. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Acl, Rights } from '../../../src/access/acl/acl.js';
import { parseMosquittoAcl } from '../../../src/access/acl/mosquitto-file.js';
import { parseRoleAcl } from '../../../src/access/acl/role-file.js';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';

const PIECES = ['+', '#', '/', '%c', '%u', '$', '$SYS', 'a', 'b', 'own', '*', '.', ''];
const SHAPES = ['own/%/x', '%/x', 'own/%', 'own/%/#', 'own/+/%', 'own/p-%-s/x'];

function nameOf(random: Random): string {
  return Array.from({ length: random.below(4) }, () => random.pick(PIECES)).join('');
}

function topicOf(random: Random, name: string): string {
  const levels = Array.from({ length: 1 + random.below(4) }, () =>
    random.pick(['own', 'a', 'b', 'x', '', '$SYS', name, `p-${name}-s`, 'p-a-s']),
  );
  return levels.join('/').replaceAll(/[+#]/g, 'b') || 'x';
}

/** Whether a topic is one that the rule is for, if the name is one level and nothing else. */
function isMeant(shape: string, name: string, topic: string): boolean {
  if (/[+#/]/.test(name)) return false;
  const [rule, levels] = [shape.split('/'), topic.split('/')];
  for (const [at, level] of rule.entries()) {
    if (level === '#') return true;
    if (at >= levels.length) return false;
    const own = level.replace('%', () => name);
    // Nobody gets at what begins with $ by a name.
    if (at === 0 && own.startsWith('$')) return false;
    if (level === '+' ? false : own !== levels[at]) return false;
  }
  return rule.length === levels.length;
}

for (const placeholder of ['%c', '%u']) {
  const forms: readonly (readonly [string, (filter: string) => Acl])[] = [
    ['a pattern', (filter) => parseMosquittoAcl(Buffer.from(`pattern readwrite ${filter}\n`), 'FILE')],
    [
      'a rule of everyone',
      (filter) => parseRoleAcl(`everyone: { rules: [{ allow: [publish, receive], topic: '${filter}' }] }`, 'FILE'),
    ],
  ];
  for (const [form, parse] of forms) {
    test(`${placeholder} in ${form} never stands for more than one level, whatever the name has in it`, () => {
      const acls = SHAPES.map((shape) => [shape, parse(shape.replace('%', placeholder))] as const);
      for (const seed of seeds(300)) {
        const random = new Random(seed);
        const name = nameOf(random);
        const subject = placeholder === '%c' ? { clientId: name, username: 'u' } : { clientId: 'c', username: name };
        for (const [shape, acl] of acls) {
          const rights = new Rights(acl, subject);
          for (let i = 0; i < 20; i++) {
            const topic = topicOf(random, name);
            const meant = isMeant(shape, name, topic);
            const said = `${shape} for ${JSON.stringify(name)}: ${topic}, SEED=${seed}`;
            assert.equal(rights.decide('publish', topic).allowed, meant, said);
            assert.equal(rights.decide('receive', topic).allowed, meant, said);
            assert.equal(rights.decideFilter(topic).share, meant ? 'all' : 'none', said);
          }
          if (/[+#/]/.test(name)) assert.equal(rights.decideFilter('#').share, 'none', `${shape} for ${name}`);
        }
      }
    });
  }
}
