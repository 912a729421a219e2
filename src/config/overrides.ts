/** What the environment and the command line put in place of the file's values. */
import { closest } from 'fastest-levenshtein';
import { child, options, type Path, takesText } from './options.js';
import { configSchema } from './schema.js';
import { COMMAND_LINE, type Fault, YamlSource } from './source.js';

/** A value in place of the file's. */
export interface Override {
  readonly path: Path;
  readonly value: unknown;
  /** A variable or an argument; empty for a built-in default that has to be written out. */
  readonly origin: string;
}

/** What the command line overrides. */
export interface CommandLine {
  /** `-p`: port of the first MQTT listener; without one, a listener on loopback is added. */
  readonly port?: number;
  /** `--data`: folder of the store. */
  readonly data?: string;
  /** `-v`: logs everything. */
  readonly verbose?: boolean;
}

/** Variables of a process. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Names the file; is no option. */
export const FILE_VARIABLE = 'PORTICO_CONFIG';
/** What Kubernetes puts into every container beside a service named "portico"; none of it is meant for the broker. */
const SERVICE_VARIABLE = /^PORTICO_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$/;

/** Options from `PORTICO_*` variables, and the variables that are no option or no YAML value. */
export function environmentOverrides(env: Variables): { overrides: Override[]; faults: Fault[] } {
  const overrides: Override[] = [];
  const faults: Fault[] = [];
  const known = new Map(options.map((option) => [option.variable, option]));
  for (const [name, text] of Object.entries(env)) {
    // An empty variable is how a container file says "not set".
    if (!name.startsWith('PORTICO_') || name === FILE_VARIABLE || text === undefined || text === '') continue;
    const option = known.get(name);
    if (option === undefined) {
      if (SERVICE_VARIABLE.test(name) && (name !== 'PORTICO_PORT' || text.includes('://'))) continue;
      const nearest = closest(name, [...known.keys(), FILE_VARIABLE]);
      faults.push({ where: name, line: 0, sentence: `this variable is not an option; did you mean ${nearest}?` });
    } else if (takesText(option.schema)) {
      overrides.push({ path: option.path, value: text, origin: name });
    } else {
      const yaml = new YamlSource(name, text);
      if (yaml.faults.length === 0) overrides.push({ path: option.path, value: yaml.value, origin: name });
      for (const { sentence } of yaml.faults) faults.push({ where: name, line: 0, sentence });
    }
  }
  return { overrides, faults };
}

/**
 * Options from the command line.
 * @param raw the values so far, which say which listener `-p` means
 */
export function argumentOverrides(argv: CommandLine, raw: object): Override[] {
  const overrides: Override[] = [];
  if (argv.port !== undefined) overrides.push(...portOverride(argv.port, raw));
  if (argv.data !== undefined)
    overrides.push({ path: ['data_dir'], value: argv.data, origin: `${COMMAND_LINE} --data` });
  if (argv.verbose === true) overrides.push({ path: ['log', 'level'], value: 'debug', origin: `${COMMAND_LINE} -v` });
  return overrides;
}

function portOverride(port: number, raw: object): Override[] {
  const origin = `${COMMAND_LINE} -p`;
  const written = child(raw, 'listeners');
  if (written === undefined) {
    const usual = configSchema.shape.listeners.parse(undefined).map(({ type }) => ({ type }));
    return [
      { path: ['listeners'], value: usual, origin: '' },
      { path: ['listeners', usual.findIndex(({ type }) => type === 'mqtt'), 'port'], value: port, origin },
    ];
  }
  // A list that is none is a fault of its own.
  if (!Array.isArray(written)) return [];
  const first = written.findIndex((listener) => child(listener, 'type') === 'mqtt');
  if (first !== -1) return [{ path: ['listeners', first, 'port'], value: port, origin }];
  return [{ path: ['listeners', written.length], value: { type: 'mqtt', port }, origin }];
}
