/** What a plugin is given of the broker. */
import type { Logger } from 'pino';
import type { Broker } from '../broker.js';
import type { PluginContext } from '../plugins/plugin.js';
import { banned, loginFailed } from '../session/failed-login.js';

/** @param plugin whose storage it is */
export function contextOf(plugin: string, broker: Broker, logger: Logger): PluginContext {
  const { environment } = broker;
  const { journal, counters } = environment;
  return {
    logger,
    counters,
    storage: broker.storageOf(plugin),
    tracing: environment.tracing,
    openClient: (identity) => broker.openClient(identity),
    enter: (remote, transport) => broker.enter(remote, transport),
    isBanned: (remote, transport, username) => {
      const party = { id: '', remote, username: username ?? null, transport, version: 0 };
      return username === undefined ? environment.gate.isBanned(party) : banned(environment, party, username) !== null;
    },
    connectClient: (identity, credentials) => broker.connectClient(identity, credentials),
    addAuthenticationMethod: (method) => broker.addAuthenticationMethod(method),
    denied: (party, action, topic, reason) => {
      counters.deniedPublish++;
      journal.denied(party, action, topic, reason);
    },
    loginFailed: (party, method) => {
      loginFailed(environment, party, { username: party.username, method });
    },
    limit: (party, option, detail) => journal.limit(party, option, detail),
  };
}
