/** Files in C that `npm run build` compiles where it can (`scripts/native.mjs`). */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

/**
 * What such a file exports; null if it was not built, or for another machine. Its state is that of one thread: other
 * threads than the main one get null.
 * @param file the `.node` file
 */
export function loadNative<T>(file: URL): T | null {
  if (!isMainThread) return null;
  try {
    return createRequire(import.meta.url)(fileURLToPath(file)) as T;
  } catch {
    return null;
  }
}
