/** Every property of MQTT 5.0 in every packet: where it may stand, how often, and which values it takes: 2.2.2.2. */
import type { Properties } from '../../../src/wire/packets.js';
import { type AnyPacket, framed, type PacketRow, props, raw, refused, str, valid } from './row.js';

const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;

interface Place {
  readonly name: string;
  readonly direction: 'client' | 'server';
  readonly opens?: boolean;
  /** The packet around properties, and what it says. */
  frame(properties: Buffer): Buffer;
  packet(properties: Properties): AnyPacket;
}

const topic = str('t');
const fixed = {
  clean: true,
  clientId: 'c',
  keepalive: 0,
  protocolId: 'MQTT',
  protocolVersion: 5,
  bridgeMode: false,
} as const;
const publish = {
  cmd: 'publish',
  topic: 't',
  payload: Buffer.alloc(0),
  qos: 0,
  retain: false,
  dup: false,
  messageId: 0,
} as const;
const will = { topic: 't', payload: Buffer.alloc(0), qos: 0, retain: false } as const;
const method = raw('15', str('m'));

/** Letters of the table below. */
const PLACES: Readonly<Record<string, Place>> = {
  C: {
    name: 'CONNECT',
    direction: 'client',
    opens: true,
    frame: (properties) => framed(0x10, str('MQTT'), '05 02 0000', props(properties), str('c')),
    packet: (properties) => ({ cmd: 'connect', ...fixed, properties }),
  },
  W: {
    name: 'a will',
    direction: 'client',
    opens: true,
    frame: (properties) => framed(0x10, str('MQTT'), '05 06 0000 00', str('c'), props(properties), topic, '0000'),
    packet: (properties) => ({ cmd: 'connect', ...fixed, properties: {}, will: { ...will, properties } }),
  },
  K: {
    name: 'CONNACK',
    direction: 'server',
    opens: true,
    frame: (properties) => framed(0x20, '00 00', props(properties)),
    packet: (properties) => ({ cmd: 'connack', sessionPresent: false, reasonCode: 0, properties }),
  },
  P: {
    name: 'PUBLISH',
    direction: 'client',
    frame: (properties) => framed(0x30, topic, props(properties)),
    packet: (properties) => ({ ...publish, properties }),
  },
  p: {
    name: 'PUBLISH from the server',
    direction: 'server',
    frame: (properties) => framed(0x30, topic, props(properties)),
    packet: (properties) => ({ ...publish, properties }),
  },
  A: {
    name: 'PUBACK',
    direction: 'client',
    frame: (properties) => framed(0x40, '0001 00', props(properties)),
    packet: () => ({ cmd: 'puback', messageId: 1, reasonCode: 0 }),
  },
  S: {
    name: 'SUBSCRIBE',
    direction: 'client',
    frame: (properties) => framed(0x82, '0001', props(properties), topic, '00'),
    packet: (properties) => ({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: 't', qos: 0, nl: false, rap: false, rh: 0 }],
      properties,
    }),
  },
  s: {
    name: 'SUBACK',
    direction: 'server',
    frame: (properties) => framed(0x90, '0001', props(properties), '00'),
    packet: (properties) => ({ cmd: 'suback', messageId: 1, granted: [0], properties }),
  },
  U: {
    name: 'UNSUBSCRIBE',
    direction: 'client',
    frame: (properties) => framed(0xa2, '0001', props(properties), topic),
    packet: (properties) => ({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['t'], properties }),
  },
  u: {
    name: 'UNSUBACK',
    direction: 'server',
    frame: (properties) => framed(0xb0, '0001', props(properties), '00'),
    packet: (properties) => ({ cmd: 'unsuback', messageId: 1, granted: [0], properties }),
  },
  D: {
    name: 'DISCONNECT',
    direction: 'client',
    frame: (properties) => framed(0xe0, '00', props(properties)),
    packet: (properties) => ({ cmd: 'disconnect', reasonCode: 0, properties }),
  },
  d: {
    name: 'DISCONNECT from the server',
    direction: 'server',
    frame: (properties) => framed(0xe0, '00', props(properties)),
    packet: (properties) => ({ cmd: 'disconnect', reasonCode: 0, properties }),
  },
  X: {
    name: 'AUTH',
    direction: 'client',
    frame: (properties) => framed(0xf0, '18', props(properties)),
    packet: (properties) => ({ cmd: 'auth', reasonCode: 0x18, properties }),
  },
};

interface Property {
  readonly id: string;
  readonly title: string;
  /** Where it may stand: letters of PLACES (MQTT 5.0 table 2-4 and the text of each packet). */
  readonly places: string;
  /** A value on the wire, and as object. */
  readonly bytes: Buffer;
  readonly value: Properties;
  /** Values that are refused with the reason given. */
  readonly bad?: readonly (readonly [Buffer, number])[];
  /** Where it may stand twice, and what that says. */
  readonly twice?: { readonly places: string; readonly value: Properties };
}

const NOT_0_OR_1 = [[raw('02'), PROTOCOL_ERROR]] as const;
const ILL_FORMED = [[raw('0001 ff'), MALFORMED]] as const;
const text = str('x');

const PROPERTIES: readonly Property[] = [
  {
    id: '01',
    title: 'Payload Format Indicator',
    places: 'WPp',
    bytes: raw('01'),
    value: { payloadFormatIndicator: true },
    bad: NOT_0_OR_1,
  },
  {
    id: '02',
    title: 'Message Expiry Interval',
    places: 'WPp',
    bytes: raw('00000001'),
    value: { messageExpiryInterval: 1 },
  },
  { id: '03', title: 'Content Type', places: 'WPp', bytes: text, value: { contentType: 'x' }, bad: ILL_FORMED },
  {
    id: '08',
    title: 'Response Topic',
    places: 'WPp',
    bytes: text,
    value: { responseTopic: 'x' },
    bad: [...ILL_FORMED, [str('#'), PROTOCOL_ERROR], [str('a/+'), PROTOCOL_ERROR]],
  },
  {
    id: '09',
    title: 'Correlation Data',
    places: 'WPp',
    bytes: raw('0001 ff'),
    value: { correlationData: Buffer.from([255]) },
  },
  {
    id: '0b',
    title: 'Subscription Identifier',
    places: 'pS',
    bytes: raw('8001'),
    value: { subscriptionIdentifier: 128 },
    bad: [
      [raw('00'), PROTOCOL_ERROR],
      [raw('8100'), MALFORMED],
      [raw('8080808001'), MALFORMED],
    ],
    twice: { places: 'p', value: { subscriptionIdentifier: [128, 128] } },
  },
  {
    id: '11',
    title: 'Session Expiry Interval',
    places: 'CKD',
    bytes: raw('ffffffff'),
    value: { sessionExpiryInterval: 0xffffffff },
  },
  {
    id: '12',
    title: 'Assigned Client Identifier',
    places: 'K',
    bytes: text,
    value: { assignedClientIdentifier: 'x' },
    bad: ILL_FORMED,
  },
  { id: '13', title: 'Server Keep Alive', places: 'K', bytes: raw('0000'), value: { serverKeepAlive: 0 } },
  {
    id: '15',
    title: 'Authentication Method',
    places: 'CKX',
    bytes: text,
    value: { authenticationMethod: 'x' },
    bad: ILL_FORMED,
  },
  {
    id: '16',
    title: 'Authentication Data',
    places: 'CKX',
    bytes: raw('0001 00'),
    value: { authenticationData: Buffer.from([0]) },
  },
  {
    id: '17',
    title: 'Request Problem Information',
    places: 'C',
    bytes: raw('01'),
    value: { requestProblemInformation: true },
    bad: NOT_0_OR_1,
  },
  {
    id: '18',
    title: 'Will Delay Interval',
    places: 'W',
    bytes: raw('80000000'),
    value: { willDelayInterval: 0x80000000 },
  },
  {
    id: '19',
    title: 'Request Response Information',
    places: 'C',
    bytes: raw('00'),
    value: { requestResponseInformation: false },
    bad: NOT_0_OR_1,
  },
  {
    id: '1a',
    title: 'Response Information',
    places: 'K',
    bytes: text,
    value: { responseInformation: 'x' },
    bad: ILL_FORMED,
  },
  { id: '1c', title: 'Server Reference', places: 'Kd', bytes: text, value: { serverReference: 'x' }, bad: ILL_FORMED },
  { id: '1f', title: 'Reason String', places: 'KAsuDdX', bytes: text, value: { reasonString: 'x' }, bad: ILL_FORMED },
  {
    id: '21',
    title: 'Receive Maximum',
    places: 'CK',
    bytes: raw('ffff'),
    value: { receiveMaximum: 65535 },
    bad: [[raw('0000'), PROTOCOL_ERROR]],
  },
  { id: '22', title: 'Topic Alias Maximum', places: 'CK', bytes: raw('0000'), value: { topicAliasMaximum: 0 } },
  {
    id: '23',
    title: 'Topic Alias',
    places: 'Pp',
    bytes: raw('0001'),
    value: { topicAlias: 1 },
    bad: [[raw('0000'), PROTOCOL_ERROR]],
  },
  { id: '24', title: 'Maximum QoS', places: 'K', bytes: raw('00'), value: { maximumQoS: 0 }, bad: NOT_0_OR_1 },
  {
    id: '25',
    title: 'Retain Available',
    places: 'K',
    bytes: raw('01'),
    value: { retainAvailable: true },
    bad: NOT_0_OR_1,
  },
  {
    id: '26',
    title: 'User Property',
    places: 'CWKPpASsUuDdX',
    bytes: raw(str('k'), str('v')),
    value: { userProperties: [['k', 'v']] },
    bad: [
      [raw('0001 ff', text), MALFORMED],
      [raw(text, '0001 ff'), MALFORMED],
      [raw(text, '0001 00'), MALFORMED],
    ],
    twice: {
      places: 'CWKPpASsUuDdX',
      value: {
        userProperties: [
          ['k', 'v'],
          ['k', 'v'],
        ],
      },
    },
  },
  {
    id: '27',
    title: 'Maximum Packet Size',
    places: 'CK',
    bytes: raw('00000001'),
    value: { maximumPacketSize: 1 },
    bad: [[raw('00000000'), PROTOCOL_ERROR]],
  },
  {
    id: '28',
    title: 'Wildcard Subscription Available',
    places: 'K',
    bytes: raw('00'),
    value: { wildcardSubscriptionAvailable: false },
    bad: NOT_0_OR_1,
  },
  {
    id: '29',
    title: 'Subscription Identifiers Available',
    places: 'K',
    bytes: raw('00'),
    value: { subscriptionIdentifiersAvailable: false },
    bad: NOT_0_OR_1,
  },
  {
    id: '2a',
    title: 'Shared Subscription Available',
    places: 'K',
    bytes: raw('00'),
    value: { sharedSubscriptionAvailable: false },
    bad: NOT_0_OR_1,
  },
];

function rowsOf(property: Property, letter: string, place: Place): PacketRow[] {
  const { id, title, bytes, value } = property;
  const options = { direction: place.direction, opens: place.opens ?? false };
  // Authentication Data needs a method beside it, and AUTH always has one (3.1.2.11.10, 3.15.2.2.2).
  const needsMethod = id !== '15' && (letter === 'X' || (letter === 'C' && id === '16'));
  const [before, beside] = needsMethod ? [method, { authenticationMethod: 'm' }] : [Buffer.alloc(0), {}];
  const frame = (...parts: Buffer[]) => place.frame(raw(before, ...parts));
  const once = raw(id, bytes);
  const name = `${title} in ${place.name}`;
  const tag = '2.2.2.2';
  if (!property.places.includes(letter)) return refused(name, tag, 5, frame(once), PROTOCOL_ERROR, options);
  const { twice, bad = [] } = property;
  const otherForm = letter === 'A';
  return [
    ...valid(name, tag, 5, frame(once), place.packet({ ...beside, ...value }), { ...options, otherForm }),
    ...(twice?.places.includes(letter)
      ? valid(`${name} twice`, tag, 5, frame(once, once), place.packet({ ...beside, ...twice.value }), {
          ...options,
          otherForm,
        })
      : refused(`${name} twice`, tag, 5, frame(once, once), PROTOCOL_ERROR, options)),
    ...refused(`${name} cut short`, tag, 5, frame(once.subarray(0, -1)), MALFORMED, options),
    ...refused(`${name} without a value`, tag, 5, frame(raw(id)), MALFORMED, options),
    ...bad.flatMap(([refusedValue, reason]) =>
      refused(`${name} as ${refusedValue.toString('hex')}`, tag, 5, frame(raw(id, refusedValue)), reason, options),
    ),
  ];
}

const UNKNOWN = ['00', '04', '0c', '14', '20', '2b', '7f', 'ff01'];

export const PROPERTY_ROWS: readonly PacketRow[] = Object.entries(PLACES).flatMap(([letter, place]) => [
  ...PROPERTIES.flatMap((property) => rowsOf(property, letter, place)),
  ...UNKNOWN.flatMap((id) =>
    refused(`an unknown property 0x${id} in ${place.name}`, '2.2.2.2', 5, place.frame(raw(id, '00')), MALFORMED, {
      direction: place.direction,
      opens: place.opens ?? false,
    }),
  ),
]);
