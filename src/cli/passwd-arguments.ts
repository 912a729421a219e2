/**
 * The command line of `portico passwd`, as users of `mosquitto_passwd` know it. Its words may be passwords: no sentence
 * about a fault repeats one.
 */
import { DEFAULT_LN, LN_RANGE } from '../access/password-hash.js';
import { ErrorKinds, PorticoError } from '../errors.js';

export interface PasswdRequest {
  readonly file: string;
  readonly action: 'set' | 'delete' | 'hash all';
  /** Empty for `hash all`. */
  readonly user: string;
  /** `-b`; null if it has to be asked for. */
  readonly password: string | null;
  /** `-c`: the file is made anew. */
  readonly create: boolean;
  /** `--mosquitto`: hashes that Mosquitto reads. */
  readonly mosquitto: boolean;
  /** `--cost`: logarithm of scrypt's N to base 2. */
  readonly cost: number;
}

const FLAGS = ['-b', '-c', '-D', '-U', '--mosquitto'] as const;
type Flag = (typeof FLAGS)[number];

const SHAPES: Readonly<Record<PasswdRequest['action'], string>> = {
  set: 'two words, the file and the user (the password is asked for), or with -b a third, the password',
  delete: 'two words, the file and the user',
  'hash all': 'one word, the file',
};

function wrong(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Configuration, `passwd: ${sentence} (see portico --help)`);
}

/**
 * Reads the words behind `passwd`. Options stand before the file, so that whatever follows may begin with a hyphen.
 * @throws PorticoError `PORTICO_CONFIGURATION`
 */
export function parsePasswd(args: readonly string[]): PasswdRequest {
  const flags = new Set<Flag>();
  let cost: number | null = null;
  let at = 0;
  for (; at < args.length && args[at].startsWith('-'); at++) {
    const word = args[at];
    if (word === '--') {
      at++;
      break;
    }
    const flag = FLAGS.find((one) => one === word);
    if (flag !== undefined) flags.add(flag);
    else if (word === '--cost') cost = costOf(args[++at]);
    else throw wrong(`an unknown option; known before the file are ${FLAGS.join(', ')} and --cost`);
  }
  const action = flags.has('-D') ? 'delete' : flags.has('-U') ? 'hash all' : 'set';
  refuseTogether(flags, cost !== null);
  const words = args.slice(at);
  const batch = flags.has('-b');
  const wanted = action === 'hash all' ? 1 : batch ? 3 : 2;
  if (words.length !== wanted) throw wrong(`${batch ? '-b takes three words' : 'it takes'} ${shapeOf(action, batch)}`);
  const [file, user = '', password = null] = words;
  if (file === '') throw wrong('the name of the file is empty');
  return {
    file,
    action,
    user,
    password,
    create: flags.has('-c'),
    mosquitto: flags.has('--mosquitto'),
    cost: cost ?? DEFAULT_LN,
  };
}

function shapeOf(action: PasswdRequest['action'], batch: boolean): string {
  return batch ? 'behind the options: the file, the user and the password' : SHAPES[action];
}

function refuseTogether(flags: ReadonlySet<Flag>, hasCost: boolean): void {
  for (const [one, other] of [
    ['-c', '-D'],
    ['-c', '-U'],
    ['-D', '-U'],
    ['-b', '-D'],
    ['-b', '-U'],
    ['-D', '--mosquitto'],
  ] as const) {
    if (flags.has(one) && flags.has(other)) throw wrong(`${one} and ${other} do not go together`);
  }
  if (hasCost && (flags.has('-D') || flags.has('--mosquitto'))) {
    throw wrong('--cost is of scrypt, which -D and --mosquitto do not make');
  }
}

function costOf(text: string | undefined): number {
  const [least, most] = LN_RANGE;
  const cost = Number(text);
  if (text === undefined || !/^\d{1,2}$/.test(text) || cost < least || cost > most) {
    throw wrong(`--cost takes a whole number from ${least} to ${most}`);
  }
  return cost;
}
