/** Every option of mosquitto.conf (Mosquitto 2.1), and what becomes of it. docs/mosquitto.md is made from it. */
import type { Row } from './row.js';
import { bridges } from './table/bridges.js';
import { general } from './table/general.js';
import { listeners } from './table/listeners.js';
import { plugins } from './table/plugins.js';

/** The rows, in the groups of the documentation. */
export const groups: readonly { readonly title: string; readonly rows: readonly Row[] }[] = [
  { title: 'General', rows: general },
  { title: 'Plugins', rows: plugins },
  { title: 'Listeners', rows: listeners },
  { title: 'Bridges', rows: bridges },
];

const byName = new Map<string, Row>();
for (const { rows } of groups) {
  for (const row of rows) for (const name of [row.name, ...(row.aliases ?? [])]) byName.set(name, row);
}

/** Every name that stands in the table, with the older ones. */
export const names: readonly string[] = [...byName.keys()];

/** The row of an option; names that begin with `plugin_opt_` or `auth_opt_` share one. */
export function rowOf(name: string): Row | undefined {
  return byName.get(name.replace(/^(plugin|auth)_opt_.*$/s, '$1_opt_*'));
}
