/** Who may connect, under which identifier, and what it is told. */
import type { Group } from '../../support/beside/scenario.js';

const USERS = { ann: 'a', bob: 'b' };
const OPEN = 'listener <main> 127.0.0.1\nallow_anonymous true\n';

export const connecting: readonly Group[] = [
  {
    title: 'anyone may connect',
    conf: OPEN,
    scenarios: [
      { name: 'a client without a name', versions: [3, 4, 5], steps: ['come A', 'is A'] },
      { name: 'a user name that nobody checks', steps: ['come A user=ann pass=a', 'come B user=ann'] },
      { name: 'an empty client identifier', steps: ['come A id=', 'is A'] },
      {
        name: 'an empty client identifier and a session',
        versions: [4],
        steps: ['open A', 'raw A 100c 0004 4d515454 04 00 003c 0000'],
      },
      {
        name: 'an empty client identifier and a session, 5.0',
        versions: [5],
        steps: ['open A', 'says A 100d 0004 4d515454 05 00 003c 00 0000'],
      },
      {
        name: 'a generated client identifier begins with auto-',
        versions: [5],
        steps: ['come A id=', 'told A assignedClientIdentifier'],
      },
      { name: 'a long client identifier', steps: [`come A id=${'x'.repeat(200)}~`] },
      {
        name: 'what CONNACK tells',
        versions: [5],
        steps: [
          'come A',
          'told A receiveMaximum topicAliasMaximum',
          'told A maximumPacketSize',
          'told A maximumQoS retainAvailable serverKeepAlive',
        ],
        meant: {
          why: 'packet-size',
          mosquitto: ['A is told maximumPacketSize=nothing'],
          portico: ['A is told maximumPacketSize=2000000'],
        },
      },
      {
        name: 'Keep Alive 0 and the longest',
        versions: [5],
        steps: ['come A keep=0', 'come B keep=65535', 'told B serverKeepAlive'],
      },
      {
        name: 'a client takes over, without a session',
        steps: ['come A id=~', 'come B id=~', 'gone A', 'is B'],
        meant: { why: 'taken-over', mosquitto: ['[5] A is gone: closed'], portico: ['[5] A is gone: disconnect 142'] },
      },
      {
        name: 'a client takes over a session',
        steps: [
          'come A id=~ clean=0 expiry=60',
          'sub A ~/a 1',
          'come B id=~ clean=0 expiry=60',
          'gone A',
          'pub B ~/a x 1',
          'sees B 1',
        ],
        meant: { why: 'taken-over', mosquitto: ['[5] A is gone: closed'], portico: ['[5] A is gone: disconnect 142'] },
      },
    ],
  },
  {
    title: 'a password for everybody',
    conf: 'listener <main> 127.0.0.1\nallow_anonymous false\npassword_file @/passwords\n',
    users: USERS,
    scenarios: [
      { name: 'the right password', versions: [3, 4, 5], steps: ['come A user=ann pass=a', 'is A'] },
      {
        name: 'a wrong password',
        versions: [3, 4, 5],
        steps: ['come A user=ann pass=x'],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
      {
        name: 'the password of another',
        steps: ['come A user=ann pass=b'],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
      {
        name: 'an empty password',
        steps: ['come A user=ann pass='],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
      {
        name: 'a user name without password',
        steps: ['come A user=ann'],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
      {
        name: 'a user that is not known',
        steps: ['come A user=cat pass=a'],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
      { name: 'nobody', steps: ['come A'] },
      {
        name: 'a refused client leaves no will',
        steps: [
          'come W user=ann pass=a',
          'sub W ~/# 1',
          'come A user=bob pass=x will=~/will:gone:1',
          'pub W ~/end x 1',
          'sees W',
        ],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
      {
        name: 'a refused client does not take over',
        steps: ['come A id=~ user=ann pass=a', 'come B id=~ user=bob pass=x', 'is A'],
        meant: {
          why: 'password',
          mosquitto: ['[3] B comes: 5', '[4] B comes: 5', '[5] B comes: 135'],
          portico: ['[3] B comes: 4', '[4] B comes: 4', '[5] B comes: 134'],
        },
      },
    ],
  },
  {
    title: 'passwords, but anyone may connect',
    conf: 'listener <main> 127.0.0.1\nallow_anonymous true\npassword_file @/passwords\n',
    users: USERS,
    scenarios: [
      { name: 'nobody, beside passwords', steps: ['come A', 'come B user=ann pass=a'] },
      {
        name: 'a wrong password is refused all the same',
        steps: ['come A user=bob pass=x'],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
      {
        name: 'a user that is not known is refused all the same',
        steps: ['come A user=dan pass=x'],
        meant: {
          why: 'password',
          mosquitto: ['[3] A comes: 5', '[4] A comes: 5', '[5] A comes: 135'],
          portico: ['[3] A comes: 4', '[4] A comes: 4', '[5] A comes: 134'],
        },
      },
    ],
  },
  {
    title: 'generated identifiers have a prefix',
    conf: `auto_id_prefix site-\n${OPEN}`,
    scenarios: [{ name: 'auto_id_prefix', versions: [5], steps: ['come A id=', 'told A assignedClientIdentifier'] }],
  },
  {
    title: 'clients need an identifier',
    conf: `allow_zero_length_clientid false\n${OPEN}`,
    scenarios: [
      {
        name: 'allow_zero_length_clientid false',
        steps: ['come A id=', 'come B id=~'],
        meant: { why: 'empty-id', mosquitto: ['[5] A comes: 128'], portico: ['[5] A comes: 133'] },
      },
    ],
  },
  {
    title: 'clients need an identifier at one listener',
    conf:
      'per_listener_settings true\nlistener <main> 127.0.0.1\nallow_anonymous true\nallow_zero_length_clientid false\n' +
      'listener <free> 127.0.0.1\nallow_anonymous true\n',
    scenarios: [
      {
        name: 'allow_zero_length_clientid false at one listener',
        steps: ['come A id=', 'come B id= at=free'],
        meant: { why: 'empty-id', mosquitto: ['[5] A comes: 128'], portico: ['[5] A comes: 133'] },
      },
    ],
  },
  {
    title: 'client identifiers have a prefix',
    conf: `clientid_prefixes run\n${OPEN}`,
    scenarios: [
      {
        name: 'clientid_prefixes',
        steps: ['come A id=~', 'come B id=other', 'come C id=', 'is A'],
      },
    ],
  },
  {
    title: 'the longest Keep Alive is 100 seconds',
    conf: `max_keepalive 100\n${OPEN}`,
    scenarios: [
      { name: 'max_keepalive: less', versions: [5], steps: ['come A keep=99', 'told A serverKeepAlive'] },
      { name: 'max_keepalive: more', versions: [5], steps: ['come A keep=101', 'told A serverKeepAlive'] },
      { name: 'max_keepalive: more, before 5.0', versions: [4], steps: ['come A keep=101'] },
      { name: 'max_keepalive: none', versions: [5], steps: ['come A keep=0', 'told A serverKeepAlive'] },
    ],
  },
  {
    title: 'per_listener_settings',
    conf:
      'per_listener_settings true\nlistener <main> 127.0.0.1\nallow_anonymous true\npassword_file @/passwords\n' +
      'listener <closed> 127.0.0.1\npassword_file @/passwords\n',
    users: USERS,
    scenarios: [
      { name: 'per_listener_settings: nobody at each listener', steps: ['come A', 'come B at=closed'] },
      {
        name: 'per_listener_settings: a user at each listener',
        steps: ['come A user=ann pass=a', 'come B at=closed user=ann pass=a', 'sub A ~/a 0', 'pub B ~/a x 1', 'sees A'],
      },
    ],
  },
  {
    title: 'listeners with terms of their own',
    conf:
      `allow_anonymous true\nlistener <main> 127.0.0.1\nlistener <named> 127.0.0.1\nuse_username_as_clientid true\n` +
      'listener <few> 127.0.0.1\nmax_connections 2\n',
    scenarios: [
      { name: 'use_username_as_clientid: without user name', steps: ['come A at=named'] },
      {
        name: 'use_username_as_clientid: the same user takes over',
        steps: ['come A at=named user=~u id=~1', 'come B at=named user=~u id=~2', 'gone A', 'is B'],
        meant: { why: 'taken-over', mosquitto: ['[5] A is gone: closed'], portico: ['[5] A is gone: disconnect 142'] },
      },
      {
        name: 'use_username_as_clientid: another user with the same identifier does not',
        steps: ['come A at=named user=~u id=~', 'come B at=named user=~v id=~', 'is A', 'is B'],
      },
      {
        name: 'max_connections',
        versions: [4],
        steps: ['come A at=few', 'come B at=few', 'come C at=few', 'come D'],
        meant: { why: 'busy', mosquitto: ['C comes: closed'], portico: ['C comes: 3'] },
      },
    ],
  },
];
