/** `portico clients`: who is connected to the running broker, and what one client has. */
import { CLIENT_PATH, CLIENTS_PATH, DISCONNECT_PATH, type Disconnected } from '../admin/clients.js';
import type { ToldClient, ToldDetails, ToldSubscription } from '../admin/told-clients.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { brokerAnswer, brokerLines } from './broker-answers.js';
import { size } from './progress.js';
import { fields, printable, StandardLines, Table, text, words } from './terminal.js';

export interface ClientsRequest {
  /** Ends this client; others are undefined then. */
  readonly disconnect?: string;
  /** Tells all of this client. */
  readonly client?: string;
  /** Lists the sessions of clients that are away, too. */
  readonly all: boolean;
  /** Prints the JSON of the broker. */
  readonly json: boolean;
}

/**
 * Prints what was asked for.
 * @throws PorticoError `PORTICO_CONTROL`, with the broker's words or why it cannot be asked
 */
export async function clients(request: LoadRequest, wanted: ClientsRequest): Promise<void> {
  const { data_dir: directory } = loadConfig(request).config;
  const { disconnect, client } = wanted;
  const out = new StandardLines();
  if (disconnect !== undefined) await out.print(await end(directory, disconnect));
  else if (client !== undefined) await tellOne(directory, client, wanted, out);
  else await tellAll(directory, wanted, out);
}

async function end(directory: string, client: string): Promise<string> {
  const path = `${DISCONNECT_PATH}?${new URLSearchParams({ client })}`;
  const { disconnected } = await brokerAnswer<Disconnected>(directory, 'POST', path);
  if (disconnected === 0) throw unknown(client, 'is connected');
  return `clients disconnected: ${disconnected}`;
}

function unknown(client: string, what: string): PorticoError {
  return new PorticoError(ErrorKinds.Control, `no client ${printable(JSON.stringify(client))} ${what}`);
}

const HEAD = [
  'CLIENT',
  'USER',
  'ADDRESS',
  'TRANSPORT',
  'PROTOCOL',
  'SINCE',
  'KEEP ALIVE',
  'SESSION',
  'SUBSCRIPTIONS',
  'WAITING',
  'IN FLIGHT',
  'DROPPED',
  'LAST TOPIC',
];

async function tellAll(directory: string, { all, json }: ClientsRequest, out: StandardLines): Promise<void> {
  const table = new Table(HEAD, (line) => out.print(line));
  for await (const line of brokerLines(directory, all ? `${CLIENTS_PATH}?all` : CLIENTS_PATH)) {
    if (json) await out.print(printable(line));
    else await table.add(cellsOf(JSON.parse(line) as ToldClient));
  }
  if (!json) await table.end();
}

function cellsOf(client: ToldClient): string[] {
  const { waiting, waiting_bytes: bytes, left, since, connected } = client;
  return [
    client.client,
    client.username ?? '-',
    client.address ?? '-',
    client.transport ?? '-',
    client.protocol ?? '-',
    connected ? time(since) : `left ${time(left)}`,
    client.keepalive === null ? '-' : `${client.keepalive} s`,
    sessionOf(client),
    `${client.subscriptions}`,
    waiting === 0 ? '0' : `${waiting} (${size(bytes)})`,
    `${client.in_flight}`,
    `${client.dropped}`,
    client.last_topic ?? '-',
  ];
}

function sessionOf({ kept, clean, connected, expires }: ToldClient): string {
  if (connected && clean === null) return '-';
  if (connected) return kept ? 'kept' : 'clean';
  return expires === null ? 'kept for ever' : `until ${time(expires)}`;
}

/** `2026-11-22 10:00:00Z`. */
function time(text: string | null | undefined): string {
  return text == null ? '-' : `${text.slice(0, 19).replace('T', ' ')}Z`;
}

/** What the lines of one client are. */
type Told = (ToldClient & ToldDetails) | ToldSubscription;

async function tellOne(directory: string, client: string, { json }: ClientsRequest, out: StandardLines): Promise<void> {
  let known = false;
  for await (const line of brokerLines(directory, `${CLIENT_PATH}?${new URLSearchParams({ client })}`)) {
    if (json) await out.print(printable(line));
    else {
      const told = JSON.parse(line) as Told;
      if ('subscription' in told) await out.print(`  subscription: ${fields(told.subscription)}`);
      else await describe(told, known, out);
    }
    known = true;
  }
  if (!known) throw unknown(client, 'is connected or has a session that is kept');
}

async function describe(told: ToldClient & ToldDetails, apart: boolean, out: StandardLines): Promise<void> {
  if (apart) await out.print('');
  const { client, details, ...others } = told;
  await out.print(printable(client));
  for (const [name, value] of Object.entries({ ...others, ...details })) {
    if (value !== null) await out.print(`  ${words(name)}: ${text(value)}`);
  }
}
