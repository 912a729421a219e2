/**
 * kill -9 in floods of changes of state: the last acknowledged one of each topic and of each filter holds, or a later
 * one that was under way.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { connectRaw, type RawClient } from '../interop/raw.js';
import { mulberry32, type Random } from '../support/disk.js';
import { Portico } from '../support/portico.js';
import { crashRounds, crashSeed } from './chance.js';

const NAMES = 20;
const WINDOW = 50;

let portico: Portico;

before(async () => {
  portico = await Portico.start({ sys: { interval: 0 }, log: { level: 'warn', format: 'json' } });
});
after(() => portico.dispose());

interface Change {
  readonly name: string;
  /** What the name stands for if the change was made. */
  readonly state: string;
}

/** Changes that are sent one after the other, with a window, and acknowledged by packet identifier. */
class Changes {
  /** What each name may stand for: its last acknowledged change, and those that were sent after it. */
  readonly #allowed = new Map<string, Change[]>();
  readonly #open = new Map<number, Change>();
  #nextId = 1;
  acknowledged = 0;

  /** The packet identifier of a change that is sent now; null if the window is full. */
  begin(change: Change): number | null {
    if (this.#open.size >= WINDOW) return null;
    const packetId = this.#nextId;
    this.#nextId = (this.#nextId % 60_000) + 1;
    this.#open.set(packetId, change);
    const changes = this.#allowed.get(change.name) ?? [{ name: change.name, state: '' }];
    this.#allowed.set(change.name, [...changes, change]);
    return packetId;
  }

  /** What is acknowledged has been made, and so has what was sent before it. */
  done(packetId: number): void {
    const change = this.#open.get(packetId);
    if (change === undefined) return;
    this.#open.delete(packetId);
    this.acknowledged++;
    const changes = this.#allowed.get(change.name) ?? [];
    const index = changes.indexOf(change);
    if (index > 0) changes.splice(0, index);
  }

  /** The broker has died, and this is what is true now. */
  settle(found: ReadonlyMap<string, string>): void {
    for (const [name, changes] of this.#allowed) {
      const state = found.get(name) ?? '';
      const states = changes.map((change) => `"${change.state}"`);
      assert.ok(states.includes(`"${state}"`), `${name} is "${state}"; it may be ${states.join(' or ')}`);
      this.#allowed.set(name, [{ name, state }]);
    }
    this.#open.clear();
  }
}

/** Sends changes until some further ones are acknowledged, and a little longer; then the broker is killed. */
async function flood(client: RawClient, changes: Changes, choose: Random, send: () => boolean): Promise<void> {
  const goal = changes.acknowledged + 20 + choose(300);
  while (send());
  const serve = async (): Promise<void> => {
    for (;;) {
      const packet: Packet = await client.next();
      if (packet.messageId !== undefined && packet.cmd !== 'publish') changes.done(packet.messageId);
      while (send());
      if (changes.acknowledged === goal) return;
    }
  };
  await serve();
  goOn(client, changes);
  for (let turns = choose(40); turns > 0; turns--) await new Promise(setImmediate);
  await portico.kill();
  await client.closed;
  await portico.restart();
}

/** Acknowledgements that arrive until the end count. */
function goOn(client: RawClient, changes: Changes): void {
  const serve = async (): Promise<void> => {
    for (;;) changes.done((await client.next()).messageId ?? 0);
  };
  serve().catch(() => {});
}

test('kill -9 in a flood of retained messages that are set and cleared: the last acknowledged state holds', {
  timeout: 120_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const changes = new Changes();
  let number = 0;
  for (let round = crashRounds(5); round > 0; round--) {
    const client = await connectRaw(portico.ports.mqtt, { clientId: 'setter', clean: false });
    await flood(client, changes, choose, () => {
      const change = { name: `retained/${choose(NAMES)}`, state: choose(3) === 0 ? '' : `${++number}` };
      const messageId = changes.begin(change);
      if (messageId === null) return false;
      const { name: topic, state: payload } = change;
      client.send({ cmd: 'publish', topic, payload, qos: 1, retain: true, dup: false, messageId });
      return true;
    });
    changes.settle(await retained());
  }
  t.diagnostic(`${changes.acknowledged} changes acknowledged`);
});

async function retained(): Promise<Map<string, string>> {
  const reader = await connectRaw(portico.ports.mqtt, { clientId: 'reader' });
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'retained/#', qos: 0 }] });
  await reader.expect('suback');
  reader.send({ cmd: 'publish', topic: 'retained/last', payload: 'x', qos: 0, retain: false, dup: false });
  const found = new Map<string, string>();
  for (;;) {
    const { topic, payload } = await reader.expect('publish');
    if (topic === 'retained/last') break;
    found.set(topic, payload.toString());
  }
  reader.cut();
  return found;
}

test('kill -9 in a flood of SUBSCRIBE and UNSUBSCRIBE: the last acknowledged state holds', {
  timeout: 120_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed + 1);
  const changes = new Changes();
  for (let round = crashRounds(5); round > 0; round--) {
    const client = await connectRaw(portico.ports.mqtt, { clientId: 'changing', clean: false });
    await flood(client, changes, choose, () => {
      const qos = choose(2) as 0 | 1;
      const change = { name: `filter/${choose(NAMES)}`, state: choose(2) === 0 ? '' : `${qos}` };
      const messageId = changes.begin(change);
      if (messageId === null) return false;
      if (change.state === '') client.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [change.name] });
      else client.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: change.name, qos }] });
      return true;
    });
    changes.settle(await subscribed());
  }
  t.diagnostic(`${changes.acknowledged} changes acknowledged`);
});

/** The QoS of the subscriptions, as messages of QoS 1 come by them. */
async function subscribed(): Promise<Map<string, string>> {
  const client = await connectRaw(portico.ports.mqtt, { clientId: 'changing', clean: false });
  assert.ok(client.connack.sessionPresent);
  await client.subscribe('last', 0);
  const probe = await connectRaw(portico.ports.mqtt, { clientId: 'probe' });
  const packet = { cmd: 'publish', payload: 'x', qos: 1, retain: false, dup: false } as const;
  const topics = [...Array.from({ length: NAMES }, (_, index) => `filter/${index}`), 'last'];
  for (const [index, topic] of topics.entries()) {
    probe.send({ ...packet, topic, messageId: index + 1 });
    await probe.expect('puback');
  }
  const found = new Map<string, string>();
  for (;;) {
    const { topic, qos, messageId } = await client.expect('publish');
    if (qos === 1) client.send({ cmd: 'puback', messageId: messageId as number });
    if (topic === 'last') break;
    found.set(topic, `${qos}`);
  }
  probe.cut();
  client.send({ cmd: 'disconnect' });
  await client.closed;
  return found;
}
