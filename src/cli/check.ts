/** `portico check`: what is in effect, or everything that is wrong. */
import { describeListeners } from '../config/listeners.js';
import { type LoadedConfig, type LoadRequest, loadConfig } from '../config/load.js';
import { readSecurityFiles, withFileFaults } from '../server/security-files.js';
import { annotated } from './annotated.js';

/**
 * Prints the configuration in effect on standard output, and who may connect on standard error.
 * @param testOnly prints a sentence in place of the configuration
 * @throws PorticoError `PORTICO_CONFIGURATION` or `PORTICO_SECURITY_FILE` with a line for each fault
 */
export async function check(request: LoadRequest, testOnly = false): Promise<void> {
  let loaded: LoadedConfig;
  try {
    loaded = loadConfig(request);
  } catch (error) {
    throw await withFileFaults(error);
  }
  const { usual, own } = (await readSecurityFiles(loaded)).files;
  const lists = [usual, ...own.values()].flatMap(({ acl }) => acl?.warnings ?? []);
  process.stdout.write(testOnly ? 'the configuration is right\n' : annotated(loaded.config, loaded.sources));
  for (const line of describeListeners(loaded)) process.stderr.write(`${line}\n`);
  for (const warning of [...loaded.warnings, ...new Set(lists)]) process.stderr.write(`warning: ${warning}\n`);
}
