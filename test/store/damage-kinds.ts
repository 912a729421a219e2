/** One of each kind of thing that docs/durability.md names, in a store, and what a broker on that store serves of it. */
import assert from 'node:assert/strict';
import type { IConnectPacket } from 'mqtt-packet';
import { Family, familyRange, sessionOf } from '../../src/store/keys.js';
import { number, OPT } from '../coap/harness.js';
import { DAMAGED, KINDS, type Kind } from '../crash/survival-kinds.js';
import { Face } from '../support/coap-face.js';
import type { Engine, RawClient } from '../support/engine.js';

/**
 * What is served of a kind: it, once; nothing of it; it twice, where what told that it had come before is gone; what was
 * there before it; or something else, which is wrong.
 */
export type Found = 'right' | 'gone' | 'twice' | 'older' | 'wrong';

interface Piece {
  /** Family of the record that holds it; null if none does. */
  readonly family: number | null;
  /** Brings about what it replaces, in a life of the broker before. */
  before?(face: Face, name: string): Promise<void>;
  bring(face: Face, name: string): Promise<void>;
  find(face: Face, name: string): Promise<Found>;
}

/** Seconds of sessions, of the one that ends, and of the delay of a will. */
const LONG = 3600;
const SHORT = 10;
const DELAY = 60;
/** Packet identifier of the publication that is on its way. */
const PACKET_ID = 7;
/** Content-Format. */
const TEXT = 0;

const HALFWAY = 'QoS 2 publication between PUBREC and PUBREL, session kept' satisfies Kind;
export const OWED = 'Retained message that a new subscription has not been sent yet, session kept' satisfies Kind;

/** What all names of a kind begin with, its payload too: client identifiers, topics and filters. Nothing else has it. */
export function nameOf(kind: Kind): string {
  return `kind-${String(KINDS.indexOf(kind)).padStart(2, '0')}`;
}

/** Whether a client or a topic is one of those here. */
export function isOfAKind(name: string): boolean {
  return name.startsWith('kind');
}

/** More than a block of a table. */
const bodyOf = (name: string): string => `${name} ${'x'.repeat(5000)}`;
const clientOf = (name: string): string => `${name}/client`;
const topicOf = (name: string): string => `${name}/topic`;

function enter(face: Face, clientId: string, options: Partial<IConnectPacket> = {}, expiry = LONG) {
  const properties = { sessionExpiryInterval: expiry, ...options.properties };
  return face.engine.connect({ clientId, protocolVersion: 5, clean: false, ...options, properties });
}

async function leave({ engine }: Face, client: RawClient): Promise<void> {
  await engine.cut(client);
  await engine.broker.commit.settled();
}

/** A client that subscribes and is gone again. */
async function away(face: Face, clientId: string, filter: string, qos: 1 | 2, expiry = LONG): Promise<void> {
  const client = await enter(face, clientId, {}, expiry);
  await client.subscribe(filter, qos);
  await leave(face, client);
}

async function publish({ engine }: Face, topic: string, payload: string, qos: 0 | 1 | 2, retain = false) {
  engine.broker.publish({ topic, payload, qos, retain });
  await engine.broker.commit.settled();
}

/** The payloads that wait for a client, up to a message that is published to it now. */
async function received(face: Face, clientId: string): Promise<string[]> {
  const client = await enter(face, clientId);
  const end = `kind/end of ${clientId}`;
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: end, qos: 1 }] });
  const payloads: string[] = [];
  for (;;) {
    const packet = await client.next();
    if (packet.cmd === 'suback') await publish(face, end, '', 1);
    if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId: packet.messageId as number });
    if (packet.cmd !== 'publish') continue;
    client.send({ cmd: packet.qos === 2 ? 'pubrec' : 'puback', messageId: packet.messageId as number });
    if (packet.topic === end) return payloads;
    payloads.push(String(packet.payload));
  }
}

function once(payloads: readonly string[], payload: string): Found {
  if (payloads.some((other) => other !== payload) || payloads.length > 2) return 'wrong';
  return (['gone', 'right', 'twice'] as const)[payloads.length];
}

/** A message to a kept session, whose client is away or has it and does not acknowledge it. */
const queued = (qos: 1 | 2, client: 'away' | 'there'): Piece => ({
  family: Family.Queue,
  async bring(face, name) {
    const subscriber = await enter(face, clientOf(name));
    await subscriber.subscribe(topicOf(name), qos);
    if (client === 'away') await leave(face, subscriber);
    await publish(face, topicOf(name), bodyOf(name), qos);
    if (client === 'there') await subscriber.expect('publish');
  },
  find: async (face, name) => once(await received(face, clientOf(name)), bodyOf(name)),
});

function retainedIn({ engine }: Face, topic: string): string[] {
  const message = engine.broker.router.retained.get(topic);
  return message === null ? [] : [String(message.payload)];
}

const retained = (qos: 0 | 1): Piece => ({
  family: Family.Retained,
  bring: (face, name) => publish(face, topicOf(name), bodyOf(name), qos, true),
  find: async (face, name) => once(retainedIn(face, topicOf(name)), bodyOf(name)),
});

/** A client with a will that is retained. */
const willing = (face: Face, name: string, willDelayInterval: number) =>
  enter(face, clientOf(name), {
    will: {
      topic: topicOf(name),
      payload: Buffer.from(bodyOf(name)),
      qos: 1,
      retain: true,
      properties: { willDelayInterval },
    },
  });

const pathOf = (name: string): string => `/ps/${topicOf(name)}`;

const PIECES: Readonly<Record<Kind, Piece>> = {
  'QoS 0 message': {
    family: null,
    async bring(face, name) {
      await away(face, 'kind/quick', '+/quick', 1);
      await publish(face, `${name}/quick`, bodyOf(name), 0);
    },
    find: async (face, name) => once(await received(face, 'kind/quick'), bodyOf(name)),
  },
  'QoS 1 message to a kept session, client away': queued(1, 'away'),
  'QoS 2 message to a kept session, client away': queued(2, 'away'),
  'QoS 1 message to a kept session, sent, not acknowledged': queued(1, 'there'),
  'QoS 2 message to a kept session, sent, not acknowledged': queued(2, 'there'),
  'Message to a shared subscription of kept sessions': {
    family: Family.Queue,
    async bring(face, name) {
      for (const member of ['one', 'two']) await away(face, `${name}/${member}`, `$share/g/${topicOf(name)}`, 1);
      await publish(face, topicOf(name), bodyOf(name), 1);
    },
    find: async (face, name) =>
      once([...(await received(face, `${name}/one`)), ...(await received(face, `${name}/two`))], bodyOf(name)),
  },
  'What an ended session leaves to the others of its shared subscription': {
    family: Family.Queue,
    async bring(face, name) {
      const filter = `$share/g/${topicOf(name)}`;
      await away(face, `${name}/one`, filter, 1, SHORT);
      await publish(face, topicOf(name), bodyOf(name), 1);
      await away(face, `${name}/two`, filter, 1);
    },
    // The session that has ended may be back with what it has, if the record of its end is lost.
    find: async (face, name) =>
      once([...(await received(face, `${name}/one`)), ...(await received(face, `${name}/two`))], bodyOf(name)),
  },
  'Message to a session that ends with its connection': {
    family: null,
    async bring(face, name) {
      const client = await enter(face, 'kind/brief', {}, 0);
      await client.subscribe('+/brief', 1);
      await publish(face, `${name}/brief`, bodyOf(name), 1);
      await client.expect('publish');
    },
    find: async (face, name) => once(await received(face, 'kind/brief'), bodyOf(name)),
  },
  [HALFWAY]: {
    family: Family.Queue,
    async bring(face, name) {
      await away(face, `${name}/receiver`, topicOf(name), 2);
      const client = await enter(face, clientOf(name));
      client.publish(topicOf(name), bodyOf(name), { qos: 2, messageId: PACKET_ID });
      await client.expect('pubrec');
    },
    async find(face, name) {
      const client = await enter(face, clientOf(name));
      const message = {
        topic: topicOf(name),
        payload: bodyOf(name),
        qos: 2,
        retain: false,
        messageId: PACKET_ID,
      } as const;
      client.send({ cmd: 'publish', dup: true, ...message });
      await client.expect('pubrec');
      client.send({ cmd: 'pubrel', messageId: PACKET_ID });
      await client.expect('pubcomp');
      return once(await received(face, `${name}/receiver`), bodyOf(name));
    },
  },
  'Retained message': retained(1),
  'Retained message of QoS 0, once written': retained(0),
  'That a retained message was cleared': {
    family: Family.Retained,
    before: (face, name) => publish(face, topicOf(name), bodyOf(name), 1, true),
    bring: (face, name) => publish(face, topicOf(name), '', 1, true),
    find: async (face, name) => undone(once(retainedIn(face, topicOf(name)), bodyOf(name))),
  },
  [OWED]: {
    family: null,
    async bring(face, name) {
      await publish(face, 'kind/owed', 'first', 1, true);
      await publish(face, `${name}/owed`, bodyOf(name), 1, true);
      const client = await enter(face, 'kind/owing', { properties: { receiveMaximum: 1 } });
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'kind/owed', qos: 1 }] });
      while ((await client.next()).cmd !== 'publish');
      client.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: '+/owed', qos: 1 }] });
      await client.expect('suback');
    },
    async find(face, name) {
      const payloads = await received(face, 'kind/owing');
      return once(
        payloads.filter((payload) => payload !== 'first'),
        bodyOf(name),
      );
    },
  },
  'Kept session': {
    family: Family.Session,
    bring: (face, name) => away(face, clientOf(name), topicOf(name), 1),
    async find(face, name) {
      const { connack } = await enter(face, clientOf(name));
      return connack.sessionPresent ? 'right' : 'gone';
    },
  },
  'Its subscription': {
    family: Family.Subscription,
    bring: (face, name) => away(face, clientOf(name), topicOf(name), 1),
    async find(face, name) {
      await publish(face, topicOf(name), bodyOf(name), 1);
      return once(await received(face, clientOf(name)), bodyOf(name));
    },
  },
  'That a subscription was ended': {
    family: Family.Subscription,
    before: (face, name) => away(face, clientOf(name), topicOf(name), 1),
    async bring(face, name) {
      const client = await enter(face, clientOf(name));
      client.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [topicOf(name)] });
      await client.expect('unsuback');
      await leave(face, client);
    },
    async find(face, name) {
      await publish(face, topicOf(name), bodyOf(name), 1);
      return undone(once(await received(face, clientOf(name)), bodyOf(name)));
    },
  },
  'Will of a connected client': {
    family: Family.Will,
    async bring(face, name) {
      await willing(face, name, 0);
    },
    async find(face, name) {
      face.pass(1);
      return once(retainedIn(face, topicOf(name)), bodyOf(name));
    },
  },
  'Will that waits for its delay': {
    family: Family.Will,
    async bring(face, name) {
      await leave(face, await willing(face, name, DELAY));
    },
    async find(face, name) {
      if (retainedIn(face, topicOf(name)).length > 0) return 'wrong';
      face.pass(DELAY + 1);
      return once(retainedIn(face, topicOf(name)), bodyOf(name));
    },
  },
  'Value that CoAP has put': {
    family: Family.Retained,
    async bring(face, name) {
      const put = await face.device().ask('put', pathOf(name), { payload: name, options: [[OPT.contentFormat, TEXT]] });
      assert.equal(put.code, '2.01');
    },
    async find(face, name) {
      const value = await face.device().ask('get', pathOf(name));
      if (value.code === '4.04') return 'gone';
      const whole =
        value.code === '2.05' && String(value.payload) === name && number(value, OPT.contentFormat) === TEXT;
      return whole ? 'right' : 'wrong';
    },
  },
  'Observation of CoAP': {
    family: null,
    async bring(face, name) {
      await publish(face, 'kind/observed', 'old', 1, true);
      const token = Buffer.from(name).toString('hex');
      const answer = await face.device().ask('get', '/ps/kind/observed', { token, options: [[OPT.observe, 0]] });
      assert.notEqual(number(answer, OPT.observe), undefined);
    },
    async find(face, name) {
      const device = face.device();
      await publish(face, 'kind/observed', 'new', 1, true);
      const { token } = await device.ask('get', '/ps/kind/observed', { token: '01' });
      if (token === '01') return 'gone';
      return token === Buffer.from(name).toString('hex') ? 'right' : 'wrong';
    },
  },
};

/** What is found of something that has been ended: it should not be there. */
function undone(found: Found): Found {
  return found === 'gone' ? 'right' : found === 'right' ? 'older' : 'wrong';
}

/** Family of the record that holds a kind; null if none does. */
export function familyOf(kind: Kind): number | null {
  return PIECES[kind].family;
}

/** What is found in a store that is not damaged. */
export const WHOLE: Readonly<Record<Kind, Found>> = Object.fromEntries(
  KINDS.map((kind) => [kind, DAMAGED[kind] === 'not stored' ? 'gone' : 'right']),
) as Record<Kind, Found>;

/** Whether that may be found of a kind when something that it rests on is damaged. */
export function isAllowed(kind: Kind, found: Found): boolean {
  if (found === WHOLE[kind]) return true;
  switch (DAMAGED[kind]) {
    case 'yes, or set aside':
      return found === 'gone' || (found === 'twice' && kind === HALFWAY);
    case 'yes, or undone':
      return found === 'older';
    case 'not stored':
      return false;
  }
}

/** Brings about what the kinds replace. */
export async function bringFormer(engine: Engine): Promise<void> {
  await withFace(engine, async (face) => {
    for (const kind of KINDS) await PIECES[kind].before?.(face, nameOf(kind));
  });
}

/**
 * Brings about one of each kind, acknowledged and written.
 * @param killed called when the store is as a kill would leave it: a session has ended, and what it leaves is still there
 */
export async function bringKinds(engine: Engine, killed: () => void): Promise<void> {
  await withFace(engine, async (face) => {
    for (const kind of KINDS) await PIECES[kind].bring(face, nameOf(kind));
    await engine.broker.commit.settled();
    engine.pass(SHORT + 1);
    await new Promise<void>((resolve, reject) => {
      engine.broker.commit.whenSettled(() => {
        try {
          resolve(killed());
        } catch (error) {
          reject(error);
        }
      });
    });
  });
}

/** What a started broker serves of each kind; it is not the same afterwards. */
export async function foundIn(engine: Engine): Promise<Record<Kind, Found>> {
  await inherited(engine);
  const found = {} as Record<Kind, Found>;
  await withFace(engine, async (face) => {
    for (const kind of KINDS) found[kind] = await PIECES[kind].find(face, nameOf(kind));
  });
  return found;
}

async function withFace(engine: Engine, use: (face: Face) => Promise<void>): Promise<void> {
  const face = Face.on(engine);
  try {
    await use(face);
  } finally {
    await face.close();
  }
}

/** Resolves when what ended sessions leave has gone to others: a start sees to it while clients are served. */
export async function inherited({ broker }: Engine): Promise<void> {
  for (let rounds = 0; rounds < MOST_ROUNDS; rounds++) {
    const numbers = new Set([...broker.sessions.all()].map((session) => session.number));
    let left = false;
    for (const family of [Family.Flow, Family.Queue]) {
      for await (const key of broker.store.keys(familyRange(family))) left ||= !numbers.has(sessionOf(key));
    }
    if (!left) return;
    await broker.commit.settled();
  }
  assert.fail('what an ended session leaves stays in the store');
}

const MOST_ROUNDS = 1000;
