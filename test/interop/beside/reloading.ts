/** SIGHUP: files and options change while clients are connected. */
import type { Files, Group, Scenario } from '../../support/beside/scenario.js';

const HEAD = 'listener <main> 127.0.0.1\n';
const PASSWORDS = `${HEAD}password_file @/passwords\nallow_anonymous false\n`;
const ANYONE = `${HEAD}password_file @/passwords\nallow_anonymous true\n`;
const LISTS = `${PASSWORDS}acl_file @/acl\n`;
const ALL = 'user ann\ntopic #\nuser bob\ntopic #\n';
const BOTH = { ann: 'a', bob: 'b' };
const ANN = 'come A user=ann pass=a';
const BOB = 'come B user=bob pass=b';

/** A scenario with a configuration of its own. */
function reload(name: string, before: Files, after: Partial<Files>, steps: string[], meant?: Scenario['meant']): Group {
  return {
    ...before,
    title: name,
    scenarios: [{ name: `SIGHUP: ${name}`, after, steps, ...(meant && { meant }) }],
  };
}

export const reloading: readonly Group[] = [
  reload('nothing changes', { conf: LISTS, users: BOTH, acl: ALL }, {}, [
    ANN,
    'sub A # 0',
    'reload',
    BOB,
    'pub B x x 0',
    'sees A',
    'is A',
  ]),
  reload(
    'a user is added',
    { conf: PASSWORDS, users: { ann: 'a' } },
    { users: BOTH },
    [ANN, BOB, 'reload', BOB, 'is A', 'come C user=bob pass=wrong'],
    {
      why: 'password',
      mosquitto: ['[4] B comes: 5', '[4] C comes: 5', '[5] B comes: 135', '[5] C comes: 135'],
      portico: ['[4] B comes: 4', '[4] C comes: 4', '[5] B comes: 134', '[5] C comes: 134'],
    },
  ),
  reload(
    'a user is gone',
    { conf: PASSWORDS, users: BOTH },
    { users: { bob: 'b' } },
    [ANN, BOB, 'reload', 'gone A', 'is B', 'come C user=ann pass=a'],
    {
      why: 'password sent-away',
      mosquitto: ['[4] C comes: 5', '[5] A is gone: closed', '[5] C comes: 135'],
      portico: ['[4] C comes: 4', '[5] A is gone: disconnect 135', '[5] C comes: 134'],
    },
  ),
  reload(
    'a user has another password',
    { conf: PASSWORDS, users: BOTH },
    { users: { ann: 'other', bob: 'b' } },
    [ANN, BOB, 'reload', 'gone A', 'is B', 'come C user=ann pass=a', 'come D user=ann pass=other'],
    {
      why: 'password sent-away',
      mosquitto: ['[4] C comes: 5', '[5] A is gone: closed', '[5] C comes: 135'],
      portico: ['[4] C comes: 4', '[5] A is gone: disconnect 135', '[5] C comes: 134'],
    },
  ),
  reload(
    'a user loses the right to receive',
    { conf: LISTS, users: BOTH, acl: ALL },
    { acl: 'user ann\ntopic read x/b\nuser bob\ntopic #\n' },
    [
      ANN,
      'sub A x/# 0',
      BOB,
      'pub B x/a 1 0',
      'pub B x/b 1 0',
      'sees A',
      'reload',
      'pub B x/a 1 0',
      'pub B x/b 1 0',
      'sees A',
      'is A',
    ],
  ),
  reload(
    'a user gets the right to receive, and a subscription that was filtered delivers',
    { conf: LISTS, users: BOTH, acl: 'user ann\ntopic read x/b\nuser bob\ntopic #\n' },
    { acl: ALL },
    [ANN, 'sub A x/# 0', BOB, 'pub B x/a 1 0', 'reload', 'pub B x/a 1 0', 'sees A'],
  ),
  reload(
    'a user loses the right to publish',
    { conf: LISTS, users: BOTH, acl: ALL },
    { acl: 'user ann\ntopic write x\nuser bob\ntopic #\n' },
    [ANN, BOB, 'sub B # 0', 'pub A x 1 0', 'pub A y 1 0', 'sees B', 'reload', 'pub A x 1 1', 'pub A y 1 1', 'sees B'],
  ),
  reload(
    'a pattern is added',
    { conf: LISTS, users: BOTH, acl: 'user bob\ntopic #\n' },
    { acl: 'pattern write own/%u\nuser bob\ntopic #\n' },
    [ANN, BOB, 'sub B # 0', 'pub A own/ann 1 0', 'reload', 'pub A own/ann 1 0', 'pub A own/bob 1 0', 'sees B'],
  ),
  reload(
    'a list is added to a configuration without one',
    { conf: PASSWORDS, users: BOTH, acl: 'user bob\ntopic #\n' },
    { conf: LISTS },
    [ANN, BOB, 'sub B # 0', 'pub A x 1 0', 'reload', 'pub A x 1 0', 'pub B y 1 0', 'sees B'],
  ),
  reload(
    'anonymous clients may not connect any more',
    { conf: ANYONE, users: BOTH },
    { conf: PASSWORDS },
    ['come N', ANN, 'reload', 'gone N', 'is A', 'come M'],
    { why: 'sent-away', mosquitto: ['[5] N is gone: closed'], portico: ['[5] N is gone: disconnect 135'] },
  ),
  reload('anonymous clients may connect', { conf: PASSWORDS, users: BOTH }, { conf: ANYONE }, [
    'come N',
    ANN,
    'reload',
    'is A',
    'come M',
  ]),
  reload(
    'user, list and password change at once',
    { conf: LISTS, users: BOTH, acl: ALL },
    { users: { bob: 'b', cat: 'c' }, acl: 'user bob\ntopic read x\nuser cat\ntopic write x\n' },
    [
      ANN,
      BOB,
      'sub A # 0',
      'sub B # 0',
      'come C user=cat pass=c',
      'reload',
      'gone A',
      'is B',
      'come C user=cat pass=c',
      'pub C x 1 0',
      'pub C y 1 0',
      'pub B x 1 0',
      'sees B',
    ],
    {
      why: 'password sent-away',
      mosquitto: ['[4] C comes: 5', '[5] C comes: 135', '[5] A is gone: closed'],
      portico: ['[4] C comes: 4', '[5] C comes: 134', '[5] A is gone: disconnect 135'],
    },
  ),
  reload(
    'a list with a fault',
    { conf: LISTS, users: BOTH, acl: 'user ann\ntopic x\nuser bob\ntopic #\n' },
    { acl: 'user ann\ntopik #\n' },
    [ANN, BOB, 'sub B # 0', 'reload', 'pub A x 1 0', 'pub A y 1 0', 'pub B z 1 0', 'sees B'],
    { why: 'fault', mosquitto: ['B sees: x=1/0 y=1/0 z=1/0'], portico: ['B sees: x=1/0 z=1/0'] },
  ),
  reload(
    'the longest Keep Alive',
    { conf: `${ANYONE}max_keepalive 100\n` },
    { conf: `${ANYONE}max_keepalive 50\n` },
    ['come A keep=60', 'reload', 'is A', 'come B keep=60', 'told B serverKeepAlive'],
    {
      why: 'reloaded',
      mosquitto: ['[5] B is told serverKeepAlive=nothing'],
      portico: ['[5] B is told serverKeepAlive=50'],
    },
  ),
  reload(
    'messages in flight',
    { conf: `${ANYONE}max_inflight_messages 5\n` },
    { conf: `${ANYONE}max_inflight_messages 7\n` },
    ['come A', 'told A receiveMaximum', 'reload', 'is A', 'come B', 'told B receiveMaximum'],
    { why: 'reloaded', mosquitto: ['[5] B is told receiveMaximum=5'], portico: ['[5] B is told receiveMaximum=7'] },
  ),
  reload(
    'retained messages',
    { conf: `${ANYONE}retain_available true\n` },
    { conf: `${ANYONE}retain_available false\n` },
    ['come A', 'reload', 'come B', 'pub B x y 1 r'],
    {
      why: 'reloaded',
      mosquitto: ['[4] B publishes x: 0', '[5] B publishes x: 16'],
      portico: ['[4] B publishes x: closed', '[5] B publishes x: disconnect 154'],
    },
  ),
];
