/**
 * Messages for handlers inside the process. They are handed over after what the turn has to write has gone to the store, so
 * that the disk works meanwhile, and a bounded number in one turn of the event loop, so that many handlers hold up nobody.
 */
import type { Message } from '../bus/message.js';
import type { Party } from '../bus/party.js';

/**
 * Takes messages of a subscription.
 * @param message may be kept
 * @param publisher the client that published it; null for the broker itself, and for wills
 */
export type MessageHandler = (message: Message, publisher: Party | null) => void;

/** More than publishers can make in a turn, each being work of its own (`InProcessSubscription`). */
const MOST_PER_TURN = 2500;

export class Handling {
  readonly #handlers: MessageHandler[] = [];
  readonly #messages: Message[] = [];
  readonly #publishers: (Party | null)[] = [];
  /** The next one. */
  #at = 0;
  #scheduled = false;

  /** Hands a message over in one of the next turns, in the order of the calls. */
  add(handler: MessageHandler, message: Message, publisher: Party | null): void {
    this.#handlers.push(handler);
    this.#messages.push(message);
    this.#publishers.push(publisher);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    const end = Math.min(this.#handlers.length, this.#at + MOST_PER_TURN);
    try {
      while (this.#at < end) {
        const at = this.#at++;
        this.#handlers[at](this.#messages[at], this.#publishers[at]);
      }
    } finally {
      if (this.#at < this.#handlers.length) this.#schedule();
      else this.#clear();
    }
  };

  #clear(): void {
    this.#handlers.length = 0;
    this.#messages.length = 0;
    this.#publishers.length = 0;
    this.#at = 0;
  }
}
