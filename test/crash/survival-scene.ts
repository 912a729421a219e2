/** One of each kind of thing that a broker may lose, an event that may take it away, and what is there afterwards. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { IConnectPacket } from 'mqtt-packet';
import { CON, coapMessage, codeOf, connectRaw, Datagrams, payloadOf, type RawClient } from '../interop/raw.js';
import { Portico, temporaryFolder } from '../support/portico.js';
import { SmallDisk } from '../support/small-disk.js';
import { answerTo, upToAnswer } from './coap-answer.js';
import { Device } from './devices.js';
import { DROPPED, PowerDisk } from './power-disk.js';
import type { Event, Kind, Sync } from './survival-kinds.js';
import { readTrace, tracer } from './trace.js';

const LONG = 3600;
/** Quota exceeded: the store cannot be written. */
const UNWRITABLE = 0x97;
/** Megabytes of the disk that fills up. */
const DISK = 24;
const GET = 1;
const PUT = 3;
const OBSERVE = 6;
const URI_PATH = 11;

/** Milliseconds between the looks at a trace that is being written, and at a disk that is full. */
const LOOK = 20;

export class Scene {
  readonly #portico: Portico;
  readonly #dataDir: string;
  readonly #trace: string;
  readonly #disk: SmallDisk | null;
  readonly #open: RawClient[] = [];
  readonly #datagrams: Datagrams[] = [];

  private constructor(portico: Portico, dataDir: string, trace: string, disk: SmallDisk | null) {
    this.#portico = portico;
    this.#dataDir = dataDir;
    this.#trace = trace;
    this.#disk = disk;
  }

  /** Brings about what is to be lost or kept; everything has been acknowledged when this resolves. */
  static async prepare(event: Event, sync: Sync): Promise<Scene> {
    const folder = temporaryFolder();
    const disk = event === 'disk full' ? new SmallDisk(DISK) : null;
    const dataDir = join(disk?.path ?? folder, 'data');
    const trace = join(folder, 'trace');
    const portico = await Portico.start(
      {
        data_dir: dataDir,
        store: { sync, sync_interval: 50 },
        sys: { interval: 0 },
        log: { level: 'warn', format: 'json' },
      },
      event === 'power cut' ? tracer(trace) : [],
    );
    const scene = new Scene(portico, dataDir, trace, disk);
    await scene.#queues();
    await scene.#shared();
    await scene.#retained();
    await scene.#sessions();
    await scene.#wills();
    await scene.#coap();
    await scene.#publications();
    return scene;
  }

  async #enter(clientId: string, options: Partial<IConnectPacket> = {}): Promise<RawClient & { present: boolean }> {
    const client = await connectRaw(this.#portico.ports.mqtt, {
      clientId,
      protocolVersion: 5,
      clean: false,
      ...options,
      properties: { sessionExpiryInterval: LONG, ...options.properties },
    });
    this.#open.push(client);
    return Object.assign(client, { present: client.connack.sessionPresent });
  }

  /** A client that subscribes and is gone again. */
  async #away(clientId: string, filter: string): Promise<void> {
    const client = await this.#enter(clientId);
    await client.subscribe(filter, 2);
    await leave(client);
  }

  /** Publishes with an acknowledgement, and waits for it. */
  async #publish(topic: string, qos: 1 | 2, payload = 'x', retain = false): Promise<void> {
    const client = await this.#enter('publisher', { clean: true, properties: { sessionExpiryInterval: 0 } });
    client.send({ cmd: 'publish', topic, payload, qos, retain, dup: false, messageId: 1 });
    if (qos === 2) {
      await client.expect('pubrec');
      client.send({ cmd: 'pubrel', messageId: 1 });
    }
    await client.expect(qos === 2 ? 'pubcomp' : 'puback');
    await leave(client);
  }

  /** Publishes with QoS 0; the acknowledgement of another message says that the broker has seen to it. */
  async #publishUnacknowledged(topic: string, retain: boolean): Promise<void> {
    const client = await this.#enter('publisher', { clean: true, properties: { sessionExpiryInterval: 0 } });
    client.send({ cmd: 'publish', topic, payload: 'x', qos: 0, retain, dup: false });
    client.send({ cmd: 'publish', topic: 'away', payload: 'x', qos: 1, retain: false, dup: false, messageId: 1 });
    await client.expect('puback');
    await leave(client);
  }

  async #queues(): Promise<void> {
    await this.#away('away', 'away/#');
    await this.#publishUnacknowledged('away/0', false);
    await this.#publish('away/1', 1);
    await this.#publish('away/2', 2);
    for (const qos of [1, 2] as const) {
      const here = await this.#enter(`here-${qos}`);
      await here.subscribe(`here/${qos}`, 2);
      await this.#publish(`here/${qos}`, qos);
      await here.expect('publish');
    }
    const brief = await this.#enter('brief', { properties: { sessionExpiryInterval: 0 } });
    await brief.subscribe('brief', 2);
    await this.#publish('brief', 1);
    await brief.expect('publish');
  }

  async #shared(): Promise<void> {
    for (const group of ['all', 'rest']) {
      for (const member of ['one', 'two']) await this.#away(`${group}-${member}`, `$share/${group}/${group}/#`);
      for (const number of [1, 2, 3, 4]) await this.#publish(`${group}/${number}`, number % 2 === 0 ? 2 : 1);
    }
    const ended = await this.#enter('rest-one', { clean: true, properties: { sessionExpiryInterval: 0 } });
    await leave(ended);
    // What it leaves moves behind its back; one commit more, and it has arrived.
    for (const _ of [1, 2, 3]) await this.#publish('away', 1);
  }

  async #retained(): Promise<void> {
    for (const topic of ['kept', 'cleared', 'owed/1', 'owed/2']) await this.#publish(`retained/${topic}`, 1, 'x', true);
    await this.#publishUnacknowledged('retained/quick', true);
    await this.#publish('retained/cleared', 1, '', true);
    const owed = await this.#enter('owed', { properties: { receiveMaximum: 1 } });
    await owed.subscribe('retained/owed/#', 1);
    await owed.expect('publish');
  }

  async #sessions(): Promise<void> {
    await this.#away('subscriber', 'subscribed');
    const ended = await this.#enter('subscriber');
    await ended.subscribe('ended', 1);
    ended.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['ended'] });
    await ended.expect('unsuback');
    await leave(ended);
  }

  async #wills(): Promise<void> {
    await this.#away('watcher', 'will/#');
    const will = (topic: string, willDelayInterval: number): Partial<IConnectPacket> => ({
      will: { topic, payload: Buffer.from('x'), qos: 1, retain: false, properties: { willDelayInterval } },
    });
    await this.#enter('mortal', will('will/connected', 0));
    const waiting = await this.#enter('waiting', will('will/waiting', LONG));
    waiting.cut();
    await waiting.closed;
  }

  async #coap(): Promise<void> {
    const datagrams = await this.#datagram();
    await datagrams.send(coapMessage(CON, PUT, 1, Uint8Array.of(1), path('coap', 'value'), 'x'));
    assert.equal(codeOf(await answerTo(datagrams, Uint8Array.of(1))), '2.01');
    const observing = [[OBSERVE, ''], ...path('coap', 'observed')] as const;
    await datagrams.send(coapMessage(CON, GET, 2, Uint8Array.of(2), observing));
    assert.equal(codeOf(await answerTo(datagrams, Uint8Array.of(2))), '2.05');
  }

  async #datagram(): Promise<Datagrams> {
    const datagrams = await Datagrams.open(this.#portico.ports.coap);
    this.#datagrams.push(datagrams);
    return datagrams;
  }

  /** The last thing before the event, so that little comes between. */
  async #publications(): Promise<void> {
    await this.#away('receiver', 'halfway');
    const client = await this.#enter('halfway');
    client.send({ cmd: 'publish', topic: 'halfway', payload: 'x', qos: 2, retain: false, dup: false, messageId: 7 });
    await client.expect('pubrec');
  }

  /** Lets it happen; the broker runs afterwards. */
  async happen(event: Event, sync: Sync): Promise<void> {
    if (event === 'client gone') {
      for (const client of this.#open) client.cut();
      await Promise.all(this.#open.map(({ closed }) => closed));
      for (const datagrams of this.#datagrams.splice(0)) datagrams.close();
      return;
    }
    if (event === 'restart') await this.#portico.stop();
    if (event === 'disk full') await this.#fillDisk();
    if (event === 'kill -9' || event === 'disk full') await this.#portico.kill();
    this.#disk?.empty();
    if (event === 'power cut') await this.#cutPower(sync);
    await this.#portico.restart();
  }

  /** Fills the disk, and publishes until the broker says that it cannot write any more. */
  async #fillDisk(): Promise<void> {
    const client = await this.#enter('filler', { clean: true, properties: { sessionExpiryInterval: 0 } });
    this.#disk?.fill();
    let refused = false;
    const hear = async (): Promise<void> => {
      while ((await client.expect('puback')).reasonCode !== UNWRITABLE);
    };
    const heard = hear().finally(() => {
      refused = true;
    });
    const packet = {
      cmd: 'publish',
      topic: 'away',
      payload: 'x'.repeat(4000),
      qos: 1,
      retain: false,
      dup: false,
    } as const;
    for (let messageId = 1; !refused; messageId++) {
      client.send({ ...packet, messageId });
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
    await heard;
  }

  async #cutPower(sync: Sync): Promise<void> {
    // With `interval`, what was acknowledged before a sync began is safe when the next one begins.
    if (sync === 'interval') await this.#syncs(3);
    await this.#portico.kill();
    const left = join(temporaryFolder(), 'left');
    new PowerDisk(this.#dataDir, null).replay(readTrace(this.#trace), Number.POSITIVE_INFINITY).survive(DROPPED, left);
    rmSync(this.#dataDir, { recursive: true });
    cpSync(left, this.#dataDir, { recursive: true });
  }

  /** Resolves when the log has been synced some more times; there has to be something to sync. */
  async #syncs(more: number): Promise<void> {
    const count = (): number => readFileSync(this.#trace, 'latin1').split('fdatasync').length;
    const goal = count() + 4 * more;
    while (count() < goal) {
      await this.#publish('away', 1);
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
  }

  /** The kinds of which everything is there. */
  async found(): Promise<Set<Kind>> {
    const found = new Set<Kind>();
    const add = (kind: Kind, there: boolean): void => {
      if (there) found.add(kind);
    };
    await this.#foundPublication(add);
    const away = await this.#received('away');
    add('QoS 0 message', away.others.includes('away/0 x'));
    add('QoS 1 message to a kept session, client away', away.others.includes('away/1 x'));
    add('QoS 2 message to a kept session, client away', count(away, 'away/2 x') === 1);
    add(
      'QoS 1 message to a kept session, sent, not acknowledged',
      count(await this.#received('here-1'), 'here/1 x') > 0,
    );
    add(
      'QoS 2 message to a kept session, sent, not acknowledged',
      count(await this.#received('here-2'), 'here/2 x') === 1,
    );
    add('Message to a session that ends with its connection', count(await this.#received('brief'), 'brief x') > 0);
    const members = [await this.#received('all-one'), await this.#received('all-two')];
    const shared = [1, 2, 3, 4].map((number) => members.reduce((sum, each) => sum + count(each, `all/${number} x`), 0));
    add(
      'Message to a shared subscription of kept sessions',
      shared.every((times) => times === 1),
    );
    const rest = await this.#received('rest-two');
    const inherited = [1, 2, 3, 4].every((number) => count(rest, `rest/${number} x`) === 1);
    add('What an ended session leaves to the others of its shared subscription', inherited);
    const owed = await this.#received('owed');
    const missing = 'Retained message that a new subscription has not been sent yet, session kept';
    add(missing, count(owed, 'retained/owed/2 x') > 0);
    await this.#foundSessions(add);
    await this.#foundRetained(add);
    await this.#foundWills(add);
    await this.#foundObservation(add);
    return found;
  }

  /** What waits for a client, up to a message that is published to it now. */
  async #received(clientId: string): Promise<Device> {
    const client = await this.#enter(clientId);
    const device = new Device();
    const topic = `end/${clientId}`;
    client.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic, qos: 1 }] });
    const until = device.until(client, topic);
    await this.#publish(topic, 1, 'end');
    await until;
    return device;
  }

  async #foundPublication(add: (kind: Kind, there: boolean) => void): Promise<void> {
    const client = await this.#enter('halfway');
    client.send({ cmd: 'publish', topic: 'halfway', payload: 'x', qos: 2, retain: false, dup: true, messageId: 7 });
    await client.expect('pubrec');
    client.send({ cmd: 'pubrel', messageId: 7 });
    const { reasonCode } = await client.expect('pubcomp');
    const once = count(await this.#received('receiver'), 'halfway x') === 1;
    add('QoS 2 publication between PUBREC and PUBREL, session kept', once && client.present && (reasonCode ?? 0) === 0);
  }

  async #foundSessions(add: (kind: Kind, there: boolean) => void): Promise<void> {
    await this.#publish('subscribed', 1);
    await this.#publish('ended', 1);
    const client = await this.#enter('subscriber');
    add('Kept session', client.present);
    await leave(client);
    const device = await this.#received('subscriber');
    add('Its subscription', count(device, 'subscribed x') === 1);
    add('That a subscription was ended', client.present && count(device, 'ended x') === 0);
  }

  async #foundRetained(add: (kind: Kind, there: boolean) => void): Promise<void> {
    const reader = await this.#enter('reader', { clean: true });
    reader.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: ['retained/+', 'coap/value', 'end'].map((topic) => ({ topic, qos: 0 as const })),
    });
    await reader.expect('suback');
    const device = new Device();
    reader.send({ cmd: 'publish', topic: 'end', payload: 'x', qos: 0, retain: false, dup: false });
    await device.until(reader, 'end');
    const kept = count(device, 'retained/kept x') === 1;
    add('Retained message', kept);
    add('Retained message of QoS 0, once written', count(device, 'retained/quick x') === 1);
    add('That a retained message was cleared', kept && count(device, 'retained/cleared x') === 0);
    add('Value that CoAP has put', count(device, 'coap/value x') === 1);
  }

  async #foundWills(add: (kind: Kind, there: boolean) => void): Promise<void> {
    // The end of its session makes a will due that still waits [MQTT-3.1.2-8].
    await leave(await this.#enter('waiting', { clean: true, properties: { sessionExpiryInterval: 0 } }));
    const watcher = await this.#received('watcher');
    add('Will of a connected client', count(watcher, 'will/connected x') > 0);
    add('Will that waits for its delay', count(watcher, 'will/waiting x') > 0);
  }

  async #foundObservation(add: (kind: Kind, there: boolean) => void): Promise<void> {
    const [datagrams = await this.#datagram()] = this.#datagrams;
    await this.#publish('coap/observed', 1, 'new');
    await datagrams.send(coapMessage(CON, GET, 3, Uint8Array.of(3), path('coap', 'nothing')));
    const came = await upToAnswer(datagrams, Uint8Array.of(3));
    add(
      'Observation of CoAP',
      came.some((datagram) => payloadOf(datagram).toString() === 'new'),
    );
  }

  async dispose(): Promise<void> {
    for (const client of this.#open) client.cut();
    for (const datagrams of this.#datagrams) datagrams.close();
    await this.#portico.kill();
    await this.#portico.dispose();
    this.#disk?.remove();
  }
}

async function leave(client: RawClient): Promise<void> {
  client.send({ cmd: 'disconnect' });
  await client.closed;
}

const path = (...segments: string[]): [number, string][] => ['ps', ...segments].map((segment) => [URI_PATH, segment]);
const count = (device: Device, message: string): number => device.others.filter((each) => each === message).length;
