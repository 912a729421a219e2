/** Plays the script of a scenario to one broker; what its clients see, a line each. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { IConnackPacket, IPublishPacket, Packet } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import { connectPacket, RawClient } from '../../interop/raw.js';
import type { Peer } from './peer.js';
import type { Coming, Scenario } from './scenario.js';

/** Properties of PUBLISH that a script may give, by their short names. */
const PUBLISH_PROPERTIES: Readonly<Record<string, (value: string) => NonNullable<IPublishPacket['properties']>>> = {
  expiry: (value) => ({ messageExpiryInterval: Number(value) }),
  alias: (value) => ({ topicAlias: Number(value) }),
  type: (value) => ({ contentType: value }),
  answer: (value) => ({ responseTopic: value }),
  correlation: (value) => ({ correlationData: Buffer.from(value) }),
  format: (value) => ({ payloadFormatIndicator: value === '1' }),
  user: (value) => ({ userProperties: Object.fromEntries([value.split(':')]) as Record<string, string> }),
};

const ZERO = 0;
let runs = 0;

class Actor {
  readonly client: RawClient;
  readonly holds: boolean;
  connack: IConnackPacket | undefined;
  /** Messages since the last look. */
  messages: string[] = [];
  /** How the connection ended, once it has. */
  end: string | undefined;
  id = 0;

  constructor(client: RawClient, holds: boolean) {
    this.client = client;
    this.holds = holds;
  }
}

/** One run of a script. */
class Run {
  readonly seen: string[] = [];
  readonly #peer: Peer;
  readonly #scenario: Scenario;
  readonly #version: 3 | 4 | 5;
  readonly #actors = new Map<string, Actor>();
  readonly #own = `run${++runs}`;

  constructor(peer: Peer, scenario: Scenario, version: 3 | 4 | 5) {
    this.#peer = peer;
    this.#scenario = scenario;
    this.#version = version;
  }

  async play(): Promise<string[]> {
    try {
      for (const step of this.#scenario.steps) await this.#step(step.replaceAll('~', this.#own).split(' '));
    } finally {
      for (const { client } of this.#actors.values()) client.cut();
    }
    return this.seen;
  }

  #tell(line: string): void {
    this.seen.push(line.replaceAll(this.#own, '~').trimEnd());
  }

  async #step([verb, name = '', ...words]: string[]): Promise<void> {
    if (verb === 'reload') return this.#reload();
    if (verb === 'restart') return this.#restart();
    if (verb === 'come' || verb === 'open') {
      const options: Coming = Object.fromEntries(words.map((word) => halves(word, '=')));
      const opened = new Actor(await this.#open(options.at ?? 'main'), options.hold === '1');
      this.#actors.set(name, opened);
      return verb === 'open' ? undefined : this.#come(name, opened, options);
    }
    const actor = this.#actors.get(name);
    assert.ok(actor !== undefined, `nobody is called ${name}`);
    if (verb === 'told') this.#told(name, actor, words);
    else if (verb === 'sub') await this.#subscribe(name, actor, words);
    else if (verb === 'unsub') await this.#unsubscribe(name, actor, words[0]);
    else if (verb === 'pub') await this.#publish(name, actor, words);
    else if (verb === 'sees') await this.#sees(name, actor, Number(words[0] ?? 0));
    else if (verb === 'is') this.#tell(`${name} is ${(await this.#ping(actor)) ? 'here' : `gone: ${actor.end}`}`);
    else if (verb === 'gone') await this.#gone(name, actor);
    else if (verb === 'raw') await this.#raw(name, actor, words, false);
    else if (verb === 'says') await this.#raw(name, actor, words, true);
    else if (verb === 'leave') await this.#leave(actor, words);
    else {
      assert.equal(verb, 'cut', `no step is called ${verb}`);
      actor.client.cut();
      await actor.client.closed;
    }
  }

  async #reload(): Promise<void> {
    this.#peer.write(this.#scenario.after ?? {});
    await this.#peer.reload();
  }

  async #restart(): Promise<void> {
    for (const { client } of this.#actors.values()) client.cut();
    await this.#peer.restart();
  }

  async #come(name: string, actor: Actor, options: Coming): Promise<void> {
    const version = this.#version;
    const { id = `${this.#own}${name}`, user, pass, clean, keep = '60', expiry, rm, mps, tam, will, delay } = options;
    const [topic, payload, qos, retain] = will?.split(':') ?? [];
    actor.client.send(
      connectPacket({
        clientId: id,
        protocolVersion: version,
        clean: clean !== '0',
        keepalive: Number(keep),
        ...(user !== undefined && { username: user }),
        ...(pass !== undefined && { password: Buffer.from(pass) }),
        ...(topic !== undefined && {
          will: {
            topic,
            payload: Buffer.from(payload ?? ''),
            qos: Number(qos) as 0 | 1 | 2,
            retain: retain === 'r',
            ...(version === 5 && delay !== undefined && { properties: { willDelayInterval: Number(delay) } }),
          },
        }),
        ...(version === 5 && {
          properties: {
            ...(expiry !== undefined && { sessionExpiryInterval: Number(expiry) }),
            ...(rm !== undefined && { receiveMaximum: Number(rm) }),
            ...(mps !== undefined && { maximumPacketSize: Number(mps) }),
            ...(tam !== undefined && { topicAliasMaximum: Number(tam) }),
          },
        }),
      }),
    );
    const connack = (await this.#until(actor, 'connack')) as IConnackPacket | null;
    if (connack === null) return this.#tell(`${name} comes: ${actor.end}`);
    actor.connack = connack;
    const code = (version === 5 ? connack.reasonCode : connack.returnCode) ?? ZERO;
    this.#tell(`${name} comes: ${code}${connack.sessionPresent ? ', and a session is there' : ''}`);
  }

  async #open(at: string): Promise<RawClient> {
    const where = this.#peer.where(at);
    if (!at.startsWith('ws') || !('port' in where)) return new RawClient(connect({ ...where }), this.#version);
    const socket = new WebSocket(`ws://127.0.0.1:${where.port}/mqtt`, 'mqtt');
    await once(socket, 'open');
    const stream = createWebSocketStream(socket);
    // It would wait for its writing side to be ended as well.
    stream.once('end', () => stream.destroy());
    return new RawClient(stream, this.#version);
  }

  #told(name: string, { connack }: Actor, words: readonly string[]): void {
    const properties: object = connack?.properties ?? {};
    // Generated identifiers are random behind their prefix.
    const show = (word: string): string =>
      String(Reflect.get(properties, word) ?? 'nothing').replace(/^(auto-|\w+-)[\da-fA-F-]{16,}$/, '$1...');
    this.#tell(`${name} is told ${words.map((word) => `${word}=${show(word)}`).join(' ')}`);
  }

  async #subscribe(name: string, actor: Actor, [topic, qos, ...options]: string[]): Promise<void> {
    const of = new Map(options.map((option) => halves(option, '=')));
    const id = of.get('id');
    actor.client.send({
      cmd: 'subscribe',
      messageId: ++actor.id,
      subscriptions: [
        {
          topic,
          qos: Number(qos) as 0 | 1 | 2,
          ...(this.#version === 5 && { nl: of.has('nl'), rap: of.has('rap'), rh: Number(of.get('rh') ?? 0) }),
        },
      ],
      ...(id !== undefined && { properties: { subscriptionIdentifier: Number(id) } }),
    });
    const packet = await this.#until(actor, 'suback');
    this.#tell(`${name} subscribes ${topic}: ${packet?.cmd === 'suback' ? packet.granted.join() : actor.end}`);
  }

  async #unsubscribe(name: string, actor: Actor, filter: string): Promise<void> {
    actor.client.send({ cmd: 'unsubscribe', messageId: ++actor.id, unsubscriptions: [filter] });
    const packet = await this.#until(actor, 'unsuback');
    // 3.1.1 has no codes.
    const code = packet?.cmd === 'unsuback' && this.#version === 5 ? packet.granted.join() : 'done';
    this.#tell(`${name} unsubscribes ${filter}: ${packet === null ? actor.end : code}`);
  }

  async #publish(name: string, actor: Actor, [topic, payload, level, ...options]: string[]): Promise<void> {
    const properties = options.filter((option) => option !== 'r').map((option) => halves(option, '='));
    const qos = Number(level) as 0 | 1 | 2;
    actor.client.send({
      cmd: 'publish',
      topic: topic === '-' ? '' : topic,
      payload: bytesOf(payload),
      qos,
      retain: options.includes('r'),
      dup: false,
      ...(qos > 0 && { messageId: ++actor.id }),
      ...(properties.length > 0 && {
        properties: Object.assign({}, ...properties.map(([key, value]) => PUBLISH_PROPERTIES[key](value))) as object,
      }),
    });
    const is = `${name} publishes ${topic}:`;
    if (qos === 0) return this.#tell(`${is} ${(await this.#ping(actor)) ? 'sent' : actor.end}`);
    const packet = await this.#until(actor, qos === 1 ? 'puback' : 'pubrec');
    if (packet === null) return this.#tell(`${is} ${actor.end}`);
    const code = ('reasonCode' in packet && packet.reasonCode) || ZERO;
    this.#tell(`${is} ${code}`);
    if (qos === 1 || code >= 0x80) return;
    actor.client.send({ cmd: 'pubrel', messageId: actor.id });
    if ((await this.#until(actor, 'pubcomp')) === null) this.#tell(`${is} ${actor.end}`);
  }

  /** Sends PINGREQ: what the broker had sent before has arrived once it is answered. */
  async #ping(actor: Actor): Promise<boolean> {
    if (actor.end === undefined) actor.client.send({ cmd: 'pingreq' });
    return (await this.#until(actor, 'pingresp')) !== null;
  }

  async #sees(name: string, actor: Actor, count: number): Promise<void> {
    while (actor.messages.length < count && actor.end === undefined) await this.#next(actor);
    await this.#ping(actor);
    this.#tell(`${name} sees: ${actor.messages.join(' ')}${actor.end === undefined ? '' : ` ${actor.end}`}`);
    actor.messages = [];
  }

  /** Nothing is sent here: what is written to a closed connection may take away what the broker has said last. */
  async #gone(name: string, actor: Actor): Promise<void> {
    while ((await this.#next(actor)) !== null);
    this.#tell(`${name} is gone: ${actor.end}`);
  }

  async #raw(name: string, actor: Actor, words: readonly string[], pings: boolean): Promise<void> {
    const hex = words.join('');
    actor.client.sendBytes(Buffer.from(hex, 'hex'));
    if (pings) actor.client.send({ cmd: 'pingreq' });
    const answers: string[] = [];
    for (;;) {
      const packet = await this.#next(actor);
      if (packet?.cmd === 'pingresp') break;
      answers.push(packet === null ? (actor.end ?? '') : describe(packet));
      if (packet === null) break;
    }
    this.#tell(`${name} sends ${hex}: ${answers.join(', ') || 'nothing comes'}`);
  }

  async #leave({ client }: Actor, words: readonly string[]): Promise<void> {
    const expiry = words.map((word) => halves(word, '=')).find(([key]) => key === 'expiry')?.[1];
    client.send({
      cmd: 'disconnect',
      ...(this.#version === 5 && {
        reasonCode: Number(words.find((word) => /^\d+$/.test(word)) ?? 0),
        ...(expiry !== undefined && { properties: { sessionExpiryInterval: Number(expiry) } }),
      }),
    });
    await client.closed;
  }

  /** The next packet of a kind; null if the connection ends before. */
  async #until(actor: Actor, cmd: Packet['cmd']): Promise<Packet | null> {
    for (;;) {
      const packet = await this.#next(actor);
      if (packet === null || packet.cmd === cmd) return packet;
    }
  }

  /** The next packet: messages are noted and acknowledged. Null at the end of the connection. */
  async #next(actor: Actor): Promise<Packet | null> {
    if (actor.end !== undefined) return null;
    const { client } = actor;
    const packet = await client.next().catch((error: Error) => error);
    if (packet instanceof Error) {
      // What arrives in vain is no end.
      if (!packet.message.includes('the connection is closed')) throw packet;
      actor.end = 'closed';
      return null;
    }
    if (packet.cmd === 'disconnect') {
      actor.end = `disconnect ${packet.reasonCode ?? ZERO}`;
      await client.closed;
      return null;
    }
    if (packet.cmd === 'publish') {
      actor.messages.push(message(packet));
      const messageId = packet.messageId ?? 0;
      if (packet.qos > 0 && !actor.holds) client.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId });
    } else if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 });
    return packet;
  }
}

function halves(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function bytesOf(payload: string): Buffer {
  if (payload === '-') return Buffer.alloc(0);
  return payload.startsWith('*') ? Buffer.alloc(Number(payload.slice(1)), 'x') : Buffer.from(payload);
}

/** `TOPIC=PAYLOAD/QOS`, with `r` for RETAIN, `d` for DUP and the properties behind it. */
function message({ topic, payload, qos, retain, dup, properties = {} }: IPublishPacket): string {
  const text = payload.length > 40 ? `${payload.length}bytes` : String(payload);
  const known = Object.entries(properties).filter(([, value]) => value !== undefined);
  known.sort(([one], [other]) => (one < other ? -1 : 1));
  const more = known.map(([key, value]) => `${key}:${value instanceof Buffer ? value : JSON.stringify(value)}`);
  return `${topic}=${text}/${qos}${retain ? 'r' : ''}${dup ? 'd' : ''}${more.length > 0 ? `{${more.join()}}` : ''}`;
}

function describe(packet: Packet): string {
  if (packet.cmd === 'suback' || packet.cmd === 'unsuback') return `${packet.cmd} ${packet.granted.join()}`;
  if (packet.cmd === 'connack') return `connack ${packet.reasonCode ?? packet.returnCode}`;
  const code = 'reasonCode' in packet ? packet.reasonCode : undefined;
  return code === undefined ? packet.cmd : `${packet.cmd} ${code}`;
}

/** What the clients of a scenario see at one broker. */
export function play(peer: Peer, scenario: Scenario, version: 3 | 4 | 5): Promise<string[]> {
  return new Run(peer, scenario, version).play();
}
