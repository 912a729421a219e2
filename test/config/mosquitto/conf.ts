/** Files of mosquitto.conf for tests, in a folder of their own. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LoadedConfig, loadConfig } from '../../../src/config/load.js';
import { temporaryFolder } from '../../support/portico.js';
import { refusal } from '../configurations.js';

const root = temporaryFolder();
// mosquitto that root starts reads as another user.
chmodSync(root, 0o755);
let count = 0;

/** A folder with files, by name; `@` in a text stands for the folder. */
export function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = join(root, String(++count));
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text.replaceAll('@', folder));
  }
  return folder;
}

export function confWith(text: string, others: Readonly<Record<string, string>> = {}): string {
  return join(folderWith({ 'mosquitto.conf': text, ...others }), 'mosquitto.conf');
}

export function load(text: string, others: Readonly<Record<string, string>> = {}): LoadedConfig {
  return loadConfig({ file: confWith(text, others), env: {} });
}

/** The faults, `FILE:LINE: sentence` each, without the folder. */
export function faults(text: string, others: Readonly<Record<string, string>> = {}): string[] {
  const file = confWith(text, others);
  const lines = refusal({ file, env: {} }).map((line) => line.replaceAll(`${dirname(file)}/`, ''));
  for (const line of lines) assert.match(line, /^[\w./-]+:\d+: /);
  return lines;
}
