#!/usr/bin/env -S node --min-semi-space-size=4 --max-semi-space-size=4 --no-concurrent-marking --no-parallel-scavenge --heap-growing-percent=100
/** The process: arguments, commands, exit codes. */
import { type Arguments, parseArguments, usage } from './cli/arguments.js';
import type { LoadRequest } from './config/load.js';
import { PorticoError } from './errors.js';
import { version } from './version.js';

/** Commands load what they need when they are chosen: `--help` has no reason to wait for a store. */
async function execute(words: Arguments): Promise<number> {
  const { command, file, argv, name = '', force = false, damaged = false, check = false, source, mosquitto } = words;
  const request: LoadRequest = {
    ...(file === undefined ? {} : { file }),
    ...(mosquitto === undefined ? {} : { mosquitto }),
    env: process.env,
    argv,
  };
  switch (command) {
    case 'run':
      return (await import('./cli/run.js')).run(request);
    case 'check':
      await (await import('./cli/check.js')).check(request, words.testConfig);
      return 0;
    case 'health':
      console.log(await (await import('./cli/health.js')).health(request));
      return 0;
    case 'acl':
      if (words.question !== undefined)
        console.log(await (await import('./cli/acl.js')).explainAcl(request, words.question));
      return 0;
    case 'bans':
      if (words.bans !== undefined) console.log(await (await import('./cli/bans.js')).bans(request, words.bans));
      return 0;
    case 'clients':
      if (words.clients !== undefined) await (await import('./cli/clients.js')).clients(request, words.clients);
      return 0;
    case 'trace':
      if (words.trace !== undefined) await (await import('./cli/trace.js')).trace(request, words.trace);
      return 0;
    case 'passwd':
      if (words.passwd !== undefined) await (await import('./cli/passwd.js')).passwd(words.passwd);
      return 0;
    case 'scram':
      console.log(await (await import('./cli/scram.js')).scram(name));
      return 0;
    case 'backup':
      await (await import('./cli/backup.js')).backup(request, { file: name, force, damaged });
      return 0;
    case 'restore': {
      const { checkBackup, restore } = await import('./cli/restore.js');
      await (check ? checkBackup(name) : restore(request, name));
      return 0;
    }
    case 'import':
      if (source !== undefined) await (await import('./cli/import.js')).importFrom(request, source.kind, source.path);
      return 0;
    case 'migrate':
      process.stdout.write((await import('./cli/migrate.js')).migrate(name));
      return 0;
    case 'help':
      console.log(usage);
      return 0;
    case 'version':
      console.log(`portico ${version}`);
      return 0;
  }
}

/** Says in one sentence what went wrong; where in the code only to those who asked for everything. */
function report(error: unknown, verbose: boolean): number {
  const message = error instanceof Error ? error.message : String(error);
  for (const line of message.split('\n')) process.stderr.write(`portico: ${line}\n`);
  if (verbose && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return (error instanceof PorticoError ? error.kind.exitCode : undefined) ?? 1;
}

async function main(args: readonly string[]): Promise<void> {
  let verbose = false;
  try {
    const parsed = parseArguments(args);
    verbose = parsed.argv.verbose === true;
    process.exitCode = await execute(parsed);
  } catch (error) {
    process.exitCode = report(error, verbose);
  }
  // What still holds the event loop has been stopped; only streams that were written to may have something to say.
  if (process.stdout.writableLength === 0) process.exit();
  process.stdout.once('drain', () => process.exit());
}

await main(process.argv.slice(2));
