/** Where the broker listens, who may connect there, and which configurations are too open to start with. */
import { BlockList, isIP } from 'node:net';
import { addressesOf } from './interfaces.js';
import { accessOf, accessOption, credentialsOf, ownAccess, wordsOf } from './listener-access.js';
import { isCertifiedByProxy, isNamedByAnybody, isNamedByProxy, isProxied, proxyFaults } from './listeners-proxies.js';
import { authoritiesOf, isTls, namesUsers, tlsFaults } from './listeners-tls.js';
import type { LoadedConfig } from './load.js';
import type { Config, ExposureConfig, ListenerConfig } from './schema.js';
import { BUILT_IN, COMMAND_LINE, MOSQUITTO_BUILT_IN, sourceOf } from './source.js';

/** One address to bind. */
export interface BindAddress {
  /** The path of a Unix socket. */
  readonly host: string;
  /** A machine without this address is no fault: the ::1 of `loopback`. */
  readonly optional: boolean;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** `localhost` is bound as `loopback`, so that no resolver decides who may connect (RFC 6761 6.3). */
const LOOPBACK_NAMES: readonly string[] = ['loopback', 'localhost'];

function hostsOf(listener: ListenerConfig): readonly string[] {
  if (listener.type === 'unix') return [];
  return typeof listener.host === 'string' ? [listener.host] : listener.host;
}

/** The addresses that a listener binds. Only names of the machine's user are left to the resolver. */
export function bindAddresses(listener: ListenerConfig): BindAddress[] {
  const addresses = new Map<string, BindAddress>();
  const add = (host: string, optional: boolean): void => {
    const known = addresses.get(host);
    addresses.set(host, { host, optional: optional && (known?.optional ?? true) });
  };
  if (listener.type === 'unix') add(listener.path, false);
  if ('interface' in listener && listener.interface !== undefined) {
    return addressesOf(listener.interface).map(({ host }) => ({ host, optional: false }));
  }
  for (const host of hostsOf(listener)) {
    if (LOOPBACK_NAMES.includes(host.toLowerCase())) {
      add('127.0.0.1', false);
      add('::1', true);
    } else add(host, false);
  }
  return [...addresses.values()];
}

function isLoopbackHost(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return LOOPBACK_NAMES.includes(host.toLowerCase());
  return loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** Whether only this machine reaches the listener. A name that needs a resolver is not believed to be loopback. */
export function isLoopback(listener: ListenerConfig): boolean {
  if (!isProxied(listener) && 'interface' in listener && listener.interface !== undefined) {
    const addresses = addressesOf(listener.interface);
    return addresses.length > 0 && addresses.every(({ internal }) => internal);
  }
  return !isProxied(listener) && hostsOf(listener).every(isLoopbackHost);
}

/** What shows who a device is, other than a password: an option, of the listener if it has no section, and who has it. */
interface Proof {
  readonly option:
    | 'access.psk_file'
    | 'access.public_key_file'
    | 'ca_file'
    | 'ca_path'
    | 'psk_hint'
    | 'proxy_username_from';
  readonly who: string;
}

/** Whether devices can show the listener raw public keys: it needs a key of its own. */
function takesPublicKeys(listener: ListenerConfig): boolean {
  return listener.type === 'coaps' && listener.key_file !== undefined;
}

/** What a listener of DTLS or TLS asks of devices. */
function proofsOf(config: ExposureConfig, listener: ListenerConfig): Proof[] {
  const access = accessOf(config, listener);
  const proofs: Proof[] = [];
  if (listener.type === 'coaps' && access.psk_file !== undefined) {
    proofs.push({ option: 'access.psk_file', who: `devices with a key of ${access.psk_file}` });
  }
  if (takesPublicKeys(listener) && access.public_key_file !== undefined) {
    const who = `devices with a public key of ${access.public_key_file}`;
    proofs.push({ option: 'access.public_key_file', who });
  }
  if ('ca_file' in listener && listener.ca_file !== undefined && !isTls(listener)) {
    proofs.push({ option: 'ca_file', who: `devices with a certificate of ${listener.ca_file}` });
  }
  if (isTls(listener) && namesUsers(listener)) {
    const authorities = authoritiesOf(listener);
    const option = listener.ca_file === undefined ? 'ca_path' : 'ca_file';
    if (authorities !== undefined) proofs.push({ option, who: `clients with a certificate of ${authorities}` });
    if (listener.psk_hint !== undefined) {
      proofs.push({ option: 'psk_hint', who: `clients with a key of ${access.psk_file}` });
    }
  }
  if (isNamedByProxy(listener)) {
    proofs.push({ option: 'proxy_username_from', who: 'clients with a certificate that their proxy finds good' });
  }
  return proofs;
}

/** Whether somebody whose name no key or certificate has proved can send the listener anything. */
function admitsStrangers(listener: ListenerConfig): boolean {
  if (isNamedByProxy(listener) && isCertifiedByProxy(listener)) return false;
  if (!('require_certificate' in listener) || !namesUsers(listener)) return true;
  if (isTls(listener)) return !listener.require_certificate && listener.psk_hint === undefined;
  return !listener.require_certificate && (listener.type !== 'coaps' || takesPublicKeys(listener));
}

/** The protocol below each type that is not TCP: a port of the one is free for the other. */
const UDP: readonly ListenerConfig['type'][] = ['coap', 'coaps'];
/** CoAP without encryption: a password on its way can be read. */
const PLAIN_COAP: readonly ListenerConfig['type'][] = ['coap', 'coap+tcp'];

/** What the listener itself says about clients without user name. */
function ownAnonymous(listener: ListenerConfig): boolean | undefined {
  return listener.type !== 'http' && 'allow_anonymous' in listener ? listener.allow_anonymous : undefined;
}

/** Whether a client without user name may connect to the listener; for one of HTTP, whether anyone may read. */
export function anonymousAllowed(config: ExposureConfig, listener: ListenerConfig): boolean {
  // Who reads there is no client: no password file is for them.
  if (listener.type === 'http') {
    return isLoopback(listener) || listener.allow_anonymous || config.allow_anonymous === true;
  }
  // A key or a certificate has proved who is there.
  if (!admitsStrangers(listener)) return false;
  const own = ownAnonymous(listener);
  if (own !== undefined) return own;
  const asks = credentialsOf(config, listener).length > 0 || proofsOf(config, listener).length > 0;
  return config.allow_anonymous ?? (!asks && isLoopback(listener));
}

/** `host:port` as people write it. */
function place(listener: ListenerConfig): string {
  if (listener.type === 'unix') return `unix on ${listener.path}`;
  if ('interface' in listener && listener.interface !== undefined) {
    return `${listener.type} on ${listener.interface}:${listener.port}`;
  }
  const hosts = hostsOf(listener).map((host) => (isIP(host) === 6 ? `[${host}]` : host));
  return `${listener.type} on ${hosts.map((host) => `${host}:${listener.port}`).join(', ')}`;
}

/** A fault that no single option shows. */
export interface ExposureFault {
  readonly path: (string | number)[];
  readonly sentence: string;
}

/** Whether other machines reach a listener that asks for nothing, and nobody has said whether it should. */
function isOpen(config: ExposureConfig, listener: ListenerConfig): boolean {
  if (isLoopback(listener) || config.allow_anonymous !== undefined || !admitsStrangers(listener)) return false;
  if (ownAnonymous(listener) !== undefined) return false;
  return credentialsOf(config, listener).length === 0 && proofsOf(config, listener).length === 0;
}

type SecureListener = Extract<ListenerConfig, { type: `coaps${string}` }>;

/** What a listener of DTLS or TLS lacks, by the option that should say it. */
function certificateFaults({ access }: ExposureConfig, listener: SecureListener): [keyof SecureListener, string][] {
  const { type, cert_file: cert, key_file: key, ca_file: ca, crl_file: crl, require_certificate: required } = listener;
  const faults: [keyof SecureListener, string][] = [];
  if (type === 'coaps' && cert === undefined && key === undefined) {
    if (access.psk_file === undefined) {
      const keys = 'name a file of pre-shared keys in access.psk_file';
      faults.push([
        'type',
        `knows no device and has no key: ${keys}, or a key in key_file, with its certificate in cert_file or alone`,
      ]);
    }
    if (ca !== undefined) {
      faults.push([
        'ca_file',
        'asks devices for certificates and has no key itself: name its files in cert_file and key_file',
      ]);
    }
  } else {
    if (cert === undefined && type !== 'coaps')
      faults.push(['cert_file', 'has no certificate: name its file in cert_file']);
    if (key === undefined) faults.push(['key_file', 'has no key: name its file in key_file']);
  }
  if (ca === undefined && crl !== undefined) {
    faults.push(['crl_file', 'asks devices for no certificate that could be revoked: name their CA in ca_file']);
  }
  const takesKeys = takesPublicKeys(listener) && access.public_key_file !== undefined;
  if (required && ca === undefined && !takesKeys) {
    faults.push(['require_certificate', 'knows no CA of the certificates that it requires: name its file in ca_file']);
  }
  return faults;
}

/** What nobody else can bind; null for a port that the system chooses. */
function boundAddress(listener: ListenerConfig, host: string): string | null {
  if (listener.type === 'unix') return `the path ${host}`;
  if (listener.port === 0) return null;
  return `${UDP.includes(listener.type) ? 'udp' : 'tcp'} ${host} port ${listener.port}`;
}

/** Listeners that would be open to the network without credentials, and listeners that share an address. */
export function exposureFaults(config: ExposureConfig): ExposureFault[] {
  const faults: ExposureFault[] = [];
  const taken = new Map<string, number>();
  config.listeners.forEach((listener, i) => {
    if (listener.type === 'http') {
      if (!anonymousAllowed(config, listener)) {
        const sentence =
          `${place(listener)} can be reached from other machines, and it asks for no credentials yet: ` +
          'keep it on loopback, or write allow_anonymous: true into this listener to let anyone read';
        faults.push({ path: ['listeners', i, 'host'], sentence });
      }
    } else if (isOpen(config, listener)) {
      const whose = isTls(listener) ? 'clients' : 'devices';
      const devices =
        'require_certificate' in listener && namesUsers(listener) ? `, or the CA of its ${whose} in ca_file` : '';
      const users = 'name a password file in access.password_file or a SCRAM file in access.scram_file';
      const others = `, what verifies tokens in access.jwt_..., or a server of logins in access.http_url`;
      const [whole, what] =
        ownAccess(listener) === undefined ? ['configured', users + others] : ['in its access', `${users} there`];
      const sentence =
        `${place(listener)} can be reached from other machines, and no credentials are ${whole}: ` +
        `${what}${devices}, or write allow_anonymous: true to let anyone in`;
      faults.push({ path: ['listeners', i, 'host'], sentence });
    }
    if (listener.type === 'coaps' || listener.type === 'coaps+tcp') {
      for (const [option, sentence] of certificateFaults(config, listener)) {
        faults.push({ path: ['listeners', i, option], sentence: `${place(listener)} ${sentence}` });
      }
    }
    if (isTls(listener)) {
      for (const [option, sentence] of tlsFaults(config, listener)) {
        faults.push({ path: ['listeners', i, option], sentence: `${place(listener)} ${sentence}` });
      }
    }
    for (const [option, sentence] of proxyFaults(listener)) {
      faults.push({ path: ['listeners', i, option], sentence: `${place(listener)} ${sentence}` });
    }
    for (const { host } of bindAddresses(listener)) {
      const address = boundAddress(listener, host);
      if (address === null) return;
      const other = taken.get(address);
      if (other === undefined) taken.set(address, i);
      else {
        const another = listener.type === 'unix' ? 'path' : 'port';
        const sentence = `listeners.${i} binds ${address}, as listeners.${other} does: give one of them another ${another}`;
        faults.push({ path: ['listeners', i], sentence });
        break;
      }
    }
  });
  return faults;
}

/** What is allowed, but hardly meant. */
export function exposureWarnings(config: ExposureConfig & Pick<Config, 'coap'>): string[] {
  const warnings: string[] = [];
  const takesKeys = (listener: ListenerConfig): boolean =>
    listener.type === 'coaps' || (isTls(listener) && listener.psk_hint !== undefined);
  const takesCommon = (listener: ListenerConfig): boolean => takesKeys(listener) && ownAccess(listener) === undefined;
  if (config.access.psk_file !== undefined && !config.listeners.some(takesCommon)) {
    warnings.push(
      'access.psk_file is set, and no listener takes its keys: none is of type coaps, and none of MQTT over TLS has psk_hint',
    );
  }
  if (config.access.public_key_file !== undefined && !config.listeners.some(takesPublicKeys)) {
    warnings.push('access.public_key_file is set, and no listener of type coaps with a key_file takes its keys');
  }
  const hasCredentials = (listener: ListenerConfig): boolean => credentialsOf(config, listener).length > 0;
  const proved = config.listeners.some((listener) => proofsOf(config, listener).length > 0);
  const admitted = config.listeners.some((listener) => ownAnonymous(listener) === true);
  if (config.allow_anonymous === false && !config.listeners.some(hasCredentials) && !proved && !admitted) {
    warnings.push(
      'allow_anonymous is false, and access.password_file and access.scram_file are unset, as are tokens and ' +
        'access.http_url: no client can connect',
    );
  }
  config.listeners.forEach((listener) => {
    const anonymous = anonymousAllowed(config, listener);
    if (PLAIN_COAP.includes(listener.type) && !anonymous && !config.coap.insecure_password) {
      warnings.push(
        `${place(listener)}: no password is taken without DTLS or TLS, so every request is refused without ` +
          'allow_anonymous: true or coap.insecure_password: true',
      );
    }
    if (!isLoopback(listener) && anonymous) {
      const what = listener.type === 'http' ? 'read metrics and health' : 'publish and subscribe';
      warnings.push(`${place(listener)}: anyone who reaches it may ${what} without a password`);
    }
    if (ownAccess(listener)?.psk_file !== undefined && !takesKeys(listener)) {
      warnings.push(`${place(listener)}: its access.psk_file is set, and without psk_hint it takes no keys`);
    }
    if (isNamedByAnybody(listener)) {
      warnings.push(
        `${place(listener)}: anyone who reaches it can say to be any user (proxy_username_from), for trusted_proxies is every address`,
      );
    }
  });
  return warnings;
}

/** Options of the listener itself that say who may connect. */
const OWN: readonly string[] = ['ca_file', 'ca_path', 'psk_hint', 'proxy_username_from'];

/**
 * One line per listener: who may connect, and who said so.
 * @param heading what the line begins with
 */
export function describeListeners(
  loaded: LoadedConfig,
  heading: (listener: ListenerConfig) => string = place,
): string[] {
  return loaded.config.listeners.map((listener, i) => {
    const { who, options } = describe(loaded.config, listener);
    const own = ownAnonymous(listener) === undefined ? OWN : [...OWN, 'allow_anonymous'];
    const port = loaded.sources.get(`listeners.${i}.port`) ?? '';
    const by = sourceOf(loaded, `listeners.${i}`) + (port.startsWith(COMMAND_LINE) ? `, port: ${port}` : '');
    // Options of the listener itself have no section.
    const named = options.map((option) =>
      own.includes(option) ? `listeners.${i}.${option}` : accessOption(listener, i, option),
    );
    const nobody = [BUILT_IN, MOSQUITTO_BUILT_IN].includes(by) && named.every((one) => sourceOf(loaded, one) === by);
    const why = named.map((option) => `${option}: ${sourceOf(loaded, option)}`).join(', ');
    const said = nobody ? by : `listener: ${by}${why === '' ? '' : `; ${why}`}`;
    return `${heading(listener)}: ${who} (${said})`;
  });
}

/** How other machines can be let in, where nobody has said anything of listeners; else null. */
export function howToOpen(loaded: LoadedConfig): string | null {
  switch (sourceOf(loaded, 'listeners')) {
    case BUILT_IN:
      return 'only this machine can connect; docs/configuration.md, "Opening it to others", says how to let others in';
    case MOSQUITTO_BUILT_IN:
      return 'only this machine can connect; a line "listener PORT" lets others in, with password_file or allow_anonymous true';
    default:
      return null;
  }
}

/** Who may connect to a listener, and the options that decide it. */
function describe(config: Config, listener: ListenerConfig): { who: string; options: readonly string[] } {
  const anonymous = anonymousAllowed(config, listener);
  const anyone = isLoopback(listener) ? 'anyone on this machine' : 'anyone who reaches it';
  if (listener.type === 'http') {
    return { who: anonymous ? `${anyone} may read metrics and health` : 'nobody may connect', options: [] };
  }
  const credentials = admitsStrangers(listener) ? credentialsOf(config, listener) : [];
  const proofs = proofsOf(config, listener);
  const known = proofs.map(({ who }) => who);
  const password = !PLAIN_COAP.includes(listener.type) || config.coap.insecure_password;
  if (credentials.length > 0 && password) known.push(...wordsOf(credentials));
  if (anonymous) {
    const named = known.length === 0 ? '' : `, ${known.join(', ')} with theirs`;
    return { who: `${anyone} may connect without a password${named}`, options: ['allow_anonymous'] };
  }
  const options = [...proofs, ...credentials].map(({ option }) => option);
  const who = known.length === 0 ? 'nobody may connect' : `only ${known.join(' and ')} may connect`;
  return { who, options: options.length === 0 ? ['allow_anonymous'] : options };
}
