/** What `portico acl explain` says: the deciding line, for each form that a rule may have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../../src/access/acl/explain.js';
import { parseMosquittoAcl } from '../../../src/access/acl/mosquitto-file.js';
import { parseRoleAcl } from '../../../src/access/acl/role-file.js';
import type { Action } from '../../../src/access/acl/rule.js';

const MOSQUITTO = `topic read public/#
topic deny public/secret
user ann
topic read a/#
topic write b
topic c
topic deny a/locked
pattern write own/%c/#
pattern deny own/%c/locked
pattern read $SYS/%u
`;

const ROLES = `roles:
  sensor:
    - { allow: publish, topic: 'sensors/%c/#' }
    - { deny: publish, topic: 'sensors/%c/locked' }
  reader:
    - { allow: receive, topic: 'sensors/#' }
    - { deny: subscribe, filter: '#' }
groups:
  plant:
    roles: [sensor]
    users: [pump]
users:
  alice:
    roles: [reader]
    rules:
      - { deny: receive, topic: 'sensors/secret/#' }
      - { allow: [publish, receive], topic: 'alice/%u' }
      - { deny: subscribe, topic: 'alice/#' }
anonymous:
  rules:
    - { allow: receive, topic: 'public/#' }
    - { deny: receive, topic: 'public/secret' }
everyone:
  roles: [reader]
  rules:
    - { allow: publish, topic: 'hello/%c' }
`;

type Row = readonly [username: string | null, clientId: string, action: Action, topic: string, answer: string];

const NONE = 'no rule allows it';

const MOSQUITTO_ROWS: readonly Row[] = [
  ['ann', 'c1', 'receive', 'a/x', 'allowed; FILE:4: topic read a/#'],
  ['ann', 'c1', 'publish', 'a/x', `denied; ${NONE}`],
  ['ann', 'c1', 'publish', 'b', 'allowed; FILE:5: topic write b'],
  ['ann', 'c1', 'subscribe', 'b', `refused; ${NONE}`],
  ['ann', 'c1', 'publish', 'c', 'allowed; FILE:6: topic c'],
  ['ann', 'c1', 'publish', 'a/locked', 'denied; FILE:7: topic deny a/locked'],
  ['ann', 'c1', 'subscribe', 'a/locked', 'refused; FILE:7: topic deny a/locked'],
  ['ann', 'c1', 'subscribe', 'a/b/#', 'granted; FILE:4: topic read a/#'],
  [
    'ann',
    'c1',
    'subscribe',
    'a/+',
    'granted in part; FILE:4: topic read a/#; not all of it: FILE:7: topic deny a/locked',
  ],
  ['ann', 'c1', 'subscribe', '$share/g/a/locked', 'refused; FILE:7: topic deny a/locked'],
  ['ann', 'c1', 'publish', 'own/c1/x', 'allowed; FILE:8: pattern write own/%c/#'],
  ['ann', 'c1', 'publish', 'own/c1/locked', 'denied; FILE:9: pattern deny own/%c/locked'],
  ['ann', 'c1', 'publish', 'own/c2/x', `denied; ${NONE}`],
  ['ann', '+', 'publish', 'own/c2/x', `denied; ${NONE}`],
  ['ann', 'c1', 'subscribe', '$SYS/ann', 'granted; FILE:10: pattern read $SYS/%u'],
  ['ann', 'c1', 'subscribe', '$SYS/#', 'granted in part; FILE:10: pattern read $SYS/%u; no rule allows the rest'],
  ['bob', 'c1', 'receive', 'public/x', `denied; ${NONE}`],
  [null, 'c1', 'receive', 'public/x', 'allowed; FILE:1: topic read public/#'],
  [null, 'c1', 'receive', 'public/secret', 'denied; FILE:2: topic deny public/secret'],
  [null, 'c1', 'publish', 'own/c1/x', 'allowed; FILE:8: pattern write own/%c/#'],
];

const ROLES_ROWS: readonly Row[] = [
  ['pump', 'p1', 'publish', 'sensors/p1/t', 'allowed; FILE:3: allow publish sensors/%c/#'],
  ['pump', 'p1', 'publish', 'sensors/p1/locked', 'denied; FILE:4: deny publish sensors/%c/locked'],
  ['pump', 'p1', 'publish', 'sensors/p2/t', `denied; ${NONE}`],
  ['alice', 'a', 'publish', 'sensors/a/t', `denied; ${NONE}`],
  ['alice', 'a', 'receive', 'sensors/p1/t', 'allowed; FILE:6: allow receive sensors/#'],
  ['alice', 'a', 'receive', 'sensors/secret/t', 'denied; FILE:16: deny receive sensors/secret/#'],
  ['alice', 'a', 'publish', 'alice/alice', 'allowed; FILE:17: allow publish, receive alice/%u'],
  ['alice', 'a', 'subscribe', '#', 'refused; FILE:7: deny subscribe filter #'],
  ['alice', 'a', 'subscribe', 'alice/alice', 'refused; FILE:18: deny subscribe alice/#'],
  [
    'alice',
    'a',
    'subscribe',
    'sensors/#',
    'granted in part; FILE:6: allow receive sensors/#; not all of it: FILE:16: deny receive sensors/secret/#',
  ],
  ['alice', 'a', 'subscribe', 'sensors/p1/#', 'granted; FILE:6: allow receive sensors/#'],
  ['bob', 'b', 'receive', 'sensors/p1/t', 'allowed; FILE:6: allow receive sensors/#'],
  ['bob', 'b', 'publish', 'hello/b', 'allowed; FILE:26: allow publish hello/%c'],
  ['bob', 'b', 'receive', 'public/x', `denied; ${NONE}`],
  [null, 'b', 'receive', 'public/x', 'allowed; FILE:21: allow receive public/#'],
  [null, 'b', 'receive', 'public/secret', 'denied; FILE:22: deny receive public/secret'],
  [null, 'b', 'publish', 'hello/b', 'allowed; FILE:26: allow publish hello/%c'],
  [null, 'b', 'subscribe', '#', 'refused; FILE:7: deny subscribe filter #'],
];

for (const [form, acl, rows] of [
  ['Mosquitto’s form', parseMosquittoAcl(Buffer.from(MOSQUITTO), 'FILE'), MOSQUITTO_ROWS],
  ['our own form', parseRoleAcl(ROLES, 'FILE'), ROLES_ROWS],
] as const) {
  for (const [username, clientId, action, topic, answer] of rows) {
    test(`${form}: ${username ?? 'nobody'}, ${clientId}, ${action} ${topic}: ${answer}`, () => {
      const who = username === null ? 'a client without user name' : `user "${username}"`;
      assert.equal(
        explain(acl, { username, clientId }, action, topic),
        `${who}, client "${clientId}", ${action} ${topic}: ${answer}`,
      );
    });
  }
}
