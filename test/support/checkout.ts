/** The folder of the checkout: the nearest one above the compiled tests that has the linter's configuration. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function find(folder: string): string {
  if (existsSync(join(folder, 'biome.json'))) return folder;
  if (dirname(folder) === folder) throw new Error('the tests run outside of a checkout');
  return find(dirname(folder));
}

export const checkout = find(dirname(fileURLToPath(import.meta.url)));
