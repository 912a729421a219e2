/** Which clients could not connect any more by what a reload has put in force. */
import type { Passwords } from '../access/passwords.js';
import type { Broker } from '../broker.js';
import type { ListenerConfig } from '../config/schema.js';
import type { Connection } from '../session/connection.js';
import { endConnections } from '../session/ending.js';
import type { InProcessClient } from '../session/in-process-client.js';
import { type AccessFiles, isOther } from './access-files.js';
import type { Backends } from './backends.js';
import type { ListenerAccess } from './listener-access.js';
import type { TlsSecurity } from './tls-security.js';

const REASON = 'it could not connect any more by the configuration that was read again';

/** What is in force now, and what was before. */
export interface Reloaded {
  /** The listener that a client came by, if it is one of MQTT. */
  listenerOf(client: object): ListenerConfig | undefined;
  readonly access: ListenerAccess;
  /** The files that held for a listener. */
  filesBefore(listener: ListenerConfig | undefined): AccessFiles;
  takesStrangers(listener: ListenerConfig): boolean;
  /** Asked about clients of listeners without files of their own. */
  readonly backends: Backends;
  readonly passwords: Passwords;
  /** Knows the keys that are in force. */
  readonly tls: TlsSecurity;
}

/** Sends them away. Returns how many. */
export function sendOut(broker: Broker, reloaded: Reloaded): number {
  const { tls, access } = reloaded;
  const byProof = endConnections(
    broker.connections,
    (client) => {
      const listener = reloaded.listenerOf(client);
      const { psk, authentication } = client;
      if (psk !== null && !tls.isKeyOf(psk, listener)) return true;
      return authentication !== null && !access.keeps(authentication.method, listener);
    },
    REASON,
  );
  return byProof + broker.endClients((client) => isOut(client, reloaded), REASON);
}

function isOut(client: Connection | InProcessClient, reloaded: Reloaded): boolean {
  const { access, backends, passwords } = reloaded;
  const { grant, username } = client;
  const listener = reloaded.listenerOf(client);
  const own = listener !== undefined && access.of(listener).listener !== '';
  // Whom a back-end has let in, it would be asked about again.
  if (grant !== null) return own || !backends.has(grant.by) || passwords.knows(username ?? undefined);
  const files = access.filesOf(listener);
  if (username !== null && files.passwords !== null) return isOther(username, reloaded.filesBefore(listener), files);
  if (username !== null && backends.size > 0 && !own) return true;
  // Nobody is asked for a password: whoever may come without a name may come with one.
  return listener !== undefined && !reloaded.takesStrangers(listener);
}
