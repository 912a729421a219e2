/** Messages from client to client: QoS, retained ones, properties, limits of packets, wills. */
import type { Group } from '../../support/beside/scenario.js';

const OPEN = 'listener <main> 127.0.0.1\nallow_anonymous true\n';

export const publishing: readonly Group[] = [
  {
    title: 'messages',
    conf: OPEN,
    scenarios: [
      {
        name: 'each QoS to each QoS',
        versions: [3, 4, 5],
        steps: [
          ...['come A', 'come B', 'sub A ~/0/# 0', 'sub A ~/1/# 1', 'sub A ~/2/# 2'],
          ...[0, 1, 2].flatMap((to) => [0, 1, 2].map((qos) => `pub B ~/${to}/a x${qos} ${qos}`)),
          'sees A 9',
        ],
      },
      {
        name: 'nobody subscribes',
        steps: ['come A', 'pub A ~/a x 1', 'pub A ~/a x 2'],
        meant: { why: 'nobody', mosquitto: ['[5] A publishes ~/a: 0'], portico: ['[5] A publishes ~/a: 16'] },
      },
      {
        name: 'overlapping subscriptions',
        steps: ['come A', 'sub A ~/+ 0', 'sub A ~/a 1', 'sub A ~/# 2', 'pub A ~/a x 2', 'pub A ~/end x 0', 'sees A'],
        meant: {
          why: 'overlap',
          mosquitto: ['[4] A sees: ~/a=x/1 ~/end=x/0', '[5] A sees: ~/a=x/1 ~/a=x/0 ~/a=x/2 ~/end=x/0 ~/end=x/0'],
          portico: ['A sees: ~/a=x/2 ~/end=x/0'],
        },
      },
      {
        name: 'wildcards',
        steps: [
          'come A',
          'sub A ~/+/b 0',
          'sub A ~/c/# 0',
          ...['a', 'a/b', 'a/b/c', 'c', 'c/d/e', '/b'].map((topic) => `pub A ~/${topic} x 1`),
          'sees A',
        ],
      },
      {
        name: '# does not match topics that begin with $',
        steps: ['come A', 'sub A # 0', 'sub A +/~ 0', 'pub A $other/~ x 1', 'pub A ~/a x 1', 'sees A'],
      },
      {
        name: 'a client writes below $SYS',
        steps: ['come A', 'sub A $SYS/~ 0', 'pub A $SYS/~ x 1', 'pub A ~/end x 1', 'sees A'],
      },
      { name: 'an empty payload', steps: ['come A', 'sub A ~/a 1', 'pub A ~/a - 1', 'sees A 1'] },
      { name: '64 kB', steps: ['come A', 'sub A ~/a 1', 'pub A ~/a *65536 1', 'sees A 1'] },
      {
        name: 'unsubscribed',
        steps: ['come A', 'sub A ~/a 1', 'unsub A ~/a', 'pub A ~/a x 1', 'sees A', 'unsub A ~/a'],
      },
      {
        name: 'a subscription is replaced',
        steps: ['come A', 'sub A ~/a 2', 'sub A ~/a 0', 'pub A ~/a x 2', 'sees A 1'],
      },
      {
        name: 'a retained message for a later subscriber',
        steps: ['come A', 'pub A ~/a x 1 r', 'come B', 'sub B ~/+ 1', 'sees B 1', 'pub A ~/a y 1 r', 'sees B 1'],
      },
      {
        name: 'a retained message is replaced',
        steps: ['come A', 'pub A ~/a x 1 r', 'pub A ~/a y 0 r', 'sub A ~/a 1', 'sees A 1'],
      },
      {
        name: 'a retained message is cleared',
        steps: ['come A', 'pub A ~/a x 1 r', 'pub A ~/a - 1 r', 'sub A ~/a 1', 'sees A'],
      },
      {
        name: 'clearing what is not there, beside a subscriber',
        steps: ['come A', 'sub A ~/a 1', 'pub A ~/a - 1 r', 'sees A 1'],
      },
      {
        name: 'retained messages come again with a new subscription',
        steps: ['come A', 'pub A ~/a x 1 r', 'sub A ~/a 1', 'sees A 1', 'sub A ~/a 1', 'sees A 1'],
      },
      {
        name: 'Retain Handling',
        versions: [5],
        steps: [
          'come A',
          'pub A ~/a x 1 r',
          'sub A ~/a 1 rh=2',
          'sub A ~/a 1 rh=1',
          'sees A',
          'sub A ~/+ 1 rh=1',
          'sees A 1',
          'sub A ~/+ 1 rh=0',
          'sees A 1',
        ],
      },
      {
        name: 'Retain As Published',
        versions: [5],
        steps: ['come A', 'come B', 'sub A ~/a 1 rap', 'sub B ~/a 1', 'pub A ~/a x 1 r', 'sees A 1', 'sees B 1'],
      },
      {
        name: 'No Local',
        versions: [5],
        steps: ['come A', 'come B', 'sub A ~/a 1 nl', 'pub A ~/a x 1', 'pub B ~/a y 1', 'sees A 1'],
      },
      {
        name: 'Subscription Identifier',
        versions: [5],
        steps: ['come A', 'sub A ~/a 1 id=7', 'pub A ~/a x 1', 'sees A 1'],
      },
      {
        name: 'properties of a message',
        versions: [5],
        steps: [
          'come A',
          'sub A ~/a 1',
          'pub A ~/a x 1 type=text/plain answer=~/b correlation=c1 format=1 user=k:v',
          'sees A 1',
        ],
      },
      {
        name: 'properties of a message for a client of 3.1.1',
        versions: [4],
        steps: ['come A', 'sub A ~/a 1', 'pub A ~/a x 1', 'sees A 1'],
      },
      {
        name: 'a Topic Alias',
        versions: [5],
        steps: [
          'come A',
          'sub A ~/a 0',
          'pub A ~/a x 1 alias=1',
          'pub A - y 1 alias=1',
          'pub A ~/b z 1 alias=1',
          'pub A - z 1 alias=1',
          'sees A 2',
        ],
      },
      { name: 'a Topic Alias beyond the maximum', versions: [5], steps: ['come A', 'pub A ~/a x 1 alias=11'] },
      { name: 'a Topic Alias that means nothing', versions: [5], steps: ['come A', 'pub A - x 1 alias=3'] },
      {
        name: 'Receive Maximum of a client',
        versions: [5],
        steps: [
          'come A rm=2 hold=1',
          'come B',
          'sub A ~/# 1',
          ...['a', 'b', 'c'].map((topic) => `pub B ~/${topic} x 1`),
          'sees A',
        ],
      },
      {
        name: 'Maximum Packet Size of a client',
        versions: [5],
        steps: ['come A mps=60', 'come B', 'sub A ~/# 1', 'pub B ~/a *100 1', 'pub B ~/b x 1', 'sees A 1'],
      },
      {
        name: 'the same packet identifier again, with QoS 2',
        versions: [4],
        steps: [
          'come A',
          'come B',
          'sub B q/2 2',
          'says A 3408 0003 712f 3200 09 78',
          'says A 3c08 0003 712f 3200 09 78',
          'says A 6202 0009',
          'sees B 1',
        ],
      },
      {
        name: 'PUBREL of nothing',
        steps: ['come A', 'says A 6202 0063'],
        meant: {
          why: 'unknown-id',
          mosquitto: ['[5] A sends 62020063: pubcomp 0'],
          portico: ['[5] A sends 62020063: pubcomp 146'],
        },
      },
      {
        name: 'a shared subscription: one of the two',
        versions: [5],
        steps: [
          'come A',
          'come B',
          'come C',
          'sub A $share/g/~/a 1',
          'sub B $share/g/~/a 1',
          ...[1, 2, 3, 4].map((n) => `pub C ~/a ${n} 1`),
          'sees A 2',
          'sees B 2',
        ],
      },
      {
        name: 'a shared subscription gets no retained message',
        versions: [5],
        steps: ['come A', 'pub A ~/a x 1 r', 'sub A $share/g/~/a 1', 'sees A'],
        meant: { why: 'shared-retained', mosquitto: ['A sees: ~/a=x/1r'], portico: ['A sees:'] },
      },
    ],
  },
  {
    title: 'wills',
    conf: OPEN,
    scenarios: [
      {
        name: 'a will when the connection is cut',
        steps: ['come W', 'sub W ~/# 2', 'come A will=~/will:gone:1', 'cut A', 'sees W 1'],
      },
      {
        name: 'no will after DISCONNECT',
        steps: ['come W', 'sub W ~/# 2', 'come A will=~/will:gone:1', 'leave A', 'pub W ~/end x 1', 'sees W 1'],
      },
      {
        name: 'a will after DISCONNECT 0x04',
        versions: [5],
        steps: ['come W', 'sub W ~/# 2', 'come A will=~/will:gone:1', 'leave A 4', 'sees W 1'],
      },
      {
        name: 'a retained will',
        steps: [
          'come W',
          'sub W ~/# 2',
          'come A will=~/will:gone:2:r',
          'cut A',
          'sees W 1',
          'come L',
          'sub L ~/# 1',
          'sees L 1',
        ],
      },
      {
        name: 'a will after a protocol error',
        steps: ['come W', 'sub W ~/# 2', 'come A will=~/will:gone:0', 'raw A 00 00', 'sees W 1'],
      },
      {
        name: 'a will when another client takes over',
        steps: ['come W', 'sub W ~/# 2', 'come A id=~ will=~/will:gone:1', 'come B id=~', 'sees W 1'],
      },
      {
        name: 'a delayed will',
        versions: [5],
        steps: ['come W', 'sub W ~/# 2', 'come A clean=0 expiry=60 will=~/will:gone:1 delay=1', 'cut A', 'sees W 1'],
      },
      {
        name: 'a delayed will is not sent when the client comes back',
        versions: [5],
        steps: [
          'come W',
          'sub W ~/# 2',
          'come A id=~ clean=0 expiry=60 will=~/will:gone:1 delay=60',
          'come B id=~ clean=0 expiry=60',
          'pub W ~/end x 1',
          'sees W 1',
        ],
      },
      {
        name: 'a delayed will comes at once with the end of the session',
        versions: [5],
        steps: ['come W', 'sub W ~/# 2', 'come A clean=0 expiry=1 will=~/will:gone:1 delay=60', 'cut A', 'sees W 1'],
      },
    ],
  },
  {
    title: 'payloads have a limit',
    conf: `message_size_limit 100\n${OPEN}`,
    scenarios: [
      {
        name: 'message_size_limit',
        steps: ['come A', 'sub A ~/# 1', 'pub A ~/0 *101 0', 'pub A ~/a *100 1', 'sees A 1'],
      },
      {
        // What Mosquitto tells a client of MQTT 5.0 is no code of an acknowledgement, and mqtt-packet does not read it.
        name: 'message_size_limit: acknowledged before 5.0',
        versions: [3, 4],
        steps: ['come A', 'sub A ~/# 1', 'pub A ~/1 *101 1', 'pub A ~/2 *101 2', 'pub A ~/a *100 1', 'sees A 1'],
      },
      {
        name: 'message_size_limit: a will',
        steps: [`come A will=~/w:${'x'.repeat(101)}:0`, `come B will=~/w:${'x'.repeat(100)}:0`],
        meant: { why: 'payload', mosquitto: ['[4] A comes: 5'], portico: ['[4] A comes: 3'] },
      },
    ],
  },
  {
    title: 'limits of messages',
    conf:
      'allow_anonymous true\nmax_packet_size 1000\nretain_available false\nlistener <main> 127.0.0.1\nmax_qos 1\n' +
      'max_topic_alias 0\n',
    scenarios: [
      {
        name: 'limits that CONNACK tells',
        versions: [5],
        steps: ['come A', 'told A maximumPacketSize maximumQoS retainAvailable topicAliasMaximum'],
      },
      {
        name: 'max_packet_size: a packet that is just small enough',
        versions: [4],
        steps: ['come A', 'sub A p/s 1', 'pub A p/s *990 1', 'sees A 1'],
      },
      { name: 'max_packet_size: a packet that is too large', steps: ['come A', 'pub A ~ *2000 1'] },
      { name: 'max_qos: a higher QoS in SUBSCRIBE', steps: ['come A', 'sub A ~ 2'] },
      { name: 'max_qos: a higher QoS in PUBLISH', steps: ['come A', 'pub A ~ x 2'] },
      { name: 'max_qos: a lower QoS', steps: ['come A', 'sub A ~ 1', 'pub A ~ x 1', 'sees A 1'] },
      {
        name: 'max_qos: a will with more',
        steps: ['come A will=~:x:2'],
        meant: { why: 'refused-will', mosquitto: ['[4] A comes: closed'], portico: ['[4] A comes: 3'] },
      },
      { name: 'retain_available false: a retained message', steps: ['come A', 'pub A ~ x 1 r'] },
      {
        name: 'retain_available false: a retained will',
        steps: ['come A will=~:x:1:r'],
        meant: { why: 'refused-will', mosquitto: ['[4] A comes: closed'], portico: ['[4] A comes: 3'] },
      },
      { name: 'max_topic_alias 0', versions: [5], steps: ['come A', 'pub A ~ x 1 alias=1'] },
    ],
  },
];
