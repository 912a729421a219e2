/** MQTT.js as client, over TCP or WebSocket. */
import mqtt, {
  type IClientOptions,
  type IClientPublishOptions,
  type IConnackPacket,
  type IPublishPacket,
  type MqttClient,
  type Packet,
} from 'mqtt';
import type { ISubackPacket } from 'mqtt-packet';
import { Inbox } from './inbox.js';

/** A message as a client received it. */
export interface Received {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

/** A message with what MQTT 5.0 tells beside it. */
export interface Publication {
  /** Where it was published, also if a Topic Alias stands for it on the wire. */
  readonly topic: string;
  readonly payload: string;
  readonly properties: NonNullable<IPublishPacket['properties']>;
  /** The packet as it was on the wire. */
  readonly packet: IPublishPacket;
}

export interface SubscriptionOptions {
  readonly qos?: 0 | 1 | 2;
  readonly nl?: boolean;
  readonly rap?: boolean;
  readonly rh?: 0 | 1 | 2;
  /** Subscription Identifier. */
  readonly identifier?: number;
}

/** What MQTT.js sends in PUBLISH and in a will, by MQTT.js' names. */
export type PublishProperties = NonNullable<IClientPublishOptions['properties']>;

export class JsClient {
  readonly raw: MqttClient;
  readonly #messages: Inbox<Received>;
  /** The same messages as `next` gives, with their properties. */
  readonly publications: Inbox<Publication>;
  /** Packets but PUBLISH, from CONNACK on. */
  readonly packets: Inbox<Packet>;
  /** Resolves when the connection is closed, whoever did it. */
  readonly closed: Promise<void>;
  readonly connack: IConnackPacket;

  private constructor(
    raw: MqttClient,
    messages: Inbox<Received>,
    publications: Inbox<Publication>,
    packets: Inbox<Packet>,
    connack: IConnackPacket,
  ) {
    this.raw = raw;
    this.#messages = messages;
    this.publications = publications;
    this.packets = packets;
    this.connack = connack;
    this.closed = new Promise((resolve) => {
      raw.once('close', () => resolve());
    });
  }

  /** @param url `mqtt://127.0.0.1:port` or `ws://127.0.0.1:port/path` */
  static async connect(url: string, options: IClientOptions = {}): Promise<JsClient> {
    const raw = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10_000, ...options });
    const messages = new Inbox<Received>(`MQTT.js ${raw.options.clientId}`);
    const publications = new Inbox<Publication>(`MQTT.js ${raw.options.clientId}`);
    raw.on('message', (topic, payload, packet) => {
      messages.put({ topic, payload, qos: packet.qos, retain: packet.retain });
      publications.put({ topic, payload: payload.toString(), properties: packet.properties ?? {}, packet });
    });
    const packets = new Inbox<Packet>(`packets of MQTT.js ${raw.options.clientId}`);
    raw.on('packetreceive', (packet) => {
      if (packet.cmd !== 'publish') packets.put(packet);
    });
    raw.on('close', () => {
      messages.end('the connection closed');
      publications.end('the connection closed');
      packets.end('the connection closed');
    });
    const connack = await new Promise<IConnackPacket>((resolve, reject) => {
      raw.once('connect', resolve);
      raw.once('error', reject);
      raw.once('close', () => reject(new Error('the connection closed before CONNACK')));
    });
    // What goes wrong later shows in what arrives.
    raw.on('error', () => {});
    return new JsClient(raw, messages, publications, packets, connack);
  }

  /** What CONNACK said. */
  get sessionPresent(): boolean {
    return this.connack.sessionPresent;
  }

  /** The properties of CONNACK; none if there are none. */
  get granted(): NonNullable<IConnackPacket['properties']> {
    return this.connack.properties ?? {};
  }

  /** Subscribes; the broker must grant the QoS that is asked for. */
  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    const [granted] = await this.raw.subscribeAsync(filter, { qos });
    if (granted?.qos !== qos) throw new Error(`subscribed to ${filter} with ${granted?.qos} instead of ${qos}`);
  }

  /** Publishes; with QoS 1 and 2 the broker has acknowledged. */
  async publish(topic: string, payload: string | Buffer, qos: 0 | 1 | 2 = 0, retain = false): Promise<void> {
    await this.raw.publishAsync(topic, payload, { qos, retain });
  }

  /** Publishes with properties and QoS 1; the broker has acknowledged. */
  async publishWith(topic: string, payload: string, properties: PublishProperties, retain = false): Promise<void> {
    await this.raw.publishAsync(topic, payload, { qos: 1, retain, properties });
  }

  /** Subscribes to one filter, also again, with the options of MQTT 5.0; returns SUBACK, also one that refuses. */
  subscribeWith(filter: string, options: SubscriptionOptions = {}): Promise<ISubackPacket> {
    const { identifier, qos = 1, nl = false, rap = false, rh = 0 } = options;
    const properties = identifier === undefined ? {} : { subscriptionIdentifier: identifier };
    return new Promise((resolve, reject) => {
      const asked = Object.assign({ [filter]: { qos, nl, rap, rh } }, { resubscribe: true });
      this.raw.subscribe(asked, { qos, properties }, (error, _granted, suback) => {
        if (suback === undefined) reject(error ?? new Error('no SUBACK'));
        else resolve(suback);
      });
    });
  }

  /** The next message, or the next one on `topic`. */
  next(topic?: string): Promise<Received> {
    if (topic === undefined) return this.#messages.next('a message');
    return this.#messages.take((message) => message.topic === topic, `a message on ${topic}`);
  }

  /** The next message on a topic whose payload, as text, is right. */
  when(topic: string, isRight: (payload: string) => boolean): Promise<Received> {
    const matches = (message: Received): boolean => message.topic === topic && isRight(message.payload.toString());
    return this.#messages.take(matches, `the awaited message on ${topic}`);
  }

  /** The next PUBLISH with all its fields, which the other ways to take messages see as well. */
  nextPublish(): Promise<IPublishPacket> {
    return new Promise((resolve) => {
      this.raw.once('message', (_topic, _payload, packet) => resolve(packet));
    });
  }

  /** The next `count` payloads as text. */
  async payloads(count: number): Promise<string[]> {
    const payloads: string[] = [];
    while (payloads.length < count) payloads.push((await this.next()).payload.toString());
    return payloads;
  }

  /** All messages that are there now. */
  drain(): Received[] {
    return this.#messages.drain();
  }

  /** Says DISCONNECT. */
  async end(): Promise<void> {
    await this.raw.endAsync();
  }

  /** Cuts the connection without DISCONNECT. */
  async cut(): Promise<void> {
    this.raw.stream.destroy();
    await this.closed;
    this.raw.end(true);
  }
}
