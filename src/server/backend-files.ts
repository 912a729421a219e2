/** The files of back-ends of authentication: read before anything is opened, then renewed as certificates are. */
import { createHash } from 'node:crypto';
import { readSecurityFile } from '../access/security-file.js';
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
  return { make: await readBackends(config), digest, ends: {} };
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
    read: () => readBackendFiles(config),
    isSame: (one: BackendFiles, other: BackendFiles) => one.digest === other.digest,
  };
  return new Renewal(source, files, renewed);
}
