/** Packets in the shape that hooks, events and internal listeners written for Aedes know. */
import { type Message, NO_PROPERTIES } from '../bus/message.js';
import type { Subscription } from '../bus/tree.js';
import { Output } from '../wire/output.js';
import type { Properties } from '../wire/packets.js';
import { encodePropertyList } from '../wire/properties.js';
import { decodeForwardedProperties } from '../wire/publish-view.js';

/** A PUBLISH as Aedes passes it around. */
export interface AedesPacket {
  cmd: 'publish';
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  retain: boolean;
  dup: boolean;
  brokerId?: string;
  brokerCounter?: number;
  messageId?: number;
  clientId?: string;
  properties?: Properties;
}

/** Properties as callers hand them over: User Properties as a list, or as mqtt-packet's object. */
export type RequestProperties = {
  readonly [Name in Exclude<keyof Properties, 'userProperties'>]?: Properties[Name] | undefined;
} & { readonly userProperties?: readonly [string, string][] | Readonly<Record<string, string | string[]>> | undefined };

/** What may be handed to `broker.publish`. */
export interface PublishRequest {
  readonly topic: string;
  readonly payload?: string | Buffer | undefined;
  readonly qos?: 0 | 1 | 2 | undefined;
  readonly retain?: boolean | undefined;
  readonly properties?: RequestProperties | undefined;
}

export interface AedesSubscription {
  topic: string;
  qos: 0 | 1 | 2;
  nl?: boolean;
  rap?: boolean;
  rh?: 0 | 1 | 2;
}

const NO_PAYLOAD = Buffer.alloc(0);

export function packetOf(message: Message, brokerId: string, brokerCounter: number): AedesPacket {
  const packet: AedesPacket = {
    cmd: 'publish',
    topic: message.topic,
    payload: message.payload,
    qos: message.qos,
    retain: message.retain,
    dup: false,
    brokerId,
    brokerCounter,
  };
  if (message.publisherId !== '') packet.clientId = message.publisherId;
  if (message.properties.length > 0) packet.properties = decodeForwardedProperties(message.properties);
  if (message.expiresAt > 0) {
    const seconds = Math.max(0, Math.ceil((message.expiresAt - Date.now()) / 1000));
    packet.properties = { ...packet.properties, messageExpiryInterval: seconds };
  }
  return packet;
}

/** A message with its own bytes from what a hook or a caller hands over. */
export function messageOf(request: PublishRequest, publisherId: string, now: number): Message {
  const { payload = NO_PAYLOAD, properties } = request;
  const expiry = properties?.messageExpiryInterval;
  return {
    topic: request.topic,
    payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
    qos: request.qos ?? 0,
    retain: request.retain ?? false,
    properties: properties === undefined ? NO_PROPERTIES : encodeForwarded(properties),
    expiresAt: expiry === undefined ? 0 : now + expiry * 1000,
    publisherId,
    receivedAt: now,
  };
}

/** Properties that a PUBLISH forwards. */
const FORWARDED = ['payloadFormatIndicator', 'contentType', 'responseTopic', 'correlationData'] as const;

function encodeForwarded(properties: RequestProperties): Buffer {
  const forwarded: Properties = {};
  for (const name of FORWARDED)
    if (properties[name] !== undefined) Object.assign(forwarded, { [name]: properties[name] });
  const { userProperties } = properties;
  if (userProperties !== undefined) forwarded.userProperties = pairsOf(userProperties);
  const out = new Output();
  encodePropertyList(out, forwarded, 'publish');
  const bytes = Buffer.from(out.bytes());
  out.recycle();
  return bytes;
}

function pairsOf(userProperties: NonNullable<RequestProperties['userProperties']>): [string, string][] {
  if (Array.isArray(userProperties)) return [...userProperties];
  return Object.entries(userProperties).flatMap(([name, values]): [string, string][] =>
    [values].flat().map((value) => [name, value]),
  );
}

export function subscriptionOf(subscription: Subscription): AedesSubscription {
  return {
    topic: subscription.filter,
    qos: subscription.qos,
    nl: subscription.noLocal,
    rap: subscription.retainAsPublished,
    rh: subscription.retainHandling,
  };
}
