/** Configurations as installations have them, with what their clients do. */
import type { Group } from '../../support/beside/scenario.js';

const USERS = { ann: 'a', bob: 'b' };
const ANN = 'come A user=ann pass=a';

export const installations: readonly Group[] = [
  {
    title: "Debian's own file, with passwords and listeners in conf.d",
    conf: 'persistence true\npersistence_location @/\nlog_dest stderr\ninclude_dir @/conf.d\n',
    included: {
      '10-auth.conf': 'allow_anonymous false\npassword_file @/passwords\n',
      '20-listeners.conf': 'listener <main> 127.0.0.1\n\nlistener <ws> 127.0.0.1\nprotocol websockets\n',
      README: 'nonsense',
    },
    users: USERS,
    scenarios: [
      {
        name: 'installation: Debian, conf.d and passwords',
        after: {},
        steps: [
          ...['come N', ANN, 'come B at=ws user=bob pass=b clean=0 expiry=60 id=~B', 'sub B ~/# 1', 'pub A ~/a x 1 r'],
          ...[
            'sees B 1',
            'leave B',
            'pub A ~/b y 1',
            'restart',
            'come B at=ws user=bob pass=b clean=0 expiry=60 id=~B',
            'sees B 1',
          ],
        ],
      },
    ],
  },
  {
    title: 'home automation: users with rights, short queues',
    conf:
      'per_listener_settings false\nallow_anonymous false\npassword_file @/passwords\nacl_file @/acl\n' +
      'listener <main> 127.0.0.1\nprotocol mqtt\nmax_queued_messages 3\nmax_inflight_messages 2\nsys_interval 30\n',
    users: USERS,
    acl: 'user ann\ntopic readwrite #\nuser bob\ntopic read home/#\ntopic write home/bob/#\n',
    scenarios: [
      {
        name: 'installation: home automation',
        steps: [
          ...[ANN, 'come B user=bob pass=b id=~B clean=0 expiry=60', 'sub A # 1', 'sub B home/# 1', 'pub B home/a x 1'],
          ...['pub B home/bob/~ y 1', 'sees A 1', 'sees B 1', 'leave B'],
          ...[1, 2, 3, 4, 5, 6, 7].map((n) => `pub A home/~ ${n} 1`),
          ...['come B user=bob pass=b id=~B clean=0 expiry=60', 'sees B 3'],
        ],
      },
    ],
  },
  {
    title: 'a file of Mosquitto 1.6: bind_address and port, names and strangers side by side',
    conf:
      'retry_interval 20\nallow_duplicate_messages false\nmessage_size_limit 0\npersistent_client_expiration 2m\n' +
      'bind_address 127.0.0.1\nport <main>\nmax_connections -1\nautosave_interval 1800\npersistence true\n' +
      'persistence_file mosquitto.db\npersistence_location @/\nlog_dest stderr\nlog_type information\n' +
      'allow_anonymous true\npassword_file @/passwords\nacl_file @/acl\n',
    users: USERS,
    acl: 'topic read $SYS/#\ntopic public/#\n\nuser ann\ntopic foo/bar\n\npattern write clients/%c/state\n',
    scenarios: [
      {
        name: 'installation: a file of 1.6',
        after: {},
        steps: [
          ...['come N', ANN, 'come K clean=0 expiry=60 id=~K', 'sub K public/# 1', 'sub N # 1', 'sub A foo/bar 1'],
          ...['pub N public/~ x 1', 'pub N private/~ x 1', 'pub A foo/bar y 1', 'pub A public/~ z 1', 'sees A 1'],
          ...['sees N 1', 'sees K 1', 'leave K', 'pub N public/~ waits 1', 'restart'],
          ...['come K clean=0 expiry=60 id=~K', 'sees K 1'],
        ],
      },
    ],
  },
  {
    title: 'a container, with CR LF',
    conf: 'listener <main> 127.0.0.1\r\nallow_anonymous true\r\nlog_dest stderr\r\nmax_keepalive 60\r\n',
    scenarios: [
      {
        name: 'installation: a container',
        versions: [5],
        steps: [
          'come A keep=0',
          'told A serverKeepAlive receiveMaximum topicAliasMaximum',
          'sub A ~/# 2',
          'pub A ~/a x 2',
          'sees A 1',
        ],
      },
    ],
  },
];
