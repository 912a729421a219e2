/** What an admin follows while it happens (`portico trace`). Sessions and plugins tell it here; admin/tracing makes lines of it. */
import { words } from '../access/acl/rule.js';
import type { Party } from '../bus/party.js';
import type { ConnectPacket } from '../wire/packets.js';
import type { Connection } from './connection.js';
import { aclOf, type RightsHolder, rightsOf } from './rights.js';

export interface Tracer {
  /** CONNECT has come, and is about to be carried out: if the client is followed, its packets are from here on. */
  arrived(connection: Connection, packet: ConnectPacket): void;
  /** Whether a client is followed. */
  follows(party: Party): boolean;
  /**
   * Something has happened to a client, which may be one that nobody follows.
   * @param event a word or two
   * @param fields what else there is to say of it; nothing that is a secret
   * @param payload told only to those who have asked for it; valid until this returns
   */
  tell(party: Party, event: string, fields: object, payload?: Buffer): void;
}

/** One for a broker. */
export class Tracing {
  /** Null while nobody follows anything: looking here is all that it costs then. */
  tracer: Tracer | null = null;

  /** A message is not given to a client because it may not receive it. */
  withheld(holder: Party & RightsHolder, topicBytes: Buffer): void {
    const { tracer } = this;
    if (tracer === null) return;
    const acl = aclOf(holder);
    if (acl === null || !tracer.follows(holder)) return;
    const topic = topicBytes.utf8Slice();
    const reason = words(rightsOf(holder, acl).decide('receive', topic).rule);
    tracer.tell(holder, 'denied', { action: 'receive', topic, reason });
  }
}
