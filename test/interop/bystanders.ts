/** Clients that behave, and want their service while others misbehave. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Ports } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { coapMessage, codeOf, Datagrams, NON, payloadOf } from './raw.js';

/** Milliseconds between two exchanges. */
const BETWEEN = 10;
const TOPIC = 'bystanders/heartbeat';
/** One exchange may take so long, in milliseconds, on a machine that does other things as well. */
const LONGEST = 5_000;
const POST = 2;
const URI_PATH = 11;

export class Bystanders {
  readonly #subscribers: readonly JsClient[];
  readonly #publisher: JsClient;
  readonly #device: Datagrams;
  #count = 0;
  #exchange: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  private constructor(subscribers: readonly JsClient[], publisher: JsClient, device: Datagrams) {
    this.#subscribers = subscribers;
    this.#publisher = publisher;
    this.#device = device;
  }

  static async start(ports: Ports): Promise<Bystanders> {
    const tcp = `mqtt://127.0.0.1:${ports.mqtt}`;
    const subscribers = [
      await JsClient.connect(tcp, { clientId: 'bystander-tcp' }),
      await JsClient.connect(`ws://127.0.0.1:${ports.websocket}`, { clientId: 'bystander-websocket' }),
    ];
    for (const subscriber of subscribers) await subscriber.subscribe(TOPIC, 1);
    const publisher = await JsClient.connect(tcp, { clientId: 'bystander-publisher' });
    return new Bystanders(subscribers, publisher, await Datagrams.open(ports.coap));
  }

  /**
   * One message by MQTT and one by CoAP reach both subscribers, in reasonable time. Whoever asks while an exchange is
   * going on shares the next one with others that do: it begins after they asked.
   */
  served(): Promise<void> {
    if (this.#next !== null) return this.#next;
    const next = this.#exchange.then(() => {
      this.#next = null;
      return this.#serve();
    });
    this.#next = next;
    // Who waits for this one fails with it; who comes after it is served, or fails, for itself.
    this.#exchange = next.catch(() => {});
    return next;
  }

  async #serve(): Promise<void> {
    const started = performance.now();
    const id = ++this.#count;
    await this.#publisher.publish(TOPIC, `mqtt ${id}`, 1);
    for (const subscriber of this.#subscribers) {
      assert.equal((await subscriber.next()).payload.toString(), `mqtt ${id}`);
    }
    const options = ['ps', ...TOPIC.split('/')].map((segment) => [URI_PATH, segment] as const);
    const token = Buffer.from([id & 0xff, (id >>> 8) & 0xff]);
    await this.#device.send(coapMessage(NON, POST, id & 0xffff, token, options, `coap ${id}`));
    const answer = await this.#device.received.next('the answer to POST');
    assert.deepEqual([codeOf(answer), payloadOf(answer).toString()], ['2.04', '']);
    for (const subscriber of this.#subscribers) {
      assert.equal((await subscriber.next()).payload.toString(), `coap ${id}`);
    }
    const took = performance.now() - started;
    assert.ok(took < LONGEST, `the bystanders waited ${Math.round(took)} ms`);
  }

  /** Is served again and again until `work` is done; returns what that returns. */
  async during<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const finished = work.finally(() => {
      done = true;
    });
    // Without a handler of its own, a failure would end the process before it is awaited.
    finished.catch(() => {});
    while (!done) {
      await this.served();
      // Often enough to notice any wait, and not so often that the bystanders are the load.
      await delay(BETWEEN);
    }
    return finished;
  }

  async end(): Promise<void> {
    this.#device.close();
    for (const client of [...this.#subscribers, this.#publisher]) await client.end();
  }
}
