/** Keys and certificates of the CoAP listeners, read before anything is opened. */
import { type KeyObject, X509Certificate } from 'node:crypto';
import {
  type Certificate,
  fault,
  type NamedFile,
  readAuthorities,
  readCertificate,
  readPrivateKey,
  reasonOf,
  requireP256,
  requireRoots,
} from './access/certificate.js';
import { NO_DEVICE_KEYS, readDevicePskFile } from './access/device-psk-file.js';
import { readDevicePublicKeyFile } from './access/device-public-key-file.js';
import { readAll } from './access/every-fault.js';
import { readPskFile } from './access/psk-file.js';
import { readPublicKeyFile } from './access/public-key-file.js';
import { readRevocationLists } from './access/revocation.js';
import { commonNameOf } from './coap/common-name.js';
import type { PublicKeyFunction } from './coap/dtls/client-certificates.js';
import { RevocationList } from './coap/dtls/revocation-list.js';
import { ServerCertificate } from './coap/dtls/server-certificate.js';
import { ServerCertificates } from './coap/dtls-client/server-certificates.js';
import type { Config, ListenerConfig } from './config/schema.js';
import { ErrorKinds, PorticoError } from './errors.js';
import { DeviceCredentials, type DeviceTrust } from './plugins/coap-devices/credentials.js';
import type { Below, PskCredentials } from './plugins/coap-topics/transports.js';

const nothing = Promise.resolve(undefined);

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
  /** Of the certificate, or a raw public key's. */
  readonly key: KeyObject | undefined;
  /** Whose certificates of devices are taken. */
  readonly ca: readonly X509Certificate[] | undefined;
}

export class CoapSecurity {
  readonly #psk: PskCredentials | undefined;
  readonly #publicKeys: PublicKeyFunction | undefined;
  readonly #shown: ReadonlyMap<ListenerConfig, Shown>;

  /** How the broker and the devices that it asks know each other. */
  readonly devices: DeviceCredentials;

  private constructor(
    psk: PskCredentials | undefined,
    publicKeys: PublicKeyFunction | undefined,
    shown: ReadonlyMap<ListenerConfig, Shown>,
    devices: DeviceCredentials,
  ) {
    this.devices = devices;
    this.#psk = psk;
    this.#publicKeys = publicKeys;
    this.#shown = shown;
  }

  /**
   * Reads the files that the configuration names.
   * @throws PorticoError `PORTICO_SECURITY_FILE`
   */
  static async load({ access, listeners, coap }: Config): Promise<CoapSecurity> {
    const { psk_file: file, psk_hint: hint, public_key_file: publicKeyFile } = access;
    const { device_psk_file: own } = coap;
    const { device_public_key_file: known } = coap;
    const secure = [...listeners.entries()].flatMap(([i, listener]) => (isSecure(listener) ? [{ i, listener }] : []));
    const [keys, users, deviceKeys, devicePublicKeys, trust, shown] = await readAll(
      file === undefined ? nothing : readPskFile(file),
      publicKeyFile === undefined ? nothing : readPublicKeyFile(publicKeyFile),
      own === undefined ? Promise.resolve(NO_DEVICE_KEYS) : readDevicePskFile(own),
      known === undefined ? nothing : readDevicePublicKeyFile(known),
      trustOf(coap),
      readAll<(readonly [ListenerConfig, Shown])[]>(
        ...secure.map(async ({ i, listener }) => [listener, await shownBy(listener, `listeners.${i}`)] as const),
      ),
    );
    const psk = keys && { keys, hint };
    const publicKeys = users && ((info: Buffer) => users.get(info.toString('base64')) ?? null);
    const devices = new DeviceCredentials(deviceKeys, trust, devicePublicKeys);
    return new CoapSecurity(psk, publicKeys, new Map(shown), devices);
  }

  /** What stands below the endpoint of a listener of the configuration. */
  below(listener: CoapListener): Below {
    const { certificate, key, ca } = this.#shown.get(listener) ?? {};
    switch (listener.type) {
      case 'coaps': {
        const own = key && { chain: certificate?.chain, key };
        const publicKeys = this.#publicKeys;
        const asks = own !== undefined && (ca ?? publicKeys) !== undefined;
        const clients = asks ? { ca, publicKeys, required: listener.require_certificate } : undefined;
        return { type: 'coaps', psk: this.#psk, certificate: own, clients };
      }
      case 'coaps+tcp': {
        // The configuration is refused without one.
        if (certificate === undefined) throw new PorticoError(ErrorKinds.Configuration, 'coaps+tcp has no certificate');
        const { cert, key: pem } = certificate;
        const asked = ca && { ca: ca.map(String), required: listener.require_certificate };
        return { type: 'coaps+tcp', certificate: { cert, key: pem, ...(asked && { clients: asked }) } };
      }
      default:
        return { type: listener.type };
    }
  }
}

type DeviceFiles = Pick<
  Config['coap'],
  'device_ca_file' | 'device_crl_file' | 'device_cert_file' | 'device_key_file' | 'device_public_key_file'
>;

/** Whose certificates of devices are taken, and the broker's own for them. */
async function trustOf(coap: DeviceFiles): Promise<DeviceTrust> {
  const named = (option: keyof DeviceFiles): NamedFile | undefined => {
    const file = coap[option];
    return file === undefined ? undefined : { option: `coap.${option}`, file };
  };
  const [ca, cert, key] = [named('device_ca_file'), named('device_cert_file'), named('device_key_file')];
  const crl = named('device_crl_file');
  const isUseless = (one: 'cert' | 'key', other: string): PorticoError =>
    new PorticoError(ErrorKinds.Configuration, `coap.device_${one}_file is of no use without ${other}`);
  if (cert !== undefined && key === undefined) throw isUseless('cert', 'coap.device_key_file');
  const hasPublicKeys = coap.device_public_key_file !== undefined;
  if (key !== undefined && cert === undefined && !hasPublicKeys) throw isUseless('key', 'coap.device_cert_file');
  if (ca === undefined && cert !== undefined && !hasPublicKeys) {
    const sentence = 'coap.device_cert_file is for devices with a certificate: name their CA in coap.device_ca_file';
    throw new PorticoError(ErrorKinds.Configuration, sentence);
  }
  if (ca === undefined && crl !== undefined) {
    const sentence = 'coap.device_crl_file is for devices with a certificate: name their CA in coap.device_ca_file';
    throw new PorticoError(ErrorKinds.Configuration, sentence);
  }
  const [authorities, revoked, own] = await readAll(
    ca === undefined ? nothing : readAuthorities(ca),
    crl === undefined ? nothing : readRevocations(crl),
    key === undefined ? nothing : ownOf(cert, key),
  );
  return { servers: authorities && new ServerCertificates({ ca: authorities, revoked }), own };
}

/** The lists of a file, of which each has to be one that can be looked into. */
async function readRevocations(crl: NamedFile): Promise<RevocationList[]> {
  const { pem } = await readRevocationLists(crl);
  return pem.map((text, i) => {
    try {
      return new RevocationList(Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64'));
    } catch (error) {
      throw fault(crl, `list ${i + 1} in it cannot be used: ${reasonOf(error)}`, error);
    }
  });
}

/** What the broker shows: a certificate, or its public key alone. */
async function ownOf(cert: NamedFile | undefined, key: NamedFile): Promise<DeviceTrust['own']> {
  const own = cert && (await readCertificate(cert, key));
  const privateKey = own?.privateKey ?? (await readPrivateKey(key));
  requireP256(privateKey, key);
  const certificate = new ServerCertificate({ chain: own?.chain, key: privateKey });
  return { certificate, identity: own && commonNameOf(new X509Certificate(own.chain[0])) };
}

async function shownBy(listener: SecureListener, path: string): Promise<Shown> {
  const named = (option: 'cert_file' | 'key_file' | 'ca_file'): NamedFile | undefined => {
    const file = listener[option];
    return file === undefined ? undefined : { option: `${path}.${option}`, file };
  };
  const [cert, key, ca] = [named('cert_file'), named('key_file'), named('ca_file')];
  const [certificate, alone, authorities] = await readAll(
    cert && key ? readCertificate(cert, key) : nothing,
    cert === undefined && key !== undefined ? readPrivateKey(key) : nothing,
    ca === undefined ? nothing : readAuthorities(ca),
  );
  const own = certificate?.privateKey ?? alone;
  if (own !== undefined && key !== undefined && listener.type === 'coaps') requireP256(own, key);
  if (authorities !== undefined && listener.type === 'coaps+tcp') requireRoots(authorities, ca as NamedFile);
  return { certificate, key: own, ca: authorities };
}
