/** Keys and certificates of the CoAP listeners, read before anything is opened. */
import type { X509Certificate } from 'node:crypto';
import {
  type Certificate,
  type NamedFile,
  readAuthorities,
  readCertificate,
  requireP256,
  requireRoots,
} from './access/certificate.js';
import { type DeviceKeys, NO_DEVICE_KEYS, readDevicePskFile } from './access/device-psk-file.js';
import { readPskFile } from './access/psk-file.js';
import type { PskCredential } from './coap/dtls-client/psk-exchange.js';
import type { Config, ListenerConfig } from './config/schema.js';
import { ErrorKinds, PorticoError } from './errors.js';
import type { Below, PskCredentials } from './plugins/coap-topics/transports.js';

export type CoapListener = Extract<ListenerConfig, { type: `coap${string}` }>;
type SecureListener = Extract<ListenerConfig, { type: `coaps${string}` }>;

/** Whether a listener is one of CoAP, whatever is below it. */
export function isCoap(listener: ListenerConfig): listener is CoapListener {
  return listener.type.startsWith('coap');
}

function isSecure(listener: ListenerConfig): listener is SecureListener {
  return listener.type.startsWith('coaps');
}

/** What the files of one listener have. */
interface Shown {
  readonly certificate: Certificate | undefined;
  /** Whose certificates of devices are taken. */
  readonly clients: { readonly ca: readonly X509Certificate[]; readonly required: boolean } | undefined;
}

export class CoapSecurity {
  readonly #psk: PskCredentials | undefined;
  readonly #shown: ReadonlyMap<ListenerConfig, Shown>;

  readonly #deviceKeys: Map<string, PskCredential>;

  private constructor(
    psk: PskCredentials | undefined,
    shown: ReadonlyMap<ListenerConfig, Shown>,
    deviceKeys: DeviceKeys,
  ) {
    this.#deviceKeys = new Map(deviceKeys);
    this.#psk = psk;
    this.#shown = shown;
  }

  /** Whom the broker is for the devices that it asks. */
  get deviceKeys(): DeviceKeys {
    return this.#deviceKeys;
  }

  /**
   * Reads the files that the configuration names.
   * @throws PorticoError `PORTICO_SECURITY_FILE`
   */
  static async load({ access, listeners, coap }: Config): Promise<CoapSecurity> {
    const { psk_file: file, psk_hint: hint } = access;
    const psk = file === undefined ? undefined : { keys: await readPskFile(file), hint };
    const { device_psk_file: own } = coap;
    const deviceKeys = own === undefined ? NO_DEVICE_KEYS : await readDevicePskFile(own);
    const shown = new Map<ListenerConfig, Shown>();
    for (const [i, listener] of listeners.entries()) {
      if (isSecure(listener)) shown.set(listener, await shownBy(listener, `listeners.${i}`));
    }
    return new CoapSecurity(psk, shown, deviceKeys);
  }

  /** Puts the keys of another in the place of those there are: whoever has them looks there. */
  replaceDeviceKeys(other: CoapSecurity): void {
    this.#deviceKeys.clear();
    for (const [device, key] of other.deviceKeys) this.#deviceKeys.set(device, key);
  }

  /** What stands below the endpoint of a listener of the configuration. */
  below(listener: CoapListener): Below {
    const { certificate, clients } = this.#shown.get(listener) ?? {};
    switch (listener.type) {
      case 'coaps': {
        const own = certificate && { chain: certificate.chain, key: certificate.privateKey };
        return { type: 'coaps', psk: this.#psk, certificate: own, clients };
      }
      case 'coaps+tcp': {
        // The configuration is refused without one.
        if (certificate === undefined) throw new PorticoError(ErrorKinds.Configuration, 'coaps+tcp has no certificate');
        const { cert, key } = certificate;
        const asked = clients && { ca: clients.ca.map(String), required: clients.required };
        return { type: 'coaps+tcp', certificate: { cert, key, ...(asked && { clients: asked }) } };
      }
      default:
        return { type: listener.type };
    }
  }
}

async function shownBy(listener: SecureListener, path: string): Promise<Shown> {
  const named = (option: 'cert_file' | 'key_file' | 'ca_file'): NamedFile | undefined => {
    const file = listener[option];
    return file === undefined ? undefined : { option: `${path}.${option}`, file };
  };
  const [cert, key, ca] = [named('cert_file'), named('key_file'), named('ca_file')];
  const certificate = cert && key && (await readCertificate(cert, key));
  if (certificate !== undefined && key !== undefined && listener.type === 'coaps') requireP256(certificate, key);
  const clients = ca && { ca: await readAuthorities(ca), required: listener.require_certificate };
  if (clients !== undefined && listener.type === 'coaps+tcp') requireRoots(clients.ca, ca as NamedFile);
  return { certificate, clients };
}
