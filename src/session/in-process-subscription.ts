/** One subscription of a client inside the process. */
import type { Message } from '../bus/message.js';
import type { Publication } from '../bus/publication.js';
import type { Receiver, Subscriber } from '../bus/tree.js';
import type { Work } from '../bus/work.js';

/** Takes messages of a subscription. `message` may be kept. */
export type MessageHandler = (message: Message) => void;

/** What a message for a handler counts for, beyond a delivery. */
const HANDLING = 10;

/** One subscription of an in-process client; each is a receiver of its own. */
export class InProcessSubscription implements Subscriber {
  readonly filter: string;
  /** Told that the client was closed with this subscription. */
  readonly ended: (() => void) | null;
  readonly #handler: MessageHandler;
  readonly #work: Work;

  constructor(filter: string, handler: MessageHandler, ended: (() => void) | null, work: Work) {
    this.filter = filter;
    this.ended = ended;
    this.#work = work;
    this.#handler = handler;
  }

  deliver(publication: Publication, _receiver: Receiver): void {
    const message = publication.message();
    this.#work.done += HANDLING;
    // Handlers run after the routing of this message, so that they may publish.
    process.nextTick(this.#handler, message);
  }
}
