/** Keys and certificates of the CoAP listeners, read before anything is opened. */
import { type Certificate, readCertificate } from './access/certificate.js';
import { readPskFile } from './access/psk-file.js';
import type { Config, ListenerConfig } from './config/schema.js';
import { ErrorKinds, PorticoError } from './errors.js';
import type { Below } from './plugins/coap-topics/transports.js';

export type CoapListener = Extract<ListenerConfig, { type: `coap${string}` }>;

/** Whether a listener is one of CoAP, whatever is below it. */
export function isCoap(listener: ListenerConfig): listener is CoapListener {
  return listener.type.startsWith('coap');
}

export class CoapSecurity {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #hint: string | undefined;
  readonly #certificates: ReadonlyMap<ListenerConfig, Certificate>;

  private constructor(
    keys: ReadonlyMap<string, Buffer>,
    hint: string | undefined,
    certificates: ReadonlyMap<ListenerConfig, Certificate>,
  ) {
    this.#keys = keys;
    this.#hint = hint;
    this.#certificates = certificates;
  }

  /**
   * Reads the files that the configuration names.
   * @throws PorticoError `PORTICO_SECURITY_FILE`
   */
  static async load({ access, listeners }: Config): Promise<CoapSecurity> {
    const { psk_file: file, psk_hint: hint } = access;
    const keys = file === undefined ? new Map<string, Buffer>() : await readPskFile(file);
    const certificates = new Map<ListenerConfig, Certificate>();
    for (const [i, listener] of listeners.entries()) {
      if (listener.type !== 'coaps+tcp') continue;
      certificates.set(listener, await certificateOf(listener, `listeners.${i}`));
    }
    return new CoapSecurity(keys, hint, certificates);
  }

  /** What stands below the endpoint of a listener of the configuration. */
  below(listener: CoapListener): Below {
    switch (listener.type) {
      case 'coaps':
        return { type: 'coaps', psk: { keys: this.#keys, hint: this.#hint } };
      case 'coaps+tcp':
        return { type: 'coaps+tcp', certificate: this.#certificates.get(listener) as Certificate };
      default:
        return { type: listener.type };
    }
  }
}

function certificateOf(
  { cert_file: cert, key_file: key }: Extract<ListenerConfig, { type: 'coaps+tcp' }>,
  path: string,
): Promise<Certificate> {
  // The configuration is refused without them.
  if (cert === undefined || key === undefined) {
    throw new PorticoError(ErrorKinds.Configuration, `${path} has no cert_file or no key_file`);
  }
  return readCertificate({ option: `${path}.cert_file`, file: cert }, { option: `${path}.key_file`, file: key });
}
