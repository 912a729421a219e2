/** What the transports below the CoAP endpoints count, under names that go beside those of the endpoints. */
import { DtlsCounters } from '../../coap/dtls/counters.js';
import { TcpCounters } from '../../coap/tcp/counters.js';

export type Prefixed<Prefix extends string, Counters> = {
  readonly [Name in keyof Counters & string as `${Prefix}${Capitalize<Name>}`]: number;
};

/** And how many security associations and handshakes there are now. */
export type DtlsNumbers = Prefixed<'dtls', DtlsCounters> & {
  readonly dtlsAssociations: number;
  readonly dtlsHandshakes: number;
};
export type TcpNumbers = Prefixed<'tcp', TcpCounters>;
export type TransportNumbers = DtlsNumbers & TcpNumbers;

export function prefixed(prefix: string, counters: object): Record<string, number> {
  const entries = Object.entries(counters) as [string, number][];
  return Object.fromEntries(entries.map(([name, value]) => [prefix + name[0].toUpperCase() + name.slice(1), value]));
}

export function dtlsNumbers(
  counters: DtlsCounters,
  tables: { readonly associations: number; readonly handshakes: number },
): DtlsNumbers {
  const now = { dtlsAssociations: tables.associations, dtlsHandshakes: tables.handshakes };
  return { ...(prefixed('dtls', counters) as Prefixed<'dtls', DtlsCounters>), ...now };
}

export function tcpNumbers(counters: TcpCounters): TcpNumbers {
  return prefixed('tcp', counters) as TcpNumbers;
}

/** All of them, as they are before anything has happened. */
export const NO_TRANSPORT_NUMBERS: TransportNumbers = {
  ...dtlsNumbers(new DtlsCounters(), { associations: 0, handshakes: 0 }),
  ...tcpNumbers(new TcpCounters()),
};
