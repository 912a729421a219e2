/**
 * Debian's mosquitto beside Portico: the same mosquitto.conf, the same files, the same clients; then the files are changed and
 * both get SIGHUP. What clients see is compared line by line. What differs on purpose says why.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Files, Peer } from './peers.js';
import { connectPacket, openRaw, type RawClient } from './raw.js';

const CLOSED =
  'a reload with a fault leaves what was in force, where Mosquitto 2.0 goes on without a list (docs/reload.md)';

/**
 * `connect NAME USER PASSWORD` or `connect NAME`, `subscribe NAME FILTER`, `publish NAME TOPIC`, `alive NAME`, `sees NAME`, `reload`.
 * `sees` tells the topics that the client has been sent since.
 */
type Step = string;

interface Scenario {
  readonly name: string;
  readonly before: Partial<Files>;
  readonly after: Partial<Files>;
  readonly steps: readonly Step[];
  /** Why the two differ, and the lines of each that the other does not show. */
  readonly meant?: { readonly why: string; readonly mosquitto: readonly string[]; readonly portico: readonly string[] };
}

const PASSWORDS = 'password_file @/passwords\nallow_anonymous false\n';
const LISTS = `${PASSWORDS}acl_file @/acl\n`;
const ALL = 'user ann\ntopic #\nuser bob\ntopic #\n';
const BOTH = { ann: 'a', bob: 'b' };

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'nothing changes',
    before: { conf: LISTS, users: BOTH, acl: ALL },
    after: {},
    steps: ['connect A ann a', 'subscribe A #', 'reload', 'connect B bob b', 'publish B x', 'sees A', 'alive A'],
  },
  {
    name: 'a user is added',
    before: { conf: PASSWORDS, users: { ann: 'a' } },
    after: { users: BOTH },
    steps: ['connect A ann a', 'connect B bob b', 'reload', 'connect B bob b', 'alive A', 'connect C bob wrong'],
  },
  {
    name: 'a user is gone',
    before: { conf: PASSWORDS, users: BOTH },
    after: { users: { bob: 'b' } },
    steps: ['connect A ann a', 'connect B bob b', 'reload', 'alive A', 'alive B', 'connect C ann a'],
  },
  {
    name: 'a user has another password',
    before: { conf: PASSWORDS, users: BOTH },
    after: { users: { ann: 'other', bob: 'b' } },
    steps: [
      'connect A ann a',
      'connect B bob b',
      'reload',
      'alive A',
      'alive B',
      'connect C ann a',
      'connect D ann other',
    ],
  },
  {
    name: 'a user loses the right to receive',
    before: { conf: LISTS, users: BOTH, acl: ALL },
    after: { acl: 'user ann\ntopic read x/b\nuser bob\ntopic #\n' },
    steps: [
      ...['connect A ann a', 'subscribe A x/#', 'connect B bob b', 'publish B x/a', 'publish B x/b', 'sees A'],
      ...['reload', 'publish B x/a', 'publish B x/b', 'sees A', 'alive A'],
    ],
  },
  {
    name: 'a user gets the right to receive, and a subscription that was filtered delivers',
    before: { conf: LISTS, users: BOTH, acl: 'user ann\ntopic read x/b\nuser bob\ntopic #\n' },
    after: { acl: ALL },
    steps: [
      'connect A ann a',
      'subscribe A x/#',
      'connect B bob b',
      'publish B x/a',
      'reload',
      'publish B x/a',
      'sees A',
    ],
  },
  {
    name: 'a user loses the right to publish',
    before: { conf: LISTS, users: BOTH, acl: ALL },
    after: { acl: 'user ann\ntopic write x\nuser bob\ntopic #\n' },
    steps: [
      ...['connect A ann a', 'connect B bob b', 'subscribe B #', 'publish A x', 'publish A y', 'sees B'],
      ...['reload', 'publish A x', 'publish A y', 'sees B'],
    ],
  },
  {
    name: 'a pattern is added',
    before: { conf: LISTS, users: BOTH, acl: 'user bob\ntopic #\n' },
    after: { acl: 'pattern write own/%u\nuser bob\ntopic #\n' },
    steps: [
      'connect A ann a',
      'connect B bob b',
      'subscribe B #',
      'publish A own/ann',
      'reload',
      'publish A own/ann',
      'publish A own/bob',
      'sees B',
    ],
  },
  {
    name: 'a list is added to a configuration without one',
    before: { conf: PASSWORDS, users: BOTH, acl: 'user bob\ntopic #\n' },
    after: { conf: LISTS },
    steps: [
      'connect A ann a',
      'connect B bob b',
      'subscribe B #',
      'publish A x',
      'reload',
      'publish A x',
      'publish B y',
      'sees B',
    ],
  },
  {
    name: 'anonymous clients may not connect any more',
    before: { conf: 'password_file @/passwords\nallow_anonymous true\n', users: BOTH },
    after: { conf: PASSWORDS },
    steps: ['connect N', 'connect A ann a', 'reload', 'alive N', 'alive A', 'connect M'],
  },
  {
    name: 'anonymous clients may connect',
    before: { conf: PASSWORDS, users: BOTH },
    after: { conf: 'password_file @/passwords\nallow_anonymous true\n' },
    steps: ['connect N', 'connect A ann a', 'reload', 'alive A', 'connect M'],
  },
  {
    name: 'user, list and password change at once',
    before: { conf: LISTS, users: BOTH, acl: ALL },
    after: { users: { bob: 'b', cat: 'c' }, acl: 'user bob\ntopic read x\nuser cat\ntopic write x\n' },
    steps: [
      ...['connect A ann a', 'connect B bob b', 'subscribe A #', 'subscribe B #', 'connect C cat c'],
      ...['reload', 'alive A', 'alive B', 'connect C cat c', 'publish C x', 'publish C y', 'publish B x', 'sees B'],
    ],
  },
  {
    name: 'a list with a fault',
    before: { conf: LISTS, users: BOTH, acl: 'user ann\ntopic x\nuser bob\ntopic #\n' },
    after: { acl: 'user ann\ntopik #\n' },
    steps: [
      'connect A ann a',
      'connect B bob b',
      'subscribe B #',
      'reload',
      'publish A x',
      'publish A y',
      'publish B z',
      'sees B',
    ],
    meant: { why: CLOSED, mosquitto: ['B sees: x y z'], portico: ['B sees: x z'] },
  },
];

/** So that no client identifier comes twice. */
let count = 0;

/** Plays a scenario; returns what its clients see. */
async function play(peer: Peer, { steps, after }: Scenario, version: 4 | 5): Promise<string[]> {
  const seen: string[] = [];
  const clients = new Map<string, RawClient>();
  const received = new Map<string, string[]>();
  /** The next packet of a kind, null if the connection ends before; publications before it are taken. */
  const until = async (name: string, cmd: string): Promise<object | null> => {
    for (;;) {
      const packet = await clients
        .get(name)
        ?.next()
        .catch(() => null);
      if (packet == null || packet.cmd === 'disconnect') return null;
      if (packet.cmd === cmd) return packet;
      if (packet.cmd === 'publish') received.get(name)?.push(packet.topic);
    }
  };
  const ping = async (name: string): Promise<boolean> => {
    clients.get(name)?.send({ cmd: 'pingreq' });
    return (await until(name, 'pingresp')) !== null;
  };
  for (const step of steps) {
    const [verb, name = '', first = '', second = ''] = step.split(' ');
    const client = clients.get(name);
    if (verb === 'reload') {
      peer.write(after);
      await peer.reload();
    } else if (verb === 'connect') {
      const newcomer = await openRaw(peer.port, version);
      const who = first === '' ? {} : { username: first, password: Buffer.from(second) };
      newcomer.send(connectPacket({ clientId: `${name}-${++count}`, protocolVersion: version, ...who }));
      const { returnCode, reasonCode } = await newcomer.expect('connack');
      const isIn = (version === 5 ? reasonCode : returnCode) === 0;
      seen.push(`${step}: ${isIn ? 'welcome' : 'refused'}`);
      if (isIn) clients.set(name, newcomer);
      if (isIn) received.set(name, []);
    } else if (verb === 'subscribe') {
      client?.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: first, qos: 0 }] });
      await until(name, 'suback');
    } else if (verb === 'publish') {
      client?.send({ cmd: 'publish', topic: first, payload: 'x', qos: 0, retain: false, dup: false });
      await ping(name);
    } else if (verb === 'sees') {
      await ping(name);
      seen.push(`${name} sees: ${received.get(name)?.join(' ')}`.trimEnd());
      received.set(name, []);
    } else seen.push(`${name} is ${(await ping(name)) ? 'alive' : 'gone'}`);
  }
  for (const client of clients.values()) client.cut();
  return seen;
}

for (const scenario of SCENARIOS) {
  const { name, before, meant } = scenario;
  test(`SIGHUP as for mosquitto: ${name}${meant ? `, but ${meant.why}` : ''}`, async () => {
    for (const version of [4, 5] as const) {
      const mosquitto = await Peer.mosquitto(before);
      const portico = await Peer.portico(before);
      try {
        const theirs = await play(mosquitto, scenario, version);
        const ours = await play(portico, scenario, version);
        if (meant === undefined) assert.deepEqual(ours, theirs, `MQTT ${version}`);
        else {
          assert.deepEqual(
            theirs.filter((line) => !ours.includes(line)),
            meant.mosquitto,
          );
          assert.deepEqual(
            ours.filter((line) => !theirs.includes(line)),
            meant.portico,
          );
        }
      } finally {
        await mosquitto.stop();
        await portico.stop();
      }
    }
  });
}
