/** An observation of the data of a topic. */
import type { Message } from '../../../bus/message.js';
import { Code } from '../../../coap/codes.js';
import type { Observation } from '../../../coap/observe.js';
import type { CoapResponse } from '../../../coap/response.js';
import type { SubscriptionHandle } from '../../plugin.js';

const NOT_FOUND: CoapResponse = { code: Code.NotFound };

/** `auto` is `non`, as RFC 7641 4.5 has it; with any, a notification at each observer-check is confirmable. */
export type Notification = 'auto' | 'con' | 'non';

export class Subscriber {
  readonly #observation: Observation;
  readonly #notification: Notification;
  /** Makes a notification of a message. */
  readonly #represent: (message: Message) => CoapResponse;
  #last: CoapResponse;
  /** Milliseconds since the epoch at which the device was last asked to acknowledge. */
  #askedAt: number;
  /** Its subscription on the bus. */
  handle: SubscriptionHandle | null = null;

  /** @param first the answer to the registration */
  constructor(
    observation: Observation,
    notification: Notification,
    represent: (message: Message) => CoapResponse,
    first: CoapResponse,
    now: number,
  ) {
    this.#observation = observation;
    this.#notification = notification;
    this.#represent = represent;
    this.#last = first;
    this.#askedAt = now;
  }

  /**
   * Tells of a message; an empty retained one has cleared the data.
   * @param observerCheck in seconds
   */
  notify(message: Message, observerCheck: number, now: number): void {
    if (message.payload.length === 0 && message.retain) this.end(NOT_FOUND);
    else this.#notify(this.#represent(message), observerCheck, now);
  }

  /**
   * Repeats the last state as a confirmable message if none was for `observerCheck` seconds, so that a device that has
   * forgotten its observation does not stay.
   */
  check(observerCheck: number, now: number): void {
    if (now - this.#askedAt >= observerCheck * 1000 && this.#last.code === Code.Content) {
      this.#notify(this.#last, observerCheck, now);
    }
  }

  #notify(response: CoapResponse, observerCheck: number, now: number): void {
    const confirmable = this.#notification === 'con' || now - this.#askedAt >= observerCheck * 1000;
    if (confirmable) this.#askedAt = now;
    this.#last = response;
    this.#observation.notify(response, confirmable);
  }

  /** Ends the observation with a final response. */
  end(response: CoapResponse = NOT_FOUND): void {
    this.#observation.end(response);
  }
}
