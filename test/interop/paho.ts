/** A client of paho-mqtt (Python) that a test drives line by line. */
import assert from 'node:assert/strict';
import type { Received } from './mqttjs.js';
import { Program, run, sourceFile } from './programs.js';

/** The interpreter for which Debian installs python3-paho-mqtt. */
const PYTHON = '/usr/bin/python3';

/**
 * Properties of MQTT 5.0 by the names of the specification without spaces, such as `MessageExpiryInterval`. Correlation
 * Data is in hexadecimal, `UserProperty` a list of pairs.
 */
export type PahoProperties = Readonly<Record<string, unknown>>;

/** Options of a subscription, by paho's names. */
export interface PahoSubscriptionOptions {
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: 0 | 1 | 2;
}

export interface PahoOptions {
  readonly client_id: string;
  readonly version?: 3 | 4 | 5;
  readonly transport?: 'tcp' | 'websockets';
  readonly ws_path?: string;
  readonly clean_session?: boolean;
  /** Files for `tls_set`. */
  readonly tls?: { readonly ca_certs: string; readonly certfile?: string; readonly keyfile?: string };
  readonly username?: string;
  readonly password?: string;
  /** MQTT 5.0 only. */
  readonly properties?: PahoProperties;
  /** Seconds. */
  readonly keepalive?: number;
  readonly will?: {
    readonly topic: string;
    readonly payload: string;
    readonly qos: 0 | 1 | 2;
    readonly retain: boolean;
    readonly properties?: PahoProperties;
  };
}

/** A message with its properties. */
export interface PahoPublication {
  readonly topic: string;
  readonly payload: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly properties: PahoProperties;
}

interface PahoEvent {
  readonly event: 'connected' | 'disconnected' | 'message' | 'subscribed' | 'unsubscribed' | 'published';
  readonly code: number;
  readonly session_present: boolean;
  readonly topic: string;
  readonly payload: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly granted: number[];
  readonly properties: PahoProperties;
}

export class PahoClient {
  readonly #program: Program;
  /** What CONNACK said. */
  sessionPresent = false;
  /** The properties of CONNACK. */
  granted: PahoProperties = {};

  private constructor(program: Program) {
    this.#program = program;
  }

  static async connect(port: number, options: PahoOptions): Promise<PahoClient> {
    const check = await run(PYTHON, ['-c', 'import paho.mqtt.client']);
    assert.equal(check.code, 0, 'paho-mqtt is missing: sudo apt-get install -y python3-paho-mqtt');
    const script = sourceFile('test/interop/python/paho_client.py');
    const client = new PahoClient(await Program.start(PYTHON, ['-B', script]));
    client.#send({ do: 'connect', port, ...options });
    const connected = await client.#event('connected');
    assert.equal(connected.code, 0, 'the return code of CONNACK');
    client.sessionPresent = connected.session_present;
    client.granted = connected.properties;
    return client;
  }

  #send(command: object): void {
    this.#program.write(JSON.stringify(command));
  }

  async #event(name: PahoEvent['event']): Promise<PahoEvent> {
    const start = `{"event": "${name}"`;
    return JSON.parse(await this.#program.lines.take((line) => line.startsWith(start), name)) as PahoEvent;
  }

  /** Subscribes; the broker must grant the QoS that is asked for. */
  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    this.#send({ do: 'subscribe', filter, qos });
    assert.deepEqual((await this.#event('subscribed')).granted, [qos]);
  }

  /** Publishes, and waits until paho says that it is done: with QoS 1 and 2 the broker has acknowledged. */
  async publish(topic: string, payload: string | Buffer, qos: 0 | 1 | 2 = 0, retain = false): Promise<void> {
    this.#send({ do: 'publish', topic, payload: Buffer.from(payload).toString('base64'), qos, retain });
    await this.#event('published');
  }

  /** Subscribes with the options of MQTT 5.0; returns the code of SUBACK. */
  async subscribeWith(
    filter: string,
    qos: 0 | 1 | 2,
    options: PahoSubscriptionOptions = {},
    properties: PahoProperties = {},
  ): Promise<number> {
    this.#send({ do: 'subscribe', filter, qos, options, properties });
    return (await this.#event('subscribed')).granted[0];
  }

  /** Unsubscribes; returns the codes of UNSUBACK, none before MQTT 5.0. */
  async unsubscribe(...filters: string[]): Promise<number[]> {
    this.#send({ do: 'unsubscribe', filters });
    return (await this.#event('unsubscribed')).granted;
  }

  /** Publishes with properties; like `publish` otherwise. */
  async publishWith(
    topic: string,
    payload: string,
    properties: PahoProperties,
    qos: 0 | 1 | 2 = 1,
    retain = false,
  ): Promise<void> {
    this.#send({ do: 'publish', topic, payload: Buffer.from(payload).toString('base64'), qos, retain, properties });
    await this.#event('published');
  }

  /** The next message. */
  async next(): Promise<Received> {
    const { topic, payload, qos, retain } = await this.#event('message');
    return { topic, payload: Buffer.from(payload, 'base64'), qos, retain };
  }

  /** The next message with its properties. */
  async nextPublication(): Promise<PahoPublication> {
    const { topic, payload, qos, retain, properties } = await this.#event('message');
    return { topic, payload: Buffer.from(payload, 'base64').toString(), qos, retain, properties };
  }

  /** Says DISCONNECT. */
  async disconnect(properties: PahoProperties = {}): Promise<void> {
    this.#send({ do: 'disconnect', properties });
    assert.equal(await this.#program.exit, 0, this.#program.stderr);
  }

  /** Waits until the connection has ended; returns what DISCONNECT of the broker said. */
  disconnected(): Promise<{ code: number; properties: PahoProperties }> {
    return this.#event('disconnected');
  }

  /** Ends the process without DISCONNECT. */
  kill(): Promise<void> {
    return this.#program.end('SIGKILL');
  }
}
