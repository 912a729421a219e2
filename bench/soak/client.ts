/** A client of MQTT.js that tells the ledger what it awaits. */
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { Link } from './acknowledgements.js';
import type { Stage } from './stage.js';

export type Version = 3 | 4 | 5;
export type Qos = 0 | 1 | 2;

export interface ClientShape {
  readonly id: string;
  readonly version: Version;
  readonly clean: boolean;
  readonly websocket: boolean;
  /** Seconds that its session outlives it, if it is of MQTT 5.0. */
  readonly expiry: number;
  readonly will?: { readonly topic: string; readonly payload: string; readonly qos: Qos; readonly retain: boolean };
  /** Milliseconds until it connects anew; 0: never. */
  readonly reconnect: number;
  readonly stores?: Stores;
  readonly onMessage?: (topic: string, payload: Buffer, packet: IPublishPacket) => void;
  readonly onConnect?: (sessionPresent: boolean) => void;
}

/** What a client knows of its session; it outlives the client of MQTT.js that serves it. */
export interface Stores {
  readonly incomingStore: mqtt.Store;
  readonly outgoingStore: mqtt.Store;
}

export function newStores(): Stores {
  return { incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }) };
}

const CONNECT_MS = 30_000;
const KEEP_ALIVE = 30;
const ALIASES = 10;
/** Reason Code: Packet Identifier not found. */
const NOT_FOUND = 0x92;

function optionsOf(shape: ClientShape): IClientOptions {
  const { id, version, clean, expiry, will, reconnect, stores } = shape;
  return {
    clientId: id,
    clean,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    keepalive: KEEP_ALIVE,
    connectTimeout: CONNECT_MS,
    reconnectPeriod: reconnect,
    resubscribe: false,
    ...(will === undefined ? {} : { will: { ...will, payload: Buffer.from(will.payload) } }),
    ...(stores ?? {}),
    ...(version === 5
      ? { properties: { sessionExpiryInterval: expiry, topicAliasMaximum: ALIASES }, autoAssignTopicAlias: true }
      : {}),
  };
}

export class SoakClient {
  readonly #stage: Stage;
  readonly #raw: MqttClient;
  readonly link: Link;

  constructor(stage: Stage, shape: ClientShape) {
    const { target, acknowledgements } = stage;
    this.#stage = stage;
    this.link = new Link(shape.id);
    const url = shape.websocket ? `ws://127.0.0.1:${target.websocket}/` : `mqtt://127.0.0.1:${target.mqtt}`;
    const raw = mqtt.connect(url, optionsOf(shape));
    this.#raw = raw;
    // The connection of CONNACK is not open before it, so its time counts from CONNECT.
    const connecting = new Link(shape.id);
    connecting.since = performance.now();
    const connack = acknowledgements.begin('CONNECT', connecting);
    raw.on('connect', ({ sessionPresent }) => {
      acknowledgements.end(connack);
      this.link.since = performance.now();
      stage.done.add('connections of MQTT.js');
      shape.onConnect?.(sessionPresent);
    });
    raw.on('close', () => {
      this.link.since = null;
      if (shape.reconnect > 0) return;
      acknowledgements.end(connack);
      acknowledgements.forget(this.link);
    });
    raw.on('error', () => {}); // a close follows
    if (shape.onMessage !== undefined) raw.on('message', shape.onMessage);
  }

  get connected(): boolean {
    return this.#raw.connected;
  }

  /** Resolves at CONNACK, or when the connection fails. */
  opened(): Promise<boolean> {
    if (this.#raw.connected) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#raw.once('connect', () => resolve(true));
      this.#raw.once('close', () => resolve(this.#raw.connected));
    });
  }

  /** Publishes; resolves once it is acknowledged: true, or the connection is over: false. */
  publish(topic: string, payload: string | Buffer, qos: Qos, retain = false): Promise<boolean> {
    const awaited = qos === 0 ? null : this.#stage.acknowledgements.begin(`QoS ${qos} PUBLISH`, this.link);
    this.#stage.done.add(`publications of MQTT.js, QoS ${qos}`);
    return this.#answered(awaited, (callback) => this.#raw.publish(topic, payload, { qos, retain }, callback));
  }

  subscribe(filters: readonly string[], qos: Qos): Promise<boolean> {
    const awaited = this.#stage.acknowledgements.begin('SUBSCRIBE', this.link);
    return this.#answered(awaited, (callback) => this.#raw.subscribe([...filters], { qos }, callback));
  }

  unsubscribe(filters: readonly string[]): Promise<boolean> {
    const awaited = this.#stage.acknowledgements.begin('UNSUBSCRIBE', this.link);
    return this.#answered(awaited, (callback) => this.#raw.unsubscribe([...filters], callback));
  }

  /** Cuts the connection. */
  cut(): void {
    this.#raw.stream.destroy();
  }

  /** Says DISCONNECT, once what it awaits is there; resolves when the connection is closed, whoever does it. */
  async end(): Promise<void> {
    this.#raw.options.reconnectPeriod = 0;
    const closed = this.closed();
    const ended = this.#raw.endAsync();
    await Promise.race([closed, ended]);
    // MQTT.js goes on waiting for acknowledgements that cannot come any more.
    this.#raw.end(true);
    this.#stage.acknowledgements.forget(this.link);
  }

  /** Resolves when the connection is closed. */
  closed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#raw.connected) this.#raw.once('close', () => resolve());
      else resolve();
    });
  }

  /** Another client has taken its session over: it does not come back. */
  release(): void {
    this.#raw.options.reconnectPeriod = 0;
    this.#stage.acknowledgements.forget(this.link);
  }

  /** Forgets all that it had begun, with the connection. */
  abandon(): void {
    this.release();
    this.#raw.end(true);
  }

  #answered(
    awaited: ReturnType<Stage['acknowledgements']['begin']> | null,
    send: (callback: (error?: Error | null) => void) => void,
  ): Promise<boolean> {
    return new Promise((resolve) => {
      send((error) => {
        const code = (error as { code?: unknown } | null | undefined)?.code;
        const isRefusal = typeof code === 'number';
        if (awaited !== null && (!error || isRefusal)) this.#stage.acknowledgements.end(awaited);
        // What PUBCOMP says when the one before it was lost with its connection.
        if (isRefusal && code !== NOT_FOUND) this.#stage.trouble(`${this.link.name}: ${error?.message} (${code})`);
        resolve(!error || isRefusal);
      });
    });
  }
}
