/** The broker as a process: it starts, ends on a signal after a final commit, and never forks. */
import { isatty } from 'node:tty';
import type { Logger } from 'pino';
import { howToOpen } from '../config/listeners.js';
import { type LoadedConfig, type LoadRequest, loadConfig } from '../config/load.js';
import { createLogger } from '../monitor/log.js';
import { whomToBecome } from '../server/own-user.js';
import { digestsOf, Reload } from '../server/reload.js';
import { withFileFaults } from '../server/security-files.js';
import { Server } from '../server/server.js';
import { version } from '../version.js';
import { lockedOut } from './files.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/**
 * Milliseconds in which a repeated signal is the same wish: a Ctrl-C below `npm start` arrives once from the terminal
 * and once from npm. A later one means that the user will not wait.
 */
const SAME_WISH = 1000;

/**
 * Runs the broker until a signal ends it.
 * @returns the exit code
 * @throws PorticoError if it cannot start
 */
export async function run(request: LoadRequest): Promise<number> {
  let loaded: LoadedConfig;
  try {
    loaded = loadConfig(request);
  } catch (error) {
    throw await withFileFaults(error);
  }
  const logger = createLogger(loaded.config.log);
  const died = (error: unknown): void => {
    logger.fatal(
      { err: error },
      `portico ends after an error: ${error instanceof Error ? error.message : String(error)}`,
    );
    process.exit(1);
  };
  process.on('uncaughtException', died);
  process.on('unhandledRejection', died);
  // Before anything opens, so that a signal during the start ends cleanly too.
  const { ended, end } = signal(logger);
  let reload: (() => Promise<boolean>) | null = null;
  // SIGHUP that comes during the start is for what has been read before.
  let wanted = false;
  const terminals = terminalsOf();
  process.on('SIGHUP', () => {
    if (terminals.some((fd) => !isatty(fd))) {
      // Nobody is there to read it, and writing it would fail.
      if (terminals.includes(1)) logger.level = 'silent';
      end('SIGHUP');
    } else if (reload === null) wanted = true;
    else void reload();
  });
  // Node.js would open its debugger to everybody on this machine.
  process.on('SIGUSR1', () => logger.info('SIGUSR1: there is nothing to save, all that was acknowledged is written'));
  logger.info(`portico ${version} starts`);
  for (const warning of [...loaded.warnings, ...rootsPlace(loaded.config)]) logger.warn(warning);
  // Before they are read: what changes from here on has changed since.
  const digests = await digestsOf(loaded.config);
  const server = await Server.start(loaded, logger);
  process.on('SIGUSR2', () => {
    logger.info('SIGUSR2: all clients are sent away, and new ones refused');
    server.broker.drain();
  });
  const reloading = Reload.of(server, logger, digests, () => loadConfig(request));
  reload = () => reloading.run();
  const hint = howToOpen(loaded);
  if (hint !== null) logger.info(hint);
  logger.info('ready');
  if (wanted) void reload();
  const name = await ended;
  reload = () => Promise.resolve(false);
  logger.info(`ending on ${name}`);
  try {
    await server.stop();
  } catch (error) {
    logger.error(`ended: ${error instanceof Error ? error.message : String(error)}`);
    // A thread that hangs in a write would hold up any other end.
    if (server.broker.commit.hanging) process.kill(process.pid, 'SIGKILL');
    return 1;
  }
  logger.info('ended; everything is written');
  if (name === 'SIGHUP') {
    // Node.js would fail to restore a terminal that is gone, and end with a core dump.
    process.removeAllListeners('SIGHUP');
    process.kill(process.pid, 'SIGHUP');
  }
  return 0;
}

/** A warning if what is kept would belong to root in a place of another user, as where Mosquitto has kept it. */
function rootsPlace(config: LoadedConfig['config']): string[] {
  const { data_dir: folder, store } = config;
  const sentence = store.type === 'memory' || whomToBecome(config) !== null ? null : lockedOut(folder);
  if (sentence === null) return [];
  return [`portico runs as root: ${sentence}. Name that user in the option user, or start it as that user`];
}

/**
 * Standard input, output and error, those of them that are a terminal. A terminal that is closed sends SIGHUP as well, and is
 * none any more then: what was started in it ends with it, as programs do.
 */
function terminalsOf(): number[] {
  return [0, 1, 2].filter((fd) => isatty(fd));
}

/** `ended` resolves with the name of the first signal that ends the broker; `end` is told of others than these. */
function signal(logger: Logger): { ended: Promise<NodeJS.Signals>; end: (name: NodeJS.Signals) => void } {
  let resolve: (name: NodeJS.Signals) => void = () => {};
  const ended = new Promise<NodeJS.Signals>((done) => {
    resolve = done;
  });
  let first = 0;
  const end = (name: NodeJS.Signals): void => {
    if (first === 0) {
      first = Date.now();
      resolve(name);
    } else if (Date.now() - first > SAME_WISH) {
      logger.warn(
        `ended by a second ${name} before the last write; what was acknowledged is safe with store.sync always`,
      );
      process.exit(1);
    }
  };
  for (const name of SIGNALS) process.on(name, () => end(name));
  return { ended, end };
}
