/** MQTT.js as client, over TCP or WebSocket. */
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient, type Packet } from 'mqtt';
import { Inbox } from './inbox.js';

/** A message as a client received it. */
export interface Received {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

export class JsClient {
  readonly raw: MqttClient;
  readonly #messages: Inbox<Received>;
  /** Packets but PUBLISH, from CONNACK on. */
  readonly packets: Inbox<Packet>;
  /** Resolves when the connection is closed, whoever did it. */
  readonly closed: Promise<void>;
  /** What CONNACK said. */
  readonly sessionPresent: boolean;

  private constructor(raw: MqttClient, messages: Inbox<Received>, packets: Inbox<Packet>, sessionPresent: boolean) {
    this.raw = raw;
    this.#messages = messages;
    this.packets = packets;
    this.sessionPresent = sessionPresent;
    this.closed = new Promise((resolve) => {
      raw.once('close', () => resolve());
    });
  }

  /** @param url `mqtt://127.0.0.1:port` or `ws://127.0.0.1:port/path` */
  static async connect(url: string, options: IClientOptions = {}): Promise<JsClient> {
    const raw = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10_000, ...options });
    const messages = new Inbox<Received>(`MQTT.js ${raw.options.clientId}`);
    raw.on('message', (topic, payload, { qos, retain }) => messages.put({ topic, payload, qos, retain }));
    const packets = new Inbox<Packet>(`packets of MQTT.js ${raw.options.clientId}`);
    raw.on('packetreceive', (packet) => {
      if (packet.cmd !== 'publish') packets.put(packet);
    });
    raw.on('close', () => {
      messages.end('the connection closed');
      packets.end('the connection closed');
    });
    const sessionPresent = await new Promise<boolean>((resolve, reject) => {
      raw.once('connect', (connack) => resolve(connack.sessionPresent));
      raw.once('error', reject);
      raw.once('close', () => reject(new Error('the connection closed before CONNACK')));
    });
    // What goes wrong later shows in what arrives.
    raw.on('error', () => {});
    return new JsClient(raw, messages, packets, sessionPresent);
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
