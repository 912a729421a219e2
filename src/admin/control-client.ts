/** Asks the running broker over its control socket (`control.ts`). */
import { type IncomingMessage, request } from 'node:http';
import { ErrorKinds, PorticoError } from '../errors.js';
import { controlSocket, type SocketPath, socketPath } from './control-path.js';

const NEVER = new AbortController().signal;

/** Nobody listens: there is no socket, or a broker that was killed has left it. */
const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED']);

/**
 * Sends a request without a body.
 * @param directory data directory of the broker
 * @param signal ends the request, with its reason; nothing does if it is left out
 * @returns the answer, with status 200, or null if no broker runs there
 * @throws PorticoError `PORTICO_CONTROL`, with the broker's words or why it cannot be asked
 */
export async function askBroker(
  directory: string,
  method: string,
  path: string,
  signal: AbortSignal = NEVER,
): Promise<IncomingMessage | null> {
  let socket: SocketPath | null = null;
  try {
    socket = socketPath(directory);
    const answer = await send(socket.path, method, path, signal);
    if (answer.statusCode === 200) return answer;
    throw new PorticoError(ErrorKinds.Control, `the broker says: ${await failureOf(answer)}`);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof PorticoError) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (ABSENT.has(code)) return null;
    const reason = code === 'EACCES' ? 'this user may not; ask as the user of the broker' : message;
    throw new PorticoError(ErrorKinds.Control, `cannot ask the broker at ${controlSocket(directory)}: ${reason}`, {
      cause: error,
    });
  } finally {
    socket?.release();
  }
}

function send(socket: string, method: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // A connection of its own: one that was kept may be to a broker that has ended.
    const asked = request({ socketPath: socket, method, path, agent: false, signal });
    asked.once('response', resolve);
    asked.once('error', reject);
    asked.end();
  });
}

async function failureOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Not one of ours: its text has to do.
  }
  return text.slice(0, 200).trim() || `status ${answer.statusCode}`;
}
