/** Devices that speak CoAP: the npm package `coap` puts, gets, deletes and observes. */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type CoapRequestParams, type IncomingMessage, ObserveReadStream, request } from 'coap';
import { Link } from './acknowledgements.js';
import { type Actors, Routine, type Stage } from './stage.js';

/** Milliseconds between two requests, and between two observers that come. */
const REQUEST_MS = 50;
const OBSERVE_MS = 1000;
const RESOURCES = 50;
/** A request without an answer after so long fails. */
const ANSWER_MS = 60_000;
const DEVICES = 8;
/** Larger bodies go in blocks, which is left to libcoap's client. */
const LARGEST_PAYLOAD = 1000;
const LONGEST_OBSERVATION_MS = 5000;
const EXPECTED = /^(2\.0[1-5]|2\.31|4\.04)$/;

function pathOf(number: number): string {
  return `/ps/soak/device/${number}`;
}

export class Devices implements Actors {
  readonly #stage: Stage;
  readonly #link = new Link('CoAP device');
  #agents: Agent[] = [];
  #routines: Routine[] = [];
  #stopping = false;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async start(): Promise<void> {
    this.#stopping = false;
    this.#link.since = performance.now();
    this.#agents = Array.from({ length: DEVICES }, () => newAgent().agent);
    const failed = (error: Error): void => this.#stage.trouble(`device: ${error.message}`);
    this.#routines = [
      new Routine(REQUEST_MS, () => this.#request(), failed),
      new Routine(OBSERVE_MS, () => this.#observe(), failed),
    ];
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#routines.map((one) => one.stop()));
  }

  /** Deletes what is retained; that ends the observations, too. */
  async leave(): Promise<void> {
    const agent = this.#agents[0]!;
    for (let i = 0; i < RESOURCES; i++) await this.#exchange({ method: 'DELETE', pathname: pathOf(i), agent });
    for (const one of this.#agents) one.close();
  }

  async #request(): Promise<void> {
    const { random } = this.#stage;
    const method = random.of(['PUT', 'PUT', 'GET', 'GET', 'POST', 'DELETE'] as const);
    const agent = random.of(this.#agents);
    const size = random.one(5) ? random.below(LARGEST_PAYLOAD) : random.below(30);
    const payload = method === 'PUT' || method === 'POST' ? Buffer.alloc(size, 'd') : undefined;
    // QoS 1 reaches observers as a confirmable notification, which tells those that are gone from the others.
    const query = method === 'GET' || method === 'DELETE' ? '' : 'qos=1';
    const pathname = pathOf(random.below(RESOURCES));
    const response = await this.#exchange({ method, pathname, agent, query }, payload);
    if (!EXPECTED.test(response.code)) this.#stage.trouble(`${method} ${pathname}: ${response.code}`);
  }

  async #exchange(params: CoapRequestParams, payload?: Buffer): Promise<IncomingMessage> {
    const { acknowledgements, target, done } = this.#stage;
    const message = request({ host: '127.0.0.1', port: target.coap, ...params });
    const awaited = acknowledgements.begin(`CoAP ${params.method}`, this.#link);
    message.end(payload);
    const [response] = (await once(message, 'response', { signal: AbortSignal.timeout(ANSWER_MS) })) as [
      IncomingMessage,
    ];
    acknowledgements.end(awaited);
    done.add(`CoAP requests, ${params.method}`);
    return response;
  }

  async #observe(): Promise<void> {
    const { random, done } = this.#stage;
    const { agent, socket } = newAgent();
    const pathname = pathOf(random.below(RESOURCES));
    const params = { method: 'GET', pathname, agent, token: randomBytes(8) } as const;
    const until = performance.now() + random.below(LONGEST_OBSERVATION_MS);
    const stream = await this.#exchange({ ...params, observe: true });
    if (stream instanceof ObserveReadStream) {
      stream.on('data', () => done.add('CoAP notifications'));
      while (performance.now() < until && !this.#stopping) await sleep(50);
      // One in four is gone without a word.
      if (random.one(4)) done.add('CoAP observers that vanished');
      else await this.#exchange({ ...params, observe: 1 });
    }
    agent.close();
    socket.close();
  }
}

/** An agent with a socket of its own, which it would otherwise close by itself too early. */
function newAgent(): { agent: Agent; socket: Socket } {
  const socket = createSocket('udp4').unref();
  return { agent: new Agent({ type: 'udp4', socket }), socket };
}
