/** The broker as a process: it starts, ends on a signal after a final commit, and never forks. */
import type { Logger } from 'pino';
import { type LoadRequest, loadConfig } from '../config/load.js';
import { createLogger } from '../monitor/log.js';
import { Server } from '../server.js';
import { version } from '../version.js';

/** SIGHUP is what a closing terminal sends. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
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
  const loaded = loadConfig(request);
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
  const ending = signal(logger);
  logger.info(`portico ${version} starts`);
  for (const warning of loaded.warnings) logger.warn(warning);
  const server = await Server.start(loaded, logger);
  process.on('SIGUSR2', () => {
    logger.info('SIGUSR2: all clients are sent away, and new ones refused');
    server.broker.drain();
  });
  logger.info('ready');
  const name = await ending;
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
  return 0;
}

/** Resolves with the name of the first signal. */
function signal(logger: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let first = 0;
    for (const name of SIGNALS) {
      process.on(name, () => {
        if (first === 0) {
          first = Date.now();
          resolve(name);
        } else if (Date.now() - first > SAME_WISH) {
          logger.warn(
            `ended by a second ${name} before the last write; what was acknowledged is safe with store.sync always`,
          );
          process.exit(1);
        }
      });
    }
  });
}
