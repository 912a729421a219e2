/** Why a file cannot be read, in words. */
import { mayNot } from '../errors.js';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is none of that name',
  EISDIR: 'it is a folder',
  ENOTDIR: 'it is no folder',
};

/** The reason of an error of the file system. */
export function fileReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'EACCES') return mayNot();
  return REASONS[code] ?? (error as Error).message;
}
