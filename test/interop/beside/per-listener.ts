/** `per_listener_settings true`: listeners with other users and rules than their neighbours, and with none. */
import type { Files, Group, Scenario } from '../../support/beside/scenario.js';

/** Ann and bob come here with their passwords, and may do what `@/acl` says. */
const INSIDE = 'listener <main> 127.0.0.1\npassword_file @/passwords\nacl_file @/acl\nallow_anonymous false\n';
/** Others come here, also ann with another password, and may do what `@/there` says. */
const OUTSIDE = 'listener <other> 127.0.0.1\npassword_file @/others\nacl_file @/there\nallow_anonymous false\n';
/** Anyone comes here, and may do everything. */
const OPEN = 'listener <open> 127.0.0.1\nallow_anonymous true\n';
/** Nobody has a password here, so nobody can come. */
const SHUT = 'listener <shut> 127.0.0.1\n';

const FILES: Files = {
  conf: `per_listener_settings true\n${INSIDE}${OUTSIDE}${OPEN}${SHUT}`,
  users: { ann: 'a', bob: 'b' },
  further: { others: { ann: 'other', cat: 'c' } },
  acl: 'user ann\ntopic readwrite in/#\ntopic read $SYS/#\nuser bob\ntopic read in/#\npattern write own/%u\n',
  lists: { there: 'topic read news/#\nuser cat\ntopic readwrite out/#\ntopic read in/#\ntopic write in/cat\n' },
};
const ANN = 'come A user=ann pass=a';
const BOB = 'come B user=bob pass=b';
const CAT = 'come C at=other user=cat pass=c';
const ANYONE = 'come O at=open';

const PASSWORD: Scenario['meant'] = {
  why: 'password',
  mosquitto: ['[4] B comes: 5', '[4] C comes: 5', '[5] B comes: 135', '[5] C comes: 135'],
  portico: ['[4] B comes: 4', '[4] C comes: 4', '[5] B comes: 134', '[5] C comes: 134'],
};

/** A scenario with a broker of its own. */
function alone(name: string, steps: string[], more: Partial<Scenario> = {}, files: Partial<Files> = {}): Group {
  return {
    ...FILES,
    ...files,
    title: name,
    scenarios: [{ name: `each listener has its own: ${name}`, steps, ...more }],
  };
}

export const perListener: readonly Group[] = [
  {
    ...FILES,
    title: 'per_listener_settings with other files for each listener',
    scenarios: [
      { name: 'a user comes in where its file is', steps: [ANN, CAT, ANYONE] },
      {
        name: 'the user of one listener has no password at another',
        steps: ['come B at=other user=bob pass=b', 'come C user=cat pass=c'],
        meant: PASSWORD,
      },
      {
        name: 'two users of one name are told apart by their listeners',
        steps: [
          'come A user=ann pass=a',
          'come D at=other user=ann pass=other id=~second',
          'come B user=ann pass=other id=~third',
          'come C at=other user=ann pass=a id=~fourth',
        ],
        meant: PASSWORD,
      },
      {
        name: 'nobody without a name comes in, but where it may',
        steps: ['come A', 'come B at=other', 'come C at=shut', 'come D at=shut user=ann pass=a', ANYONE],
        meant: {
          why: 'password',
          mosquitto: ['[4] D comes: 5', '[5] D comes: 135'],
          portico: ['[4] D comes: 4', '[5] D comes: 134'],
        },
      },
      {
        name: 'who comes with a name where nobody has a password is let in as anyone',
        steps: ['come A at=open user=ann pass=whatever', 'come B at=open user=nobody'],
      },
      {
        name: 'a publication is checked by the list of its listener',
        steps: [
          'come W at=open',
          'sub W # 0',
          ANN,
          CAT,
          ...['in/~a', 'out/~a', 'news/~a', 'own/ann'].map((topic) => `pub A ${topic} 1 1`),
          ...['in/~c', 'in/cat', 'out/~c', 'own/cat'].map((topic) => `pub C ${topic} 1 1`),
          'pub W anything/~ 1 1',
          'sees W',
        ],
      },
      {
        name: 'a delivery is checked by the list of the listener that it goes by',
        steps: [
          ANN,
          BOB,
          CAT,
          ...['A', 'B', 'C'].map((one) => `sub ${one} # 0`),
          ANYONE,
          ...['in/~', 'out/~', 'news/~', 'own/ann', 'free/~'].map((topic) => `pub O ${topic} 1 0`),
          ...['A', 'B', 'C'].map((one) => `sees ${one}`),
        ],
      },
      {
        name: 'a kept session that comes back by another listener gets what waits',
        steps: [
          'come K id=~k user=ann pass=a clean=0 expiry=600',
          'sub K in/~/# 1',
          'leave K',
          ANYONE,
          'pub O in/~/1 x 1',
          'come K at=other id=~k user=cat pass=c clean=0 expiry=600',
          'sees K 1',
        ],
      },
      {
        name: 'a kept session that comes back by a listener with fewer rights gets what it may',
        steps: [
          'come K at=open id=~k clean=0 expiry=600',
          'sub K in/~/# 1',
          'sub K out/~/# 1',
          'leave K',
          'come O at=open',
          'pub O out/~/1 x 1',
          'pub O in/~/1 x 1',
          'come K id=~k user=ann pass=a clean=0 expiry=600',
          'sees K 1',
        ],
      },
      {
        name: 'a will is checked by the list of the listener that its client came by',
        steps: [
          'come W at=open',
          'sub W # 0',
          'come A user=ann pass=a will=in/~will:w:0',
          'come C at=other user=cat pass=c will=out/~will:w:0',
          'come D user=bob pass=b will=in/~denied:w:0',
          'come E at=other user=ann pass=other will=in/~denied:w:0',
          'come F at=open will=any/~will:w:0',
          ...['cut D', 'cut E', 'cut A', 'sees W 1', 'cut C', 'sees W 1', 'cut F', 'sees W 1'],
        ],
      },
      {
        name: 'a will with a delay is checked by that list too',
        versions: [5],
        steps: [
          'come W at=open',
          'sub W # 0',
          'come A user=ann pass=a will=in/~will:w:0 delay=1 expiry=600',
          'come D user=bob pass=b will=in/~denied:w:0 delay=1 expiry=600',
          ...['D', 'A'].map((one) => `cut ${one}`),
          'sees W 1',
        ],
      },
      {
        name: 'a session is one, whatever the listener, and is taken over',
        steps: ['come A id=~k user=ann pass=a', 'come B at=open id=~k', 'gone A', 'is B'],
        meant: { why: 'taken-over', mosquitto: ['[5] A is gone: closed'], portico: ['[5] A is gone: disconnect 142'] },
      },
    ],
  },
  alone(
    'a retained message stands on the list of the listener that its publisher came by',
    [
      ANN,
      CAT,
      'pub A in/ann x 1 r',
      'pub C out/cat x 1 r',
      'pub C in/cat x 1 r',
      'come O at=open',
      'sub O # 0',
      'sees O 3',
      'reload',
      'come P at=open',
      'sub P # 0',
      'pub P mark x 0',
      'sees P 2',
    ],
    { after: { lists: { there: 'user cat\ntopic write in/cat\n' }, acl: 'user bob\ntopic #\n' } },
    { conf: `${FILES.conf.replace('\n', '\ncheck_retain_source true\n')}` },
  ),
  alone(
    'the same after a restart',
    [
      ANN,
      CAT,
      'pub A in/ann x 1 r',
      'pub C out/cat x 1 r',
      'pub C in/cat x 1 r',
      'reload',
      'restart',
      'come P at=open',
      'sub P # 0',
      'pub P mark x 0',
      'sees P 2',
    ],
    { after: { lists: { there: 'user cat\ntopic write in/cat\n' }, acl: 'user bob\ntopic #\n' } },
    { conf: `${FILES.conf.replace('\n', '\ncheck_retain_source true\npersistence true\npersistence_location @/\n')}` },
  ),
  alone(
    'lists that change with a reload, each for its own',
    [
      ANN,
      CAT,
      'sub A # 0',
      'sub C # 0',
      ANYONE,
      'pub O in/1 1 0',
      'pub O out/1 1 0',
      'sees A',
      'sees C',
      'reload',
      'pub O in/1 2 0',
      'pub O out/1 2 0',
      'sees A',
      'sees C',
      'pub A in/1 3 1',
      'pub C out/1 3 1',
    ],
    { after: { lists: { there: 'user cat\ntopic read in/#\n' } } },
  ),
  alone(
    'a user that is gone from one file, and stays in the other',
    [ANN, 'come D at=other user=ann pass=other', CAT, 'reload', 'gone D', 'is A', 'is C'],
    {
      after: { further: { others: { cat: 'c' } } },
      meant: { why: 'sent-away', mosquitto: ['[5] D is gone: closed'], portico: ['[5] D is gone: disconnect 135'] },
    },
  ),
  alone(
    'a listener may not be used without a name any more',
    [ANYONE, ANN, 'reload', 'gone O', 'is A', 'come P at=open'],
    {
      after: { conf: FILES.conf.replace('allow_anonymous true', 'allow_anonymous false') },
      meant: { why: 'sent-away', mosquitto: ['[5] O is gone: closed'], portico: ['[5] O is gone: disconnect 135'] },
    },
  ),
];
