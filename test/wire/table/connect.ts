/** CONNECT: MQTT 3.1. */
import type { ConnectPacket } from '../../../src/wire/packets.js';
import type { ProtocolVersion } from '../../../src/wire/protocol.js';
import { framed, type PacketRow, props, raw, refused, str, valid } from './row.js';

const OPENS = { opens: true } as const;
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;
const UNSUPPORTED = 0x84;

/** Protocol name and level. */
const PROTOCOL: Readonly<Record<ProtocolVersion, Buffer>> = {
  3: raw(str('MQIsdp'), '03'),
  4: raw(str('MQTT'), '04'),
  5: raw(str('MQTT'), '05'),
};

/** CONNECT with these flags, keep alive 60 and, in MQTT 5.0, no properties. */
function connect(version: ProtocolVersion, flags: string, ...payload: (Buffer | string)[]): Buffer {
  return framed(0x10, PROTOCOL[version], flags, '003c', version === 5 ? '00' : '', ...payload);
}

function packet(version: ProtocolVersion, fields: Partial<ConnectPacket> = {}): ConnectPacket {
  const base: ConnectPacket = {
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    bridgeMode: false,
    clean: true,
    clientId: 'c',
    keepalive: 60,
  };
  return version === 5 ? { ...base, properties: {}, ...fields } : { ...base, ...fields };
}

/** What a will adds: in MQTT 5.0 its properties, here none. */
function will(version: ProtocolVersion, qos: 0 | 1 | 2, retain: boolean): Pick<ConnectPacket, 'will'> {
  const base = { topic: 'w/t', payload: Buffer.from('gone'), qos, retain };
  return { will: version === 5 ? { ...base, properties: {} } : base };
}

function inEveryVersion(version: ProtocolVersion): PacketRow[] {
  const id = str('c');
  const noProperties = version === 5 ? '00' : '';
  const willBody = raw(noProperties, str('w/t'), str('gone'));
  const ok = (name: string, tag: string, bytes: Buffer, fields: Partial<ConnectPacket>) =>
    valid(name, tag, version, bytes, packet(version, fields), OPENS);
  const bad = (name: string, tag: string, bytes: Buffer, reasonCode: number) =>
    refused(name, tag, version, bytes, reasonCode, OPENS);
  return [
    ...ok('CONNECT, the smallest', '3.1', connect(version, '02', id), {}),
    ...ok('CONNECT that keeps its session', 'MQTT-3.1.2-4', connect(version, '00', id), { clean: false }),
    ...ok('CONNECT without client identifier', 'MQTT-3.1.3-6', connect(version, '02', '0000'), { clientId: '' }),
    ...ok('CONNECT without client identifier that keeps its session', 'MQTT-3.1.3-8', connect(version, '00', '0000'), {
      clientId: '',
      clean: false,
    }),
    ...ok(
      'CONNECT with a client identifier of several scripts',
      'MQTT-3.1.3-4',
      connect(version, '02', str('größe-温度-🌡')),
      {
        clientId: 'größe-温度-🌡',
      },
    ),
    ...ok('CONNECT with keep alive 0', '3.1.2.10', framed(0x10, PROTOCOL[version], '02 0000', noProperties, id), {
      keepalive: 0,
    }),
    ...ok('CONNECT with keep alive 65,535', '3.1.2.10', framed(0x10, PROTOCOL[version], '02 ffff', noProperties, id), {
      keepalive: 65535,
    }),
    ...ok('CONNECT with user name', 'MQTT-3.1.3-12', connect(version, '82', id, str('ann')), { username: 'ann' }),
    ...ok('CONNECT with user name and password', '3.1.3.5', connect(version, 'c2', id, str('ann'), '0003 00ff80'), {
      username: 'ann',
      password: Buffer.from([0, 255, 128]),
    }),
    ...ok('CONNECT with an empty user name and password', '3.1.3.5', connect(version, 'c2', id, '0000 0000'), {
      username: '',
      password: Buffer.alloc(0),
    }),
    ...ok('CONNECT with a will', 'MQTT-3.1.2-9', connect(version, '06', id, willBody), will(version, 0, false)),
    ...ok(
      'CONNECT with a retained will of QoS 2',
      'MQTT-3.1.2-12',
      connect(version, '36', id, willBody),
      will(version, 2, true),
    ),
    ...ok(
      'CONNECT with will, user name and password',
      '3.1.3',
      connect(version, 'ee', id, willBody, str('ann'), str('pw')),
      {
        ...will(version, 1, true),
        username: 'ann',
        password: Buffer.from('pw'),
      },
    ),
    ...ok('CONNECT with an empty will', '3.1.3.3', connect(version, '06', id, noProperties, str('w/t'), '0000'), {
      will: { ...will(version, 0, false).will!, payload: Buffer.alloc(0) },
    }),
    ...bad('CONNECT with will QoS 3', 'MQTT-3.1.2-12', connect(version, '1e', id, willBody), MALFORMED),
    ...bad(
      'CONNECT with an empty will topic',
      'MQTT-4.7.3-1',
      connect(version, '06', id, noProperties, '0000', str('x')),
      PROTOCOL_ERROR,
    ),
    ...bad(
      'CONNECT with # in the will topic',
      '4.7.1',
      connect(version, '06', id, noProperties, str('w/#'), '0000'),
      MALFORMED,
    ),
    ...bad(
      'CONNECT with + in the will topic',
      '4.7.1',
      connect(version, '06', id, noProperties, str('+/t'), '0000'),
      MALFORMED,
    ),
    ...bad(
      'CONNECT with an ill-formed will topic',
      'MQTT-3.1.3-11',
      connect(version, '06', id, noProperties, '0002 c328', '0000'),
      MALFORMED,
    ),
    ...bad(
      'CONNECT with an ill-formed client identifier',
      'MQTT-1.5.4-1',
      connect(version, '02', '0003 eda080'),
      MALFORMED,
    ),
    ...bad(
      'CONNECT with NUL in the client identifier',
      'MQTT-1.5.4-2',
      connect(version, '02', '0003 610062'),
      MALFORMED,
    ),
    ...bad('CONNECT with an ill-formed user name', 'MQTT-3.1.3-12', connect(version, '82', id, '0001 ff'), MALFORMED),
    ...bad('CONNECT with a user name cut short', '3.1.3', connect(version, '82', id, '0005 616e6e'), MALFORMED),
    ...bad('CONNECT with a will that is missing', '3.1.3', connect(version, '06', id), MALFORMED),
    ...bad('CONNECT without client identifier field', 'MQTT-3.1.3-3', connect(version, '02'), MALFORMED),
    ...bad('CONNECT that ends in its keep alive', '3.1.2', framed(0x10, PROTOCOL[version], '02 00'), MALFORMED),
    ...bad('CONNECT that ends at its flags', '3.1.2', framed(0x10, PROTOCOL[version]), MALFORMED),
    ...bad('CONNECT with bytes behind its end', '3.1.3', connect(version, '02', id, '00'), MALFORMED),
    ...bad('CONNECT with reserved flags', 'MQTT-2.1.3-1', raw('11', connect(version, '02', id).subarray(1)), MALFORMED),
  ];
}

/** Rules that MQTT 3.1.1 brought. MQTT 3.1 disregards the same bits. */
function sinceVersion4(version: 4 | 5): PacketRow[] {
  const id = str('c');
  const bad = (name: string, tag: string, flags: string) =>
    refused(name, tag, version, connect(version, flags, id), MALFORMED, OPENS);
  return [
    ...bad('CONNECT with its reserved flag', 'MQTT-3.1.2-3', '03'),
    ...bad('CONNECT with will QoS 1 and no will', 'MQTT-3.1.2-11', '0a'),
    ...bad('CONNECT with will QoS 2 and no will', 'MQTT-3.1.2-11', '12'),
    ...bad('CONNECT with will retain and no will', 'MQTT-3.1.2-13', '22'),
    ...bad('CONNECT with a user name that is missing', 'MQTT-3.1.2-19', '82'),
    ...bad('CONNECT with a password that is missing', 'MQTT-3.1.2-21', 'c2'),
  ];
}

const VERSION_3: PacketRow[] = [
  ...valid('CONNECT with flags that are not used', 'MQTT 3.1 3.1', 3, connect(3, '3b', str('c')), packet(3), {
    ...OPENS,
    otherForm: true,
  }),
  ...valid('CONNECT with a user name that is missing', 'MQTT 3.1 3.1', 3, connect(3, '82', str('c')), packet(3), {
    ...OPENS,
    otherForm: true,
  }),
  ...valid(
    'CONNECT with a password that is missing',
    'MQTT 3.1 3.1',
    3,
    connect(3, 'c2', str('c'), str('ann')),
    packet(3, { username: 'ann' }),
    { ...OPENS, otherForm: true },
  ),
  ...valid(
    'CONNECT of a bridge',
    '3.1.2.2',
    3,
    framed(0x10, str('MQIsdp'), '83 02 003c', str('c')),
    packet(3, { bridgeMode: true }),
    OPENS,
  ),
  ...refused(
    'CONNECT with a password and no user name',
    'MQTT 3.1 3.1',
    3,
    connect(3, '42', str('c'), str('pw')),
    MALFORMED,
    OPENS,
  ),
];

const VERSION_4: PacketRow[] = [
  ...valid(
    'CONNECT of a bridge',
    '3.1.2.2',
    4,
    framed(0x10, str('MQTT'), '84 02 003c', str('c')),
    packet(4, { bridgeMode: true }),
    OPENS,
  ),
  ...valid(
    'CONNECT with a Remaining Length that is longer than it need be',
    '2.2.3',
    4,
    raw('10 8d 00', connect(4, '02', str('c')).subarray(2)),
    packet(4),
    { ...OPENS, otherForm: true },
  ),
  ...refused(
    'CONNECT with a password and no user name',
    'MQTT-3.1.2-22',
    4,
    connect(4, '42', str('c'), str('pw')),
    MALFORMED,
    OPENS,
  ),
];

const ALL_CONNECT_PROPERTIES = props(
  '11 00000e10',
  raw('15', str('SCRAM-SHA-256')),
  raw('16', str(Buffer.from([1, 0, 2]))),
  '17 00',
  '19 01',
  '21 0014',
  '22 000a',
  raw('26', str('k'), str('v1')),
  raw('26', str('a'), str('')),
  raw('26', str('k'), str('v2')),
  '27 00010000',
);

const ALL_WILL_PROPERTIES = props(
  '01 01',
  '02 0000003c',
  raw('03', str('text/plain')),
  raw('08', str('r/t')),
  raw('09', str(Buffer.from([9, 8]))),
  '18 0000000a',
  raw('26', str('why'), str('died')),
);

const VERSION_5: PacketRow[] = [
  ...valid(
    'CONNECT with a password and no user name',
    '3.1.2.9',
    5,
    connect(5, '42', str('c'), str('pw')),
    packet(5, { password: Buffer.from('pw') }),
    OPENS,
  ),
  ...valid(
    'CONNECT with all properties',
    '3.1.2.11',
    5,
    framed(0x10, PROTOCOL[5], '02 003c', ALL_CONNECT_PROPERTIES, str('c')),
    packet(5, {
      properties: {
        sessionExpiryInterval: 3600,
        authenticationMethod: 'SCRAM-SHA-256',
        authenticationData: Buffer.from([1, 0, 2]),
        requestProblemInformation: false,
        requestResponseInformation: true,
        receiveMaximum: 20,
        topicAliasMaximum: 10,
        userProperties: [
          ['k', 'v1'],
          ['a', ''],
          ['k', 'v2'],
        ],
        maximumPacketSize: 65536,
      },
    }),
    { ...OPENS, otherForm: true },
  ),
  ...valid(
    'CONNECT with all will properties',
    '3.1.3.2',
    5,
    connect(5, '06', str('c'), ALL_WILL_PROPERTIES, str('w/t'), str('gone')),
    packet(5, {
      will: {
        ...will(5, 0, false).will!,
        properties: {
          payloadFormatIndicator: true,
          messageExpiryInterval: 60,
          contentType: 'text/plain',
          responseTopic: 'r/t',
          correlationData: Buffer.from([9, 8]),
          willDelayInterval: 10,
          userProperties: [['why', 'died']],
        },
      },
    }),
    { ...OPENS, otherForm: true },
  ),
  ...refused(
    'CONNECT with a property length beyond the packet',
    '2.2.2.1',
    5,
    framed(0x10, PROTOCOL[5], '02 003c 7f', str('c')),
    MALFORMED,
    OPENS,
  ),
  ...refused(
    'CONNECT with a property length of five bytes',
    'MQTT-1.5.5-1',
    5,
    framed(0x10, PROTOCOL[5], '02 003c 8080808001', str('c')),
    MALFORMED,
    OPENS,
  ),
  ...refused(
    'CONNECT without property length',
    '3.1.2.11.1',
    5,
    framed(0x10, PROTOCOL[5], '02 003c'),
    MALFORMED,
    OPENS,
  ),
  ...refused(
    'CONNECT with a will property length beyond the packet',
    '3.1.3.2.1',
    5,
    connect(5, '06', str('c'), '7f', str('w/t'), str('x')),
    MALFORMED,
    OPENS,
  ),
  ...refused(
    'CONNECT with authentication data and no method',
    '3.1.2.11.10',
    5,
    framed(0x10, PROTOCOL[5], '02 003c', props('16', str('x')), str('c')),
    PROTOCOL_ERROR,
    OPENS,
  ),
  ...refused(
    'CONNECT with a Remaining Length that is longer than it need be',
    'MQTT-1.5.5-1',
    5,
    raw('10 8e 00', connect(5, '02', str('c')).subarray(2)),
    MALFORMED,
    OPENS,
  ),
];

/** Protocol names and levels that there are not. The version of the row says nothing. */
const UNKNOWN_PROTOCOLS: PacketRow[] = [
  ...refused(
    'CONNECT of level 6',
    'MQTT-3.1.2-2',
    5,
    framed(0x10, str('MQTT'), '06 02 003c 00', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT of level 0',
    'MQTT-3.1.2-2',
    4,
    framed(0x10, str('MQTT'), '00 02 003c', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT of level 3 as MQTT',
    'MQTT-3.1.2-2',
    4,
    framed(0x10, str('MQTT'), '03 02 003c', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT of level 4 as MQIsdp',
    'MQTT-3.1.2-2',
    3,
    framed(0x10, str('MQIsdp'), '04 02 003c', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT of a bridge of level 5',
    'MQTT-3.1.2-2',
    5,
    framed(0x10, str('MQTT'), '85 02 003c 00', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT of a protocol of another name',
    'MQTT-3.1.2-1',
    4,
    framed(0x10, str('AMQP'), '04 02 003c', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT of mqtt in small letters',
    'MQTT-3.1.2-1',
    4,
    framed(0x10, str('mqtt'), '04 02 003c', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT with an empty protocol name',
    'MQTT-3.1.2-1',
    4,
    framed(0x10, '0000 04 02 003c', str('c')),
    UNSUPPORTED,
    OPENS,
  ),
  ...refused(
    'CONNECT with a protocol name cut short',
    'MQTT-3.1.2-1',
    4,
    framed(0x10, '0006 4d51 5454'),
    MALFORMED,
    OPENS,
  ),
  ...refused('CONNECT without content', '3.1.2', 4, raw('10 00'), MALFORMED, OPENS),
];

export const CONNECT_ROWS: readonly PacketRow[] = [
  ...inEveryVersion(3),
  ...inEveryVersion(4),
  ...inEveryVersion(5),
  ...sinceVersion4(4),
  ...sinceVersion4(5),
  ...VERSION_3,
  ...VERSION_4,
  ...VERSION_5,
  ...UNKNOWN_PROTOCOLS,
];
