/** PINGREQ, DISCONNECT, AUTH and packets that must not come at all: MQTT 3.12, 3.14, 3.15, 2.1.2. */
import { framed, type PacketRow, props, raw, refused, str, valid } from './row.js';

const ALL = [3, 4, 5] as const;
const OLD = [3, 4] as const;
const SERVER = { direction: 'server' } as const;
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;
const method = raw('15', str('m'));

const CLIENT_REASONS = [...raw('04 80 81 82 83 90 93 94 95 96 97 98 99')];
const SERVER_REASONS = [...raw('80 81 82 83 87 89 8b 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2')];

const PING_ROWS: PacketRow[] = [
  ...valid('PINGREQ', '3.12', ALL, raw('c0 00'), { cmd: 'pingreq' }),
  ...valid('PINGRESP', '3.13', ALL, raw('d0 00'), { cmd: 'pingresp' }, SERVER),
  ...refused('PINGREQ with content', '3.12', ALL, raw('c0 01 00'), MALFORMED),
  ...refused('PINGREQ with flags', 'MQTT-2.1.3-1', ALL, raw('c1 00'), MALFORMED),
  ...refused('PINGRESP with content', '3.13', ALL, raw('d0 01 00'), MALFORMED, SERVER),
  ...refused('PINGRESP with flags', 'MQTT-2.1.3-1', ALL, raw('d2 00'), MALFORMED, SERVER),
];

const disconnect = (reasonCode: number) => ({ cmd: 'disconnect', reasonCode }) as const;
const hex = (value: number) => `0x${value.toString(16).padStart(2, '0')}`;

const DISCONNECT_ROWS: PacketRow[] = [
  ...valid('DISCONNECT', '3.14', ALL, raw('e0 00'), disconnect(0)),
  ...valid('DISCONNECT from the server', '3.14', 5, raw('e0 00'), disconnect(0), SERVER),
  ...CLIENT_REASONS.flatMap((reason) =>
    valid(
      `DISCONNECT with reason ${hex(reason)}`,
      '3.14.2.1',
      5,
      framed(0xe0, Buffer.from([reason])),
      disconnect(reason),
    ),
  ),
  ...SERVER_REASONS.flatMap((reason) =>
    valid(
      `DISCONNECT from the server with reason ${hex(reason)}`,
      '3.14.2.1',
      5,
      framed(0xe0, Buffer.from([reason])),
      disconnect(reason),
      SERVER,
    ),
  ),
  ...valid('DISCONNECT with reason 0x00 spelled out', '3.14.2.1', 5, raw('e0 01 00'), disconnect(0), {
    otherForm: true,
  }),
  ...valid('DISCONNECT with no properties spelled out', '3.14.2.2', 5, raw('e0 02 04 00'), {
    ...disconnect(4),
    properties: {},
  }),
  ...valid(
    'DISCONNECT with properties',
    '3.14.2.2',
    5,
    framed(0xe0, '00', props('11 00000e10', raw('1f', str('bye')), raw('26', str('k'), str('v')))),
    {
      ...disconnect(0),
      properties: { sessionExpiryInterval: 3600, reasonString: 'bye', userProperties: [['k', 'v']] },
    },
  ),
  ...refused('DISCONNECT with content', '3.14', OLD, raw('e0 01 00'), MALFORMED),
  ...refused('DISCONNECT with flags', 'MQTT-3.14.1-1', ALL, raw('e1 00'), MALFORMED),
  ...refused("DISCONNECT with a server's reason", 'MQTT-3.14.2-1', 5, raw('e0 01 8e'), PROTOCOL_ERROR),
  ...refused('DISCONNECT with a reason that there is not', 'MQTT-3.14.2-1', 5, raw('e0 01 7f'), PROTOCOL_ERROR),
  ...refused('DISCONNECT with properties beyond the packet', '3.14.2.2', 5, raw('e0 02 00 05'), MALFORMED),
  ...refused('DISCONNECT with bytes behind its properties', '3.14.2.2', 5, raw('e0 03 00 00 00'), MALFORMED),
  ...refused('DISCONNECT from the server', '3.14', OLD, raw('e0 00'), PROTOCOL_ERROR, SERVER),
  ...refused(
    "DISCONNECT from the server with a client's reason",
    'MQTT-3.14.2-1',
    5,
    raw('e0 01 04'),
    PROTOCOL_ERROR,
    SERVER,
  ),
];

const AUTH_ROWS: PacketRow[] = [
  ...valid('AUTH that goes on', '3.15', 5, framed(0xf0, '18', props(method)), {
    cmd: 'auth',
    reasonCode: 0x18,
    properties: { authenticationMethod: 'm' },
  }),
  ...valid('AUTH that begins again', '3.15', 5, framed(0xf0, '19', props(method, raw('16', str('data')))), {
    cmd: 'auth',
    reasonCode: 0x19,
    properties: { authenticationMethod: 'm', authenticationData: Buffer.from('data') },
  }),
  ...valid('AUTH from the server that succeeds', '3.15', 5, raw('f0 00'), { cmd: 'auth', reasonCode: 0 }, SERVER),
  ...valid(
    'AUTH from the server that goes on',
    '3.15',
    5,
    framed(0xf0, '18', props(method)),
    { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'm' } },
    SERVER,
  ),
  ...valid(
    'AUTH from the server before CONNACK',
    '4.12',
    5,
    framed(0xf0, '18', props(method)),
    { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'm' } },
    { ...SERVER, opens: true },
  ),
  ...refused('AUTH without a method', '3.15.2.2.2', 5, raw('f0 02 18 00'), PROTOCOL_ERROR),
  ...refused('AUTH with a reason alone', '3.15.2.2.2', 5, raw('f0 01 18'), PROTOCOL_ERROR),
  ...refused("AUTH with a server's reason", '3.15.2.1', 5, raw('f0 00'), PROTOCOL_ERROR),
  ...refused(
    'AUTH with a reason that there is not',
    'MQTT-3.15.2-1',
    5,
    framed(0xf0, '1a', props(method)),
    PROTOCOL_ERROR,
  ),
  ...refused('AUTH with flags', 'MQTT-3.15.1-1', 5, framed(0xf8, '18', props(method)), MALFORMED),
  ...refused('AUTH with properties beyond the packet', '3.15.2.2', 5, raw('f0 02 18 04'), MALFORMED),
  ...refused(
    'AUTH with bytes behind its properties',
    '3.15.2.2',
    5,
    framed(0xf0, '18', props(method), '00'),
    MALFORMED,
  ),
  ...refused('AUTH', '2.1.2', OLD, framed(0xf0, '18', props(method)), PROTOCOL_ERROR),
  ...refused(
    "AUTH from the server with a client's reason",
    '3.15.2.1',
    5,
    framed(0xf0, '19', props(method)),
    PROTOCOL_ERROR,
    SERVER,
  ),
];

const connects = {
  3: framed(0x10, str('MQIsdp'), '03 02 003c', str('c')),
  4: framed(0x10, str('MQTT'), '04 02 003c', str('c')),
  5: framed(0x10, str('MQTT'), '05 02 003c 00', str('c')),
};

const OUT_OF_PLACE: PacketRow[] = [
  ...ALL.flatMap((version) => refused('CONNECT again', 'MQTT-3.1.0-2', version, connects[version], PROTOCOL_ERROR)),
  ...refused('CONNACK from a client', '2.1.2', ALL, raw('20 02 00 00'), PROTOCOL_ERROR),
  ...refused('SUBACK from a client', '2.1.2', ALL, raw('90 03 00 01 00'), PROTOCOL_ERROR),
  ...refused('UNSUBACK from a client', '2.1.2', ALL, raw('b0 02 00 01'), PROTOCOL_ERROR),
  ...refused('PINGRESP from a client', '2.1.2', ALL, raw('d0 00'), PROTOCOL_ERROR),
  ...refused('packet type 0', '2.1.2', ALL, raw('00 00'), PROTOCOL_ERROR),
  ...refused('packet type 0 from the server', '2.1.2', ALL, raw('00 00'), PROTOCOL_ERROR, SERVER),
  ...ALL.flatMap((version) =>
    refused('CONNECT from the server', '2.1.2', version, connects[version], PROTOCOL_ERROR, SERVER),
  ),
  ...refused(
    'SUBSCRIBE from the server',
    '2.1.2',
    ALL,
    framed(0x80, '000a 00', str('a'), '00'),
    PROTOCOL_ERROR,
    SERVER,
  ),
  ...refused('PINGREQ from the server', '2.1.2', ALL, raw('c0 00'), PROTOCOL_ERROR, SERVER),
  ...refused('PINGREQ before CONNECT', 'MQTT-3.1.0-1', ALL, raw('c0 00'), PROTOCOL_ERROR, { opens: true }),
  ...refused('PUBLISH before CONNECT', 'MQTT-3.1.0-1', ALL, framed(0x30, str('a'), '00'), PROTOCOL_ERROR, {
    opens: true,
  }),
  ...refused('AUTH before CONNECT', 'MQTT-3.1.0-1', 5, framed(0xf0, '18', props(method)), PROTOCOL_ERROR, {
    opens: true,
  }),
  ...refused('an HTTP request', 'MQTT-3.1.0-1', 4, Buffer.from('GET / HTTP/1.1\r\n\r\n'), PROTOCOL_ERROR, {
    opens: true,
  }),
  ...refused('a TLS ClientHello', 'MQTT-2.1.3-1', 4, raw('16 03 01 02 00 01 00 01 fc 03 03'), MALFORMED, {
    opens: true,
  }),
  ...refused('PINGRESP before CONNACK', 'MQTT-3.2.0-1', ALL, raw('d0 00'), PROTOCOL_ERROR, { ...SERVER, opens: true }),
];

export const CONTROL_ROWS: readonly PacketRow[] = [...PING_ROWS, ...DISCONNECT_ROWS, ...AUTH_ROWS, ...OUT_OF_PLACE];
