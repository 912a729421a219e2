/** The option `user`: who is found, and what is said of it where it is read. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { findUser, namedUser, type SystemUser, userFindings, userIn } from '../../src/config/system-users.js';
import { PorticoError } from '../../src/errors.js';
import { whomToBecome } from '../../src/server/own-user.js';

const folder = mkdtempSync(join(tmpdir(), 'portico-user-'));
after(() => rmSync(folder, { recursive: true }));
let count = 0;

function written(name: string, text: string): string {
  const file = join(folder, `${++count}-${name}`);
  writeFileSync(file, text);
  return file;
}

const MOSQUITTO: SystemUser = { name: 'mosquitto', uid: 107, gid: 112 };
const NOBODY: SystemUser = { name: 'nobody', uid: 65_534, gid: 65_534 };

/** A machine with these users. */
const machine =
  (...users: SystemUser[]) =>
  (name: string): SystemUser | null =>
    users.find((user) => user.name === name) ?? null;

describe('users of this machine', () => {
  const lines =
    'root:x:0:0:root:/root:/bin/sh\n+nis\nmosquitto:x:107:112::/var/lib/mosquitto:\nbroken:x:a:b::/:\n\nroot2';

  test('a name is found with its numbers in lines as those of /etc/passwd, and nothing else is', () => {
    assert.deepEqual(userIn(lines, 'mosquitto'), MOSQUITTO);
    assert.deepEqual(userIn(lines, 'root'), { name: 'root', uid: 0, gid: 0 });
    for (const name of ['mosquitt', 'broken', 'root2', '+nis', '']) assert.equal(userIn(lines, name), null, name);
  });

  test('this process runs as a user that is found', () => {
    const { username, uid, gid } = userInfo();
    assert.deepEqual(findUser(username), { name: username, uid, gid });
  });

  test('what cannot be a name is nobody, and is no argument of a program either', () => {
    for (const name of ['', '-h', '--help', '+', '0', 'a b', 'root:x', '../root', 'root\n', '\0'])
      assert.equal(findUser(name), null, JSON.stringify(name));
  });

  test('mosquitto, where there is none, is nobody; any other name has to be there', () => {
    assert.deepEqual(namedUser('mosquitto', machine(MOSQUITTO, NOBODY)), MOSQUITTO);
    assert.deepEqual(namedUser('mosquitto', machine(NOBODY)), NOBODY);
    assert.equal(namedUser('mosquitto', machine()), null);
    assert.equal(namedUser('fred', machine(NOBODY)), null);
  });
});

describe('what is said of user', () => {
  test('root is told of a user that there is not, and of nobody in the place of mosquitto', () => {
    const findings = (name: string, ...users: SystemUser[]) => userFindings(name, 0, true, machine(...users));
    assert.deepEqual(findings('mosquitto', MOSQUITTO), {});
    assert.match(findings('fred', NOBODY).fault ?? '', /^user is "fred", and this machine has no user of that name; /);
    assert.match(
      findings('mosquitto', NOBODY).warning ?? '',
      /Portico becomes nobody in its place, as Mosquitto does$/,
    );
    assert.match(findings('mosquitto').fault ?? '', /^user is "mosquitto"/);
  });

  test('anybody else is told only that a line has no effect, and not if it names that very user', () => {
    assert.deepEqual(userFindings('mosquitto', 107, true, machine(MOSQUITTO)), {});
    assert.deepEqual(userFindings('mosquitto', 1000, false, machine()), {});
    const { warning, fault } = userFindings('fred', 1000, true, machine());
    assert.equal(warning, 'user fred has no effect: only root can become another user, and there is none of that name');
    assert.equal(fault, undefined);
    assert.deepEqual(userFindings('fred', undefined, true, machine()), {});
  });

  test('only root becomes somebody, unless it is to stay root; unset it stays whoever it is', () => {
    assert.equal(whomToBecome({ user: 'nobody' }, 1000), null);
    assert.equal(whomToBecome({ user: 'root' }, 0), null);
    assert.equal(whomToBecome({ user: undefined }, 0), null);
    assert.equal(whomToBecome({ user: 'nobody' }, 0)?.name, 'nobody');
    assert.throws(() => whomToBecome({ user: 'no-such-user' }, 0), PorticoError);
  });

  test('a mosquitto.conf has mosquitto by default, or what its line says; a portico.yaml has none', () => {
    const userOf = (name: string, text: string) => loadConfig({ file: written(name, text), env: {} }).config.user;
    assert.equal(userOf('a.conf', 'listener 1883\n'), 'mosquitto');
    assert.equal(userOf('b.conf', 'user root\n'), 'root');
    assert.equal(userOf('c.yaml', 'sys: { interval: 1 }\n'), undefined);
    assert.equal(userOf('d.yaml', 'user: root\n'), 'root');
  });

  test('a user that there is not is a fault at its line where root reads it, and else a warning', () => {
    const file = written('e.conf', 'listener 1883\nuser no-such-user\n');
    const root = process.geteuid?.() === 0;
    const load = () => loadConfig({ file, env: {} });
    if (root) assert.throws(load, (error: Error) => error.message.startsWith(`${file}:2: user is "no-such-user", `));
    else assert.match(load().warnings.join('\n'), /:2: user no-such-user has no effect/);
  });

  test('user is written once', () => {
    const file = written('f.conf', 'user root\nuser root\n');
    assert.throws(() => loadConfig({ file, env: {} }), /:2: user is written twice; the first one is at .*:1$/);
  });
});
