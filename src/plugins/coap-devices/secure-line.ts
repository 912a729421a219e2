/** DTLS below the broker's own sockets: whom it is for a device, its limits, what it counts and what the log tells. */
import { authorityOf, type CoapUri } from '../../coap/client/uri.js';
import { DtlsClientCounters } from '../../coap/dtls-client/counters.js';
import { type Credential, DtlsClientTransport } from '../../coap/dtls-client/transport.js';
import type { DatagramAddress, DatagramTransport } from '../../coap/transport.js';
import { addressOf } from '../coap-topics/devices.js';
import { HandshakeLog } from '../coap-topics/handshake-log.js';
import { type Prefixed, prefixed } from '../coap-topics/transport-counters.js';
import { DTLS_LIMITS, limitsOf, reached, type TransportOptions } from '../coap-topics/transports.js';
import type { PluginContext } from '../plugin.js';
import type { DeviceCredentials } from './credentials.js';

/** What these lines count, under names that go beside those of the clients. */
export type SecureLineNumbers = Prefixed<'dtls', DtlsClientCounters> & {
  readonly dtlsAssociations: number;
  readonly dtlsHandshakes: number;
};

/** The `session` of the address of a device: what it is asked with now. A client remembers the address longer than a reload takes. */
interface Asked {
  credential(): Credential | undefined;
}

/**
 * How the address of a device is told from others: the key holds for one name at one address.
 * @param endpoint name of a registered device
 */
export function secureAddress(
  target: CoapUri,
  address: DatagramAddress,
  credentials: DeviceCredentials,
  endpoint?: string,
): DatagramAddress | null {
  if (credentials.of(target, endpoint) === undefined) return null;
  const session: Asked = { credential: () => credentials.of(target, endpoint) };
  const name = endpoint === undefined ? authorityOf(target) : `${authorityOf(target)} ${endpoint}`;
  return { ...address, key: `${name} ${address.address}:${address.port}`, session };
}

/** @param below takes datagrams for addresses that `secureAddress` has made */
export function dtlsTo(
  below: DatagramTransport,
  options: TransportOptions,
  context: PluginContext,
): DtlsClientTransport {
  const log = new HandshakeLog(context);
  return new DtlsClientTransport(below, {
    credential: ({ session }) => (session as Asked | undefined)?.credential(),
    limits: limitsOf(DTLS_LIMITS, options),
    onEvent: (name, remote, detail) => {
      const where = remote === undefined ? '' : addressOf(remote);
      // The others have no option.
      if (name === 'limit' && detail in DTLS_LIMITS) reached(context, DTLS_LIMITS, detail, remote);
      else if (name === 'handshake-failed') log.failed('DTLS', where, detail);
      else if (name === 'internal-error') context.logger.error({ detail }, `coap: DTLS failed: ${detail}`);
      else context.logger.debug({ remote: where, detail }, `coap: DTLS ${name} with ${where}: ${detail}`);
    },
  });
}

/** What all of them count together. */
export function secureLineNumbers(lines: Iterable<DtlsClientTransport>): SecureLineNumbers {
  const sum = new DtlsClientCounters();
  let [dtlsAssociations, dtlsHandshakes] = [0, 0];
  for (const { counters, tables } of lines) {
    for (const name of Object.keys(counters) as (keyof DtlsClientCounters)[]) sum[name] += counters[name];
    dtlsAssociations += tables.associations;
    dtlsHandshakes += tables.handshakes;
  }
  const numbers = prefixed('dtls', sum) as Prefixed<'dtls', DtlsClientCounters>;
  return { ...numbers, dtlsAssociations, dtlsHandshakes };
}
