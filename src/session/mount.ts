/**
 * A mount point: clients of a listener see one branch of the topics as if it were all there is. Their topics and filters get
 * its prefix where they come in, and lose it where they go out; everything between knows full topics only.
 */
import { isShared, sharedPartsOf } from '../bus/topics.js';
import type { PublishView } from '../wire/publish-view.js';
import type { PublishSource } from '../wire/publish-writer.js';

/** A message with a shorter topic. */
class Unmounted implements PublishSource {
  topicBytes: Buffer = Buffer.alloc(0);
  buffer: Buffer = this.topicBytes;
  payloadStart = 0;
  payloadEnd = 0;
  properties: Buffer = this.topicBytes;
  readonly bodyStart = -1;
  readonly bodyHasPacketId = false;
  readonly bodyHasProperties = false;
}

/** Bytes of the length of a topic name. */
const LENGTH_BYTES = 2;

export class Mount {
  readonly prefix: string;
  readonly #bytes: Buffer;
  /** Used for one message at a time. */
  readonly #outgoing = new Unmounted();

  /** @param prefix a topic name that ends with `/` */
  constructor(prefix: string) {
    this.prefix = prefix;
    this.#bytes = Buffer.from(prefix);
  }

  /** The full topic of a client's. An empty one stays what it is: a fault, or an alias. */
  topic(topic: string): string {
    return topic === '' ? topic : this.prefix + topic;
  }

  /** The full filter of a client's; that of a shared subscription has the prefix behind its ShareName. */
  filter(filter: string): string {
    if (!isShared(filter)) return this.topic(filter);
    const [name, shared] = sharedPartsOf(filter);
    return shared === '' ? filter : `$share/${name}/${this.prefix}${shared}`;
  }

  /** Gives a PUBLISH from a client its full topic, in a buffer of its own. */
  mount(view: PublishView): void {
    const { buffer, topicStart, topicEnd, payloadEnd } = view;
    if (topicStart === topicEnd) return;
    const prefix = this.#bytes;
    const length = prefix.length + topicEnd - topicStart;
    const mounted = Buffer.allocUnsafe(LENGTH_BYTES + prefix.length + payloadEnd - topicStart);
    mounted[0] = length >>> 8;
    mounted[1] = length & 0xff;
    prefix.copy(mounted, LENGTH_BYTES);
    buffer.copy(mounted, LENGTH_BYTES + prefix.length, topicStart, payloadEnd);
    const shift = LENGTH_BYTES + prefix.length - topicStart;
    view.buffer = mounted;
    view.topicStart = LENGTH_BYTES;
    view.topicEnd = LENGTH_BYTES + length;
    view.propertiesStart += shift;
    view.propertiesEnd += shift;
    view.payloadStart += shift;
    view.payloadEnd += shift;
  }

  /** A message as the client sees it, until the next one; null if it lies outside: the subscription is of another listener. */
  unmount(source: PublishSource): PublishSource | null {
    const { topicBytes } = source;
    const prefix = this.#bytes;
    if (topicBytes.length <= prefix.length || prefix.compare(topicBytes, 0, prefix.length) !== 0) return null;
    const outgoing = this.#outgoing;
    outgoing.topicBytes = topicBytes.subarray(prefix.length);
    outgoing.buffer = source.buffer;
    outgoing.payloadStart = source.payloadStart;
    outgoing.payloadEnd = source.payloadEnd;
    outgoing.properties = source.properties;
    return outgoing;
  }
}
