/** CONNACK, SUBACK and UNSUBACK: MQTT 3.2, 3.9, 3.11. */
import { framed, type PacketRow, props, raw, refused, str, valid } from './row.js';

const ALL = [3, 4, 5] as const;
const OLD = [3, 4] as const;
const SERVER = { direction: 'server' } as const;
const OPENS = { direction: 'server', opens: true } as const;
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;

const CONNACK_REASONS = [...raw('00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f')];
const SUBACK_REASONS = raw('00 01 02 80 83 87 8f 91 97 9e a1 a2');
const UNSUBACK_REASONS = raw('00 11 80 83 87 8f 91');

const connack = (sessionPresent: boolean, reasonCode: number) =>
  ({ cmd: 'connack', sessionPresent, reasonCode }) as const;

const ALL_PROPERTIES = props(
  '11 00000e10',
  raw('12', str('auto-1')),
  '13 001e',
  raw('15', str('m')),
  raw('16', str('data')),
  raw('1a', str('info')),
  raw('1c', str('other:1883')),
  raw('1f', str('why')),
  '21 0014',
  '22 000a',
  '24 01',
  '25 00',
  raw('26', str('k'), str('v')),
  '27 00010000',
  '28 01',
  '29 00',
  '2a 01',
);

const CONNACK_ROWS: PacketRow[] = [
  ...[0, 1, 2, 3, 4, 5].flatMap((code) =>
    valid(
      `CONNACK with return code ${code}`,
      '3.2.2.3',
      OLD,
      framed(0x20, '00', Buffer.from([code])),
      connack(false, code),
      {
        ...OPENS,
        // The writer is asked for reason codes, and makes these codes of them.
        otherForm: code > 0,
      },
    ),
  ),
  ...valid('CONNACK with session present', 'MQTT-3.2.2-2', 4, raw('20 02 01 00'), connack(true, 0), OPENS),
  ...valid('CONNACK with a reserved byte', 'MQTT 3.1 3.2', 3, raw('20 02 01 00'), connack(false, 0), {
    ...OPENS,
    otherForm: true,
  }),
  ...CONNACK_REASONS.flatMap((code) =>
    valid(
      `CONNACK with reason 0x${code.toString(16)}`,
      '3.2.2.2',
      5,
      framed(0x20, '00', Buffer.from([code]), '00'),
      { ...connack(false, code), properties: {} },
      OPENS,
    ),
  ),
  ...valid(
    'CONNACK with session present',
    'MQTT-3.2.2-2',
    5,
    raw('20 03 01 00 00'),
    { ...connack(true, 0), properties: {} },
    OPENS,
  ),
  ...valid(
    'CONNACK with all properties',
    '3.2.2.3',
    5,
    framed(0x20, '00 00', ALL_PROPERTIES),
    {
      ...connack(false, 0),
      properties: {
        sessionExpiryInterval: 3600,
        assignedClientIdentifier: 'auto-1',
        serverKeepAlive: 30,
        authenticationMethod: 'm',
        authenticationData: Buffer.from('data'),
        responseInformation: 'info',
        serverReference: 'other:1883',
        reasonString: 'why',
        receiveMaximum: 20,
        topicAliasMaximum: 10,
        maximumQoS: 1,
        retainAvailable: false,
        userProperties: [['k', 'v']],
        maximumPacketSize: 65536,
        wildcardSubscriptionAvailable: true,
        subscriptionIdentifiersAvailable: false,
        sharedSubscriptionAvailable: true,
      },
    },
    OPENS,
  ),
  ...refused('CONNACK with return code 6', '3.2.2.3', OLD, raw('20 02 00 06'), PROTOCOL_ERROR, OPENS),
  ...refused(
    'CONNACK with a reason that there is not',
    'MQTT-3.2.2-8',
    5,
    raw('20 03 00 8b 00'),
    PROTOCOL_ERROR,
    OPENS,
  ),
  ...refused('CONNACK with reserved flags', 'MQTT-3.2.2-1', [4, 5], raw('20 03 02 00 00'), MALFORMED, OPENS),
  ...refused(
    'CONNACK that refuses with a session present',
    'MQTT-3.2.2-6',
    4,
    raw('20 02 01 05'),
    PROTOCOL_ERROR,
    OPENS,
  ),
  ...refused(
    'CONNACK that refuses with a session present',
    'MQTT-3.2.2-6',
    5,
    raw('20 03 01 87 00'),
    PROTOCOL_ERROR,
    OPENS,
  ),
  ...refused('CONNACK without content', '3.2', ALL, raw('20 00'), MALFORMED, OPENS),
  ...refused('CONNACK without properties', '3.2.2.3.1', 5, raw('20 02 00 00'), MALFORMED, OPENS),
  ...refused('CONNACK with bytes behind its end', '3.2', OLD, raw('20 03 00 00 00'), MALFORMED, OPENS),
  ...refused('CONNACK with bytes behind its properties', '3.2.3', 5, raw('20 04 00 00 00 00'), MALFORMED, OPENS),
  ...refused('CONNACK with header flags', 'MQTT-2.1.3-1', ALL, raw('21 02 00 00'), MALFORMED, OPENS),
  ...refused('CONNACK again', 'MQTT-3.2.0-2', OLD, raw('20 02 00 00'), PROTOCOL_ERROR, SERVER),
  ...refused('CONNACK again', 'MQTT-3.2.0-2', 5, raw('20 03 00 00 00'), PROTOCOL_ERROR, SERVER),
];

const suback = (...granted: number[]) => ({ cmd: 'suback', messageId: 10, granted }) as const;
const unsuback = (...granted: number[]) => ({ cmd: 'unsuback', messageId: 10, granted }) as const;
const reasons = props(raw('1f', str('why')), raw('26', str('k'), str('v')));
const reasonProperties = { properties: { reasonString: 'why', userProperties: [['k', 'v']] as [string, string][] } };

const SUBACK_ROWS: PacketRow[] = [
  ...valid('SUBACK', '3.9', OLD, framed(0x90, '000a 00010280'), suback(0, 1, 2, 0x80), SERVER),
  ...valid(
    'SUBACK with all reasons',
    '3.9.3',
    5,
    framed(0x90, '000a 00', SUBACK_REASONS),
    { ...suback(...SUBACK_REASONS), properties: {} },
    SERVER,
  ),
  ...valid(
    'SUBACK with properties',
    '3.9.2.1',
    5,
    framed(0x90, '000a', reasons, '00'),
    { ...suback(0), ...reasonProperties },
    SERVER,
  ),
  ...refused('SUBACK with packet identifier 0', 'MQTT-2.2.1-3', ALL, framed(0x90, '0000 00 00'), MALFORMED, SERVER),
  ...refused(
    'SUBACK with a code that there is not',
    'MQTT-3.9.3-2',
    ALL,
    framed(0x90, '000a 00 03'),
    PROTOCOL_ERROR,
    SERVER,
  ),
  ...refused('SUBACK without codes', 'MQTT-3.8.4-6', OLD, framed(0x90, '000a'), PROTOCOL_ERROR, SERVER),
  ...refused('SUBACK without codes', 'MQTT-3.8.4-6', 5, framed(0x90, '000a 00'), PROTOCOL_ERROR, SERVER),
  ...refused('SUBACK of one byte', '3.9', ALL, framed(0x90, '00'), MALFORMED, SERVER),
];

const UNSUBACK_ROWS: PacketRow[] = [
  ...valid('UNSUBACK', '3.11', OLD, framed(0xb0, '000a'), unsuback(), SERVER),
  ...valid(
    'UNSUBACK with all reasons',
    '3.11.3',
    5,
    framed(0xb0, '000a 00', UNSUBACK_REASONS),
    { ...unsuback(...UNSUBACK_REASONS), properties: {} },
    SERVER,
  ),
  ...valid(
    'UNSUBACK with properties',
    '3.11.2.1',
    5,
    framed(0xb0, '000a', reasons, '11'),
    { ...unsuback(0x11), ...reasonProperties },
    SERVER,
  ),
  ...refused('UNSUBACK with packet identifier 0', 'MQTT-2.2.1-3', ALL, framed(0xb0, '0000'), MALFORMED, SERVER),
  ...refused('UNSUBACK with content', '3.11', OLD, framed(0xb0, '000a 00'), MALFORMED, SERVER),
  ...refused(
    'UNSUBACK with a code that there is not',
    'MQTT-3.11.3-2',
    5,
    framed(0xb0, '000a 00 01'),
    PROTOCOL_ERROR,
    SERVER,
  ),
  ...refused('UNSUBACK without codes', 'MQTT-3.10.4-5', 5, framed(0xb0, '000a 00'), PROTOCOL_ERROR, SERVER),
];

export const SERVER_ROWS: readonly PacketRow[] = [...CONNACK_ROWS, ...SUBACK_ROWS, ...UNSUBACK_ROWS];
