/** The publish-subscribe face on the bus of a broker: devices in memory, and two clocks that tests turn. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { decode as decodeCbor, encode as encodeCbor, Tagged } from 'cborg';
import type { BrokerOptions } from '../../src/broker.js';
import type { CoapRemote } from '../../src/coap/remotes.js';
import { Pubsub, type PubsubOptions } from '../../src/plugins/coap-topics/pubsub/pubsub.js';
import type { InProcessClient } from '../../src/plugins/plugin.js';
import { faceContext } from '../support/coap-face.js';
import { Engine } from '../support/engine.js';
import { Bench, type Client, type Decoded, number, OPT, type OptionValue, values, type Wire } from './harness.js';

export const PUBSUB = 606;
export const LINKS = 40;
export const CBOR = 60;
const TURNS = 100_000;

/** Properties by their keys. */
export type Map8 = Readonly<Record<number, unknown>>;

/** A CBOR map with integer keys. */
export function cbor(properties: Map8): Buffer {
  return Buffer.from(encodeCbor(new Map(Object.entries(properties).map(([key, value]) => [Number(key), value]))));
}

export function date(seconds: number): Tagged {
  return new Tagged(1, seconds);
}

/** The CBOR map that an answer carries. */
export function mapOf(answer: Decoded): Map8 {
  assert.equal(number(answer, OPT.contentFormat), PUBSUB, 'application/core-pubsub+cbor');
  const map: Map<number, unknown> = decodeCbor(answer.payload, { useMaps: true, tags: Tagged.preserve(1) });
  return Object.fromEntries(map);
}

/** Segments of the Location-Path. */
export function locationOf(answer: Decoded): string[] {
  return values(answer, OPT.locationPath).map(String);
}

/** Segments of a reference. */
export function pathOf(reference: unknown): string[] {
  assert.ok(typeof reference === 'string' && reference.startsWith('/'));
  return reference.slice(1).split('/');
}

/** A request without what each of them has. */
export interface Ask extends Omit<Wire, 'code' | 'path' | 'options'> {
  readonly format?: number;
  readonly accept?: number;
  readonly query?: readonly string[];
  readonly observe?: number;
  readonly more?: readonly (readonly [number, OptionValue])[];
}

const METHODS = {
  get: '0.01',
  post: '0.02',
  put: '0.03',
  delete: '0.04',
  fetch: '0.05',
  patch: '0.06',
  ipatch: '0.07',
};

export class Device {
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  /** Sends a request and resolves with the next message that comes back. */
  async ask(method: keyof typeof METHODS, path: readonly string[], ask: Ask = {}): Promise<Decoded> {
    const { format, accept, query = [], observe, more = [], ...wire } = ask;
    const options: (readonly [number, OptionValue])[] = [...more];
    if (observe !== undefined) options.push([OPT.observe, observe]);
    if (format !== undefined) options.push([OPT.contentFormat, format]);
    if (accept !== undefined) options.push([OPT.accept, accept]);
    for (const argument of query) options.push([OPT.uriQuery, argument]);
    this.client.send({ ...wire, code: METHODS[method], path, options });
    return this.next();
  }

  /** The next message; what the test waits for happens in turns of the event loop. */
  async next(): Promise<Decoded> {
    for (let turns = 0; turns < TURNS; turns++) {
      const [first, ...others] = this.client.take();
      if (first !== undefined) {
        assert.deepEqual(others, [], 'one message');
        return first;
      }
      await turn();
    }
    return assert.fail('no message came');
  }

  /** Creates a topic; returns the answer, which must be 2.01. */
  async create(properties: Map8, path: readonly string[] = ['pubsub']): Promise<Decoded> {
    const answer = await this.ask('post', path, { format: PUBSUB, payload: cbor(properties) });
    assert.equal(answer.code, '2.01', String(answer.payload));
    return answer;
  }

  /** Creates a topic by name; returns the paths of its resources. */
  async topic(name: string, more: Map8 = {}): Promise<{ topic: string[]; data: string[] }> {
    const answer = await this.create({ 0: name, 2: 'core.ps.data', ...more });
    return { topic: locationOf(answer), data: pathOf(mapOf(answer)[1]) };
  }
}

export interface SceneOptions extends Partial<PubsubOptions> {
  readonly broker?: BrokerOptions;
}

export class Scene {
  readonly engine: Engine;
  readonly bench: Bench;
  readonly pubsub: Pubsub;
  /** Options whose limits acted. */
  readonly limits: string[];
  /** Clients of the broker, in the order in which their devices have come. */
  readonly clients: InProcessClient[];
  #port = 50_000;

  private constructor(engine: Engine, bench: Bench, pubsub: Pubsub, limits: string[], opened: InProcessClient[]) {
    this.engine = engine;
    this.bench = bench;
    this.pubsub = pubsub;
    this.limits = limits;
    this.clients = opened;
  }

  static async create({ broker, ...options }: SceneOptions = {}): Promise<Scene> {
    const engine = await Engine.create(broker);
    const limits: string[] = [];
    const context = faceContext(engine.broker, { limit: (_party, option) => limits.push(option) });
    const pubsub = new Pubsub(
      { pubsub_path: 'pubsub', pubsub_content_format: PUBSUB, pubsub_topics: 1000, notification: 'auto', ...options },
      () => engine.clock.now(),
    );
    await pubsub.start(context);
    const clients = new WeakMap<CoapRemote, InProcessClient>();
    const opened: InProcessClient[] = [];
    const open = (remote: CoapRemote): InProcessClient => {
      const client = context.openClient({ id: remote.key, remote: remote.key, transport: 'coap' });
      opened.push(client);
      return client;
    };
    const bench = new Bench((request, exchange) => {
      const { remote } = request;
      const client = clients.get(remote) ?? open(remote);
      clients.set(remote, client);
      assert.ok(pubsub.handle(request, exchange, client), request.pathKey);
    });
    return new Scene(engine, bench, pubsub, limits, opened);
  }

  device(): Device {
    return new Device(this.bench.client(this.#port++));
  }

  /** Lets time pass for the broker and the face; the endpoint has a clock of its own. */
  pass(seconds: number): void {
    this.engine.pass(seconds);
    this.pubsub.tick();
  }

  async stop(): Promise<void> {
    await this.pubsub.stop();
    await this.bench.endpoint.close();
    await this.engine.stop();
  }
}
