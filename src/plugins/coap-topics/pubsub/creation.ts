/**
 * The creation of a topic with its first data (`initialize`). Both come in one turn, once the publication of the data is let
 * through, by a hook too, which may take its time: what is refused was never there.
 */
import type { CoapExchange } from '../../../coap/exchange.js';
import type { CoapResponse } from '../../../coap/response.js';
import type { InProcessClient, PublishOutcome } from '../../plugin.js';
import { propertiesOf } from '../content-format.js';
import { failureOf } from '../publishing.js';
import { respondWhen, UNAVAILABLE } from './answers.js';
import type { Collection } from './collection.js';
import type { Topic } from './topic.js';

export class Creation implements PublishOutcome {
  readonly #collection: Collection;
  readonly #client: InProcessClient;
  readonly #exchange: CoapExchange;
  readonly #again: () => Topic | null;
  readonly #created: (topic: Topic) => CoapResponse;
  /** The topic once it is in the collection, and when that is durable. */
  #made: { readonly topic: Topic; readonly stored: Promise<void> } | null = null;

  /**
   * @param again prepares the topic once more after a hook; null if there can be none any more, which is answered then
   * @param created the answer
   */
  constructor(
    collection: Collection,
    client: InProcessClient,
    exchange: CoapExchange,
    again: () => Topic | null,
    created: (topic: Topic) => CoapResponse,
  ) {
    this.#collection = collection;
    this.#client = client;
    this.#exchange = exchange;
    this.#again = again;
    this.#created = created;
  }

  /** @param topic prepared, with `initialize` */
  begin(topic: Topic): void {
    const { name, initialize = Buffer.alloc(0), contentFormat } = topic.configuration;
    if (!this.#client.isAsked && !this.#add(topic)) return;
    this.#client.publish(name, initialize, { qos: 1, retain: true, properties: propertiesOf(contentFormat) }, this);
  }

  /** The hook has let the data through. */
  proceeds(): boolean {
    const topic = this.#again();
    return topic !== null && this.#add(topic);
  }

  #add(topic: Topic): boolean {
    try {
      this.#made = { topic, stored: this.#collection.add(topic) };
      return true;
    } catch {
      this.#exchange.respond(failureOf(UNAVAILABLE));
      return false;
    }
  }

  acknowledge(_type: number, _packetId: number, reasonCode: number): void {
    const made = this.#made;
    if (reasonCode >= 0x80) this.#undo(failureOf(reasonCode, this.#client));
    else if (made !== null) void made.stored.then(() => this.#exchange.respond(this.#created(made.topic)));
  }

  /** The data is refused, so there is no topic; what MQTT has on it stays. */
  #undo(answer: CoapResponse): void {
    const topic = this.#made?.topic;
    if (topic === undefined || !this.#collection.has(topic)) this.#exchange.respond(answer);
    else
      respondWhen(
        this.#exchange,
        () => this.#collection.remove(topic),
        () => answer,
      );
  }
}
