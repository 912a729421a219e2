/** GET of a topic filter: the retained values that match it, and with Observe whatever is published on them. */
import type { Message } from '../../bus/message.js';
import { Code } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { Observation } from '../../coap/observe.js';
import type { CoapResponse } from '../../coap/response.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { InProcessClient, PluginContext } from '../plugin.js';
import { endOf, FORBIDDEN } from './answers.js';
import { type EnvelopeFormat, Envelopes } from './envelope.js';
import { isConfirmable } from './observing.js';
import type { CoapTopicsOptions } from './options.js';

export class FilterReading {
  readonly #client: InProcessClient;
  readonly #filter: string;
  readonly #format: EnvelopeFormat;
  readonly #options: CoapTopicsOptions;
  readonly #context: PluginContext;
  #qos: 0 | 1 | 2 = 2;
  /** Messages that wait until the device takes another notification, the newest of each topic. */
  readonly #waiting = new Map<string, Message>();

  constructor(
    client: InProcessClient,
    filter: string,
    format: EnvelopeFormat,
    options: CoapTopicsOptions,
    context: PluginContext,
  ) {
    this.#client = client;
    this.#filter = filter;
    this.#format = format;
    this.#options = options;
    this.#context = context;
  }

  /** Answers with the retained values. */
  async read(exchange: CoapExchange): Promise<void> {
    exchange.respond(await this.retained());
  }

  /**
   * The same, and what is published from now on follows.
   * @param qos of the subscription
   */
  async observe(exchange: CoapExchange, qos: 0 | 1 | 2): Promise<void> {
    this.#qos = qos;
    const observation = exchange.observe(() => {
      this.#waiting.clear();
      if (typeof subscription === 'object') subscription.cancel();
    });
    const subscription =
      observation === undefined
        ? undefined
        : this.#client.subscribe(
            this.#filter,
            qos,
            (message) => this.#offer(observation, message),
            () => observation.end(endOf(this.#client)),
          );
    if (subscription === ReasonCode.NotAuthorized) {
      observation?.end();
      exchange.respond(FORBIDDEN);
      return;
    }
    if (typeof subscription === 'number') observation?.end();
    else if (observation !== undefined) observation.onReady = () => this.#send(observation);
    await this.read(exchange);
  }

  /** The retained values. */
  async retained(): Promise<CoapResponse> {
    const { listed, max_payload: most, tell_publisher: tells } = this.#options;
    const envelopes = new Envelopes(this.#format, most, tells);
    let cut = false;
    await this.#client.retainedMessages(this.#filter, (message) => {
      cut = envelopes.count === listed || !envelopes.add(message, this.#client.now());
      return !cut;
    });
    if (cut) {
      const option = envelopes.count === listed ? 'coap.listed' : 'coap.max_payload';
      this.#context.counters.cutCoapLists++;
      this.#context.limit(this.#client, option, `the values of ${this.#filter} are cut`);
    }
    return { code: Code.Content, contentFormat: this.#format, payload: envelopes.bytes(cut) };
  }

  #offer(observation: Observation, message: Message): void {
    const { counters } = this.#context;
    if (this.#waiting.delete(message.topic)) counters.replacedCoapNotifications++;
    this.#waiting.set(message.topic, message);
    if (!observation.busy) {
      this.#send(observation);
      return;
    }
    if (this.#waiting.size <= this.#options.waiting_notifications) return;
    for (const oldest of this.#waiting.keys()) {
      this.#waiting.delete(oldest);
      break;
    }
    counters.droppedCoapNotifications++;
    this.#context.limit(this.#client, 'coap.waiting_notifications', `a message for ${this.#filter} is dropped`);
  }

  /** Sends what waits, as many messages in a notification as fit into a block. */
  #send(observation: Observation): void {
    const { block_size: block, tell_publisher: tells, notification } = this.#options;
    while (this.#waiting.size > 0 && !observation.busy && observation.active) {
      const envelopes = new Envelopes(this.#format, block, tells);
      let confirmable = false;
      for (const [topic, message] of this.#waiting) {
        if (!envelopes.add(message, this.#client.now())) break;
        this.#waiting.delete(topic);
        confirmable ||= isConfirmable(message, this.#qos, notification);
      }
      const payload = envelopes.bytes();
      observation.notify({ code: Code.Content, contentFormat: this.#format, payload }, confirmable);
    }
  }
}
