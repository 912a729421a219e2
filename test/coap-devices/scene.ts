/** Devices that register with a broker in memory, and an MQTT client that sees what is published about them. */
import assert from 'node:assert/strict';
import type { BrokerOptions } from '../../src/broker.js';
import { loadConfig } from '../../src/config/load.js';
import { RegisteredDevices, type RegisteredDevicesOptions } from '../../src/plugins/coap-devices/registered-devices.js';
import { ACK, type Decoded, OPT, values, type Wire } from '../coap/harness.js';
import { type Device, Face, faceContext } from '../support/coap-face.js';
import type { RawClient } from '../support/engine.js';

export const VIA = 'coap://127.0.0.1:5683';
export const LINKS = '</temp>;rt=temperature;ct=0,</lamp>;rt=light';
const LINK_FORMAT = 40;

/** What was published, as an MQTT 5.0 client sees it. */
export interface Told {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
  /** Values of User Properties, and `correlation` and `type` if they are said. */
  readonly said: Readonly<Record<string, string>>;
}

export class Scene {
  readonly face: Face;
  readonly plugin: RegisteredDevices;
  /** Limits that were logged, as `option: detail`. */
  readonly limits: string[] = [];

  private constructor(face: Face, options: Partial<RegisteredDevicesOptions>) {
    this.face = face;
    const coap = loadConfig({ env: {} }).config.coap;
    this.plugin = new RegisteredDevices({ ...coap, ...options }, () => face.engine.clock.now());
  }

  static async create(
    options: Partial<RegisteredDevicesOptions> = {},
    broker: BrokerOptions = {},
    via = VIA,
  ): Promise<Scene> {
    const scene = new Scene(await Face.create({}, broker), options);
    await scene.#start(via);
    return scene;
  }

  async #start(via: string): Promise<void> {
    const { face, plugin } = this;
    const { broker } = face.engine;
    await plugin.start(
      faceContext(broker, {
        storage: broker.storageOf('coap-devices'),
        limit: (_party, option, detail) => void this.limits.push(`${option}: ${detail}`),
      }),
    );
    face.resources.add(plugin.open(face.bench.endpoint.line, via, true));
  }

  /** Registers a device; returns the path of its registration. */
  async register(device: Device, query: string, links = LINKS): Promise<string> {
    const answer = await device.ask('post', `/rd?${query}`, { payload: links, options: FORMAT });
    assert.equal(answer.code, '2.01', String(answer.payload));
    return `/${values(answer, OPT.locationPath).join('/')}`;
  }

  async listener(...filters: string[]): Promise<Listener> {
    const client = await this.face.engine.connect({ protocolVersion: 5, clientId: 'listener' });
    // In one packet: what is retained comes behind the answer.
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) });
    await client.expect('suback');
    return new Listener(client);
  }

  /** Lets time pass, for the broker and for the directory. */
  pass(seconds: number): void {
    this.face.pass(seconds);
    this.plugin.tick();
  }

  get count(): Readonly<Record<string, number>> {
    return this.plugin.counters();
  }

  async stop(): Promise<void> {
    await this.plugin.stop();
    await this.face.stop();
  }
}

/** Content-Format 40. */
export const FORMAT: readonly [number, number][] = [[OPT.contentFormat, LINK_FORMAT]];

/** An answer to a request that the broker has sent. */
export function reply(request: Decoded, code: string, payload = '', options: Wire['options'] = []): Wire {
  return { type: ACK, code, mid: request.mid, token: request.token, payload, options };
}

/** A request in words: method and path, query and payload. */
export function words(request: Decoded): string {
  const path = values(request, OPT.uriPath).join('/');
  const query = values(request, OPT.uriQuery).join('&');
  return `${request.code} /${path}${query === '' ? '' : `?${query}`} ${request.payload}`.trim();
}

export class Listener {
  readonly client: RawClient;

  constructor(client: RawClient) {
    this.client = client;
  }

  async next(): Promise<Told> {
    const packet = await this.client.expect('publish');
    if (packet.qos > 0) this.client.send({ cmd: 'puback', messageId: packet.messageId as number });
    const { userProperties, correlationData, contentType } = packet.properties ?? {};
    const said = {
      ...(userProperties as Record<string, string> | undefined),
      ...(correlationData && { correlation: String(correlationData) }),
      ...(contentType !== undefined && { type: contentType }),
    };
    return { topic: packet.topic, payload: String(packet.payload), retain: packet.retain, said };
  }

  /** The next `count` messages, each as `topic payload`. */
  async lines(count: number): Promise<string[]> {
    const found: string[] = [];
    while (found.length < count) {
      const { topic, payload } = await this.next();
      found.push(`${topic} ${payload}`.trim());
    }
    return found;
  }

  /** Sends a command. */
  tell(topic: string, payload = '', properties: object = {}): void {
    this.client.send({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false, properties });
  }
}
