/** Listeners: WebSocket, a Unix socket, mount points, versions. */
import type { Group } from '../../support/beside/scenario.js';

export const listening: readonly Group[] = [
  {
    title: 'doors to one bus',
    conf: 'allow_anonymous true\nlistener <main> 127.0.0.1\nlistener <ws> 127.0.0.1\nprotocol websockets\nlistener 0 @/socket\n',
    scenarios: [
      {
        name: 'a WebSocket',
        steps: [
          'come A at=ws',
          'come B',
          'sub A ~/a 1',
          'pub B ~/a x 1',
          'sees A 1',
          'sub B ~/b 1',
          'pub A ~/b y 2',
          'sees B 1',
        ],
      },
      {
        name: 'a large message over WebSocket',
        steps: ['come A at=ws', 'sub A ~/a 1', 'pub A ~/a *100000 1', 'sees A 1'],
      },
      { name: 'a Unix socket', steps: ['come A at=unix', 'come B', 'sub A ~/a 1', 'pub B ~/a x 1', 'sees A 1'] },
      {
        name: 'a client takes over through another door',
        steps: ['come A at=ws id=~', 'come B id=~', 'gone A', 'is B'],
        meant: { why: 'taken-over', mosquitto: ['[5] A is gone: closed'], portico: ['[5] A is gone: disconnect 142'] },
      },
    ],
  },
];

/** A branch with `mount_point site/7/`. Its messages are seen as its clients call them. */
const MOUNT = 'allow_anonymous true\nlistener <main> 127.0.0.1\nlistener <in> 127.0.0.1\nmount_point site/7/\n';
const mounted = (name: string, steps: readonly string[], mosquitto: readonly string[], portico: readonly string[]) => ({
  name: `mount_point: ${name}`,
  steps,
  ...(mosquitto.length > 0 && { meant: { why: 'mount', mosquitto, portico } }),
});

export const mounting: Group = {
  title: 'a mount point',
  conf: MOUNT,
  scenarios: [
    mounted(
      'a message to the others',
      ['come O', 'come I at=in', 'sub O site/7/~/# 1', 'pub I ~/a x 1', 'sees O 1'],
      [],
      [],
    ),
    mounted(
      'a message from the others',
      [
        'come O',
        'come I at=in',
        'sub I ~/# 1',
        'pub O ~/a not 1',
        'pub O site/8/~/a not 1',
        'pub O site/7/~/a x 1',
        'sees I 1',
      ],
      ['I sees: site/7/~/a=x/1'],
      ['I sees: ~/a=x/1'],
    ),
    {
      name: 'mount_point: UNSUBSCRIBE',
      versions: [5],
      steps: ['come B at=in', 'sub B +/~ 1', 'unsub B +/~'],
      meant: {
        why: 'mount-unsubscribe',
        mosquitto: ['B unsubscribes +/~: 17'],
        portico: ['B unsubscribes +/~: 0'],
      },
    },
    mounted(
      'clients of the branch among each other',
      ['come A at=in', 'come B at=in', 'sub B +/~ 1', 'pub A x/~ 1 1', 'sees B 1'],
      ['B sees: site/7/x/~=1/1'],
      ['B sees: x/~=1/1'],
    ),
    mounted(
      'retained messages',
      [
        'come I at=in',
        'come O',
        'pub I ~/i i 1 r',
        'sub O site/7/~/# 1',
        'sees O 1',
        'pub O site/7/~/i - 1 r',
        'sub I ~/i 1',
        'sees I',
      ],
      [],
      [],
    ),
    mounted(
      'a will',
      ['come O', 'sub O site/7/~/will 1', 'come I at=in will=~/will:gone:1', 'cut I', 'sees O 1'],
      [],
      [],
    ),
    mounted(
      'what waits in a session',
      [
        'come K at=in id=~ clean=0 expiry=60',
        'sub K ~/wait 1',
        'leave K',
        'come O',
        'pub O site/7/~/wait x 1',
        'come K at=in id=~ clean=0 expiry=60',
        'sees K 1',
      ],
      ['K sees: site/7/~/wait=x/1'],
      ['K sees: ~/wait=x/1'],
    ),
  ],
};
