/** What LevelDB's errors mean. */

function codesOf(error: unknown): unknown[] {
  const codes: unknown[] = [];
  for (let at = error; at instanceof Error; at = at.cause) if ('code' in at) codes.push(at.code);
  return codes;
}

/** What the system says of files when it is short of something, or forbids it: no damage, however large the store. */
const SHORTAGE =
  /no space left|quota exceeded|file too large|too many open files|cannot allocate memory|permission denied|not permitted|read-only/i;

/** Whether LevelDB has met a file that is not as it was written, is missing, or cannot be read. */
export function isDamage(error: unknown): boolean {
  return isCorruption(error) || (codesOf(error).includes('LEVEL_IO_ERROR') && !SHORTAGE.test(wordsOf(error)));
}

/** Whether LevelDB has read a file, and makes no sense of it. */
export function isCorruption(error: unknown): boolean {
  return codesOf(error).includes('LEVEL_CORRUPTION');
}

/** Whether the database was closed under a reader. */
export function isInterruption(error: unknown): boolean {
  const codes = codesOf(error);
  return codes.includes('LEVEL_ITERATOR_NOT_OPEN') || codes.includes('LEVEL_DATABASE_NOT_OPEN');
}

/** LevelDB says what went wrong in the cause of its error. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}

/** What went wrong, for the log. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (codesOf(error).includes('LEVEL_LOCKED')) return 'another process uses it';
  const words = wordsOf(error);
  return /no space left/i.test(words)
    ? `the disk is full, and the store cannot open without some room: ${words}`
    : words;
}
