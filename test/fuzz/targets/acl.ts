/** Access control lists: both forms of the file, and decisions on what they say. */
import assert from 'node:assert/strict';
import { type Acl, Rights } from '../../../src/access/acl/acl.js';
import { explain } from '../../../src/access/acl/explain.js';
import { parseMosquittoAcl } from '../../../src/access/acl/mosquitto-file.js';
import { parseRoleAcl } from '../../../src/access/acl/role-file.js';
import { PorticoError } from '../../../src/errors.js';
import type { Target } from '../target.js';

const SUBJECTS = [
  { username: null, clientId: 'c' },
  { username: 'ann', clientId: 'c' },
  { username: '+', clientId: '#' },
  { username: 'a/b', clientId: '' },
];
const TOPICS = ['a', 'a/b', 'a/c/b', '/', '$SYS/a', 'd/c', 'd/ann'];

/** A file is read, or refused with a line for each fault; what it says is decided for everybody without a hitch. */
function read(load: () => Acl): string {
  let acl: Acl;
  try {
    acl = load();
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_SECURITY_FILE', error as Error);
    const [first] = error.message.split('\n');
    assert.match(first, /^FILE:\d+: \S/);
    return first
      .replace(/^FILE:\d+: /, '')
      .replaceAll(/".*"/gs, '')
      .slice(0, 50);
  }
  let shares = '';
  for (const subject of SUBJECTS) {
    const rights = new Rights(acl, subject);
    for (const topic of TOPICS) {
      const { share } = rights.decideFilter(topic);
      const { allowed } = rights.decide('receive', topic);
      // Of one topic there is no part; `none` may be a rule about the subscription alone.
      assert.notEqual(share, 'partly');
      assert.ok(allowed || share === 'none', `${topic} is granted, and would never be delivered`);
      for (const action of ['publish', 'receive', 'subscribe'] as const) {
        assert.ok(explain(acl, subject, action, topic).length > 0);
      }
    }
    shares += rights.decideFilter('#').share[0];
    const whole = rights.decideFilter('a/#').share;
    if (whole !== 'partly') continue;
    assert.notEqual(rights.decideFilter('#').share, 'all', 'the whole is allowed, and a part is not');
  }
  return `read ${Math.min(acl.size, 3)} ${shares}`;
}

export const aclFile: Target = {
  name: 'acl-file',
  scope: ['/src/access/acl/'],
  longest: 600,
  words: [
    'topic ',
    'pattern ',
    'user ',
    'read ',
    'write ',
    'readwrite ',
    'deny ',
    '%c',
    '%u',
    '#',
    '+',
    '/',
    '\n',
    '\r\n',
    '$SYS/',
  ],
  seeds: () => [
    Buffer.from(
      'topic read a/#\nuser ann\ntopic readwrite d/+\ntopic deny a/b\npattern write d/%c\npattern deny %u/#\n',
    ),
    Buffer.from('# comment\r\n\r\nuser  x y\r\ntopic\ntopic read a/#/b\npattern %u\n'),
  ],
  run: (bytes) => read(() => parseMosquittoAcl(bytes, 'FILE')),
};

export const roleAcl: Target = {
  name: 'role-acl',
  scope: ['/src/access/acl/'],
  longest: 600,
  words: [
    'allow: ',
    'deny: ',
    'topic: ',
    'filter: ',
    'publish',
    'receive',
    'subscribe',
    'roles:',
    'users:',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '%c',
    '\n  ',
  ],
  seeds: () => [
    Buffer.from(
      "roles:\n  r:\n    - { allow: [publish, receive], topic: 'd/%c' }\n    - { deny: subscribe, filter: '#' }\n" +
        'groups:\n  g: { roles: [r], users: [ann] }\nusers:\n  ann: { roles: [r], rules: [{ allow: receive, topic: a/# }] }\n' +
        'anonymous:\n  rules:\n    - { deny: receive, topic: a/b }\neveryone: { rules: [{ allow: receive, topic: a/+ }] }\n',
    ),
  ],
  run: (bytes) => read(() => parseRoleAcl(bytes.toString('utf8'), 'FILE')),
};
