/**
 * GET with Observe and `session=NAME`: an observation whose messages wait in the store while the device is away. Each goes
 * out as a confirmable notification of its own, and its acknowledgement is that of the message.
 */
import { Code } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { InProcessClient, KeptSubscription } from '../plugin.js';
import { diagnostic, endOf } from './answers.js';
import { type EnvelopeFormat, Envelopes } from './envelope.js';
import type { FilterReading } from './filters.js';
import type { CoapTopicsOptions } from './options.js';
import { failureOf } from './publishing.js';

/** Bytes of a message are no reason to leave it out. */
const ANY = Number.POSITIVE_INFINITY;

/**
 * @param name of the session; each user, or client without user name, has names of its own
 */
export async function observeDurably(
  client: InProcessClient,
  exchange: CoapExchange,
  filter: string,
  name: string,
  format: EnvelopeFormat,
  reading: FilterReading,
  {
    session_expiry: expiry,
    tell_publisher: tellsPublisher,
  }: Pick<CoapTopicsOptions, 'session_expiry' | 'tell_publisher'>,
): Promise<void> {
  if (client.username === null && client.id === `coap-${client.remote}`) {
    exchange.respond(diagnostic(Code.BadRequest, 'a session is of a user name or a clientid'));
    return;
  }
  let kept: KeptSubscription | number | undefined;
  /** A message is on its way. */
  let told = false;
  const observation = exchange.observe((reason) => {
    if (typeof kept !== 'object') return;
    // Who deregisters wants no more; whoever is silent or starts anew may come back.
    if (reason === 'cancelled') kept.end();
    else kept.suspend();
  });
  if (observation === undefined) {
    exchange.respond(diagnostic(Code.ServiceUnavailable, 'too many observations'));
    return;
  }
  kept = client.keepSubscription(sessionOf(client, name), filter, expiry, {
    take: (message) => {
      told = true;
      const envelopes = new Envelopes(format, ANY, tellsPublisher);
      envelopes.add(message, client.now());
      observation.notify({ code: Code.Content, contentFormat: format, payload: envelopes.bytes() }, true);
    },
    lost: () => observation.end(endOf(client)),
  });
  if (typeof kept === 'number') {
    observation.end();
    exchange.respond(failureOf(kept, client));
    return;
  }
  const subscription = kept;
  await subscription.settled();
  // What is retained is news to a new session alone.
  const empty = { code: Code.Content, contentFormat: format, payload: new Envelopes(format, ANY, false).bytes() };
  exchange.respond(subscription.present ? empty : await reading.retained());
  let begun = false;
  const proceed = (): void => {
    if (told) {
      told = false;
      subscription.acknowledge();
    } else if (!begun) {
      begun = true;
      subscription.resume();
    }
  };
  observation.onReady = proceed;
  if (!observation.busy) proceed();
}

/** The client identifier of a session; no two owners or names have the same. */
function sessionOf(client: InProcessClient, name: string): string {
  const owner = client.username === null ? ['client', client.id] : ['user', client.username];
  return ['coap', ...owner, name].map(encodeURIComponent).join(' ');
}
