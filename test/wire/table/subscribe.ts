/** SUBSCRIBE and UNSUBSCRIBE: MQTT 3.8, 3.10. Rules of topic filters are not the wire's. */
import type { SubscribePacket, UnsubscribePacket } from '../../../src/wire/packets.js';
import type { QoS } from '../../../src/wire/protocol.js';
import { framed, type PacketRow, props, raw, refused, str, valid } from './row.js';

const ALL = [3, 4, 5] as const;
const OLD = [3, 4] as const;
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;

type Subscription = SubscribePacket['subscriptions'][number];

function to(topic: string, qos: QoS, options: Partial<Subscription> = {}): Subscription {
  return { topic, qos, nl: false, rap: false, rh: 0, ...options };
}

function subscribe(...subscriptions: Subscription[]): SubscribePacket {
  return { cmd: 'subscribe', messageId: 10, subscriptions };
}

function unsubscribe(...unsubscriptions: string[]): UnsubscribePacket {
  return { cmd: 'unsubscribe', messageId: 10, unsubscriptions };
}

const filter = str('a/+');
/** An identifier, and the length of no properties where there are properties. */
const HEAD = { 3: '000a', 4: '000a', 5: '000a 00' } as const;

const IN_EVERY_VERSION: PacketRow[] = ALL.flatMap((version) => {
  const head = HEAD[version];
  const noId = version === 5 ? '0000 00' : '0000';
  const properties = version === 5 ? { properties: {} } : {};
  const good = (name: string, tag: string, bytes: Buffer, packet: SubscribePacket | UnsubscribePacket) =>
    valid(name, tag, version, bytes, { ...packet, ...properties });
  const bad = (name: string, tag: string, bytes: Buffer, reasonCode: number) =>
    refused(name, tag, version, bytes, reasonCode);
  return [
    ...good('SUBSCRIBE QoS 0', '3.8', framed(0x82, head, filter, '00'), subscribe(to('a/+', 0))),
    ...good('SUBSCRIBE QoS 1', '3.8', framed(0x82, head, filter, '01'), subscribe(to('a/+', 1))),
    ...good('SUBSCRIBE QoS 2', '3.8', framed(0x82, head, filter, '02'), subscribe(to('a/+', 2))),
    ...good(
      'SUBSCRIBE to several filters',
      'MQTT-3.8.4-5',
      framed(0x82, head, str('#'), '00', str('$SYS/#'), '01', str('a/+'), '02', str('#'), '02'),
      subscribe(to('#', 0), to('$SYS/#', 1), to('a/+', 2), to('#', 2)),
    ),
    ...good('SUBSCRIBE to an empty filter', '4.7.3', framed(0x82, head, '0000 00'), subscribe(to('', 0))),
    ...bad('SUBSCRIBE with packet identifier 0', 'MQTT-2.2.1-3', framed(0x82, noId, filter, '00'), MALFORMED),
    ...bad('SUBSCRIBE without filters', 'MQTT-3.8.3-2', framed(0x82, head), PROTOCOL_ERROR),
    ...bad('SUBSCRIBE with QoS 3', 'MQTT-3.8.3-4', framed(0x82, head, filter, '03'), PROTOCOL_ERROR),
    ...bad('SUBSCRIBE with reserved options', 'MQTT-3.8.3-5', framed(0x82, head, filter, '40'), MALFORMED),
    ...bad('SUBSCRIBE with the highest reserved option', 'MQTT-3.8.3-5', framed(0x82, head, filter, '80'), MALFORMED),
    ...bad('SUBSCRIBE without options', '3.8.3', framed(0x82, head, filter), MALFORMED),
    ...bad('SUBSCRIBE with a second filter cut short', '3.8.3', framed(0x82, head, filter, '00', '0003 61'), MALFORMED),
    ...bad('SUBSCRIBE with an ill-formed filter', 'MQTT-3.8.3-1', framed(0x82, head, '0002 c0af', '00'), MALFORMED),
    ...bad('SUBSCRIBE with NUL in a filter', 'MQTT-1.5.4-2', framed(0x82, head, '0001 00', '00'), MALFORMED),
    ...bad('SUBSCRIBE without content', '3.8.2', framed(0x82), MALFORMED),
    ...bad('SUBSCRIBE without flags', 'MQTT-3.8.1-1', framed(0x80, head, filter, '00'), MALFORMED),
    ...good('UNSUBSCRIBE', '3.10', framed(0xa2, head, filter), unsubscribe('a/+')),
    ...good(
      'UNSUBSCRIBE from several filters',
      '3.10',
      framed(0xa2, head, filter, str('#'), filter),
      unsubscribe('a/+', '#', 'a/+'),
    ),
    ...bad('UNSUBSCRIBE with packet identifier 0', 'MQTT-2.2.1-3', framed(0xa2, noId, filter), MALFORMED),
    ...bad('UNSUBSCRIBE without filters', 'MQTT-3.10.3-2', framed(0xa2, head), PROTOCOL_ERROR),
    ...bad('UNSUBSCRIBE with a filter cut short', '3.10.3', framed(0xa2, head, filter, '00'), MALFORMED),
    ...bad('UNSUBSCRIBE with an ill-formed filter', 'MQTT-3.10.3-1', framed(0xa2, head, '0004 f4908080'), MALFORMED),
    ...bad('UNSUBSCRIBE without content', '3.10.2', framed(0xa2), MALFORMED),
    ...bad('UNSUBSCRIBE without flags', 'MQTT-3.10.1-1', framed(0xa0, head, filter), MALFORMED),
  ];
});

const again = { otherForm: true } as const;

export const SUBSCRIBE_ROWS: readonly PacketRow[] = [
  ...IN_EVERY_VERSION,
  ...valid('SUBSCRIBE again', 'MQTT 3.1 3.8', 3, framed(0x8a, '000a', filter, '00'), subscribe(to('a/+', 0)), again),
  ...valid('UNSUBSCRIBE again', 'MQTT 3.1 3.10', 3, framed(0xaa, '000a', filter), unsubscribe('a/+'), again),
  ...refused('SUBSCRIBE with DUP', 'MQTT-3.8.1-1', [4, 5], framed(0x8a, '000a 00', filter, '00'), MALFORMED),
  ...refused('UNSUBSCRIBE with DUP', 'MQTT-3.10.1-1', [4, 5], framed(0xaa, '000a 00', filter), MALFORMED),
  ...refused('SUBSCRIBE with No Local', 'MQTT-3.8.3-4', OLD, framed(0x82, '000a', filter, '04'), MALFORMED),
  ...refused('SUBSCRIBE with Retain As Published', 'MQTT-3.8.3-4', OLD, framed(0x82, '000a', filter, '08'), MALFORMED),
  ...refused('SUBSCRIBE with Retain Handling', 'MQTT-3.8.3-4', OLD, framed(0x82, '000a', filter, '10'), MALFORMED),
  ...valid(
    'SUBSCRIBE with all options',
    '3.8.3.1',
    5,
    framed(0x82, '000a 00', filter, '2e', str('b'), '10', str('c'), '01'),
    {
      ...subscribe(to('a/+', 2, { nl: true, rap: true, rh: 2 }), to('b', 0, { rh: 1 }), to('c', 1)),
      properties: {},
    },
  ),
  ...valid(
    'SUBSCRIBE with properties',
    '3.8.2.1',
    5,
    framed(0x82, '000a', props('0b ffffff7f', raw('26', str('k'), str('v'))), filter, '00'),
    { ...subscribe(to('a/+', 0)), properties: { subscriptionIdentifier: 268435455, userProperties: [['k', 'v']] } },
  ),
  ...refused('SUBSCRIBE with Retain Handling 3', '3.8.3.1', 5, framed(0x82, '000a 00', filter, '30'), PROTOCOL_ERROR),
  ...refused('SUBSCRIBE without property length', '3.8.2.1.1', 5, framed(0x82, '000a'), MALFORMED),
  ...refused(
    'SUBSCRIBE with properties beyond the packet',
    '3.8.2.1.1',
    5,
    framed(0x82, '000a 20', filter, '00'),
    MALFORMED,
  ),
];
