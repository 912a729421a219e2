/** `portico migrate`: a mosquitto.conf as a configuration of our own, which does the same. */
import { loadConfig, sourceFor } from '../config/load.js';
import { annotated } from './annotated.js';

/**
 * The configuration in YAML; a comment names the line that each option came from.
 * @throws PorticoError `PORTICO_CONFIGURATION` with a line for each fault
 */
export function migrate(file: string): string {
  // Whatever the process has in its environment belongs to no file.
  const { sources } = loadConfig({ file, mosquitto: true, env: {} });
  const { value, warnings } = sourceFor(file, true);
  const head = [`Made from ${file} by portico migrate. Check it with: portico check -c FILE`, ...warnings];
  return `${head.map((line) => `# ${line}\n`).join('')}\n${annotated(value, sources)}`;
}
