/** What the broker publishes itself: for a program that embeds it, in its own name, and the wills of its clients. */
import { Rights } from '../access/acl/acl.js';
import { words } from '../access/acl/rule.js';
import type { Message, Source } from '../bus/message.js';
import { isLent } from '../bus/party.js';
import { Publication } from '../bus/publication.js';
import { isValidName } from '../bus/topics.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { WillRecord } from '../store/records.js';
import { accessAt, NO_LISTENER } from './access-control.js';
import { type AedesPacket, messageOf, type PublishRequest, packetOf } from './aedes-packets.js';
import type { Connection } from './connection.js';
import type { Environment } from './environment.js';
import type { Party } from './journal.js';
import { UNWRITABLE } from './reasons.js';
import type { Session } from './session.js';

/** Whom the log names for what nobody is connected for any more. */
const BROKER: Party = { id: '', remote: 'local', username: null, transport: 'internal', version: 0 };

/** A client that is not connected any more, as the log names it. */
export function partyOf({ id, username }: Source): Party {
  return { ...BROKER, id, username };
}

/**
 * Publishes for the program that the broker runs in.
 * @param publisher client identifier, empty for none
 * @param done told once everything that the message changed is durable, or why it was not published
 */
export function publishAsBroker(
  environment: Environment,
  request: PublishRequest,
  publisher: string,
  done: ((error?: Error) => void) | undefined,
): void {
  const { router, commit, counters, journal, clock } = environment;
  if (!isValidName(request.topic)) {
    done?.(new PorticoError(ErrorKinds.Topic, `${JSON.stringify(request.topic)} is not a topic name`));
    return;
  }
  const before = commit.revision;
  const message = messageOf(request, publisher, clock.now());
  const route = router.routeOf(message.topic);
  const needed = commit.load.strained && router.needsStore(route, message.qos, message.retain, null);
  if (needed && (message.qos > 0 || done !== undefined)) {
    counters.refusedPublish++;
    journal.limit(null, commit.load.cause, `a publication of the broker on ${request.topic} was refused`);
    done?.(new PorticoError(ErrorKinds.StoreCommit, UNWRITABLE));
    return;
  }
  publishMessage(environment, message);
  if (done === undefined) return;
  if (commit.revision === before) setImmediate(done);
  else commit.whenSettled(() => done());
}

/** Delivers a message to one session, as if it had a subscription for it that nobody else has. */
export function deliverAlone({ router }: Environment, session: Session, message: Message): void {
  const receiver = {
    subscriber: session,
    qos: 2,
    noLocal: false,
    own: null,
    retainAsPublished: true,
    identifiers: null,
    share: '',
  } as const;
  session.deliver(new Publication().of(message, router.routeOf(message.topic)), receiver);
}

/** Publishes a message in the broker's own name. */
export function publishMessage(environment: Environment, message: Message): void {
  const { router, hooks } = environment;
  router.publish(new Publication().of(message, router.routeOf(message.topic)));
  if (hooks.published === null && !hooks.wants('publish')) return;
  announce(environment, packetOf(message, hooks.brokerId, hooks.nextCounter()));
}

/**
 * A will is a publication of its client: the access control list and `authorizePublish` decide on it.
 * @param client null if its connection is long gone
 * @param will says who the client is
 * @param decided called once it has been published or refused
 */
export function publishWill(
  environment: Environment,
  message: Message,
  client: Connection | null,
  will: WillRecord,
  decided: () => void,
): void {
  const { hooks, journal, counters, clock } = environment;
  const { username = null, grant = null } = will;
  const named: Source = { id: message.publisherId, username, listener: will.message.source?.listener ?? '' };
  const source = isLent(grant) ? null : named;
  const denial = denialOf(environment, message.topic, named, grant);
  if (denial !== null) {
    counters.deniedPublish++;
    journal.denied(client ?? partyOf(named), 'publish', message.topic, `its will: ${denial}`);
    decided();
    return;
  }
  if (hooks.authorizePublish === null) {
    publishMessage(environment, { ...message, source });
    decided();
    return;
  }
  const packet = packetOf(message, hooks.brokerId, hooks.nextCounter());
  let answered = false;
  const answer = (error?: Error | null): void => {
    if (answered) return;
    answered = true;
    if (!error) publishMessage(environment, { ...messageOf(packet, message.publisherId, clock.now()), source });
    else {
      counters.deniedPublish++;
      journal.denied(client ?? partyOf(named), 'publish', message.topic, error.message);
    }
    decided();
  };
  try {
    hooks.authorizePublish(client, packet, answer);
  } catch (error) {
    // A connection has just ended, or a timer has run out: nobody above could take this.
    answer(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Why a client that is gone may not publish on a topic, in words; null if it may. */
function denialOf(
  environment: Environment,
  topic: string,
  { id: clientId, username, listener }: Source,
  grant: WillRecord['grant'] = null,
): string | null {
  const access = accessAt(environment, listener);
  if (access === null) return NO_LISTENER;
  if (access.acl === null) return null;
  const { allowed, rule } = new Rights(access.acl, { username, clientId, grant }).decide('publish', topic);
  return allowed ? null : words(rule);
}

/** Tells Aedes' `published` hook and `publish` event of a message without a network client. */
export function announce(environment: Environment, packet: AedesPacket): void {
  const { hooks } = environment;
  hooks.published?.(packet, null, () => {});
  if (hooks.wants('publish')) hooks.emit('publish', packet, null);
}
