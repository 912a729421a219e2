/** What the plugins that talk to devices count: what their clients do, and what they do with it. */
import { ClientCounters } from '../../coap/client/counters.js';

export class DeviceCounters extends ClientCounters {
  /** Commands under way or waiting now; the only number here that goes down. */
  inFlight = 0;
  /** Messages not sent for `coap.commands_in_flight` and `coap.commands_per_device`. */
  refusedInFlight = 0;
  refusedPerDevice = 0;
  /** Messages not sent since their device has no address that can be reached. */
  unresolved = 0;
  /** Messages not sent since they have not what the templates of the command take. */
  templateFailures = 0;
  /** Responses that have not what the template of their command takes. */
  responseTemplateFailures = 0;
  /** Outcomes that no message can say. */
  droppedReplies = 0;
  /** Of the resource directory. Registrations now; it goes down, too. */
  registered = 0;
  registrations = 0;
  registrationUpdates = 0;
  registrationsRemoved = 0;
  registrationsExpired = 0;
  /** Registrations refused: for each limit, for its name or its rights, and for what it says. */
  refusedRegistrations = 0;
  refusedRegistrationsPerDevice = 0;
  refusedRegistrationBytes = 0;
  refusedRegistrationLinks = 0;
  refusedLifetimesMin = 0;
  refusedLifetimesMax = 0;
  /** Lookups not observed for `coap.lookup_observers`. */
  refusedLookupObservers = 0;
  badRegistrations = 0;
  deniedRegistrations = 0;
  /** Simple registrations whose device did not tell its links. */
  failedSimpleRegistrations = 0;
}

/** What a plugin and its clients count together. */
export function sumOf(own: DeviceCounters, clients: Iterable<{ readonly counters: ClientCounters }>): DeviceCounters {
  const sum = Object.assign(new DeviceCounters(), own);
  for (const { counters } of clients) {
    for (const name of Object.keys(counters) as (keyof ClientCounters)[]) sum[name] += counters[name];
  }
  return sum;
}
