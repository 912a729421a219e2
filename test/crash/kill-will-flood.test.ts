/**
 * kill -9 in a flood of clients with wills that come, vanish, come back in time and say DISCONNECT: each will is published
 * once or not at all, as its client was last told, and its delay counts anew.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connectPacket, connectRaw, openRaw, type RawClient } from '../interop/raw.js';
import { mulberry32, type Random } from '../support/disk.js';
import { Portico } from '../support/portico.js';
import { crashRounds, crashSeed } from './chance.js';
import { Book, DELAYS, LONG, type Will } from './will-book.js';

/** Clients that come and go at the same time. */
const LANES = 40;
/** Clients that stay until the broker is killed, at most. */
const STAYING = 100;
/** Sessions that are ended at the same time. */
const BATCH = 50;

let portico: Portico;

before(async () => {
  portico = await Portico.start({ sys: { interval: 0 }, log: { level: 'warn', format: 'json' } });
});
after(() => portico.dispose());

const KEPT = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 2 * LONG } } as const;

/** A connection whose acknowledgements say that all before is durable. */
class Marker {
  readonly #client: RawClient;
  readonly #waiting = new Map<number, () => void>();
  readonly #ended: Promise<never>;
  #lastId = 0;

  constructor(client: RawClient) {
    this.#client = client;
    this.#ended = this.#serve();
    this.#ended.catch(() => {});
  }

  async #serve(): Promise<never> {
    for (;;) this.#waiting.get((await this.#client.next()).messageId as number)?.();
  }

  /** Resolves when everything is durable that the broker has done until now; rejects if it dies before it says so. */
  settled(): Promise<void> {
    const messageId = (this.#lastId++ % 60_000) + 1;
    const acknowledged = new Promise<void>((resolve) => this.#waiting.set(messageId, resolve));
    this.#client.send({ cmd: 'publish', topic: 'marker', payload: 'x', qos: 1, retain: true, dup: false, messageId });
    return Promise.race([acknowledged, this.#ended]);
  }
}

/** One life of the broker, with the clients that come and go in it. */
class Life {
  readonly #book: Book;
  readonly #choose: Random;
  readonly #marker: Marker;
  readonly #freshName: () => string;
  readonly #all: RawClient[] = [];
  #staying = 0;
  /** The broker is about to be killed: then connections end. */
  ending = false;

  constructor(book: Book, choose: Random, marker: Marker, freshName: () => string) {
    this.#book = book;
    this.#choose = choose;
    this.#marker = marker;
    this.#freshName = freshName;
  }

  async #enter(name: string): Promise<{ client: RawClient; will: Will }> {
    const client = await openRaw(portico.ports.mqtt, 5);
    this.#all.push(client);
    const choose = this.#choose;
    const will = this.#book.begin(name, DELAYS[choose(DELAYS.length)], choose(3) === 0);
    const { number, delay: willDelayInterval, retain } = will;
    const properties = { willDelayInterval };
    const last = { topic: `will/${name}`, payload: Buffer.from(`${number}`), qos: 1, retain, properties } as const;
    client.send(connectPacket({ clientId: name, ...KEPT, will: last }));
    await client.expect('connack');
    this.#book.accepted(will);
    return { client, will };
  }

  /** Comes and goes until the broker dies; returns the last name. */
  async run(first: string): Promise<string> {
    const choose = this.#choose;
    let name = first;
    try {
      for (;;) {
        const { client, will } = await this.#enter(name);
        const deed = choose(6);
        if (deed < 2) {
          this.#book.cut(will);
          client.cut();
          await client.closed;
        } else if (deed < 4) {
          will.left = true;
          client.send({ cmd: 'disconnect', reasonCode: 0 });
          await client.closed;
          await this.#marker.settled();
          this.#book.settled(will);
        } else if (deed === 4 && this.#staying < STAYING) {
          this.#staying++;
          name = this.#freshName();
          continue;
        }
        // Otherwise the client comes back while it is still connected.
        if (deed < 4 && choose(2) === 0) name = this.#freshName();
      }
    } catch (error) {
      if (!this.ending) throw error;
      return name;
    }
  }

  /** Resolves when all its connections are closed. */
  async over(): Promise<void> {
    await Promise.all(this.#all.map(({ closed }) => closed));
  }
}

/** A subscriber of all wills. */
async function watcher(clientId: string): Promise<RawClient> {
  const client = await connectRaw(portico.ports.mqtt, { clientId, ...KEPT });
  if (!client.connack.sessionPresent) {
    await client.subscribe('will/#', 1);
    await client.subscribe('end', 1);
  }
  return client;
}

/** Takes wills until `take` says that it is over, or the message comes that says so. */
async function read(client: RawClient, take: (number: number) => boolean): Promise<void> {
  for (;;) {
    const packet = await client.next();
    if (packet.cmd !== 'publish') continue;
    if (packet.qos === 1) client.send({ cmd: 'puback', messageId: packet.messageId as number });
    if (packet.topic === 'end' || !take(Number(packet.payload.toString()))) return;
  }
}

async function cut(client: RawClient): Promise<void> {
  client.cut();
  await client.closed;
}

/** Ends a session, which makes a will that still waits due at once [MQTT-3.1.2-8]. */
async function endSession(clientId: string): Promise<void> {
  const options = { ...KEPT, clean: true, properties: { sessionExpiryInterval: 0 } };
  await cut(await connectRaw(portico.ports.mqtt, { clientId, ...options }));
}

/** The numbers of the retained wills, by client identifier. What a later subscription brings comes behind them. */
async function retained(): Promise<Map<string, number>> {
  const reader = await connectRaw(portico.ports.mqtt, { clientId: 'reader', protocolVersion: 5 });
  for (const [index, topic] of ['will/#', 'marker'].entries()) {
    reader.send({ cmd: 'subscribe', messageId: index + 1, subscriptions: [{ topic, qos: 0 }] });
  }
  const found = new Map<string, number>();
  for (;;) {
    const packet = await reader.next();
    if (packet.cmd !== 'publish') continue;
    if (packet.topic === 'marker') break;
    found.set(packet.topic.slice('will/'.length), Number(packet.payload.toString()));
  }
  await cut(reader);
  return found;
}

test('kill -9 in a flood of clients with wills that vanish, come back and leave: each will is published once, or not at all', {
  timeout: 120_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const book = new Book();
  let names = 0;
  const freshName = (): string => `c${names++}`;
  await cut(await watcher('away'));
  /** How often the subscriber that is connected got each will. */
  const told = new Map<number, number>();
  const listen = (): ((number: number) => void) => {
    const seen = new Set<number>();
    return (number) => {
      book.arrived(number);
      if (seen.has(number)) book.faults.push(`will ${number} came twice by one connection`);
      seen.add(number);
      told.set(number, (told.get(number) ?? 0) + 1);
    };
  };
  let lanes = Array.from({ length: LANES }, freshName);
  for (let round = crashRounds(4); round > 0; round--) {
    const take = listen();
    const live = await watcher('live');
    const listening = read(live, (number) => {
      take(number);
      return true;
    }).catch(() => {});
    const marker = new Marker(await connectRaw(portico.ports.mqtt, { clientId: 'marker' }));
    const life = new Life(book, choose, marker, freshName);
    const goal = book.acknowledged + 200 + choose(1500);
    const running = Promise.all(lanes.map((name) => life.run(name)));
    while (book.acknowledged < goal) await Promise.race([running, new Promise(setImmediate)]);
    life.ending = true;
    const killedAt = performance.now();
    await portico.kill();
    lanes = (await running).map((name) => (choose(2) === 0 ? name : freshName()));
    await Promise.all([life.over(), listening]);
    book.killed(killedAt);
    await portico.restart();
  }
  const take = listen();
  const live = await watcher('live');
  const due = new Set(book.due.map(({ number }) => number).filter((number) => !told.has(number)));
  const published = due.size;
  assert.ok(published > 0);
  // Nobody does anything: their time comes.
  await read(live, (number) => {
    take(number);
    due.delete(number);
    return due.size > 0;
  });
  book.end();
  const all = [...book.names];
  for (let at = 0; at < all.length; at += BATCH) await Promise.all(all.slice(at, at + BATCH).map(endSession));
  const last = await connectRaw(portico.ports.mqtt, { clientId: 'last' });
  last.send({ cmd: 'publish', topic: 'end', payload: 'x', qos: 1, retain: false, dup: false, messageId: 1 });
  await last.expect('puback');
  await read(live, (number) => {
    take(number);
    return true;
  });
  const away: number[] = [];
  await read(await watcher('away'), (number) => {
    away.push(number);
    return true;
  });
  assert.deepEqual(book.faults, []);
  book.check(away);
  assert.deepEqual(new Set(told.keys()), new Set(away), 'who was there and who was away got the same wills');
  const kept = away.map((number) => book.wills[number]).filter(({ retain }) => retain);
  assert.deepEqual(
    await retained(),
    new Map(kept.map(({ name, number }) => [name, number])),
    'the last one is retained',
  );
  for (const fate of ['must', 'never', 'may'] as const) t.diagnostic(`${book.count(fate)} wills: ${fate}`);
  const twice = [...told.values()].filter((count) => count > 1).length;
  t.diagnostic(`${published} came due after the last start; ${twice} came again to who was there, after a kill`);
});
