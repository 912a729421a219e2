/** What the control socket tells of a subject while it happens, for `portico trace`, until whoever asked goes. */
import type { ServerResponse } from 'node:http';
import { ErrorKinds, PorticoError } from '../errors.js';
import { type ControlLog, parametersOf, type Route } from './control.js';
import { LINES } from './lines.js';
import { subjectFrom } from './tracing/subject.js';
import type { Traces } from './tracing/traces.js';

export const TRACE_PATH = '/trace';

/** Bytes of a payload that may be shown. */
const MOST_PAYLOAD = 65_536;

export function traceRoute(traces: Traces, log: ControlLog): Route {
  return {
    method: 'GET',
    path: TRACE_PATH,
    async handle(request, response) {
      const parameters = parametersOf(request);
      const subject = subjectFrom(parameters);
      const end = traces.begin(subject, payloadFrom(parameters), response);
      const what = `${subject.kind} ${JSON.stringify(subject.value)}`;
      log.info(`an admin traces ${what}`);
      await serve(response);
      end();
      log.info(`the trace of ${what} has ended`);
    },
  };
}

function payloadFrom(parameters: URLSearchParams): number {
  const text = parameters.get('payload') ?? '0';
  const bytes = Number(text);
  if (/^\d+$/.test(text) && bytes <= MOST_PAYLOAD) return bytes;
  throw new PorticoError(ErrorKinds.Control, `${text} bytes of payloads cannot be shown: at most ${MOST_PAYLOAD}`);
}

/** Resolves when whoever asked has gone. */
function serve(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': LINES });
  // The first line may come much later.
  response.flushHeaders();
  return new Promise((resolve) => {
    if (response.destroyed) resolve();
    else response.once('close', resolve);
  });
}
