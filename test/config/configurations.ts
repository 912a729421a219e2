/** Configurations written to files of their own, and what loading them says. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LoadedConfig, type LoadRequest, loadConfig } from '../../src/config/load.js';
import type { ListenerConfig } from '../../src/config/schema.js';
import { ErrorKinds, PorticoError } from '../../src/errors.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();
let count = 0;

/** A new file with this text. */
export function fileWith(text: string): string {
  const file = join(folder, `${++count}.yaml`);
  writeFileSync(file, text);
  return file;
}

/** Loads a text; variables and arguments are those given and no others. */
export function load(text: string, request: Partial<LoadRequest> = {}): LoadedConfig {
  return loadConfig({ env: {}, ...request, file: fileWith(text) });
}

/** The faults of a configuration, one `LINE: sentence` each, with the name of the file taken away. */
export function faultsOf(text: string, request: Partial<LoadRequest> = {}): string[] {
  const file = fileWith(text);
  return refusal({ env: {}, ...request, file }).map((line) => line.replace(`${file}:`, ''));
}

/** The port of a listener; undefined for a Unix socket. */
export function portOf(listener: ListenerConfig): number | undefined {
  return listener.type === 'unix' ? undefined : listener.port;
}

/** Where a listener binds, as written. */
export function hostOf(listener: ListenerConfig): string | readonly string[] {
  return listener.type === 'unix' ? listener.path : listener.host;
}

/** The lines of the refusal that loading must end in. */
export function refusal(request: LoadRequest): string[] {
  try {
    loadConfig(request);
  } catch (error) {
    assert.ok(error instanceof PorticoError);
    assert.equal(error.kind, ErrorKinds.Configuration);
    assert.equal(error.kind.exitCode, 3);
    return error.message.split('\n');
  }
  assert.fail('the configuration was accepted');
}
