/**
 * The bus in the shape of mqemitter, which is Aedes' `mq` seam: internal listeners are receivers in the same tree as
 * sessions.
 */
import type { Message } from './message.js';
import type { Publication } from './publication.js';
import type { Router } from './router.js';
import type { Receiver, Subscriber } from './tree.js';

type Done = () => void;
/** A packet as Aedes knows it; this layer only passes it on. */
export type Listener<Packet> = (packet: Packet, done: Done) => void;

/** How packets and messages become each other; the session layer knows. */
export interface PacketAdapter<Packet> {
  toPacket(message: Message): Packet;
  publish(packet: Packet): void;
}

class ListenerSubscriber<Packet> implements Subscriber {
  readonly #listener: Listener<Packet>;
  readonly #adapter: () => PacketAdapter<Packet>;

  constructor(listener: Listener<Packet>, adapter: () => PacketAdapter<Packet>) {
    this.#listener = listener;
    this.#adapter = adapter;
  }

  deliver(publication: Publication, _receiver: Receiver): void {
    const packet = this.#adapter().toPacket(publication.message());
    // Listeners run after the routing of this message, so that they may publish.
    process.nextTick(this.#listener, packet, () => {});
  }
}

export class BusEmitter<Packet> {
  readonly #router: Router;
  readonly #listeners = new Map<string, Map<Listener<Packet>, ListenerSubscriber<Packet>>>();
  /** Set by the broker before anything is emitted. */
  adapter: PacketAdapter<Packet> | null = null;
  closed = false;

  constructor(router: Router) {
    this.#router = router;
  }

  on(filter: string, listener: Listener<Packet>, done?: Done): this {
    const subscriber = new ListenerSubscriber(listener, () => this.adapter as PacketAdapter<Packet>);
    let listeners = this.#listeners.get(filter);
    if (listeners === undefined) {
      listeners = new Map();
      this.#listeners.set(filter, listeners);
    }
    if (!listeners.has(listener)) {
      listeners.set(listener, subscriber);
      this.#router.subscribe({
        subscriber,
        filter,
        qos: 2,
        noLocal: false,
        retainAsPublished: true,
        retainHandling: 2,
        identifier: 0,
      });
    }
    if (done) setImmediate(done);
    return this;
  }

  removeListener(filter: string, listener: Listener<Packet>, done?: Done): void {
    const listeners = this.#listeners.get(filter);
    const subscriber = listeners?.get(listener);
    if (subscriber !== undefined) {
      listeners?.delete(listener);
      if (listeners?.size === 0) this.#listeners.delete(filter);
      this.#router.unsubscribe(filter, subscriber);
    }
    if (done) setImmediate(done);
  }

  removeAllListeners(filter: string, done?: Done): void {
    for (const listener of [...(this.#listeners.get(filter)?.keys() ?? [])]) this.removeListener(filter, listener);
    if (done) setImmediate(done);
  }

  emit(packet: Packet, done?: (error?: Error) => void): void {
    if (this.closed) {
      done?.(new Error('mq is closed'));
      return;
    }
    this.adapter?.publish(packet);
    if (done) setImmediate(done);
  }

  close(done?: Done): void {
    this.closed = true;
    for (const filter of [...this.#listeners.keys()]) this.removeAllListeners(filter);
    if (done) setImmediate(done);
  }
}
