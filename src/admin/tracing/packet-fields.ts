/** MQTT packets as traces tell them. Passwords and the data of AUTH are left out. */
import type { ConnackPacket, ConnectPacket, Properties, SubscribePacket } from '../../wire/packets.js';
import { decodeProperties } from '../../wire/properties.js';
import { PacketType, VERSION_NAMES } from '../../wire/protocol.js';
import type { PublishView } from '../../wire/publish-view.js';
import { reasonText } from '../../wire/reason-codes.js';

/** Filters, reason codes and User Properties of one packet that are told; of more, how many there are. */
const MOST_LISTED = 50;

/** @param willTopic as the client says it */
export function connectFields(
  { clientId, username, password, will, clean, keepalive, ...packet }: ConnectPacket,
  willTopic: string | undefined,
) {
  return {
    packet: 'connect',
    protocol: VERSION_NAMES[packet.protocolVersion],
    client_id: clientId,
    ...(username === undefined ? null : { user: username }),
    ...(password === undefined ? null : { password: 'not shown' }),
    clean,
    keepalive,
    ...(will === undefined
      ? null
      : {
          will: {
            topic: willTopic,
            qos: will.qos,
            retain: will.retain,
            bytes: will.payload.length,
            ...propertyFields(will.properties),
          },
        }),
    ...propertyFields(packet.properties),
  };
}

export function connackFields({ sessionPresent, reasonCode, properties }: ConnackPacket, version: number) {
  const told = version === 5 ? reasonFields(reasonCode) : { return_code: reasonCode };
  return { packet: 'connack', session_present: sessionPresent, ...told, ...propertyFields(properties) };
}

/** @param topic what its Topic Alias stands for, if it has no topic; null if that is not known */
export function publishFields(view: PublishView, version: number, topic: string | null) {
  const { buffer, topicStart, topicEnd, propertiesStart, propertiesEnd } = view;
  const properties =
    version === 5 && propertiesEnd > propertiesStart
      ? decodeProperties(buffer, propertiesStart, propertiesEnd, 'publish')
      : undefined;
  return {
    packet: 'publish',
    ...(view.qos > 0 ? { id: view.packetId } : null),
    topic: topicEnd > topicStart ? buffer.utf8Slice(topicStart, topicEnd) : topic,
    qos: view.qos,
    retain: view.retain,
    dup: view.dup,
    bytes: view.payloadEnd - view.payloadStart,
    ...propertyFields(properties),
  };
}

const ACKNOWLEDGEMENTS: Readonly<Record<number, string>> = {
  [PacketType.PUBACK]: 'puback',
  [PacketType.PUBREC]: 'pubrec',
  [PacketType.PUBREL]: 'pubrel',
  [PacketType.PUBCOMP]: 'pubcomp',
};

export function acknowledgementFields(type: number, id: number, reasonCode: number, version: number) {
  return { packet: ACKNOWLEDGEMENTS[type], id, ...(version === 5 ? reasonFields(reasonCode) : null) };
}

export function subscribeFields({ messageId, subscriptions, properties }: SubscribePacket, version: number) {
  const filters = listed(subscriptions, ({ topic, qos, nl, rap, rh }) => {
    const options = { no_local: nl, retain_as_published: rap, retain_handling: rh };
    return { filter: topic, qos, ...(version === 5 ? options : null) };
  });
  return { packet: 'subscribe', id: messageId, filters, ...more(subscriptions), ...propertyFields(properties) };
}

/** SUBACK, UNSUBACK, and UNSUBSCRIBE with its filters. */
export function listFields(
  packet: 'suback' | 'unsuback' | 'unsubscribe',
  id: number,
  name: 'reason_codes' | 'filters',
  list: readonly unknown[],
  properties: Properties | undefined,
) {
  return { packet, id, [name]: listed(list, (item) => item), ...more(list), ...propertyFields(properties) };
}

/** DISCONNECT and AUTH. */
export function reasonedFields(
  packet: 'disconnect' | 'auth',
  reasonCode: number,
  properties: Properties | undefined,
  version: number,
) {
  return { packet, ...(version === 5 ? reasonFields(reasonCode) : null), ...propertyFields(properties) };
}

function reasonFields(reasonCode: number) {
  return { reason_code: reasonCode, reason: reasonText(reasonCode) };
}

function listed<Item>(list: readonly Item[], told: (item: Item) => unknown): unknown[] {
  return list.slice(0, MOST_LISTED).map(told);
}

function more({ length }: readonly unknown[]) {
  return length > MOST_LISTED ? { of: length } : null;
}

function propertyFields(properties: Properties | undefined) {
  if (properties === undefined) return null;
  const told: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'authenticationData' || value === undefined) continue;
    const known = name.replace('QoS', 'Qos').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    told[known] = Buffer.isBuffer(value)
      ? value.toString('hex')
      : Array.isArray(value)
        ? listed(value, (one) => one)
        : value;
  }
  return Object.keys(told).length === 0 ? null : { properties: told };
}
