/**
 * The table of packets: named bytes, valid and malformed, of every packet type in MQTT 3.1, 3.1.1 and 5.0, and what they
 * say or why they are refused. The codec's tests run over it, and so may tests that send bytes to a broker.
 */
import type { ProtocolVersion } from '../src/wire/protocol.js';
import { ACKNOWLEDGEMENT_ROWS } from './wire/table/acknowledgement.js';
import { CONNECT_ROWS } from './wire/table/connect.js';
import { CONTROL_ROWS } from './wire/table/control.js';
import { PROPERTY_ROWS } from './wire/table/property.js';
import { PUBLISH_ROWS } from './wire/table/publish.js';
import { framed, type PacketRow, raw, str } from './wire/table/row.js';
import { SERVER_ROWS } from './wire/table/server.js';
import { SUBSCRIBE_ROWS } from './wire/table/subscribe.js';

export type { AcknowledgementPacket, AnyPacket, PacketRow, PingPacket, PublishPacket } from './wire/table/row.js';

/** All rows; names are unique. */
export const PACKETS: readonly PacketRow[] = [
  ...CONNECT_ROWS,
  ...PUBLISH_ROWS,
  ...ACKNOWLEDGEMENT_ROWS,
  ...SUBSCRIBE_ROWS,
  ...CONTROL_ROWS,
  ...SERVER_ROWS,
  ...PROPERTY_ROWS,
];

/** What precedes a row that does not open its connection, from the same side: a CONNECT, or a CONNACK. */
export const OPENINGS: Readonly<Record<PacketRow['direction'], Readonly<Record<ProtocolVersion, Buffer>>>> = {
  client: {
    3: framed(0x10, str('MQIsdp'), '03 02 0000', str('c')),
    4: framed(0x10, str('MQTT'), '04 02 0000', str('c')),
    5: framed(0x10, str('MQTT'), '05 02 0000 00', str('c')),
  },
  server: { 3: raw('20 02 00 00'), 4: raw('20 02 00 00'), 5: raw('20 03 00 00 00') },
};
