/** How a client inside the process comes in as MQTT clients do: asked who it is, counted, listed, and in the log. */
import { ReasonCode } from '../wire/reason-codes.js';
import { askAuthenticate, checkPassword, type Refusal } from './authentication.js';
import type { Environment } from './environment.js';
import { banned } from './failed-login.js';
import { type ClientIdentity, InProcessClient } from './in-process-client.js';

/** What a client inside the process says to be let in. */
export interface Credentials {
  readonly password?: Buffer;
  /** Whether a client without user name may come this way. */
  readonly anonymous: boolean;
  /** The transport has proved the user name, as DTLS does with a pre-shared key or a certificate: there is no password to check. */
  readonly verified?: boolean;
  /** Seconds of silence after which its plug-in ends it, for the log. */
  readonly keepalive: number;
  /** Told, once, that the client is ended, by whomever. */
  readonly onEnd?: (reason: string) => void;
}

/** Lets a client in, on the list of those connected, or says why not. A refusal is counted and logged here. */
export async function admit(
  environment: Environment,
  identity: ClientIdentity,
  credentials: Credentials,
): Promise<InProcessClient | Refusal> {
  const client = new InProcessClient(environment, identity);
  const refusal = (await decide(environment, client, credentials)) ?? crowded(environment, client);
  if (refusal !== null) {
    environment.journal.refused(client, refusal.reason);
    return refusal;
  }
  client.connect(credentials.keepalive, credentials.onEnd ?? null);
  return client;
}

async function decide(
  environment: Environment,
  client: InProcessClient,
  { password, anonymous, verified }: Credentials,
): Promise<Refusal | null> {
  if (Buffer.byteLength(client.id) > environment.options.maxClientIdLength) {
    environment.counters.longClientIds++;
    return refuse(ReasonCode.ClientIdentifierNotValid, 'a client identifier longer than mqtt.max_client_id_length');
  }
  const username = client.username ?? undefined;
  client.byPassword = verified !== true && username !== undefined;
  const wrong =
    verified === true
      ? banned(environment, client, client.username)
      : await checkPassword(environment, client, username, password, anonymous);
  if (client.grant !== null) client.byPassword = true;
  return wrong ?? askAuthenticate(environment, client, client.username ?? undefined, password);
}

/** What may have changed while others were asked. */
function crowded(
  { hooks, sessions, options, counters, journal }: Environment,
  client: InProcessClient,
): Refusal | null {
  if (hooks.closed) return refuse(ReasonCode.ServerShuttingDown, 'the broker is closed');
  if (hooks.draining !== 'no') {
    counters.refusedDraining++;
    const reasonCode = hooks.draining === 'permanent' ? ReasonCode.ServerMoved : ReasonCode.UseAnotherServer;
    return refuse(reasonCode, 'the broker is being drained');
  }
  const connected = sessions.connected + sessions.inProcess.size;
  if (connected < options.connections || sessions.inProcess.has(client.key)) return null;
  counters.refusedAtConnections++;
  journal.limit(client, 'limits.connections', 'a connection was refused');
  return refuse(ReasonCode.ServerBusy, 'limits.connections is reached');
}

function refuse(reasonCode: number, reason: string): Refusal {
  return { reasonCode, reason, told: reason };
}
