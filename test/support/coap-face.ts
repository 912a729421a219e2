/** The CoAP face of topics on a broker in memory: its options, and what it is given. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { Broker, BrokerOptions } from '../../src/broker.js';
import type { DatagramAddress, DatagramTransport } from '../../src/coap/transport.js';
import { Connections } from '../../src/plugins/coap-topics/connections.js';
import { DeviceTap } from '../../src/plugins/coap-topics/device-tap.js';
import { Devices } from '../../src/plugins/coap-topics/devices.js';
import type { CoapTopicsOptions } from '../../src/plugins/coap-topics/options.js';
import { Resources } from '../../src/plugins/coap-topics/resources.js';
import type { Strangers } from '../../src/plugins/coap-topics/strangers.js';
import type { PluginContext } from '../../src/plugins/plugin.js';
import { ACK, Bench, type Decoded, decode, encode, OPT, type Wire } from '../coap/harness.js';
import { Engine } from './engine.js';

/** Options as a configuration without any has them, on a free port of the loopback address. */
export const FACE_OPTIONS: CoapTopicsOptions = {
  host: '127.0.0.1',
  port: 0,
  anonymous: true,
  path: 'ps',
  ack_timeout: 2,
  ack_random_factor: 1.5,
  max_retransmit: 4,
  max_payload: 1024 * 1024,
  block_size: 1024,
  observers: 10_000,
  observers_per_client: 100,
  deduplication_bytes: 256 * 1024,
  notification: 'auto',
  mappings: [],
  listed: 1_000,
  waiting_notifications: 100,
  tell_publisher: false,
  connections: 10_000,
  heartbeat: 30,
  session_expiry: 86_400,
  insecure_password: false,
};

const silent = (): void => {};

/** What a plugin is given, by a broker whose log nobody reads. */
export function faceContext(broker: Broker, told: Partial<PluginContext> = {}): PluginContext {
  return {
    logger: { info: silent, warn: silent, error: silent, debug: silent },
    counters: broker.counters,
    storage: broker.storageOf('coap'),
    tracing: broker.environment.tracing,
    openClient: (identity) => broker.openClient(identity),
    enter: (remote, transport) => broker.enter(remote, transport),
    isBanned: () => false,
    connectClient: (identity, credentials) => broker.connectClient(identity, credentials),
    addAuthenticationMethod: silent,
    denied: silent,
    loginFailed: silent,
    limit: silent,
    ...told,
  };
}

/** The face on an endpoint in memory. */
export class Face {
  readonly engine: Engine;
  /** Options that limits were logged with. */
  readonly limits: string[] = [];
  /** Lines that are no limits: levels and texts. */
  readonly log: string[] = [];
  readonly connections: Connections;
  readonly strangers: Strangers;
  readonly resources: Resources;
  readonly bench: Bench;
  #mid = 1;
  #port = 40_000;

  private constructor(engine: Engine, options: CoapTopicsOptions) {
    this.engine = engine;
    const line = (_fields: object, text: string): void => void this.log.push(text);
    const context = faceContext(engine.broker, {
      logger: { info: line, warn: line, error: line, debug: silent },
      limit: (_party, option) => this.limits.push(option),
    });
    this.connections = new Connections(context, options, () => engine.clock.now());
    const now = (): number => engine.clock.now();
    const devices = new Devices(context, this.connections, options, now);
    this.strangers = devices.strangers;
    const resources = new Resources(options, devices, this.connections, context);
    this.resources = resources;
    this.bench = new Bench((request, exchange) => resources.handle(request, exchange), {
      limits: { bodyBytes: options.max_payload, blockSize: options.block_size },
      taps: new DeviceTap(context, devices),
      onGone: ({ key, session }, reason) => devices.gone(key, session, reason),
    });
  }

  static async create(options: Partial<CoapTopicsOptions> = {}, broker: BrokerOptions = {}): Promise<Face> {
    return Face.on(await Engine.create(broker), options);
  }

  /** The face on a broker that is there already. */
  static on(engine: Engine, options: Partial<CoapTopicsOptions> = {}): Face {
    return new Face(engine, { ...FACE_OPTIONS, ...options });
  }

  /**
   * A device at a port of its own.
   * @param session what DTLS knows of it
   * @param reliable it comes over a connection that loses nothing
   */
  device(session?: object, reliable = false, address = '192.0.2.1'): Device {
    return new Device(this, ++this.#port, session, reliable, address);
  }

  nextMessageId(): number {
    return this.#mid++;
  }

  /** Lets time pass, for the broker and for the connections. */
  pass(seconds: number): void {
    this.engine.pass(seconds);
    this.connections.sweep();
    this.strangers.sweep();
  }

  /** Ends the face; its broker goes on. */
  async close(): Promise<void> {
    this.connections.close();
    this.strangers.close();
    await this.bench.endpoint.close();
  }

  async stop(): Promise<void> {
    await this.close();
    await this.engine.stop();
  }
}

/** A device of the face. */
export class Device {
  readonly #face: Face;
  readonly #port: number;
  readonly #session: object | undefined;
  readonly #reliable: boolean;
  readonly #ip: string;

  constructor(face: Face, port: number, session: object | undefined, reliable: boolean, ip: string) {
    this.#face = face;
    this.#port = port;
    this.#session = session;
    this.#reliable = reliable;
    this.#ip = ip;
  }

  get port(): number {
    return this.#port;
  }

  /** The same device behind an address translator that has given it another port. */
  moved(): Device {
    return this.#face.device(this.#session, this.#reliable, this.#ip);
  }

  get #address(): DatagramAddress {
    const family = this.#ip.includes(':') ? 'IPv6' : 'IPv4';
    const address = { address: this.#ip, port: this.#port, family } as const;
    const key = `${this.#reliable ? 'tcp' : 'dtls'} ${this.#port}`;
    if (this.#reliable) return { ...address, key, reliable: true };
    return this.#session === undefined ? address : { ...address, key, session: this.#session };
  }

  send(wire: Wire): void {
    const bytes = encode({ ...wire, mid: wire.mid ?? this.#face.nextMessageId() });
    this.#face.bench.transport.onDatagram?.(bytes, this.#address);
  }

  /** Its association or connection is gone. */
  leave(): void {
    const transport: DatagramTransport = this.#face.bench.transport;
    transport.onGone?.(this.#address, 'close_notify');
  }

  /** The next message to this device that has been, or will be, sent. */
  async next(): Promise<Decoded> {
    const { sent } = this.#face.bench.transport;
    for (let turns = 0; turns < MOST_TURNS; turns++) {
      const at = sent.findIndex(({ port }) => port === this.#port);
      if (at >= 0) return decode(sent.splice(at, 1)[0].bytes);
      await turn();
    }
    return assert.fail('no message to the device');
  }

  /** Sends a request; `uri` is a path, with its query if there is one. */
  async ask(method: keyof typeof METHODS, uri: string, more: Partial<Wire> = {}): Promise<Decoded> {
    this.send(requestOf(method, uri, more));
    return this.next();
  }

  acknowledge(message: Decoded): void {
    this.send({ type: ACK, code: '0.00', mid: message.mid });
  }

  /** Nothing has been sent to it when everything else has had its turn. */
  async none(): Promise<void> {
    for (let turns = 0; turns < 20; turns++) await turn();
    const mine = this.#face.bench.transport.sent.filter(({ port }) => port === this.#port);
    assert.deepEqual(
      mine.map(({ bytes }) => decode(bytes).code),
      [],
    );
  }
}

const METHODS = { get: '0.01', post: '0.02', put: '0.03', delete: '0.04', fetch: '0.05' } as const;
const MOST_TURNS = 10_000;

/** A request for a path such as `/ps/a?q=1`. */
function requestOf(method: keyof typeof METHODS, uri: string, more: Partial<Wire> = {}): Wire {
  const [path, query] = uri.split('?');
  const queries = query === undefined ? [] : query.split('&').map((one): [number, string] => [OPT.uriQuery, one]);
  return {
    code: METHODS[method],
    path: path.slice(1).split('/'),
    ...more,
    options: [...queries, ...(more.options ?? [])],
  };
}
