/** What the running broker answers in lines, each one JSON value. */
import { createInterface } from 'node:readline';
import { askBroker } from '../admin/control-client.js';
import { ErrorKinds, PorticoError } from '../errors.js';

/**
 * Asks the broker of a data directory.
 * @param signal ends the answer, without an error
 * @throws PorticoError `PORTICO_CONTROL` if none runs there, if it refuses, or if it ends in the middle of its answer
 */
export async function* brokerLines(directory: string, path: string, signal?: AbortSignal): AsyncIterable<string> {
  const answer = await askBroker(directory, 'GET', path, signal);
  if (answer === null) throw new PorticoError(ErrorKinds.Control, `no broker runs in ${directory}`);
  let failure: Error | null = null;
  answer.once('error', (error) => {
    failure = error;
  });
  const lines = createInterface({ input: answer, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    yield* lines;
  } finally {
    lines.close();
    answer.destroy();
  }
  if (signal?.aborted === true) return;
  if (failure !== null || !answer.complete) {
    throw new PorticoError(ErrorKinds.Control, 'the broker has ended its answer half-way', { cause: failure });
  }
}
