/** The command line, as users of Mosquitto know it. */
import { parseArgs } from 'node:util';
import { closest } from 'fastest-levenshtein';
import { ACTIONS, type Action } from '../access/acl/rule.js';
import type { CommandLine } from '../config/overrides.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { AclQuestion } from './acl.js';
import type { BansRequest } from './bans.js';
import type { ClientsRequest } from './clients.js';
import type { ImportKind } from './import.js';
import { type PasswdRequest, parsePasswd } from './passwd-arguments.js';
import type { TraceRequest } from './trace.js';
import { clientsRequest, traceRequest } from './view-arguments.js';

const COMMANDS = [
  'run',
  'check',
  'health',
  'acl',
  'bans',
  'clients',
  'trace',
  'passwd',
  'scram',
  'backup',
  'restore',
  'import',
  'migrate',
  'help',
  'version',
] as const;
export type Command = (typeof COMMANDS)[number];

const IMPORTS = ['mosquitto-db', 'aedes-level'] as const satisfies readonly ImportKind[];

export interface Arguments {
  readonly command: Command;
  /** `-c`. */
  readonly file?: string;
  readonly argv: CommandLine;
  /** The word after the command: the user of `scram`, the file of `backup` and `restore`. */
  readonly name?: string;
  /** What `import` reads, and where it is. */
  readonly source?: { readonly kind: ImportKind; readonly path: string };
  /** `bans`. */
  readonly bans?: BansRequest;
  /** `clients`. */
  readonly clients?: ClientsRequest;
  /** `trace`. */
  readonly trace?: TraceRequest;
  /** `passwd`. */
  readonly passwd?: PasswdRequest;
  /** `acl explain`. */
  readonly question?: AclQuestion;
  /** `backup --force`. */
  readonly force?: boolean;
  /** `backup --damaged`. */
  readonly damaged?: boolean;
  /** `restore --check`. */
  readonly check?: boolean;
  /** `--mosquitto`: the file is a mosquitto.conf, whatever its name. */
  readonly mosquitto?: boolean;
  /** `--test-config`: says only whether the configuration is right. */
  readonly testConfig?: boolean;
}

export const usage = `portico [-c FILE] [-p PORT] [--data DIR] [-v]
portico check [-c FILE]     validates the configuration and prints what is in effect, or every fault
portico health [-c FILE]    asks the first MQTT listener whether it answers
portico acl explain [--user U] --client C --topic T [--listener L] publish|receive|subscribe [-c FILE]
                            says whether a client may do that, and by which line
portico passwd [-c] [-b] [--mosquitto | --cost N] FILE USER [PASSWORD]
                            sets a password in a file for access.password_file; asks for it, or with -b takes PASSWORD
portico passwd -D FILE USER deletes a user
portico passwd -U [--mosquitto | --cost N] FILE
                            hashes the passwords that stand in the file in the clear
portico bans list [-c FILE] [--data DIR]
                            lists who is banned from the running broker for failed logins
portico bans lift ADDRESS|all [--user U] [-c FILE] [--data DIR]
                            lifts bans of an address or of all, or there those of one user
portico clients [--all] [--json] [-c FILE] [--data DIR]
                            lists who is connected to the running broker, with --all also sessions that are kept
portico clients CLIENT [--json]
                            tells all of one client, with its subscriptions or observations
portico clients disconnect CLIENT
                            ends its connection
portico trace CLIENT | --user U | --address A | --topic FILTER [--payload] [--json] [-c FILE] [--data DIR]
                            tells what happens to a client, a user, an address or on topics, until Ctrl-C
portico scram NAME          asks for a password and prints a line for access.scram_file
portico backup FILE [-c FILE] [--data DIR] [--force] [--damaged]
                            saves everything that is durable, of the running broker or of its store; - is standard output
portico restore FILE [-c FILE] [--data DIR]
                            puts a backup into a data folder without a store; - is standard input
portico restore --check FILE
                            reads a whole backup, and changes nothing
portico import mosquitto-db FILE [-c FILE] [--data DIR]
portico import aedes-level DIR [-c FILE] [--data DIR]
                            puts what Mosquitto or Aedes has kept into a data folder without a store
portico migrate FILE        prints a mosquitto.conf as a configuration of Portico

  -c, --config FILE   configuration; otherwise the variable PORTICO_CONFIG, otherwise the built-in defaults;
                      a file that ends in .conf is read as a mosquitto.conf
      --mosquitto FILE
                      the same for a mosquitto.conf of any name
      --test-config   says whether the configuration is right, and ends
  -p, --port PORT     port of the first MQTT listener (default 1883)
      --data DIR      folder of the store (default ./data)
  -v, --verbose       log everything
      -c, -b, --mosquitto behind passwd, before FILE
                      make FILE anew; the password is the last word; hashes that Mosquitto reads too
      --force         replace FILE, if it is there
      --damaged       save what can be read of a damaged store without a broker, and say what is left out
      --check         verify only
      --payload       trace: show the first 256 bytes of payloads
      --all, --json   sessions of clients that are away, too; one JSON value a line
      --cost N        passwd: each step takes twice the memory and time of a login; 10 to 18, 14 unless given (16 MiB)
      --user U, --client C, --topic T
                      whom and what acl explain is about; without --user a client without user name;
                      whose bans are lifted
      --listener L    where the client of acl explain comes in, if listeners have different lists: a port, the path of
                      a socket, or a place as listeners.0
  -h, --help
      --version

Exit codes: 0 ended or healthy; 1 failed; 3 the configuration or the command line is wrong.`;

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  port: { type: 'string', short: 'p' },
  data: { type: 'string' },
  mosquitto: { type: 'string' },
  'test-config': { type: 'boolean' },
  verbose: { type: 'boolean', short: 'v' },
  force: { type: 'boolean' },
  damaged: { type: 'boolean' },
  check: { type: 'boolean' },
  all: { type: 'boolean' },
  json: { type: 'boolean' },
  payload: { type: 'boolean' },
  address: { type: 'string' },
  user: { type: 'string' },
  client: { type: 'string' },
  topic: { type: 'string' },
  listener: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
  // Mosquitto's; known so that it can be refused in words.
  daemon: { type: 'boolean', short: 'd' },
} as const;

/** Commands whose words are read where their request is. */
const OF_THEIR_OWN: ReadonlySet<Command> = new Set(['acl', 'bans', 'clients', 'trace']);

/** The word that a command needs. */
const WORDS: ReadonlyMap<Command, string> = new Map([
  ['scram', 'the name of the user; the password is asked for'],
  ['backup', 'the file to write, or - for standard output'],
  ['migrate', 'the mosquitto.conf to read'],
  ['restore', 'the file to read, or - for standard input'],
]);

function wrong(sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.Configuration, `${sentence} (see portico --help)`, { cause });
}

/**
 * Reads the command line.
 * @param args arguments after the program's name
 * @throws PorticoError `PORTICO_CONFIGURATION` for anything that it does not understand
 */
export function parseArguments(args: readonly string[]): Arguments {
  // Its words may be passwords, and its -c is another one.
  if (args[0] === 'passwd' && args[1] !== '--help' && args[1] !== '-h') {
    return { command: 'passwd', passwd: parsePasswd(args.slice(1)), argv: {} };
  }
  const { values, positionals } = parse(args);
  if (values.help === true) return { command: 'help', argv: {} };
  if (values.version === true) return { command: 'version', argv: {} };
  if (values.daemon === true) {
    throw wrong(
      '-d: portico never forks; leave -d out and let systemd, a container or the shell keep it in the background',
    );
  }
  const { command, name, source } = commandOf(positionals);
  const bans = bansOf(command, positionals, values.user);
  const clients = command === 'clients' ? clientsRequest(positionals.slice(1), values) : undefined;
  const trace = command === 'trace' ? traceRequest(positionals.slice(1), values) : undefined;
  const question = questionOf(command, positionals, values);
  if (values.force === true && command !== 'backup') throw wrong('--force belongs to backup');
  if (values.damaged === true && command !== 'backup') throw wrong('--damaged belongs to backup');
  if (values.check === true && command !== 'restore') throw wrong('--check belongs to restore');
  refuseViewOptions(command, values);
  if (values.mosquitto !== undefined && values.config !== undefined) {
    throw wrong('-c and --mosquitto both name a file; leave one of them out');
  }
  const file = values.mosquitto ?? values.config;
  const test = values['test-config'] === true;
  if (test && command !== 'run' && command !== 'check') throw wrong('--test-config belongs to no command');
  return {
    command: test ? 'check' : command,
    ...(test ? { testConfig: true } : {}),
    ...(values.mosquitto === undefined ? {} : { mosquitto: true }),
    ...(name === undefined ? {} : { name }),
    ...(source === undefined ? {} : { source }),
    ...(bans === undefined ? {} : { bans }),
    ...(clients === undefined ? {} : { clients }),
    ...(trace === undefined ? {} : { trace }),
    ...(question === undefined ? {} : { question }),
    ...(values.force === undefined ? {} : { force: values.force }),
    ...(values.damaged === undefined ? {} : { damaged: values.damaged }),
    ...(values.check === undefined ? {} : { check: values.check }),
    ...(file === undefined ? {} : { file }),
    argv: {
      ...(values.port === undefined ? {} : { port: portOf(values.port) }),
      ...(values.data === undefined ? {} : { data: values.data }),
      ...(values.verbose === undefined ? {} : { verbose: values.verbose }),
    },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    const words = (error as Error).message.split('. ')[0].replace(/\.$/, '');
    const unknown = /^Unknown option '(-[^']*)'/.exec(words)?.[1];
    if (unknown === undefined) throw wrong(words, error);
    const flags = Object.entries(OPTIONS).flatMap(([name, option]) =>
      'short' in option ? [`--${name}`, `-${option.short}`] : [`--${name}`],
    );
    throw wrong(
      `unknown option ${unknown}; did you mean ${closest(
        unknown,
        flags.filter((flag) => flag !== '-d'),
      )}?`,
      error,
    );
  }
}

function commandOf(words: readonly string[]): Pick<Arguments, 'command' | 'name' | 'source'> {
  const [word, ...rest] = words;
  if (word === undefined) return { command: 'run' };
  const command = COMMANDS.find((one) => one === word);
  if (command === undefined) throw wrong(`unknown command ${word}; did you mean ${closest(word, COMMANDS)}?`);
  if (command === 'import') return { command, source: sourceOf(rest) };
  const needed = WORDS.get(command);
  if (OF_THEIR_OWN.has(command)) return { command };
  if (needed !== undefined) {
    if (rest.length !== 1) throw wrong(`${command} takes one word, ${needed}`);
    return { command, name: rest[0] };
  }
  if (rest.length > 0) throw wrong(`${rest.join(' ')}: ${command} takes no further words`);
  return { command };
}

function sourceOf([word, path, ...rest]: readonly string[]): Arguments['source'] & object {
  const kind = IMPORTS.find((one) => one === word);
  if (kind === undefined && word !== undefined) {
    throw wrong(`import ${word}: unknown kind; did you mean ${closest(word, IMPORTS)}?`);
  }
  if (kind === undefined || path === undefined || rest.length > 0) {
    throw wrong('import takes two words: mosquitto-db and the file, or aedes-level and the folder');
  }
  return { kind, path };
}

/** Options of `clients` and `trace` that stand with another command. */
function refuseViewOptions(
  command: Command,
  { all, json, payload, address }: { all?: boolean; json?: boolean; payload?: boolean; address?: string },
): void {
  if (command === 'trace') return;
  if (payload !== undefined || address !== undefined) throw wrong('--payload and --address belong to trace');
  if (command === 'clients') return;
  if (all !== undefined || json !== undefined) throw wrong('--all belongs to clients, --json to clients and trace');
}

/** What `bans` is to do; undefined for other commands. */
function bansOf(command: Command, words: readonly string[], user: string | undefined): BansRequest | undefined {
  if (command !== 'bans') return undefined;
  const [, verb, address, ...rest] = words;
  if (verb === 'list' && address === undefined && user === undefined) return {};
  if (verb !== 'lift' || address === undefined || rest.length > 0) {
    throw wrong('bans takes the word list, or lift and an address, or lift and all');
  }
  return { lift: { address: address === 'all' ? null : address, user: user ?? null } };
}

/** What `acl explain` asks; undefined for other commands. */
function questionOf(
  command: Command,
  words: readonly string[],
  { user, client, topic, listener }: { user?: string; client?: string; topic?: string; listener?: string },
): AclQuestion | undefined {
  if (command === 'trace' && client === undefined) return undefined;
  if (command !== 'acl') {
    if ((user !== undefined && command !== 'bans') || client !== undefined || topic !== undefined) {
      throw wrong(
        '--user, --client and --topic belong to acl explain, --user to bans lift and trace, --topic to trace too',
      );
    }
    if (listener !== undefined) throw wrong('--listener belongs to acl explain');
    return undefined;
  }
  const [, verb, word, ...rest] = words;
  const action: Action | undefined = ACTIONS.find((one) => one === word);
  if (verb !== 'explain' || action === undefined || rest.length > 0) {
    throw wrong(`acl takes two words, explain and one of ${ACTIONS.join(', ')}`);
  }
  if (client === undefined || topic === undefined) throw wrong('acl explain needs --client and --topic');
  return { action, username: user ?? null, clientId: client, topic, listener: listener ?? null };
}

/** A number; whether it is a port is the schema's to say. */
function portOf(text: string): number {
  if (!/^\d+$/.test(text)) throw wrong(`-p ${text}: a port is a whole number`);
  return Number(text);
}
