/** Answers of many lines, each one JSON value: made and sent in slices, so that neither memory nor others have to wait for them. */
import type { ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';

/** The Content-Type of JSON values, one a line. */
export const LINES = 'application/x-ndjson';

/** Steps of one turn of the event loop: about a millisecond. */
const SLICE = 200;

/**
 * Sends an answer. Resolves when all of it is on its way, or whoever asked has gone.
 * @param lines null for a step that has none
 */
export async function sendLines(response: ServerResponse, lines: Iterable<object | null>): Promise<void> {
  response.writeHead(200, { 'content-type': LINES });
  let text = '';
  let steps = 0;
  for (const line of lines) {
    if (line !== null) text += `${JSON.stringify(line)}\n`;
    if (++steps % SLICE !== 0) continue;
    if (text !== '' && !response.write(text)) await room(response);
    text = '';
    await turn();
    if (response.destroyed) return;
  }
  response.end(text);
}

/** Resolves when whoever asked reads on, or has gone. */
export function room(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const proceed = (): void => {
      response.off('drain', proceed);
      response.off('close', proceed);
      resolve();
    };
    response.once('drain', proceed);
    response.once('close', proceed);
  });
}
