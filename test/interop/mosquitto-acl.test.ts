/**
 * Debian's mosquitto beside Portico: the same ACL file, the same clients, the same packets; what clients see is compared
 * line by line. What differs on purpose says why.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { IConnectPacket, Packet } from 'mqtt-packet';
import { readMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { Broker } from '../../src/broker.js';
import { RawClient } from '../support/engine.js';
import { freePorts, spawnChild, temporaryFolder } from '../support/portico.js';

const HONEST = 'a filter that could only deliver what is denied is refused (docs/acl.md)';
const SLASH = 'a name with / matches nothing through a pattern (docs/acl.md)';

/** Who does what, in order. `w` has everything to read and write: what others publish is seen by it. */
type Step = readonly [
  /** `cut` ends the connection, so that the will is published. */
  kind: 'sub' | 'pub' | 'cut',
  actor: string,
  /** A filter for `sub`. */
  topic?: string,
  qos?: 0 | 1 | 2,
  retain?: boolean,
];

interface Scenario {
  readonly name: string;
  readonly acl: string;
  /** User name and client identifier of each actor; `w` is known. */
  readonly actors: Readonly<Record<string, { user?: string; id?: string; will?: string }>>;
  readonly steps: readonly Step[];
  /** Why the two differ, and the lines that Portico shows in the place of Mosquitto's. */
  readonly meant?: { readonly why: string; readonly mosquitto: readonly string[]; readonly portico: readonly string[] };
}

const WITNESS = 'user w\ntopic readwrite #\ntopic read $SYS/#\n';
const ANN = { ann: { user: 'ann', id: 'c1' } };
const NOBODY = { x: { id: 'c1' } };

/** One client publishes, and `w` sees whether it arrives. */
function publishing(
  name: string,
  acl: string,
  topic: string,
  actors: Scenario['actors'],
  qos: 0 | 1 | 2 = 1,
): Scenario {
  const [actor] = Object.keys(actors);
  const filter = topic.startsWith('$') ? topic : '#';
  return {
    name,
    acl,
    actors,
    steps: [
      ['sub', 'w', filter],
      ['pub', actor, topic, qos],
      ['pub', 'w', 'end'],
    ],
  };
}

/** One client subscribes, and `w` publishes. */
function receiving(name: string, acl: string, filter: string, topic: string, actors: Scenario['actors']): Scenario {
  const [actor] = Object.keys(actors);
  return {
    name,
    acl,
    actors,
    steps: [
      ['sub', actor, filter],
      ['pub', 'w', topic],
    ],
  };
}

/** The same where nothing could be delivered: Mosquitto grants it all the same. */
function refused(name: string, acl: string, filter: string, topic: string, actors: Scenario['actors']): Scenario {
  const [actor] = Object.keys(actors);
  const line = `${actor} subscribes ${filter}: `;
  return {
    ...receiving(name, acl, filter, topic, actors),
    meant: { why: HONEST, mosquitto: [`${line}1`], portico: [`${line}refused`] },
  };
}

const SCENARIOS: readonly Scenario[] = [
  publishing('write allows to publish', 'user ann\ntopic write a/b\n', 'a/b', ANN),
  publishing('read does not allow to publish', 'user ann\ntopic read a/b\n', 'a/b', ANN),
  publishing('readwrite allows to publish', 'user ann\ntopic readwrite a/b\n', 'a/b', ANN),
  publishing('a topic without a word allows to publish', 'user ann\ntopic a/b\n', 'a/b', ANN),
  publishing('deny denies to publish', 'user ann\ntopic #\ntopic deny a/b\n', 'a/b', ANN),
  publishing('deny comes first though it stands last', 'user ann\ntopic write a/b\ntopic deny a/#\n', 'a/b', ANN),
  publishing('deny comes first where it stands first', 'user ann\ntopic deny a/#\ntopic write a/b\n', 'a/b', ANN),
  publishing('an empty list of a user', 'user ann\n', 'a/b', ANN),
  publishing('a topic of another user', 'user bob\ntopic a/b\n', 'a/b', ANN),
  publishing('rules for nobody are not for a user', 'topic a/b\n', 'a/b', ANN),
  publishing('rules for nobody are for a client without user name', 'topic a/b\n', 'a/b', NOBODY),
  publishing('rules of a user are not for a client without user name', 'user ann\ntopic a/b\n', 'a/b', NOBODY),
  publishing('QoS 0 that is denied', 'user ann\ntopic b\n', 'a', ANN, 0),
  publishing('QoS 2 that is denied', 'user ann\ntopic b\n', 'a', ANN, 2),
  publishing('QoS 2 that is allowed', 'user ann\ntopic a\n', 'a', ANN, 2),
  publishing('# covers its parent', 'user ann\ntopic a/#\n', 'a', ANN),
  publishing('# covers what is below', 'user ann\ntopic a/#\n', 'a/b/c', ANN),
  publishing('# does not cover a longer name', 'user ann\ntopic a/#\n', 'ab', ANN),
  publishing('+ is one level', 'user ann\ntopic +/b\n', 'a/b', ANN),
  publishing('+ is not two levels', 'user ann\ntopic +/b\n', 'a/x/b', ANN),
  publishing('+ may be empty', 'user ann\ntopic a/+\n', 'a/', ANN),
  publishing('a topic with spaces', 'user ann\ntopic write a b/c d\n', 'a b/c d', ANN),
  publishing('a user name with a space', 'user ann b\ntopic a\n', 'a', { ann: { user: 'ann b' } }),
  publishing('CR LF and spaces', 'user ann\r\n  topic   write   a\r\n', 'a', ANN),
  publishing('one word is a filter', 'user ann\ntopic deny\n', 'deny', ANN),
  publishing('%c in a pattern', 'pattern write d/%c/x\n', 'd/c1/x', ANN),
  publishing('%c of another', 'pattern write d/%c/x\n', 'd/c2/x', ANN),
  publishing('%u in a pattern', 'pattern write d/%u/x\n', 'd/ann/x', ANN),
  publishing('%u without user name', 'pattern write d/%u/x\n', 'd//x', NOBODY),
  publishing('%c within a level', 'pattern write d/a-%c-b\n', 'd/a-c1-b', NOBODY),
  publishing('%c in a topic line is plain', 'user ann\ntopic d/%c\n', 'd/c1', ANN),
  publishing('a pattern that denies', 'pattern write d/#\npattern deny d/%u\n', 'd/ann', ANN),
  publishing('a topic before a pattern that denies', 'pattern deny d/%u\nuser ann\ntopic write d/ann\n', 'd/ann', ANN),
  publishing('a topic that denies before a pattern', 'pattern write d/%u\nuser ann\ntopic deny d/ann\n', 'd/ann', ANN),
  publishing('a pattern gives what a topic leaves', 'pattern write d/%u\nuser ann\ntopic read d/ann\n', 'd/ann', ANN),
  publishing('a user name with +', 'pattern write d/%u\n', 'd/x', { ann: { user: '+', id: 'c1' } }),
  publishing('a client identifier with #', 'pattern write %c\n', 'd/x', { ann: { user: 'ann', id: '#' } }),
  publishing('a name with # and a topic of its own', 'user a#\ntopic write d\n', 'd', {
    ann: { user: 'a#', id: 'c1' },
  }),
  {
    ...publishing('a user name with /', 'pattern write d/%u\n', 'd/a/b', { ann: { user: 'a/b', id: 'c1' } }),
    meant: {
      why: SLASH,
      mosquitto: ['w receives: d/a/b end', '5 ann publishes d/a/b: 0'],
      portico: ['w receives: end', '5 ann publishes d/a/b: 135'],
    },
  },
  receiving('read allows to receive', 'user ann\ntopic read a/b\n', 'a/b', 'a/b', ANN),
  receiving('a subscription wider than read is filtered', 'user ann\ntopic read a/b\n', '#', 'a/c', ANN),
  receiving('a subscription wider than read delivers what is allowed', 'user ann\ntopic read a/b\n', 'a/#', 'a/b', ANN),
  receiving('a subscription around deny is filtered', 'user ann\ntopic read #\ntopic deny a/b\n', 'a/+', 'a/b', ANN),
  receiving('a shared subscription is allowed by its filter', 'user ann\ntopic read a\n', '$share/g/a', 'a', ANN),
  receiving('a pattern allows to receive', 'pattern read d/%c/#\n', 'd/#', 'd/c1/x', ANN),
  receiving('a pattern of another is filtered', 'pattern read d/%c/#\n', 'd/#', 'd/c2/x', ANN),
  refused('write does not allow to receive', 'user ann\ntopic write a/b\n', 'a/b', 'a/b', ANN),
  refused('deny denies to receive', 'user ann\ntopic read #\ntopic deny a/#\n', 'a/+/c', 'a/b/c', ANN),
  refused('a filter of another user', 'user bob\ntopic read a/b\n', 'a/b', 'a/b', ANN),
  refused('nobody may subscribe to what is for users', 'user ann\ntopic a/b\n', 'a/b', 'a/b', NOBODY),
  refused('a shared subscription to what is denied', 'user ann\ntopic read b\n', '$share/g/a', 'a', ANN),
  refused('$SYS needs a rule that begins so', 'user ann\ntopic read #\n', '$SYS/none/such', 'a', ANN),
  refused('a pattern of another, alone', 'pattern read d/%c\n', 'd/c2', 'd/c2', ANN),
  {
    name: 'a retained message that may be received',
    acl: 'user ann\ntopic read a/#\n',
    actors: ANN,
    steps: [
      ['pub', 'w', 'a/b', 1, true],
      ['sub', 'ann', 'a/#'],
    ],
  },
  {
    name: 'a retained message that may not be received',
    acl: 'user ann\ntopic read a/#\ntopic deny a/b\n',
    actors: ANN,
    steps: [
      ['pub', 'w', 'a/b', 1, true],
      ['pub', 'w', 'a/c', 1, true],
      ['sub', 'ann', '#'],
    ],
  },
  {
    name: 'a retained message that may not be published',
    acl: 'user ann\ntopic read a/b\n',
    actors: ANN,
    steps: [
      ['pub', 'ann', 'a/b', 1, true],
      ['sub', 'w', 'a/b'],
    ],
  },
  {
    name: 'a will that may be published',
    acl: 'user ann\ntopic write will\n',
    actors: { ann: { user: 'ann', id: 'c1', will: 'will' } },
    steps: [
      ['sub', 'w', '#'],
      ['cut', 'ann'],
      ['pub', 'w', 'end'],
    ],
  },
  {
    name: 'a will that may not be published',
    acl: 'user ann\ntopic read will\n',
    actors: { ann: { user: 'ann', id: 'c1', will: 'will' } },
    steps: [
      ['sub', 'w', '#'],
      ['cut', 'ann'],
      ['pub', 'w', 'end'],
    ],
  },
  {
    name: 'a will by a pattern',
    acl: 'pattern write will/%c\n',
    actors: { ann: { user: 'ann', id: 'c1', will: 'will/c1' } },
    steps: [
      ['sub', 'w', '#'],
      ['cut', 'ann'],
      ['pub', 'w', 'end'],
    ],
  },
];

const folder = temporaryFolder();
let count = 0;

interface Peer {
  readonly port: number;
  stop(): Promise<void>;
}

async function startMosquitto(acl: string): Promise<Peer> {
  const { mqtt: port } = await freePorts();
  const file = join(folder, `mosquitto-${++count}.conf`);
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    `acl_file ${acl}`,
    `user ${userInfo().username}`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const child = spawnChild('mosquitto', ['-c', file]);
  assert.ok(child.stderr);
  for await (const line of createInterface({ input: child.stderr })) if (/ running$/.test(line)) break;
  child.stderr.resume();
  return {
    port,
    async stop() {
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      await closed;
    },
  };
}

async function startPortico(acl: string): Promise<Peer> {
  const broker = await Broker.createBroker({ acl: await readMosquittoAcl(acl) });
  const server = createServer((socket) => broker.handle(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      await broker.stop();
      server.close();
    },
  };
}

/** Plays a scenario; returns what its clients see. */
async function play(peer: Peer, { actors, steps }: Scenario, version: 4 | 5): Promise<string[]> {
  const all = { w: { user: 'w', id: 'witness' }, ...actors };
  const clients = new Map<string, RawClient>();
  const seen: string[] = [];
  const received = new Map<string, string[]>();
  for (const [actor, who] of Object.entries<{ user?: string; id?: string; will?: string }>(all)) {
    const socket = connect(peer.port, '127.0.0.1');
    const client = new RawClient(socket, version);
    const packet: IConnectPacket = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clientId: who.id ?? actor,
      clean: true,
      keepalive: 60,
      ...(who.user === undefined ? {} : { username: who.user }),
      ...(who.will === undefined
        ? {}
        : { will: { topic: who.will, payload: Buffer.from('w'), qos: 0, retain: false } }),
    };
    client.send(packet);
    const { returnCode, reasonCode } = await client.expect('connack');
    seen.push(`${actor} connects: ${version === 5 ? reasonCode : returnCode}`);
    clients.set(actor, client);
    received.set(actor, []);
  }
  const get = (actor: string): RawClient => clients.get(actor) as RawClient;
  const take = (actor: string, packet: Packet): void => {
    if (packet.cmd === 'publish') received.get(actor)?.push(packet.topic);
  };
  /** The next packet of a kind; publications before it are taken. */
  const until = async (actor: string, cmd: Packet['cmd']): Promise<Packet> => {
    for (;;) {
      const packet = await get(actor).next();
      if (packet.cmd === cmd) return packet;
      take(actor, packet);
    }
  };
  for (const [kind, actor, topic = '', qos = 1, retain = false] of steps) {
    const client = get(actor);
    if (kind === 'sub') {
      client.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic, qos: 1 }] });
      const suback = await until(actor, 'suback');
      assert.ok(suback.cmd === 'suback');
      const [code] = suback.granted as number[];
      if (code >= 0x80) assert.equal(code, version === 5 ? 0x87 : 0x80);
      seen.push(`${actor} subscribes ${topic}: ${code >= 0x80 ? 'refused' : code}`);
    } else if (kind === 'cut') {
      client.destroy();
      await client.end();
    } else {
      client.publish(topic, 'x', { qos, retain, ...(qos > 0 ? { messageId: 9 } : {}) });
      if (qos > 0) {
        const answer = await until(actor, qos === 1 ? 'puback' : 'pubrec');
        const code = 'reasonCode' in answer ? (answer.reasonCode ?? 0) : 0;
        // Nobody has a subscription: no matter of rights.
        if (version === 5) seen.push(`${actor} publishes ${topic}: ${code === 0x10 ? 0 : code}`);
        if (qos === 2 && code < 0x80) {
          client.send({ cmd: 'pubrel', messageId: 9 });
          await until(actor, 'pubcomp');
        }
      } else client.send({ cmd: 'pingreq' });
      if (qos === 0) await until(actor, 'pingresp');
    }
  }
  for (const [actor, client] of clients) {
    if (client.closed) continue;
    client.send({ cmd: 'pingreq' });
    await until(actor, 'pingresp');
    seen.push(`${actor} receives: ${received.get(actor)?.join(' ')}`.trimEnd());
    client.destroy();
  }
  return seen;
}

/** The lines that a scenario says differ, for one version. */
function ofVersion(lines: readonly string[], version: 4 | 5): string[] {
  return lines
    .filter((line) => !/^[45] /.test(line) || line.startsWith(`${version} `))
    .map((line) => line.replace(/^[45] /, ''));
}

for (const scenario of SCENARIOS) {
  test(`as mosquitto with the same acl_file: ${scenario.name}${scenario.meant ? `, but ${scenario.meant.why}` : ''}`, async () => {
    const file = join(folder, `acl-${++count}`);
    writeFileSync(file, `${scenario.acl}${WITNESS}`);
    const mosquitto = await startMosquitto(file);
    const portico = await startPortico(file);
    try {
      for (const version of [4, 5] as const) {
        const theirs = await play(mosquitto, scenario, version);
        const ours = await play(portico, scenario, version);
        const { meant } = scenario;
        if (meant === undefined) assert.deepEqual(ours, theirs, `MQTT ${version}`);
        else {
          assert.deepEqual(
            theirs.filter((line) => !ours.includes(line)).sort(),
            ofVersion(meant.mosquitto, version).sort(),
          );
          assert.deepEqual(
            ours.filter((line) => !theirs.includes(line)).sort(),
            ofVersion(meant.portico, version).sort(),
          );
        }
      }
    } finally {
      await mosquitto.stop();
      await portico.stop();
    }
  });
}

test('at least 40 scenarios are compared', () => {
  assert.ok(SCENARIOS.length >= 40);
  assert.equal(new Set(SCENARIOS.map(({ name }) => name)).size, SCENARIOS.length);
});
