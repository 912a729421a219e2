/**
 * Debian's mosquitto beside Portico on one mosquitto.conf with several listeners: the same clients, the same packets; what
 * clients see is compared line by line.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { IConnectPacket, Packet } from 'mqtt-packet';
import { loadConfig } from '../../src/config/load.js';
import { createLogger } from '../../src/monitor/log.js';
import { Server } from '../../src/server.js';
import { temporaryFolder } from '../support/portico.js';
import { Program } from './programs.js';
import { connectPacket, RawClient } from './raw.js';

/** The listeners, by name: their lines behind `listener`. */
const LISTENERS = {
  plain: '',
  mounted: 'mount_point site/7/\n',
  two: 'max_qos 1\n',
  named: 'use_username_as_clientid true\n',
  few: 'max_connections 2\n',
} as const;
type Name = keyof typeof LISTENERS;

/** Free ports of 127.0.0.1. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Where the listeners of a broker are. */
type Where = Readonly<Record<Name | 'unix', { port: number } | { path: string }>>;

interface BrokerUnderTest {
  readonly name: string;
  readonly where: Where;
}

const brokers: BrokerUnderTest[] = [];
let stop = async (): Promise<void> => {};

before(async () => {
  const names = Object.keys(LISTENERS) as Name[];
  const files: string[] = [];
  for (const name of ['mosquitto', 'portico']) {
    const ports = await freePorts(names.length);
    const path = join(temporaryFolder(), 'mqtt.sock');
    const lines = names.map((listener, i) => `listener ${ports[i]} 127.0.0.1\n${LISTENERS[listener]}`);
    const file = join(temporaryFolder(), 'mosquitto.conf');
    writeFileSync(file, `user ${userInfo().username}\nallow_anonymous true\n${lines.join('')}listener 0 ${path}\n`);
    files.push(file);
    const where = Object.fromEntries(names.map((listener, i) => [listener, { port: ports[i] }]));
    brokers.push({ name, where: { ...where, unix: { path } } as Where });
  }
  const mosquitto = await Program.start('/bin/sh', ['-c', `exec /usr/sbin/mosquitto -v -c ${files[0]} 2>&1`]);
  await mosquitto.lines.take((line) => line.endsWith(' running'), 'the start of mosquitto');
  const logger = createLogger({ level: 'error', format: 'json' }, { write: () => {} });
  const server = await Server.start(loadConfig({ file: files[1], env: {} }), logger);
  stop = async () => {
    await server.stop();
    await mosquitto.end();
  };
});
after(() => stop());

/** What a script does, and writes down. */
interface Scene {
  /** Connects; writes down the code of CONNACK, or that there was none. */
  come(name: string, at: Name | 'unix', options?: Partial<IConnectPacket>): Promise<RawClient>;
  subscribe(name: string, filter: string, qos?: 0 | 1 | 2): Promise<void>;
  unsubscribe(name: string, filter: string): Promise<void>;
  /** With QoS 1: what was published before has arrived when this is done. */
  publish(name: string, topic: string, payload: string, options?: { qos?: 0 | 1 | 2; retain?: boolean }): Promise<void>;
  /** Writes down the next message of a client. */
  receives(name: string): Promise<void>;
  cut(name: string): Promise<void>;
  leave(name: string): Promise<void>;
}

function sceneOf({ name: broker, where }: BrokerUnderTest, seen: string[]): Scene {
  const clients = new Map<string, RawClient>();
  const mounted = new Set<string>();
  /** Mosquitto 2.0.11 leaves the prefix in what it sends, although its manual says that it is removed. */
  const topicTo = (name: string, topic: string): string =>
    broker === 'mosquitto' && mounted.has(name) ? topic.replace(/^site\/7\//, '') : topic;
  const client = (name: string): RawClient => clients.get(name) ?? assert.fail(name);
  const write = (packet: Packet | null, name: string): void => {
    if (packet === null) seen.push(`${name}: closed`);
    else if (packet.cmd === 'publish') {
      seen.push(`${name}: ${topicTo(name, packet.topic)} ${String(packet.payload)} ${packet.qos} ${packet.retain}`);
    } else if (packet.cmd === 'suback') seen.push(`${name}: granted ${packet.granted.join()}`);
    else if (packet.cmd === 'connack') seen.push(`${name}: connack ${packet.returnCode ?? packet.reasonCode}`);
    else seen.push(`${name}: ${packet.cmd}`);
  };
  /** The next packet of one kind, those before it left where they are; null at the end of the connection. */
  const take = (name: string, cmd: Packet['cmd']): Promise<Packet | null> =>
    client(name)
      .packets.take((packet) => packet.cmd === cmd, cmd)
      .catch(() => null);
  let id = 0;
  return {
    async come(name, at, options = {}) {
      const { protocolVersion = 4 } = options;
      const one = new RawClient(connect({ host: '127.0.0.1', ...where[at] }), protocolVersion);
      clients.set(name, one);
      if (at === 'mounted') mounted.add(name);
      one.send(connectPacket({ clientId: name, ...options }));
      write(await take(name, 'connack'), name);
      return one;
    },
    async subscribe(name, filter, qos = 1) {
      client(name).send({ cmd: 'subscribe', messageId: ++id, subscriptions: [{ topic: filter, qos }] });
      write(await take(name, 'suback'), name);
    },
    async unsubscribe(name, filter) {
      client(name).send({ cmd: 'unsubscribe', messageId: ++id, unsubscriptions: [filter] });
      write(await take(name, 'unsuback'), name);
    },
    async publish(name, topic, payload, { qos = 1, retain = false } = {}) {
      client(name).send({ cmd: 'publish', topic, payload, qos, retain, dup: false, messageId: ++id });
      if (qos === 1) write(await take(name, 'puback'), name);
      if (qos === 2) write(await take(name, 'pubrec'), name);
    },
    async receives(name) {
      const packet = await take(name, 'publish');
      if (packet?.cmd === 'publish' && packet.qos === 1) {
        client(name).send({ cmd: 'puback', messageId: packet.messageId ?? 0 });
      }
      write(packet, name);
    },
    async cut(name) {
      client(name).cut();
      await client(name).closed;
    },
    async leave(name) {
      client(name).send({ cmd: 'disconnect' });
      await client(name).closed;
    },
  };
}

const SCRIPTS: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  'a message from the branch to the others': async (s) => {
    await s.come('out', 'plain');
    await s.come('in', 'mounted');
    await s.subscribe('out', 'site/7/one/#');
    await s.publish('in', 'one/a', 'x');
    await s.receives('out');
  },
  'a message from the others to the branch': async (s) => {
    await s.come('out', 'plain');
    await s.come('in', 'mounted');
    await s.subscribe('in', 'two/#');
    await s.publish('out', 'two/a', 'not seen');
    await s.publish('out', 'site/8/two/a', 'not seen');
    await s.publish('out', 'site/7/two/a', 'seen');
    await s.receives('in');
  },
  'clients of the branch among each other': async (s) => {
    await s.come('a', 'mounted');
    await s.come('b', 'mounted');
    await s.subscribe('b', '+/three');
    await s.publish('a', 'x/three', '1', { qos: 1 });
    await s.receives('b');
    await s.unsubscribe('b', '+/three');
  },
  'a filter for all topics': async (s) => {
    await s.come('in', 'mounted');
    await s.come('out', 'plain');
    await s.subscribe('in', '#');
    await s.publish('out', 'elsewhere', 'not seen');
    await s.publish('out', 'site/7/all', 'seen');
    await s.receives('in');
  },
  'retained messages, from within and from outside': async (s) => {
    await s.come('in', 'mounted');
    await s.come('out', 'plain');
    await s.publish('in', 'kept/in', 'i', { retain: true });
    await s.publish('out', 'site/7/kept/out', 'o', { retain: true });
    await s.subscribe('in', 'kept/in');
    await s.receives('in');
    await s.subscribe('in', 'kept/out');
    await s.receives('in');
    await s.subscribe('out', 'site/7/kept/in');
    await s.receives('out');
    await s.publish('in', 'kept/in', '', { retain: true });
    await s.publish('out', 'site/7/kept/out', '', { retain: true });
  },
  'a will': async (s) => {
    await s.come('out', 'plain');
    await s.subscribe('out', 'site/7/will');
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: false } as const;
    await s.come('in', 'mounted', { will });
    await s.cut('in');
    await s.receives('out');
  },
  'what waits in a session of the branch': async (s) => {
    await s.come('kept', 'mounted', { clean: false });
    await s.subscribe('kept', 'wait');
    await s.leave('kept');
    await s.come('out', 'plain');
    await s.publish('out', 'site/7/wait', 'waited');
    await s.come('kept', 'mounted', { clean: false });
    await s.receives('kept');
    await s.leave('kept');
    await s.come('kept', 'mounted', { clean: true });
  },
  'max_qos: a higher QoS in SUBSCRIBE': async (s) => {
    await s.come('a', 'two');
    await s.subscribe('a', 'qos', 2);
  },
  'max_qos: a higher QoS in PUBLISH': async (s) => {
    await s.come('a', 'two');
    await s.publish('a', 'qos', 'x', { qos: 2 });
  },
  'max_qos: a lower QoS': async (s) => {
    await s.come('a', 'two');
    await s.subscribe('a', 'qos/a', 1);
    await s.publish('a', 'qos/a', 'x', { qos: 1 });
    await s.receives('a');
  },
  'use_username_as_clientid: without user name': async (s) => void (await s.come('a', 'named')),
  'use_username_as_clientid: the same user takes over': async (s) => {
    const first = await s.come('a', 'named', { username: 'u', clientId: 'one' });
    await s.come('b', 'named', { username: 'u', clientId: 'two' });
    await first.closed;
  },
  'use_username_as_clientid: another user with the same identifier does not': async (s) => {
    await s.come('a', 'named', { username: 'u', clientId: 'same' });
    await s.come('b', 'named', { username: 'v', clientId: 'same' });
    await s.publish('a', 'still', 'here');
    await s.publish('b', 'still', 'here');
  },
  'a Unix socket': async (s) => {
    await s.come('a', 'unix');
    await s.come('b', 'plain');
    await s.subscribe('a', 'unix/+');
    await s.publish('b', 'unix/x', '1');
    await s.receives('a');
    await s.publish('a', 'unix/y', '2');
  },
};

for (const [title, script] of Object.entries(SCRIPTS)) {
  test(`mosquitto and Portico: ${title}`, async () => {
    const outcomes: string[][] = [];
    for (const broker of brokers) {
      const seen: string[] = [];
      await script(sceneOf(broker, seen));
      outcomes.push(seen);
    }
    assert.deepEqual(outcomes[1], outcomes[0]);
    assert.ok(outcomes[0].length > 0);
  });
}

test('max_connections: mosquitto closes a client too many without a word, Portico says that it is busy', async () => {
  for (const broker of brokers) {
    const seen: string[] = [];
    const scene = sceneOf(broker, seen);
    for (const client of ['a', 'b', 'c']) await scene.come(client, 'few');
    const last = broker.name === 'mosquitto' ? 'c: closed' : 'c: connack 3';
    assert.deepEqual(seen, ['a: connack 0', 'b: connack 0', last]);
    await scene.cut('a');
    await scene.cut('b');
  }
});
