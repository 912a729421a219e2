/** Puts a configuration together from a file, the environment and the command line, or says everything that is wrong. */
import { readFileSync } from 'node:fs';
import { ErrorKinds, PorticoError } from '../errors.js';
import { coapFaults } from './coap-faults.js';
import { refusal } from './faults.js';
import { exposureFaults, exposureWarnings } from './listeners.js';
import { MosquittoSource } from './mosquitto/source.js';
import { sections } from './options.js';
import {
  argumentOverrides,
  type CommandLine,
  environmentOverrides,
  FILE_VARIABLE,
  type Variables,
} from './overrides.js';
import { type Config, configSchema } from './schema.js';
import { soundPartOf } from './sound-part.js';
import { type Fault, MOSQUITTO_BUILT_IN, type Source, YamlSource } from './source.js';
import { userFindings } from './system-users.js';
import { fileReason } from './unreadable.js';
import { Values } from './values.js';

export interface LoadRequest {
  /** The file; otherwise `PORTICO_CONFIG` names it, and without either the built-in defaults hold. */
  readonly file?: string;
  /** The file is a mosquitto.conf, whatever its name. */
  readonly mosquitto?: boolean;
  /** Variables of the process. */
  readonly env: Variables;
  readonly argv?: CommandLine;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Who said the value of an option, by dotted path: `FILE:LINE`, a variable or an argument. See `sourceOf`. */
  readonly sources: ReadonlyMap<string, string>;
  /** What is allowed, but hardly meant. */
  readonly warnings: readonly string[];
}

/** What has to be right before anything can be said about who reaches the broker. */
const exposureSchema = configSchema.pick({ listeners: true, allow_anonymous: true, access: true });
const coapSchema = configSchema.pick({ coap: true });

/**
 * Loads and validates the configuration.
 * @throws PorticoError `PORTICO_CONFIGURATION`; its message has one line `FILE:LINE: sentence` for every fault
 */
export function loadConfig(request: LoadRequest): LoadedConfig {
  const file = request.file ?? (request.env[FILE_VARIABLE] || undefined);
  const source = file === undefined ? null : sourceFor(file, request.mosquitto);
  const { overrides, faults } = environmentOverrides(request.env);
  if (source !== null) faults.push(...source.faults);
  const unread = source !== null && !source.readable;
  // Nothing more can be said about values of which some are not known.
  if (unread && source.value === undefined) throw refusal(faults);

  const values = new Values(topLevel(source, faults), source);
  for (const override of overrides) values.set(override);
  for (const override of argumentOverrides(request.argv ?? {}, values.raw)) values.set(override);

  if (unread) throw refusal(faults, soundPart(values));

  const { listeners, allow_anonymous, access } = values.raw;
  const exposure = exposureSchema.safeParse({ listeners, allow_anonymous, access });
  for (const { path, sentence } of exposure.success ? exposureFaults(exposure.data) : []) {
    faults.push({ ...values.place(path), sentence });
  }
  const coap = coapSchema.safeParse({ coap: values.raw.coap });
  for (const { path, sentence } of coap.success ? coapFaults(coap.data.coap) : []) {
    faults.push({ ...values.place(path), sentence });
  }
  const { user } = values.raw;
  const said = values.place(['user']);
  const written = said.where !== MOSQUITTO_BUILT_IN;
  const found = typeof user === 'string' ? userFindings(user, process.geteuid?.(), written) : {};
  if (found.fault !== undefined) faults.push({ ...said, sentence: found.fault });
  const parsed = configSchema.safeParse(values.raw);
  if (!parsed.success) faults.push(...values.faultsOf(parsed.error.issues));
  if (!parsed.success || faults.length > 0) throw refusal(faults, soundPart(values));
  const warnings = [...(source?.warnings ?? []), ...exposureWarnings(parsed.data)];
  if (found.warning !== undefined) warnings.push(`${said.where}: ${found.warning}`);
  return { config: parsed.data, sources: values.sources(), warnings };
}

function soundPart(values: Values): LoadedConfig | null {
  const config = soundPartOf(values.raw);
  return config === null ? null : { config, sources: values.sources(), warnings: [] };
}

/** Reads the file in the format that its name stands for. */
export function sourceFor(file: string, mosquitto = file.endsWith('.conf')): Source {
  const text = readText(file);
  return mosquitto ? new MosquittoSource(file, text) : new YamlSource(file, text);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = fileReason(error);
    throw new PorticoError(ErrorKinds.Configuration, `${file}: the file cannot be read: ${reason}`, { cause: error });
  }
}

/** The top level of the file. A section whose options are all commented out counts as absent. */
function topLevel(source: Source | null, faults: Fault[]): Record<string, unknown> {
  const value = source?.value ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    faults.push({ where: `${source?.name}:1`, line: 1, sentence: 'the file must be a mapping of options to values' });
    return {};
  }
  const top: Record<string, unknown> = { ...value };
  for (const section of sections) {
    if ('options' in section && top[section.name] === null) delete top[section.name];
  }
  return top;
}
