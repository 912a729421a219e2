/** How devices that are asked over DTLS and the broker show each other who they are: by a key, or by certificates. */
import type { DeviceKeys } from '../../access/device-psk-file.js';
import { authorityOf, type CoapUri } from '../../coap/client/uri.js';
import type { CertificateCredential } from '../../coap/dtls-client/certificate-exchange.js';
import type { Credential } from '../../coap/dtls-client/transport.js';

/** Public keys of devices, each a SubjectPublicKeyInfo, by `host:port`. */
export type DevicePublicKeys = ReadonlyMap<string, Buffer>;

/** Whose certificates of devices are taken, and what the broker shows to those that ask for one. */
export type DeviceTrust = Pick<CertificateCredential, 'servers' | 'own'>;

export class DeviceCredentials {
  #keys: DeviceKeys;
  #trust: DeviceTrust;
  #publicKeys: DevicePublicKeys;

  constructor(keys: DeviceKeys, trust: DeviceTrust = {}, publicKeys: DevicePublicKeys = new Map()) {
    this.#keys = keys;
    this.#trust = trust;
    this.#publicKeys = publicKeys;
  }

  /** Puts those of another in the place of these, for associations that begin from now on. */
  replace(other: DeviceCredentials): void {
    this.#keys = other.#keys;
    this.#trust = other.#trust;
    this.#publicKeys = other.#publicKeys;
  }

  /** The same for certificates alone. */
  replaceTrust(trust: DeviceTrust): void {
    this.#trust = trust;
  }

  /** No device can be asked over DTLS. */
  get isEmpty(): boolean {
    return this.#keys.size === 0 && this.#publicKeys.size === 0 && this.#trust.servers === undefined;
  }

  /** Why a device cannot be asked over DTLS; null if it can. */
  lack(target: CoapUri): string | null {
    const device = authorityOf(target);
    if (this.#trust.servers !== undefined || this.#keys.has(device) || this.#publicKeys.has(device)) return null;
    return (
      `neither coap.device_psk_file nor coap.device_public_key_file has a key for coaps://${device}, ` +
      'and coap.device_ca_file is not set'
    );
  }

  /** A pre-shared key comes first, then a public key. @param endpoint name of a registered device, which its certificate may say in place of the host */
  of(target: CoapUri, endpoint?: string): Credential | undefined {
    const device = authorityOf(target);
    const key = this.#keys.get(device);
    const publicKey = this.#publicKeys.get(device);
    const { servers, own } = this.#trust;
    if (key !== undefined || (publicKey === undefined && servers === undefined)) return key;
    const { host, kind } = target;
    return { servers, publicKey, own, name: { host, kind, endpoint } };
  }
}

export const NO_CREDENTIALS = new DeviceCredentials(new Map());

/** Lacks nothing: where nobody knows which keys there are, since they could not be read. */
class EveryDevice extends DeviceCredentials {
  override get isEmpty(): boolean {
    return false;
  }

  override lack(): null {
    return null;
  }
}

export const EVERY_DEVICE: DeviceCredentials = new EveryDevice(new Map());
