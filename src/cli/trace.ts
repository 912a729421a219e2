/** `portico trace`: what the running broker sees and decides of a client, an address or a topic, as it happens. */
import { TRACE_PATH } from '../admin/traces.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import { brokerLines } from './broker-answers.js';
import { fields, printable, StandardLines } from './terminal.js';

/** Bytes of a payload that are shown. */
const PAYLOAD_BYTES = 256;

export interface TraceRequest {
  /** One of `client`, `user`, `address` and `topic`. */
  readonly subject: URLSearchParams;
  /** Shows the beginning of payloads. */
  readonly payload: boolean;
  /** Prints the JSON of the broker. */
  readonly json: boolean;
}

/**
 * Prints lines until SIGINT or SIGTERM.
 * @throws PorticoError `PORTICO_CONTROL`, with the broker's words or why it cannot be asked
 */
export async function trace(request: LoadRequest, { subject, payload, json }: TraceRequest): Promise<void> {
  const { data_dir: directory } = loadConfig(request).config;
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const query = new URLSearchParams(subject);
  if (payload) query.set('payload', String(PAYLOAD_BYTES));
  const out = new StandardLines();
  try {
    for await (const line of brokerLines(directory, `${TRACE_PATH}?${query}`, stop.signal)) {
      await out.print(json ? printable(line) : lineOf(JSON.parse(line) as Told));
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}

/** A line of the broker. */
interface Told {
  readonly time: string;
  readonly event: string;
  readonly client?: string | null;
  readonly username?: string;
  readonly address?: string;
  readonly transport?: string;
  readonly packet?: string;
  readonly publisher?: string;
  readonly lines?: number;
  readonly subject?: object;
  readonly [field: string]: unknown;
}

/** `10:00:00.123 meter-7 > PUBLISH id 1, topic a, ...`: `<` has come, `>` has been sent. */
function lineOf({ time, event, client, username: _user, address, transport, packet, ...others }: Told): string {
  const clock = time.slice(11, 23);
  if (event === 'lost') return `${clock} ... ${others.lines} lines lost: they came faster than they were read`;
  if (event === 'tracing') return `${clock} tracing ${fields(others.subject ?? {})}; Ctrl-C ends it`;
  const who = printable(client ?? address ?? (event === 'published' ? (others.publisher ?? 'the broker') : 'somebody'));
  const passes = event === 'received' ? '<' : event === 'sent' ? '>' : null;
  if (passes === null) {
    const where = address === undefined || event === 'published' ? '' : ` (${transport} ${address})`;
    return `${clock} ${who}${printable(where)} ${printable(event)}: ${fields(others)}`;
  }
  const { type, method, code, ...rest } = others;
  const what = packet?.toUpperCase() ?? `${type} ${method ?? code}`;
  return `${clock} ${who} ${passes} ${printable(what)} ${fields(packet === undefined ? rest : others)}`.trimEnd();
}
