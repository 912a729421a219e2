/**
 * The deletion of a topic with its data. Both go in one turn: once the publication that clears the data is let through, by a
 * hook too, which may take its time. Until then the topic is there, and its name in use.
 */
import type { CoapResponse } from '../../../coap/response.js';
import type { InProcessClient, PublishOutcome } from '../../plugin.js';
import { failureOf } from '../publishing.js';
import { DELETED, NOT_FOUND, UNAVAILABLE } from './answers.js';
import type { Collection } from './collection.js';
import type { Topic } from './topic.js';

const NO_PAYLOAD = Buffer.alloc(0);

export class Deletion implements PublishOutcome {
  readonly #collection: Collection;
  readonly #topic: Topic;
  readonly #client: InProcessClient;
  readonly #done: (answer: CoapResponse) => void;
  #isOver = false;

  /**
   * @param client who clears the data
   * @param done told once all is durable, or why the topic stays
   */
  constructor(collection: Collection, topic: Topic, client: InProcessClient, done: (answer: CoapResponse) => void) {
    this.#collection = collection;
    this.#topic = topic;
    this.#client = client;
    this.#done = done;
  }

  begin(): void {
    const client = this.#client;
    const { configuration, dataKey } = this.#topic;
    const { name } = configuration;
    if (dataKey === null || !client.hasRetained(name)) {
      this.#leave();
      return;
    }
    const { isAsked } = client;
    client.publish(name, NO_PAYLOAD, { qos: 1, retain: true }, this);
    // Nobody was asked, and it is not refused: it is delivered.
    if (!isAsked && !this.#isOver) this.#leave();
  }

  /** The hook has let the clearing through. */
  proceeds(): boolean {
    if (this.#collection.has(this.#topic)) return this.#leave();
    this.#end(NOT_FOUND);
    return false;
  }

  acknowledge(_type: number, _packetId: number, reasonCode: number): void {
    if (reasonCode >= 0x80) this.#end(failureOf(reasonCode, this.#client));
  }

  /** The topic leaves the collection, in the group that the clearing is in: one promise is for both. */
  #leave(): boolean {
    let durable: Promise<void>;
    try {
      durable = this.#collection.remove(this.#topic);
    } catch {
      this.#end(failureOf(UNAVAILABLE));
      return false;
    }
    void durable.then(() => this.#end(DELETED));
    return true;
  }

  #end(answer: CoapResponse): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#done(answer);
  }
}
