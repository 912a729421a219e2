/** Where the broker listens, who may connect there, and which configurations are too open to start with. */
import { BlockList, isIP } from 'node:net';
import type { LoadedConfig } from './load.js';
import type { Config, ExposureConfig, ListenerConfig } from './schema.js';
import { COMMAND_LINE, sourceOf } from './source.js';

/** One address to bind. */
export interface BindAddress {
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
  return typeof listener.host === 'string' ? [listener.host] : listener.host;
}

/** The addresses that a listener binds. Only names of the machine's user are left to the resolver. */
export function bindAddresses(listener: ListenerConfig): BindAddress[] {
  const addresses = new Map<string, BindAddress>();
  const add = (host: string, optional: boolean): void => {
    const known = addresses.get(host);
    addresses.set(host, { host, optional: optional && (known?.optional ?? true) });
  };
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
  return hostsOf(listener).every(isLoopbackHost);
}

/** The files of users that are named, with the options that name them. */
function credentialFiles({ access }: ExposureConfig): { readonly option: string; readonly file: string }[] {
  const files = [];
  for (const name of ['password_file', 'scram_file'] as const) {
    const file = access[name];
    if (file !== undefined) files.push({ option: `access.${name}`, file });
  }
  return files;
}

/** The protocol below each type that is not TCP: a port of the one is free for the other. */
const UDP: readonly ListenerConfig['type'][] = ['coap', 'coaps'];
/** CoAP without encryption: a password on its way can be read. */
const PLAIN_COAP: readonly ListenerConfig['type'][] = ['coap', 'coap+tcp'];

/** Whether a client without user name may connect to the listener; for one of HTTP, whether anyone may read. */
export function anonymousAllowed(config: ExposureConfig, listener: ListenerConfig): boolean {
  // Who reads there is no client: no password file is for them.
  if (listener.type === 'http') {
    return isLoopback(listener) || listener.allow_anonymous || config.allow_anonymous === true;
  }
  // A key has proved who is there.
  if (listener.type === 'coaps') return false;
  return config.allow_anonymous ?? (credentialFiles(config).length === 0 && isLoopback(listener));
}

/** `host:port` as people write it. */
function place(listener: ListenerConfig): string {
  const hosts = hostsOf(listener).map((host) => (isIP(host) === 6 ? `[${host}]` : host));
  return `${listener.type} on ${hosts.map((host) => `${host}:${listener.port}`).join(', ')}`;
}

/** A fault that no single option shows. */
export interface ExposureFault {
  readonly path: (string | number)[];
  readonly sentence: string;
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
    } else if (listener.type === 'coaps') {
      if (config.access.psk_file === undefined) {
        const sentence = `${place(listener)} knows no device: name a file of pre-shared keys in access.psk_file`;
        faults.push({ path: ['listeners', i, 'type'], sentence });
      }
    } else if (!isLoopback(listener) && credentialFiles(config).length === 0 && config.allow_anonymous !== true) {
      const sentence =
        `${place(listener)} can be reached from other machines, and no credentials are configured: ` +
        'name a password file in access.password_file or a SCRAM file in access.scram_file, or write allow_anonymous: true to let anyone in';
      faults.push({ path: ['listeners', i, 'host'], sentence });
    }
    if (listener.type === 'coaps+tcp') {
      for (const option of ['cert_file', 'key_file'] as const) {
        if (listener[option] !== undefined) continue;
        const what = option === 'cert_file' ? 'certificate' : 'key';
        const sentence = `${place(listener)} has no ${what}: name its file in ${option}`;
        faults.push({ path: ['listeners', i, option], sentence });
      }
    }
    if (listener.port === 0) return;
    for (const { host } of bindAddresses(listener)) {
      const address = `${UDP.includes(listener.type) ? 'udp' : 'tcp'} ${host} port ${listener.port}`;
      const other = taken.get(address);
      if (other === undefined) taken.set(address, i);
      else {
        const sentence = `listeners.${i} binds ${address}, as listeners.${other} does: give one of them another port`;
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
  const keyed = config.listeners.some(({ type }) => type === 'coaps');
  if (config.access.psk_file !== undefined && !keyed) {
    warnings.push('access.psk_file is set, and no listener of type coaps takes its keys');
  }
  if (config.allow_anonymous === false && credentialFiles(config).length === 0 && !keyed) {
    warnings.push(
      'allow_anonymous is false, and access.password_file and access.scram_file are unset: no client can connect',
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
  });
  return warnings;
}

/** One line per listener: who may connect, and who said so. */
export function describeListeners(loaded: LoadedConfig): string[] {
  const { config } = loaded;
  const credentials = credentialFiles(config);
  const files = credentials.map(({ file }) => file).join(' and ');
  return config.listeners.map((listener, i) => {
    const http = listener.type === 'http';
    const password = !PLAIN_COAP.includes(listener.type) || config.coap.insecure_password;
    const anonymous = anonymousAllowed(config, listener);
    const reach = isLoopback(listener) ? 'anyone on this machine' : 'anyone who reaches it';
    let who = 'nobody may connect';
    if (anonymous) {
      who = http ? `${reach} may read metrics and health` : `${reach} may connect without a password`;
      if (files !== '' && password && !http) who += `, users of ${files} with theirs`;
    } else if (files !== '' && password) who = `only users of ${files} may connect`;
    const keys = listener.type === 'coaps' ? config.access.psk_file : undefined;
    if (keys !== undefined) who = `only devices with a key of ${keys} may connect`;
    const reasons = http
      ? []
      : keys !== undefined
        ? ['access.psk_file']
        : anonymous || files === ''
          ? ['allow_anonymous']
          : credentials.map(({ option }) => option);
    const port = loaded.sources.get(`listeners.${i}.port`) ?? '';
    const by = sourceOf(loaded, `listeners.${i}`) + (port.startsWith(COMMAND_LINE) ? `, port: ${port}` : '');
    const why = reasons.map((reason) => `${reason}: ${sourceOf(loaded, reason)}`).join(', ');
    const said = `listener: ${by}${why === '' ? '' : `; ${why}`}`;
    return `${place(listener)}: ${who} (${said})`;
  });
}
