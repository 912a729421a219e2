import assert from 'node:assert/strict';
import { chmodSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Rights } from '../../../src/access/acl/acl.js';
import { explain } from '../../../src/access/acl/explain.js';
import { parseMosquittoAcl, readMosquittoAcl } from '../../../src/access/acl/mosquitto-file.js';
import type { Share } from '../../../src/access/acl/rule.js';
import { PorticoError } from '../../../src/errors.js';
import { temporaryFolder } from '../../support/portico.js';

const parse = (text: string) => parseMosquittoAcl(Buffer.from(text), 'FILE');

function rights(text: string, username: string | null = null, clientId = 'c'): Rights {
  return new Rights(parse(text), { username, clientId });
}

/** What a client may do on a topic: `r`, `w`, `rw` or nothing. */
function may(text: string, topic: string, username: string | null = null, clientId = 'c'): string {
  const one = rights(text, username, clientId);
  return `${one.decide('receive', topic).allowed ? 'r' : ''}${one.decide('publish', topic).allowed ? 'w' : ''}`;
}

function share(text: string, filter: string, username: string | null = null, clientId = 'c'): Share {
  return rights(text, username, clientId).decideFilter(filter).share;
}

function faults(text: string | Buffer): string[] {
  try {
    parseMosquittoAcl(Buffer.from(text), 'FILE');
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_SECURITY_FILE');
    return error.message.split('\n');
  }
  return [];
}

test('read is receiving, write publishing, no word both, deny neither', () => {
  const text = 'topic read r\ntopic write w\ntopic readwrite rw\ntopic both\ntopic deny no\n';
  assert.deepEqual(
    ['r', 'w', 'rw', 'both', 'no', 'other'].map((topic) => may(text, topic)),
    ['r', 'w', 'rw', 'rw', '', ''],
  );
});

test('an empty file denies everything', () => {
  assert.equal(may('', 'a'), '');
  assert.equal(share('', '#'), 'none');
});

test('rules above the first user are for clients without user name, and only for these', () => {
  const text = 'topic open\nuser ann\ntopic hers\n';
  assert.equal(may(text, 'open'), 'rw');
  assert.equal(may(text, 'open', 'ann'), '');
  assert.equal(may(text, 'hers', 'ann'), 'rw');
  assert.equal(may(text, 'hers'), '');
  assert.equal(may(text, 'hers', 'bob'), '');
});

test('a user named twice has the rules of both places', () => {
  const text = 'user ann\ntopic a\nuser bob\ntopic b\nuser ann\ntopic c\n';
  assert.deepEqual([may(text, 'a', 'ann'), may(text, 'b', 'ann'), may(text, 'c', 'ann')], ['rw', '', 'rw']);
});

test('deny comes before what allows, wherever it stands', () => {
  assert.equal(may('topic a/#\ntopic deny a/secret\n', 'a/secret'), '');
  assert.equal(may('topic deny a/secret\ntopic a/#\n', 'a/secret'), '');
  assert.equal(may('topic deny a/#\ntopic a/b\n', 'a/b'), '');
});

test('a topic of the user decides before patterns do', () => {
  assert.equal(may('user ann\ntopic read x/ann\npattern deny x/%u\n', 'x/ann', 'ann'), 'r');
  assert.equal(may('user ann\ntopic deny x/ann\npattern x/%u\n', 'x/ann', 'ann'), '');
  assert.equal(may('pattern x/%u\npattern deny x/ann\n', 'x/ann', 'ann'), '');
  // Only what the user's rules do not speak about goes on to the patterns.
  assert.equal(may('user ann\ntopic read x/ann\npattern write x/%u\n', 'x/ann', 'ann'), 'rw');
});

test('patterns are for every client, whatever user stands above them', () => {
  const text = 'user ann\npattern read %c/in\npattern write %u/out\n';
  assert.equal(may(text, 'dev/in', 'bob', 'dev'), 'r');
  assert.equal(may(text, 'bob/out', 'bob', 'dev'), 'w');
  assert.equal(may(text, 'dev/in', null, 'dev'), 'r');
  assert.equal(may(text, 'other/in', 'bob', 'dev'), '');
});

test('placeholders may stand inside a level, more than once, and are filled in once', () => {
  assert.equal(may('pattern a-%c-%u-%c/x\n', 'a-dev-ann-dev/x', 'ann', 'dev'), 'rw');
  assert.equal(may('pattern %u\n', 'dev', '%c', 'dev'), '');
  assert.equal(may('pattern %u\n', '%c', '%c', 'dev'), 'rw');
});

test('%u is no rule for a client without user name', () => {
  assert.equal(may('pattern x/%u\n', 'x/', null), '');
  assert.equal(may('pattern x/%u\n', 'x/', ''), 'rw');
});

test('a user name or client identifier with +, # or / matches nothing through a pattern', () => {
  for (const name of ['+', '#', 'a/b', '+/+', '/', 'a+', '#x']) {
    for (const topic of ['x/a', 'x/a/b', 'x', 'x/+', `x/${name}`]) {
      assert.equal(may('pattern x/%u\n', topic, name), '', `${name} ${topic}`);
      assert.equal(may('pattern x/%c\n', topic, null, name), '', `${name} ${topic}`);
      assert.equal(may('pattern x/%c/#\n', topic, null, name), '', `${name} ${topic}`);
    }
    assert.equal(share('pattern read x/%c\n', 'x/#', null, name), 'none');
  }
});

test('a user name does not begin $SYS for its bearer', () => {
  assert.equal(may('pattern read %u/#\n', '$SYS/broker/uptime', '$SYS'), '');
  assert.equal(may('pattern read $SYS/%u\n', '$SYS/x', 'x'), 'r');
});

test('what a pattern denies to names that it cannot hold is not open to these', () => {
  const text = 'pattern read #\npattern deny private/%u/#\n';
  assert.equal(may(text, 'private/ann/x', 'ann'), '');
  assert.equal(may(text, 'private/a/b', 'a/b'), '');
  assert.equal(may(text, 'open', 'a/b'), '');
  assert.equal(share(text, '#', 'a/b'), 'none');
});

test('+ and # in a name shut out all patterns, also those without placeholder', () => {
  assert.equal(may('pattern read a\n', 'a', 'ann', 'c'), 'r');
  assert.equal(may('pattern read a\n', 'a', 'an+n', 'c'), '');
  assert.equal(may('pattern read a\n', 'a', 'ann', '#'), '');
  assert.equal(may('topic read a\n', 'a', null, '#'), 'r');
});

test('# is about its parent too, + about one level that may be empty', () => {
  assert.equal(may('topic a/#\n', 'a'), 'rw');
  assert.equal(may('topic a/#\n', 'ab'), '');
  assert.equal(may('topic a/+\n', 'a/'), 'rw');
  assert.equal(may('topic a/+\n', 'a'), '');
  assert.equal(may('topic a/+\n', 'a/b/c'), '');
  assert.equal(may('topic +/b\n', '/b'), 'rw');
});

test('topics that begin with $ need a filter that begins so', () => {
  assert.equal(may('topic #\n', '$SYS/broker/uptime'), '');
  assert.equal(may('topic +/broker/uptime\n', '$SYS/broker/uptime'), '');
  assert.equal(may('topic read $SYS/#\n', '$SYS/broker/uptime'), 'r');
  assert.equal(may('pattern read $SYS/#\n', '$SYS/broker/uptime'), 'r');
  assert.equal(may('topic deny #\ntopic read $SYS/#\n', '$SYS/x'), 'r');
});

test('placeholders of a topic line are plain text', () => {
  assert.equal(may('topic x/%c\n', 'x/c', null, 'c'), '');
  assert.equal(may('topic x/%c\n', 'x/%c', null, 'c'), 'rw');
  assert.deepEqual(parse('topic x/%c\npattern x\n').warnings, [
    'FILE:1: %c and %u have a meaning only behind pattern, not topic',
    'FILE:2: the pattern has neither %c nor %u: it is for every client',
  ]);
});

test('names and filters may have spaces; CR LF, blank lines and comments are no rules', () => {
  const text = '# comment\r\n\r\n  \r\nuser  ann b \r\n topic   read  a b/c \r\n';
  assert.equal(may(text, 'a b/c', 'ann b'), 'r');
});

test('one word behind topic is a filter, whatever it reads like', () => {
  assert.equal(may('topic deny\n', 'deny'), 'rw');
  assert.deepEqual(parse('topic deny\n').warnings, [
    'FILE:1: deny is taken as a topic filter, and allows everything on it',
  ]);
});

test('every fault of a file is named with its line', () => {
  assert.deepEqual(faults('topic\nuser\ntopics a\ntopic reed a\ntopic read a/#/b\n # indented\ntopic\tread a\n'), [
    'FILE:1: the topic filter is missing',
    'FILE:2: the name of the user is missing',
    'FILE:3: the line begins with none of topic, pattern, user (did you mean topic?)',
    'FILE:4: "reed" is none of read, write, readwrite, deny (did you mean read?)',
    'FILE:5: "a/#/b" is no topic filter',
    'FILE:6: a comment begins at the beginning of its line',
    'FILE:7: what separates words is a space, not a tab',
  ]);
  assert.deepEqual(faults(Buffer.from('topic a\0b\ntopic \xff\n', 'latin1')), [
    'FILE:1: the line is not UTF-8, or has a NUL in it',
    'FILE:2: the line is not UTF-8, or has a NUL in it',
  ]);
});

test('a file that is missing or that everybody may write stops the start; a link is as good as its file', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'acl');
  await assert.rejects(readMosquittoAcl(file), {
    message: `${file}: the ACL file cannot be read: there is none of that name`,
  });
  writeFileSync(file, 'topic a\n');
  chmodSync(file, 0o666);
  await assert.rejects(readMosquittoAcl(file), {
    code: 'PORTICO_SECURITY_FILE',
    message: `${file}: everybody may write the ACL file; chmod o-w ${file} takes that away`,
  });
  chmodSync(file, 0o640);
  symlinkSync(file, join(folder, 'link'));
  assert.equal((await readMosquittoAcl(join(folder, 'link'))).size, 1);
});

test('a subscription is refused if nothing of it could be delivered, partly granted if some could', () => {
  const text = 'topic read a/b\ntopic deny a/c\ntopic read x/#\ntopic deny x/secret/#\ntopic write w/#\n';
  const shares: Record<string, Share> = {
    'a/b': 'all',
    'a/c': 'none',
    'a/+': 'partly',
    'a/#': 'partly',
    '#': 'partly',
    '+': 'partly',
    '+/+/+': 'partly',
    'w/#': 'none',
    'x/y/#': 'all',
    'x/#': 'partly',
    'x/secret': 'none',
    'x/secret/+/z': 'none',
    'x/+/y': 'partly',
    '$SYS/#': 'none',
    '$share/group/a/b': 'all',
    '$share/group/a/c': 'none',
    other: 'none',
  };
  for (const [filter, expected] of Object.entries(shares)) assert.equal(share(text, filter), expected, filter);
  assert.equal(share('topic read #\n', '#'), 'all');
  assert.equal(share('topic read #\n', '$SYS/#'), 'none');
  assert.equal(share('topic read +/#\n', '#'), 'all');
  assert.equal(share('topic read +\ntopic read +/+/#\n', '#'), 'all');
  assert.equal(share('topic read a/b\ntopic deny +/b\n', '#'), 'none');
  assert.equal(share('topic read a\ntopic deny a/#\n', 'a/#'), 'none');
  assert.equal(share('pattern read d/%c/#\n', 'd/+/x', null, 'c'), 'partly');
  assert.equal(share('pattern read d/%c/#\n', 'd/c/+', null, 'c'), 'all');
  assert.equal(share('pattern read d/%c/#\n', 'd/e/+', null, 'c'), 'none');
});

test('the deciding line is named', () => {
  const acl = parse('user ann\ntopic read a/#\ntopic deny a/b\npattern write o/%u\n');
  const ann = { username: 'ann', clientId: 'c1' };
  assert.equal(
    explain(acl, ann, 'receive', 'a/b'),
    'user "ann", client "c1", receive a/b: denied; FILE:3: topic deny a/b',
  );
  assert.equal(
    explain(acl, ann, 'publish', 'o/ann'),
    'user "ann", client "c1", publish o/ann: allowed; FILE:4: pattern write o/%u',
  );
  assert.equal(explain(acl, ann, 'publish', 'zz'), 'user "ann", client "c1", publish zz: denied; no rule allows it');
  assert.equal(
    explain(acl, ann, 'subscribe', 'a/#'),
    'user "ann", client "c1", subscribe a/#: granted in part; FILE:2: topic read a/#; not all of it: FILE:3: topic deny a/b',
  );
  assert.equal(
    explain(acl, { username: null, clientId: 'c1' }, 'subscribe', 'a/#'),
    'a client without user name, client "c1", subscribe a/#: refused; no rule allows it',
  );
});
