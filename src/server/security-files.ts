/** All files of a configuration that say who is who, and who may do what: read together, so that all their faults are told at once. */
import { everyFault, readAll } from '../access/every-fault.js';
import { UnsoundConfiguration } from '../config/faults.js';
import { ownAccess } from '../config/listener-access.js';
import type { LoadedConfig } from '../config/load.js';
import { BUILT_IN, sourceOf } from '../config/source.js';
import { PorticoError } from '../errors.js';
import { EVERY_DEVICE } from '../plugins/coap-devices/credentials.js';
import { type EveryAccess, readAccessFiles } from './access-files.js';
import { type BackendFiles, readBackendFiles } from './backend-files.js';
import { errandsOf } from './coap-errands.js';
import { CoapSecurity } from './coap-security.js';
import { TlsSecurity } from './tls-security.js';

export interface SecurityFiles {
  readonly files: EveryAccess;
  readonly backends: BackendFiles;
  readonly security: CoapSecurity;
  readonly tls: TlsSecurity;
}

/**
 * Reads them, and tries the commands and observations of devices, which need some of them.
 * @throws PorticoError `PORTICO_SECURITY_FILE` or `PORTICO_CONFIGURATION` with a line for each fault: where it stands, or where the
 * file is named
 */
export async function readSecurityFiles(loaded: LoadedConfig): Promise<SecurityFiles> {
  const { config } = loaded;
  const devices = CoapSecurity.load(config);
  // What is wrong with a command is so whether or not the keys can be read.
  const errands = devices.then(
    (security) => errandsOf(loaded, security),
    () => errandsOf(loaded, { devices: EVERY_DEVICE }),
  );
  try {
    const backends = readBackendFiles(config);
    const reading = readAll(readAccessFiles(config), backends, devices, TlsSecurity.load(config), errands);
    const [files, made, security, tls] = await reading;
    return { files, backends: made, security, tls };
  } catch (error) {
    throw error instanceof PorticoError ? located(error, loaded) : error;
  }
}

/** What `loadConfig` has thrown, with the faults of the files that are named where nothing is wrong. */
export async function withFileFaults(error: unknown): Promise<unknown> {
  const sound = error instanceof UnsoundConfiguration ? error.sound : null;
  if (sound === null) return error;
  try {
    await readSecurityFiles(sound);
    return error;
  } catch (more) {
    return more instanceof PorticoError ? everyFault([error, more]) : error;
  }
}

/** The same faults; where a whole file is at fault, with the place that names it. Those come first, in the order of their places. */
function located(error: PorticoError, loaded: LoadedConfig): PorticoError {
  const named: { readonly line: number; readonly text: string }[] = [];
  const others: string[] = [];
  for (const line of error.message.split('\n')) {
    const option = optionOf(line, loaded);
    const where = option === null ? BUILT_IN : sourceOf(loaded, option);
    if (option === null || where === BUILT_IN) {
      others.push(line);
      continue;
    }
    const text = line.startsWith(`${option}: `) ? line : `${option}: ${line}`;
    named.push({ line: Number(/:(\d+)$/.exec(where)?.[1] ?? Number.MAX_SAFE_INTEGER), text: `${where}: ${text}` });
  }
  const first = named.toSorted((a, b) => a.line - b.line).map(({ text }) => text);
  return new PorticoError(error.kind, [...first, ...others].join('\n'), { cause: error.cause ?? error });
}

/** The option that names a file of which a sentence says something; null if the sentence is about a line of it. */
function optionOf(sentence: string, { config }: LoadedConfig): string | null {
  const own = /^((?:listeners\.\d+(?:\.access)?|coap|access)\.\w+): /.exec(sentence)?.[1];
  if (own !== undefined) return own;
  for (const section of ['access', 'coap'] as const) {
    for (const [name, file] of Object.entries(config[section])) {
      if (typeof file === 'string' && sentence.startsWith(`${file}: `)) return `${section}.${name}`;
    }
  }
  for (const [i, listener] of config.listeners.entries()) {
    for (const [name, file] of Object.entries(ownAccess(listener) ?? {})) {
      if (sentence.startsWith(`${file}: `)) return `listeners.${i}.access.${name}`;
    }
  }
  return null;
}
