/** Whether a client may publish on a topic, asked of the access control list and Aedes' `authorizePublish` before there is something to publish. */
import { Rights } from '../access/acl/acl.js';
import { words } from '../access/acl/rule.js';
import type { Message } from '../bus/message.js';
import { NO_PROPERTIES } from '../bus/message.js';
import { ReasonCode } from '../wire/reason-codes.js';
import type { AccessControl } from './access-control.js';
import { packetOf } from './aedes-packets.js';
import { Connection } from './connection.js';
import type { Environment } from './environment.js';
import type { Party } from './journal.js';

/** What a client that asks is taken to publish. */
const NO_MESSAGE: Message = {
  topic: '',
  payload: NO_PROPERTIES,
  qos: 0,
  retain: false,
  properties: NO_PROPERTIES,
  expiresAt: 0,
  publisherId: '',
  receivedAt: 0,
};

/**
 * @param topic a valid topic that is not reserved
 * @param party null for a client that nobody knows, which may only where anybody may, by whichever listener
 * @param decided told once, possibly before this returns: the MQTT 5.0 reason code, in words why not, and the topic as the hook
 * has left it
 */
export function askToPublish(
  environment: Environment,
  topic: string,
  party: (Party & { readonly access?: AccessControl }) | null,
  decided: (reasonCode: number, reason: string, allowed?: string) => void,
): void {
  const { hooks, access: usual, listenerAccess, clock } = environment;
  const asked = party === null ? [usual, ...listenerAccess.values()] : [party.access ?? usual];
  const subject = { username: party?.username ?? null, clientId: party?.id ?? '', grant: party?.grant ?? null };
  for (const { acl } of party?.trusted === true ? [] : asked) {
    const decision = acl === null ? null : new Rights(acl, subject).decide('publish', topic);
    if (decision === null || decision.allowed) continue;
    decided(ReasonCode.NotAuthorized, words(decision.rule));
    return;
  }
  if (hooks.authorizePublish === null) {
    decided(ReasonCode.Success, '');
    return;
  }
  if (party === null) {
    decided(ReasonCode.NotAuthorized, 'its publisher is not known any more');
    return;
  }
  const message = { ...NO_MESSAGE, topic, publisherId: party.id, receivedAt: clock.now() };
  const packet = packetOf(message, hooks.brokerId, hooks.nextCounter());
  let answered = false;
  const answer = (error?: Error | null): void => {
    if (answered) return;
    answered = true;
    if (error) decided(ReasonCode.NotAuthorized, error.message);
    else decided(ReasonCode.Success, '', packet.topic);
  };
  try {
    hooks.authorizePublish(party instanceof Connection ? party : null, packet, answer);
  } catch (error) {
    if (answered) throw error;
    // The hook failed, and not who asks: there may be nobody above to take this.
    answer(error instanceof Error ? error : new Error(String(error)));
  }
}
