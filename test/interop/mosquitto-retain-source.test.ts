/**
 * `check_retain_source` of Debian's mosquitto beside ours: the same mosquitto.conf and ACL file, the same clients; retained messages
 * are published, the list changes and both get SIGHUP, or start again. What clients see is compared line by line.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Files, Peer } from './peers.js';
import { connectPacket, openRaw, type RawClient } from './raw.js';

/**
 * `reload ACL` and `restart ACL` with another list, or the same; `reload-conf CONF`; `retain USER TOPIC PAYLOAD` publishes as that user
 * with the client identifier `c-USER`, `-` for none; `clear USER TOPIC`; `will USER TOPIC` connects with a retained will and goes without
 * DISCONNECT; `read FILTER` is what `w` gets, who may read everything.
 */
type Step = readonly [verb: string, first?: string, second?: string, third?: string];

interface Scenario {
  readonly name: string;
  readonly acl: string;
  /** What mosquitto.conf says; null for nothing. */
  readonly check?: boolean | null;
  readonly steps: readonly Step[];
  /** Why the two differ, and what is read from each. */
  readonly meant?: { readonly why: string; readonly mosquitto: readonly string[]; readonly portico: readonly string[] };
}

const MANUAL = 'the default is true as in the manual, which Mosquitto 2.0.11 does not do (docs/acl.md)';

const LIST = 'acl_file @/acl\n';
const CHECK = 'check_retain_source true\n';
const WITNESS = 'user w\ntopic read #\n';
const BOTH = 'user ann\ntopic readwrite a/#\nuser bob\ntopic readwrite #\n';
const BOB = 'user bob\ntopic readwrite #\n';

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'the right stays',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['read', '#'],
      ['reload', BOTH],
      ['read', '#'],
    ],
  },
  {
    name: 'the right is gone after a reload, for one topic, a filter and #',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['retain', 'bob', 'a/y'],
      ['reload', BOB],
      ...['a/x', 'a/y', 'a/+', '#'].map((filter) => ['read', filter] as const),
    ],
  },
  {
    name: 'the right comes back, and with it the message',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['reload', BOB],
      ['read', '#'],
      ['reload', BOTH],
      ['read', '#'],
    ],
  },
  {
    name: 'the right is gone after a restart',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['retain', 'bob', 'a/y'],
      ['restart', BOB],
      ['read', '#'],
    ],
  },
  {
    name: 'the right is there after a restart, and gone after a reload then',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['restart', BOTH],
      ['read', '#'],
      ['reload', BOB],
      ['read', '#'],
    ],
  },
  {
    name: 'a right to read is none to write',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['reload', 'user ann\ntopic read a/#\n'],
      ['read', '#'],
    ],
  },
  {
    name: 'a right to write a part',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['retain', 'ann', 'a/y'],
      ['reload', 'user ann\ntopic write a/#\ntopic deny a/x\n'],
      ['read', 'a/#'],
    ],
  },
  {
    name: 'another one who may write publishes in its place',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x', '1'],
      ['reload', BOB],
      ['retain', 'bob', 'a/x', '2'],
      ['read', '#'],
    ],
  },
  {
    name: 'one who may not clears nothing, one who may does',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['reload', BOB],
      ['clear', 'ann', 'a/x'],
      ['reload', BOTH],
      ['read', '#'],
      ['clear', 'bob', 'a/x'],
      ['read', '#'],
    ],
  },
  {
    name: 'a pattern with the client identifier',
    acl: 'pattern write own/%c/#\n',
    steps: [
      ['retain', 'ann', 'own/c-ann/x'],
      ['retain', 'bob', 'own/c-bob/x'],
      ['read', '#'],
      ['reload', 'pattern write own/c-ann/%u\npattern write own/%c/x/y\n'],
      ['read', '#'],
    ],
  },
  {
    name: 'a pattern with the user name',
    acl: 'pattern write own/%u/#\n',
    steps: [
      ['retain', 'ann', 'own/ann/x'],
      ['reload', 'pattern write own/%u/y\n'],
      ['read', '#'],
      ['reload', 'pattern write own/%u/+\n'],
      ['read', '#'],
    ],
  },
  {
    name: 'a client without user name',
    acl: 'topic readwrite n/#\n',
    steps: [
      ['retain', '-', 'n/x'],
      ['reload', BOTH],
      ['read', '#'],
      ['reload', 'topic write n/+\n'],
      ['read', '#'],
      ['restart', BOTH],
      ['read', '#'],
    ],
  },
  {
    name: 'a will',
    acl: BOTH,
    steps: [
      ['will', 'ann', 'a/w'],
      ['read', '#'],
      ['reload', BOB],
      ['read', '#'],
    ],
  },
  {
    name: 'the list itself goes and comes',
    acl: BOTH,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['reload-conf', CHECK],
      ['read', '#'],
      ['retain', 'ann', 'z'],
      ['reload-conf', `${LIST}${CHECK}`],
      ['read', '#'],
    ],
  },
  {
    name: 'nothing is said of check_retain_source',
    acl: BOTH,
    check: null,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['reload', BOB],
      ['read', '#'],
    ],
    meant: { why: MANUAL, mosquitto: ['#: a/x=x'], portico: ['#:'] },
  },
  {
    name: 'check_retain_source false',
    acl: BOTH,
    check: false,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['reload', BOB],
      ['read', '#'],
      ['restart', BOB],
      ['read', '#'],
    ],
  },
  {
    name: 'check_retain_source changes with a reload',
    acl: BOTH,
    check: false,
    steps: [
      ['retain', 'ann', 'a/x'],
      ['reload', BOB],
      ['read', '#'],
      ['reload-conf', `${LIST}${CHECK}`],
      ['read', '#'],
      ['reload-conf', `${LIST}check_retain_source false\n`],
      ['read', '#'],
    ],
    meant: {
      why: 'Mosquitto reads it at its start only (docs/acl.md)',
      mosquitto: ['#: a/x=x', '#: a/x=x', '#: a/x=x'],
      portico: ['#: a/x=x', '#:', '#: a/x=x'],
    },
  },
];

const COMMON = 'allow_anonymous true\npersistence true\npersistence_location @/\n';

async function open(peer: Peer, user: string, version: 4 | 5, will?: string): Promise<RawClient> {
  const client = await openRaw(peer.port, version);
  client.send(
    connectPacket({
      clientId: `c-${user}`,
      protocolVersion: version,
      ...(user === '-' ? {} : { username: user }),
      ...(will === undefined ? {} : { will: { topic: will, payload: Buffer.from('w'), qos: 0, retain: true } }),
    }),
  );
  await client.expect('connack');
  return client;
}

async function publish(peer: Peer, user: string, topic: string, payload: string, version: 4 | 5): Promise<void> {
  const client = await open(peer, user, version);
  client.send({ cmd: 'publish', topic, payload, qos: 1, messageId: 3, retain: true, dup: false });
  await client.expect('puback');
  client.send({ cmd: 'disconnect' });
  await client.closed;
}

/** The witness sees the will on its way, so that it has been published. */
async function leaveWill(peer: Peer, user: string, topic: string, version: 4 | 5): Promise<void> {
  const witness = await open(peer, 'w', version);
  witness.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic, qos: 0 }] });
  await witness.expect('suback');
  const client = await open(peer, user, version, topic);
  client.cut();
  await witness.expect('publish');
  witness.cut();
}

/** What a new subscription is sent, in the order of topics. */
async function read(peer: Peer, filter: string, version: 4 | 5): Promise<string> {
  const client = await open(peer, 'w', version);
  client.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: filter, qos: 0 }] });
  client.send({ cmd: 'pingreq' });
  const found: string[] = [];
  for (let packet = await client.next(); packet.cmd !== 'pingresp'; packet = await client.next()) {
    if (packet.cmd === 'publish' && packet.retain) found.push(`${packet.topic}=${packet.payload.toString()}`);
  }
  client.cut();
  await client.closed;
  return `${filter}: ${found.toSorted().join(' ')}`.trimEnd();
}

/** Plays a scenario; returns what is read. */
async function play(peer: Peer, { steps }: Scenario, version: 4 | 5): Promise<string[]> {
  const seen: string[] = [];
  for (const [verb, first = '', second = '', third = 'x'] of steps) {
    if (verb === 'retain') await publish(peer, first, second, third, version);
    else if (verb === 'clear') await publish(peer, first, second, '', version);
    else if (verb === 'will') await leaveWill(peer, first, second, version);
    else if (verb === 'read') seen.push(await read(peer, first, version));
    else {
      peer.write(verb === 'reload-conf' ? { conf: `${COMMON}${first}` } : { acl: `${first}${WITNESS}` });
      if (verb === 'restart') await peer.restart();
      else await peer.reload();
    }
  }
  return seen;
}

for (const [index, scenario] of SCENARIOS.entries()) {
  const { name, acl, check = true, meant } = scenario;
  test(`retained messages and the rights of their publishers, as for mosquitto: ${name}${meant ? `, but ${meant.why}` : ''}`, async () => {
    const said = check === null ? '' : `check_retain_source ${check}\n`;
    const files: Partial<Files> = { conf: `${COMMON}${LIST}${said}`, acl: `${acl}${WITNESS}` };
    const version = index % 2 === 0 ? 4 : 5;
    const [mosquitto, portico] = await Promise.all([Peer.mosquitto(files), Peer.portico(files)]);
    try {
      const theirs = await play(mosquitto, scenario, version);
      const ours = await play(portico, scenario, version);
      assert.deepEqual(theirs, meant?.mosquitto ?? ours);
      assert.deepEqual(ours, meant?.portico ?? theirs);
    } finally {
      await Promise.all([mosquitto.stop(), portico.stop()]);
    }
  });
}
