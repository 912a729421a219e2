/** Certificates made by openssl, in files, as its users make them. */
import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ServerCertificateOptions } from '../../../src/coap/dtls/server-certificate.js';

const run = promisify(execFile);

/** A folder with NAME.pem and NAME.key for each certificate that was made. */
export class CertificateFiles {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Of the CA `ca`: `server`, `device`, `expired`, `expired-server`, `node1`, which names no host,
   * and `large`, which no datagram holds, for both ends. Of another CA:
   * `stranger`, `stranger-server`. Of one that only has the name of the first: `forged`.
   */
  static async make(): Promise<CertificateFiles> {
    const files = new CertificateFiles(await mkdtemp(join(tmpdir(), 'portico-certificates-')));
    await files.#ca('ca');
    await files.#ca('other-ca');
    await files.#ca('false-ca', 'ca');
    await files.#issue('server', 'ca', 'subjectAltName=DNS:localhost,IP:127.0.0.1');
    await files.#issue('device', 'ca', 'extendedKeyUsage=clientAuth');
    await files.#issue('stranger', 'other-ca', 'extendedKeyUsage=clientAuth');
    await files.#issue('forged', 'false-ca', 'extendedKeyUsage=clientAuth');
    await files.#issue('expired', 'ca', 'extendedKeyUsage=clientAuth', '-1');
    await files.#issue('expired-server', 'ca', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-1');
    await files.#issue('stranger-server', 'other-ca', 'subjectAltName=IP:127.0.0.1');
    await files.#issue('node1', 'ca', 'keyUsage=digitalSignature');
    const names = Array.from({ length: 30 }, (_, number) => `DNS:a-name-of-no-use-${number}.localhost`);
    await files.#issue('large', 'ca', `subjectAltName=${names.join()},DNS:localhost,IP:127.0.0.1`);
    return files;
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  async x509(name: string): Promise<X509Certificate> {
    return new X509Certificate(await readFile(this.path(`${name}.pem`)));
  }

  async credential(name: string): Promise<ServerCertificateOptions> {
    const key = createPrivateKey(await readFile(this.path(`${name}.key`)));
    return { chain: [(await this.x509(name)).raw], key };
  }

  /** Makes the list of the CA `ca`, with certificates on it: `crl.pem`. */
  async revoke(...names: readonly string[]): Promise<void> {
    const section = 'database = index\ncrlnumber = number\ndefault_md = sha256\ndefault_crl_days = 20\n';
    await writeFile(this.path('ca.conf'), `[ca]\ndefault_ca = list\n[list]\n${section}`);
    await writeFile(this.path('index'), '');
    await appendFile(this.path('number'), '01\n');
    const ca = ['ca', '-config', 'ca.conf', '-cert', 'ca.pem', '-keyfile', 'ca.key'];
    for (const name of names) await this.#openssl(...ca, '-revoke', `${name}.pem`);
    await this.#openssl(...ca, '-gencrl', '-out', 'crl.pem');
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }

  async #openssl(...args: string[]): Promise<void> {
    await run('openssl', args, { cwd: this.folder, timeout: 30_000 });
  }

  async #key(name: string): Promise<void> {
    await this.#openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.key`);
  }

  async #ca(name: string, commonName = name): Promise<void> {
    await this.#key(name);
    const out = ['-subj', `/CN=${commonName}`, '-out', `${name}.pem`];
    await this.#openssl('req', '-x509', '-new', '-key', `${name}.key`, '-sha256', '-days', '30', ...out);
  }

  async #issue(name: string, ca: string, extension: string, days = '30'): Promise<void> {
    await this.#key(name);
    await this.#openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    await writeFile(this.path(`${name}.ext`), extension);
    const signer = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-sha256', '-days', days];
    await this.#openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      ...signer,
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
  }
}
