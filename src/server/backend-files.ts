/** The files of back-ends of authentication: read before anything is opened, then renewed as certificates are. */
import { createHash } from 'node:crypto';
import { type NamedFile, readAuthorities } from '../access/certificate.js';
import { readSecurityFile } from '../access/security-file.js';
import { type Expiring, endOf } from '../access/tls-files.js';
import type { Config } from '../config/schema.js';
import { type MakeBackends, readBackends } from './backends.js';
import { type Renewable, Renewal } from './renewal.js';

type Access = Pick<Config, 'access'>;

const OPTIONS = ['jwt_secret_file', 'jwt_jwks_file', 'jwt_jwks_ca_file', 'http_ca_file', 'http_token_file'] as const;

/** What they hold. */
export interface BackendFiles extends Renewable {
  readonly make: MakeBackends;
  /** Of their bytes. */
  readonly digest: string;
}

/**
 * Reads them.
 * @throws PorticoError as `readBackends`
 */
export async function readBackendFiles(config: Access): Promise<BackendFiles> {
  // Before they are read: what changes meanwhile is read again.
  const digest = await digestOf(config);
  return { make: await readBackends(config), digest, ends: await endsOf(config) };
}

/** The CAs of the servers that are asked. */
function authoritiesOf({ access }: Access): Partial<Record<Expiring, NamedFile>> {
  const { http_url: logins, http_ca_file: loginCas, jwt_jwks_url: keys, jwt_jwks_ca_file: keyCas } = access;
  const named = (option: Expiring, file: string) => ({ [option]: { option: `access.${option}`, file } });
  return {
    ...(logins !== undefined && loginCas !== undefined && named('http_ca_file', loginCas)),
    ...(keys !== undefined && keyCas !== undefined && named('jwt_jwks_ca_file', keyCas)),
  };
}

async function endsOf(config: Access): Promise<Renewable['ends']> {
  const files = Object.entries(authoritiesOf(config));
  return Object.fromEntries(
    await Promise.all(files.map(async ([option, file]) => [option, endOf(await readAuthorities(file))])),
  );
}

function filesOf({ access }: Access): string[] {
  return OPTIONS.flatMap((option) => access[option] ?? []);
}

/** One that cannot be read is the reader's fault to find. */
async function digestOf(config: Access): Promise<string> {
  const hash = createHash('sha256');
  for (const file of filesOf(config)) {
    const bytes = await readSecurityFile(file, 'file').catch(() => Buffer.alloc(0));
    hash.update(`${bytes.length} `).update(bytes);
  }
  return hash.digest('base64');
}

/** @param renewed told of new files, once they are in force */
export function backendRenewal(
  config: Access,
  files: BackendFiles,
  renewed: (files: BackendFiles) => void,
): Renewal<BackendFiles> {
  const source = {
    ...{ path: 'access', what: 'secrets and keys of back-ends', names: {}, others: filesOf(config) },
    expiring: authoritiesOf(config),
    read: () => readBackendFiles(config),
    isSame: (one: BackendFiles, other: BackendFiles) => one.digest === other.digest,
  };
  return new Renewal(source, files, renewed);
}
