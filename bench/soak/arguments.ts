/** The command line of the soak. */
import { parseArgs } from 'node:util';
import { BenchError } from '../processes.js';

export interface SoakArguments {
  /** Minutes of load that is judged. */
  readonly minutes: number;
  /** Minutes of load before that, once with all clients leaving afterwards and once without. */
  readonly warmup: number;
  /** Seconds after which an acknowledgement is missing. */
  readonly patience: number;
  /** Longest time, in seconds, that a session outlives a client that does not come back. */
  readonly expiry: number;
  /** Seconds that the broker is left alone before it is looked at without clients. */
  readonly settle: number;
  readonly json?: string;
}

export const usage = `npm run soak -- [options]
  --minutes N   load that is judged, 0.05 to 1440 (default 30); memory is judged from 10 on
  --warmup N    the same load before that, 0.02 to 60 (default 10), and once more before all clients leave for a first time
  --patience S  seconds after which an acknowledgement is missing, 1 to 600 (default 10)
  --expiry S    seconds that sessions outlive their clients at most, 1 to 60 (default 10)
  --settle S    seconds of quiet before what is left behind is looked at, 0 to 600 (default 40)
  --json FILE   write findings and samples there, too
  --help`;

function number(name: string, text: string | undefined, otherwise: number, low: number, high: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text.trim() !== '' && value >= low && value <= high) return value;
  throw new BenchError(`--${name} takes ${low} to ${high}, not ${JSON.stringify(text)}`);
}

/**
 * @param argv arguments after the program's name
 * @returns undefined if help was asked for
 * @throws BenchError for anything that it does not understand
 */
export function parseArguments(argv: readonly string[]): SoakArguments | undefined {
  const { values } = parse(argv);
  if (values.help) return undefined;
  return {
    minutes: number('minutes', values.minutes, 30, 0.05, 1440),
    warmup: number('warmup', values.warmup, 10, 0.02, 60),
    patience: number('patience', values.patience, 10, 1, 600),
    expiry: Math.round(number('expiry', values.expiry, 10, 1, 60)),
    settle: number('settle', values.settle, 40, 0, 600),
    ...(values.json === undefined ? {} : { json: values.json }),
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        minutes: { type: 'string' },
        warmup: { type: 'string' },
        patience: { type: 'string' },
        expiry: { type: 'string' },
        settle: { type: 'string' },
        json: { type: 'string' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new BenchError((error as Error).message);
  }
}
