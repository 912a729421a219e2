/** The log: pino, in JSON for machines or in lines for people. */
import { createRequire } from 'node:module';
import { type DestinationStream, destination, type Logger, pino } from 'pino';
import type { Config } from '../config/schema.js';

/** Keys whose values never reach the log, also one level down. */
const SECRETS = ['password', 'psk', 'token', 'secret', 'authorization'];

/**
 * Makes the logger of a process. Lines are written at once, without a thread or a buffer that a crash would take along.
 * @param stream standard output unless given
 */
export function createLogger(log: Config['log'], stream?: DestinationStream): Logger {
  const readable = log.format === 'pretty' || (log.format === 'auto' && stream === undefined && process.stdout.isTTY);
  const output = stream ?? standardOutput();
  return pino(
    {
      level: log.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: { paths: SECRETS.flatMap((key) => [key, `*.${key}`]), censor: '[not logged]' },
    },
    readable ? prettyStream(output) : output,
  );
}

function standardOutput(): DestinationStream {
  const output = destination({ fd: 1, sync: true });
  // A terminal that has just been closed takes nothing; SIGHUP will say that it was.
  if (process.stdout.isTTY) output.on('error', () => {});
  return output;
}

/** What ends a line, moves the cursor or turns the direction of writing. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** A sentence as one line: clients choose parts of it, such as topics, and may not write lines of their own. */
function printable(sentence: string): string {
  return sentence.replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Time, level, sentence and an error's stack; the other fields stand in the sentence already. */
function prettyStream(output: DestinationStream): DestinationStream {
  // Loaded only here: machines that read JSON need not wait for it at every start.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  const lines = prettyFactory({
    colorize: process.stdout.isTTY && process.env.NO_COLOR === undefined,
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
    include: 'level,time,err',
    messageFormat: (line, key) => printable(String(line[key] ?? '')),
  });
  return { write: (line) => output.write(lines(line)) };
}
