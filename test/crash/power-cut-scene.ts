/** What the clients of a broker do until the power is cut, what they had been told by then, and what is true afterwards. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { CON, coapMessage, connectRaw, Datagrams, type RawClient, tokenOf } from '../interop/raw.js';
import { Portico, temporaryFolder } from '../support/portico.js';
import { answerTo } from './coap-answer.js';
import { Device, Progress, type Publication } from './devices.js';
import type { Choose } from './power-disk.js';
import { type Call, readTrace, sentBytes, tracer } from './trace.js';

const WINDOW = 20;
const FILTERS = 6;
const RETAINED = 6;
/** Bytes of a message that is large. With a few of them LevelDB begins a new log (4 MB). */
const LARGE = 150_000;
const WHO_QUEUES = ['offline', 'online', 'member-a', 'member-b'] as const;
const COAP_PUT = 3;
const COAP_CREATED = 0x41;
const COAP_CHANGED = 0x44;

interface Request {
  readonly messageId: number;
  readonly filter: string;
  readonly subscribe: boolean;
}

/** Everything that clients have tried since the broker's first start, and what they have been told. */
export class World {
  readonly publications: Publication[];
  readonly requests: Request[];
  /** Values of one resource, put by CoAP one after the other: 1, 2, 3 and so on. */
  puts: number;

  readonly progress: Progress;
  readonly online: Device;
  /** Packet identifiers of requests that were acknowledged. */
  readonly granted: Set<number>;
  putsAcknowledged: number;
  /** Names of connections that were accepted, with the life in which they were. */
  readonly accepted: Set<string>;

  constructor(from?: World) {
    this.publications = [...(from?.publications ?? [])];
    this.requests = [...(from?.requests ?? [])];
    this.puts = from?.puts ?? 0;
    this.progress = new Progress(from?.progress);
    this.online = new Device(from?.online);
    this.granted = new Set(from?.granted);
    this.putsAcknowledged = from?.putsAcknowledged ?? 0;
    this.accepted = new Set(from?.accepted);
  }

  /**
   * Forgets what may not have been sent yet, as far as the acknowledgements tell.
   * @param earlier requests of earlier lives, of which the last one may never have been answered
   */
  forgetUntried(earlier: number): void {
    const published = this.publications.findLastIndex((publication) => this.progress.acknowledged(publication));
    this.publications.splice(published + 1 + WINDOW);
    const requested = this.requests.findLastIndex(({ messageId }) => this.granted.has(messageId));
    this.requests.splice(Math.max(requested + 1, earlier) + 1);
  }
}

/** One life of the broker under trace, from its start to its end. */
export interface Life {
  readonly calls: readonly Call[];
  readonly root: string;
  /** What the clients tried in this life and before. */
  readonly world: World;
  /** The world as it was told until a line of the trace. */
  told(cut: number): World;
  /** Lines at which the publisher was sent something. */
  readonly acknowledgements: readonly number[];
  /** The line at which the broker had taken its last client. */
  readonly ready: number;
}

/** The clients' connections of one life, in the order in which the broker accepted them. */
class Guests {
  readonly names: string[] = [];
  readonly #port: number;
  readonly #life: number;

  constructor(port: number, life: number) {
    this.#port = port;
    this.#life = life;
  }

  async enter(name: string, options: Partial<IConnectPacket> = {}): Promise<RawClient> {
    const client = await connectRaw(this.#port, { clientId: name, clean: false, ...options });
    this.names.push(`${name} ${options.clean === true ? 'clean ' : ''}${this.#life}`);
    return client;
  }
}

async function leave(client: RawClient): Promise<void> {
  client.send({ cmd: 'disconnect' });
  await client.closed;
}

async function firstLife(guests: Guests): Promise<void> {
  for (const name of WHO_QUEUES) {
    const client = await guests.enter(name);
    await client.subscribe(name.startsWith('member') ? '$share/group/q/#' : 'q/#', 2);
    if (name === 'offline') await client.subscribe('will/#', 1);
    await leave(client);
  }
  const renewed = await guests.enter('renewed');
  await renewed.subscribe('q/#', 1);
  await leave(renewed);
}

function choosePublications(world: World, count: number, choose: Choose): void {
  const first = world.publications.length + 1;
  for (let packetId = first; packetId < first + count; packetId++) {
    const qos = choose(2) === 0 ? 1 : 2;
    if (choose(5) === 0) {
      const payload = choose(3) === 0 ? '' : `${packetId}`;
      world.publications.push({ packetId, topic: `r/${choose(RETAINED)}`, payload, qos, retain: true });
      continue;
    }
    const payload = `${packetId} ${'x'.repeat(packetId % 20 === 0 ? LARGE : choose(100))}`;
    world.publications.push({ packetId, topic: `q/${qos}`, payload, qos, retain: false });
  }
}

async function changeSubscriptions(
  client: RawClient,
  world: World,
  choose: Choose,
  until: Promise<void>,
): Promise<void> {
  let over = false;
  void until.then(() => {
    over = true;
  });
  while (!over) {
    const request = {
      messageId: world.requests.length + 1,
      filter: `c/${choose(FILTERS)}`,
      subscribe: choose(2) === 0,
    };
    const { messageId, filter } = request;
    world.requests.push(request);
    if (request.subscribe) client.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos: 1 }] });
    else client.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] });
    await client.expect(request.subscribe ? 'suback' : 'unsuback');
  }
}

async function putValues(datagrams: Datagrams, world: World, until: Promise<void>): Promise<void> {
  let over = false;
  void until.then(() => {
    over = true;
  });
  while (!over) {
    const value = ++world.puts;
    const path = ['ps', 'coap'].map((segment) => [11, segment] as const);
    const token = Uint8Array.of(value >> 8, value & 0xff);
    await datagrams.send(coapMessage(CON, COAP_PUT, value, token, path, `${value}`));
    await answerTo(datagrams, token);
  }
}

/**
 * Runs the broker under trace with clients that do a little of everything, and ends it.
 * @param before what was tried and told in earlier lives
 * @param left what they left on the disk; null for the first life
 */
export async function live(
  before: World,
  left: string | null,
  sync: string,
  count: number,
  choose: Choose,
): Promise<Life> {
  const folder = temporaryFolder();
  const root = join(folder, 'data');
  if (left !== null) cpSync(left, root, { recursive: true });
  const trace = join(folder, 'trace');
  const store = { sync, sync_interval: 20 };
  const portico = await Portico.start({ data_dir: root, store, sys: { interval: 0 } }, tracer(trace));
  const world = new World(before);
  const number = left === null ? 1 : 2;
  const guests = new Guests(portico.ports.mqtt, number);
  if (left === null) await firstLife(guests);
  await guests.enter('renewed', { clean: true });
  await guests.enter('mortal', {
    will: { topic: 'will/mortal', payload: Buffer.from(`life ${number}`), qos: 1, retain: false },
  });
  const online = await guests.enter('online');
  void new Device().serve(online);
  const changing = await guests.enter('changing');
  const publisher = await guests.enter('publisher');
  choosePublications(world, count, choose);
  const datagrams = await Datagrams.open(portico.ports.coap);
  const published = new Progress(world.progress).publish(publisher, world.publications, WINDOW);
  await Promise.all([
    published,
    changeSubscriptions(changing, world, choose, published),
    putValues(datagrams, world, published),
  ]);
  datagrams.close();
  // A stop syncs what no interval has.
  await (sync === 'interval' ? portico.stop() : portico.kill());
  await portico.dispose();
  return lifeOf(world, before, readTrace(trace), root, guests.names);
}

function lifeOf(world: World, before: World, calls: Call[], root: string, names: readonly string[]): Life {
  const { connections, datagrams } = sentBytes(calls);
  // A connection that was not sent anything is somebody who looked whether the broker listens.
  const packets = connections
    .filter((sent) => sent.length > 0)
    .map((sent) => {
      const found: { readonly line: number; readonly packet: Packet }[] = [];
      const reader = parser({ protocolVersion: 4 });
      let line = 0;
      reader.on('packet', (packet) => found.push({ line, packet }));
      for (const part of sent) {
        line = part.line;
        reader.parse(part.bytes);
      }
      return found;
    });
  if (packets.length !== names.length)
    throw new Error(`${packets.length} connections in the trace, not ${names.length}`);
  const of = (name: string) => packets[names.findIndex((each) => each.startsWith(`${name} `))];
  const last = (name: string): { readonly line: number; readonly packet: Packet }[] =>
    packets[names.findLastIndex((each) => each.startsWith(`${name} `))];
  return {
    calls,
    root,
    world,
    acknowledgements: of('publisher').map(({ line }) => line),
    ready: of('publisher')[0].line,
    told(cut) {
      const told = new World(before);
      told.publications.splice(0, told.publications.length, ...world.publications);
      told.requests.splice(0, told.requests.length, ...world.requests);
      told.puts = world.puts;
      for (const [index, name] of names.entries()) if (packets[index][0].line < cut) told.accepted.add(name);
      const heard = (name: string): Packet[] =>
        last(name)
          .filter(({ line }) => line < cut)
          .map(({ packet }) => packet);
      for (const packet of heard('publisher')) told.progress.take(packet);
      for (const packet of heard('online')) told.online.take(packet);
      for (const { cmd, messageId } of heard('changing'))
        if (cmd === 'suback' || cmd === 'unsuback') told.granted.add(messageId as number);
      for (const { line, bytes } of datagrams) {
        const done = bytes[1] === COAP_CREATED || bytes[1] === COAP_CHANGED;
        if (done && line < cut)
          told.putsAcknowledged = Math.max(told.putsAcknowledged, Number.parseInt(tokenOf(bytes), 16));
      }
      told.forgetUntried(before.requests.length);
      return told;
    },
  };
}

/**
 * Starts the broker on what is left, which is used up, and returns what is not as it should be, a line each.
 * @param told what clients had been told when the power was cut; they go on from there
 * @param kept what they had been told of that must hold
 */
export async function losses(left: string, told: World, kept: World = told): Promise<string[]> {
  const portico = await Portico.start({ data_dir: left, sys: { interval: 0 }, log: { level: 'warn', format: 'json' } });
  const check = new Check(portico.ports.mqtt, told, kept);
  try {
    await check.retained();
    await check.subscriptions();
    await check.end();
    await check.messages();
  } finally {
    await portico.kill();
    await portico.dispose();
    rmSync(left, { recursive: true });
  }
  return check.lost;
}

class Check {
  readonly lost: string[] = [];
  readonly #port: number;
  readonly #told: World;
  readonly #kept: World;

  constructor(port: number, told: World, kept: World) {
    this.#port = port;
    this.#told = told;
    this.#kept = kept;
  }

  async #again(clientId: string): Promise<RawClient> {
    const client = await connectRaw(this.#port, { clientId, clean: false });
    const known = [...this.#kept.accepted].some((name) => name.startsWith(`${clientId} `));
    if (known && !client.connack.sessionPresent) this.lost.push(`the session of ${clientId}`);
    return client;
  }

  async retained(): Promise<void> {
    const reader = await connectRaw(this.#port, { clientId: 'reader' });
    const subscriptions = ['coap', 'r/#'].map((topic) => ({ topic, qos: 0 as const }));
    reader.send({ cmd: 'subscribe', messageId: 1, subscriptions });
    await reader.expect('suback');
    send(reader, 'r/last');
    const found = new Map<string, string>();
    for (let topic = ''; topic !== 'r/last'; ) {
      const packet = await reader.expect('publish');
      topic = packet.topic;
      found.set(topic, packet.payload.toString());
    }
    await leave(reader);
    for (let index = 0; index < RETAINED; index++) {
      const topic = `r/${index}`;
      const changes = this.#told.publications.filter((publication) => publication.topic === topic);
      const last = changes.findLastIndex((publication) => this.#kept.progress.acknowledged(publication));
      const allowed = new Set(changes.slice(Math.max(last, 0)).map(({ payload }) => payload));
      if (last < 0) allowed.add('');
      if (!allowed.has(found.get(topic) ?? '')) this.lost.push(`the retained message of ${topic}`);
    }
    if (Number(found.get('coap') ?? 0) < this.#kept.putsAcknowledged) this.lost.push('the value that CoAP has put');
  }

  async subscriptions(): Promise<void> {
    const client = await this.#again('changing');
    await client.subscribe('last', 1);
    const probe = await connectRaw(this.#port, { clientId: 'probe' });
    const filters = Array.from({ length: FILTERS }, (_, index) => `c/${index}`);
    for (const topic of [...filters, 'last']) send(probe, topic);
    const device = new Device();
    await device.until(client, 'last');
    for (const filter of filters) {
      const requests = this.#told.requests.filter((request) => request.filter === filter);
      const last = requests.findLastIndex(({ messageId }) => this.#kept.granted.has(messageId));
      const allowed = new Set(requests.slice(Math.max(last, 0)).map(({ subscribe }) => subscribe));
      if (last < 0) allowed.add(false);
      if (!allowed.has(device.others.includes(`${filter} x`))) this.lost.push(`the subscription to ${filter}`);
    }
  }

  async end(): Promise<void> {
    const renewed = await connectRaw(this.#port, { clientId: 'renewed', clean: false });
    const ended = [...this.#kept.accepted].some((name) => name.startsWith('renewed clean'));
    if (ended && renewed.connack.sessionPresent) this.lost.push('that the session of renewed had ended');
  }

  /** The publisher goes on from what it was told; then each subscriber must have everything. */
  async messages(): Promise<void> {
    const devices = new Map<string, Device>();
    const complete: Promise<void>[] = [];
    for (const name of WHO_QUEUES) {
      const client = await this.#again(name);
      const device = new Device(name === 'online' ? this.#told.online : undefined);
      devices.set(name, device);
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'end', qos: 1 }] });
      complete.push(device.until(client, 'end'));
    }
    const publisher = await this.#again('publisher');
    await new Progress(this.#told.progress).publish(publisher, this.#told.publications, WINDOW);
    const last = await connectRaw(this.#port, { clientId: 'last' });
    last.send({ cmd: 'publish', topic: 'end', payload: 'x', qos: 1, retain: false, dup: false, messageId: 1 });
    await Promise.all(complete);
    for (const who of [['offline'], ['online'], ['member-a', 'member-b']]) {
      this.#compare(
        who.join(' or '),
        who.map((name) => devices.get(name) as Device),
      );
    }
    for (const life of [1, 2]) {
      if (!this.#kept.accepted.has(`mortal ${life}`)) continue;
      if (!devices.get('offline')?.others.includes(`will/mortal life ${life}`))
        this.lost.push(`the will of life ${life}`);
    }
  }

  #compare(who: string, devices: readonly Device[]): void {
    for (const publication of this.#told.publications) {
      const { packetId, qos, retain } = publication;
      if (retain) continue;
      const count = devices.reduce((sum, device) => sum + (device.counts.get(packetId) ?? 0), 0);
      // What clients had been told of and may be lost nobody publishes again.
      const owed = this.#kept.progress.acknowledged(publication) || !this.#told.progress.acknowledged(publication);
      if (count === 0 && owed) this.lost.push(`message ${packetId} to ${who}`);
      if (count > 1 && qos === 2 && this.#kept === this.#told)
        this.lost.push(`message ${packetId} to ${who}: sent twice`);
    }
  }
}

function send(client: RawClient, topic: string): void {
  client.send({ cmd: 'publish', topic, payload: 'x', qos: 0, retain: false, dup: false });
}
