/** Keys and certificates of the CoAP listeners and of devices that are asked: read before anything is opened, then renewed. */
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
} from '../access/certificate.js';
import { NO_DEVICE_KEYS, readDevicePskFile } from '../access/device-psk-file.js';
import { readDevicePublicKeyFile } from '../access/device-public-key-file.js';
import { readAll } from '../access/every-fault.js';
import { readPskFile } from '../access/psk-file.js';
import { type PublicKeyUsers, readPublicKeyFile } from '../access/public-key-file.js';
import { type RevocationLists, readRevocationLists } from '../access/revocation.js';
import { endOf, type TlsFileNames } from '../access/tls-files.js';
import { commonNameOf } from '../coap/common-name.js';
import { RevocationList } from '../coap/dtls/revocation-list.js';
import { ServerCertificate } from '../coap/dtls/server-certificate.js';
import { ServerCertificates } from '../coap/dtls-client/server-certificates.js';
import type { Config, ListenerConfig } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { DeviceCredentials, type DeviceTrust } from '../plugins/coap-devices/credentials.js';
import type { Below, PskCredentials } from '../plugins/coap-topics/transports.js';
import { type Renewable, Renewal, type RenewalSource } from './renewal.js';

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
interface Shown extends Renewable {
  readonly certificate: Certificate | undefined;
  /** Of the certificate, or a raw public key's. */
  readonly key: KeyObject | undefined;
  /** Whose certificates of devices are taken. */
  readonly ca: readonly X509Certificate[] | undefined;
  /** Which of them are revoked. */
  readonly lists: Revocations | undefined;
}

/** What the files of devices that are asked have. */
interface Trust extends Renewable {
  readonly trust: DeviceTrust;
  /** What they hold, in one text. */
  readonly all: string;
}

/** A listener as it is configured now, and its files. */
class Secured {
  options: SecureListener;
  readonly renewal: Renewal<Shown>;
  /** Told of new files. */
  onRenewal: (() => void) | null = null;

  private constructor(options: SecureListener, source: RenewalSource<Shown>, files: Shown) {
    this.options = options;
    this.renewal = new Renewal(source, files, () => this.onRenewal?.());
  }

  static async load(listener: SecureListener, path: string): Promise<Secured> {
    const source = sourceOf(listener, path);
    return new Secured(listener, source, await source.read());
  }

  replace({ options, renewal }: Secured): void {
    this.options = options;
    this.renewal.replace(renewal);
  }
}

export class CoapSecurity {
  #psk: PskCredentials | undefined;
  #publicKeys: PublicKeyUsers | undefined;
  readonly #secured: ReadonlyMap<ListenerConfig, Secured>;
  readonly #deviceRenewal: Renewal<Trust>;

  /** How the broker and the devices that it asks know each other. */
  readonly devices: DeviceCredentials;

  private constructor(
    { psk, publicKeys }: Keys,
    secured: ReadonlyMap<ListenerConfig, Secured>,
    devices: DeviceCredentials,
    [deviceSource, deviceFiles]: Devices,
  ) {
    this.#psk = psk;
    this.#publicKeys = publicKeys;
    this.#secured = secured;
    this.devices = devices;
    this.#deviceRenewal = new Renewal(deviceSource, deviceFiles, ({ trust }) => this.devices.replaceTrust(trust));
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
    const [keys, publicKeys, deviceKeys, devicePublicKeys, devices, secured] = await readAll(
      file === undefined ? nothing : readPskFile(file),
      publicKeyFile === undefined ? nothing : readPublicKeyFile(publicKeyFile),
      own === undefined ? Promise.resolve(NO_DEVICE_KEYS) : readDevicePskFile(own),
      known === undefined ? nothing : readDevicePublicKeyFile(known),
      readDevices(coap),
      readAll<(readonly [ListenerConfig, Secured])[]>(
        ...secure.map(async ({ i, listener }) => [listener, await Secured.load(listener, `listeners.${i}`)] as const),
      ),
    );
    const psk = keys && { keys, hint };
    const credentials = new DeviceCredentials(deviceKeys, devices[1].trust, devicePublicKeys);
    return new CoapSecurity({ psk, publicKeys }, new Map(secured), credentials, devices);
  }

  /** Of each listener, and of the devices that are asked. */
  get renewals(): (Renewal<Shown> | Renewal<Trust>)[] {
    return [...[...this.#secured.values()].map(({ renewal }) => renewal), this.#deviceRenewal];
  }

  /** Calls back when the files of a listener have changed. One call for all its addresses. */
  onRenewal(listener: CoapListener, renewed: () => void): void {
    const secured = this.#secured.get(listener);
    if (secured !== undefined) secured.onRenewal = renewed;
  }

  /**
   * Puts what another configuration says in the place of what there is.
   * @param counterpartOf the listener of the other configuration that is at the place of one of this
   */
  replace(other: CoapSecurity, counterpartOf: (listener: ListenerConfig) => ListenerConfig | undefined): void {
    this.#psk = other.#psk;
    this.#publicKeys = other.#publicKeys;
    this.devices.replace(other.devices);
    this.#deviceRenewal.replace(other.#deviceRenewal);
    for (const [listener, secured] of this.#secured) {
      const there = counterpartOf(listener);
      const next = there && other.#secured.get(there);
      if (next !== undefined) secured.replace(next);
    }
  }

  /** What stands below the endpoint of a listener of the configuration, as of now. */
  below(listener: CoapListener): Below {
    const { options, renewal } = this.#secured.get(listener) ?? {};
    const { certificate, key, ca, lists } = renewal?.files ?? {};
    switch (options?.type) {
      case 'coaps': {
        const own = key && { chain: certificate?.chain, key };
        const publicKeys = this.#publicKeys;
        const asks = own !== undefined && (ca ?? publicKeys) !== undefined;
        const { revoked } = lists ?? {};
        const clients = asks ? { ca, revoked, publicKeys, required: options.require_certificate } : undefined;
        return { type: 'coaps', psk: this.#psk, certificate: own, clients };
      }
      case 'coaps+tcp': {
        // The configuration is refused without one.
        if (certificate === undefined) throw new PorticoError(ErrorKinds.Configuration, 'coaps+tcp has no certificate');
        const { cert, key: pem } = certificate;
        const asked = ca && { ca: ca.map(String), crl: lists?.pem, required: options.require_certificate };
        return { type: 'coaps+tcp', certificate: { cert, key: pem, ...(asked && { clients: asked }) } };
      }
      default:
        return { type: listener.type === 'coap+tcp' ? 'coap+tcp' : 'coap' };
    }
  }
}

/** Who may come to the listeners of DTLS. */
interface Keys {
  readonly psk: PskCredentials | undefined;
  readonly publicKeys: PublicKeyUsers | undefined;
}

type DeviceFiles = Pick<
  Config['coap'],
  'device_ca_file' | 'device_crl_file' | 'device_cert_file' | 'device_key_file' | 'device_public_key_file'
>;

/** Where the files of devices are, and what they hold. */
type Devices = readonly [RenewalSource<Trust>, Trust];

async function readDevices(coap: DeviceFiles): Promise<Devices> {
  const source = deviceSourceOf(coap);
  return [source, await source.read()];
}

/** Whose certificates of devices are taken, and the broker's own for them. Throws if one file is of no use without another. */
function deviceSourceOf(coap: DeviceFiles): RenewalSource<Trust> {
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
  const names = { ca, cert, key, crl };
  const isSame = (one: Trust, other: Trust): boolean => one.all === other.all;
  return { path: 'coap.device_cert_file', names, read: () => trustOf(names), isSame };
}

async function trustOf({ ca, cert, key, crl }: Partial<TlsFileNames>): Promise<Trust> {
  const [authorities, lists, own] = await readAll(
    ca === undefined ? nothing : readAuthorities(ca),
    crl === undefined ? nothing : readRevocations(crl),
    key === undefined ? nothing : ownOf(cert, key),
  );
  const servers = authorities && new ServerCertificates({ ca: authorities, revoked: lists?.revoked });
  const all = [authorities?.join('') ?? '', textOf(lists), own?.text ?? ''].join('\n');
  const ends = {
    ...(authorities && { ca_file: endOf(authorities) }),
    ...(own?.chain && { cert_file: endOf(own.chain) }),
    ...endOfLists(lists),
  };
  return { trust: { servers, own: own?.shown }, all, ends };
}

/** The lists of a file. */
interface Revocations extends RevocationLists {
  readonly revoked: readonly RevocationList[];
}

/** Each list has to be one that can be looked into. */
export async function readRevocations(crl: NamedFile): Promise<Revocations> {
  const { pem, until } = await readRevocationLists(crl);
  const revoked = pem.map((text, i) => {
    try {
      return new RevocationList(Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64'));
    } catch (error) {
      throw fault(crl, `list ${i + 1} in it cannot be used: ${reasonOf(error)}`, error);
    }
  });
  return { revoked, pem, until };
}

function textOf(lists: RevocationLists | undefined): string {
  return lists?.pem.join('') ?? '';
}

function endOfLists(lists: RevocationLists | undefined): Renewable['ends'] {
  return lists === undefined || lists.until === Number.POSITIVE_INFINITY ? {} : { crl_file: lists.until };
}

/** What the broker shows to devices, and what its files hold. */
interface Own {
  readonly shown: DeviceTrust['own'];
  readonly chain: readonly X509Certificate[] | undefined;
  readonly text: string;
}

/** A certificate, or its public key alone. */
async function ownOf(cert: NamedFile | undefined, key: NamedFile): Promise<Own> {
  const own = cert && (await readCertificate(cert, key));
  const privateKey = own?.privateKey ?? (await readPrivateKey(key));
  requireP256(privateKey, key);
  const certificate = new ServerCertificate({ chain: own?.chain, key: privateKey });
  const chain = own && certificatesOf(own);
  const identity = chain && commonNameOf(chain[0]);
  const text = `${own?.cert ?? ''}${privateKey.export({ type: 'pkcs8', format: 'pem' })}`;
  return { shown: { certificate, identity }, chain, text };
}

function sourceOf(listener: SecureListener, path: string): RenewalSource<Shown> {
  const named = (option: 'cert_file' | 'key_file' | 'ca_file' | 'crl_file'): NamedFile | undefined => {
    const file = listener[option];
    return file === undefined ? undefined : { option: `${path}.${option}`, file };
  };
  const [cert, key] = [named('cert_file'), named('key_file')];
  const names = { cert, key, ca: named('ca_file'), crl: named('crl_file') };
  return { path, names, read: () => shownBy(listener, names), isSame };
}

async function shownBy(
  { type }: SecureListener,
  { cert, key, ca, crl }: Omit<TlsFileNames, 'caFolder'>,
): Promise<Shown> {
  const [certificate, alone, authorities, lists] = await readAll(
    cert && key ? readCertificate(cert, key) : nothing,
    cert === undefined && key !== undefined ? readPrivateKey(key) : nothing,
    ca === undefined ? nothing : readAuthorities(ca),
    crl === undefined ? nothing : readRevocations(crl),
  );
  const own = certificate?.privateKey ?? alone;
  if (own !== undefined && key !== undefined && type === 'coaps') requireP256(own, key);
  if (ca !== undefined && authorities !== undefined && type === 'coaps+tcp') requireRoots(authorities, ca);
  const ends = {
    ...(certificate && { cert_file: endOf(certificatesOf(certificate)) }),
    ...(authorities && { ca_file: endOf(authorities) }),
    ...endOfLists(lists),
  };
  return { certificate, key: own, ca: authorities, lists, ends };
}

function certificatesOf({ chain }: Certificate): X509Certificate[] {
  return chain.map((der) => new X509Certificate(der));
}

function isSame(one: Shown, other: Shown): boolean {
  const text = ({ certificate, ca, lists }: Shown): string =>
    [certificate?.cert ?? '', ca?.join('') ?? '', textOf(lists)].join('\n');
  const isSameKey =
    one.key === undefined || other.key === undefined ? one.key === other.key : one.key.equals(other.key);
  return isSameKey && text(one) === text(other);
}
