/** What the running broker answers: one JSON value, or lines that are one each. */
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { askBroker } from '../admin/control-client.js';
import { ErrorKinds, PorticoError } from '../errors.js';

/**
 * Asks the broker of a data directory for one value.
 * @throws PorticoError `PORTICO_CONTROL` if none runs there, or if it refuses
 */
export async function brokerAnswer<Answer>(directory: string, method: 'GET' | 'POST', path: string): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await ask(directory, method, path)) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as Answer;
}

/**
 * Asks the broker of a data directory for lines.
 * @param signal ends the answer, without an error
 * @throws PorticoError `PORTICO_CONTROL` if none runs there, if it refuses, or if it ends in the middle of its answer
 */
export async function* brokerLines(directory: string, path: string, signal?: AbortSignal): AsyncIterable<string> {
  const answer = await ask(directory, 'GET', path, signal);
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

async function ask(directory: string, method: string, path: string, signal?: AbortSignal): Promise<IncomingMessage> {
  const answer = await askBroker(directory, method, path, signal);
  if (answer === null) throw new PorticoError(ErrorKinds.Control, `no broker runs in ${directory}`);
  return answer;
}
