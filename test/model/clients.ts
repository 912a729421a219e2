/**
 * A client that keeps its side of MQTT 4.3 and 4.4 as the specification says, in its own time: its acknowledgements wait
 * until they are asked for. What arrives is put before the reference.
 */
import type { IConnectPacket, IPublishPacket, Packet } from 'mqtt-packet';
import type { Engine, RawClient } from '../support/engine.js';
import type { Reference } from './reference.js';
import { type ConnectOptions, type Message, NEVER, type Qos, type Subscription } from './terms.js';

/** A QoS 1 or 2 publication of this client that is not acknowledged to the end. */
interface Outgoing {
  readonly message: Message;
  /** `recorded`: PUBREC has come; `released`: PUBREL has been sent. */
  state: 'published' | 'recorded' | 'released';
}

type Answer = { readonly cmd: 'puback' | 'pubrec' | 'pubcomp' | 'pubrel'; readonly messageId: number };

/** Reason code 0x83, Implementation specific error: the client does not take a message. */
const REFUSED = 0x83;

export class Client {
  readonly id: string;
  readonly #reference: Reference;
  /** Told of everything that is sent and received, and of what is wrong with it. */
  readonly #note: (line: string, fault?: boolean) => void;
  #link: RawClient | null = null;
  #reading: Promise<void> = Promise.resolve();
  #answers: Answer[] = [];
  readonly #outgoing = new Map<number, Outgoing>();
  #lastPacketId = 0;
  /** Codes of SUBACK or UNSUBACK. */
  #codes: readonly unknown[] | null = null;
  #pings: (() => void)[] = [];
  options: ConnectOptions | null = null;

  constructor(id: string, reference: Reference, note: (line: string, fault?: boolean) => void) {
    this.id = id;
    this.#reference = reference;
    this.#note = (line, fault) => note(`${id} ${line}`, fault);
  }

  get connected(): boolean {
    return this.#link !== null;
  }

  /** Acknowledgements that are due. */
  get due(): number {
    return this.#answers.length;
  }

  // --- connecting ---------------------------------------------------------------------------------------------------

  /** Connects, also if it is connected: then it takes its own session over. */
  async connect(engine: Engine, options: ConnectOptions): Promise<void> {
    const former = this.#link;
    const formerReading = this.#reading;
    this.forget();
    const present = this.#reference.connect(this.id, { ...options });
    const link = engine.open(options.version);
    this.#link = link;
    this.options = options;
    link.send(this.#connectPacket(options));
    const connack = await link.expect('connack');
    this.#note(`< connack ${connack.sessionPresent ? 'present' : 'new'}`);
    if ((connack.reasonCode ?? connack.returnCode) !== 0) this.#note('CONNACK refuses', true);
    // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
    if (connack.sessionPresent !== present) this.#note(`Session Present is not ${present}`, true);
    if (former !== null) await formerReading;
    // [MQTT-3.2.2-5]: without a session there, there is none here.
    if (!connack.sessionPresent) this.#outgoing.clear();
    this.#reading = this.#read(link);
    this.#resume(link);
  }

  #connectPacket({ version, cleanStart, expiry, window, will }: ConnectOptions): IConnectPacket {
    const packet: IConnectPacket = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clientId: this.id,
      clean: cleanStart,
      keepalive: 0,
    };
    if (version === 5) packet.properties = { sessionExpiryInterval: expiry, receiveMaximum: window };
    if (will !== null) {
      const { topic, payload, qos, retain, delay, expiry: messageExpiryInterval } = will;
      packet.will = { topic, payload, qos, retain };
      if (version === 5) packet.will.properties = { willDelayInterval: delay };
      if (version === 5 && messageExpiryInterval !== undefined) {
        packet.will.properties = { willDelayInterval: delay, messageExpiryInterval };
      }
    }
    return packet;
  }

  /** What was not acknowledged is sent again under its packet identifier [MQTT-4.4.0-1]. */
  #resume(link: RawClient): void {
    for (const [messageId, outgoing] of this.#outgoing) {
      if (outgoing.state === 'published') {
        // An older version has no properties to send it with.
        const message = {
          ...outgoing.message,
          expiry: this.options?.version === 5 ? outgoing.message.expiry : undefined,
        };
        this.#reference.publish(this.id, message, messageId, true);
        link.send(this.#publishPacket(message, messageId, true));
      } else {
        outgoing.state = 'released';
        this.#reference.release(this.id, messageId);
        link.send({ cmd: 'pubrel', messageId });
      }
    }
  }

  /** DISCONNECT with Reason Code 0x00, or 0x04 which leaves the will in force. */
  async disconnect(reasonCode: 0 | 4, expiry?: number): Promise<void> {
    const packet: Packet = { cmd: 'disconnect' };
    if (this.options?.version === 5) packet.reasonCode = reasonCode;
    if (expiry !== undefined) packet.properties = { sessionExpiryInterval: expiry };
    this.#link?.send(packet);
    // A session that was to end with its connection cannot be kept now: a protocol error [MQTT-3.14.2-2].
    const isError = this.options?.expiry === 0 && (expiry ?? 0) > 0;
    this.#reference.disconnect(this.id, reasonCode === 4 || isError, isError ? {} : { expiry });
    await this.#left();
  }

  /** Cuts the connection, perhaps with packets on their way here. */
  async cut(): Promise<void> {
    this.#reference.disconnect(this.id, true, { unseen: true });
    this.#link?.destroy();
    await this.#left();
  }

  async #left(): Promise<void> {
    const reading = this.#reading;
    this.forget();
    await reading;
  }

  /** Resolves when the server has closed the connection and all that it sent before has been looked at. */
  async closed(): Promise<void> {
    await this.#reading;
    this.forget();
  }

  /** The connection is nothing to this client any more. */
  forget(): void {
    this.#link = null;
    this.#answers = [];
    for (const resolve of this.#pings.splice(0)) resolve();
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  publish(message: Message): void {
    let packetId = 0;
    if (message.qos > 0) {
      do this.#lastPacketId = (this.#lastPacketId % 100) + 1;
      while (this.#outgoing.has(this.#lastPacketId));
      packetId = this.#lastPacketId;
      this.#outgoing.set(packetId, { message, state: 'published' });
    }
    this.#reference.publish(this.id, message, packetId);
    this.#link?.send(this.#publishPacket(message, packetId, false));
  }

  #publishPacket({ topic, payload, qos, retain, expiry }: Message, messageId: number, dup: boolean): IPublishPacket {
    const packet: IPublishPacket = { cmd: 'publish', topic, payload, qos, retain, dup };
    if (qos > 0) packet.messageId = messageId;
    if (expiry !== undefined) packet.properties = { messageExpiryInterval: expiry };
    return packet;
  }

  subscribe(subscriptions: readonly Subscription[]): void {
    this.#reference.subscribe(this.id, subscriptions);
    // [MQTT-3.8.4-6]: as many codes, in order. Portico grants what is asked for.
    this.#codes = subscriptions.map(({ qos }) => qos);
    const packet: Packet = {
      cmd: 'subscribe',
      messageId: 200,
      subscriptions: subscriptions.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
        topic: filter,
        qos,
        nl: noLocal,
        rap: retainAsPublished,
        rh: retainHandling,
      })),
    };
    const [{ identifier }] = subscriptions;
    if (identifier > 0) packet.properties = { subscriptionIdentifier: identifier };
    this.#link?.send(packet);
  }

  unsubscribe(filters: readonly string[]): void {
    const codes = this.#reference.unsubscribe(this.id, filters);
    this.#codes = this.options?.version === 5 ? codes : [];
    this.#link?.send({ cmd: 'unsubscribe', messageId: 201, unsubscriptions: [...filters] });
  }

  /** Sends acknowledgements that are due, in order [MQTT-4.6.0-2] to [MQTT-4.6.0-4]. */
  acknowledge(count: number, refuse = false): void {
    for (const { cmd, messageId } of this.#answers.splice(0, count)) {
      const refused = refuse && this.options?.version === 5 && (cmd === 'puback' || cmd === 'pubrec');
      this.#note(`> ${cmd} ${messageId}${refused ? ' refused' : ''}`);
      if (cmd === 'pubrel') {
        const outgoing = this.#outgoing.get(messageId);
        if (outgoing !== undefined) outgoing.state = 'released';
        this.#reference.release(this.id, messageId);
      } else {
        this.#reference.acknowledge(this.id, cmd, messageId, refused);
      }
      this.#link?.send(refused ? { cmd, messageId, reasonCode: REFUSED } : { cmd, messageId });
    }
  }

  /** Resolves when the server has answered PINGREQ, or the connection is gone. */
  async ping(): Promise<void> {
    if (this.#link === null) return;
    const answered = new Promise<void>((resolve) => this.#pings.push(resolve));
    this.#link.send({ cmd: 'pingreq' });
    await answered;
  }

  /** Nothing is on its way: returns what the server has not answered, or null. */
  unanswered(): string | null {
    if (this.#link === null) return null;
    if (this.#codes !== null) return 'SUBACK or UNSUBACK';
    for (const [messageId, { state }] of this.#outgoing) {
      if (state !== 'recorded') return `what was ${state} under packet identifier ${messageId}`;
    }
    return null;
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  async #read(link: RawClient): Promise<void> {
    for (;;) {
      const packet = await link.next().catch(() => null);
      if (packet === null) break;
      if (this.#link === link) this.#take(packet);
      else if (packet.cmd !== 'disconnect' && packet.cmd !== 'pingresp') this.#note(`< ${packet.cmd}, too late`);
    }
    if (this.#link === link) for (const resolve of this.#pings.splice(0)) resolve();
  }

  #take(packet: Packet): void {
    if (packet.cmd === 'pingresp') {
      this.#pings.shift()?.();
      return;
    }
    const messageId = packet.messageId ?? 0;
    this.#note(`< ${wordsOf(packet)}`);
    if (packet.cmd === 'publish') this.#publishArrives(packet, messageId);
    else if (packet.cmd === 'pubrel') this.#pubrelArrives(messageId);
    else if (packet.cmd === 'suback' || packet.cmd === 'unsuback') this.#codesArrive(packet.granted);
    else if (packet.cmd === 'puback') this.#acknowledged(messageId, 1, 'published', packet.reasonCode);
    else if (packet.cmd === 'pubrec') this.#acknowledged(messageId, 2, 'published', packet.reasonCode);
    else if (packet.cmd === 'pubcomp') this.#acknowledged(messageId, 2, 'released', packet.reasonCode);
    else if (packet.cmd !== 'disconnect') this.#note('a server does not send this', true);
  }

  #publishArrives(packet: IPublishPacket, packetId: number): void {
    const { topic, qos, retain, dup, properties } = packet;
    const fault = this.#reference.publishArrives(this.id, {
      topic,
      payload: packet.payload.toString(),
      qos: qos as Qos,
      retain,
      dup,
      packetId,
      identifiers: [properties?.subscriptionIdentifier ?? []].flat(),
      expiry: properties?.messageExpiryInterval,
    });
    if (fault !== null) this.#note(fault, true);
    if (qos > 0) this.#answers.push({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: packetId });
  }

  #pubrelArrives(messageId: number): void {
    const fault = this.#reference.pubrelArrives(this.id, messageId);
    if (fault !== null) this.#note(fault, true);
    this.#answers.push({ cmd: 'pubcomp', messageId });
  }

  #codesArrive(codes: readonly unknown[] | undefined): void {
    const expected = JSON.stringify(this.#codes ?? 'no answer');
    if (JSON.stringify(codes ?? []) !== expected) this.#note(`expected ${expected}`, true);
    this.#codes = null;
  }

  #acknowledged(messageId: number, qos: Qos, expected: Outgoing['state'], reasonCode = 0): void {
    const outgoing = this.#outgoing.get(messageId);
    const complete = expected === 'released';
    // 0x92: the server had forgotten it, because PUBREL comes again (4.3.3).
    if (reasonCode >= 0x80 && !(complete && reasonCode === 0x92)) this.#note('it is refused', true);
    if (outgoing?.state !== expected || outgoing.message.qos !== qos) {
      this.#note(`it acknowledges what is ${outgoing?.state ?? 'unknown'}`, true);
    } else if (qos === 2 && !complete) {
      outgoing.state = 'recorded';
      this.#answers.push({ cmd: 'pubrel', messageId });
    } else {
      this.#outgoing.delete(messageId);
    }
  }
}

function wordsOf(packet: Packet): string {
  const words = [packet.cmd, packet.messageId ?? ''];
  if (packet.cmd === 'publish') {
    const { topic, payload, qos, retain, dup, properties } = packet;
    words.push(topic, `"${payload}" QoS ${qos}`);
    if (retain) words.push('RETAIN');
    if (dup) words.push('DUP');
    if (properties !== undefined) words.push(JSON.stringify(properties));
  }
  if ('granted' in packet) words.push(JSON.stringify(packet.granted));
  if ('reasonCode' in packet && packet.reasonCode) words.push(`reason ${packet.reasonCode}`);
  return words.join(' ');
}

/** What an older client says with Clean Session, in the terms of MQTT 5.0 (3.1.2.4 there). */
export function inFull(options: ConnectOptions, mostInFlight: number): ConnectOptions {
  const { version, cleanStart, will } = options;
  const window = Math.min(options.window, mostInFlight);
  if (version === 5) return { ...options, window };
  return {
    version,
    cleanStart,
    expiry: cleanStart ? 0 : NEVER,
    window: mostInFlight,
    will: will && { ...will, delay: 0, expiry: undefined },
  };
}
