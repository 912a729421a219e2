/** A connection of a listener with a mount point. Others are of the class above it, and pay nothing for this. */
import type { IncomingMessage } from 'node:http';
import type { Publication } from '../bus/publication.js';
import type { ConnectPacket, SubscribePacket, UnsubscribePacket } from '../wire/packets.js';
import type { PublishView } from '../wire/publish-view.js';
import type { PublishSource } from '../wire/publish-writer.js';
import { Connection } from './connection.js';
import type { Environment } from './environment.js';
import type { Mount } from './mount.js';
import { sendPublish } from './sending.js';
import type { Transport } from './transport.js';

export class MountedConnection extends Connection {
  readonly #mount: Mount;

  constructor(
    environment: Environment,
    transport: Transport,
    req: IncomingMessage | undefined,
    anonymous: boolean,
    mount: Mount,
  ) {
    super(environment, transport, req, anonymous);
    this.#mount = mount;
  }

  override onConnect(packet: ConnectPacket): void {
    if (packet.will !== undefined) packet.will.topic = this.#mount.topic(packet.will.topic);
    super.onConnect(packet);
  }

  override said(topic: string): string {
    return topic.slice(this.#mount.prefix.length);
  }

  override onPublish(view: PublishView): void {
    this.#mount.mount(view);
    super.onPublish(view);
  }

  override onSubscribe(packet: SubscribePacket): void {
    for (const subscription of packet.subscriptions) subscription.topic = this.#mount.filter(subscription.topic);
    super.onSubscribe(packet);
  }

  override onUnsubscribe(packet: UnsubscribePacket): void {
    packet.unsubscriptions = packet.unsubscriptions.map((filter) => this.#mount.filter(filter));
    super.onUnsubscribe(packet);
  }

  override sendPublication(
    publication: Publication,
    qos: number,
    retain: boolean,
    packetId: number,
    identifiers: readonly number[] | null,
  ): boolean {
    const { route, expiresAt } = publication;
    return sendPublish(this, this.#mount, route, publication, qos, retain, false, packetId, expiresAt, identifiers);
  }

  override sendPublish(
    source: PublishSource,
    qos: number,
    retain: boolean,
    dup: boolean,
    packetId: number,
    expiresAt: number,
    identifiers: readonly number[] | null,
  ): boolean {
    return sendPublish(this, this.#mount, null, source, qos, retain, dup, packetId, expiresAt, identifiers);
  }
}
