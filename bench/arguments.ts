/** The command line of the benchmark. */
import { parseArgs } from 'node:util';
import { type Peer, type PeerName, peers } from './brokers.js';
import { BenchError } from './processes.js';
import { groups, type ScaleArguments } from './scale/group.js';
import type { ScaleScenario } from './scale/stage.js';
import { type Scenario, scenarios, type Timing } from './scenarios.js';

export interface BenchArguments {
  readonly scenarios: readonly Scenario[];
  readonly peers: readonly Peer[];
  /** Peers that were asked for by name, and so have to be installed. */
  readonly required: ReadonlySet<PeerName>;
  readonly rounds: number;
  readonly timing: Timing;
  /** Where to write the results as JSON. */
  readonly json?: string;
  /** Exit code 1 unless every floor was measured and holds. */
  readonly check: boolean;
  /** What a group is asked to do, if one was chosen. */
  readonly scale?: ScaleArguments;
}

const QUICK_FACTOR = 0.05;

export const usage = `npm run bench -- [options] [SCENARIO...]
  --scenario NAME   only this scenario (repeatable; plain arguments are scenarios too)
  --peers A,B       of ${peers.map(({ name }) => name).join(', ')} (default: those that are installed)
  --rounds N        runs of each scenario and peer, 1 to 25; the median counts (default 3)
  --seconds S       measured seconds of a run, up to 120, with --group up to 3600 (default 2.5)
  --warmup S        seconds of load before that (default 1)
  --messages N      end a run after N messages or requests; no warm-up
  --quick           --rounds 1 --seconds 1 --warmup 0.5; with --group --factor ${QUICK_FACTOR} --seconds 1
  --group NAME      the scenarios of ${Object.keys(groups).join(', ')} in place of the others, without --rounds,
                    --warmup, --messages
  --factor F        part of the full size of such scenarios, 0.001 to 1 (default 1)
  --json FILE       write the results there too
  --check           exit code 1 unless every floor was measured and holds
  --help
scenarios:
${listed(scenarios)}
${Object.entries(groups)
  .map(([group, list]) => `scenarios of --group ${group}:\n${listed(list)}`)
  .join('\n')}`;

function listed(list: readonly { readonly name: string; readonly title: string }[]): string {
  return list.map(({ name, title }) => `  ${name.padEnd(16)}  ${title}`).join('\n');
}

function isGroup(name: string): name is keyof typeof groups {
  return Object.hasOwn(groups, name);
}

function number(name: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= low && value <= high)) {
    throw new BenchError(`--${name} takes ${low} to ${high}, not ${JSON.stringify(text)}`);
  }
  return value;
}

function named<T extends { readonly name: string }>(kind: string, all: readonly T[], names: readonly string[]): T[] {
  const unknown = names.find((name) => !all.some((one) => one.name === name));
  if (unknown !== undefined) {
    throw new BenchError(`no ${kind} ${JSON.stringify(unknown)}; there are: ${all.map(({ name }) => name).join(', ')}`);
  }
  return names.length === 0 ? [...all] : all.filter(({ name }) => names.includes(name));
}

function ofGroup(group: keyof typeof groups, asked: readonly string[]): ScaleScenario[] {
  const chosen = named<ScaleScenario>(`scenario of ${group}`, groups[group], asked);
  return asked.length > 0 ? chosen : chosen.filter(({ byHand }) => byHand !== true);
}

/**
 * Reads the command line.
 * @param argv arguments after the program's name
 * @returns the arguments, or undefined if help was asked for
 * @throws BenchError for anything that it does not understand
 */
export function parseArguments(argv: readonly string[]): BenchArguments | undefined {
  const { values, positionals } = parse(argv);
  if (values.help) return undefined;
  const names = (values.peers ?? '').split(',').filter((name) => name !== '');
  const asked = [...(values.scenario ?? []), ...positionals];
  const { group } = values;
  if (group !== undefined && !isGroup(group)) {
    throw new BenchError(`--group takes one of ${Object.keys(groups).join(', ')}`);
  }
  const rounds = number('rounds', values.rounds ?? (values.quick ? '1' : '3'), 1, 25);
  if (!Number.isInteger(rounds)) throw new BenchError('--rounds takes a whole number');
  const seconds = number(
    'seconds',
    values.seconds ?? (values.quick ? '1' : '2.5'),
    0.1,
    group === undefined ? 120 : 3600,
  );
  const warmupSeconds = number('warmup', values.warmup ?? (values.quick ? '0.5' : '1'), 0, 60);
  const messages = values.messages === undefined ? undefined : number('messages', values.messages, 1, 1e9);
  const factor = number('factor', values.factor ?? (values.quick ? String(QUICK_FACTOR) : '1'), 0.001, 1);
  const output = { ...(values.json === undefined ? {} : { json: values.json }), check: values.check ?? false };
  const scale: ScaleArguments | undefined =
    group === undefined
      ? undefined
      : {
          scenarios: ofGroup(group, asked),
          peers: named('peer', peers, names),
          options: { factor, seconds },
          ...output,
        };
  return {
    ...(scale === undefined ? {} : { scale }),
    scenarios: group !== undefined ? [] : named('scenario', scenarios, asked),
    peers: named('peer', peers, names),
    required: new Set(names as PeerName[]),
    rounds,
    timing: messages === undefined ? { warmupSeconds, seconds } : { warmupSeconds: 0, seconds, messages },
    ...output,
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        scenario: { type: 'string', multiple: true },
        peers: { type: 'string' },
        rounds: { type: 'string' },
        group: { type: 'string' },
        factor: { type: 'string' },
        seconds: { type: 'string' },
        warmup: { type: 'string' },
        messages: { type: 'string' },
        quick: { type: 'boolean' },
        json: { type: 'string' },
        check: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new BenchError((error as Error).message);
  }
}
