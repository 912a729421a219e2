/** Readings of files that belong together: what is wrong with any of them is told at once, not one fault after another. */
import { ErrorKinds, PorticoError } from '../errors.js';

/**
 * Waits for all readings, and returns what each has read.
 * @throws PorticoError of the first reading that failed, with the lines of all that did, each line once; any other error is
 * thrown as it is
 */
export async function readAll<T extends readonly unknown[]>(
  ...readings: { [K in keyof T]: Promise<T[K]> }
): Promise<T> {
  const settled = await Promise.allSettled(readings);
  const faults = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  if (faults.length > 0) throw everyFault(faults);
  return settled.map((one) => (one as PromiseFulfilledResult<unknown>).value) as unknown as T;
}

/** One error for several. */
export function everyFault(faults: readonly unknown[]): unknown {
  const known = faults.filter((error) => error instanceof PorticoError);
  if (known.length < faults.length) return faults.find((error) => !(error instanceof PorticoError));
  if (known.length === 1) return known[0];
  const lines = new Set(known.flatMap(({ message }) => message.split('\n')));
  return new PorticoError(known[0]?.kind ?? ErrorKinds.SecurityFile, [...lines].join('\n'), { cause: known[0] });
}
