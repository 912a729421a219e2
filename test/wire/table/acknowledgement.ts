/** PUBACK, PUBREC, PUBREL and PUBCOMP, which go both ways: MQTT 3.4 to 3.7. */
import { type AcknowledgementPacket, framed, type PacketRow, props, raw, refused, str, valid } from './row.js';

const ALL = [3, 4, 5] as const;
const OLD = [3, 4] as const;
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;

const KINDS = [
  { cmd: 'puback', title: 'PUBACK', first: 0x40, section: '3.4', reasons: '00 10 80 83 87 90 91 97 99' },
  { cmd: 'pubrec', title: 'PUBREC', first: 0x50, section: '3.5', reasons: '00 10 80 83 87 90 91 97 99' },
  { cmd: 'pubrel', title: 'PUBREL', first: 0x62, section: '3.6', reasons: '00 92' },
  { cmd: 'pubcomp', title: 'PUBCOMP', first: 0x70, section: '3.7', reasons: '00 92' },
] as const;

function rowsOf({ cmd, title, first, section, reasons }: (typeof KINDS)[number]): PacketRow[] {
  const packet = (reasonCode = 0): AcknowledgementPacket => ({ cmd, messageId: 0x1234, reasonCode });
  const allowed = [...raw(reasons)];
  // A reason code of the specification that this packet does not have.
  const foreign = cmd === 'puback' || cmd === 'pubrec' ? '92' : '10';
  return [
    ...valid(title, section, ALL, framed(first, '1234'), packet()),
    ...valid(`${title} from the server`, section, ALL, framed(first, '1234'), packet(), { direction: 'server' }),
    ...allowed.flatMap((reason) =>
      valid(
        `${title} with reason 0x${reason.toString(16)}`,
        `${section}.2.1`,
        5,
        framed(first, '1234', Buffer.from([reason])),
        packet(reason),
        {
          otherForm: reason === 0,
        },
      ),
    ),
    ...valid(`${title} with an empty property length`, `${section}.2.2`, 5, framed(first, '1234 00 00'), packet(), {
      otherForm: true,
    }),
    ...valid(
      `${title} with properties`,
      `${section}.2.2`,
      5,
      framed(first, '1234 00', props(raw('1f', str('why')), raw('26', str('k'), str('v')))),
      packet(),
      {
        otherForm: true,
      },
    ),
    ...refused(`${title} with packet identifier 0`, 'MQTT-2.2.1-3', ALL, framed(first, '0000'), PROTOCOL_ERROR),
    ...refused(`${title} without content`, section, ALL, framed(first), MALFORMED),
    ...refused(`${title} of one byte`, section, ALL, framed(first, '12'), MALFORMED),
    ...refused(`${title} with a reason code`, section, OLD, framed(first, '1234 00'), MALFORMED),
    ...refused(
      `${title} with a reason code of another packet`,
      `MQTT-${section}.2-1`,
      5,
      framed(first, '1234', foreign),
      PROTOCOL_ERROR,
    ),
    ...refused(
      `${title} with a reason code that there is not`,
      `MQTT-${section}.2-1`,
      5,
      framed(first, '1234 7f'),
      PROTOCOL_ERROR,
    ),
    ...refused(
      `${title} with properties beyond the packet`,
      `${section}.2.2`,
      5,
      framed(first, '1234 00 02 1f'),
      MALFORMED,
    ),
    ...refused(
      `${title} with bytes behind its properties`,
      `${section}.2.2`,
      5,
      framed(first, '1234 00 00 00'),
      MALFORMED,
    ),
    ...refused(`${title} with RETAIN`, 'MQTT-2.1.3-1', [4, 5], framed(first ^ 1, '1234'), MALFORMED),
    ...refused(`${title} with other QoS flags`, 'MQTT-2.1.3-1', ALL, framed(first ^ 2, '1234'), MALFORMED),
  ];
}

export const ACKNOWLEDGEMENT_ROWS: readonly PacketRow[] = [
  ...KINDS.flatMap(rowsOf),
  ...valid(
    'PUBREL again',
    'MQTT 3.1 3.6',
    3,
    framed(0x6a, '0001'),
    { cmd: 'pubrel', messageId: 1, reasonCode: 0 },
    { otherForm: true },
  ),
  ...refused('PUBREL with DUP', 'MQTT-3.6.1-1', [4, 5], framed(0x6a, '0001'), MALFORMED),
];
