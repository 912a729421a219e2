/** PUBLISH in both directions: MQTT 3.3. */
import { framed, type PacketRow, type PublishPacket, props, raw, refused, str, valid } from './row.js';

const ALL = [3, 4, 5] as const;
const OLD = [3, 4] as const;
const SERVER = { direction: 'server' } as const;
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;

function packet(fields: Partial<PublishPacket> = {}): PublishPacket {
  return {
    cmd: 'publish',
    topic: 'a/b',
    payload: Buffer.from('hi'),
    qos: 0,
    retain: false,
    dup: false,
    messageId: 0,
    ...fields,
  };
}

const topic = str('a/b');
const payload = Buffer.from('hi');
const long = Buffer.alloc(300, 'x');

const OLD_ROWS: PacketRow[] = [
  ...valid('PUBLISH QoS 0', '3.3', OLD, framed(0x30, topic, payload), packet()),
  ...valid('PUBLISH QoS 0 retained', 'MQTT-3.3.1-5', OLD, framed(0x31, topic, payload), packet({ retain: true })),
  ...valid('PUBLISH QoS 1', '3.3', OLD, framed(0x32, topic, '0001', payload), packet({ qos: 1, messageId: 1 })),
  ...valid(
    'PUBLISH QoS 1 again',
    'MQTT-3.3.1-1',
    OLD,
    framed(0x3a, topic, 'ffff', payload),
    packet({ qos: 1, messageId: 65535, dup: true }),
  ),
  ...valid('PUBLISH QoS 2', '3.3', OLD, framed(0x34, topic, '0100', payload), packet({ qos: 2, messageId: 256 })),
  ...valid(
    'PUBLISH QoS 2 again, retained',
    '3.3',
    OLD,
    framed(0x3d, topic, '0100', payload),
    packet({ qos: 2, messageId: 256, dup: true, retain: true }),
  ),
  ...valid('PUBLISH without payload', '3.3.3', OLD, framed(0x30, topic), packet({ payload: Buffer.alloc(0) })),
  ...valid(
    'PUBLISH QoS 1 without payload',
    '3.3.3',
    OLD,
    framed(0x32, topic, '0007'),
    packet({ qos: 1, messageId: 7, payload: Buffer.alloc(0) }),
  ),
  ...valid('PUBLISH of 300 bytes', '2.1.4', OLD, framed(0x30, topic, long), packet({ payload: long })),
  ...valid(
    'PUBLISH to a topic of several scripts',
    'MQTT-1.5.4-1',
    OLD,
    framed(0x30, str('温/🌡'), payload),
    packet({ topic: '温/🌡' }),
  ),
  ...valid(
    'PUBLISH with a Remaining Length that is longer than it need be',
    '2.2.3',
    OLD,
    raw('30 87 80 00', topic, payload),
    packet(),
    {
      otherForm: true,
    },
  ),
  ...valid(
    'PUBLISH from the server',
    '3.3',
    OLD,
    framed(0x33, topic, '000a', payload),
    packet({ qos: 1, retain: true, messageId: 10 }),
    SERVER,
  ),
  ...refused('PUBLISH to an empty topic', 'MQTT-4.7.3-1', OLD, framed(0x30, '0000', payload), PROTOCOL_ERROR),
];

const MALFORMED_EVERYWHERE: PacketRow[] = [
  ...refused('PUBLISH QoS 3', 'MQTT-3.3.1-4', ALL, framed(0x36, topic, '0001 00', payload), MALFORMED),
  ...refused('PUBLISH QoS 0 with DUP', 'MQTT-3.3.1-2', ALL, framed(0x38, topic, '00', payload), MALFORMED),
  ...refused(
    'PUBLISH QoS 1 with packet identifier 0',
    'MQTT-2.2.1-3',
    ALL,
    framed(0x32, topic, '0000 00', payload),
    PROTOCOL_ERROR,
  ),
  ...refused(
    'PUBLISH QoS 2 with packet identifier 0',
    'MQTT-2.2.1-3',
    ALL,
    framed(0x34, topic, '0000 00', payload),
    PROTOCOL_ERROR,
  ),
  ...refused('PUBLISH without content', '3.3.2', ALL, raw('30 00'), MALFORMED),
  ...refused('PUBLISH that ends in its topic length', '3.3.2.1', ALL, raw('30 01 00'), MALFORMED),
  ...refused('PUBLISH that ends in its topic', '3.3.2.1', ALL, framed(0x30, '0004 612f62'), MALFORMED),
  ...refused('PUBLISH QoS 1 that ends in its packet identifier', '3.3.2.2', ALL, framed(0x32, topic, '00'), MALFORMED),
  ...refused('PUBLISH QoS 1 without packet identifier', 'MQTT-2.2.1-3', ALL, framed(0x32, topic), MALFORMED),
  ...refused('PUBLISH with a Remaining Length of five bytes', '2.1.4', ALL, raw('30 ff ff ff ff 01'), MALFORMED),
  ...refused(
    'PUBLISH from the server QoS 3',
    'MQTT-3.3.1-4',
    ALL,
    framed(0x36, topic, '0001 00', payload),
    MALFORMED,
    SERVER,
  ),
];

const utf8Properties = props(
  '01 01',
  raw('03', str('text/plain')),
  raw('26', str('k'), str('v')),
  raw('26', str('k'), str('v')),
);

const NEW_ROWS: PacketRow[] = [
  ...valid('PUBLISH QoS 0', '3.3', 5, framed(0x30, topic, '00', payload), packet({ properties: {} })),
  ...valid(
    'PUBLISH QoS 1 again, retained',
    '3.3',
    5,
    framed(0x3b, topic, '0001 00', payload),
    packet({ qos: 1, dup: true, retain: true, messageId: 1, properties: {} }),
  ),
  ...valid(
    'PUBLISH QoS 2',
    '3.3',
    5,
    framed(0x34, topic, 'fffe 00', payload),
    packet({ qos: 2, messageId: 65534, properties: {} }),
  ),
  ...valid(
    'PUBLISH without payload',
    '3.3.3',
    5,
    framed(0x30, topic, '00'),
    packet({ payload: Buffer.alloc(0), properties: {} }),
  ),
  ...valid(
    'PUBLISH of 300 bytes',
    '2.1.4',
    5,
    framed(0x30, topic, '00', long),
    packet({ payload: long, properties: {} }),
  ),
  ...valid(
    'PUBLISH with a repeated user property',
    'MQTT-3.3.2-17',
    5,
    framed(0x30, topic, utf8Properties, payload),
    packet({
      properties: {
        payloadFormatIndicator: true,
        contentType: 'text/plain',
        userProperties: [
          ['k', 'v'],
          ['k', 'v'],
        ],
      },
    }),
  ),
  ...valid(
    'PUBLISH that gives a topic an alias',
    '3.3.2.3.4',
    5,
    framed(0x30, topic, props('23 0001'), payload),
    packet({ properties: { topicAlias: 1 } }),
  ),
  ...valid(
    'PUBLISH by alias',
    '3.3.2.3.4',
    5,
    framed(0x32, '0000 0005', props('23 ffff'), payload),
    packet({ topic: '', qos: 1, messageId: 5, properties: { topicAlias: 65535 } }),
  ),
  ...valid(
    'PUBLISH with more than 127 bytes of properties',
    '2.2.2.1',
    5,
    framed(0x30, topic, props('09', str(long)), payload),
    packet({ properties: { correlationData: long } }),
  ),
  ...valid(
    'PUBLISH that expires at once',
    '3.3.2.3.3',
    5,
    framed(0x30, topic, props('02 00000000'), payload),
    packet({ properties: { messageExpiryInterval: 0 } }),
  ),
  ...valid(
    'PUBLISH that expires last',
    '3.3.2.3.3',
    5,
    framed(0x30, topic, props('02 ffffffff'), payload),
    packet({ properties: { messageExpiryInterval: 0xffffffff } }),
  ),
  ...valid(
    'PUBLISH from the server with Subscription Identifiers',
    '3.3.2.3.8',
    5,
    framed(0x30, topic, props('0b 01 0b ffffff7f'), payload),
    packet({ properties: { subscriptionIdentifier: [1, 268435455] } }),
    SERVER,
  ),
  ...refused('PUBLISH with neither topic nor alias', '3.3.2.1', 5, framed(0x30, '0000 00', payload), PROTOCOL_ERROR),
  ...refused('PUBLISH with alias 0', 'MQTT-3.3.2-8', 5, framed(0x30, topic, props('23 0000'), payload), PROTOCOL_ERROR),
  ...refused(
    'PUBLISH with a Subscription Identifier',
    'MQTT-3.3.4-6',
    5,
    framed(0x30, topic, props('0b 01'), payload),
    PROTOCOL_ERROR,
  ),
  ...refused(
    'PUBLISH with # in its response topic',
    'MQTT-3.3.2-14',
    5,
    framed(0x30, topic, props('08', str('r/#')), payload),
    PROTOCOL_ERROR,
  ),
  ...refused(
    'PUBLISH with + in its response topic',
    'MQTT-3.3.2-14',
    5,
    framed(0x30, topic, props('08', str('+')), payload),
    PROTOCOL_ERROR,
  ),
  ...refused('PUBLISH without property length', '3.3.2.3.1', 5, framed(0x30, topic), MALFORMED),
  ...refused(
    'PUBLISH with a property length beyond the packet',
    '3.3.2.3.1',
    5,
    framed(0x30, topic, '03', payload),
    MALFORMED,
  ),
  ...refused(
    'PUBLISH with a property length that does not end',
    'MQTT-1.5.5-1',
    5,
    framed(0x30, topic, 'ff'),
    MALFORMED,
  ),
  ...refused(
    'PUBLISH with a property length that is longer than it need be',
    'MQTT-1.5.5-1',
    5,
    framed(0x30, topic, '8000', payload),
    MALFORMED,
  ),
  ...refused(
    'PUBLISH with a Remaining Length that is longer than it need be',
    'MQTT-1.5.5-1',
    5,
    raw('30 88 00', topic, '00', payload),
    MALFORMED,
  ),
  ...refused(
    'PUBLISH with a property identifier that is longer than it need be',
    'MQTT-1.5.5-1',
    5,
    framed(0x30, topic, props('8100 01'), payload),
    MALFORMED,
  ),
  ...refused(
    'PUBLISH from the server with Subscription Identifier 0',
    '3.3.2.3.8',
    5,
    framed(0x30, topic, props('0b 00'), payload),
    PROTOCOL_ERROR,
    SERVER,
  ),
  ...refused(
    'PUBLISH from the server with a Subscription Identifier of five bytes',
    'MQTT-1.5.5-1',
    5,
    framed(0x30, topic, props('0b ffffffff01'), payload),
    MALFORMED,
    SERVER,
  ),
];

export const PUBLISH_ROWS: readonly PacketRow[] = [...OLD_ROWS, ...MALFORMED_EVERYWHERE, ...NEW_ROWS];
