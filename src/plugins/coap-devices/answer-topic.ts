/** Where the outcome of a message goes: to its Response Topic, if whoever published it may publish there. */
import type { Message } from '../../bus/message.js';
import type { Party } from '../../bus/party.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { InProcessClient } from '../plugin.js';

/** Takes the topic; undefined for nowhere. */
type TopicHandler = (topic: string | undefined) => void;

/** Where an outcome goes, now or once it is decided. */
export interface Answer {
  /** Calls back at once, or when it is decided. */
  whenKnown(use: TopicHandler): void;
}

export class AnswerTopic implements Answer {
  #topic: string | undefined;
  /** What waits until it is decided; null once it is. */
  #waiting: TopicHandler[] | null = null;

  /**
   * @param publisher the client that published the message; null for the broker itself, and for wills
   * @param usual where the outcome goes if it may not go to the Response Topic, or there is none
   * @param bus the client that will publish it
   */
  constructor(message: Message, publisher: Party | null, usual: string | undefined, bus: InProcessClient) {
    this.#topic = usual;
    const { responseTopic: asked } = decodeForwardedProperties(message.properties);
    if (asked === undefined || asked === usual) return;
    if (publisher === null && message.publisherId === '') {
      // The program that the broker runs in has all rights.
      this.#topic = asked;
      return;
    }
    this.#waiting = [];
    const decided = (reasonCode: number, allowed: string): void => {
      if (reasonCode === ReasonCode.Success) this.#topic = allowed;
      const waiting = this.#waiting ?? [];
      this.#waiting = null;
      for (const use of waiting) use(this.#topic);
    };
    bus.mayPublish(asked, decided, publisher);
  }

  /** Calls back at once, or when it is decided. */
  whenKnown(use: TopicHandler): void {
    if (this.#waiting === null) use(this.#topic);
    else this.#waiting.push(use);
  }
}
