import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rights } from '../../../src/access/acl/acl.js';
import { explain } from '../../../src/access/acl/explain.js';
import { parseRoleAcl } from '../../../src/access/acl/role-file.js';
import { PorticoError } from '../../../src/errors.js';

const FILE = `
roles:
  sensor:
    - { allow: publish, topic: 'sensors/%c/#' }
    - allow: [receive]
      topic: commands/%c
  reader:
    - { allow: receive, topic: 'sensors/#' }
    - { deny: subscribe, filter: '#' }
groups:
  plant:
    roles: [sensor]
    users: [pump, fan]
users:
  alice:
    roles: [reader]
    rules:
      - { deny: receive, topic: sensors/secret/# }
      - { allow: [publish, receive], topic: alice/# }
  007: { roles: [reader] }
anonymous:
  rules: [{ allow: receive, topic: public/# }]
everyone:
  rules:
    - { allow: receive, topic: news }
    - { deny: publish, topic: sensors/pump/off }
`;

function rights(username: string | null, clientId = 'c', text = FILE): Rights {
  return new Rights(parseRoleAcl(text, 'FILE'), { username, clientId });
}

function may(one: Rights, topic: string): string {
  return `${one.decide('receive', topic).allowed ? 'r' : ''}${one.decide('publish', topic).allowed ? 'w' : ''}`;
}

function faults(text: string): string[] {
  try {
    parseRoleAcl(text, 'FILE');
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_SECURITY_FILE');
    return error.message.split('\n');
  }
  return [];
}

test('a user has the roles of its groups', () => {
  const pump = rights('pump', 'p1');
  assert.equal(may(pump, 'sensors/p1/temperature'), 'w');
  assert.equal(may(pump, 'sensors/p2/temperature'), '');
  assert.equal(may(pump, 'commands/p1'), 'r');
  assert.equal(may(rights('stranger', 'p1'), 'commands/p1'), '');
});

test('own rules decide before those of roles, and these before everyone’s', () => {
  const alice = rights('alice');
  assert.equal(may(alice, 'sensors/p1/temperature'), 'r');
  assert.equal(may(alice, 'sensors/secret/x'), '');
  assert.equal(may(alice, 'alice/x'), 'rw');
  assert.equal(may(alice, 'news'), 'r');
  // The role allows before everyone is denied.
  assert.equal(may(rights('pump', 'pump'), 'sensors/pump/off'), 'w');
});

test('anonymous is for clients without user name; a name in digits is a name', () => {
  assert.equal(may(rights(null), 'public/x'), 'r');
  assert.equal(may(rights('bob'), 'public/x'), '');
  assert.equal(may(rights('007'), 'sensors/a'), 'r');
});

test('a subscribe rule with filter is about that filter alone, with topic about all that it covers', () => {
  assert.equal(rights('007').decideFilter('#').share, 'none');
  assert.equal(rights('007').decideFilter('sensors/#').share, 'all');
  assert.equal(rights('007').decideFilter('+/#').share, 'partly');
  const text = "everyone: { rules: [{ allow: receive, topic: '#' }, { deny: subscribe, topic: 'a/+/#' }] }";
  const someone = rights('x', 'c', text);
  assert.deepEqual(
    ['a/b', 'a/+/c', 'a/b/#', 'a/#', '#'].map((filter) => someone.decideFilter(filter).share),
    ['none', 'none', 'none', 'all', 'all'],
  );
  assert.equal(someone.decide('receive', 'a/b').allowed, true);
});

test('a name with +, # or / matches nothing through a placeholder', () => {
  for (const name of ['+', '#', 'a/b']) {
    assert.equal(may(rights('pump', name), 'sensors/a/b'), '', name);
    assert.equal(rights('pump', name).decideFilter('commands/#').share, 'none', name);
  }
});

test('the deciding line is named', () => {
  const acl = parseRoleAcl(FILE, 'FILE');
  assert.equal(
    explain(acl, { username: 'alice', clientId: 'c' }, 'receive', 'sensors/secret/x'),
    'user "alice", client "c", receive sensors/secret/x: denied; FILE:18: deny receive sensors/secret/#',
  );
  assert.equal(
    explain(acl, { username: '007', clientId: 'c' }, 'subscribe', '#'),
    'user "007", client "c", subscribe #: refused; FILE:9: deny subscribe filter #',
  );
});

test('an empty file denies everything', () => {
  assert.equal(may(rights('alice', 'c', ''), 'a'), '');
  assert.equal(may(rights('alice', 'c', '# nothing\n'), 'a'), '');
});

test('every fault of a file is named with its line', () => {
  const text = `
role: {}
roles:
  a:
    - { allow: read, topic: x }
    - { topic: x }
    - { allow: publish }
    - { allow: publish, topic: a/#/b }
    - { allow: publish, filter: x }
    - { allow: publish, deny: receive, topic: x }
    - { allow: publish, topics: x }
users:
  ann: { roles: [b] }
  bob: { roles: a }
`;
  assert.deepEqual(faults(text), [
    'FILE:2: "role" is none of roles, groups, users, anonymous, everyone (did you mean roles?)',
    'FILE:5: "read" is none of publish, receive, subscribe',
    'FILE:6: the rule has neither allow nor deny',
    'FILE:7: the rule has neither topic nor filter',
    'FILE:8: "a/#/b" is no topic filter',
    'FILE:9: filter is for subscribe alone; topic is for the others',
    'FILE:10: a rule has either allow or deny',
    'FILE:11: "topics" is none of allow, deny, topic, filter (did you mean topic?)',
    'FILE:14: this is a list',
    'FILE:13: there is no role "b"',
  ]);
  assert.match(faults('users: [').join('\n'), /^FILE:1: /);
  assert.match(faults('users: {}\nusers: {}').join('\n'), /^FILE:2: .*unique/);
  assert.deepEqual(faults('just a text'), ['FILE:1: the file is a list of names with what belongs to them']);
});
