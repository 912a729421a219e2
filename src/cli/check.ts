/** `portico check`: what is in effect, or everything that is wrong. */
import { readAcl } from '../access/acl/load.js';
import { PasswordFile } from '../access/password-file.js';
import { readScramFile } from '../access/scram-file.js';
import { CoapSecurity } from '../coap-security.js';
import { describeListeners } from '../config/listeners.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import { sourceOf } from '../config/source.js';
import { ObservedResources } from '../plugins/coap-devices/observed-resources.js';
import { CoapDevices } from '../plugins/coap-devices/plugin.js';
import { TlsSecurity } from '../tls-security.js';
import { annotated } from './annotated.js';

/**
 * Prints the configuration in effect on standard output, and who may connect on standard error.
 * @param testOnly prints a sentence in place of the configuration
 * @throws PorticoError `PORTICO_CONFIGURATION` or `PORTICO_SECURITY_FILE` with a line for each fault
 */
export async function check(request: LoadRequest, testOnly = false): Promise<void> {
  const loaded = loadConfig(request);
  const { password_file: passwords, scram_file: scram } = loaded.config.access;
  if (passwords !== undefined) await PasswordFile.load(passwords);
  if (scram !== undefined) await readScramFile(scram);
  const acl = await readAcl(loaded.config.access);
  const { devices } = await CoapSecurity.load(loaded.config);
  await TlsSecurity.load(loaded.config);
  // They read the URIs, filters and templates of commands and observations.
  new CoapDevices(loaded.config.coap, (option) => sourceOf(loaded, option), devices);
  new ObservedResources(loaded.config.coap, devices);
  process.stdout.write(testOnly ? 'the configuration is right\n' : annotated(loaded.config, loaded.sources));
  for (const line of describeListeners(loaded)) process.stderr.write(`${line}\n`);
  for (const warning of [...loaded.warnings, ...(acl?.warnings ?? [])]) process.stderr.write(`warning: ${warning}\n`);
}
