/** `portico check`: what is in effect, or everything that is wrong. */
import { Document, isMap, isScalar, isSeq, type Node } from 'yaml';
import { readAcl } from '../access/acl/load.js';
import { PasswordFile } from '../access/password-file.js';
import { readScramFile } from '../access/scram-file.js';
import { CoapSecurity } from '../coap-security.js';
import { describeListeners } from '../config/listeners.js';
import { type LoadedConfig, type LoadRequest, loadConfig } from '../config/load.js';
import { sourceOf } from '../config/source.js';
import { ObservedResources } from '../plugins/coap-devices/observed-resources.js';
import { CoapDevices } from '../plugins/coap-devices/plugin.js';

/**
 * Prints the configuration in effect on standard output, and who may connect on standard error.
 * @throws PorticoError `PORTICO_CONFIGURATION` or `PORTICO_SECURITY_FILE` with a line for each fault
 */
export async function check(request: LoadRequest): Promise<void> {
  const loaded = loadConfig(request);
  const { password_file: passwords, scram_file: scram } = loaded.config.access;
  if (passwords !== undefined) await PasswordFile.load(passwords);
  if (scram !== undefined) await readScramFile(scram);
  const acl = await readAcl(loaded.config.access);
  const { deviceKeys } = await CoapSecurity.load(loaded.config);
  // They read the URIs, filters and templates of commands and observations.
  new CoapDevices(loaded.config.coap, (option) => sourceOf(loaded, option), deviceKeys);
  new ObservedResources(loaded.config.coap, deviceKeys);
  process.stdout.write(effective(loaded));
  for (const line of describeListeners(loaded)) process.stderr.write(`${line}\n`);
  for (const warning of [...loaded.warnings, ...(acl?.warnings ?? [])]) process.stderr.write(`warning: ${warning}\n`);
}

/** The configuration in effect as YAML; a comment names the origin of what is not a built-in default. */
function effective(loaded: LoadedConfig): string {
  const document = new Document(loaded.config);
  annotate(document.contents, '', loaded.sources);
  return document.toString();
}

function annotate(node: unknown, path: string, sources: LoadedConfig['sources']): void {
  const entries: [string | number, unknown][] = [];
  if (isMap<Node, Node>(node)) for (const { key, value } of node.items) entries.push([String(key), value]);
  else if (isSeq(node)) entries.push(...node.items.entries());
  for (const [key, value] of entries) {
    const inner = path === '' ? String(key) : `${path}.${key}`;
    const source = sources.get(inner);
    if (isScalar(value) && source !== undefined) value.comment = ` ${source}`;
    annotate(value, inner, sources);
  }
}
