/** What outlives a connection, and how much of it. */
import type { Group } from '../../support/beside/scenario.js';

const OPEN = 'listener <main> 127.0.0.1\nallow_anonymous true\n';
const KEPT = 'id=~ clean=0 expiry=3600';
const many = (topic: string, count: number, qos = 1): string[] =>
  Array.from({ length: count }, (_, i) => `pub W ${topic} ${i + 1} ${qos}`);

export const sessions: readonly Group[] = [
  {
    title: 'sessions',
    conf: OPEN,
    scenarios: [
      {
        name: 'messages wait for a session',
        versions: [3, 4, 5],
        steps: [
          `come A ${KEPT}`,
          'sub A ~/a 2',
          'leave A',
          'come W',
          ...many('~/a', 3),
          'pub W ~/a last 2',
          `come A ${KEPT}`,
          'sees A 4',
        ],
      },
      {
        name: 'QoS 0 does not wait',
        steps: [
          `come A ${KEPT}`,
          'sub A ~/a 2',
          'leave A',
          'come W',
          'pub W ~/a x 0',
          'pub W ~/a y 1',
          `come A ${KEPT}`,
          'sees A 1',
        ],
      },
      {
        name: 'a subscription of QoS 0 has nothing waiting',
        steps: [
          `come A ${KEPT}`,
          'sub A ~/a 0',
          'leave A',
          'come W',
          'pub W ~/a y 1',
          `come A ${KEPT}`,
          'sees A',
          'pub W ~/a z 1',
          'sees A',
        ],
      },
      {
        name: 'a clean start forgets',
        steps: [
          `come A ${KEPT}`,
          'sub A ~/a 1',
          'leave A',
          'come A id=~ clean=1 expiry=3600',
          'pub A ~/a x 1',
          'sees A',
          'leave A',
          `come A ${KEPT}`,
        ],
      },
      { name: 'a session without subscriptions is one', steps: [`come A ${KEPT}`, 'leave A', `come A ${KEPT}`] },
      {
        name: 'a session of length 0 is gone',
        versions: [5],
        steps: ['come A id=~ clean=0', 'sub A ~/a 1', 'leave A', 'come A id=~ clean=0'],
      },
      {
        name: 'DISCONNECT ends a session with Session Expiry Interval 0',
        versions: [5],
        steps: [`come A ${KEPT}`, 'leave A expiry=0', `come A ${KEPT}`],
      },
      {
        name: 'DISCONNECT may not make a session that was none',
        versions: [5],
        steps: ['come W', 'sub W ~/# 0', 'come A id=~ will=~/will:gone:0', 'leave A expiry=10', 'come A id=~ clean=0'],
      },
      {
        name: 'a session that expires, with its will',
        versions: [5],
        steps: [
          'come W',
          'sub W ~/# 0',
          'come A id=~ clean=0 expiry=1 will=~/will:gone:0 delay=30',
          'cut A',
          'sees W 1',
          'come A id=~ clean=0 expiry=60',
        ],
      },
      {
        name: 'what was not acknowledged comes again',
        steps: [
          `come A ${KEPT} hold=1`,
          'sub A ~/a 1',
          'come W',
          'pub W ~/a x 1',
          'sees A 1',
          'cut A',
          `come A ${KEPT}`,
          'sees A 1',
        ],
      },
      {
        name: 'QoS 2 that was not acknowledged comes again',
        steps: [
          `come A ${KEPT} hold=1`,
          'sub A ~/a 2',
          'come W',
          'pub W ~/a x 2',
          'sees A 1',
          'cut A',
          `come A ${KEPT}`,
          'sees A 1',
        ],
      },
      {
        name: 'retained messages for a session that is back: none',
        steps: [
          'come W',
          'pub W ~/a x 1 r',
          `come A ${KEPT}`,
          'sub A ~/a 1',
          'sees A 1',
          'leave A',
          `come A ${KEPT}`,
          'sees A',
        ],
      },
      {
        name: 'a message that has expired while it waited',
        versions: [5],
        steps: [
          `come A ${KEPT}`,
          'sub A ~/a 1',
          'leave A',
          'come W',
          'sub W ~/will 0',
          'come T clean=0 expiry=60 will=~/will:late:0 delay=2',
          'pub W ~/a x 1 expiry=1',
          'pub W ~/a y 1',
          'cut T',
          'sees W 1',
          `come A ${KEPT}`,
          'sees A 1',
        ],
      },
    ],
  },
  {
    title: 'queues are short',
    conf: `${OPEN}max_inflight_messages 2\nmax_queued_messages 3\n`,
    scenarios: [
      { name: 'max_inflight_messages is told', versions: [5], steps: ['come A', 'told A receiveMaximum'] },
      {
        name: 'max_inflight_messages: so many without acknowledgement',
        steps: ['come A hold=1', 'sub A ~/a 1', 'come W', ...many('~/a', 4), 'sees A'],
      },
      {
        name: 'max_queued_messages: the newest are dropped for a client that is away',
        steps: [`come A ${KEPT}`, 'sub A ~/a 1', 'leave A', 'come W', ...many('~/a', 8), `come A ${KEPT}`, 'sees A 3'],
      },
      {
        name: 'max_queued_messages: the newest are dropped for one that takes its time',
        steps: ['come A hold=1', 'sub A ~/a 1', 'come W', ...many('~/a', 8), 'sees A'],
      },
    ],
  },
  {
    title: 'QoS 0 waits',
    conf: `${OPEN}queue_qos0_messages true\nmax_queued_messages 4\n`,
    scenarios: [
      {
        name: 'queue_qos0_messages: QoS 0 waits too, in order',
        versions: [3, 4, 5],
        steps: [
          ...[`come A ${KEPT}`, 'sub A ~/a 1', 'leave A', 'come W'],
          ...['pub W ~/a 1 0', 'pub W ~/a 2 1', 'pub W ~/a 3 0'],
          ...[`come A ${KEPT}`, 'sees A 3', 'pub W ~/a 4 0', 'sees A 1'],
        ],
      },
      {
        name: 'queue_qos0_messages: a subscription of QoS 0',
        steps: [
          ...[`come A ${KEPT}`, 'sub A ~/a 0', 'leave A', 'come W', 'pub W ~/a 1 1'],
          ...[`come A ${KEPT}`, 'sees A 1', 'leave A', `come A ${KEPT}`, 'sees A'],
        ],
      },
      {
        name: 'queue_qos0_messages: by max_queued_messages',
        steps: [
          ...[`come A ${KEPT}`, 'sub A ~/a 1', 'leave A', 'come W', ...many('~/a', 6, 0)],
          ...[`come A ${KEPT}`, 'sees A 4'],
        ],
        meant: {
          why: 'waiting-qos0',
          mosquitto: ['A sees: ~/a=1/0 ~/a=2/0 ~/a=3/0 ~/a=4/0 ~/a=5/0 ~/a=6/0'],
          portico: ['A sees: ~/a=1/0 ~/a=2/0 ~/a=3/0 ~/a=4/0'],
        },
      },
    ],
  },
  {
    title: 'persistence',
    conf: `${OPEN}persistence true\npersistence_location @/\n`,
    scenarios: [
      {
        name: 'a restart keeps sessions, messages that wait and retained ones',
        after: {},
        steps: [
          `come A ${KEPT}`,
          'sub A ~/# 1',
          'leave A',
          'come W',
          'pub W ~/a x 1',
          'pub W ~/b y 1 r',
          'leave W',
          'restart',
          `come A ${KEPT}`,
          'sees A 2',
          'come L',
          'sub L ~/# 1',
          'sees L 1',
        ],
      },
    ],
  },
  {
    title: 'no persistence',
    conf: OPEN,
    scenarios: [
      {
        name: 'a restart forgets all without persistence',
        after: {},
        steps: [
          `come A ${KEPT}`,
          'sub A ~/# 1',
          'pub A ~/b y 1 r',
          'leave A',
          'restart',
          `come A ${KEPT}`,
          'come L',
          'sub L ~/# 1',
          'sees L',
        ],
      },
    ],
  },
];
