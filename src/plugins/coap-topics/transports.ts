/** What stands below the endpoint of a listener: UDP, DTLS around it, TCP, or TLS. */
import type { ClientCertificateOptions } from '../../coap/dtls/client-certificates.js';
import type { DtlsCredentials as DtlsCredentialsOfTransport } from '../../coap/dtls/credentials.js';
import type { DtlsLimits } from '../../coap/dtls/limits.js';
import type { ServerCertificateOptions } from '../../coap/dtls/server-certificate.js';
import { DtlsTransport } from '../../coap/dtls/transport.js';
import type { TcpLimits } from '../../coap/tcp/limits.js';
import type { TlsCertificates } from '../../coap/tcp/tls-session.js';
import { TcpTransport } from '../../coap/tcp/transport.js';
import { type DatagramAddress, type DatagramTransport, UdpTransport } from '../../coap/transport.js';
import type { PluginContext } from '../plugin.js';
import { addressOf } from './devices.js';
import { HandshakeLog } from './handshake-log.js';
import { dtlsNumbers, tcpNumbers } from './transport-counters.js';

/** Options of the section `coap` that concern these transports. Whatever is left out has the transport's default. */
export interface TransportOptions {
  readonly dtls_associations?: number | undefined;
  readonly dtls_handshakes?: number | undefined;
  readonly dtls_handshakes_per_second?: number | undefined;
  readonly dtls_host_handshakes_per_second?: number | undefined;
  /** Seconds. */
  readonly dtls_handshake_time?: number | undefined;
  /** Seconds. */
  readonly dtls_idle_time?: number | undefined;
  readonly dtls_records?: number | undefined;
  /** Bytes. */
  readonly dtls_identity?: number | undefined;
  /** Bytes. */
  readonly dtls_handshake_datagram?: number | undefined;
  readonly tcp_connections?: number | undefined;
  /** Seconds. */
  readonly tcp_open_time?: number | undefined;
  /** Seconds. */
  readonly tcp_idle_time?: number | undefined;
  /** Bytes. */
  readonly tcp_message?: number | undefined;
  /** Bytes. */
  readonly tcp_unfinished?: number | undefined;
  /** Bytes. */
  readonly tcp_output?: number | undefined;
}

/** Devices with keys, and what they are told. */
export interface PskCredentials {
  readonly keys: ReadonlyMap<string, Buffer>;
  /** Told to each client before it names its identity (RFC 4279 5.2). */
  readonly hint?: string | undefined;
}

/** What a listener of DTLS shows, and asks for: pre-shared keys, a certificate or its public key, or both. */
export interface DtlsCredentials {
  readonly psk?: PskCredentials | undefined;
  readonly certificate?: ServerCertificateOptions | undefined;
  /** Whose certificates and public keys of devices it takes; with `certificate`. */
  readonly clients?: DeviceProofs | undefined;
}

/** As what devices may show themselves besides pre-shared keys. */
export interface DeviceProofs extends Omit<ClientCertificateOptions, 'publicKeys'> {
  /** The user of each raw public key, a SubjectPublicKeyInfo in base64. */
  readonly publicKeys?: ReadonlyMap<string, string> | undefined;
}

/** Which transport, with what it needs. */
export type Below =
  | { readonly type: 'coap' }
  | ({ readonly type: 'coaps' } & DtlsCredentials)
  | { readonly type: 'coap+tcp' }
  | { readonly type: 'coaps+tcp'; readonly certificate: TlsCertificates };

/** A transport that is bound. */
export interface Bound {
  readonly transport: DatagramTransport;
  readonly address: string;
  readonly port: number;
  /** What it counts, for `$SYS` and the metrics. */
  counters(): Readonly<Record<string, number>>;
  /** Puts other keys and certificates in the place of those there are: new handshakes have them. */
  replace(below: Below): void;
  /** Puts other limits in the place of those there are. */
  replaceLimits(options: TransportOptions): void;
  /** Ends what rests on a key or CAs that are not there any more, by those there were at the last call. */
  endOutdated(): void;
}

/** Where a transport binds. */
interface Place {
  readonly address: string;
  readonly port: number;
}

/** The option that sets each limit of DTLS, and how many of its unit are one of the option's. */
export const DTLS_LIMITS = {
  associations: ['dtls_associations', 1],
  handshakes: ['dtls_handshakes', 1],
  handshakesPerSecond: ['dtls_handshakes_per_second', 1],
  hostHandshakesPerSecond: ['dtls_host_handshakes_per_second', 1],
  handshakeTime: ['dtls_handshake_time', 1000],
  idleTime: ['dtls_idle_time', 1000],
  records: ['dtls_records', 1],
  identityBytes: ['dtls_identity', 1],
  handshakeDatagram: ['dtls_handshake_datagram', 1],
} as const satisfies Record<keyof DtlsLimits, readonly [keyof TransportOptions, number]>;

/** The same for TCP. */
const TCP_LIMITS = {
  connections: ['tcp_connections', 1],
  openTime: ['tcp_open_time', 1000],
  idleTime: ['tcp_idle_time', 1000],
  messageBytes: ['tcp_message', 1],
  unfinishedBytes: ['tcp_unfinished', 1],
  outputBytes: ['tcp_output', 1],
} as const satisfies Record<keyof TcpLimits, readonly [keyof TransportOptions, number]>;

export function limitsOf<Limit extends string>(
  table: Readonly<Record<Limit, readonly [keyof TransportOptions, number]>>,
  options: TransportOptions,
): Partial<Record<Limit, number>> {
  const limits: Partial<Record<Limit, number>> = {};
  for (const limit of Object.keys(table) as Limit[]) {
    const [option, factor] = table[limit];
    const value = options[option];
    if (value !== undefined) limits[limit] = value * factor;
  }
  return limits;
}

/** Logs that a limit was reached, by the name of its option. */
export function reached(
  context: PluginContext,
  table: Readonly<Record<string, readonly [string, number]>>,
  limit: string,
  remote: Pick<DatagramAddress, 'address' | 'port' | 'family'> | undefined,
): void {
  const by = remote === undefined ? 'a device' : addressOf(remote);
  context.limit(null, `coap.${table[limit]?.[0] ?? limit}`, `reached by ${by}`);
}

/** Binds the transport of a listener. Rejects with `PORTICO_LISTEN`. */
export async function bind(
  below: Below,
  place: Place,
  options: TransportOptions,
  context: PluginContext,
): Promise<Bound> {
  if (below.type === 'coap+tcp') return bindTcp(place, undefined, options, context);
  if (below.type === 'coaps+tcp') return bindTcp(place, below.certificate, options, context);
  const udp = await UdpTransport.bind(place);
  const { address, port } = udp;
  if (below.type === 'coap') {
    const nothing = (): void => {};
    const none = { replace: nothing, replaceLimits: nothing, endOutdated: nothing };
    return { transport: udp, address, port, counters: () => ({}), ...none };
  }
  const { dtls, replace, endOutdated } = dtlsAround(udp, below, options, context);
  const counters = (): Record<string, number> => ({ ...dtlsNumbers(dtls.counters, dtls.tables) });
  const replaceLimits = (next: TransportOptions): void => dtls.replaceLimits(limitsOf(DTLS_LIMITS, next));
  return { transport: dtls, address, port, counters, replace, replaceLimits, endOutdated };
}

function dtlsAround(
  udp: UdpTransport,
  first: DtlsCredentials,
  options: TransportOptions,
  context: PluginContext,
): { dtls: DtlsTransport } & Pick<Bound, 'replace' | 'endOutdated'> {
  const log = new HandshakeLog(context);
  let { psk } = first;
  /** Whence handshakes come whose user is banned there. */
  const banned = new WeakSet<DatagramAddress>();
  const isBanned = (identity: string, remote: DatagramAddress): boolean => {
    const is = context.isBanned(addressOf(remote), 'coaps', identity);
    if (is) banned.add(remote);
    return is;
  };
  const materialOf = ({ psk: shared, certificate, clients: asked }: DtlsCredentials): DtlsCredentialsOfTransport => ({
    // A ban fails as a wrong key does: whether the handshake is done tells whether the key is right.
    psk: shared && ((identity, remote) => (isBanned(identity, remote) ? null : (shared.keys.get(identity) ?? null))),
    ...(shared?.hint === undefined ? null : { identityHint: shared.hint }),
    certificate,
    clientCertificates: asked && { ...asked, publicKeys: userOf(asked.publicKeys) },
  });
  const dtls = new DtlsTransport(udp, {
    ...materialOf(first),
    limits: limitsOf(DTLS_LIMITS, options),
    isBanned: (remote) => context.isBanned(addressOf(remote), 'coaps'),
    // Of many handshakes that were begun at once, those left when the ban comes tell nothing of their keys either.
    isWelcome: ({ identity, proof }, remote) =>
      proof !== 'psk' || identity === undefined || !isBanned(identity, remote),
    onEvent: (name, remote, detail, identity) => {
      if (name === 'limit') reached(context, DTLS_LIMITS, detail, remote);
      else if (name === 'handshake-failed') {
        const where = remote === undefined ? '' : addressOf(remote);
        const isRefused = remote !== undefined && identity !== undefined && banned.has(remote);
        const reason = isRefused ? bannedThere(identity) : reasonOf(detail, identity, psk?.keys);
        log.failed('DTLS', where, reason, identity);
        if (identity === undefined || isRefused) return;
        context.loginFailed({ id: '', remote: where, username: identity, transport: 'coaps', version: 0 }, 'psk');
      } else if (name === 'internal-error') context.logger.error({ detail }, `coap: DTLS failed: ${detail}`);
      else context.logger.debug({ remote: remote && addressOf(remote), detail }, `coap: DTLS ${name} ${detail}`);
    },
  });
  let { clients } = first;
  let before = proofsOf(first);
  const replace = (below: Below): void => {
    if (below.type !== 'coaps') return;
    ({ psk, clients } = below);
    dtls.replace(materialOf(below));
  };
  const endOutdated = (): void => {
    const then = before;
    const now = proofsOf({ psk, clients });
    before = now;
    dtls.endAssociations(({ identity, proof }) => {
      if (identity === undefined) return false;
      if (proof === 'certificate') return then.ca !== now.ca;
      if (proof === 'psk') return !isSame(then.keys?.get(identity), now.keys?.get(identity));
      const key = now.publicKeys.get(identity);
      return proof === 'public-key' && (key === undefined || key !== then.publicKeys.get(identity));
    });
  };
  return { dtls, replace, endOutdated };
}

/** Whose a raw public key is. */
function userOf(users: DeviceProofs['publicKeys']): ClientCertificateOptions['publicKeys'] {
  return users && ((info) => users.get(info.toString('base64')) ?? null);
}

/** By what devices are known, in a form that tells what has gone. */
interface Proofs {
  readonly keys: PskCredentials['keys'] | undefined;
  readonly ca: string;
  /** By user. */
  readonly publicKeys: ReadonlyMap<string, string>;
}

function proofsOf({ psk, clients }: DtlsCredentials): Proofs {
  const publicKeys = new Map([...(clients?.publicKeys ?? [])].map(([key, user]) => [user, key]));
  return { keys: psk?.keys, ca: textOf(clients?.ca, clients?.revoked), publicKeys };
}

function isSame(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one !== undefined && other !== undefined && one.equals(other);
}

/** What tells CAs and their lists of revoked certificates from others. */
function textOf(ca: readonly unknown[] = [], lists: readonly unknown[] = []): string {
  return [...ca, '', ...lists].map(String).join('\n');
}

function bannedThere(identity: string): string {
  return `identity ${JSON.stringify(identity)} is banned from there for failed logins`;
}

/** Why a handshake failed, for whoever has the file of keys at hand. */
function reasonOf(detail: string, identity: string | undefined, keys: PskCredentials['keys'] | undefined): string {
  if (identity === undefined || keys === undefined) return detail;
  const who = `identity ${JSON.stringify(identity)}`;
  return keys.has(identity) ? `${who} has another key in access.psk_file` : `${who} is not in access.psk_file`;
}

async function bindTcp(
  { address, port }: Place,
  tls: TlsCertificates | undefined,
  options: TransportOptions,
  context: PluginContext,
): Promise<Bound> {
  const log = new HandshakeLog(context);
  let before = textOf(tls?.clients?.ca, tls?.clients?.crl);
  const transport = await TcpTransport.bind({
    address,
    port,
    ...(tls === undefined ? null : { tls }),
    limits: limitsOf(TCP_LIMITS, options),
    door: (peer) => context.enter(addressOf(peer), tls === undefined ? 'coap+tcp' : 'coaps+tcp'),
    onEvent: (name, remote, detail) => {
      if (name === 'limit') reached(context, TCP_LIMITS, detail, remote);
      else if (name === 'handshake-failed')
        log.failed('TLS', remote.port === 0 ? 'someone' : addressOf(remote), detail);
      else {
        const where = addressOf(remote);
        context.logger.debug({ remote: where, detail }, `coap: the connection of ${where} was ended: ${detail}`);
      }
    },
  });
  return {
    transport,
    address: transport.address,
    port: transport.port,
    counters: () => ({ ...tcpNumbers(transport.counters) }),
    replace: (below) => {
      if (below.type !== 'coaps+tcp') return;
      tls = below.certificate;
      transport.replaceCertificates(tls);
    },
    replaceLimits: (next) => transport.replaceLimits(limitsOf(TCP_LIMITS, next)),
    endOutdated: () => {
      const now = textOf(tls?.clients?.ca, tls?.clients?.crl);
      if (now !== before) transport.endConnections(({ proof }) => proof === 'certificate');
      before = now;
    },
  };
}
