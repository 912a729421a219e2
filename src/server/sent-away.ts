/** Which clients could not connect any more by what a reload has put in force. */
import type { Passwords } from '../access/passwords.js';
import type { ListenerConfig } from '../config/schema.js';
import type { Connection } from '../session/connection.js';
import type { InProcessClient } from '../session/in-process-client.js';
import { type AccessFiles, isOther } from './access-files.js';
import type { Backends } from './backends.js';

/** What is in force now, and what was before. */
export interface Reloaded {
  /** The listener that a client came by, if it is one of MQTT. */
  listenerOf(client: object): ListenerConfig | undefined;
  /** The files that hold for a listener. */
  filesOf(listener: ListenerConfig | undefined): AccessFiles;
  filesBefore(listener: ListenerConfig | undefined): AccessFiles;
  /** Whether a listener has files of its own. */
  hasOwn(listener: ListenerConfig | undefined): boolean;
  takesStrangers(listener: ListenerConfig): boolean;
  /** Asked about clients of listeners without files of their own. */
  readonly backends: Backends;
  readonly passwords: Passwords;
}

export function isOut(client: Connection | InProcessClient, reloaded: Reloaded): boolean {
  const { backends, passwords } = reloaded;
  const { grant, username } = client;
  const listener = reloaded.listenerOf(client);
  const own = reloaded.hasOwn(listener);
  // Whom a back-end has let in, it would be asked about again.
  if (grant !== null) return own || !backends.has(grant.by) || passwords.knows(username ?? undefined);
  const files = reloaded.filesOf(listener);
  if (username !== null && files.passwords !== null) return isOther(username, reloaded.filesBefore(listener), files);
  if (username !== null && backends.size > 0 && !own) return true;
  // Nobody is asked for a password: whoever may come without a name may come with one.
  return listener !== undefined && !reloaded.takesStrangers(listener);
}
