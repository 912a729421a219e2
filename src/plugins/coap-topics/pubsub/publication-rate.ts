/** How often a device may publish data. */
import type { CoapRemote } from '../../../coap/remotes.js';
import { Bucket } from '../../../session/bucket.js';

export class PublicationRate {
  #perSecond: number;
  /** They go when the endpoint forgets the device. */
  #buckets = new WeakMap<CoapRemote, Bucket>();

  /** @param perSecond of one device; infinite for no limit */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Another rate; everybody begins anew. */
  replace(perSecond: number): void {
    if (perSecond === this.#perSecond) return;
    this.#perSecond = perSecond;
    this.#buckets = new WeakMap();
  }

  /** Takes one publication; or says how many whole seconds the device has to wait for it. */
  wait(remote: CoapRemote, now: number): number {
    if (this.#perSecond === Number.POSITIVE_INFINITY) return 0;
    let bucket = this.#buckets.get(remote);
    if (bucket === undefined) {
      bucket = new Bucket(this.#perSecond, now);
      this.#buckets.set(remote, bucket);
    }
    bucket.refill(now);
    if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / this.#perSecond);
    bucket.tokens--;
    return 0;
  }
}
